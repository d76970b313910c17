"""SageMaker Pipelines that run: the API of pipelines and their executions.

    StartPipelineExecution ─▶ definition, parameters checked ─▶ PipelineRun ─▶ jobs, by AWS's API
    Describe…, List…, Stop…, Retry… ask or tell the PipelineRun

Executions live as long as the gateway does.
"""

from __future__ import annotations

import random
import string
import threading
from collections.abc import Mapping
from typing import Any

from botocore.exceptions import ClientError

from local_aws.aws_protocol import Call
from local_aws.clock import Clock, SystemClock
from local_aws.errors import AwsError
from local_aws.event_bus import EventBus
from local_aws.gateway import Handler
from local_aws.own_aws import OwnAws
from local_aws.pagination import page_of
from local_aws.sagemaker.pipelines.definition import parse_definition
from local_aws.sagemaker.pipelines.parameters import parameter_values
from local_aws.sagemaker.pipelines.pipelines import Pipelines, refuse_members
from local_aws.sagemaker.pipelines.run import ExecutionPlan, PipelineRun

_CLOSE_SECONDS = 10.0


class PipelineExecutions:
    """The service: handlers for the gateway, and all executions."""

    def __init__(
        self, own: OwnAws, clock: Clock | None = None, bus: EventBus | None = None
    ) -> None:
        self._own = own
        self._bus = bus or EventBus(own)
        self._clock = clock or SystemClock()
        self._pipelines = Pipelines(own)
        self._lock = threading.Lock()
        self._runs: dict[str, PipelineRun] = {}
        self._tokens: dict[tuple[str, str], tuple[str, Mapping[str, Any]]] = {}

    def operations(self) -> Mapping[tuple[str, str], Handler]:
        """The operations on pipelines and executions that local_aws answers itself."""
        handlers: dict[str, Handler] = {
            "CreatePipeline": self._pipelines.create,
            "UpdatePipeline": self._pipelines.update,
            "DescribePipeline": self._pipelines.describe,
            "DeletePipeline": self.delete,
            "AddTags": self._pipelines.add_tags,
            "StartPipelineExecution": self.start,
            "DescribePipelineExecution": self.describe,
            "ListPipelineExecutions": self.list_executions,
            "ListPipelineExecutionSteps": self.list_steps,
            "StopPipelineExecution": self.stop,
        }
        return {("sagemaker", operation): handler for operation, handler in handlers.items()}

    def close(self) -> None:
        """Stop all executions, and wait for their threads."""
        with self._lock:
            runs = list(self._runs.values())
        stopping = [run for run in runs if run.stop()]
        for run in stopping:
            run.join(_CLOSE_SECONDS)

    def start(self, call: Call) -> Mapping[str, Any]:
        """StartPipelineExecution: everything that can be checked is checked before it answers."""
        refuse_members(
            call,
            "SelectiveExecutionConfig",
            "PipelineVersionId",
            "PipelineVersionAlias",
            "MlflowExperimentName",
            "ParallelismConfiguration",
        )
        params = call.params
        pipeline = self._describe_pipeline(params["PipelineName"])
        token = (pipeline["PipelineArn"], params["ClientRequestToken"])
        with self._lock:
            started = self._tokens.get(token)
        if started is not None:
            return self._started_before(started, params)
        plan = self._plan(params, pipeline)
        run = PipelineRun(
            plan,
            sagemaker=self._own.client("sagemaker", role_arn=plan.role_arn),
            s3=self._own.client("s3", role_arn=plan.role_arn),
            clock=self._clock,
            on_status=self._publish_status,
            on_step=self._publish_step,
        )
        with self._lock:
            # Two calls with one token may have come this far side by side: the first one counts.
            started = self._tokens.setdefault(token, (plan.execution_arn, params))
            if started[0] == plan.execution_arn:
                self._runs[plan.execution_arn] = run
        if started[0] != plan.execution_arn:
            return self._started_before(started, params)
        self._pipelines.note_run(plan.pipeline_name, plan.created)
        run.start()
        return {"PipelineExecutionArn": plan.execution_arn}

    def delete(self, call: Call) -> Mapping[str, Any]:
        """DeletePipeline, if nothing of it runs (API reference: "To delete a pipeline, you must
        stop all running instances of the pipeline")."""
        name = call.params["PipelineName"]
        with self._lock:
            running = [
                arn
                for arn, run in self._runs.items()
                if run.plan.pipeline_name == name and run.status in ("Executing", "Stopping")
            ]
        if running:
            raise AwsError(
                "ConflictException",
                f"Pipeline {name} has running executions, stop them first: {', '.join(running)}",
            )
        return self._pipelines.delete(call)

    def _publish_status(self, plan: ExecutionPlan, before: str, status: str) -> None:
        """The event of the EventBridge user guide, "SageMaker pipeline execution state change"."""
        detail = {
            "pipelineArn": plan.pipeline_arn,
            "pipelineExecutionArn": plan.execution_arn,
            "pipelineExecutionDisplayName": plan.display_name,
            "pipelineExecutionDescription": plan.description,
            "currentPipelineExecutionStatus": status,
            "executionStartTime": f"{plan.created:%Y-%m-%dT%H:%M:%SZ}",
        }
        if before:
            detail["previousPipelineExecutionStatus"] = before
        if status in ("Succeeded", "Failed", "Stopped"):
            detail["executionEndTime"] = f"{self._clock.now():%Y-%m-%dT%H:%M:%SZ}"
        self._bus.publish(
            "aws.sagemaker",
            "SageMaker Model Building Pipeline Execution Status Change",
            resources=[plan.pipeline_arn, plan.execution_arn],
            detail=detail,
        )

    def _publish_step(
        self, plan: ExecutionPlan, before: str, step_type: str, entry: Mapping[str, Any]
    ) -> None:
        """The event of SageMaker's developer guide, "Pipeline step state change"."""
        detail = {
            "metadata": _lower_names(entry["Metadata"]),
            "stepStartTime": f"{entry['StartTime']:%Y-%m-%dT%H:%M:%SZ}",
            "stepName": entry["StepName"],
            "stepType": step_type,
            "currentStepStatus": entry["StepStatus"],
            "pipelineArn": plan.pipeline_arn,
            "pipelineExecutionArn": plan.execution_arn,
        }
        if before:
            detail["previousStepStatus"] = before
        if "EndTime" in entry:
            detail["stepEndTime"] = f"{entry['EndTime']:%Y-%m-%dT%H:%M:%SZ}"
        if "FailureReason" in entry:
            detail["failureReason"] = entry["FailureReason"]
        self._bus.publish(
            "aws.sagemaker",
            "SageMaker Model Building Pipeline Execution Step Status Change",
            resources=[plan.pipeline_arn, plan.execution_arn],
            detail=detail,
        )

    def describe(self, call: Call) -> Mapping[str, Any]:
        """DescribePipelineExecution."""
        return self._run(call).describe()

    def list_executions(self, call: Call) -> Mapping[str, Any]:
        """ListPipelineExecutions, the newest first unless asked otherwise."""
        refuse_members(call, "PipelineVersionAlias")
        params = call.params
        pipeline = self._describe_pipeline(params["PipelineName"])
        with self._lock:
            runs = [
                run
                for run in self._runs.values()
                if run.plan.pipeline_arn == pipeline["PipelineArn"]
                # A deleted pipeline takes its executions with it, even if the name is used again.
                and run.plan.created >= pipeline["CreationTime"]
                and ("CreatedAfter" not in params or run.plan.created > params["CreatedAfter"])
                and ("CreatedBefore" not in params or run.plan.created < params["CreatedBefore"])
            ]
        if params.get("SortBy") == "PipelineExecutionArn":
            runs.sort(key=lambda run: run.plan.execution_arn)
        if params.get("SortOrder", "Descending") == "Descending":
            runs.reverse()
        summaries, more = page_of(
            [_summary(run) for run in runs], lambda item: item["PipelineExecutionArn"], params
        )
        return {"PipelineExecutionSummaries": summaries, **more}

    def list_steps(self, call: Call) -> Mapping[str, Any]:
        """ListPipelineExecutionSteps, the latest first unless asked otherwise."""
        steps = self._run(call).steps()
        if call.params.get("SortOrder", "Descending") == "Descending":
            steps.reverse()
        page, more = page_of(steps, lambda item: item["StepName"], call.params)
        return {"PipelineExecutionSteps": page, **more}

    def stop(self, call: Call) -> Mapping[str, Any]:
        """StopPipelineExecution."""
        run = self._run(call)
        if not run.stop():
            raise AwsError(
                "ValidationException",
                f"Pipeline execution {run.plan.execution_arn} has the status {run.status}; "
                "only an execution with the status Executing can be stopped",
            )
        return {"PipelineExecutionArn": run.plan.execution_arn}

    def _plan(self, params: Mapping[str, Any], pipeline: Mapping[str, Any]) -> ExecutionPlan:
        definition = parse_definition(pipeline["PipelineDefinition"])
        created = self._clock.now()
        return ExecutionPlan(
            pipeline_name=pipeline["PipelineName"],
            pipeline_arn=pipeline["PipelineArn"],
            execution_id="".join(
                random.choices(string.ascii_lowercase + string.digits, k=12)  # noqa: S311
            ),
            role_arn=params.get("RoleArn", pipeline["RoleArn"]),
            display_name=params.get(
                "PipelineExecutionDisplayName", f"execution-{int(created.timestamp() * 1000)}"
            ),
            description=params.get("PipelineExecutionDescription", ""),
            definition_text=pipeline["PipelineDefinition"],
            definition=definition,
            parameters=parameter_values(
                definition.parameters, params.get("PipelineParameters", [])
            ),
            created=created,
        )

    def _describe_pipeline(self, name_or_arn: str) -> Mapping[str, Any]:
        try:
            answer: Mapping[str, Any] = self._own.client("sagemaker").describe_pipeline(
                PipelineName=name_or_arn
            )
        except ClientError as err:
            error = err.response["Error"]
            raise AwsError(error["Code"], error["Message"]) from err
        return answer

    def _run(self, call: Call) -> PipelineRun:
        arn = call.params["PipelineExecutionArn"]
        with self._lock:
            run = self._runs.get(arn)
        if run is None:
            raise AwsError(
                "ResourceNotFound", f"Pipeline execution with ARN '{arn}' does not exist."
            )
        return run

    def _started_before(
        self, started: tuple[str, Mapping[str, Any]], params: Mapping[str, Any]
    ) -> Mapping[str, Any]:
        """The answer to a repeated start with the same ClientRequestToken."""
        arn, first_params = started
        if first_params != params:
            raise AwsError(
                "ConflictException",
                f"ClientRequestToken {params['ClientRequestToken']} was already used "
                f"with other parameters, for {arn}",
            )
        return {"PipelineExecutionArn": arn}


def _lower_names(members: Mapping[str, Any]) -> dict[str, Any]:
    """`{"TrainingJob": {"Arn": ...}}` as events have it: `{"trainingJob": {"arn": ...}}`."""
    return {
        name[:1].lower() + name[1:]: _lower_names(value) if isinstance(value, Mapping) else value
        for name, value in members.items()
    }


def _summary(run: PipelineRun) -> Mapping[str, Any]:
    described = run.describe()
    summary = {
        "PipelineExecutionArn": described["PipelineExecutionArn"],
        "StartTime": described["CreationTime"],
        "PipelineExecutionStatus": described["PipelineExecutionStatus"],
        "PipelineExecutionDisplayName": described["PipelineExecutionDisplayName"],
    }
    if "PipelineExecutionDescription" in described:
        summary["PipelineExecutionDescription"] = described["PipelineExecutionDescription"]
    if "FailureReason" in described:
        summary["PipelineExecutionFailureReason"] = described["FailureReason"]
    return summary
