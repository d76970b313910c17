"""Requests as frames: dtypes, what is refused, and in which words."""

from __future__ import annotations

import json
import math
from datetime import datetime
from typing import Any

import pandas as pd
import pytest

from serving.errors import RequestError
from serving.table import Table
from serving.table_request import parse_json, read_csv, read_json


def _table(**columns: dict[str, Any] | str) -> Table:
    """a="number" has gaps; a="number!" has none; a dict adds to `gaps: true`."""
    told = []
    for name, value in columns.items():
        more = {"kind": value.rstrip("!")} if isinstance(value, str) else value
        told.append({"name": name, "gaps": not str(value).endswith("!"), **more})
    table = Table.from_metadata({"table": {"version": 1, "columns": told}})
    assert table is not None
    return table


def _from_json(table: Table, *rows: list[Any] | str) -> pd.DataFrame:
    """Rows as JSON text where Python has no word for it."""
    data = ",".join(row if isinstance(row, str) else json.dumps(row) for row in rows)
    names = json.dumps([column.name for column in table.columns])
    body = f'{{"dataframe_split": {{"columns": {names}, "data": [{data}]}}}}'
    frame = read_json(parse_json(body.encode()), table)
    assert frame is not None
    return frame


def _from_csv(table: Table, *records: str) -> pd.DataFrame:
    header = ",".join(column.name for column in table.columns)
    return read_csv("\n".join([header, *records]).encode(), table)


_ALL = _table(n="number", b="boolean", t="text", d="date")


def test_frames_have_the_dtypes_of_the_training_step() -> None:
    for frame in (
        _from_json(_ALL, [1, True, "x", "2024-12-31"], [None, None, None, None]),
        _from_csv(_ALL, "1,true,x,2024-12-31", ",,,"),
    ):
        assert [str(dtype) for dtype in frame.dtypes] == [
            "float64",
            "object",
            "object",
            "datetime64[ns]",
        ]
        assert frame.iloc[0].tolist() == [1.0, True, "x", pd.Timestamp("2024-12-31")]
        assert math.isnan(frame["n"][1])
        assert frame["b"][1] is None
        assert frame["t"][1] is None
        assert frame["d"][1] is pd.NaT


def test_frames_without_a_single_value_have_them_too() -> None:
    for frame in (_from_json(_ALL, [None] * 4), _from_csv(_ALL, ",,,")):
        assert [str(t) for t in frame.dtypes] == ["float64", "object", "object", "datetime64[ns]"]
        assert frame["t"].tolist() == [None]


@pytest.mark.parametrize("word", ["NA", "None", "null", "nan", "N/A", " ", "1.0", "01", "TRUE"])
def test_a_word_in_a_text_column_of_csv_is_text(word: str) -> None:
    assert _from_csv(_table(t="text!"), word)["t"].tolist() == [word]
    assert _from_csv(_table(t="text!"), f'"{word}"')["t"].tolist() == [word]


def test_only_an_empty_field_is_missing_text() -> None:
    assert _from_csv(_table(t="text", n="number"), ",1", '"",1')["t"].tolist() == [None, None]
    assert _from_json(_table(t="text", n="number"), ["", 1], ["NA", 1])["t"].tolist() == [
        None,
        "NA",
    ]


@pytest.mark.parametrize("word", ["NA", "n/a", "NULL", "None", "nan", "<NA>", "#N/A", "", " "])
def test_a_missing_word_in_any_column_of_csv_but_one_of_text_is_missing(word: str) -> None:
    for kind in ("number", "date", "boolean"):
        table = _table(n=kind, t="text")
        assert _from_csv(table, f"{word},x")["n"].isna().tolist() == [True]


@pytest.mark.parametrize(
    ("text", "number"),
    [("1", 1.0), ("-1.5", -1.5), ("+.5", 0.5), ("3.", 3.0), ("1e-3", 1e-3), (" 7 ", 7.0)],
)
def test_plain_numbers_are_read(text: str, number: float) -> None:
    assert _from_csv(_table(n="number!"), text)["n"].tolist() == [number]


