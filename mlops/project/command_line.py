"""The arguments of the project's commands, and what each of them prints."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from local_aws.errors import UsageError
from local_aws.state import StateFolder

AddCommand = Callable[[str, Callable[[argparse.Namespace], int], str, str], argparse.ArgumentParser]


def add_project_commands(add: AddCommand) -> None:
    """Add them with `add(name, function, help text, what Ctrl-C leaves as it is)`."""
    deploy = add(
        "deploy",
        _deploy,
        "put the project up: repositories, pipelines, roles, bucket (infra/project/project.yml)",
        "the stack goes on without you; `local-aws status` shows it",
    )
    deploy.add_argument(
        "--schedule", metavar="EXPR", help="train again then, such as 'cron(0 3 ? * MON *)'"
    )
    deploy.add_argument("--timezone", metavar="TZ", help="of the schedule, such as Europe/Paris")
    deploy.add_argument("--email", metavar="ADDRESS", help="told of approvals and failures")
    deploy.add_argument(
        "--seed", action="store_true", help="let both repositories begin with a first commit"
    )
    deploy.add_argument(
        *("--connection", "-c"),
        action="append",
        default=[],
        metavar="OWNER/NAME",
        help="a repository behind a Git connection in place of CodeCommit; twice for one each",
    )
    deploy.add_argument(
        "--parameter", action="append", default=[], metavar="NAME=VALUE", help="of the template"
    )
    push = add(
        "push",
        _push,
        "commit the working tree's unit on top of its repository's main branch, and push",
        "look with `mlops pipeline` whether the push had arrived",
    )
    push.add_argument("unit", choices=["build", "deploy"])
    push.add_argument("-m", "--message", help="of the commit")
    push.add_argument(
        "--again", action="store_true", help="if nothing changed, run the last commit again"
    )
    pipeline = add(
        "pipeline",
        _pipeline,
        "both pipelines, action by action",
        "the pipelines run on; `mlops pipeline` shows them again",
    )
    pipeline.add_argument(
        "unit", nargs="?", choices=["build", "deploy"], help="one of them (default: both)"
    )
    how = pipeline.add_mutually_exclusive_group()
    how.add_argument(
        "--follow",
        action="store_true",
        help="go on until they have ended or wait for approval (default on a terminal)",
    )
    how.add_argument(
        "--once", action="store_true", help="show them as they are (default elsewhere)"
    )
    pipeline.add_argument("--json", action="store_true", help="print JSON, at the end")
    for name, text in (
        ("approve", "let the deployment that waits go to prod"),
        ("reject", "stop the deployment that waits; prod stays as it is"),
    ):
        command = add(
            name, _approve if name == "approve" else _reject, text, "nothing was answered"
        )
        command.add_argument(
            "--comment",
            required=name == "reject",
            default="",
            metavar="TEXT",
            help="kept with the answer",
        )
        command.add_argument("--yes", action="store_true", help="do not ask")
    schedule = add(
        "schedule",
        _schedule,
        "when the model is trained again by itself; shows it, or sets it",
        "a change of the stack goes on; `mlops schedule` shows what came of it",
    )
    schedule.add_argument(
        "expression",
        nargs="?",
        metavar="EXPR",
        help="'cron(0 3 ? * MON *)', 'rate(1 day)' or 'at(2027-01-31T03:00:00)'",
    )
    schedule.add_argument("--timezone", metavar="TZ", help="such as Europe/Paris (default: UTC)")
    schedule.add_argument("--off", action="store_true", help="never by itself")
    schedule.add_argument("--run-now", action="store_true", help="do now what the schedule does")


def _deploy(arguments: argparse.Namespace) -> int:
    from rich.console import Console

    from mlops.project.deployment import DeploymentOptions, deploy_project, parse_parameters
    from mlops.project.deployment_view import DeploymentView
    from mlops.project.project_stack import require_project_stack, stack_name_of

    options = DeploymentOptions(
        schedule=arguments.schedule,
        timezone=arguments.timezone,
        email=arguments.email,
        seed=arguments.seed,
        connection=tuple(arguments.connection),
        parameters=parse_parameters(arguments.parameter),
    )
    clients = _clients(arguments)
    name = stack_name_of(clients.environment)
    view = DeploymentView(Console(stderr=True, highlight=False, soft_wrap=True), name)
    with view.shown():
        outcome = deploy_project(clients, Path.cwd(), options, view.begin, view.event)
    stack = require_project_stack(clients)
    StateFolder(arguments.state_dir).update_environment(stack.environment)
    print(f"{name}: {'deployed' if outcome.changed else 'no changes'}")
    for unit in ("build", "deploy"):
        print(f"  {unit:<6}  {stack.clone_url(unit, clients.environment['AWS_ENDPOINT_URL'])}")
        print(f"          pipeline {stack.pipeline_name(unit)}")
    print(f"  bucket  {stack.outputs['ArtifactBucketName']}")
    if outcome.changed and not options.seed:
        print("a push starts a pipeline: `mlops push build`, then `mlops pipeline`")
    if not stack.environment.items() <= clients.environment.items():
        print('bucket and roles are new: eval "$(local-aws env)" again in open shells')
    return 0


def _push(arguments: argparse.Namespace) -> int:
    from mlops.project.executions import newest_execution_id
    from mlops.project.project_stack import require_project_stack
    from mlops.project.push import push_unit
    from mlops.project.watching import wait_for_execution

    clients = _clients(arguments)
    stack = require_project_stack(clients)
    pipeline = stack.pipeline_name(arguments.unit)
    before = newest_execution_id(clients, pipeline)
    pushed = push_unit(clients, stack, arguments.unit, Path.cwd(), arguments.message)
    commit = f'commit {pushed.commit[:8]} "{pushed.message}"'
    if pushed.new:
        print(f"pushed {commit}")
        execution = wait_for_execution(clients, pipeline, before)
    elif arguments.again:
        print(f"nothing changed since {commit}")
        execution = clients("codepipeline").start_pipeline_execution(name=pipeline)[
            "pipelineExecutionId"
        ]
    else:
        print(f"nothing changed since {commit}: nothing pushed. --again runs it again.")
        return 0
    print(f"started {pipeline} {execution}; `mlops pipeline` shows it")
    return 0


def _pipeline(arguments: argparse.Namespace) -> int:
    from rich.console import Console

    from mlops.project.pipeline_view import as_json, exit_code, show_pipelines
    from mlops.project.project_stack import require_project_stack

    clients = _clients(arguments)
    stack = require_project_stack(clients)
    units = [arguments.unit] if arguments.unit else ["build", "deploy"]
    names = [stack.pipeline_name(unit) for unit in units]
    follow = arguments.follow or (sys.stdout.isatty() and not arguments.once)
    console = Console(highlight=False, soft_wrap=not sys.stdout.isatty(), quiet=arguments.json)
    records = show_pipelines(clients, names, console, follow=follow)
    if arguments.json:
        print(json.dumps([as_json(record) for record in records], indent=2))
    return exit_code(records)


def _approve(arguments: argparse.Namespace) -> int:
    return _answer(arguments, approve=True)


def _reject(arguments: argparse.Namespace) -> int:
    if not arguments.comment.strip():
        raise UsageError("--comment is empty. Say why: who pushed will read it.")
    return _answer(arguments, approve=False)


def _answer(arguments: argparse.Namespace, *, approve: bool) -> int:
    from mlops.project.approval import answer, describe, find_approval
    from mlops.project.project_stack import require_project_stack

    clients = _clients(arguments)
    stack = require_project_stack(clients)
    names = [stack.pipeline_name(unit) for unit in ("deploy", "build")]
    approval = find_approval(clients, names)
    print("\n".join(describe(approval)))
    if not arguments.yes:
        verb = "approve" if approve else "reject"
        if not sys.stdin.isatty():
            raise UsageError(f"there is no terminal to ask on. Pass --yes to {verb} it.")
        if input(f"{verb} it? [y/N] ").strip().lower() not in ("y", "yes"):
            print("nothing was answered; it goes on waiting")
            return 1
    answer(clients, approval, approve=approve, comment=arguments.comment)
    print("approved; `mlops pipeline` shows how it goes on" if approve else "rejected")
    return 0


def _schedule(arguments: argparse.Namespace) -> int:
    from mlops.project.schedule import run_now, set_schedule, show_schedule

    if arguments.off and (arguments.expression or arguments.timezone):
        raise UsageError("--off goes with neither an expression nor --timezone.")
    clients = _clients(arguments)
    if arguments.off or arguments.expression or arguments.timezone:
        expression = "" if arguments.off else arguments.expression
        set_schedule(clients, expression, arguments.timezone)
    if arguments.run_now:
        print(f"started {run_now(clients)}")
    print("\n".join(show_schedule(clients)))
    return 0


def _clients(arguments: argparse.Namespace) -> Any:
    from mlops.project.clients import Clients

    return Clients(StateFolder(arguments.state_dir).require_running().environment)
