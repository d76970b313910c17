"""Rows of the test part exactly as the table has them: what the endpoint is asked later.

The endpoint's tests send them as they stand here, and compare with what the model said of the
*prepared* rows. So whatever happens to a cell on the one way and not on the other is seen.
Rows are chosen for what they hold: missing values, words such as NA, texts that look like numbers,
quotes and separators, beside rows chosen by their digest alone.
"""

import csv
import datetime
import decimal
import io
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import cell_formats
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from column_kinds import Column
from raw_table import as_mask

ROWS = 100
# Of them, at most so many for what they hold.
_REMARKABLE_ROWS = 60
# As Python writes it again, so without a plus or leading zeros.
_WHOLE = re.compile(r"-?[1-9]\d{0,30}", re.ASCII)
# A text that another program may read as something else than it is.
_MISLEADING = (
    r"^\s|\s$|[\",;\r\n]|[^\x00-\x7f]|^[+-]?[\d.]+(?:[eE][+-]?\d+)?$|^(?i:true|false|inf|infinity)$"
)


@dataclass
class RawRows:
    """Collects rows, batch by batch; keeps those with the smallest digests of each sort."""

    columns: Sequence[Column]
    # (digest, row's number in the test part) -> its cells.
    by_digest: dict[tuple[int, int], list[Any]] = field(default_factory=dict)
    # (column, what is remarkable) -> the row with the smallest digest.
    remarkable: dict[tuple[str, str], tuple[tuple[int, int], list[Any]]] = field(
        default_factory=dict
    )

    def collect(self, raw: pa.Table, digests: "np.ndarray", positions: "np.ndarray") -> None:
        """Look through rows of the test part; `positions` are their numbers there."""
        order = np.argsort(digests, kind="stable")
        for index in order[:ROWS]:
            key = (int(digests[index]), int(positions[index]))
            if len(self.by_digest) >= ROWS and key > max(self.by_digest):
                break
            self.by_digest[key] = self._cells(raw, int(index))
        self.by_digest = dict(sorted(self.by_digest.items())[:ROWS])
        for column in self.columns:
            for what, mask in _find_remarkable(raw.column(column.name), column):
                first = order[mask[order]][:1]
                for index in first:
                    key = (int(digests[index]), int(positions[index]))
                    kept = self.remarkable.get((column.name, what))
                    if kept is None or key < kept[0]:
                        self.remarkable[column.name, what] = key, self._cells(raw, int(index))

    def to_json(self, names: Sequence[str]) -> dict[str, Any]:
        """The artifact without its predictions, of these columns only.

        `positions` are the rows' numbers in the test part.
        """
        chosen = dict(sorted(self.remarkable.values())[:_REMARKABLE_ROWS])
        for key, cells in self.by_digest.items():
            if len(chosen) < ROWS:
                chosen.setdefault(key, cells)
        wanted = set(names)
        kept = [index for index, column in enumerate(self.columns) if column.name in wanted]
        columns = [self.columns[index] for index in kept]
        rows = [[cells[index] for index in kept] for cells in chosen.values()]
        return {
            "version": 1,
            "columns": [column.name for column in columns],
            "rows": [
                [
                    to_json(cell, column, as_integer=bool(number % 2))
                    for cell, column in zip(cells, columns, strict=True)
                ]
                for number, cells in enumerate(rows)
            ],
            "csv": [to_csv(cells) for cells in rows],
            "positions": [position for _, position in chosen],
        }

    def _cells(self, raw: pa.Table, index: int) -> list[Any]:
        return [raw.column(column.name)[index].as_py() for column in self.columns]


def _find_remarkable(values: pa.ChunkedArray, column: Column) -> list[tuple[str, "np.ndarray"]]:
    found = [("missing", as_mask(pc.is_null(values)))]
    if not pa.types.is_string(values.type):
        return found
    found.append(("word", as_mask(cell_formats.find_missing_words(values))))
    if column.kind == "text":
        misleading = pc.match_substring_regex(values, _MISLEADING)
        found.append(("misleading", as_mask(misleading)))
    return found


def to_json(cell: Any, column: Column, *, as_integer: bool = False) -> Any:
    """A cell as a client sends it in JSON, by the kind of its column.

    With `as_integer` a text that is a whole number becomes one: clients that read the table with
    other programs send ids so.
    """
    if cell is None:
        return None
    if isinstance(cell, str):
        if column.kind == "text" and as_integer and _WHOLE.fullmatch(cell):
            return int(cell)
        return _text_to_json(cell, column)
    if isinstance(cell, datetime.date):  # datetime.datetime is one
        return cell.isoformat()
    if isinstance(cell, decimal.Decimal):
        if cell == cell.to_integral_value():
            return int(cell)
        return str(cell) if column.kind == "text" else float(cell)
    return cell


def to_csv(cells: Sequence[Any]) -> str:
    """The row as a record of a CSV file, without the end of its line."""
    line = io.StringIO()
    # A field with any character of the line's end is quoted, so it must have its usual one.
    csv.writer(line, lineterminator="\r\n").writerow(
        [cell.isoformat() if isinstance(cell, datetime.date) else cell for cell in cells]
    )
    return line.getvalue().removesuffix("\r\n")


def _text_to_json(text: str, column: Column) -> Any:
    trimmed = text.strip()
    if column.kind == "text":
        return text
    if trimmed.lower() in cell_formats.MISSING_WORDS:
        return None
    if column.kind == "boolean":
        return cell_formats.BOOLEANS[trimmed]
    if column.kind == "number" and column.number_format.is_plain:
        return int(trimmed) if trimmed.lstrip("+-").isdecimal() else float(trimmed)
    return trimmed