def test_integers_in_a_text_column_stay_exact_also_beside_a_gap() -> None:
    frame = _from_json(_table(t="text"), [2**60 + 1], [None], [-7], ["007"])
    assert frame["t"].tolist() == ["1152921504606846977", None, "-7", "007"]


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2024-12-31", datetime(2024, 12, 31)),
        ("2024-12-31T23:59", datetime(2024, 12, 31, 23, 59)),
        ("2024-12-31 23:59:01.5", datetime(2024, 12, 31, 23, 59, 1, 500000)),
        ("2024-12-31T23:59:00Z", datetime(2024, 12, 31, 23, 59)),
        ("2024-12-31T23:59:00+02:00", datetime(2024, 12, 31, 21, 59)),
        ("2024-12-31 23:59:00-0130", datetime(2025, 1, 1, 1, 29)),
        ("2024-12-31T23:59:00.123456789", datetime(2024, 12, 31, 23, 59, 0, 123456)),
    ],
)
def test_dates_are_read_in_utc(text: str, moment: datetime) -> None:
    assert _from_csv(_table(d="date!"), text)["d"].tolist() == [pd.Timestamp(moment)]
    assert _from_json(_table(d="date!"), [text])["d"].tolist() == [pd.Timestamp(moment)]


_US = {"kind": "number", "format": {"thousands": ",", "decimal": ".", "affixes": ["$"]}}
_SWISS = {"kind": "number", "format": {"thousands": "'", "decimal": ".", "affixes": ["Fr.", "%"]}}
_GERMAN = {"kind": "number", "format": {"thousands": ".", "decimal": ",", "affixes": []}}


@pytest.mark.parametrize(
    ("how", "text", "number"),
    [
        (_US, "$1,234.50", 1234.5),
        (_US, "-$ 1,234,567", -1234567.0),
        (_US, "1234.5", 1234.5),
        (_US, "1e3", 1000.0),
        (_US, "NA", math.nan),
        (_SWISS, "Fr. 1\u2019234.50", 1234.5),
        ({"kind": "number", "format": {"thousands": " ", "decimal": ","}}, "1\u00a0234,5", 1234.5),
        (_SWISS, "Fr. 1'234.50", 1234.5),
        (_SWISS, "12 %", 12.0),
        (_GERMAN, "1.234,5", 1234.5),
        (_GERMAN, "1.234", 1234.0),
        (_GERMAN, ",5", 0.5),
        (_GERMAN, "1.5", 1.5),
    ],
)
def test_numbers_are_read_as_the_table_writes_them(
    how: dict[str, Any], text: str, number: float
) -> None:
    for frame in (
        _from_csv(_table(n=how), f'"{text}"'),
        _from_json(_table(n=how), [text]),
    ):
        (read,) = frame["n"]
        assert read == number or (math.isnan(read) and math.isnan(number))
    assert _from_json(_table(n=how), [1234.5])["n"].tolist() == [1234.5]


def test_dates_are_read_as_the_table_writes_them_and_in_iso() -> None:
    table = _table(d={"kind": "date", "format": {"strptime": "%d.%m.%Y"}})
    for frame in (
        _from_csv(table, "31.12.2024", "2024-12-31"),
        _from_json(table, ["31.12.2024"], ["2024-12-31"]),
    ):
        assert frame["d"].tolist() == [pd.Timestamp("2024-12-31")] * 2


@pytest.mark.parametrize(
    ("column", "sent", "message"),
    [
        ("number", "NaN", "NaN is not a number; send a number such as 12.5, or null where"),
        ("number", "-Infinity", "-Infinity is not a number; send"),
        ("number", "1e999", "inf is larger than a number can be; send"),
        ("number", "1" + "0" * 400, f"1{'0' * 79}... (401 characters) is larger than"),
        ("number", '"12"', "'12' is not a number; send"),
        ("number", "true", "true is not a number; send"),
        ("number!", "null", "is missing, but none was missing in the table that the model was "),
        ("boolean", '"true"', "'true' is not true or false; send true or false, or null where it"),
        ("boolean", "1", "1 is not true or false; send"),
        ("text", "1.0", "1.0 is not text; send text in quotes, or null where it is missing"),
        ("text", "false", "false is not text; send"),
        ("text", '["a"]', "['a'] is not text; send"),
        ("text!", "null", "is missing, but none was missing in the table"),
        (
            "date",
            "1735689600000",
            "1735689600000 is a number, which may be seconds, milliseconds or days; send a date in "
            'ISO 8601 such as "2024-12-31" or "2024-12-31T23:59:00Z", or null where it is missing',
        ),
        ("date", '"31.12.2024"', "'31.12.2024' is not a date; send"),
        ("date", '"20241231"', "'20241231' is not a date; send"),
        ("date", '"2024-02-30"', "'2024-02-30' is not a date (day is out of range for month); "),
        ("date", '"NaT"', "'NaT' is not a date; send"),
        ("date", '"9999-12-31"', "'9999-12-31' lies outside of the years 1678 to 2262; send"),
        ("date", '"0001-01-01T00:00:00+02:00"', "lies outside of the years 1678 to 2262; send"),
        ("date", "false", "false is not a date; send"),
    ],
)
def test_json_that_is_not_of_the_column_s_kind_is_refused(
    column: str, sent: str, message: str
) -> None:
    good = {"number": "1", "boolean": "true", "text": '"x"', "date": '"2024-12-31"'}
    table = _table(a=column)
    with pytest.raises(RequestError) as refused:
        _from_json(table, f"[{good[column.rstrip('!')]}]", f"[{sent}]")
    assert str(refused.value).startswith("row 2, column 'a': ")
    assert message in str(refused.value)


