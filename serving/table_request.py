"""A request's body -> a frame of the columns that the model was trained on, in their dtypes.

    text/csv          read_csv   header line, then one record a row; UTF-8
    application/json  read_json  dataframe_split, dataframe_records; inputs or instances that hold
                                 records, columns or one row

number float64, text and boolean object, date datetime64[ns]: what is missing is NaN, None, NaT.
Columns that the table does not have are ignored, as MLflow does.
"""

from __future__ import annotations

import csv
import io
import json
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from serving.cell_reading import CellError, NotJson, csv_reader, json_reader, show, what_to_send
from serving.errors import RequestError
from serving.table import BOOLEAN, DATE, NUMBER, TEXT, Column, Table

SPLIT = "dataframe_split"
RECORDS = "dataframe_records"
INPUTS = "inputs"
INSTANCES = "instances"
FORMATS = (SPLIT, RECORDS, INPUTS, INSTANCES)

# Of arrays that are made from Python's values; microseconds are what its dates have.
_DTYPES = {NUMBER: "float64", BOOLEAN: "object", TEXT: "object", DATE: "datetime64[us]"}
_NAMED = 5

# A field may be as long as a request: 131,072 characters is Python's default.
csv.field_size_limit(sys.maxsize)


@dataclass(frozen=True, kw_only=True)
class _Cells:
    """What a request says: column -> its values, all of them `rows` long."""

    columns: Mapping[str, Sequence[Any]]
    rows: int
    in_json: bool


def parse_json(body: bytes) -> Any:
    """The document, with integers as exact as they are written; RequestError if it is none."""
    try:
        return json.loads(body, parse_constant=NotJson)
    except (ValueError, RecursionError) as err:
        raise RequestError(f"the body is not JSON: {err}. {_example_of_json()}") from err


def read_json(document: Any, table: Table) -> pd.DataFrame | None:
    """The frame that a parsed document holds; None where it holds no named columns.

    Raises RequestError.
    """
    if not isinstance(document, dict):
        return None
    given = [name for name in FORMATS if name in document]
    if len(given) != 1:
        return None
    (form,) = given
    content = document[form]
    if form == SPLIT:
        return _frame(_split(content), table)
    if form == RECORDS or _holds_records(content):
        return _frame(_records(content, form), table)
    if isinstance(content, dict):
        return _frame(_columns(content, form), table)
    return None


def read_csv(body: bytes, table: Table) -> pd.DataFrame:
    """The frame that a CSV text holds. Raises RequestError."""
    try:
        text = body.decode("utf-8-sig")
    except UnicodeDecodeError as err:
        line = body[: err.start].count(b"\n") + 1
        raise RequestError(
            f"line {line} is not UTF-8 (byte 0x{body[err.start]:02x}); send the text in UTF-8"
        ) from err
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    try:
        header, *rows = [row for row in reader if row] or [[]]
    except csv.Error as err:
        raise RequestError(
            f"line {reader.line_num} is not CSV: {err}; put a field with a quote, a comma or a line"
            " break into quotes, and double the quotes in it"
        ) from err
    _refuse_repeated(header)
    for number, row in enumerate(rows, 1):
        _check_width(number, len(row), len(header))
    return _frame(_Cells(columns=_turned(header, rows), rows=len(rows), in_json=False), table)


def _split(content: Any) -> _Cells:
    names = content.get("columns") if isinstance(content, dict) else None
    data = content.get("data") if isinstance(content, dict) else None
    if not isinstance(names, list) or not isinstance(data, list):
        raise RequestError(f'{SPLIT} needs "columns" and "data", two lists. {_example_of_json()}')
    if not all(isinstance(name, str) for name in names):
        raise RequestError(f'the names in "columns" of {SPLIT} are not all texts')
    _refuse_repeated(names)
    for number, row in enumerate(data, 1):
        if not isinstance(row, list):
            raise RequestError(f'row {number} of "data" is {show(row)}, not a list of values')
        _check_width(number, len(row), len(names))
    return _Cells(columns=_turned(names, data), rows=len(data), in_json=True)


def _records(content: Any, form: str) -> _Cells:
    if not isinstance(content, list):
        raise RequestError(f"{form} is {show(content)}, not a list of records")
    for number, record in enumerate(content, 1):
        if not isinstance(record, dict):
            raise RequestError(f"row {number} of {form} is {show(record)}, not a record")
    names = dict.fromkeys(name for record in content for name in record)
    columns = {name: [record.get(name) for record in content] for name in names}
    return _Cells(columns=columns, rows=len(content), in_json=True)


