"""What a column is follows from all its cells; what is odd is never silent."""

from __future__ import annotations

import datetime
import decimal
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from cell_formats import NumberFormat
from errors import DataError

from tests.model_build.steps.tables import csv_of, parquet_of, prepare_files, table

ROWS = 200


def cells(*values: str) -> list[str]:
    """A column of the table in which these texts take turns."""
    return [values[row % len(values)] for row in range(ROWS)]


def kind_of(folder: Path, values: list[Any], **options: Any) -> tuple[str, list[Any], list[str]]:
    """Kind of a CSV column, its first values as they are prepared, and what was told of it."""
    frame = table(ROWS, extra=values)
    result = prepare_files({"a.csv": csv_of(frame)}, folder, **options)
    rows = result.rows.sort_values("size")["extra"]
    found = [None if pd.isna(value) else value for value in rows[: len(set(values))]]
    told = [text for text in result.findings if text.startswith("extra:")]
    return result.kinds["extra"], found, told


@pytest.mark.parametrize(
    ("values", "kind", "expected"),
    [
        (cells("1", "2.5", "-3e2", "+4"), "number", [1.0, 2.5, -300.0, 4.0]),
        (cells("1", "", "3"), "number", [1.0, None, 3.0]),
        (cells("1", "NA", "nan", "null"), "number", [1.0, None, None, None]),
        (cells(" 1", "2 "), "number", [1.0, 2.0]),
        (cells("true", "false", ""), "boolean", [True, False, None]),
        (cells("True", "FALSE"), "boolean", [True, False]),
        (cells("yes", "no"), "text", ["yes", "no"]),
        (cells("NA", "DE", "CH"), "text", ["NA", "DE", "CH"]),
        (cells("None", "null", "N/A", "nan"), "text", ["None", "null", "N/A", "nan"]),
        (cells("a", "", "b"), "text", ["a", None, "b"]),
        (cells(" a", "a", '"quoted"', "1,5;x"), "text", [" a", "a", '"quoted"', "1,5;x"]),
        (cells("007", "010", "120"), "text", ["007", "010", "120"]),
        (cells("0.5", "0", "-0.25"), "number", [0.5, 0.0, -0.25]),
        (cells(str(2**60), str(2**60 + 1)), "text", [str(2**60), str(2**60 + 1)]),
        (cells(str(2**53), "1"), "number", [2.0**53, 1.0]),
        (cells("-9007199254740993", "1"), "text", ["-9007199254740993", "1"]),
        (
            cells("2024-01-31", "2024-02-01T10:30", "2024-02-01 10:30:15.5"),
            "date",
            [
                datetime.datetime(2024, 1, 31),
                datetime.datetime(2024, 2, 1, 10, 30),
                datetime.datetime(2024, 2, 1, 10, 30, 15, 500_000),
            ],
        ),
        (
            cells("2024-01-31T10:00Z", "2024-01-31T10:00:00+02:00", ""),
            "date",
            [datetime.datetime(2024, 1, 31, 10), datetime.datetime(2024, 1, 31, 8), None],
        ),
        (
            # A date without a zone is UTC, whatever stands before it.
            cells("2023-12-01 10:00:00-11:30", "2023-12-01 10:00", "2023-12-02"),
            "date",
            [
                datetime.datetime(2023, 12, 1, 21, 30),
                datetime.datetime(2023, 12, 1, 10),
                datetime.datetime(2023, 12, 2),
            ],
        ),
        (cells("12:30", "13:45"), "text", ["12:30", "13:45"]),
        (cells("044 123 456", "079 123 456"), "text", ["044 123 456", "079 123 456"]),
        (cells("001.234.567", "002.234.567"), "text", ["001.234.567", "002.234.567"]),
        (cells("1,152,921,504,606,846,977", "1,152,921,504,606,846,978"), "text", None),
        (cells("1152921504606846976.0", "1152921504606846977.0"), "text", None),
        (cells("5 kg", "6 kg"), "text", ["5 kg", "6 kg"]),
    ],
)
def test_a_csv_column_is_what_its_text_says(
    tmp_path: Path, values: list[str], kind: str, expected: list[Any] | None
) -> None:
    found, read, _ = kind_of(tmp_path, values)
    assert (found, read) == (kind, values[:2] if expected is None else expected)


