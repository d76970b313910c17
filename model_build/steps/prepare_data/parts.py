"""The second reading: rows are converted, put on their side, written, and taken note of.

batch ─▶ convert ─▶ has a target? ─▶ side ─▶ train.parquet
                                         └─▶ test.parquet, test_units.parquet, raw rows
"""

import contextlib
from collections.abc import Mapping
from pathlib import Path

import conversion
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import splitting
from column_profile import Amounts, ClassCounts, ColumnProfile
from decisions import Decisions
from errors import DataError, enumerate_names
from findings import Finding, OddValues
from raw_rows import RawRows
from raw_table import RawBatch, RawTable, as_mask
from splitting import SplitRule

TRAIN, TEST = PARTS = ("train", "test")
_UNITS = "test_units"
_UNITS_SCHEMA = pa.schema([("unit", pa.uint64())])
# scikit-learn's trees compute in float32, where larger numbers are infinite.
_LARGEST_NUMBER = float(np.finfo(np.float32).max)

Arrays = Mapping[str, pa.Array]


class Parts:
    """Both parts of a table; what they hold is known once they are written."""

    def __init__(self, table: RawTable, decisions: Decisions, target: str, rule: SplitRule) -> None:
        self.rows = dict.fromkeys(PARTS, 0)
        self.profiles = {
            part: {name: ColumnProfile(kind=kind.kind) for name, kind in decisions.columns.items()}
            for part in PARTS
        }
        self.targets: dict[str, Amounts | ClassCounts] = {
            part: ClassCounts() if decisions.task == "classification" else Amounts()
            for part in PARTS
        }
        self.raw_rows = RawRows(
            columns=[column for name, column in decisions.columns.items() if name != target]
        )
        self._table = table
        self._columns = decisions.columns
        self._decisions = decisions
        self._target = target
        self._rule = rule
        self._threshold = 0.0
        self._infinite: dict[str, OddValues] = {}

    def write(self, folder: Path) -> None:
        """Write train.parquet, test.parquet and test_units.parquet. Raises DataError."""
        self._check_split_column()
        if self._rule.how == "time":
            self._threshold = self._rule.find_threshold(self._read_times())
        schema = pa.schema(
            [(name, conversion.TYPES[column.kind]) for name, column in self._columns.items()]
        )
        start = 0
        with contextlib.ExitStack() as stack:
            writers = {
                part: stack.enter_context(pq.ParquetWriter(folder / f"{part}.parquet", schema))
                for part in PARTS
            }
            writers[_UNITS] = stack.enter_context(
                pq.ParquetWriter(folder / f"{_UNITS}.parquet", _UNITS_SCHEMA)
            )
            for batch in self._table.read():
                digests = self._decisions.digests[start : start + len(batch.columns)]
                start += len(digests)
                self._take(batch, digests, schema, writers)
        self._refuse_infinite()

    def _take(
        self,
        batch: RawBatch,
        digests: splitting.Digests,
        schema: pa.Schema,
        writers: Mapping[str, pq.ParquetWriter],
    ) -> None:
        raw = batch.arrays()
        converted = {
            name: conversion.convert(raw[name], column) for name, column in self._columns.items()
        }
        self._note_infinite(raw, converted, batch)
        rows = pa.table(converted, schema=schema)
        known = as_mask(pc.is_valid(converted[self._target]))
        units, held_out = self._choose(converted, digests)
        self._collect_raw_rows(raw, converted, batch, digests, known & held_out)
        for part, chosen in ((TRAIN, known & ~held_out), (TEST, known & held_out)):
            taken = rows.filter(pa.array(chosen))
            for name, profile in self.profiles[part].items():
                profile.count(taken.column(name))
            self.targets[part].count(taken.column(self._target))
            writers[part].write_table(taken)
            self.rows[part] += len(taken)
        tested = pa.array(units[known & held_out], pa.uint64())
        writers[_UNITS].write_table(pa.table([tested], schema=_UNITS_SCHEMA))

    def _choose(
        self, converted: Arrays, digests: splitting.Digests
    ) -> tuple[splitting.Digests, "np.ndarray"]:
        """Each row's unit, and whether it is held out."""
        if self._rule.how == "time":
            moments = _moments(converted[self._rule.column])
            return splitting.digest_moments(moments), moments >= self._threshold
        if self._rule.how == "group":
            # Of the value, not of its text: 1 and 1.0 are one group where they are numbers.
            values = pc.cast(converted[self._rule.column], pa.string())
            digests = splitting.digest_texts(values)
        return digests, self._rule.choose(digests)

    def _collect_raw_rows(
        self,
        raw: Arrays,
        converted: Arrays,
        batch: RawBatch,
        digests: splitting.Digests,
        chosen: "np.ndarray",
    ) -> None:
        """Rows of the test part; none with odd values, which no endpoint would take."""
        sendable = chosen.copy()
        for name in self._decisions.odd_values:
            if name != self._target:
                sendable &= ~as_mask(conversion.find_odd(raw[name], converted[name]))
        positions = self.rows[TEST] + np.cumsum(chosen) - 1
        self.raw_rows.collect(
            batch.columns.filter(pa.array(sendable)), digests[sendable], positions[sendable]
        )

    def _check_split_column(self) -> None:
        name, source = self._rule.column, self._table.source
        if not name:
            return
        if name not in self._columns:
            has = "has no value in" if name in self._decisions.dropped else "doesn't have"
            raise DataError(
                f"SplitBy names the column {name!r}, which {source} {has}; it has "
                f"{enumerate_names(tuple(self._columns))}. Set the parameter SplitBy"
            )
        kind = self._columns[name].kind
        if self._rule.how == "time" and kind not in ("date", "number"):
            raise DataError(
                f"SplitBy: the column {name!r} of {source} is {kind}; time:<column> needs dates "
                "(ISO 8601 in text files) or numbers"
            )

    def _read_times(self) -> "np.ndarray":
        """The moments of the rows that have a target; NaN where there is none."""
        name = self._rule.column
        times = []
        for batch in self._table.read():
            moments = conversion.convert(batch.array(name), self._columns[name])
            target = conversion.convert(batch.array(self._target), self._columns[self._target])
            times.append(_moments(moments)[as_mask(pc.is_valid(target))])
        known = np.concatenate(times)
        unknown = int(np.isnan(known).sum())
        if unknown:
            message = f"{unknown} rows have no time; they are used for training"
            self._decisions.findings.append(Finding(column=name, message=message, warning=True))
        return known

    def _note_infinite(self, raw: Arrays, converted: Arrays, batch: RawBatch) -> None:
        for name, column in self._columns.items():
            if column.kind == "number":
                beyond = as_mask(pc.greater(pc.abs(converted[name]), _LARGEST_NUMBER))
                self._infinite.setdefault(name, OddValues()).add(raw[name], beyond, batch)

    def _refuse_infinite(self) -> None:
        for name, found in self._infinite.items():
            if found.count:
                raise DataError(
                    f"column {name!r} in {self._table.source} has {found.count} infinite values, "
                    f"or values beyond 3.4e38, which no tree can hold, {found}; replace them, or "
                    "leave them empty"
                )


def _moments(values: pa.Array) -> "np.ndarray":
    """Dates or numbers as float64, NaN where missing."""
    if pa.types.is_timestamp(values.type):
        values = pc.cast(values, pa.int64())
    result: np.ndarray = pc.cast(values, pa.float64(), safe=False).to_numpy(zero_copy_only=False)
    return result
