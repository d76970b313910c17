"""What a check says: one line, and one remedy where something is to be done."""

from __future__ import annotations

import enum
from dataclasses import asdict, dataclass
from typing import Any


class Status(enum.StrEnum):
    """How much a finding matters; only `FAILED` makes the doctor's exit code 1."""

    OK = "ok"
    WARNING = "warning"
    FAILED = "failed"
    SKIPPED = "skipped"


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One line; `remedy` is a command to run or an edit to make, empty where none is needed."""

    status: Status
    message: str
    remedy: str = ""

    def to_dict(self) -> dict[str, Any]:
        """The finding as JSON knows it."""
        return {**asdict(self), "status": self.status.value}


def ok(message: str) -> Finding:
    """All is well, and this was seen."""
    return Finding(status=Status.OK, message=message)


def warning(message: str, remedy: str) -> Finding:
    """It works, or may work, and somebody should look."""
    return Finding(status=Status.WARNING, message=message, remedy=remedy)


def failed(message: str, remedy: str) -> Finding:
    """It does not work until the remedy is applied."""
    return Finding(status=Status.FAILED, message=message, remedy=remedy)


def skipped(reason: str) -> Finding:
    """Nothing was looked at, for this reason."""
    return Finding(status=Status.SKIPPED, message=reason)