@pytest.mark.parametrize(
    ("values", "expected", "written"),
    [
        (["1,234.5", "999", "1,000,000"], [1234.5, 999, 1e6], (",", ".", [])),
        (["1.234,5", "999", "1.000.000"], [1234.5, 999, 1e6], (".", ",", [])),
        (["1'234.5", "999", "10\u2019000"], [1234.5, 999, 1e4], ("'", ".", [])),
        (["1 234,5", "1\u00a0000", "10\u202f000"], [1234.5, 1000, 1e4], (" ", ",", [])),
        (["1,5", "2,25", "3"], [1.5, 2.25, 3], ("", ",", [])),
        (["12%", "7.5 %", "-3%"], [12, 7.5, -3], ("", ".", ["%"])),
        (["$1,200", "$3", "-$5"], [1200, 3, -5], (",", ".", ["$"])),
        (["1.200,50 €", "3 €", "0,5 €"], [1200.5, 3, 0.5], (".", ",", ["€"])),
        (["CHF 1'200", "CHF 3", "CHF 0.05"], [1200, 3, 0.05], ("'", ".", ["CHF"])),
        (["R$ 1.200,50", "R$ 3", "R$ 7"], [1200.5, 3, 7], (".", ",", ["R$"])),
    ],
)
def test_numbers_that_are_all_written_in_one_way_are_read_and_that_is_told(
    tmp_path: Path,
    values: list[str],
    expected: list[float],
    written: tuple[str, str, list[str]],
) -> None:
    frame = table(ROWS, extra=cells(*values))
    result = prepare_files({"a.csv": csv_of(frame)}, tmp_path)
    assert list(result.rows.sort_values("size")["extra"][:3]) == expected
    assert result.columns["extra"]["format"] == dict(
        zip(("thousands", "decimal", "affixes"), written, strict=True)
    )
    assert any(text.startswith("extra: its numbers are written with") for text in result.findings)


@pytest.mark.parametrize("separator", [",", ";"])
def test_whole_numbers_with_a_sign_need_no_marks(tmp_path: Path, separator: str) -> None:
    body = csv_of(table(ROWS, extra=cells("12%", "7%")), sep=separator)
    written = prepare_files({"a.csv": body}, tmp_path).columns["extra"]["format"]
    assert written == {"thousands": "", "decimal": ".", "affixes": ["%"]}


@pytest.mark.parametrize(
    ("values", "expected", "strptime"),
    [
        (["31.12.2024", "1.2.2024"], [(12, 31), (2, 1)], "%d.%m.%Y"),
        (["12/31/2024", "2/1/2024"], [(12, 31), (2, 1)], "%m/%d/%Y"),
        (["31/12/2024 08:15", "01/02/2024 23:59"], [(12, 31), (2, 1)], "%d/%m/%Y %H:%M"),
    ],
)
def test_dates_that_can_be_read_in_one_way_only_are_read_so_and_that_is_told(
    tmp_path: Path, values: list[str], expected: list[tuple[int, int]], strptime: str
) -> None:
    result = prepare_files({"a.csv": csv_of(table(ROWS, extra=cells(*values)))}, tmp_path)
    dates = result.rows.sort_values("size")["extra"][:2]
    assert [(date.month, date.day) for date in dates] == expected
    assert result.columns["extra"]["format"] == {"strptime": strptime}
    assert f"extra: its dates are written as {strptime}" in result.findings


