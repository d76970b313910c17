"""raw_rows.json: rows of the table before any conversion, and what the model said of them offline.

The training step leaves it with a version's run, the build puts it into the endpoint's test plan.
"""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from model_deploy.request_limits import Piece, RequestLimit, csv_pieces, json_pieces

FILE = "raw_rows.json"

_VERSION = 1
# How far a row's probabilities may be from 1 in sum: some models compute in single precision.
_SUM_TOLERANCE = 1e-3


class MalformedRawRows(ValueError):
    """They are not what the training step writes; the message says all that is wrong."""


@dataclass(frozen=True, kw_only=True)
class RawRows:
    """`rows` and `csv` are the same rows; `predictions` has one entry for each.

    Of a classifier `probabilities` has for each row one of each of `classes`, and the predictions
    are labels; of another model both are None.
    """

    columns: Sequence[str]
    rows: Sequence[Sequence[Any]]
    csv: Sequence[str]
    predictions: Sequence[Any]
    classes: Sequence[Any] | None = None
    probabilities: Sequence[Sequence[float]] | None = None

    @classmethod
    def from_document(cls, document: Any) -> RawRows:
        """Of what raw_rows.json of the model's run holds. Raises MalformedRawRows."""
        problems = list(_problems(document))
        if problems:
            raise MalformedRawRows(f"{FILE} of the model's run is malformed: {'; '.join(problems)}")
        names = ("columns", "rows", "csv", "predictions", "classes", "probabilities")
        return cls(**{name: document.get(name) for name in names})

    def json_requests(self, limit: RequestLimit) -> Iterator[Piece]:
        """Raises RowTooLarge."""
        return json_pieces(self.columns, self.rows, limit)

    def csv_requests(self, limit: RequestLimit) -> Iterator[Piece]:
        """Raises RowTooLarge."""
        header = io.StringIO()
        # A name with any character of the line's end is quoted, so it must have its usual one.
        csv.writer(header, lineterminator="\r\n").writerow(self.columns)
        return csv_pieces(header.getvalue().removesuffix("\r\n"), self.csv, limit)


def count_entries(value: object) -> str:
    """A list's length in words, or that there is none."""
    return str(len(value)) if isinstance(value, list) else "no list of"


def _problems(document: Any) -> Iterator[str]:
    if not isinstance(document, dict) or document.get("version") != _VERSION:
        version = document.get("version") if isinstance(document, dict) else None
        yield f"its version is {version!r}, this test reads version {_VERSION}"
        return
    columns, rows = document.get("columns"), document.get("rows")
    if not columns or not _is_list_of(str, columns):
        yield '"columns" is not a list of names'
        columns = []
    if not rows or not _is_list_of(list, rows):
        yield '"rows" is not a list of rows, or has none'
        return
    wrong = [n for n, row in enumerate(rows, 1) if len(row) != len(columns or row)]
    if wrong:
        yield f"row {wrong[0]} has {len(rows[wrong[0] - 1])} values for {len(columns)} columns"
    if not _is_list_of(str, document.get("csv")):
        yield '"csv" is not a list of texts'
    for name in ("csv", "predictions"):
        entries = document.get(name)
        if not isinstance(entries, list) or len(entries) != len(rows):
            yield f'"{name}" has {count_entries(entries)} entries for {len(rows)} rows'
    if not _is_finite(document.get("predictions")):
        yield '"predictions" holds a number that is not finite, which no answer can'
    yield from _problems_of_classes(document, len(rows))


def _problems_of_classes(document: dict[str, Any], rows: int) -> Iterator[str]:
    classes, probabilities = document.get("classes"), document.get("probabilities")
    if classes is None and probabilities is None:
        return
    if not isinstance(classes, list) or not any(_are_classes(k, classes) for k in (str, bool, int)):
        yield '"classes" is not a list of two or more texts, booleans or integers'
        return
    if len(set(classes)) < len(classes):
        yield '"classes" has one of them twice'
    predictions = document.get("predictions")
    # With their types, as true equals 1.
    known = {(type(label), label) for label in classes}
    for number, label in enumerate(predictions if isinstance(predictions, list) else [], 1):
        if isinstance(label, list | dict) or (type(label), label) not in known:
            yield f'entry {number} of "predictions" is none of the classes'
            break
    if not isinstance(probabilities, list) or len(probabilities) != rows:
        yield f'"probabilities" has {count_entries(probabilities)} entries for {rows} rows'
        return
    for number, row in enumerate(probabilities, 1):
        problem = _problem_of_probabilities(row, len(classes))
        if problem:
            yield f'row {number} of "probabilities" {problem}'
            return


def _problem_of_probabilities(row: Any, classes: int) -> str:
    numbers: list[Any] = row if isinstance(row, list) and len(row) == classes else [None]
    if not all(type(value) is int or _is_real(value) for value in numbers):
        return "is not a number for each of the classes"
    # Compared before they are added: an integer may be too large for any float.
    if not all(-_SUM_TOLERANCE <= value <= 1 + _SUM_TOLERANCE for value in numbers):
        return "has a number that is not between 0 and 1"
    if abs(math.fsum(numbers) - 1) > _SUM_TOLERANCE:
        return f"adds up to {math.fsum(numbers):g} and not to 1"
    return ""


def _is_finite(value: Any) -> bool:
    if isinstance(value, list):
        return all(map(_is_finite, value))
    if isinstance(value, dict):
        return all(map(_is_finite, value.values()))
    return not isinstance(value, float) or math.isfinite(value)


def _is_real(value: Any) -> bool:
    return type(value) is float and not math.isnan(value)


def _are_classes(kind: type, value: list[Any]) -> bool:
    """Two or more of that kind; true is no integer here."""
    return len(value) > 1 and all(type(each) is kind for each in value)


def _is_list_of(kind: type, value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(each, kind) for each in value)
