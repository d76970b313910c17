"""AWS CodePipeline, executed: the API's operations.

    CreatePipeline ─▶ checks ─▶ PipelineRuns ◀─ StartPipelineExecution, pushes on the bus
    Get…, List… read its records; Stop…, Retry…, Rollback…, PutApprovalResult act on them

Pipelines and executions live as long as the gateway does.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

from local_aws.aws_protocol import Call
from local_aws.code_pipelines import views
from local_aws.code_pipelines.approvals import put_approval_result
from local_aws.code_pipelines.checks import check_pipeline
from local_aws.code_pipelines.definition import Pipeline, read_pipeline
from local_aws.code_pipelines.execution import SUCCEEDED, ActionRun, Execution, Trigger, now
from local_aws.code_pipelines.pipeline_runs import PipelineRuns
from local_aws.code_pipelines.second_chances import retry_stage, roll_back_stage
from local_aws.code_pipelines.starts import (
    given_variables,
    revision_overrides,
    start_by_event,
    start_trigger,
)
from local_aws.code_pipelines.state_changes import StateChanges
from local_aws.code_pipelines.tags import Tags
from local_aws.errors import AwsError
from local_aws.event_bus import Event, EventBus
from local_aws.gateway import Handler
from local_aws.own_aws import OwnAws
from local_aws.pagination import page_of

Answer = Mapping[str, Any]

_CLOSE_SECONDS = 5.0


class CodePipelines:
    """The service. `minute_seconds` is how long a minute of an approval's timeout lasts."""

    def __init__(self, own: OwnAws, bus: EventBus, minute_seconds: float = 60.0) -> None:
        self._own = own
        self._changes = StateChanges(own, bus)
        self._minute_seconds = minute_seconds
        self._lock = threading.RLock()
        self._pipelines: dict[str, PipelineRuns] = {}
        self._ending: list[threading.Thread] = []
        self._tags = Tags(own, lambda name: name in self._pipelines)
        bus.subscribe(self._hear)

    def operations(self) -> Mapping[tuple[str, str], Handler]:
        """What the gateway hands to this service."""
        handlers: dict[str, Handler] = {
            "CreatePipeline": self.create_pipeline,
            "UpdatePipeline": self.update_pipeline,
            "DeletePipeline": self.delete_pipeline,
            "GetPipeline": self.get_pipeline,
            "ListPipelines": self.list_pipelines,
            "GetPipelineState": self.get_pipeline_state,
            "StartPipelineExecution": self.start_pipeline_execution,
            "StopPipelineExecution": self.stop_pipeline_execution,
            "GetPipelineExecution": self.get_pipeline_execution,
            "ListPipelineExecutions": self.list_pipeline_executions,
            "ListActionExecutions": self.list_action_executions,
            "RetryStageExecution": self.retry_stage_execution,
            "RollbackStage": self.rollback_stage,
            "DisableStageTransition": self.disable_stage_transition,
            "EnableStageTransition": self.enable_stage_transition,
            "PutApprovalResult": self.put_approval_result,
            **self._tags.handlers(),
        }
        return {("codepipeline", name): handler for name, handler in handlers.items()}

    def close(self) -> None:
        """End all executions, and wait for their threads."""
        with self._lock:
            threads = [thread for runs in self._pipelines.values() for thread in runs.close()]
        deadline = time.monotonic() + _CLOSE_SECONDS
        for thread in [*threads, *self._ending]:
            thread.join(max(0.0, deadline - time.monotonic()))

    def create_pipeline(self, call: Call) -> Answer:
        """Check the declaration, keep it, start its first execution."""
        declaration, tags = call.params["pipeline"], call.params.get("tags", [])
        pipeline = self._checked(declaration, version=1)
        with self._lock:
            if pipeline.name in self._pipelines:
                raise AwsError(
                    "PipelineNameInUseException",
                    f"A pipeline with the name '{pipeline.name}' already exists in account "
                    f"'{self._own.account}'",
                )
            runs = PipelineRuns(self._own, self._changes, pipeline, self._minute_seconds)
            self._pipelines[pipeline.name] = runs
            self._tags.set(pipeline.name, tags)
        defaults = pipeline.variable_defaults()
        if None not in defaults.values():
            variables = {name: value for name, value in defaults.items() if value is not None}
            runs.start(Trigger(type="CreatePipeline", detail=call.caller_arn), variables)
        return {"pipeline": pipeline.declaration, "tags": tags}

    def update_pipeline(self, call: Call) -> Answer:
        """Check the declaration; it is the pipeline's next version."""
        declaration = call.params["pipeline"]
        runs = self._runs(declaration["name"])
        with runs.lock:
            pipeline = self._checked(declaration, version=runs.pipeline.version + 1)
            runs.update(pipeline)
        return {"pipeline": pipeline.declaration}

    def delete_pipeline(self, call: Call) -> None:
        """End what runs of it and forget it; one that doesn't exist is fine."""
        with self._lock:
            runs = self._pipelines.pop(call.params["name"], None)
            self._tags.forget(call.params["name"])
            if runs is not None:
                self._ending = [t for t in self._ending if t.is_alive()] + runs.close()

    def get_pipeline(self, call: Call) -> Answer:
        """The declaration as it is now; local_aws keeps no older versions."""
        runs = self._runs(call.params["name"])
        wanted = call.params.get("version", runs.pipeline.version)
        if wanted != runs.pipeline.version:
            raise AwsError(
                "PipelineVersionNotFoundException",
                f"Pipeline '{runs.pipeline.name}' has version {runs.pipeline.version} here; "
                f"local_aws does not keep version {wanted}",
            )
        metadata = {
            "pipelineArn": self._own.arn("codepipeline", runs.pipeline.name),
            "created": runs.created,
            "updated": runs.updated,
        }
        return {"pipeline": runs.pipeline.declaration, "metadata": metadata}

    def list_pipelines(self, call: Call) -> Answer:
        """All pipelines by name."""
        with self._lock:
            everything = [self._pipelines[name] for name in sorted(self._pipelines)]
        items = [
            {
                "name": runs.pipeline.name,
                "version": runs.pipeline.version,
                "pipelineType": runs.pipeline.type,
                "executionMode": runs.pipeline.execution_mode,
                "created": runs.created,
                "updated": runs.updated,
            }
            for runs in everything
        ]
        return _page("pipelines", items, lambda item: item["name"], call.params)

    def get_pipeline_state(self, call: Call) -> Answer:
        """Where its executions are."""
        return views.pipeline_state(self._runs(call.params["name"]))

    def start_pipeline_execution(self, call: Call) -> Answer:
        """Start one; the trigger's type says whether an EventBridge rule did it."""
        params = call.params
        runs = self._runs(params["name"])
        variables = given_variables(runs.pipeline, params.get("variables", []))
        overrides = revision_overrides(runs.pipeline, params.get("sourceRevisions", []))
        execution = runs.start(
            start_trigger(call.caller_arn),
            variables,
            overrides,
            params.get("clientRequestToken"),
        )
        return {"pipelineExecutionId": execution.id}

    def stop_pipeline_execution(self, call: Call) -> Answer:
        """Let running actions end, or abandon them."""
        params = call.params
        runs, execution = self._execution(params)
        runs.stop(execution, abandon=bool(params.get("abandon")), reason=params.get("reason", ""))
        return {"pipelineExecutionId": execution.id}

    def get_pipeline_execution(self, call: Call) -> Answer:
        """Status, trigger, variables, revisions."""
        runs, execution = self._execution(call.params)
        with runs.lock:
            return {"pipelineExecution": views.pipeline_execution(execution)}

    def list_pipeline_executions(self, call: Call) -> Answer:
        """The newest first."""
        params = call.params
        runs = self._runs(params["pipelineName"])
        stage_name = params.get("filter", {}).get("succeededInStage", {}).get("stageName")
        if stage_name is not None:
            self._require_stage(runs, stage_name)
        with runs.lock:
            items = [
                views.execution_summary(execution)
                for execution in reversed(runs.executions)
                if stage_name is None or _succeeded_in(execution, stage_name)
            ]
        return _page(
            "pipelineExecutionSummaries", items, lambda item: item["pipelineExecutionId"], params
        )

    def list_action_executions(self, call: Call) -> Answer:
        """The newest first."""
        params = call.params
        runs = self._runs(params["pipelineName"])
        wanted = params.get("filter", {})
        latest = wanted.get("latestInPipelineExecution", {})
        execution_id = wanted.get("pipelineExecutionId") or latest.get("pipelineExecutionId")
        if execution_id is not None:
            self._execution({**params, "pipelineExecutionId": execution_id})
        only_latest = latest.get("startTimeRange") == "Latest"
        with runs.lock:
            found = [
                run
                for execution in runs.executions
                if execution_id in (None, execution.id)
                for run in execution.history
                if not only_latest or _is_latest(execution, run)
            ]
            found.sort(key=lambda run: run.started, reverse=True)
            items = [views.action_execution(run) for run in found]
        return _page(
            "actionExecutionDetails", items, lambda item: item["actionExecutionId"], params
        )

    def retry_stage_execution(self, call: Call) -> Answer:
        """Once more the failed actions, or all."""
        params = call.params
        runs = self._runs(params["pipelineName"])
        self._require_stage(runs, params["stageName"])
        execution = runs.execution(params["pipelineExecutionId"])
        if execution is None:
            raise AwsError(
                "NotLatestPipelineExecutionException",
                f"Pipeline '{runs.pipeline.name}' has no pipeline execution "
                f"{params['pipelineExecutionId']}",
            )
        retry_stage(runs, execution, params["stageName"], params["retryMode"])
        return {"pipelineExecutionId": execution.id}

    def rollback_stage(self, call: Call) -> Answer:
        """Back to what an earlier execution had in the stage."""
        params = call.params
        runs, target = self._execution(
            {**params, "pipelineExecutionId": params["targetPipelineExecutionId"]}
        )
        self._require_stage(runs, params["stageName"])
        execution = roll_back_stage(runs, params["stageName"], target, call.caller_arn)
        return {"pipelineExecutionId": execution.id}

    def disable_stage_transition(self, call: Call) -> None:
        """Close the way into a stage, or out of it."""
        runs, stage_name = self._transition(call.params)
        runs.set_transition(
            stage_name, enabled=False, by=call.caller_arn, reason=call.params["reason"]
        )

    def enable_stage_transition(self, call: Call) -> None:
        """Open it again; whoever waits goes in."""
        runs, stage_name = self._transition(call.params)
        runs.set_transition(stage_name, enabled=True, by=call.caller_arn)

    def put_approval_result(self, call: Call) -> Answer:
        """A person's answer; the caller's ARN is kept with it."""
        runs = self._runs(call.params["pipelineName"])
        put_approval_result(runs, call.params, call.caller_arn)
        return {"approvedAt": now()}

    def _hear(self, event: Event) -> None:
        """Start what a push starts; the bus calls it."""
        with self._lock:
            everything = list(self._pipelines.values())
        for runs in everything:
            start_by_event(runs, event.document)

    def _checked(self, declaration: Mapping[str, Any], version: int) -> Pipeline:
        pipeline = read_pipeline(declaration, version)
        check_pipeline(self._own, pipeline)
        return pipeline

    def _runs(self, name: str) -> PipelineRuns:
        with self._lock:
            runs = self._pipelines.get(name)
        if runs is None:
            raise AwsError(
                "PipelineNotFoundException",
                f"Account '{self._own.account}' does not have a pipeline with name '{name}'",
            )
        return runs

    def _execution(self, params: Mapping[str, Any]) -> tuple[PipelineRuns, Execution]:
        runs = self._runs(params["pipelineName"])
        execution = runs.execution(params["pipelineExecutionId"])
        if execution is None:
            raise AwsError(
                "PipelineExecutionNotFoundException",
                f"Pipeline '{runs.pipeline.name}' does not have a pipeline execution with ID "
                f"'{params['pipelineExecutionId']}'",
            )
        return runs, execution

    def _require_stage(self, runs: PipelineRuns, stage_name: str) -> None:
        if runs.pipeline.stage(stage_name) is None:
            raise AwsError(
                "StageNotFoundException",
                f"Pipeline '{runs.pipeline.name}' does not have a stage with name '{stage_name}'",
            )

    def _transition(self, params: Mapping[str, Any]) -> tuple[PipelineRuns, str]:
        """The pipeline, and the stage into which the transition leads."""
        runs = self._runs(params["pipelineName"])
        self._require_stage(runs, params["stageName"])
        if params["transitionType"] == "Inbound":
            return runs, params["stageName"]
        stages = runs.pipeline.stages
        following = runs.pipeline.index(params["stageName"]) + 1
        if following == len(stages):
            raise AwsError(
                "ValidationException",
                f"No transition leads out of the last stage, {params['stageName']}",
            )
        return runs, stages[following].name


def _is_latest(execution: Execution, run: ActionRun) -> bool:
    return execution.stages[run.stage_name].runs.get(run.action.name) is run


def _succeeded_in(execution: Execution, stage_name: str) -> bool:
    stage = execution.stages.get(stage_name)
    return stage is not None and stage.status == SUCCEEDED


def _page(
    member: str,
    items: list[dict[str, Any]],
    key: Callable[[Mapping[str, Any]], str],
    params: Mapping[str, Any],
) -> Answer:
    """A page of the list as CodePipeline gives it."""
    request = {}
    if "maxResults" in params:
        request["MaxResults"] = params["maxResults"]
    if "nextToken" in params:
        request["NextToken"] = params["nextToken"]
    try:
        page, more = page_of(items, key, request)
    except AwsError as err:
        raise AwsError("InvalidNextTokenException", err.message) from err
    answer: dict[str, Any] = {member: page}
    if more:
        answer["nextToken"] = more["NextToken"]
    return answer
