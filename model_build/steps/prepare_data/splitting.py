"""Which rows are held out: the same row is always on the same side.

row           by a digest of the row's own cells, so that neither their order nor further rows
              move it, and equal rows stay together
group:COLUMN  by a digest of that column's value: a group is on one side as a whole
time:COLUMN   the newest rows are held out

Rows that stay together so, copies, a group, a moment, are a unit: what is said of one of them is
hardly news after the others, so whoever draws test rows anew has to draw units.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from errors import DataError

_BY = re.compile(r"row|(?P<how>time|group):(?P<column>.*\S.*)", re.DOTALL)
# ASCII's unit and record separators: between the fields of a row, and for a missing one. Hardly any
# field holds them, so that ("a", "bc") and ("ab", "c") have different digests.
_BETWEEN = "\x1f"
_MISSING = "\x1e"

Digests = npt.NDArray[np.uint64]


@dataclass(frozen=True, kw_only=True)
class SplitRule:
    """How rows are chosen: the share held out, the seed, and `row`, `time` or `group`."""

    how: str
    column: str
    test_size: float
    random_seed: int

    @classmethod
    def read(cls, split_by: str, test_size: float, random_seed: int) -> "SplitRule":
        """From the parameter SplitBy. Raises DataError."""
        match = _BY.fullmatch(split_by)
        if match is None:
            raise DataError(f"SplitBy is {split_by!r}; give row, time:<column> or group:<column>")
        return cls(
            how=match["how"] or "row",
            column=match["column"] or "",
            test_size=test_size,
            random_seed=random_seed,
        )

    def describe(self) -> str:
        """As the parameter SplitBy has it."""
        return f"{self.how}:{self.column}" if self.column else self.how

    def choose(self, digests: Digests) -> npt.NDArray[np.bool_]:
        """True for what is held out, by digests of rows or groups."""
        seed = _mix(np.array([self.random_seed], np.uint64))
        return _mix(digests ^ seed) < np.uint64(min(self.test_size, 1 - 2**-53) * 2.0**64)

    def find_threshold(self, times: npt.NDArray[np.float64]) -> float:
        """The first moment that is held out, so that about `test_size` of the rows are."""
        known = np.sort(times[~np.isnan(times)])
        if not len(known):
            raise DataError(f"SplitBy: no row has a value in {self.column!r}")
        return float(known[min(int(np.floor(len(known) * (1 - self.test_size))), len(known) - 1)])


def digest_rows(columns: Mapping[str, pa.Array]) -> Digests:
    """A digest of each row, of its cells' text by column name; the columns' order is no matter."""
    fields = [
        pc.fill_null(pc.cast(columns[name], pa.string()), _MISSING) for name in sorted(columns)
    ]
    return digest_texts(pc.binary_join_element_wise(*fields, _BETWEEN))


def digest_texts(texts: pa.Array) -> Digests:
    """A digest of each text, the same on every machine; missing ones are alike."""
    values = pc.fill_null(texts, _MISSING).to_numpy(zero_copy_only=False)
    hashed: Digests = pd.util.hash_array(values, categorize=False)
    return hashed


def digest_moments(moments: npt.NDArray[np.float64]) -> Digests:
    """A number for each moment; -0.0 is 0.0."""
    bits: Digests = (moments + 0.0).view(np.uint64)
    return bits


def _mix(values: Digests) -> Digests:
    """Spreads the bits (the finaliser of SplitMix64), so that any threshold cuts off its share."""
    values = values + np.uint64(0x9E3779B97F4A7C15)
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    mixed: Digests = values ^ (values >> np.uint64(31))
    return mixed
