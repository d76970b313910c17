"""What one execution of a CodePipeline pipeline has done so far, action by action.

From GetPipelineState (order of the actions, tokens), GetPipelineExecution (trigger, commit, status)
and ListActionExecutions (times, results): what the console shows too.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from mlops.account import Account

NOT_STARTED = "NotStarted"
ENDED = ("Succeeded", "Failed", "Stopped", "Superseded", "Cancelled")


@dataclass(frozen=True, kw_only=True)
class ActionRecord:
    """One action of an execution.

    `status` is CodePipeline's, or NotStarted; `seconds` is None before its start; `log` is what
    `mlops logs` takes, empty where the action has no log; `changed` is when it last changed.
    """

    stage: str
    action: str
    provider: str = ""
    status: str = NOT_STARTED
    seconds: float | None = None
    summary: str = ""
    external_id: str = ""
    log: str = ""
    changed: datetime | None = None


@dataclass(frozen=True, kw_only=True)
class Approval:
    """A manual approval that waits; `token` is what answers it."""

    pipeline: str
    stage: str
    action: str
    execution_id: str
    token: str
    message: str
    link: str


@dataclass(frozen=True, kw_only=True)
class ExecutionRecord:
    """One execution of a pipeline; `approval` is there while it waits for a person."""

    pipeline: str
    execution_id: str
    status: str
    status_summary: str
    trigger: str
    commit: str
    message: str
    actions: tuple[ActionRecord, ...]
    approval: Approval | None

    @property
    def ended(self) -> bool:
        """Nothing of it goes on."""
        return self.status in ENDED

    @property
    def at_rest(self) -> bool:
        """It has ended, or goes on only when a person answers."""
        return self.ended or self.approval is not None


def read_execution(account: Account, pipeline_name: str, execution_id: str) -> ExecutionRecord:
    """The execution as it is now; ClientError if there is no such pipeline or execution."""
    codepipeline = account.client("codepipeline")
    # The execution first: what it says has happened is then in the other two answers.
    execution = codepipeline.get_pipeline_execution(
        pipelineName=pipeline_name, pipelineExecutionId=execution_id
    )["pipelineExecution"]
    state = codepipeline.get_pipeline_state(name=pipeline_name)
    pages = codepipeline.get_paginator("list_action_executions").paginate(
        pipelineName=pipeline_name, filter={"pipelineExecutionId": execution_id}
    )
    details: dict[tuple[str, str], dict[str, Any]] = {}
    for page in pages:
        for detail in page["actionExecutionDetails"]:  # newest first: a retried action has several
            details.setdefault((detail["stageName"], detail["actionName"]), detail)
    actions = tuple(
        _action(stage, action, details.get((stage, action)))
        for stage, action, _ in _actions_of(state)
    )
    commit, message = _revision(execution)
    return ExecutionRecord(
        pipeline=pipeline_name,
        execution_id=execution_id,
        status=execution["status"],
        status_summary=execution.get("statusSummary", ""),
        trigger=_trigger(execution.get("trigger", {})),
        commit=commit,
        message=message,
        actions=actions,
        approval=_approval(pipeline_name, execution_id, state, details),
    )


def newest_execution_id(account: Account, pipeline_name: str) -> str | None:
    """The id of the execution that started last; None if the pipeline never ran."""
    summaries = account.client("codepipeline").list_pipeline_executions(
        pipelineName=pipeline_name, maxResults=1
    )["pipelineExecutionSummaries"]
    return str(summaries[0]["pipelineExecutionId"]) if summaries else None


def last_seconds(account: Account, pipeline_name: str) -> dict[tuple[str, str], float]:
    """How long each action (stage, name) took when it last succeeded; of those that ever did."""
    newest_first = account.client("codepipeline").list_action_executions(
        pipelineName=pipeline_name, maxResults=100
    )["actionExecutionDetails"]
    found: dict[tuple[str, str], float] = {}
    for detail in newest_first:
        if detail["status"] == "Succeeded":
            took = (detail["lastUpdateTime"] - detail["startTime"]).total_seconds()
            found.setdefault((detail["stageName"], detail["actionName"]), took)
    return found


def waiting_approvals(account: Account, pipeline_name: str) -> list[Approval]:
    """The approvals of the pipeline that wait for an answer, whichever execution they hold up."""
    state = account.client("codepipeline").get_pipeline_state(name=pipeline_name)
    identifiers = [
        stage["latestExecution"]["pipelineExecutionId"]
        for stage in state["stageStates"]
        if any(_token(action) for action in stage.get("actionStates", ()))
    ]
    records = (read_execution(account, pipeline_name, each) for each in identifiers)
    return [record.approval for record in records if record.approval is not None]


def _actions_of(state: Mapping[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for stage in state["stageStates"]:
        for action in stage.get("actionStates", ()):
            yield stage["stageName"], action["actionName"], action


def _action(stage: str, action: str, detail: Mapping[str, Any] | None) -> ActionRecord:
    if detail is None:
        return ActionRecord(stage=stage, action=action)
    result = detail.get("output", {}).get("executionResult", {})
    error = result.get("errorDetails", {}).get("message", "")
    running = detail["status"] == "InProgress"
    end = datetime.now(UTC) if running else detail["lastUpdateTime"]
    provider = detail.get("input", {}).get("actionTypeId", {}).get("provider", "")
    external_id = result.get("externalExecutionId", "")
    return ActionRecord(
        stage=stage,
        action=action,
        provider=provider,
        status=detail["status"],
        seconds=max(0.0, (end - detail["startTime"]).total_seconds()),
        summary=error or result.get("externalExecutionSummary", ""),
        external_id=external_id,
        log=external_id if provider == "CodeBuild" else "",
        changed=detail.get("lastUpdateTime"),
    )


def _approval(
    pipeline_name: str,
    execution_id: str,
    state: Mapping[str, Any],
    details: Mapping[tuple[str, str], Mapping[str, Any]],
) -> Approval | None:
    for stage, action, action_state in _actions_of(state):
        detail = details.get((stage, action))
        token = _token(action_state)
        if token and detail is not None and detail["status"] == "InProgress":
            given = detail.get("input", {})
            configuration = given.get("resolvedConfiguration") or given.get("configuration", {})
            return Approval(
                pipeline=pipeline_name,
                stage=stage,
                action=action,
                execution_id=execution_id,
                token=token,
                message=configuration.get("CustomData", ""),
                link=configuration.get("ExternalEntityLink", ""),
            )
    return None


def _token(action_state: Mapping[str, Any]) -> str:
    latest = action_state.get("latestExecution", {})
    return str(latest.get("token", "")) if latest.get("status") == "InProgress" else ""


def _trigger(trigger: Mapping[str, str]) -> str:
    """What started it, and who where that is a person or a rule, for a person."""
    detail = trigger.get("triggerDetail", "")
    known = any(kind in detail for kind in (":user/", ":rule/"))
    who = detail.rpartition("/")[2] if known else ""
    kind = {
        "CloudWatchEvent": "event",
        "StartPipelineExecution": "started",
        "WebhookV2": "push",
        "CreatePipeline": "created",
    }.get(trigger.get("triggerType", ""), trigger.get("triggerType", "unknown"))
    return f"{kind} by {who}" if who else kind


def _revision(execution: Mapping[str, Any]) -> tuple[str, str]:
    """Commit id and the first line of its message; a Git connection's summary is JSON."""
    for revision in execution.get("artifactRevisions", ()):
        summary = str(revision.get("revisionSummary", ""))
        with contextlib.suppress(ValueError, AttributeError):
            summary = json.loads(summary).get("CommitMessage", summary)
        return revision.get("revisionId", ""), next(iter(summary.splitlines()), "")
    return "", ""
