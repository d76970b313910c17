"""The work itself: survey the table, decide, then convert and split it, batch by batch.

survey ─▶ verdict for each column ─▶ places of odd values ─▶ refuse, or go on
                                                              │
train.parquet, test.parquet, raw rows, profiles ◀── convert ──┘
"""

import contextlib
import enum
import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import column_kinds
import conversion
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import splitting
from column_kinds import Column, Survey, TextSurvey, Verdict
from column_profile import ColumnProfile, describe_target
from errors import DataError, enumerate_names
from raw_rows import RawRows
from raw_table import RawBatch, RawTable
from splitting import SplitRule

MINIMUM_ROWS_OF_A_PART = 5
# scikit-learn's trees compute in float32, where larger numbers are infinite.
_LARGEST_NUMBER = float(np.finfo(np.float32).max)
_PARTS = ("train", "test")


class OddPolicy(enum.Enum):
    """What becomes of the few values of a column that are not what nearly all others are."""

    REFUSE = "refuse"
    MISSING = "missing"
    TEXT = "text"

    @classmethod
    def read(cls, text: str) -> "OddPolicy":
        """From the parameter OddValues. Raises DataError."""
        try:
            return cls(text.strip())
        except ValueError:
            choices = ", ".join(policy.value for policy in cls)
            raise DataError(f"OddValues is {text!r}; give one of {choices}") from None


@dataclass(frozen=True, kw_only=True)
class Finding:
    """Something about a column, or about the table (column ""), that a person should know."""

    column: str
    message: str
    warning: bool = False

    def __str__(self) -> str:
        about = f"column {self.column!r}: " if self.column else ""
        return f"{about}{self.message}"


@dataclass
class OddValues:
    """How many values of a column are odd, and where the first one stands."""

    count: int = 0
    value: str = ""
    file: str = ""
    row: int = 0

    def __str__(self) -> str:
        value = self.value if len(self.value) <= 60 else f"{self.value[:60]}..."
        return f"first {value!r} ({self.file}, row {self.row})"


@dataclass(frozen=True, kw_only=True)
class Prepared:
    """What was made of the table, and what is worth telling."""

    target: str
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


@dataclass
class _Surveyed:
    """What the first reading found."""

    surveys: dict[str, Survey]
    digests: splitting.Digests
    rows: int


def prepare(
    table: RawTable, target: str, rule: SplitRule, policy: OddPolicy, folder: Path
) -> Prepared:
    """Write train.parquet and test.parquet to `folder`. Raises DataError, and then leaves both."""
    if target not in table.columns:
        raise DataError(
            f"{table.source} has no column {target!r} to predict; it has "
            f"{enumerate_names(table.columns)}. Set the parameter TargetColumn"
        )
    surveyed = _survey(table)
    findings = [Finding(column="", message=remark) for remark in table.remarks]
    dropped: dict[str, str] = {}
    verdicts: dict[str, Verdict] = {}
    for name, seen in surveyed.surveys.items():
        verdict = column_kinds.decide(name, seen, table.separator)
        if verdict is None:
            dropped[name] = "every value is missing"
        else:
            verdicts[name] = verdict
            findings += _tell_verdict(verdict, seen)
    if target in dropped:
        raise DataError(f"every value of the target {target!r} in {table.source} is missing")
    columns, odd = _settle_odd_values(table, verdicts, policy, findings)
    _check_target(columns[target], verdicts[target], surveyed.surveys[target], table.source)
    if len(columns) == 1:
        raise DataError(f"{table.source} has no column but {target!r} to predict from")
    return _Preparation(
        table=table,
        columns=columns,
        target=target,
        rule=rule,
        surveyed=surveyed,
        odd=odd,
        dropped=dropped,
        findings=findings,
    ).run(folder)


def _survey(table: RawTable) -> _Surveyed:
    surveys: dict[str, Survey] = {}
    digests = []
    rows = 0
    for batch in table.read():
        if not surveys:
            surveys = column_kinds.survey(table, batch.columns.schema)
        arrays = _arrays(batch)
        for name, seen in surveys.items():
            seen.count(arrays[name])
        digests.append(splitting.digest_rows(arrays))
        rows += len(batch.columns)
    if not rows:
        raise DataError(f"{table.source} has no rows")
    return _Surveyed(surveys=surveys, digests=np.concatenate(digests), rows=rows)


