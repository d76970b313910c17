"""PutApprovalResult: a person's answer reaches the action that waits for it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from local_aws.codepipeline.actions.action import Approval
from local_aws.codepipeline.execution import IN_PROGRESS, ActionRun
from local_aws.codepipeline.pipeline_runs import PipelineRuns
from local_aws.errors import AwsError


def put_approval_result(runs: PipelineRuns, params: Mapping[str, Any], caller_arn: str) -> None:
    """Give the answer to the approval with the token; raises AwsError if none waits for it."""
    stage_name, action_name = params["stageName"], params["actionName"]
    with runs.lock:
        stage = runs.pipeline.stage(stage_name)
        if stage is None:
            raise AwsError(
                "StageNotFoundException",
                f"Pipeline '{runs.pipeline.name}' does not have a stage with name '{stage_name}'",
            )
        action = stage.action(action_name)
        if action is None or action.category != "Approval":
            raise AwsError(
                "ActionNotFoundException",
                f"Stage '{stage_name}' does not have an approval action with name '{action_name}'",
            )
        run = _asked(runs, stage_name, action_name, params["token"])
        approval = Approval(
            approved=params["result"]["status"] == "Approved",
            summary=params["result"]["summary"],
            caller_arn=caller_arn,
        )
        if run.status != IN_PROGRESS or not run.approval.answer(approval):
            if run.updated_by or run.status == IN_PROGRESS:
                raise AwsError(
                    "ApprovalAlreadyCompletedException",
                    f"Approval action {action_name} was already answered"
                    + (f" by {run.updated_by}" if run.updated_by else ""),
                )
            raise AwsError(
                "InvalidApprovalTokenException",
                f"The approval request of action {action_name} has expired or was abandoned",
            )


def _asked(runs: PipelineRuns, stage_name: str, action_name: str, token: str) -> ActionRun:
    for execution in runs.executions:
        for run in execution.history:
            if (run.stage_name, run.action.name, run.token) == (stage_name, action_name, token):
                return run
    raise AwsError(
        "InvalidApprovalTokenException",
        f"No approval of action {action_name} in stage {stage_name} has this token; "
        "GetPipelineState shows the current one",
    )
