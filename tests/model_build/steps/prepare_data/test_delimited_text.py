"""Files as people have them: separators, encodings, titles, broken rows."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest
from errors import DataError

from tests.model_build.steps.tables import csv_of, parquet_of, prepare_files, table

BERNE = ["Bern", "Genève", "Zürich", "Brig-Glis"] * 50


@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
@pytest.mark.parametrize("name", ["a.csv", "a.tsv", "a.txt", "A.CSV"])
def test_any_of_the_usual_separators(tmp_path: Path, separator: str, name: str) -> None:
    body = csv_of(table(city=BERNE), sep=separator)
    result = prepare_files({name: body}, tmp_path)
    assert result.kinds == {"size": "number", "city": "text"}
    told = [text for text in result.findings if "separated" in text]
    assert told == ([] if separator == "," else [f": fields are separated by {separator!r}"])


def test_decimal_commas_between_semicolons(tmp_path: Path) -> None:
    body = csv_of(table(), sep=";", decimal=",")
    result = prepare_files({"a.csv": body}, tmp_path)
    assert sorted(result.rows["size"]) == list(table()["size"])


def test_separators_inside_quotes_are_text(tmp_path: Path) -> None:
    notes = ["a;b;c;d", "e;f;g;h", 'say "so"', "two\nlines"] * 50
    result = prepare_files({"a.csv": csv_of(table(note=notes))}, tmp_path)
    assert set(result.rows["note"]) == set(notes)


def test_a_quote_that_swallowed_rows_and_was_closed_by_chance_is_told(tmp_path: Path) -> None:
    lines = [f"{row};ok;{row}" for row in range(200)]
    lines[50], lines[80] = '50;"broken;50', '80;pipe 5";80'
    body = "size;note;target\n" + "\n".join(lines)
    result = prepare_files({"a.csv": body.encode()}, tmp_path)
    assert len(result.rows) == 170
    assert (
        ": row 51 of a.csv has a text that looks like rows of the table; is there a quote"
        in (result.findings[0])
    )


def test_a_first_row_longer_than_the_sample_is_read(tmp_path: Path) -> None:
    notes = ["x" * 2_000_000, *["plain"] * 199]
    assert len(prepare_files({"a.csv": csv_of(table(note=notes))}, tmp_path).rows) == 200


def test_a_text_with_lines_is_no_swallowed_row(tmp_path: Path) -> None:
    notes = ["two\nlines", "a list:\n- one\n- two, three\n- four", "plain", '5 "inch"'] * 50
    notes[0] = "x" * 2_000_000
    result = prepare_files({"a.csv": csv_of(table(note=notes))}, tmp_path)
    assert set(result.rows["note"]) == set(notes)
    assert result.findings == []


@pytest.mark.parametrize(
    ("encoding", "told"),
    [
        ("utf-8", None),
        ("utf-8-sig", None),
        ("utf-16", "utf-16"),
        ("utf-16-le", "utf-16-le"),
        ("utf-16-be", None),
        ("cp1252", "cp1252"),
        ("latin-1", "cp1252"),
    ],
)
@pytest.mark.parametrize("zipped", [False, True])
def test_encodings(tmp_path: Path, encoding: str, told: str | None, zipped: bool) -> None:
    text = csv_of(table(city=BERNE)).decode()
    body = text.encode(encoding)
    if encoding == "utf-16-be":
        body, told = b"\xfe\xff" + body, "utf-16"
    name = "a.csv.gz" if zipped else "a.csv"
    result = prepare_files({name: gzip.compress(body) if zipped else body}, tmp_path)
    assert set(result.rows["city"]) == set(BERNE)
    assert list(result.kinds) == ["size", "city"]
    expected = [f": {name} is not UTF-8; it was read as {told}"] if told else []
    assert [text for text in result.findings if "UTF-8" in text] == expected


@pytest.mark.parametrize("zipped", [False, True])
def test_a_byte_that_windows_has_no_character_for_makes_the_file_latin_1(
    tmp_path: Path, zipped: bool
) -> None:
    body = csv_of(table(city="x")).replace(b"x", b"\x81\xe9")
    name = "a.csv.gz" if zipped else "a.csv"
    result = prepare_files({name: gzip.compress(body) if zipped else body}, tmp_path)
    assert set(result.rows["city"]) == {"\x81é"}
    assert f": {name} is not UTF-8; it was read as latin-1" in result.findings


def test_a_character_beyond_the_first_block_counts_too(tmp_path: Path) -> None:
    rows = 60_000
    frame = table(rows, note="x" * 40)
    frame.loc[rows - 1, "note"] = "café"
    body = csv_of(frame).decode().encode("cp1252")
    assert len(body) > 2**21
    result = prepare_files({"a.csv": body}, tmp_path)
    assert "café" in set(result.rows["note"])


def test_blank_lines_are_passed_over(tmp_path: Path) -> None:
    body = b"\n\n" + csv_of(table()).replace(b"\n", b"\n\n", 3) + b"\n\n"
    assert len(prepare_files({"a.csv": body}, tmp_path).rows) == 200


def test_windows_line_ends(tmp_path: Path) -> None:
    body = csv_of(table(city=BERNE)).replace(b"\n", b"\r\n")
    assert set(prepare_files({"a.csv": body}, tmp_path).rows["city"]) == set(BERNE)


@pytest.mark.parametrize("end", [b"\n", b""])
def test_a_file_without_rows_changes_nothing(tmp_path: Path, end: bytes) -> None:
    files = {"a.csv": csv_of(table()), "b.csv": b"size,target" + end}
    assert len(prepare_files(files, tmp_path).rows) == 200


def test_columns_may_stand_in_another_order_in_another_file(tmp_path: Path) -> None:
    files = {"a.csv": csv_of(table()), "b.csv": csv_of(table()[["target", "size"]])}
    rows = prepare_files(files, tmp_path).rows
    assert list(rows["target"]) == list(rows["size"] * 2)


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({"a.csv": b""}, "a.csv of s3://tables/houses is empty"),
        ({"a.csv": b"\n\n"}, "a.csv of s3://tables/houses is empty"),
        ({"a.csv": b"size,target\n"}, "has no rows"),
        ({"a.csv": b"x", "b.parquet": b"x"}, "mixes text and Parquet"),
        ({"a.json": b"{}"}, "can't tell what a.json of s3://tables/houses is; names must end in"),
        ({"a.csv": b"size,target,size\n1,2,3\n"}, "more than one column called 'size'"),
        ({"a.csv": b",target\n0,1\n"}, "no name for column 1; .* write with index=False"),
        (
            {"a.csv": b"size,target\n1,2\n1,2,3\n"},
            "row 2 below the header has 3 fields, the header 2: '1,2,3'; name each column",
        ),
        ({"a.csv": b"size,target\n1,2\n1\n"}, "row 2 below the header has 1 fields, the header 2"),
        ({"a.csv": b"Sales 2024\nsize,target\n1,2\n"}, r"\('Sales 2024'\).*looks like a title"),
        ({"a.csv": b"Sales 2024,,\nsize,x,target\n1,2,3\n"}, "looks like a title above the header"),
        ({"a.csv": b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR"}, "NUL characters; is it binary"),
        (
            {"a.csv": b'x,target\n1,2\n3,"4\n5,6\n'},
            "broken quote in or after row 2 below the header",
        ),
        (
            {"a.csv": b'x,target\n1,"27 inch\n3,4\n5,"27 inch\n7,8\n'},
            "broken quote in or after row 1 .* write one inside a field twice",
        ),
        ({"a.csv": b'x,target\n"a \\"b\\" c",2\n'}, "broken quote in or after row 1 below"),
        ({"a.csv.gz": b"not compressed"}, "a.csv.gz of .* can't be read as CSV"),
        ({"a.csv.gz": gzip.compress(b"")[:10] + b"\xff" * 50}, "a.csv.gz of .* as CSV: .*decompr"),
        ({"a.csv.gz": gzip.compress(csv_of(table()))[:-20]}, "a.csv.gz of .* as CSV: Compressed"),
        ({"a.parquet": b"not parquet"}, "a.parquet of .* can't be read as Parquet"),
        ({"a.csv": b"a,target\n1,2\n", "b.csv": b"b,target\n1,2\n"}, "in columns: 'a', 'b'"),
    ],
)
def test_unreadable_files_get_one_clear_error(
    tmp_path: Path, files: dict[str, bytes], expected: str
) -> None:
    with pytest.raises(DataError, match=expected):
        prepare_files(files, tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_parquet_file_that_is_damaged_inside_is_named(tmp_path: Path) -> None:
    body = parquet_of(table())
    footer = body[:-60] + b"\xff" * 52 + body[-8:]
    pages = body[:4] + b"\xff" * 200 + body[204:]
    for damaged in (footer, pages):
        with pytest.raises(DataError, match=r"a\.parquet of s3://tables/houses can't be read as P"):
            prepare_files({"a.parquet": damaged}, tmp_path)


def test_row_numbers_that_pandas_adds_to_parquet_are_refused(tmp_path: Path) -> None:
    frame = table()
    body = frame[frame["size"] > 3].to_parquet()
    with pytest.raises(DataError, match=r"no name for column 3; .* write with index=False"):
        prepare_files({"a.parquet": body}, tmp_path)


def test_a_disk_that_fails_while_the_rows_are_read_is_told_by_the_file(tmp_path: Path) -> None:
    from delimited_text import open_delimited, read_batches

    path = tmp_path / "a.csv"
    path.write_bytes(csv_of(table()))
    file = open_delimited(path, "a.csv", "s3://tables/houses", tmp_path)
    path.unlink()
    with pytest.raises(
        DataError, match=r"a\.csv of s3://tables/houses can't be read as CSV: .*; c"
    ):
        list(read_batches(file, "s3://tables/houses"))
