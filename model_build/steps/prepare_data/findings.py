"""What is worth telling of a table, and where in it."""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from raw_table import RawBatch

_SHOWN_CHARACTERS = 60


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

    def add(self, values: pa.Array, odd: "np.ndarray", batch: RawBatch) -> None:
        """Take a batch's values into account, those for which the mask `odd` is true."""
        rows = np.flatnonzero(odd)
        if len(rows) and not self.count:
            first = int(rows[0])
            self.value = str(values[first].as_py())
            self.file = batch.file
            self.row = batch.first_row + first
        self.count += len(rows)

    def __str__(self) -> str:
        value = self.value
        if len(value) > _SHOWN_CHARACTERS:
            value = f"{value[:_SHOWN_CHARACTERS]}..."
        return f"first {value!r} ({self.file}, row {self.row})"
