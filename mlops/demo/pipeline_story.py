"""One execution of a CodePipeline pipeline as a part of the story: a line for each action."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from mlops.account import Account
from mlops.demo.narration import Narrator, Step
from mlops.errors import CommandFailed, NotApproved
from mlops.project.approval import answer
from mlops.project.executions import ActionRecord, ExecutionRecord, read_execution
from mlops.project.watching import LogTails, changed_actions, states_of

_LINES_SHOWN = 20
_OVER = ("Succeeded", "Failed", "Abandoned")


def tell_execution(
    account: Account,
    narrator: Narrator,
    title: str,
    pipeline_name: str,
    execution_id: str,
    approve: Callable[[str], bool],
) -> float:
    """Follow it to its end, answering its approval with what `approve` says to the message.

    Returns the seconds. Raises NotApproved, or CommandFailed with what failed and its log's last
    lines.
    """
    tails = LogTails(account)
    seconds = 0.0
    before: tuple[ActionRecord, ...] = ()
    while True:
        with narrator.step(title) as step:
            for record in states_of(account, pipeline_name, execution_id):
                for action in changed_actions(before, record.actions):
                    if action.status in _OVER:
                        narrator.say(_line(action))
                before = record.actions
                _show_running(step, record, tails)
            step.result = "waits for approval" if record.approval else record.status
        seconds += step.seconds
        if record.approval is None:
            _require_success(record, tails)
            return seconds
        _decide(account, narrator, record, approve)
        title = f"{pipeline_name} goes on"


def execution_report(account: Account, pipeline_name: str, execution_id: str) -> dict[str, Any]:
    """The execution for demo.json, read back from CodePipeline."""
    record = read_execution(account, pipeline_name, execution_id)
    return {
        "name": record.pipeline,
        "execution_id": record.execution_id,
        "status": record.status,
        "trigger": record.trigger,
        "commit": record.commit,
        "actions": [
            {
                "stage": action.stage,
                "name": action.action,
                "status": action.status,
                "seconds": None if action.seconds is None else round(action.seconds, 1),
            }
            for action in record.actions
        ],
    }


def _line(action: ActionRecord) -> str:
    told = f": {action.summary}" if action.summary else ""
    return f"      {action.stage}/{action.action} {action.status} ({action.seconds:.1f} s){told}"


def _show_running(step: Step, record: ExecutionRecord, tails: LogTails) -> None:
    if step.live is None:  # nobody sees it
        return
    for action in record.actions:
        if action.status == "InProgress":
            step.progress(f"{action.stage}/{action.action} {tails.last_line(action)[:70]}")


def _decide(
    account: Account, narrator: Narrator, record: ExecutionRecord, approve: Callable[[str], bool]
) -> None:
    approval = record.approval
    assert approval is not None, "it waits"
    narrator.say(f"      {approval.message}")
    if approval.link:
        narrator.say(f"      {approval.link}")
    yes = approve("Approve?")
    comment = "answered in mlops demo"
    answer(account, approval, approve=yes, comment=comment)
    if not yes:
        raise NotApproved("rejected. Prod and the stage Production are as they were.")


def _require_success(record: ExecutionRecord, tails: LogTails) -> None:
    if record.status == "Succeeded":
        return
    failed = [action for action in record.actions if action.status in ("Failed", "Abandoned")]
    reasons = [f"{action.stage}/{action.action}: {action.summary}" for action in failed]
    lines = [line for action in failed for line in tails.last_lines(action, _LINES_SHOWN)]
    told = "; ".join(reasons) or record.status_summary
    raise CommandFailed("\n    ".join([f"{record.pipeline} ended {record.status}: {told}", *lines]))
