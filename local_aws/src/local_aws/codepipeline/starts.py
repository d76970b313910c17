"""What starts executions, a call with variables and revisions or a push; what may be stopped."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from local_aws.codepipeline.actions.action import WantedRevision
from local_aws.codepipeline.definition import Pipeline
from local_aws.codepipeline.execution import STOPPING, Execution, Trigger
from local_aws.codepipeline.pipeline_runs import PipelineRuns
from local_aws.codepipeline.triggers import Push, source_started_by
from local_aws.errors import AwsError

_EVENTS_SESSION = re.compile(r":assumed-role/.+/events$")
_GIT_PROVIDERS = ("CodeCommit", "CodeStarSourceConnection")


def start_execution(
    runs: PipelineRuns,
    trigger: Trigger,
    variables: Mapping[str, str],
    wanted: Mapping[str, WantedRevision] | None = None,
    token: str | None = None,
) -> Execution:
    """A new execution, or the one that the token started."""
    with runs.lock:
        for execution in runs.executions:
            if token is not None and execution.client_token == token:
                return execution
        return runs.start(trigger, variables, wanted or {}, token)


def start_trigger(caller_arn: str) -> Trigger:
    """Why StartPipelineExecution was called: by a rule of EventBridge, or by somebody."""
    by_event = _EVENTS_SESSION.search(caller_arn) is not None
    return Trigger(
        type="CloudWatchEvent" if by_event else "StartPipelineExecution", detail=caller_arn
    )


def given_variables(pipeline: Pipeline, given: Iterable[Mapping[str, str]]) -> dict[str, str]:
    """The pipeline's variables with the values given for this execution; raises AwsError."""
    defaults = pipeline.variable_defaults()
    values = {variable["name"]: variable["value"] for variable in given}
    unknown = sorted(set(values) - set(defaults))
    if unknown:
        raise AwsError(
            "ValidationException",
            f"Pipeline {pipeline.name} declares no variable {', '.join(unknown)}; "
            f"it declares: {', '.join(defaults) or 'none'}",
        )
    merged = {**defaults, **values}
    missing = [name for name, value in merged.items() if value is None]
    if missing:
        raise AwsError(
            "ValidationException",
            f"Pipeline variables without a default value need one: {', '.join(missing)}",
        )
    return {name: value for name, value in merged.items() if value is not None}


def wanted_revisions(
    pipeline: Pipeline, revisions: Iterable[Mapping[str, str]]
) -> dict[str, WantedRevision]:
    """The commits asked for, by source action; raises AwsError."""
    wanted = {}
    for revision in revisions:
        action = pipeline.stages[0].action(revision["actionName"])
        if action is None or action.category != "Source":
            raise AwsError(
                "ValidationException",
                f"Pipeline {pipeline.name} has no source action {revision['actionName']}",
            )
        if revision["revisionType"] != "COMMIT_ID" or action.provider not in _GIT_PROVIDERS:
            raise AwsError(
                "ValidationException",
                "local_aws does not emulate the source revision "
                f"{revision['revisionType']} for a {action.provider} action; "
                f"it has COMMIT_ID for {', '.join(_GIT_PROVIDERS)}",
            )
        wanted[action.name] = WantedRevision(commit_id=revision["revisionValue"])
    return wanted


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
            _start(runs, trigger, {action.name: push.wanted()})
    elif _polls(pipeline, detail):
        _start(runs, Trigger(type="PollForSourceChanges", detail=""), {})


def _start(runs: PipelineRuns, trigger: Trigger, wanted: Mapping[str, WantedRevision]) -> None:
    start_execution(runs, trigger, given_variables(runs.pipeline, ()), wanted)


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
