"""`mlops release`: name a version in deploy.json, push modelDeploy, follow it to prod.

deploy.json ─▶ push ─▶ Build, DeployStaging ─▶ asks for approval ─▶ DeployProd ─▶ prod serves it
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import replace
from pathlib import Path

from mlops.account import Account
from mlops.arguments import require_answer
from mlops.display import Display, print_json
from mlops.errors import CommandFailed, InputError, NotApproved
from mlops.project.approval import answer, describe
from mlops.project.executions import ExecutionRecord
from mlops.project.pipeline_view import as_json, change_lines
from mlops.project.project_stack import ProjectStack, project_of
from mlops.project.push import require_tree, start_unit
from mlops.project.watching import states_of

_DEPLOY_JSON = Path("model_deploy") / "deploy.json"


def release(args: argparse.Namespace) -> int:
    """Release it; raises CommandFailed with what failed, NotApproved where the answer is no."""
    tree = Path.cwd()
    require_tree(tree)
    require_answer(args.yes, "approve the deployment to prod")
    display = Display.of(args)
    account, project = project_of(args)
    _name_version(tree / _DEPLOY_JSON, args.model, args.version)
    message = f"Deploy {args.model} version {args.version}"
    pushed, execution_id = start_unit(account, project, "deploy", tree, message, again=True)
    assert execution_id is not None, "an unchanged tree is run again"
    display.say(f'{_DEPLOY_JSON}: commit {pushed.commit[:8]} "{pushed.message}"')
    record = _follow(account, project, execution_id, display)
    if record.approval is not None:
        for line in describe(record.approval):
            display.result(line)
        if not args.yes and not _ask():
            comment = "rejected in mlops release"
            answer(account, record.approval, approve=False, comment=comment)
            raise NotApproved("rejected: prod stays as it is, staging keeps the version")
        answer(account, record.approval, approve=True, comment="approved in mlops release")
        record = _follow(account, project, execution_id, display, record)
    if args.json:
        print_json(as_json(record))
    if record.status != "Succeeded":
        raise CommandFailed(_reason(record))
    display.say(f"next: `mlops invoke {project.name}-prod --file FILE`")
    return 0


def _name_version(path: Path, model: str, version: str) -> None:
    """Write the request; what was reviewed for this model stays, another model's goes."""
    try:
        before = json.loads(path.read_text())
    except (OSError, ValueError) as err:
        raise InputError(f"cannot read {path}: {err}") from err
    kept = before if isinstance(before, dict) and before.get("model_name") == model else {}
    document = {**kept, "model_name": model, "model_version": version}
    if document != before:
        path.write_text(json.dumps(document, indent=2, ensure_ascii=False) + "\n")


def _follow(
    account: Account,
    project: ProjectStack,
    execution_id: str,
    display: Display,
    before: ExecutionRecord | None = None,
) -> ExecutionRecord:
    """Tell each action; the execution when it has ended or waits for another approval."""
    answered = before.approval.token if before and before.approval else None
    record = before
    while record is None or not _at_rest(record, answered):
        for state in states_of(account, project.pipeline_name("deploy"), execution_id):
            for line in change_lines(record, replace(state, approval=None)):
                display.say(line)  # the question is put below
            record = state
    return record


def _at_rest(record: ExecutionRecord, answered: str | None) -> bool:
    """An answer takes a moment to be seen: the approval that was answered is none that waits."""
    waits = record.approval is not None and record.approval.token != answered
    return record.ended or waits


def _ask() -> bool:
    print("approve it? [y/N] ", end="", file=sys.stderr, flush=True)
    return sys.stdin.readline().strip().lower() in ("y", "yes")


def _reason(record: ExecutionRecord) -> str:
    failed = [action for action in record.actions if action.status == "Failed"]
    told = "; ".join(f"{each.stage}/{each.action}: {each.summary}" for each in failed)
    logs = [each.log for each in failed if each.log]
    return f"{record.pipeline} ended {record.status}: {told or record.status_summary}" + (
        f". `mlops logs {logs[0]}` has more" if logs else ""
    )
