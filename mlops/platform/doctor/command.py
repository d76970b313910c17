"""`mlops platform doctor`: its arguments, and what it prints.

    checks side by side ─▶ results in reading order ─▶ a line and a remedy each, or JSON

Exit code 0: nothing failed (warnings are no failure); 1: something did.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
from collections.abc import Callable, Iterator, Sequence

from mlops.platform.doctor.account_view import AccountView
from mlops.platform.doctor.examination import examine
from mlops.platform.doctor.patient import Choices, Patient
from mlops.platform.doctor.registry import CHECKS, Check
from mlops.platform.doctor.report import has_failed, lines_of, summary_of, to_json

_PLAIN_SECONDS = 5.0  # how often a line tells of a slow check where there is no terminal


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the doctor's options."""
    names = [check.name for check in CHECKS]
    parser.add_argument(
        "--only",
        action="append",
        default=[],
        choices=names,
        metavar="CHECK",
        help=f"only this check; may be repeated (default: all): {', '.join(names)}",
    )
    parser.add_argument(
        "--project",
        default="",
        metavar="NAME",
        help="only the checks of projects, of this one (default: the whole account)",
    )
    parser.add_argument(
        "--account",
        default="",
        metavar="ID",
        help="the account that you mean to be in (default: whichever the credentials are of)",
    )
    parser.add_argument(
        "--tracking-uri",
        default="",
        metavar="URI",
        help="another MLflow than /sagemaker-mlflow/tracking-uri names (default: that one)",
    )
    parser.add_argument(
        "--template-bucket",
        default="",
        metavar="BUCKET",
        help="bucket of templates for SageMaker Studio (default: what the domains' tags name)",
    )
    parser.add_argument(
        "--domain", default="", metavar="ID", help="Studio domain, such as d-abc123 (default: all)"
    )


def run(arguments: argparse.Namespace) -> int:
    """Examine, print, and say by the exit code whether anything failed."""
    checks = choose(arguments.only, arguments.project)
    results = []
    with _progress(sys.stderr.isatty()) as on_wait:
        for result in examine(_patient(arguments), [*_unasked(checks), *checks], on_wait):
            if result.check not in checks and not has_failed([result]):
                continue
            results.append(result)
            if not arguments.json:
                color = sys.stdout.isatty() and "NO_COLOR" not in os.environ
                print("\n".join(lines_of(result, color=color)), flush=True)
    print(to_json(results) if arguments.json else summary_of(results))
    return 1 if has_failed(results) else 0


def choose(only: Sequence[str], project: str) -> list[Check]:
    """The checks to run: those named, or with a project its own, or all."""
    if only:
        return [check for check in CHECKS if check.name in only]
    if project:
        return [check for check in CHECKS if check.of_project or check.name == "credentials"]
    return list(CHECKS)


def _unasked(checks: Sequence[Check]) -> list[Check]:
    """What is told only if it fails: without credentials every other check is skipped."""
    return [check for check in CHECKS[:1] if check not in checks]


def _patient(arguments: argparse.Namespace) -> Patient:
    return Patient(
        account=AccountView(arguments.region, arguments.profile),
        choices=Choices(
            project=arguments.project,
            expected_account=arguments.account,
            tracking_uri=arguments.tracking_uri,
            template_bucket=arguments.template_bucket,
            domain=arguments.domain,
            environment={
                name: value for name, value in os.environ.items() if name.startswith("MLFLOW_")
            },
        ),
    )


@contextlib.contextmanager
def _progress(on_terminal: bool) -> Iterator[Callable[[Check, str, float], None]]:
    """Tells on stderr what is waited for: one changing line on a terminal, else now and then."""
    told: dict[str, float] = {}

    def show(check: Check, progress: str, seconds: float) -> None:
        text = f"{check.name}: {progress or 'looking'} ({seconds:.0f} s)"
        if on_terminal:
            status.update(text)
        elif seconds - told.get(check.name, 0) >= _PLAIN_SECONDS:
            told[check.name] = seconds
            print(text, file=sys.stderr, flush=True)

    if not on_terminal:
        yield show
        return
    from rich.console import Console

    with Console(stderr=True).status("looking") as status:
        yield show