@pytest.mark.parametrize(
    ("values", "expected", "separator"),
    [
        (["0,234", "0,999", "1"], [0.234, 0.999, 1], ","),
        (["1,234", "0,5", "2"], [1.234, 0.5, 2], ","),
        (["850", "6.878", "15.127"], [850, 6878, 15127], ";"),
        (["0.850", "6.878", "15.127"], [0.85, 6.878, 15.127], ";"),
        (["8.5", "6.878", "15.127"], [8.5, 6.878, 15.127], ";"),
        # Not thousands: 0 says nothing, 1500 has no point, and a comma file would have commas.
        (["0", "6.878", "15.127"], [0, 6.878, 15.127], ";"),
        (["1500", "6.878", "15.127"], [1500, 6.878, 15.127], ";"),
        (["850", "6.878", "15.127"], [850, 6.878, 15.127], ","),
        (["0,5", "3,3000000000000003", "2"], [0.5, 3.3000000000000003, 2], ";"),
        (["8,584.3532555418715", "0.5", "7"], [8584.3532555418715, 0.5, 7], ","),
        (["1.234,5", "1.234", "7"], [1234.5, 1234, 7], ";"),
        (["1,5", "1.234", "7"], [1.5, 1234, 7], ";"),
        ([",5", "1.234,5", "1,2e-05"], [0.5, 1234.5, 0.000012], ";"),
        (["1,234.5", ".5", "1e-05"], [1234.5, 0.5, 0.00001], ","),
    ],
)
def test_separators_are_told_apart_by_what_cannot_be(
    tmp_path: Path, values: list[str], expected: list[float], separator: str
) -> None:
    body = csv_of(table(ROWS, extra=cells(*values)), sep=separator)
    result = prepare_files({"a.csv": body}, tmp_path)
    assert list(result.rows.sort_values("size")["extra"][:3]) == expected
    assert result.columns["extra"]["gaps"] is False


@pytest.mark.parametrize(
    ("value", "kind"), [("2024-01-31", "date"), ("true", "boolean"), ("5", "number")]
)
def test_a_file_may_have_no_value_of_a_column_that_others_fill(
    tmp_path: Path, value: str, kind: str
) -> None:
    files = {"a.csv": csv_of(table(extra=value)), "b.csv": csv_of(table(extra=None))}
    result = prepare_files(files, tmp_path)
    assert result.kinds["extra"] == kind
    assert result.rows["extra"].notna().sum() == 200


def test_three_digits_after_each_point_are_told(tmp_path: Path) -> None:
    _, read, told = kind_of(tmp_path, cells("6.878", "15.127"))
    assert read == [6.878, 15.127]
    assert "extra: no value has other than three digits after its point; they were" in told[0]


def test_dates_that_can_be_read_in_two_ways_are_text_and_that_is_told(tmp_path: Path) -> None:
    kind, _, told = kind_of(tmp_path, cells("01/02/2024", "03/04/2024"))
    assert kind == "text"
    assert "can be read as %d/%m/%Y or %m/%d/%Y; write ISO" in told[0]


def one_of_many(value: str, row: int = 17) -> list[str]:
    values = [f"{size:.2f}" for size in np.linspace(20, 200, ROWS)]
    values[row - 1] = value
    return values


@pytest.mark.parametrize("value", ["n/k", "41,234", "12%", "1.2.3", "€ 5", "2024-01-01", "1 000"])
def test_one_odd_value_among_numbers_is_refused_with_its_place(tmp_path: Path, value: str) -> None:
    with pytest.raises(DataError) as refused:
        kind_of(tmp_path / "x", one_of_many(value))
    assert f"column 'extra': 1 of 200 values are no numbers, first {value!r} (a.csv, row 17)" in (
        str(refused.value)
    )
    assert "OddValues: missing (they count as missing) or text" in str(refused.value)


@pytest.mark.parametrize("value", ["soon", "2024-02-30", "9999-12-31", "1066-10-14", "31.12.2024"])
def test_one_odd_value_among_dates_is_refused_with_its_place(tmp_path: Path, value: str) -> None:
    dates = [str(day.date()) for day in pd.date_range("2024-01-01", periods=ROWS)]
    dates[4] = value
    with pytest.raises(DataError, match=r"1 of 200 values are no dates between .* row 5\)"):
        kind_of(tmp_path / "x", dates)


