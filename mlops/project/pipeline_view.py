"""What `mlops pipeline` shows: both pipelines on a terminal, or a line for each change."""

from __future__ import annotations

import contextlib
import dataclasses
import time
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from mlops.account import Account
from mlops.hints import as_typed
from mlops.project.executions import (
    NOT_STARTED,
    ActionRecord,
    Approval,
    ExecutionRecord,
    last_seconds,
    newest_execution_id,
    read_execution,
)
from mlops.project.watching import (
    POLL_SECONDS,
    LogTails,
    changed_actions,
    explain_failures,
)

_MARKS = {
    "Succeeded": ("✔", "green"),
    "Failed": ("✘", "red"),
    "Abandoned": ("✘", "yellow"),
    "InProgress": ("▶", "cyan"),
    NOT_STARTED: ("·", "dim"),
}
_BAD = ("Failed", "Stopped", "Superseded", "Cancelled")
_SHORT_ID = 8


def show_pipelines(
    account: Account, names: Sequence[str], console: Console, *, follow: bool
) -> list[ExecutionRecord]:
    """Show the newest execution of each, and go on with `follow` until all are at rest.

    Returns them as they are then; a pipeline that never ran has none. Ctrl-C leaves them running.
    """
    records: list[ExecutionRecord] = []
    live = console.is_terminal and not console.quiet
    tails = LogTails(account)
    usual = _Usual(account)
    with Live(console=console, auto_refresh=False) if live else contextlib.nullcontext() as screen:
        while True:
            before = {record.pipeline: record for record in records}
            records = [explain_failures(record, tails) for record in _newest(account, names)]
            if screen is not None:
                screen.update(render(records, tails.last_line, usual.seconds), refresh=True)
            for record in records if screen is None else ():
                for line in change_lines(before.get(record.pipeline), record, usual.seconds):
                    console.print(line, markup=False)
            if not follow or all(record.at_rest for record in records):
                break
            time.sleep(POLL_SECONDS)
    for name in sorted(set(names) - {record.pipeline for record in records}):
        console.print(f"{name}  has not run yet; a push starts it")
    return records


class _Usual:
    """How long actions took when they last succeeded; each pipeline is asked for once."""

    def __init__(self, account: Account) -> None:
        self._account = account
        self._found: dict[str, dict[tuple[str, str], float]] = {}

    def seconds(self, record: ExecutionRecord, action: ActionRecord) -> float | None:
        """None for what never succeeded, and for a person's answer, which takes its time."""
        if action.provider == "Manual":
            return None
        if record.pipeline not in self._found:
            self._found[record.pipeline] = last_seconds(self._account, record.pipeline)
        return self._found[record.pipeline].get((action.stage, action.action))


Usual = Callable[[ExecutionRecord, ActionRecord], float | None]


def _newest(account: Account, names: Sequence[str]) -> list[ExecutionRecord]:
    identifiers = {name: newest_execution_id(account, name) for name in names}
    return [read_execution(account, name, each) for name, each in identifiers.items() if each]


def render(
    records: Sequence[ExecutionRecord],
    last_line: Callable[[ActionRecord], str],
    usual: Usual = lambda *_: None,
) -> RenderableType:
    """Each execution with its actions; `last_line` gives what a running one printed last.

    `usual` is how long an action took the last time, if that is known.
    """
    parts: list[RenderableType] = []
    for record in records:
        parts.append(Text(headline(record), style="bold"))
        table = Table.grid(padding=(0, 2))
        for _ in range(4):
            table.add_column(no_wrap=True)
        table.add_column(overflow="fold")
        stage = ""
        for action in record.actions:
            mark, style = _MARKS.get(action.status, ("?", ""))
            table.add_row(
                f"  {action.stage if action.stage != stage else ''}",
                Text(f"{mark} {action.action}", style=style),
                _status(record, action),
                _seconds(action) + _as_last_time(record, action, usual),
                _told(action, last_line),
            )
            stage = action.stage
        parts.append(table)
        parts.extend(Text(f"  {line}", style="yellow") for line in approval_lines(record))
        parts.append(Text(""))
    return Group(*parts)


