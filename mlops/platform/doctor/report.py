"""The results as lines for a person, or as JSON for a program."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Sequence

from mlops.hints import as_typed
from mlops.platform.doctor.examination import Result
from mlops.platform.doctor.finding import Status

_STYLES = {
    Status.OK: "32",
    Status.WARNING: "33",
    Status.FAILED: "31",
    Status.SKIPPED: "2",
}


def lines_of(result: Result, *, color: bool = False) -> list[str]:
    """A line for each finding, and one below it with its remedy."""
    lines = []
    for finding in result.findings:
        status = f"{finding.status.value:<8}"
        shown = f"\x1b[{_STYLES[finding.status]}m{status}\x1b[0m" if color else status
        lines.append(f"{shown} {result.check.name:<14} {as_typed(finding.message)}")
        if finding.remedy:
            lines.append(f"{'':<8} {'':<14} -> {as_typed(finding.remedy)}")
    return lines


def summary_of(results: Sequence[Result]) -> str:
    """How many findings of each kind."""
    counts = Counter(finding.status for result in results for finding in result.findings)
    told = ", ".join(f"{counts[status]} {status.value}" for status in Status if counts[status])
    return f"{len(results)} check{'' if len(results) == 1 else 's'}: {told}"


def has_failed(results: Iterable[Result]) -> bool:
    """Whether anything does not work."""
    return any(finding.status is Status.FAILED for result in results for finding in result.findings)


def to_json(results: Sequence[Result]) -> str:
    """All findings, sorted keys, one object."""
    document = {
        "failed": has_failed(results),
        "checks": [
            {
                "name": result.check.name,
                "looks_at": result.check.title,
                "seconds": round(result.seconds, 1),
                "findings": [finding.to_dict() for finding in result.findings],
            }
            for result in results
        ],
    }
    return json.dumps(document, indent=2, sort_keys=True)