def test_far_dates_are_odd_however_many_they_are(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"150 of 200 values are no dates between 1677 and 2262"):
        kind_of(tmp_path / "a", cells("9999-12-31", "2024-01-01", "9999-12-31", "9999-12-31"))
    kind, read, _ = kind_of(tmp_path / "b", cells("9999-12-31", "2024-01-01"), odd_values="missing")
    assert (kind, read) == ("date", [None, datetime.datetime(2024, 1, 1)])


@pytest.mark.parametrize("odd", ["n/k", "5.5"])
def test_ids_stay_text_beside_another_value(tmp_path: Path, odd: str) -> None:
    ids = [str(2**60 + row % 150) for row in range(ROWS)]
    ids[16] = odd
    for policy in ("refuse", "missing", "text"):
        frame = table(ROWS, extra=ids)
        result = prepare_files({"a.csv": csv_of(frame)}, tmp_path / policy, odd_values=policy)
        assert result.kinds["extra"] == "text"
        assert result.rows["extra"].nunique() == 151
        assert any("beyond 2^53" in text for text in result.findings)


def test_all_odd_columns_are_named_at_once(tmp_path: Path) -> None:
    frame = table(ROWS, one=one_of_many("n/k"), two=one_of_many("?", row=3))
    with pytest.raises(DataError, match=r"'one': 1 of 200 .*; column 'two': 1 of 200 .* row 3\)"):
        prepare_files({"a.csv": csv_of(frame)}, tmp_path)
    assert not list(tmp_path.iterdir())


def test_odd_values_count_as_missing_if_that_is_asked_for_and_are_told(tmp_path: Path) -> None:
    kind, _, told = kind_of(tmp_path, one_of_many("n/k"), odd_values="missing")
    assert kind == "number"
    assert told == ["extra: 1 values are no numbers, taken as missing; first 'n/k' (a.csv, row 17)"]


def test_odd_values_make_the_column_text_if_that_is_asked_for_and_are_told(tmp_path: Path) -> None:
    kind, read, told = kind_of(tmp_path, one_of_many("n/k"), odd_values="text")
    assert (kind, read[0]) == ("text", "20.00")
    assert "so the column is text; first 'n/k' (a.csv, row 17)" in told[0]


def test_rows_whose_target_is_odd_are_left_out_if_that_is_asked_for(tmp_path: Path) -> None:
    frame = table(ROWS).astype({"target": object})
    frame.loc[3, "target"] = "n/k"
    with pytest.raises(DataError, match="'target': 1 of 200 values are no numbers, first 'n/k'"):
        prepare_files({"a.csv": csv_of(frame)}, tmp_path / "a")
    result = prepare_files({"a.csv": csv_of(frame)}, tmp_path / "b", odd_values="missing")
    assert len(result.rows) == ROWS - 1


@pytest.mark.parametrize(
    ("written", "text", "number"),
    [
        (NumberFormat(), "n/k", None),
        (NumberFormat(), " 1e-05 ", 1e-05),
        (NumberFormat(thousands=","), "1,234.5", 1234.5),
        (NumberFormat(thousands=","), ".5", 0.5),
        (NumberFormat(decimal=","), "1,5", 1.5),
        (NumberFormat(decimal=","), ".5", None),
        (NumberFormat(affix="%"), "5 %", 5.0),
        (NumberFormat(affix="%"), ".5", None),
    ],
)
def test_a_format_reads_its_own_numbers_only(
    written: NumberFormat, text: str, number: float | None
) -> None:
    assert written.read(text) == number


def test_a_date_among_texts_is_nothing_to_tell(tmp_path: Path) -> None:
    words = ["Bern", "Basel", "Genf", "Chur"]
    kind, _, told = kind_of(tmp_path, ["2024-01-31", *cells(*words)[1:]])
    assert (kind, told) == ("text", [])


def test_a_text_column_with_many_numbers_is_told(tmp_path: Path) -> None:
    kind, _, told = kind_of(tmp_path, cells("1", "2", "A7"))
    assert (kind, told) == ("text", ["extra: read as text: only 134 of 200 values are numbers"])


