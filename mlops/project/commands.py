"""What the commands for a project and its pipelines do when they are called."""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import json
import shlex
import sys
from pathlib import Path

from botocore.exceptions import ClientError
from rich.console import Console

from mlops.account import Account, error_message, open_account, say_which
from mlops.arguments import require_answer
from mlops.display import Display, print_json
from mlops.errors import CommandFailed, InputError, NotApproved
from mlops.hints import as_typed
from mlops.platform.commands import deploy_platform
from mlops.platform.deployment import DeployOptions
from mlops.platform.settings import read_settings, size_file
from mlops.platform.stacks import LAPTOP, find_stack
from mlops.project import logs as log_reader
from mlops.project import schedule as schedules
from mlops.project.approval import answer, describe, find_approval
from mlops.project.deployment import ProjectOptions, deploy_project, parse_parameters, stack_of
from mlops.project.pipeline_view import as_json, exit_code, show_pipelines
from mlops.project.project_stack import (
    ProjectStack,
    program_environment,
    project_of,
    require_project,
)
from mlops.project.push import start_unit

_MODEL_ERROR = "ModelError"


def deploy(args: argparse.Namespace) -> int:
    """`mlops project deploy`."""
    display = Display.of(args)
    if not args.dry_run:
        require_answer(args.yes, "make the changes unasked; --dry-run shows them")
    options = ProjectOptions(
        schedule=args.schedule,
        timezone=args.timezone,
        email=args.email,
        seed=args.seed,
        connection=args.connection,
        parameters=parse_parameters(args.parameter),
    )
    how = DeployOptions(
        dry_run=args.dry_run,
        yes=args.yes,
        accept_data_loss=args.accept_data_loss,
        template_bucket=args.template_bucket,
    )
    account = _account(args)
    name = args.name or args.project
    if account.is_local and not args.dry_run:
        _ensure_laptop(account, how, display)
    project, changed = deploy_project(account, name, options, how, display)
    if args.json:
        print_json({"changed": changed, "project": project and _as_json(project)})
        return 0
    if project is None or args.dry_run:
        return 0
    for unit in ("build", "deploy"):
        where = project.clone_url(unit) or project.repository(unit)
        display.result(f"  {unit:<6}  {where}\n          pipeline {project.pipeline_name(unit)}")
    display.result(f"  bucket  {project.outputs['ArtifactBucketName']}")
    if changed and not options.seed:
        display.say(
            "next: mlops train TABLE --target COLUMN; or `mlops push build`, then `mlops pipeline`"
        )
    return 0


def _ensure_laptop(account: Account, how: DeployOptions, display: Display) -> None:
    """On this machine there is one platform only, which costs nothing: put it up if it is not."""
    if find_stack(account.client("cloudformation"), LAPTOP.name) is None:
        display.say("first the platform: `mlops platform deploy --size laptop`")
        settings = read_settings(size_file(LAPTOP.key))
        deploy_platform(account, settings, [LAPTOP.key], how, display)


def environment(args: argparse.Namespace) -> int:
    """`mlops project env`."""
    account = _account(args)
    variables = program_environment(account, require_project(account, args.project))
    if args.json:
        print_json(variables)
    for name, value in () if args.json else sorted(variables.items()):
        print(f"export {name}={shlex.quote(value)}")
    return 0


def push(args: argparse.Namespace) -> int:
    """`mlops push`."""
    account, project = project_of(args)
    pipeline_name = project.pipeline_name(args.unit)
    pushed, execution = start_unit(
        account, project, args.unit, Path.cwd(), args.message, again=args.again
    )
    commit = f'commit {pushed.commit[:8]} "{pushed.message}"'
    say = sys.stderr if args.json else sys.stdout
    if pushed.new:
        print(f"pushed {commit}", file=say)
    elif execution:
        print(f"nothing changed since {commit}", file=say)
    else:
        told = f"nothing changed since {commit}: nothing pushed. --again runs it again."
        print(told, file=say)
    if execution:
        told = f"started {pipeline_name} {execution}; `mlops pipeline` shows it"
        print(as_typed(told), file=say)
    if args.json:
        started = {"pipeline": pipeline_name, "execution_id": execution}
        print_json({"unit": args.unit, **dataclasses.asdict(pushed), **started})
    return 0


def pipeline(args: argparse.Namespace) -> int:
    """`mlops pipeline`."""
    account, project = project_of(args)
    units = [args.unit] if args.unit else ["build", "deploy"]
    names = [project.pipeline_name(unit) for unit in units]
    follow = args.follow or (sys.stdout.isatty() and not args.once)
    console = Console(highlight=False, soft_wrap=not sys.stdout.isatty(), quiet=args.json)
    records = show_pipelines(account, names, console, follow=follow)
    if args.json:
        print_json([as_json(record) for record in records])
    return exit_code(records)


def approve(args: argparse.Namespace) -> int:
    """`mlops approve`."""
    return _answer(args, yes=True)