def change_lines(
    before: ExecutionRecord | None, after: ExecutionRecord, usual: Usual = lambda *_: None
) -> list[str]:
    """A line for each thing that is new: the execution, an action's status, an approval, the end.

    For output that isn't a terminal.
    """
    now = f"{datetime.now().astimezone():%H:%M:%S}"
    known = before if before and before.execution_id == after.execution_id else None
    lines = [] if known else [headline(after)]
    for action in changed_actions(known.actions if known else (), after.actions):
        lines.append(
            f"{action.stage}/{action.action} {_status(after, action)}"
            + (f" {_seconds(action)}" if action.status != "InProgress" else "")
            + _as_last_time(after, action, usual)
            + (f": {action.summary}" if action.summary else "")
            + _log_hint(action)
        )
    if after.approval and not (known and known.approval):
        lines.extend(approval_lines(after))
    if known and after.ended and not known.ended:
        lines.append(f"{after.pipeline} {_short(after)} {_outcome(after)}")
    return [f"{now}  {line}" for line in lines]


def headline(record: ExecutionRecord) -> str:
    """Pipeline, execution, status, trigger and commit in a line."""
    commit = f"commit {record.commit[:_SHORT_ID]}" if record.commit else ""
    message = f'"{record.message}"' if record.message else ""
    parts = [_short(record), _outcome(record), record.trigger, " ".join([commit, message]).strip()]
    return f"{record.pipeline}  " + "  ".join(part for part in parts if part)


def approval_lines(record: ExecutionRecord) -> list[str]:
    """What waits for a person, and how to answer; nothing if nothing waits."""
    approval = record.approval
    if approval is None:
        return []
    return [
        f"{approval.stage}/{approval.action} waits for you: {approval.message}",
        *([approval.link] if approval.link else []),
        as_typed("answer with `mlops approve` or `mlops reject --comment TEXT`"),
    ]


def as_json(record: ExecutionRecord) -> dict[str, Any]:
    """The record without the approval's token, which isn't for the screen."""
    document = dataclasses.asdict(record)
    for action in document["actions"]:
        del action["changed"]
    document["approval"] = record.approval and approval_json(record.approval)
    return document


def approval_json(approval: Approval) -> dict[str, Any]:
    """What waits, without the token that answers it."""
    return {name: value for name, value in dataclasses.asdict(approval).items() if name != "token"}


def read_on(log: str) -> str:
    """The command that shows the whole log, to put behind what is told of it."""
    return as_typed(f"  (`mlops logs {log}`)") if log else ""


def exit_code(records: Sequence[ExecutionRecord]) -> int:
    """1 if an execution ended badly, else 0."""
    return 1 if any(record.status in _BAD for record in records) else 0


def _short(record: ExecutionRecord) -> str:
    return record.execution_id[:_SHORT_ID]


def _outcome(record: ExecutionRecord) -> str:
    return record.status + (f" ({record.status_summary})" if record.status_summary else "")


def _status(record: ExecutionRecord, action: ActionRecord) -> str:
    approval = record.approval
    if approval and (approval.stage, approval.action) == (action.stage, action.action):
        return "waits for approval"
    return action.status if action.status != NOT_STARTED else ""


def _seconds(action: ActionRecord) -> str:
    return "" if action.seconds is None else f"{action.seconds:.1f} s"


def _as_last_time(record: ExecutionRecord, action: ActionRecord, usual: Usual) -> str:
    """An estimate for what runs; nothing is made up where there is no history."""
    seconds = usual(record, action) if action.status == "InProgress" else None
    if seconds is None:
        return ""
    about = f"{seconds:.0f} s" if seconds < 100 else f"{seconds / 60:.0f} min"
    return f" of about {about}, as last time"


def _told(action: ActionRecord, last_line: Callable[[ActionRecord], str]) -> Text:
    if action.status == "InProgress":
        line = last_line(action) or action.summary
        return Text(line, style="dim", no_wrap=True, overflow="ellipsis")
    return Text(action.summary + _log_hint(action))


def _log_hint(action: ActionRecord) -> str:
    return read_on(action.log) if action.status != "Succeeded" else ""