@pytest.mark.parametrize(
    ("values", "told"),
    [
        (["$1,200", "€1,200", "£1,200"], "its numbers are not all written in the same way"),
        (["2024-01-31", "31.12.2024", "12/31/2024"], "its dates are not all written in the same"),
        (["31 Dec 2024", "1 Jan 2025"], "look like numbers, dates or codes, in a way that is not"),
        (["9:30 pm", "10:15 am"], "look like numbers, dates or codes, in a way that is not read"),
        (["31.12.24", "1.1.25"], "look like numbers, dates or codes, in a way that is not read"),
        (["2024-01-01 10:00 UTC", "2024-01-02 11:00 UTC"], "look like numbers, dates or codes"),
        (["20240102T1000", "20240103T1100"], "look like numbers, dates or codes, in a way that"),
        (["2024-13-45", "2024-02-30"], "look like numbers, dates or codes, in a way that is not"),
        (["32.12.2024", "31.13.2024"], "look like numbers, dates or codes, in a way that is not"),
        (["(123)", "5-"], "look like numbers, dates or codes, in a way that is not read"),
        (["?", "?", "5"], "only 66 of 200 values are numbers"),
        (["true", "false", "n/k?"], "only 134 of 200 values are true or false"),
    ],
)
def test_text_that_looks_like_something_else_is_told(
    tmp_path: Path, values: list[str], told: str
) -> None:
    kind, _, findings = kind_of(tmp_path, cells(*values))
    assert kind == "text"
    assert told in findings[0]


def test_plain_text_is_not_worth_a_word(tmp_path: Path) -> None:
    assert kind_of(tmp_path, cells("Bern", "Basel", "A7", "B12 north"))[2] == []
    assert kind_of(tmp_path / "b", cells("улица 1", "東京1丁目", "ä1"))[2] == []


def test_words_for_missing_are_counted_and_told(tmp_path: Path) -> None:
    assert kind_of(tmp_path / "a", cells("1", "NA"))[2] == ["extra: 'NA' (100): missing here"]
    assert kind_of(tmp_path / "b", cells("CH", "NA"))[2] == [
        "extra: 'NA' (100): text here; only an empty field is missing"
    ]


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        (["1", "", "3"], ["A7", "1", "B"], {"1", "3", "A7", "B"}),
        (["True", "False", "True"], ["maybe", "True", "no"], {"True", "False", "maybe", "no"}),
        (["2024-01-01", "", "2024-01-02"], ["soon", "x", "y"], {"2024-01-01", "2024-01-02"}),
    ],
)
def test_a_column_has_one_kind_in_all_files_of_a_prefix(
    tmp_path: Path, one: list[str], other: list[str], expected: set[str]
) -> None:
    files = {
        "a.csv": csv_of(table(60, code=one * 20)),
        "b.csv": csv_of(table(60, code=other * 20)),
    }
    result = prepare_files(files, tmp_path)
    assert result.kinds["code"] == "text"
    assert expected <= set(result.rows["code"].dropna())
    assert "1.0" not in set(result.rows["code"])


# --- Parquet, whose files say what a column is


