"""What a column holds in one part of the table: counts, range, and the target's distribution."""

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

# Distinct values are counted up to here.
MOST_DISTINCT = 10_000
# Of the target, in each part.
QUANTILES = (0.0, 0.05, 0.25, 0.5, 0.75, 0.95, 1.0)


@dataclass
class ColumnProfile:
    """Fed batch by batch."""

    kind: str
    rows: int = 0
    missing: int = 0
    least: Any = None
    most: Any = None
    _distinct: set[Any] = field(default_factory=set)

    @property
    def filled(self) -> int:
        """Rows with a value."""
        return self.rows - self.missing

    @property
    def distinct(self) -> int:
        """Different values; MOST_DISTINCT + 1 stands for more."""
        return min(len(self._distinct), MOST_DISTINCT + 1)

    def count(self, values: pa.ChunkedArray) -> None:
        """Take a batch of converted values into account."""
        self.rows += len(values)
        self.missing += values.null_count
        if len(values) == values.null_count:
            return
        if self.kind in ("number", "date"):
            ends = pc.min_max(values).as_py()
            self.least = ends["min"] if self.least is None else min(self.least, ends["min"])
            self.most = ends["max"] if self.most is None else max(self.most, ends["max"])
        if len(self._distinct) <= MOST_DISTINCT:
            different = values.unique().drop_null()
            self._distinct.update(different.slice(0, MOST_DISTINCT + 1).to_pylist())


@dataclass
class Amounts:
    """The distribution of a target of numbers in one part."""

    _values: list["np.ndarray"] = field(default_factory=list)

    def count(self, values: pa.ChunkedArray) -> None:
        """Take a batch into account; no value is missing."""
        self._values.append(values.to_numpy())

    def describe(self) -> dict[str, Any]:
        """The mean, and the values at QUANTILES."""
        values = np.concatenate(self._values)
        return {
            "mean": float(np.mean(values)),
            "quantiles": {
                f"{share:g}": float(value)
                for share, value in zip(QUANTILES, np.quantile(values, QUANTILES), strict=True)
            },
        }


@dataclass
class ClassCounts:
    """The distribution of a target of classes in one part: how many rows have each."""

    rows: Counter[Any] = field(default_factory=Counter)

    def count(self, values: pa.ChunkedArray) -> None:
        """Take a batch into account; no value is missing. Numbers are whole."""
        for item in values.value_counts().to_pylist():
            value = item["values"]
            self.rows[int(value) if isinstance(value, float) else value] += item["counts"]

    def describe(self) -> dict[str, Any]:
        """The classes, sorted, each with its rows."""
        return {"classes": [{"class": name, "rows": self.rows[name]} for name in sorted(self.rows)]}
