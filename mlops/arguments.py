"""What commands have in common on the command line. Imports nothing that takes time."""

from __future__ import annotations

import argparse
import importlib
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

from mlops.errors import InputError

Run = Callable[[argparse.Namespace], int]
# Where this tree's templates and settings are; the commands that deploy read them.
INFRA_DIR = Path(__file__).resolve().parents[1] / "infra"
SIZES = tuple(sorted(path.stem for path in (INFRA_DIR / "platform/settings").glob("*.json")))


class AddCommand(Protocol):
    """Adds a subcommand: its name, what runs it, one line about it."""

    def __call__(
        self, name: str, run: Run, text: str, *, interrupted: str = ""
    ) -> argparse.ArgumentParser: ...


def later(module: str, function: str) -> Run:
    """What runs a command, imported only then: help has to be there at once."""

    def run(arguments: argparse.Namespace) -> int:
        code: int = getattr(importlib.import_module(module), function)(arguments)
        return code

    return run


def adder(commands: Any) -> AddCommand:
    """Adds to these subparsers. `interrupted`: what Ctrl-C leaves as it is, told when it comes."""

    def add(
        name: str, run: Run, text: str, *, interrupted: str = "nothing was changed"
    ) -> argparse.ArgumentParser:
        command: argparse.ArgumentParser = commands.add_parser(
            name, help=text, description=f"{text[0].upper()}{text[1:]}.", allow_abbrev=False
        )
        command.set_defaults(command=run, interrupted=interrupted)
        command.add_argument(
            "--log-level",
            default="WARNING",
            choices=["DEBUG", "INFO", "WARNING", "ERROR"],
            help="how much the libraries tell on stderr (default: %(default)s)",
        )
        command.add_argument(
            "--json", action="store_true", help="print JSON, as docs/mlops.md says (default: text)"
        )
        return command

    return add


def add_account(command: argparse.ArgumentParser) -> None:
    """Which AWS: --region and --profile."""
    add = command.add_argument
    add("--region", help="AWS region (default: AWS_REGION, then the profile's)")
    add("--profile", help="profile of ~/.aws/config (default: AWS_PROFILE)")


def add_project(command: argparse.ArgumentParser) -> None:
    """Which project, and in which AWS."""
    command.add_argument(
        "--project",
        metavar="NAME",
        help="the project (default: SAGEMAKER_PROJECT_NAME, then the account's only one)",
    )
    add_account(command)


def add_yes(command: argparse.ArgumentParser, what: str) -> None:
    """--yes: do not ask."""
    command.add_argument("--yes", action="store_true", help=f"{what} unasked (default: ask)")


def require_answer(yes: bool, what: str) -> None:
    """Raise InputError where nobody can be asked and --yes was not given."""
    if not yes and not sys.stdin.isatty():
        raise InputError(f"there is no terminal to ask on. Pass --yes to {what}.")