@pytest.mark.parametrize(
    ("column", "sent", "message"),
    [
        ("number", "n/k", "'n/k' is not a number; send a plain number such as 12.5, or nothing wh"),
        ("number", '"41,234"', "'41,234' is not a number; send"),
        ("number", "inf", "'inf' is not a number; send"),
        ("number", "1_000", "'1_000' is not a number; send"),
        ("number", "٣", "'٣' is not a number; send"),
        ("number", "1e999", "'1e999' is larger than a number can be; send"),
        ("number!", '""', "is missing, but none was missing in the table that the model was"),
        ("number!", "NA", "'NA' means missing, but none was missing in the table that the"),
        ("boolean", "1", "'1' is not true or false; send true or false, True or False, TRUE or"),
        ("boolean", "yes", "'yes' is not true or false; send"),
        ("boolean!", "NA", "'NA' means missing, but none was missing in the table that the"),
        ("date", "1735689600000", "'1735689600000' is not a date; send a date in ISO 8601 such as"),
        ("date", "soon", "'soon' is not a date; send"),
        ("date!", "NULL", "'NULL' means missing, but none was missing in the table that the"),
    ],
)
def test_csv_that_is_not_of_the_column_s_kind_is_refused(
    column: str, sent: str, message: str
) -> None:
    good = {"number": "1", "boolean": "true", "text": "x", "date": "2024-12-31"}
    with pytest.raises(RequestError) as refused:
        _from_csv(_table(a=column), good[column.rstrip("!")], sent)
    assert str(refused.value).startswith("row 2, column 'a': ")
    assert message in str(refused.value)


def test_a_refusal_names_the_formats_that_the_table_has() -> None:
    table = _table(d={"kind": "date", "format": {"strptime": "%d.%m.%Y"}})
    with pytest.raises(RequestError, match=r'12-31T23:59:00Z", or a text of the form %d\.%m\.%Y,'):
        _from_json(table, ["12/31/2024"])
    with pytest.raises(RequestError, match=r"such as 12\.5, or a text such as 1,234\.5\$, or noth"):
        _from_csv(_table(n=_US), "twelve")
    for number in ("1,23", "1,2345", "$", "1.2.3", "--1"):
        with pytest.raises(RequestError, match="is not a number"):
            _from_csv(_table(n=_US), f'"{number}"')


def test_columns_that_are_left_out() -> None:
    table = _table(a="number!", b="text!", c="date", d="text")
    frame = read_json({"inputs": {"b": "x", "a": 1}}, table)
    assert frame is not None
    assert list(frame) == ["a", "b", "c", "d"]
    assert frame["c"].tolist() == [pd.NaT]
    with pytest.raises(RequestError) as refused:
        read_csv(b"c,d\n2024-12-31,x", table)
    assert str(refused.value) == (
        "the request lacks the columns 'a', 'b'; send the columns that the model was trained on by "
        "their names; one may be left out only if values of it were missing there"
    )
    # All may be missing, but a request that has none of them is about something else.
    with pytest.raises(RequestError, match="lacks the columns 'c', 'd'; send"):
        read_csv(b"2024-12-31,x\n2024-12-30,y", _table(c="date", d="text"))


