"""What starts executions, a call or a push; what may be stopped."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from local_aws.codepipeline.actions.action import WantedRevision
from local_aws.codepipeline.definition import Pipeline
from local_aws.codepipeline.execution import STOPPING, Execution, Trigger
from local_aws.codepipeline.pipeline_runs import PipelineRuns
from local_aws.codepipeline.triggers import Push, source_started_by
from local_aws.errors import AwsError

_EVENTS_SESSION = re.compile(r":assumed-role/.+/events$")


def start_execution(
    runs: PipelineRuns,
    trigger: Trigger,
    wanted: Mapping[str, WantedRevision] | None = None,
    token: str | None = None,
) -> Execution:
    """A new execution, or the one that the token started."""
    with runs.lock:
        for execution in runs.executions:
            if token is not None and execution.client_token == token:
                return execution
        return runs.start(trigger, wanted or {}, token)


def start_trigger(caller_arn: str) -> Trigger:
    """Why StartPipelineExecution was called: by a rule of EventBridge, or by somebody."""
    by_event = _EVENTS_SESSION.search(caller_arn) is not None
    return Trigger(
        type="CloudWatchEvent" if by_event else "StartPipelineExecution", detail=caller_arn
    )


def start_by_event(runs: PipelineRuns, document: Mapping[str, Any]) -> None:
    """Start the pipeline if the event is a push that it listens to."""
    source, detail = document["source"], document["detail"]
    if source not in ("local.connection", "aws.codecommit") or not detail.get("commitId"):
        return
    pipeline = runs.pipeline
    if source == "local.connection":
        push = Push.from_detail(detail)
        action = source_started_by(pipeline, push)
        if action is not None:
            trigger = Trigger(type="WebhookV2", detail=action.configuration["ConnectionArn"])
            start_execution(runs, trigger, {action.name: push.wanted()})
    elif _polls(pipeline, detail):
        start_execution(runs, Trigger(type="PollForSourceChanges", detail=""))


def _polls(pipeline: Pipeline, detail: Mapping[str, Any]) -> bool:
    """Whether a source action looks for changes by itself; here it hears of them at once."""
    pushed = (detail.get("repositoryName"), detail.get("referenceType"))
    return any(
        action.provider == "CodeCommit"
        and action.configuration.get("PollForSourceChanges", "true").lower() != "false"
        and pushed == (action.configuration["RepositoryName"], "branch")
        and detail.get("referenceName") == action.configuration["BranchName"]
        for action in pipeline.stages[0].actions
    )


def stop_execution(runs: PipelineRuns, execution: Execution, *, abandon: bool, reason: str) -> None:
    """Stop it, now or after its running actions; raises AwsError if that can't be asked for."""
    with runs.lock:
        if execution.status == STOPPING and not abandon:
            raise AwsError(
                "DuplicatedStopRequestException",
                f"Pipeline execution {execution.id} is already in a Stopping state. "
                "To stop it now, abandon its actions.",
            )
        if execution.is_over:
            raise AwsError(
                "PipelineExecutionNotStoppableException",
                f"Pipeline execution {execution.id} cannot be stopped: "
                f"its status is {execution.status}",
            )
        runs.stop(execution, abandon=abandon, reason=reason)
