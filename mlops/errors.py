"""What can go wrong, and the exit code of each.

MlopsError
├── InputError           2  something given is wrong, or nobody is there to be asked
│   └── SettingsError       all problems of a settings file and the command line together
├── DeploymentFailed     1  a stack, a build or a teardown did not get where it should
├── CommandFailed        1  git, a pipeline or a program that was started did not do its work
├── NotApproved          1  the person who was asked said no
└── AwsRefused           3  AWS or MLflow said no, or can not be reached
"""

from __future__ import annotations

from collections.abc import Sequence


class MlopsError(Exception):
    """Base of all errors of this package; `exit_code` is what the command returns for it."""

    exit_code = 1


class InputError(MlopsError):
    """Something the caller gave is wrong; nothing was changed."""

    exit_code = 2


class SettingsError(InputError):
    """All problems of one source, one a line."""

    def __init__(self, source: str, problems: Sequence[str]) -> None:
        super().__init__("\n".join([f"{source} can not be used:", *_listed(problems)]))
        self.source = source
        self.problems = tuple(problems)


class DeploymentFailed(MlopsError):
    """What failed, the reasons that AWS gave, and what to do."""

    def __init__(self, title: str, reasons: Sequence[str], remedies: Sequence[str]) -> None:
        super().__init__("\n".join([title, *_listed(reasons), *remedies]))
        self.reasons = tuple(reasons)


class CommandFailed(MlopsError):
    """A program or a pipeline that had to do something ended without it."""


class NotApproved(MlopsError):
    """The person who was asked for approval said no."""


class AwsRefused(MlopsError):
    """AWS or MLflow refused a request, or is not there."""

    exit_code = 3


def _listed(lines: Sequence[str]) -> list[str]:
    return [f"  - {line}" for line in lines]
