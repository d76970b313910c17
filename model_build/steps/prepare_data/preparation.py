"""The work itself: decide, then write both parts, and say what was made of the table."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import classes
import decisions
import numpy as np
from column_kinds import Column
from column_profile import ClassCounts, ColumnProfile
from decisions import Decisions, OddPolicy
from errors import DataError, enumerate_names
from findings import Finding, OddValues
from parts import PARTS, TEST, TRAIN, Parts
from raw_table import RawTable
from splitting import SplitRule
from target_task import Task, TaskChoice

MINIMUM_ROWS_OF_A_PART = 5
_SHARE_TOLERANCE = 0.05


@dataclass(frozen=True, kw_only=True)
class Prepared:
    """What was made of the table, and what is worth telling."""

    target: str
    target_kind: str
    task: Task
    # Those of the training part, sorted; none where amounts are predicted.
    classes: Sequence[Any]
    columns: Sequence[Column]
    gaps: Mapping[str, bool]
    dropped_columns: Mapping[str, str]
    train_rows: int
    test_rows: int
    rows_without_target: int
    duplicate_rows: int
    digest: str
    findings: Sequence[Finding]
    raw_rows: Mapping[str, Any]
    # By part, then by column, the target among them.
    profiles: Mapping[str, Mapping[str, ColumnProfile]]
    targets: Mapping[str, Mapping[str, Any]]
    odd_values: Mapping[str, OddValues]

    def describe_task(self) -> str:
        """In words, for a person."""
        into = f" into {len(self.classes)} classes" if self.classes else ""
        return f"{self.task}{into}"

    def list_columns(self) -> list[dict[str, Any]]:
        """The features as dataset.json and the model's metadata name them."""
        return [
            {
                "name": column.name,
                "kind": column.kind,
                "gaps": self.gaps[column.name],
                **({"format": written} if (written := column.format_json()) else {}),
            }
            for column in self.columns
        ]


def prepare(
    table: RawTable,
    target: str,
    choice: TaskChoice,
    rule: SplitRule,
    policy: OddPolicy,
    folder: Path,
) -> Prepared:
    """Write train.parquet, test.parquet and test_units.parquet to `folder`. Raises DataError."""
    decided = decisions.decide(table, target, choice, policy)
    parts = Parts(table, decided, target, rule)
    parts.write(folder)
    _check_parts(parts, table.source, rule)
    counts = _check_classes(parts, table.source, target)
    dropped = dict(decided.dropped)
    features = [column for name, column in decided.columns.items() if name != target]
    for column in features:
        if parts.profiles[TRAIN][column.name].filled == 0:
            dropped[column.name] = "no value in the training part"
    kept = [column for column in features if column.name not in dropped]
    if not kept:
        raise DataError(f"{table.source} has no column but {target!r} to predict from")
    rows = len(decided.digests)
    without_target = rows - sum(parts.rows.values())
    duplicates = rows - len(np.unique(decided.digests))
    findings = [
        *decided.findings,
        *classes.tell_classes(target, counts[TRAIN], counts[TEST]),
        *_tell_dropped(dropped),
        *_tell_rows(target, without_target, duplicates, rows, rule),
        *_tell_share(parts, rule),
    ]
    return Prepared(
        target=target,
        target_kind=decided.columns[target].kind,
        task=decided.task,
        classes=sorted(counts[TRAIN]),
        columns=kept,
        gaps={column.name: _has_gaps(parts, column.name) for column in kept},
        dropped_columns=dropped,
        train_rows=parts.rows[TRAIN],
        test_rows=parts.rows[TEST],
        rows_without_target=without_target,
        duplicate_rows=duplicates,
        digest=_digest(decided, table),
        findings=findings,
        raw_rows=parts.raw_rows.to_json([column.name for column in kept]),
        profiles=parts.profiles,
        targets={part: values.describe() for part, values in parts.targets.items()},
        odd_values=decided.odd_values,
    )


def _check_parts(parts: Parts, source: str, rule: SplitRule) -> None:
    train, test = parts.rows[TRAIN], parts.rows[TEST]
    if min(train, test) < MINIMUM_ROWS_OF_A_PART:
        raise DataError(
            f"{source} has {train + test} usable rows: {train} to train and {test} to test "
            f"with TestSize {rule.test_size} by {rule.describe()}; each needs at least "
            f"{MINIMUM_ROWS_OF_A_PART}. Add rows, or set the parameter TestSize or SplitBy"
        )


def _check_classes(parts: Parts, source: str, target: str) -> dict[str, Mapping[Any, int]]:
    """The classes' rows in each part; none where amounts are predicted. Raises DataError."""
    counts: dict[str, Mapping[Any, int]] = {
        part: values.rows if isinstance(values, ClassCounts) else {}
        for part, values in parts.targets.items()
    }
    if len(counts[TRAIN]) == 1:
        raise DataError(
            f"the target {target!r} in {source} is the same in every training row: "
            f"{classes.enumerate_classes(counts[TRAIN])}; the test rows have "
            f"{classes.enumerate_classes(counts[TEST])}. Set the parameter SplitBy or TestSize"
        )
    return counts


def _has_gaps(parts: Parts, name: str) -> bool:
    return any(parts.profiles[part][name].missing for part in PARTS)


def _tell_dropped(dropped: Mapping[str, str]) -> list[Finding]:
    by_reason: dict[str, list[str]] = {}
    for name, reason in dropped.items():
        by_reason.setdefault(reason, []).append(name)
    return [
        Finding(
            column="",
            message=f"left out, because {reason}: {enumerate_names(names)}",
            warning=True,
        )
        for reason, names in by_reason.items()
    ]


def _tell_rows(
    target: str, without_target: int, duplicates: int, rows: int, rule: SplitRule
) -> list[Finding]:
    found = []
    if without_target:
        message = f"{without_target} rows are left out, because it is missing"
        found.append(Finding(column=target, message=message, warning=True))
    if duplicates:
        message = f"{duplicates} of {rows} rows are exact copies of others"
        if rule.how == "row":
            message += "; copies are always on the same side of the split"
        found.append(Finding(column="", message=message, warning=True))
    return found


def _tell_share(parts: Parts, rule: SplitRule) -> list[Finding]:
    total = sum(parts.rows.values())
    share = parts.rows[TEST] / total
    if abs(share - rule.test_size) <= max(_SHARE_TOLERANCE, 3 * (0.25 / total) ** 0.5):
        return []
    message = (
        f"{parts.rows[TEST]} of {total} rows are held out, where TestSize is {rule.test_size}: "
        f"{rule.describe()} keeps together what belongs together"
    )
    return [Finding(column="", message=message, warning=True)]


def _digest(decided: Decisions, table: RawTable) -> str:
    """A digest of names and rows: equal for equal tables, in whatever order their rows are."""
    digest = hashlib.sha256(json.dumps(sorted(table.columns)).encode())
    digest.update(np.sort(decided.digests).tobytes())
    return f"sha256:{digest.hexdigest()}"
