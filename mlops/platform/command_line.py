"""`mlops platform`: the stacks of infra/platform in an AWS account, or on a laptop.

deploy    the stacks in their order, each change set shown before it is executed
doctor    what is wrong, with the remedy
status    what stands: stacks, parameters, images, the MLflow server and its database
teardown  the stacks in reverse; data stays unless told otherwise
"""

from __future__ import annotations

import argparse
from pathlib import Path

from mlops.arguments import SIZES, AddCommand, add_account, later

# The keys of stacks.PLATFORM, which takes time to import; a test compares them.
STACKS = ("network", "images", "mlflow", "mlflow-managed", "laptop")
_COMMANDS = "mlops.platform.commands"
_GOES_ON = "what CloudFormation has begun goes on; `mlops platform status` shows it"


def add_platform_commands(add: AddCommand, *, doctor: bool = True) -> None:
    """Add them; without `doctor` that one has no options, whose import takes a second."""
    deploy = add(
        "deploy",
        later(_COMMANDS, "deploy"),
        "put up MLflow, its network and images: each change is shown before it is made",
        interrupted=_GOES_ON,
    )
    _add_deploy(deploy)
    examine = add(
        "doctor",
        later(_COMMANDS, "examine_account"),
        "find what is wrong, and name the remedy",
    )
    if doctor:
        from mlops.platform.doctor.command import add_arguments

        add_arguments(examine)
    add_account(examine)
    add_account(add("status", later(_COMMANDS, "status"), "show what stands, and how it is"))
    teardown = add(
        "teardown",
        later(_COMMANDS, "teardown"),
        "delete the stacks; data stays unless told otherwise",
        interrupted=_GOES_ON,
    )
    _add_teardown(teardown)


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
        choices=STACKS,
        metavar="STACK",
        help=f"only this one, of {', '.join(STACKS)}; can be repeated "
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
    add_account(command)


def _add_teardown(command: argparse.ArgumentParser) -> None:
    add = command.add_argument
    add(
        "--stack",
        dest="stacks",
        action="append",
        choices=STACKS,
        metavar="STACK",
        help=f"only this one, of {', '.join(STACKS)}; can be repeated (default: all)",
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
    add_account(command)