@pytest.mark.parametrize(
    ("values", "kind", "expected"),
    [
        (pa.array([1, 2] * 100, pa.int8()), "number", [1.0, 2.0]),
        (pa.array([1, None] * 100, pa.int64()), "number", [1.0, None]),
        (pa.array([1.5, float("nan")] * 100, pa.float32()), "number", [1.5, None]),
        (pa.array([decimal.Decimal("1.5"), None] * 100), "number", [1.5, None]),
        (pa.array([2**60, 2**60 + 1] * 100), "text", [str(2**60), str(2**60 + 1)]),
        (pa.array([2**63 + 1, 5] * 100, pa.uint64()), "text", [str(2**63 + 1), "5"]),
        (pa.array([True, None] * 100), "boolean", [True, None]),
        (pa.array(["NA", "1"] * 100), "text", ["NA", "1"]),
        (pa.array(["", "1"] * 100, pa.large_string()), "text", [None, "1"]),
        (pa.array(["x", "y"] * 100).dictionary_encode(), "text", ["x", "y"]),
        (pa.array(["x", "y"] * 100).cast(pa.string_view()), "text", ["x", "y"]),
        (
            pa.array([datetime.date(2024, 1, 31), None] * 100),
            "date",
            [datetime.datetime(2024, 1, 31), None],
        ),
        (
            pa.array([datetime.datetime(2024, 1, 31, 10)] * 200, pa.timestamp("ns", "Asia/Tokyo")),
            "date",
            [datetime.datetime(2024, 1, 31, 10)] * 2,
        ),
        (pa.array([datetime.timedelta(minutes=1), None] * 100), "number", [60.0, None]),
    ],
)
def test_a_parquet_column_keeps_its_kind(
    tmp_path: Path, values: pa.Array, kind: str, expected: list[Any]
) -> None:
    columns = pa.Table.from_pandas(table(ROWS)).append_column("extra", values)
    pq.write_table(columns, tmp_path / "a.parquet")
    body = (tmp_path / "a.parquet").read_bytes()
    result = prepare_files({"a.parquet": body}, tmp_path / "out")
    rows = result.rows.sort_values("size")["extra"]
    assert result.kinds["extra"] == kind
    assert [None if pd.isna(value) else value for value in rows[:2]] == expected


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (pa.array([[1], [2]] * 100), "'extra' in .* holds list<"),
        (pa.array([{"a": 1}, None] * 100), "'extra' in .* holds struct<"),
        (pa.array([b"raw", None] * 100), "'extra' in .* holds binary"),
        (pa.array([datetime.time(1), None] * 100), "'extra' in .* holds time64"),
        (pa.array([1.0, float("inf")] * 100), r"'extra' in .* has 100 infinite .* row 2\)"),
        (pa.array([1.0, -1e39] * 100), "'extra' in .* has 100 .* values beyond 3.4e38"),
        (
            pa.array([datetime.date(9999, 12, 31), *[datetime.date(2024, 1, 1)] * 199]),
            r"'extra': 1 of 200 values are no dates .*, first '9999-12-31' \(a.parquet, row 1\)",
        ),
    ],
)
def test_what_no_model_can_use_is_refused(tmp_path: Path, values: pa.Array, expected: str) -> None:
    columns = pa.Table.from_pandas(table(ROWS)).append_column("extra", values)
    pq.write_table(columns, tmp_path / "a.parquet")
    with pytest.raises(DataError, match=expected):
        prepare_files({"a.parquet": (tmp_path / "a.parquet").read_bytes()}, tmp_path / "out")


def test_whole_numbers_beside_text_in_parquet_are_text_and_other_kinds_are_refused(
    tmp_path: Path,
) -> None:
    text = parquet_of(table(60, code=["A7", "1", "x"] * 20))
    whole = parquet_of(table(60, code=[1, 2, 3] * 20))
    result = prepare_files({"a.parquet": whole, "b.parquet": text}, tmp_path / "a")
    assert set(result.rows["code"]) == {"1", "2", "3", "A7", "x"}
    floats = parquet_of(table(60, code=[1.0, None, 3.0] * 20))
    with pytest.raises(DataError, match=r"'code': double in a.parquet and string in b.parquet"):
        prepare_files({"a.parquet": floats, "b.parquet": text}, tmp_path / "b")


def test_text_of_a_parquet_file_that_looks_like_numbers_is_told(tmp_path: Path) -> None:
    frame = table(ROWS, amount=cells("1.5", "2"), city=cells("Bern", "Basel"))
    result = prepare_files({"a.parquet": parquet_of(frame)}, tmp_path)
    assert result.kinds["amount"] == "text"
    assert [text for text in result.findings if "text" in text] == [
        "amount: read as text: the file has it as text, though its values are numbers; write them "
        "as such"
    ]


