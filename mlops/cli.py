"""`mlops-infra`: the platform of infra/ in an AWS account.

deploy    the stacks in their order, each change set shown before it is executed
doctor    what is wrong, with the remedy
status    what stands: stacks, parameters, images, the MLflow server and its database
teardown  the stacks in reverse; data stays unless told otherwise
"""

from __future__ import annotations

import argparse
import logging
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from botocore.exceptions import BotoCoreError, ClientError

from mlops.account import Account, explained, open_account
from mlops.platform.deployment import DeployOptions, StackPlan, deploy_stack, plan_stacks
from mlops.display import Display
from mlops.errors import DeploymentFailed, InfraError, InputError
from mlops.platform.image_builds import build_images
from mlops.platform.image_sources import IMAGES as IMAGE_SOURCES
from mlops.platform.settings import (
    SIZES,
    Settings,
    keeping_settings,
    read_settings,
    size_file,
    with_parameters,
)
from mlops.platform.stacks import IMAGES, KINDS, MANAGED, MLFLOW, PLATFORM, find_stack
from mlops.platform.status import read_status, show_status
from mlops.platform.teardown import TeardownOptions, plan_teardown, show_teardown, tear_down

# By name, as `python -m` calls its module __main__.
logger = logging.getLogger("mlops.cli")
_INTERRUPTED = 130
_PROJECTS_FIRST = 'Delete these first, endpoints before projects: docs/aws.md, "Taking it down".'


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command.

    Exit code: 0 done, 1 a stack, build or finding failed, 2 wrong input, 3 AWS or MLflow refused,
    130 Ctrl-C.
    """
    args = build_parser().parse_args(argv)
    logging.basicConfig(level=args.log_level, format="%(message)s", stream=sys.stderr)
    command: Callable[[argparse.Namespace], int] = args.command
    try:
        return command(args)
    except InfraError as err:
        logger.error("error: %s", err)
        return err.exit_code
    except (ClientError, BotoCoreError) as err:
        refused = explained(err)
        logger.error("error: %s", refused)
        return refused.exit_code
    except KeyboardInterrupt:
        logger.error("ended by Ctrl-C")
        return _INTERRUPTED
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


def build_parser() -> argparse.ArgumentParser:
    """The command line; each subcommand's function is in `command`."""
    parser = argparse.ArgumentParser(
        prog="mlops-infra",
        description="MLflow, its network and images in an AWS account.",
        allow_abbrev=False,
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def add(
        name: str, function: Callable[[argparse.Namespace], int], text: str
    ) -> argparse.ArgumentParser:
        command = commands.add_parser(name, help=text, description=text, allow_abbrev=False)
        command.set_defaults(command=function)
        command.add_argument(
            "--log-level",
            default="WARNING",
            choices=["DEBUG", "INFO", "WARNING", "ERROR"],
            help="how much the libraries tell on stderr (default: %(default)s)",
        )
        return command

    _add_deploy(add("deploy", _deploy, "deploy the stacks, each change shown before it is made"))
    doctor = add("doctor", _doctor, "find what is wrong, and name the remedy")
    # Its checks need MLflow, which costs seconds: they are imported when it runs.
    from mlops.platform.doctor.command import add_arguments

    add_arguments(doctor)
    status = add("status", _status, "what stands, and how it is")
    _add_account(status)
    status.add_argument("--json", action="store_true", help="as JSON (default: tables)")
    _add_teardown(add("teardown", _teardown, "delete the stacks; data stays unless told otherwise"))
    return parser


def _add_account(command: argparse.ArgumentParser) -> None:
    add = command.add_argument
    add("--region", help="AWS region (default: the settings', then AWS_REGION, then the profile's)")
    add("--profile", help="profile of ~/.aws/config (default: AWS_PROFILE)")


def _add_deploy(command: argparse.ArgumentParser) -> None:
    add = command.add_argument
    sized = command.add_mutually_exclusive_group()
    sized.add_argument(
        "--size",
        choices=SIZES,
        help="settings of infra/platform/settings (default: stacks that exist keep their values)",
    )
    sized.add_argument("--settings", type=Path, metavar="FILE", help="your own settings")
    add(
        "--stack",
        dest="stacks",
        action="append",
        choices=KINDS,
        metavar="STACK",
        help=f"only this one, of {', '.join(KINDS)}; can be repeated "
        "(default: all of the settings)",
    )
    add(
        "--parameter",
        dest="parameters",
        action="append",
        default=[],
        metavar="STACK.Name=value",
        help="a parameter's value, before that of the settings; can be repeated (default: none)",
    )
    add(
        "--template-bucket",
        metavar="NAME",
        help="S3 bucket for templates of more than 51,200 bytes (default: the images stack's)",
    )
    add("--dry-run", action="store_true", help="show the change sets, execute none (default: no)")
    add("--yes", action="store_true", help="execute them unasked (default: ask)")
    add(
        "--accept-data-loss",
        action="store_true",
        help="also unasked if a bucket, database, key or repository is replaced or removed "
        "(default: refuse)",
    )
    add(
        "--import-existing",
        action="store_true",
        help="take buckets and repositories that an earlier stack left into the new one "
        "(default: a name that is taken fails)",
    )
    add(
        "--rebuild-images",
        action="store_true",
        help="build the images again though they are there (default: those that are "
        "missing or whose sources changed)",
    )
    _add_account(command)


def _add_teardown(command: argparse.ArgumentParser) -> None:
    add = command.add_argument
    platform = [kind.key for kind in PLATFORM]
    add(
        "--stack",
        dest="stacks",
        action="append",
        choices=platform,
        metavar="STACK",
        help=f"only this one, of {', '.join(platform)}; can be repeated (default: all)",
    )
    add("--dry-run", action="store_true", help="show what goes and what stays (default: no)")
    add("--yes", action="store_true", help="delete the stacks unasked (default: ask)")
    add(
        "--delete-data",
        action="store_true",
        help="also delete what the stacks leave: buckets with all versions, snapshots, images, "
        "keys (default: it stays)",
    )
    add(
        "--yes-delete-data",
        metavar="ACCOUNT",
        help="the account's number: with --yes and --delete-data, delete data unasked "
        "(default: ask)",
    )
    _add_account(command)


def _deploy(args: argparse.Namespace) -> int:
    display = Display()
    if not (args.yes or args.dry_run or display.interactive):
        raise InputError(
            "there is no terminal to ask on; look at the changes by --dry-run, "
            "then pass --yes to make them unasked"
        )
    options = DeployOptions(
        dry_run=args.dry_run,
        yes=args.yes,
        accept_data_loss=args.accept_data_loss,
        import_existing=args.import_existing,
        template_bucket=args.template_bucket,
    )
    settings = _given_settings(args)
    account = open_account(args.region or (settings.region if settings else None), args.profile)
    if settings is None:
        settings = keeping_settings(args.stacks or _existing(account))
    settings = with_parameters(settings, args.parameters)
    keys = args.stacks or list(settings.stacks)
    absent = [key for key in keys if key not in settings.stacks]
    if absent:
        raise InputError(f"{settings.source} has no stack {', '.join(absent)}; add it there")
    display.say(f"account {account.id}, region {account.region}, as {account.caller}")
    plans = plan_stacks(account, settings, keys)
    if options.dry_run:
        return _dry_run(account, plans, options, display)
    for plan in plans:
        deploy_stack(account, plan, options, display)
        if plan.kind == IMAGES:
            _build_images(account, settings, force=args.rebuild_images, display=display)
    return 0


def _dry_run(
    account: Account, plans: Sequence[StackPlan], options: DeployOptions, display: Display
) -> int:
    """All stacks, also those after one that can not be changed; the first failure's exit code."""
    exit_code = 0
    for plan in plans:
        try:
            deploy_stack(account, plan, options, display)
        except InfraError as err:
            failure = err
        except (ClientError, BotoCoreError) as err:
            failure = explained(err)
        else:
            continue
        display.result(f"{plan.name}: no change set")
        logger.error("error: %s", failure)
        exit_code = exit_code or failure.exit_code
    return exit_code


def _build_images(account: Account, settings: Settings, *, force: bool, display: Display) -> None:
    # Managed MLflow runs no server of ours.
    managed = MANAGED.key in settings.stacks or (
        MLFLOW.key not in settings.stacks
        and find_stack(account.client("cloudformation"), MANAGED.name) is not None
    )
    needed = ["inference"] if managed else list(IMAGE_SOURCES)
    built = build_images(account.client, report=display.say, images=needed, force=force)
    for name, address in built.items():
        display.result(f"{name} image: {address}")


def _given_settings(args: argparse.Namespace) -> Settings | None:
    if args.settings is not None:
        return read_settings(args.settings)
    return None if args.size is None else read_settings(size_file(args.size))


def _existing(account: Account) -> list[str]:
    cloudformation = account.client("cloudformation")
    found = [kind.key for kind in PLATFORM if find_stack(cloudformation, kind.name)]
    if not found:
        raise InputError(
            f"nothing is deployed in {account.id}, {account.region} yet; "
            f"say what to deploy by --size ({', '.join(SIZES)}) or --settings FILE"
        )
    return found


def _doctor(args: argparse.Namespace) -> int:
    from mlops.platform.doctor.command import run

    return run(args)


def _status(args: argparse.Namespace) -> int:
    status = read_status(open_account(args.region, args.profile))
    show_status(status, Display(), as_json=args.json)
    return 3 if status.problems else 0


def _teardown(args: argparse.Namespace) -> int:
    display = Display()
    if not (args.yes or args.dry_run or display.interactive):
        raise InputError(
            "there is no terminal to ask on; look at what would go by --dry-run, "
            "then pass --yes to delete it unasked"
        )
    account = open_account(args.region, args.profile)
    options = TeardownOptions(
        yes=args.yes, delete_data=args.delete_data, yes_delete_data=args.yes_delete_data
    )
    display.say(f"account {account.id}, region {account.region}, as {account.caller}")
    plan = plan_teardown(account, args.stacks)
    show_teardown(plan, options, display)
    if args.dry_run:
        return 0
    if plan.blockers:
        raise DeploymentFailed("the platform is in use:", plan.blockers, [_PROJECTS_FIRST])
    tear_down(account, plan, options, display)
    return 0
