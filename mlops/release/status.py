"""`mlops status`: what serves, what the registry says of it, what waits, and the next step."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from typing import Any

from mlops.account import Account, open_account, say_which
from mlops.display import Display, print_json
from mlops.hints import as_typed
from mlops.platform.doctor.account_view import AccountView
from mlops.platform.doctor.patient import CannotLook
from mlops.platform.doctor.tracking import read_login, real_client
from mlops.project.executions import (
    ExecutionRecord,
    newest_execution_id,
    read_execution,
    waiting_approvals,
)
from mlops.project.pipeline_view import approval_json, as_json, read_on
from mlops.project.project_stack import ProjectStack, require_project
from mlops.project.watching import LogTails, explain_failures
from mlops.release.registry_report import read_endpoints, read_versions
from model_deploy.mlflow_pages import home_page

_MLFLOW_REFUSED = 3


def status(args: argparse.Namespace) -> int:
    """Print it; exit code 3 if MLflow did not answer, else 0."""
    account = open_account(args.region, args.profile)
    say_which(account)
    project = require_project(account, args.project)
    found = read_status(account, project)
    if args.json:
        print_json(found)
    else:
        show_status(found, Display())
    return _MLFLOW_REFUSED if found["problem"] else 0


def read_status(account: Account, project: ProjectStack) -> dict[str, Any]:
    """All of it as data. `problem` says why MLflow could not be asked; versions are none then."""
    names = [project.pipeline_name(unit) for unit in ("build", "deploy")]
    tails = LogTails(account)
    newest = [_newest(account, name) for name in names]
    records = [record and explain_failures(record, tails) for record in newest]
    # What waits need not be the newest execution: others may have been pushed after it.
    waiting = [each for name in names for each in waiting_approvals(account, name)]
    endpoints = read_endpoints(account.client("sagemaker"), project.name)
    models = sorted({row["model_name"] for row in endpoints if row["model_name"]})
    versions, problem = _versions(account, project, models)
    return {
        "project": project.name,
        "stack": {"name": project.stack.name, "status": project.stack.status},
        "mlflow": project.tracking_uri,
        "pipelines": [as_json(record) for record in records if record],
        "waiting": [approval_json(each) for each in waiting],
        "endpoints": endpoints,
        "versions": versions,
        "problem": problem,
        "next": "`mlops approve`, or `mlops reject --comment WHY`"
        if waiting
        else next_step(records, endpoints),
    }


def next_step(records: list[ExecutionRecord | None], endpoints: list[dict[str, Any]]) -> str:
    """The one command that fits what there is, where nothing waits."""
    build, deploy = records
    for unit, record in (("build", build), ("deploy", deploy)):
        if record and not record.ended:
            return f"mlops pipeline {unit}"
    prod = [row["name"] for row in endpoints if row["name"].endswith("-prod")]
    # A pipeline that has just been made ran once, in vain: there was no commit. Where `mlops train`
    # trained what is in prod, it has none yet.
    if not prod and (build is None or not build.commit):
        return "mlops push build"
    if build is not None and build.commit and build.status != "Succeeded":
        return "mlops pipeline build --once"
    if deploy is None or not deploy.commit:
        return "mlops push deploy"
    if deploy.status != "Succeeded":
        return "mlops pipeline deploy --once"
    return f"mlops invoke {prod[0]} --file rows.csv" if prod else "mlops push deploy"


def show_status(found: Mapping[str, Any], display: Display) -> None:
    """The same for a person."""
    stack = found["stack"]
    display.result(f"project {found['project']}  (stack {stack['name']} {stack['status']})")
    display.result(f"MLflow  {home_page(found['mlflow']) if found['mlflow'] else 'unknown'}\n")
    stages: dict[tuple[str | None, str], dict[str, Any]] = {
        (row["model"], row["version"]): row for row in found["versions"]
    }
    display.table(
        "endpoints",
        ["endpoint", "status", "model", "version", "stage in MLflow", "aliases"],
        [
            [
                row["name"],
                row["status"],
                row["model_name"] or "-",
                row["model_version"] or "-",
                known["stage"] if known else "unknown",
                ", ".join(known["aliases"]) if known else "-",
            ]
            for row in found["endpoints"]
            for known in [stages.get((row["model_name"], row["model_version"]))]
        ],
    )
    display.table(
        "newest executions",
        ["pipeline", "execution", "status", "commit", "message"],
        [
            [
                *(row["pipeline"], row["execution_id"][:8], row["status"]),
                *(row["commit"][:8], row["message"]),
            ]
            for row in found["pipelines"]
        ],
    )
    for row in found["pipelines"]:
        for line in _failures(row):
            display.result(line, style="red")
    for row in found["waiting"]:
        display.result(f"waits for you: {row['message']}", style="yellow")
        if row["link"]:
            display.result(f"  {row['link']}")
    if found["problem"]:
        display.warn(found["problem"])
    display.result(f"next: {as_typed(found['next'])}")


def _failures(row: Mapping[str, Any]) -> list[str]:
    """Why the execution failed, and the command to read on by; nothing of one that did not."""
    failed = [action for action in row["actions"] if action["status"] == "Failed"]
    return [
        f"{row['pipeline']} {action['stage']}/{action['action']} failed: {action['summary']}"
        f"{read_on(action['log'])}"
        for action in failed
    ]


def _newest(account: Account, pipeline_name: str) -> ExecutionRecord | None:
    identifier = newest_execution_id(account, pipeline_name)
    return read_execution(account, pipeline_name, identifier) if identifier else None


def _versions(
    account: Account, project: ProjectStack, models: list[str]
) -> tuple[list[dict[str, Any]], str]:
    if not models:
        return [], ""
    view = AccountView(session=account.session)
    try:
        login = read_login(view, {})
    except CannotLook as err:
        return [], err.finding.message
    from mlflow.exceptions import MlflowException

    try:
        with real_client(project.tracking_uri, login):
            return [
                {"model": model, **row}
                for model in models
                for row in read_versions(project.tracking_uri, model)
            ], ""
    except MlflowException as err:
        return [], f"MLflow at {project.tracking_uri} did not answer: {str(err).splitlines()[0]}"