def _tell_verdict(verdict: Verdict, seen: Survey) -> Iterator[Finding]:
    column = verdict.column
    if verdict.why_text:
        yield Finding(column=column.name, message=f"read as text: {verdict.why_text}", warning=True)
    if verdict.told:
        yield Finding(column=column.name, message=verdict.told)
    if isinstance(seen, TextSurvey) and seen.missing_words:
        words = ", ".join(f"{word!r} ({rows})" for word, rows in seen.missing_words.most_common(5))
        text = (verdict.nearly or column).kind == "text"
        meaning = "text here; only an empty field is missing" if text else "missing here"
        yield Finding(column=column.name, message=f"{words}: {meaning}")


def _settle_odd_values(
    table: RawTable,
    verdicts: Mapping[str, Verdict],
    policy: OddPolicy,
    findings: list[Finding],
) -> tuple[dict[str, Column], dict[str, OddValues]]:
    """The columns as they will be read, and their odd values. Raises DataError if they may not be.

    Dates that the file has as such are odd where they lie beyond what datetime64[ns] holds.
    """
    suspects = {
        name: verdict.nearly or verdict.column
        for name, verdict in verdicts.items()
        if verdict.nearly or (verdict.column.kind == "date" and name not in table.text_columns)
    }
    odd = {name: found for name, found in _locate_odd(table, suspects).items() if found.count}
    told = [
        f"column {name!r}: {found.count} of {verdicts[name].values} values are no "
        f"{suspects[name].kind}s, {found}"
        for name, found in odd.items()
    ]
    if odd and policy is OddPolicy.REFUSE:
        shown = "; ".join(told[:5]) + (f"; and {len(told) - 5} more columns" if told[5:] else "")
        raise DataError(
            f"{table.source}: {shown}. Correct them, or set the parameter OddValues: missing "
            "(they count as missing) or text (the column is text)"
        )
    columns = {}
    for name, verdict in verdicts.items():
        column = verdict.column
        if name in odd:
            if policy is OddPolicy.MISSING:
                column, meaning = suspects[name], "taken as missing"
            else:
                column, meaning = Column(name=name, kind="text"), "so the column is text"
            findings.append(
                Finding(
                    column=name,
                    message=f"{odd[name].count} values are no {suspects[name].kind}s, {meaning}; "
                    f"{odd[name]}",
                    warning=True,
                )
            )
        columns[name] = column
    return columns, odd


def _locate_odd(table: RawTable, suspects: Mapping[str, Column]) -> dict[str, OddValues]:
    """Count odd values and find the first of each column: the table is read once more for them."""
    found = {name: OddValues() for name in suspects}
    if not found:
        return found
    for batch in table.read():
        for name, column in suspects.items():
            values = batch.columns.column(name).combine_chunks()
            mask = conversion.find_odd(values, conversion.convert(values, column))
            rows = np.flatnonzero(_mask(mask))
            if len(rows) and not found[name].count:
                first = int(rows[0])
                found[name].value = str(values[first].as_py())
                found[name].file = batch.file
                found[name].row = batch.first_row + first
            found[name].count += len(rows)
    return found


def _check_target(column: Column, verdict: Verdict, seen: Survey, source: str) -> None:
    if column.kind == "date":
        raise DataError(
            f"the target {column.name!r} in {source} is a date; only numbers can be predicted"
        )
    if column.kind == "text":
        why = f": {verdict.why_text}" if verdict.why_text else ""
        numbers = (
            f"; {seen.plain} of {seen.filled} values are numbers"
            if isinstance(seen, TextSurvey)
            else ""
        )
        raise DataError(
            f"the target {column.name!r} in {source} is not numeric but text{why}{numbers}. "
            "Correct it, or set the parameter TargetColumn"
        )


