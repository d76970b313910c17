"""Raw rows: the cells as the file has them, in JSON and in CSV, and the remarkable among them."""

from __future__ import annotations

import csv
import io
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from column_kinds import Column
from raw_rows import to_json

from tests.model_build.steps.tables import csv_of, parquet_of, prepare_files, table


def test_cells_are_those_of_a_csv_file(tmp_path: Path) -> None:
    rows = 200
    frame = table(
        rows,
        id=[str(2**60 + row) for row in range(rows)],
        flag=["true", "False", ""] * 66 + ["true", "true"],
        when=["2024-01-31", "", "2024-02-01T10:00Z", "NA"] * 50,
        amount=["1,234.5", "7"] * 100,
        country=["NA", "DE", "two\nlines", 'say "so", now', ""] * 40,
        n=["1", "NA", "2.50", ""] * 50,
    )
    result = prepare_files({"a.csv": csv_of(frame)}, tmp_path)
    raw = result.read("raw_rows.json")
    assert raw["columns"] == [name for name in frame.columns if name != "target"]
    assert 20 < len(raw["rows"]) == len(raw["csv"]) == len(raw["positions"]) <= 100
    source = frame.set_index("id")
    prepared = result.test.reset_index(drop=True)
    rows_kept = zip(raw["rows"], raw["csv"], raw["positions"], strict=True)
    for number, (cells, record, position) in enumerate(rows_kept):
        row = dict(zip(raw["columns"], cells, strict=True))
        assert isinstance(row["id"], str if number % 2 == 0 else int)
        row["id"] = str(row["id"])
        original = source.loc[row["id"]]
        fields = dict(zip(raw["columns"], next(csv.reader(io.StringIO(record))), strict=True))
        expected = original[[name for name in raw["columns"] if name != "id"]]
        assert {name: fields[name] for name in expected.index} == {
            name: str(value) for name, value in expected.items()
        }
        assert prepared.loc[position, "id"] == row["id"] == fields["id"]
        assert row["country"] == (original["country"] or None)
        assert row["when"] == (None if original["when"] in ("", "NA") else original["when"])
        assert row["amount"] == original["amount"] or row["amount"] == 7
        assert row["flag"] == {"true": True, "False": False, "": None}[original["flag"]]
        assert row["n"] == {"1": 1, "2.50": 2.5}.get(original["n"])


def test_cells_are_those_of_a_parquet_file(tmp_path: Path) -> None:
    rows = 200
    frame = table(
        rows,
        id=np.arange(rows) + 2**60,
        flag=pd.array([True, False, None, True] * 50, dtype="boolean"),
        when=pd.to_datetime(["2024-01-31T10:00", None] * 100),
        country=["NA", None] * 100,
    )
    raw = prepare_files({"a.parquet": parquet_of(frame)}, tmp_path).read("raw_rows.json")
    row = dict(zip(raw["columns"], raw["rows"][0], strict=True))
    assert isinstance(row["id"], int)
    assert row["id"] >= 2**60
    assert {type(cells[2]) for cells in raw["rows"]} == {bool, type(None)}
    assert {cells[3] for cells in raw["rows"]} == {"2024-01-31T10:00:00", None}
    fields = next(csv.reader(io.StringIO(raw["csv"][0])))
    assert fields[1] == str(row["id"])


def test_what_is_rare_and_remarkable_is_among_them(tmp_path: Path) -> None:
    rows = 20_000
    frame = table(rows, country="DE", score="1.5", note="plain")
    frame.loc[::400, "country"] = "NA"
    frame.loc[::500, "score"] = ""
    frame.loc[::600, "note"] = "née"
    raw = prepare_files({"a.csv": csv_of(frame)}, tmp_path).read("raw_rows.json")
    assert len(raw["rows"]) == 100
    by_column = dict(zip(raw["columns"], zip(*raw["rows"], strict=True), strict=True))
    assert "NA" in by_column["country"]
    assert None in by_column["score"]
    assert "née" in by_column["note"]


def test_what_is_rarely_missing_in_a_parquet_file_is_among_them(tmp_path: Path) -> None:
    frame = table(20_000, score=1.5)
    frame.loc[::500, "score"] = None
    raw = prepare_files({"a.parquet": parquet_of(frame)}, tmp_path).read("raw_rows.json")
    assert len(raw["rows"]) == 100
    assert {cells[1] for cells in raw["rows"]} == {1.5, None}


def test_rows_with_odd_values_are_not_among_them(tmp_path: Path) -> None:
    frame = table(200, extra="5").astype({"extra": object})
    frame.loc[::11, "extra"] = "n/k"
    result = prepare_files({"a.csv": csv_of(frame)}, tmp_path, odd_values="missing")
    raw = result.read("raw_rows.json")
    assert {cells[1] for cells in raw["rows"]} == {5}
    assert result.test["extra"].isna().any()


def test_columns_that_were_left_out_are_not_in_them(tmp_path: Path) -> None:
    frame = table(200, nothing=None)
    raw = prepare_files({"a.csv": csv_of(frame)}, tmp_path).read("raw_rows.json")
    assert raw["columns"] == ["size"]
    assert all(len(cells) == 1 for cells in raw["rows"])


@pytest.mark.parametrize(
    ("cell", "kind", "sent"),
    [("1.5", "text", "1.5"), ("1.5", "number", 1.5), ("7.00", "text", 7), ("7.00", "number", 7)],
)
def test_a_decimal_is_sent_by_the_kind_of_its_column(cell: str, kind: Any, sent: Any) -> None:
    found = to_json(Decimal(cell), Column(name="price", kind=kind))
    assert (found, type(found)) == (sent, type(sent))