@pytest.mark.parametrize(
    ("kinds", "values"),
    [
        ([pa.decimal128(38, 10)], 150),
        ([pa.decimal128(20, 0), pa.decimal128(22, 0)], 150),
        ([pa.int64(), pa.decimal128(20, 0)], 150),
    ],
)
def test_ids_of_decimals_stay_apart(tmp_path: Path, kinds: list[pa.DataType], values: int) -> None:
    files = {}
    for number, kind in enumerate(kinds):
        ids = pa.array([decimal.Decimal(2**60 + row % 150) for row in range(ROWS)]).cast(kind)
        columns = pa.Table.from_pandas(table(ROWS)).append_column("id", ids)
        pq.write_table(columns, tmp_path / f"{number}.parquet")
        files[f"{number}.parquet"] = (tmp_path / f"{number}.parquet").read_bytes()
    result = prepare_files(files, tmp_path / "out")
    assert result.kinds["id"] == "text"
    assert result.rows["id"].nunique() == values
    assert set(result.rows["id"]) <= {str(2**60 + row) for row in range(150)}
    raw = result.read("raw_rows.json")
    assert {type(cells[1]) for cells in raw["rows"]} == {int}


def test_whole_numbers_that_a_fraction_elsewhere_would_blur_are_refused_by_file(
    tmp_path: Path,
) -> None:
    ids = parquet_of(table(60, id=np.arange(60) + 2**60 + 1))
    fractions = parquet_of(table(60, id=np.arange(60) + 0.5))
    with pytest.raises(DataError, match=r"'id' of a.parquet holds int64 that double.*same type in"):
        prepare_files({"a.parquet": ids, "b.parquet": fractions}, tmp_path)


def test_moments_as_text_are_what_a_client_sends(tmp_path: Path) -> None:
    moments = [datetime.datetime(2024, 1, 1 + row % 20, 10) for row in range(ROWS - 1)]
    values = pa.array([*moments, datetime.datetime(9999, 12, 31)], pa.timestamp("us"))
    columns = pa.Table.from_pandas(table(ROWS)).append_column("at", values)
    pq.write_table(columns, tmp_path / "a.parquet")
    files = {"a.parquet": (tmp_path / "a.parquet").read_bytes()}
    result = prepare_files(files, tmp_path / "out", odd_values="text")
    assert "9999-12-31T00:00:00" in set(result.rows["at"])
    raw = result.read("raw_rows.json")
    kept = result.test["at"].iloc[raw["positions"]]
    assert [cells[1] for cells in raw["rows"]] == list(kept)


def test_infinite_numbers_of_a_csv_file_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"has 100 infinite values.*first 'inf' \(a.csv, row 2\)"):
        kind_of(tmp_path / "x", cells("1", "inf"))


# --- the target


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        ([None] * 200, "every value of the target 'target' .* is missing"),
        ([7.0] * 200, "is the same in every row"),
        ([1.0, np.inf] * 100, "infinite"),
        (list(pd.date_range("2024-01-01", periods=200)), "is a date"),
        ([True] * 200, "is the same in every row"),
    ],
)
def test_unusable_target_is_refused(tmp_path: Path, target: list[Any], expected: str) -> None:
    with pytest.raises(DataError, match=expected):
        prepare_files({"a.csv": csv_of(table(200).assign(target=target))}, tmp_path / "x")


def test_missing_target_column_lists_the_columns(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no column 'price' to predict; it has 'size', 'target'"):
        prepare_files({"a.csv": csv_of(table())}, tmp_path / "x", target="price")


def test_target_alone_is_not_enough(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no column but 'target' to predict from"):
        prepare_files({"a.csv": csv_of(table()[["target"]])}, tmp_path / "x")


def test_parquet_files_that_differ_in_columns_are_refused(tmp_path: Path) -> None:
    for other in (table(60), table(60, age=1, more=2)):
        files = {"a.parquet": parquet_of(table(60, age=1)), "b.parquet": parquet_of(other)}
        with pytest.raises(DataError, match=r"differ in columns: '(age|more)'"):
            prepare_files(files, tmp_path)