def test_a_record_may_lack_what_may_be_missing() -> None:
    table = _table(a="number!", b="text")
    frame = read_json({"dataframe_records": [{"a": 1}, {"a": 2, "b": "x"}]}, table)
    assert frame is not None
    assert frame["b"].tolist() == [None, "x"]
    with pytest.raises(RequestError, match="row 2, column 'a': is missing, but none was"):
        read_json({"dataframe_records": [{"a": 1}, {"b": "x"}]}, table)


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ({"dataframe_split": {"data": [[1]]}}, 'dataframe_split needs "columns" and "data", two'),
        (
            {"dataframe_split": [1]},
            'dataframe_split needs "columns" and "data", two lists. Send {"',
        ),
        ({"dataframe_split": {"columns": [0], "data": []}}, "are not all texts"),
        (
            {"dataframe_split": {"columns": ["a", "a"], "data": []}},
            "the request has the column 'a' more than once; send each column once",
        ),
        ({"dataframe_split": {"columns": ["a"], "data": [1]}}, 'row 1 of "data" is 1, not a list'),
        (
            {"dataframe_split": {"columns": ["a"], "data": [[1], [1, 2]]}},
            "row 2 has 2 values, but there are 1 columns; send one for each",
        ),
        ({"dataframe_split": {"columns": ["a"], "data": []}}, "the request holds no row; send at"),
        ({"dataframe_split": {"columns": ["z"], "data": [[1]]}}, "lacks the column 'a'; send"),
        ({"dataframe_records": {"a": 1}}, "dataframe_records is {'a': 1}, not a list of records"),
        ({"dataframe_records": [{"a": 1}, 5]}, "row 2 of dataframe_records is 5, not a record"),
        ({"dataframe_records": []}, "the request holds no row; send at least one"),
        ({"inputs": {"a": [1, 2], "b": 3}}, "column 'b' of inputs is 3, not a list of values"),
        (
            {"inputs": {"a": [1, 2], "b": [3]}},
            "the columns of inputs differ in length: 'b' has 1 values, 'a' has 2; send as many in",
        ),
        ({"inputs": {"a": []}}, "the request holds no row; send at least one"),
        ({"inputs": {}}, "the request lacks the column 'a'; send"),
    ],
)
def test_json_of_another_shape_is_refused(document: Any, message: str) -> None:
    with pytest.raises(RequestError) as refused:
        read_json(document, _table(a="number"))
    assert message in str(refused.value)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("a,b\n1", "row 1 has 1 values, but there are 2 columns; send one for each"),
        ("a,b\n1,x\n1,x,", "row 2 has 3 values, but there are 2 columns"),
        ("a,a\n1,1", "the request has the column 'a' more than once"),
        ("a,b\n", "the request holds no row after its header line, which names the columns; send"),
        ("", "the request holds no row after its header line"),
        ("z,b\n1,x", "the request lacks the column 'a'; send"),
        ('a,b\n1,"x', "line 2 is not CSV: unexpected end of data; put a field with a quote"),
        ('a,b\n1,"x"y', "line 2 is not CSV: ',' expected after '\"'; put"),
    ],
)
def test_csv_of_another_shape_is_refused(body: str, message: str) -> None:
    with pytest.raises(RequestError) as refused:
        read_csv(body.encode(), _table(a="number!", b="text"))
    assert message in str(refused.value)


def test_csv_in_another_encoding_is_refused_and_a_mark_at_its_begin_is_not() -> None:
    table = _table(t="text!")
    assert read_csv("\ufefft\nZürich".encode(), table)["t"].tolist() == ["Zürich"]
    with pytest.raises(RequestError) as refused:
        read_csv("t\nBern\nZürich".encode("latin-1"), table)
    assert str(refused.value) == "line 3 is not UTF-8 (byte 0xfc); send the text in UTF-8"


def test_fields_are_taken_as_they_stand_between_quotes() -> None:
    records = ('"a ""b"", c"', '"two\r\nlines"', " x ", '5" pipe', "")
    frame = _from_csv(_table(t="text!"), *records)
    # An empty line is no row, as for those who read files.
    assert frame["t"].tolist() == ['a "b", c', "two\r\nlines", " x ", '5" pipe']


def test_a_long_field_and_many_columns_are_read() -> None:
    assert len(_from_csv(_table(t="text!"), "x" * 1_000_000)["t"][0]) == 1_000_000
    table = _table(**{f"c{n}": "number" for n in range(5000)})
    assert _from_csv(table, ",".join("1" * 5000)).shape == (1, 5000)
