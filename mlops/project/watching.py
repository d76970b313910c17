"""A pipeline's execution as it changes, until it has ended or waits for a person."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import datetime

from botocore.exceptions import ClientError

from mlops.account import Account
from mlops.errors import CommandFailed
from mlops.platform.stack_events import reasons_until
from mlops.project.executions import (
    NOT_STARTED,
    ActionRecord,
    ExecutionRecord,
    newest_execution_id,
    read_execution,
)
from mlops.project.reasons import (
    in_one_line,
    sentence_of_build,
    sentence_of_summary,
    without_prefix,
)

POLL_SECONDS = 0.5
_LINES_SEARCHED = 1000


def watch(
    account: Account,
    pipeline_name: str,
    execution_id: str,
    on_change: Callable[[ActionRecord], None] = lambda _: None,
) -> ExecutionRecord:
    """Wait until the execution has ended or waits for approval; returns it as it is then.

    `on_change` gets each action when its status or what it says changes.
    """
    before: tuple[ActionRecord, ...] = ()
    for record in states_of(account, pipeline_name, execution_id):
        for action in changed_actions(before, record.actions):
            on_change(action)
        before = record.actions
    return record


def states_of(account: Account, pipeline_name: str, execution_id: str) -> Iterator[ExecutionRecord]:
    """The execution every half second; the last one has ended or waits for approval.

    What failed says why, as in `explain_failures`.
    """
    tails = LogTails(account)
    while True:
        record = explain_failures(read_execution(account, pipeline_name, execution_id), tails)
        yield record
        if record.at_rest:
            return
        time.sleep(POLL_SECONDS)


def explain_failures(record: ExecutionRecord, tails: LogTails) -> ExecutionRecord:
    """The same, but the summary of what failed is the sentence that says why.

    Of a build it is in its log, of a stack in its events; CodePipeline's own says which command it
    was, and how it exited.
    """
    return replace(
        record,
        actions=tuple(
            replace(action, summary=tails.reason(action)) if action.status == "Failed" else action
            for action in record.actions
        ),
    )


def changed_actions(
    before: tuple[ActionRecord, ...], after: tuple[ActionRecord, ...]
) -> list[ActionRecord]:
    """What has another status, summary or log in `after`, or has only now begun."""
    known = {(a.stage, a.action): _news(a) for a in before}
    return [
        action
        for action in after
        if _news(action) != known.get((action.stage, action.action), (NOT_STARTED, "", ""))
    ]


def _news(action: ActionRecord) -> tuple[str, str, str]:
    return action.status, action.summary, action.log


def wait_for_execution(
    account: Account, pipeline_name: str, after: str | None, seconds: float = 30.0
) -> str:
    """The id of the execution newer than `after`; raises CommandFailed if none starts in time."""
    deadline = time.monotonic() + seconds
    while True:
        newest = newest_execution_id(account, pipeline_name)
        if newest is not None and newest != after:
            return newest
        if time.monotonic() > deadline:
            raise CommandFailed(
                f"no execution of {pipeline_name} started within {seconds:.0f} s. Is its rule "
                "enabled (`aws events describe-rule --name NAME`), and the push on the branch it "
                "watches?"
            )
        time.sleep(POLL_SECONDS)


class LogTails:
    """What a build has printed last, and why what failed did."""

    def __init__(self, account: Account) -> None:
        self._account = account
        self._streams: dict[str, tuple[str, str]] = {}
        self._reasons: dict[tuple[str, datetime | None], str] = {}

    def last_line(self, action: ActionRecord) -> str:
        """The line; empty for what has no log, or has not printed yet."""
        return "".join(self.last_lines(action, 1))

    def last_lines(self, action: ActionRecord, count: int) -> list[str]:
        """At most `count` lines, without what CodeBuild puts before its own."""
        return [without_prefix(line) for line in self._lines(action, count)]

    def reason(self, action: ActionRecord) -> str:
        """Why the action failed, in one line."""
        summary = sentence_of_summary(action.summary)
        key = (action.external_id or action.log, action.changed)
        if not key[0]:
            return summary
        if not self._reasons.get(key):
            self._reasons[key] = self._find_reason(action)
        return self._reasons[key] or summary

    def _find_reason(self, action: ActionRecord) -> str:
        """Empty where neither log nor events tell, or may not be read."""
        if action.log:
            return sentence_of_build(self._lines(action, _LINES_SEARCHED))
        if action.provider != "CloudFormation":
            return ""
        try:
            cloudformation = self._account.client("cloudformation")
            reasons = reasons_until(cloudformation, action.external_id, action.changed)
        except ClientError:
            return ""
        return in_one_line("; ".join(reasons))

    def _lines(self, action: ActionRecord, count: int) -> list[str]:
        if not action.log:
            return []
        try:
            group, stream = self._stream_of(action.log)
            events = self._account.client("logs").get_log_events(
                logGroupName=group, logStreamName=stream, limit=count, startFromHead=False
            )["events"]
        except (ClientError, LookupError):
            return []  # the stream comes with the first line
        return [line for event in events for line in str(event["message"]).splitlines()]

    def _stream_of(self, build_id: str) -> tuple[str, str]:
        if build_id not in self._streams:
            answer = self._account.client("codebuild").batch_get_builds(ids=[build_id])
            logs = answer["builds"][0]["logs"]
            self._streams[build_id] = logs["groupName"], logs["streamName"]
        return self._streams[build_id]