def reject(args: argparse.Namespace) -> int:
    """`mlops reject`."""
    if not args.comment.strip():
        raise InputError("--comment is empty. Say why: who pushed will read it.")
    return _answer(args, yes=False)


def _answer(args: argparse.Namespace, *, yes: bool) -> int:
    account, project = project_of(args)
    verb = "approve" if yes else "reject"
    names = [project.pipeline_name(unit) for unit in ("deploy", "build")]
    approval = find_approval(account, names)
    print("\n".join(describe(approval)), file=sys.stderr if args.json else sys.stdout)
    require_answer(args.yes, f"{verb} it")
    if not args.yes:
        print(f"{verb} it? [y/N] ", end="", file=sys.stderr, flush=True)
        if sys.stdin.readline().strip().lower() not in ("y", "yes"):
            raise NotApproved("nothing was answered; it goes on waiting")
    answer(account, approval, approve=yes, comment=args.comment)
    if args.json:
        told = {name: getattr(approval, name) for name in ("pipeline", "stage", "action")}
        result = {"answer": "approved" if yes else "rejected", "comment": args.comment}
        print_json({**told, "execution_id": approval.execution_id, **result})
    else:
        told_so = "approved; `mlops pipeline` shows how it goes on" if yes else "rejected"
        print(as_typed(told_so))
    return 0


def schedule(args: argparse.Namespace) -> int:
    """`mlops schedule`."""
    if args.off and (args.expression or args.timezone):
        raise InputError("--off goes with neither an expression nor --timezone.")
    display = Display.of(args)
    account, project = project_of(args)
    if args.off or args.expression or args.timezone:
        expression = "" if args.off else args.expression
        schedules.set_schedule(account, project, expression, args.timezone, display)
        project = stack_of(account, project)
    if args.run_now:
        display.result(f"started {schedules.run_now(account, project)}")
    found = schedules.read_schedule(account, project)
    if args.json:
        print_json(found)
    else:
        print("\n".join(map(as_typed, schedules.schedule_lines(found))))
    return 0


def logs(args: argparse.Namespace) -> int:
    """`mlops logs`."""
    account, project = project_of(args)
    client, groups = account.client("logs"), log_reader.log_groups(project)
    if args.name is None:
        streams = log_reader.list_streams(client, groups)
        if args.json:
            print_json([dataclasses.asdict(stream) for stream in streams])
            return 0
        for stream in streams:
            print(f"{stream.created:%F %H:%M:%S}  {stream.name}  ({stream.group})")
        if not streams:
            print("no job, endpoint or build has printed anything yet")
        return 0
    last = ""

    def tell(line: log_reader.Line) -> None:
        nonlocal last
        if args.json:
            print(json.dumps(dataclasses.asdict(line), default=str), flush=True)
            return
        heading = f"==> {line.group} {line.stream} <=="
        if heading != last:
            print(heading)
            last = heading
        print(line.message, flush=True)

    if args.follow:
        log_reader.follow(client, groups, args.name, tell)
    for stream in log_reader.find_streams(client, groups, args.name):
        for line in log_reader.read_lines(client, stream):
            tell(line)
    return 0


def invoke(args: argparse.Namespace) -> int:
    """`mlops invoke`."""
    if args.file is not None:
        try:
            body = args.file.read_bytes()
        except OSError as err:
            raise InputError(f"cannot read {args.file}: {err.strerror}") from err
    else:
        body = args.data.encode()
    csv = args.file is not None and args.file.suffix == ".csv"
    kind = args.content_type or ("text/csv" if csv else "application/json")
    account = _account(args)
    try:
        found = account.client("sagemaker-runtime").invoke_endpoint(
            EndpointName=args.endpoint, Body=body, ContentType=kind
        )
    except ClientError as err:
        if err.response["Error"]["Code"] == _MODEL_ERROR:
            raise CommandFailed(_refusal(args.endpoint, err)) from err
        raise
    text = found["Body"].read().decode()
    print(text)
    return 0


def _refusal(endpoint: str, err: ClientError) -> str:
    """What the model server said, the sentence first; AWS's own words where it said nothing."""
    status = err.response.get("OriginalStatusCode", "")
    said = str(err.response.get("OriginalMessage", ""))
    with contextlib.suppress(ValueError, TypeError, LookupError):
        said = str(json.loads(said)["message"])
    if not said:
        return f"{endpoint} answers: {error_message(err)}"
    return f"{endpoint} answers {status}: {said}  (`mlops logs {endpoint}`)"


def _as_json(project: ProjectStack) -> dict[str, object]:
    return {
        "name": project.name,
        "id": project.id,
        "stack": project.stack.name,
        "parameters": dict(project.parameters),
        "outputs": dict(project.outputs),
    }


def _account(args: argparse.Namespace) -> Account:
    account = open_account(args.region, args.profile)
    say_which(account)
    return account
