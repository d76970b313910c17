"""Rows of the table as they were before any conversion, and what the model said of them offline.

    raw_rows.json ─▶ RawRows ─┬─▶ requests in JSON ─▶ endpoint ─▶ as offline?
                              └─▶ requests in CSV  ─▶ endpoint ─▶ as offline?

The training step predicts from the rows that it prepared, the endpoint gets the untouched ones: a
difference means that the endpoint does not read a table as the training step did.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from model_deploy.test.endpoint import CSV, JSON, Endpoint
from model_deploy.test.endpoint_check import (
    RELATIVE_TOLERANCE,
    Check,
    failed,
    find_difference,
    passed,
)
from model_deploy.test.request_limits import (
    Piece,
    RequestLimit,
    RowTooLarge,
    csv_pieces,
    json_pieces,
)

FILE = "raw_rows.json"
NAME_JSON = "answers raw rows as JSON as offline"
NAME_CSV = "answers raw rows as CSV as offline"

_VERSION = 1


class MalformedRawRows(ValueError):
    """The file is not what the training step writes; the message says all that is wrong."""


@dataclass(frozen=True, kw_only=True)
class RawRows:
    """`rows` and `csv` are the same rows; `predictions` has one entry for each."""

    columns: Sequence[str]
    rows: Sequence[Sequence[Any]]
    csv: Sequence[str]
    predictions: Sequence[Any]

    @classmethod
    def from_json(cls, content: bytes) -> RawRows:
        """Raises MalformedRawRows."""
        try:
            document = json.loads(content)
        except ValueError as err:
            raise MalformedRawRows(f"{FILE} of the model's run is not JSON: {err}") from err
        problems = list(_problems(document))
        if problems:
            raise MalformedRawRows(f"{FILE} of the model's run is malformed: {'; '.join(problems)}")
        names = ("columns", "rows", "csv", "predictions")
        return cls(**{name: document[name] for name in names})

    def json_requests(self, limit: RequestLimit) -> Iterator[Piece]:
        """Raises RowTooLarge."""
        return json_pieces(self.columns, self.rows, limit)

    def csv_requests(self, limit: RequestLimit) -> Iterator[Piece]:
        """Raises RowTooLarge."""
        header = io.StringIO()
        # A name with any character of the line's end is quoted, so it must have its usual one.
        csv.writer(header, lineterminator="\r\n").writerow(self.columns)
        return csv_pieces(header.getvalue().removesuffix("\r\n"), self.csv, limit)


def check_raw_rows(endpoint: Endpoint, content: bytes, limit: RequestLimit) -> list[Check]:
    """Two checks, of JSON and of CSV, with what raw_rows.json holds."""
    try:
        raw = RawRows.from_json(content)
    except MalformedRawRows as err:
        return [failed(name, str(err)) for name in (NAME_JSON, NAME_CSV)]
    return [
        _check(NAME_JSON, endpoint, raw, raw.json_requests(limit), JSON),
        _check(NAME_CSV, endpoint, raw, raw.csv_requests(limit), CSV),
    ]


def _check(
    name: str, endpoint: Endpoint, raw: RawRows, pieces: Iterator[Piece], content_type: str
) -> Check:
    served: list[Any] = []
    requests = 0
    try:
        for piece in pieces:
            requests += 1
            answer = endpoint.invoke(piece.body, content_type)
            last = piece.first + piece.count - 1
            if answer.error:
                return failed(name, f"rows {piece.first} to {last} in one request: {answer.error}")
            predictions = answer.predictions
            if not isinstance(predictions, list) or len(predictions) != piece.count:
                count = len(predictions) if isinstance(predictions, list) else "no list of"
                return failed(
                    name,
                    f"rows {piece.first} to {last} in one request: {count} predictions served, "
                    f"{piece.count} expected",
                )
            served += predictions
    except RowTooLarge as err:
        return failed(name, f"{err}; SageMaker would not take it, nor from anybody else")
    differences = [
        (number, difference)
        for number, (one, other) in enumerate(zip(served, raw.predictions, strict=True), 1)
        if (difference := find_difference(one, other, f"row {number}"))
    ]
    if differences:
        return failed(name, f"{differences[0][1]}; {len(differences)} of {len(served)} rows differ")
    return passed(
        name,
        f"{_count(len(served), 'row')} equal (relative tolerance {RELATIVE_TOLERANCE:g}), "
        f"{_count(requests, 'request')}",
    )


def _count(number: int, thing: str) -> str:
    return f"{number} {thing}{'' if number == 1 else 's'}"


def _problems(document: Any) -> Iterator[str]:
    if not isinstance(document, dict) or document.get("version") != _VERSION:
        version = document.get("version") if isinstance(document, dict) else None
        yield f"its version is {version!r}, this test reads version {_VERSION}"
        return
    columns, rows = document.get("columns") or [], document.get("rows")
    if not columns or not _is_list_of(str, columns):
        yield '"columns" is not a list of names'
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
            count = len(entries) if isinstance(entries, list) else "no list of"
            yield f'"{name}" has {count} entries for {len(rows)} rows'


def _is_list_of(kind: type, value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(each, kind) for each in value)
