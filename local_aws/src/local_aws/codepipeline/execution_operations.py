"""The API's operations on executions: start, stop, look, retry, roll back, approve."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from local_aws.aws_protocol import Call
from local_aws.codepipeline import views
from local_aws.codepipeline.approvals import put_approval_result
from local_aws.codepipeline.execution import SUCCEEDED, ActionRun, Execution, now
from local_aws.codepipeline.pipeline_runs import PipelineRuns
from local_aws.codepipeline.registry import Registry
from local_aws.codepipeline.retry_and_rollback import retry_stage, roll_back_stage
from local_aws.codepipeline.starts import (
    start_execution,
    start_trigger,
    stop_execution,
)
from local_aws.errors import AwsError
from local_aws.gateway import Handler
from local_aws.pagination import page_of

Answer = Mapping[str, Any]

# CodePipeline's names for `page_of`.
PAGES = {
    "size": "maxResults",
    "following": "nextToken",
    "refusal": "InvalidNextTokenException",
}


class ExecutionOperations:
    """Handlers of calls about executions of the pipelines in the registry."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry

    def handlers(self) -> dict[str, Handler]:
        """By operation."""
        return {
            "StartPipelineExecution": self.start_pipeline_execution,
            "StopPipelineExecution": self.stop_pipeline_execution,
            "GetPipelineState": self.get_pipeline_state,
            "GetPipelineExecution": self.get_pipeline_execution,
            "ListPipelineExecutions": self.list_pipeline_executions,
            "ListActionExecutions": self.list_action_executions,
            "RetryStageExecution": self.retry_stage_execution,
            "RollbackStage": self.rollback_stage,
            "DisableStageTransition": self.disable_stage_transition,
            "EnableStageTransition": self.enable_stage_transition,
            "PutApprovalResult": self.put_approval_result,
        }

    def start_pipeline_execution(self, call: Call) -> Answer:
        """Start one; the trigger's type says whether an EventBridge rule did it."""
        params = call.params
        runs = self._registry.runs(params["name"])
        for member in ("variables", "sourceRevisions"):
            if params.get(member):
                raise AwsError("ValidationException", f"local_aws does not emulate {member}")
        execution = start_execution(
            runs,
            start_trigger(call.caller_arn),
            token=params.get("clientRequestToken"),
        )
        return {"pipelineExecutionId": execution.id}

    def stop_pipeline_execution(self, call: Call) -> Answer:
        """Let running actions end, or abandon them."""
        params = call.params
        runs, execution = self._registry.execution(params)
        abandon, reason = bool(params.get("abandon")), params.get("reason", "")
        stop_execution(runs, execution, abandon=abandon, reason=reason)
        return {"pipelineExecutionId": execution.id}

    def get_pipeline_state(self, call: Call) -> Answer:
        """Where its executions are."""
        return views.pipeline_state(self._registry.runs(call.params["name"]))

    def get_pipeline_execution(self, call: Call) -> Answer:
        """Status, trigger, variables, revisions."""
        runs, execution = self._registry.execution(call.params)
        with runs.lock:
            return {"pipelineExecution": views.pipeline_execution(execution)}

    def list_pipeline_executions(self, call: Call) -> Answer:
        """The newest first."""
        params = call.params
        stage_name = params.get("filter", {}).get("succeededInStage", {}).get("stageName")
        runs = self._registry.runs(params["pipelineName"])
        if stage_name is not None:
            self._registry.with_stage(params["pipelineName"], stage_name)
        with runs.lock:
            items = [
                views.execution_summary(execution)
                for execution in reversed(runs.executions)
                if stage_name is None or _succeeded_in(execution, stage_name)
            ]
        found, more = page_of(items, lambda item: str(item["pipelineExecutionId"]), params, **PAGES)
        return {"pipelineExecutionSummaries": found, **more}

    def list_action_executions(self, call: Call) -> Answer:
        """The newest first."""
        params = call.params
        runs = self._registry.runs(params["pipelineName"])
        wanted = params.get("filter", {})
        latest = wanted.get("latestInPipelineExecution", {})
        execution_id = wanted.get("pipelineExecutionId") or latest.get("pipelineExecutionId")
        if execution_id is not None:
            self._registry.execution_of(params["pipelineName"], execution_id)
        only_latest = latest.get("startTimeRange") == "Latest"
        with runs.lock:
            runs_found = [
                run
                for execution in runs.executions
                if execution_id in (None, execution.id)
                for run in execution.history
                if not only_latest or _is_latest(execution, run)
            ]
            runs_found.sort(key=lambda run: run.started, reverse=True)
            items = [views.action_execution(run) for run in runs_found]
        found, more = page_of(items, lambda item: str(item["actionExecutionId"]), params, **PAGES)
        return {"actionExecutionDetails": found, **more}

    def retry_stage_execution(self, call: Call) -> Answer:
        """Once more the failed actions, or all."""
        params = call.params
        runs = self._registry.with_stage(params["pipelineName"], params["stageName"])
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
        name, stage_name = params["pipelineName"], params["stageName"]
        self._registry.with_stage(name, stage_name)
        runs, target = self._registry.execution_of(name, params["targetPipelineExecutionId"])
        execution = roll_back_stage(runs, stage_name, target, call.caller_arn)
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
        runs = self._registry.runs(call.params["pipelineName"])
        put_approval_result(runs, call.params, call.caller_arn)
        return {"approvedAt": now()}

    def _transition(self, params: Mapping[str, Any]) -> tuple[PipelineRuns, str]:
        """The pipeline, and the stage into which the transition leads."""
        runs = self._registry.with_stage(params["pipelineName"], params["stageName"])
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