@dataclass
class _Preparation:
    """The second reading: converts, splits, writes, and takes note."""

    table: RawTable
    columns: Mapping[str, Column]
    target: str
    rule: SplitRule
    surveyed: _Surveyed
    odd: Mapping[str, OddValues]
    dropped: dict[str, str]
    findings: list[Finding]
    profiles: dict[str, dict[str, ColumnProfile]] = field(init=False)
    infinite: dict[str, OddValues] = field(init=False)
    part_rows: dict[str, int] = field(init=False)

    def __post_init__(self) -> None:
        self.features = [column for name, column in self.columns.items() if name != self.target]
        self.profiles = {
            part: {name: ColumnProfile(kind=column.kind) for name, column in self.columns.items()}
            for part in _PARTS
        }
        self.infinite = {}
        self.part_rows = dict.fromkeys(_PARTS, 0)
        self.targets: dict[str, list[np.ndarray]] = {part: [] for part in _PARTS}

    def run(self, folder: Path) -> Prepared:
        self._threshold = self._find_threshold()
        raw_rows = RawRows(columns=self.features)
        schema = pa.schema(
            [(name, conversion.TYPES[column.kind]) for name, column in self.columns.items()]
        )
        start = 0
        with contextlib.ExitStack() as stack:
            writers = {
                part: stack.enter_context(pq.ParquetWriter(folder / f"{part}.parquet", schema))
                for part in _PARTS
            }
            for batch in self.table.read():
                digests = self.surveyed.digests[start : start + len(batch.columns)]
                start += len(digests)
                self._take(batch, digests, schema, writers, raw_rows)
        self._refuse_infinite()
        self._check_parts()
        return self._finish(raw_rows)

    def _take(
        self,
        batch: RawBatch,
        digests: splitting.Digests,
        schema: pa.Schema,
        writers: Mapping[str, pq.ParquetWriter],
        raw_rows: RawRows,
    ) -> None:
        raw = _arrays(batch)
        converted = {
            name: conversion.convert(raw[name], column) for name, column in self.columns.items()
        }
        self._note_infinite(converted, raw, batch)
        rows = pa.table(converted, schema=schema)
        known = _mask(pc.is_valid(converted[self.target]))
        held_out = self._choose(raw, converted, digests)
        for part, chosen in (("train", known & ~held_out), ("test", known & held_out)):
            mask = pa.array(chosen)
            taken = rows.filter(mask)
            if part == "test":
                # Rows with odd values are nothing that an endpoint would take.
                sendable = chosen & ~self._has_odd(raw, converted, len(digests))
                positions = self.part_rows["test"] + np.cumsum(chosen) - 1
                raw_rows.collect(
                    batch.columns.filter(pa.array(sendable)),
                    digests[sendable],
                    positions[sendable],
                )
            for name, profile in self.profiles[part].items():
                profile.count(taken.column(name))
            self.targets[part].append(taken.column(self.target).to_numpy())
            writers[part].write_table(taken)
            self.part_rows[part] += len(taken)

    def _choose(
        self,
        raw: Mapping[str, pa.Array],
        converted: Mapping[str, pa.Array],
        digests: splitting.Digests,
    ) -> "np.ndarray":
        if self.rule.how == "time":
            times = _times(converted[self.rule.column])
            held_out: np.ndarray = times >= self._threshold
            return held_out
        if self.rule.how == "group":
            values = pc.cast(raw[self.rule.column], pa.string())
            return self.rule.choose(splitting.digest_texts(values))
        return self.rule.choose(digests)

    def _find_threshold(self) -> float:
        name = self.rule.column
        if not name:
            return 0.0
        if name not in self.columns:
            raise DataError(
                f"SplitBy names the column {name!r}, which {self.table.source} "
                + ("has no value in" if name in self.dropped else "doesn't have")
                + f"; it has {enumerate_names(tuple(self.columns))}"
            )
        if self.rule.how == "group":
            return 0.0
        column = self.columns[name]
        if column.kind not in ("date", "number"):
            raise DataError(
                f"SplitBy: the column {name!r} of {self.table.source} is {column.kind}; "
                "time:<column> needs dates (ISO 8601 in text files) or numbers"
            )
        times = []
        for batch in self.table.read():
            raw = batch.columns
            moment = conversion.convert(raw.column(name).combine_chunks(), column)
            target = conversion.convert(
                raw.column(self.target).combine_chunks(), self.columns[self.target]
            )
            times.append(_times(moment)[_mask(pc.is_valid(target))])
        known = np.concatenate(times)
        unknown = int(np.isnan(known).sum())
        if unknown:
            self.findings.append(
                Finding(
                    column=name,
                    message=f"{unknown} rows have no time; they are used for training",
                    warning=True,
                )
            )
        return self.rule.find_threshold(known)

    def _has_odd(
        self, raw: Mapping[str, pa.Array], converted: Mapping[str, pa.Array], rows: int
    ) -> "np.ndarray":
        mask = np.zeros(rows, bool)
        for name in self.odd:
            if name != self.target:
                mask |= _mask(conversion.find_odd(raw[name], converted[name]))
        return mask

    def _note_infinite(
        self, converted: Mapping[str, pa.Array], raw: Mapping[str, pa.Array], batch: RawBatch
    ) -> None:
        for name, column in self.columns.items():
            if column.kind != "number":
                continue
            rows = np.flatnonzero(_mask(pc.greater(pc.abs(converted[name]), _LARGEST_NUMBER)))
            if len(rows):
                first = int(rows[0])
                found = self.infinite.setdefault(
                    name,
                    OddValues(
                        value=str(raw[name][first].as_py()),
                        file=batch.file,
                        row=batch.first_row + first,
                    ),
                )
                found.count += len(rows)

    def _refuse_infinite(self) -> None:
        for name, found in self.infinite.items():
            raise DataError(
                f"column {name!r} in {self.table.source} has {found.count} infinite values, or "
                f"values beyond 3.4e38, which no tree can hold, {found}; replace them, or leave "
                "them empty"
            )

    def _check_parts(self) -> None:
        train, test = self.part_rows["train"], self.part_rows["test"]
        source = self.table.source
        if min(train, test) < MINIMUM_ROWS_OF_A_PART:
            raise DataError(
                f"{source} has {train + test} usable rows: {train} to train and {test} to test "
                f"with TestSize {self.rule.test_size} by {self.rule.describe()}; each needs at "
                f"least {MINIMUM_ROWS_OF_A_PART}"
            )
        targets = [self.profiles[part][self.target] for part in _PARTS]
        if min(target.least for target in targets) == max(target.most for target in targets):
            raise DataError(f"the target {self.target!r} in {source} is the same in every row")

    def _finish(self, raw_rows: RawRows) -> Prepared:
        train = self.profiles["train"]
        # A column with no value in the training part can teach nothing.
        for column in list(self.features):
            if train[column.name].filled == 0:
                self.dropped[column.name] = "no value in the training part"
        kept = [column for column in self.features if column.name not in self.dropped]
        if not kept:
            raise DataError(
                f"{self.table.source} has no column but {self.target!r} to predict from"
            )
        by_reason: dict[str, list[str]] = {}
        for name, reason in self.dropped.items():
            by_reason.setdefault(reason, []).append(name)
        for reason, names in by_reason.items():
            self.findings.append(
                Finding(
                    column="",
                    message=f"left out, because {reason}: {enumerate_names(names)}",
                    warning=True,
                )
            )
        rows = sum(self.part_rows.values())
        without_target = self.surveyed.rows - rows
        if without_target:
            self.findings.append(
                Finding(
                    column=self.target,
                    message=f"{without_target} rows are left out, because it is missing",
                    warning=True,
                )
            )
        duplicates = self.surveyed.rows - len(np.unique(self.surveyed.digests))
        if duplicates:
            self.findings.append(
                Finding(
                    column="",
                    message=f"{duplicates} of {self.surveyed.rows} rows are exact copies of others"
                    + (
                        "; copies are always on the same side of the split"
                        if self.rule.how == "row"
                        else ""
                    ),
                    warning=True,
                )
            )
        return Prepared(
            target=self.target,
            columns=kept,
            gaps={
                column.name: sum(self.profiles[part][column.name].missing for part in _PARTS) > 0
                for column in kept
            },
            dropped_columns=self.dropped,
            train_rows=self.part_rows["train"],
            test_rows=self.part_rows["test"],
            rows_without_target=without_target,
            duplicate_rows=duplicates,
            digest=_digest_of(self.surveyed, self.table),
            findings=self.findings,
            raw_rows=raw_rows.to_json([column.name for column in kept]),
            profiles=self.profiles,
            targets={
                part: describe_target(np.concatenate(values))
                for part, values in self.targets.items()
            },
            odd_values=self.odd,
        )


def _digest_of(surveyed: _Surveyed, table: RawTable) -> str:
    """A digest of names and rows: equal for equal tables, in whatever order their rows are."""
    digest = hashlib.sha256(json.dumps(sorted(table.columns)).encode())
    digest.update(np.sort(surveyed.digests).tobytes())
    return f"sha256:{digest.hexdigest()}"


def _arrays(batch: RawBatch) -> dict[str, pa.Array]:
    return {
        name: batch.columns.column(name).combine_chunks() for name in batch.columns.column_names
    }


def _times(values: pa.Array) -> "np.ndarray":
    """Moments or numbers as float64, NaN where missing."""
    if pa.types.is_timestamp(values.type):
        values = pc.cast(values, pa.int64())
    result: np.ndarray = pc.cast(values, pa.float64(), safe=False).to_numpy(zero_copy_only=False)
    return result


def _mask(values: pa.Array) -> "np.ndarray":
    result: np.ndarray = pc.fill_null(values, False).to_numpy(zero_copy_only=False)
    return result
