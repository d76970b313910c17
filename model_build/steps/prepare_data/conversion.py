"""From the table's own cells to typed columns: number, boolean, text, date.

A cell that can't be of its column's kind becomes missing, and is an odd value. Words such as NA are
missing in columns of numbers, booleans and dates; in text they are text.
"""

from collections.abc import Mapping

import cell_formats
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from column_kinds import Column

TYPES: Mapping[str, pa.DataType] = {
    "number": pa.float64(),
    "boolean": pa.bool_(),
    "text": pa.string(),
    "date": pa.timestamp("us"),
}
# pandas 2 and MLflow's signature hold dates in nanoseconds, which end here.
_EARLIEST = pa.scalar(pd.Timestamp.min.ceil("us").to_pydatetime(), pa.timestamp("us"))
_LATEST = pa.scalar(pd.Timestamp.max.floor("us").to_pydatetime(), pa.timestamp("us"))


def convert(values: pa.Array, column: Column) -> pa.Array:
    """The raw values as their column's kind; null where they are missing, or odd."""
    if column.kind == "text":
        return _as_text(values)
    if pa.types.is_string(values.type):
        return _convert_text(values, column)
    if column.kind == "date":
        dates = pc.cast(values, pa.timestamp("us"))
        held = pc.and_(pc.greater_equal(dates, _EARLIEST), pc.less_equal(dates, _LATEST))
        return pc.if_else(held, dates, pa.scalar(None, dates.type))
    return pc.cast(values, TYPES[column.kind])


def find_odd(values: pa.Array, converted: pa.Array) -> pa.Array:
    """A mask of the values that are there and yet not of their column's kind."""
    lost = pc.and_(pc.is_valid(values), pc.is_null(converted))
    if not pa.types.is_string(values.type):
        return lost
    return pc.and_not(lost, cell_formats.find_missing_words(values))


def _as_text(values: pa.Array) -> pa.Array:
    """As a client writes the value: dates in ISO 8601, whole decimals without their fraction."""
    if pa.types.is_string(values.type):
        return values
    if pa.types.is_date(values.type) or pa.types.is_timestamp(values.type):
        return pa.array(
            [None if v is None else v.isoformat() for v in values.to_pylist()], pa.string()
        )
    texts = pc.cast(values, pa.string())
    if pa.types.is_decimal(values.type):
        return pc.replace_substring_regex(texts, r"\.0+$", "")
    return texts


def _convert_text(values: pa.Array, column: Column) -> pa.Array:
    if column.kind == "number" and column.number_format.is_plain:
        try:
            numbers = pc.cast(values, pa.float64())
        except pa.ArrowInvalid:
            pass  # there is more than plain numbers: see below
        else:
            return pc.if_else(pc.is_nan(numbers), pa.scalar(None, numbers.type), numbers)
    encoded = values.dictionary_encode()
    distinct = _convert_distinct(pc.utf8_trim_whitespace(encoded.dictionary), column)
    return distinct.take(encoded.indices)


def _convert_distinct(texts: pa.Array, column: Column) -> pa.Array:
    if column.kind == "number":
        return _read_numbers(texts, column)
    if column.kind == "boolean":
        read = [cell_formats.BOOLEANS.get(text) for text in texts.to_pylist()]
        return pa.array(read, pa.bool_())
    dates = cell_formats.parse_dates(texts.to_pylist(), column.date_format)
    return pc.cast(pa.Array.from_pandas(dates), pa.timestamp("us"), safe=False)


def _read_numbers(texts: pa.Array, column: Column) -> pa.Array:
    """Plain numbers at once, those in a format of their own singly."""
    if column.number_format.is_plain:
        plain = pc.match_substring_regex(texts, cell_formats.PLAIN_NUMBER)
        readable = pc.if_else(plain, pc.utf8_ltrim(texts, "+"), pa.scalar(None, pa.string()))
        return pc.cast(readable, pa.float64())
    return pa.array([column.number_format.read(text) for text in texts.to_pylist()], pa.float64())