def _columns(content: Mapping[str, Any], form: str) -> _Cells:
    """Columns with a list of values each, or one row with a value each."""
    if not any(isinstance(values, list) for values in content.values()):
        return _Cells(columns={n: [v] for n, v in content.items()}, rows=1, in_json=True)
    for name, values in content.items():
        if not isinstance(values, list):
            raise RequestError(f"column {name!r} of {form} is {show(values)}, not a list of values")
    lengths = {name: len(values) for name, values in content.items()}
    if len(set(lengths.values())) > 1:
        least, most = min(lengths, key=lengths.__getitem__), max(lengths, key=lengths.__getitem__)
        raise RequestError(
            f"the columns of {form} differ in length: {least!r} has {lengths[least]} values, "
            f"{most!r} has {lengths[most]}; send as many in each"
        )
    return _Cells(columns=content, rows=max(lengths.values()), in_json=True)


def _turned(names: Sequence[str], rows: Sequence[Sequence[Any]]) -> dict[str, Sequence[Any]]:
    """Rows of equal width as columns."""
    return dict(zip(names, zip(*rows, strict=True), strict=True)) if rows else {}


def _holds_records(content: Any) -> bool:
    return isinstance(content, list) and bool(content) and isinstance(content[0], dict)


def _frame(cells: _Cells, table: Table) -> pd.DataFrame:
    if not cells.rows:
        after = "" if cells.in_json else " after its header line, which names the columns"
        raise RequestError(f"the request holds no row{after}; send at least one")
    absent = [c.name for c in table.columns if c.name not in cells.columns]
    needed = [c.name for c in table.columns if c.name not in cells.columns and not c.gaps]
    if needed or len(absent) == len(table.columns):
        raise RequestError(
            f"the request lacks {_named(needed or absent)}; send the columns that the model was "
            "trained on by their names; one may be left out only if values of it were missing there"
        )
    return pd.DataFrame({column.name: _array(column, cells) for column in table.columns})


def _array(column: Column, cells: _Cells) -> Any:
    """As NumPy has it: where columns are thousands, a pandas.Series of each takes a third of a
    second more."""
    given = cells.columns.get(column.name)
    read = [None] * cells.rows if given is None else _read(column, given, cells)
    values = np.array(read, dtype=_DTYPES[column.kind])
    return values.astype("datetime64[ns]") if column.kind == DATE else values


def _read(column: Column, values: Sequence[Any], cells: _Cells) -> list[Any]:
    read = (json_reader if cells.in_json else csv_reader)(column)
    try:
        result = [None if value is None else read(value) for value in values]
    except CellError:
        # Once more, to know the row: only a refused request pays for it.
        for number, value in enumerate(values, 1):
            try:
                _ = None if value is None else read(value)
            except CellError as err:
                what = f"{show(value)} {err}"
                raise _refusal(column, number, what, in_json=cells.in_json) from err
        raise
    if not column.gaps and None in result:
        number = result.index(None) + 1
        value = values[number - 1]
        what = "is missing" if value is None or value == "" else f"{show(value)} means missing"
        what += ", but none was missing in the table that the model was trained on"
        raise _refusal(column, number, what, in_json=cells.in_json)
    return result


def _refusal(column: Column, row: int, what: str, *, in_json: bool) -> RequestError:
    send = what_to_send(column, in_json=in_json)
    return RequestError(f"row {row}, column {column.name!r}: {what}; {send}")


def _refuse_repeated(names: Sequence[str]) -> None:
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        raise RequestError(f"the request has {_named(twice)} more than once; send each column once")


def _check_width(number: int, values: int, columns: int) -> None:
    if values != columns:
        raise RequestError(
            f"row {number} has {values} values, but there are {columns} columns; send one for each"
        )


def _named(names: Sequence[str]) -> str:
    shown = ", ".join(map(repr, names[:_NAMED]))
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return f"the column{'s' if len(names) > 1 else ''} {shown}{more}"


def _example_of_json() -> str:
    return 'Send {"dataframe_split": {"columns": ["a", "b"], "data": [[1, "x"], [2, null]]}}'
