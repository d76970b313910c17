"""The same row is on the same side, whatever stands around it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from errors import DataError
from splitting import SplitRule, digest_texts

from tests.model_build.steps.tables import Result, csv_of, parquet_of, prepare_files, table


def held_out(folder: Path, frame: pd.DataFrame, **options: object) -> set[float]:
    result = prepare_files({"a.csv": csv_of(frame)}, folder, **options)  # type: ignore[arg-type]
    assert sorted(result.rows["size"]) == sorted(frame["size"])
    return set(result.test["size"])


def assert_units(result: Result, expected: pd.Series) -> None:
    """Two rows of the test part have one unit if, and only if, they have one expected value."""
    units = result.units
    assert units.dtype == "uint64"
    assert 1 < units.nunique() < len(units) == len(result.test)
    pairs = set(zip(units, expected, strict=True))
    assert len(pairs) == units.nunique() == expected.nunique()


def test_a_row_stays_on_its_side_from_version_to_version() -> None:
    """A champion would otherwise have learned from rows that are held out now."""
    digests = digest_texts(pa.array([f"row {number}" for number in range(100)]))
    chosen = [
        np.flatnonzero(SplitRule.read("row", 0.25, seed).choose(digests)).tolist()
        for seed in (42, 7)
    ]
    assert chosen == [
        [
            *(10, 12, 18, 21, 22, 36, 39, 40, 41, 50, 52, 54, 56, 60, 62, 63, 70, 71, 74, 84, 85),
            *(86, 87, 90, 98),
        ],
        [3, 8, 9, 11, 29, 32, 33, 50, 52, 57, 62, 65, 70, 72, 73, 76, 80, 90, 95],
    ]
    assert SplitRule.read("row", 1.0, 42).choose(digests).all()


def test_order_columns_and_further_rows_move_no_row(tmp_path: Path) -> None:
    frame = table(400)
    first = held_out(tmp_path / "a", frame)
    assert 70 <= len(first) <= 130
    assert held_out(tmp_path / "b", frame.sample(frac=1, random_state=1)) == first
    assert held_out(tmp_path / "c", frame[["target", "size"]]) == first
    longer = pd.concat([frame, table(401).tail(1)])
    assert held_out(tmp_path / "d", longer) - {longer["size"].iloc[-1]} == first
    assert held_out(tmp_path / "e", frame, random_seed=43) != first


def test_a_row_whose_kind_changes_the_column_moves_no_other(tmp_path: Path) -> None:
    frame = table(400, code=[str(row) for row in range(400)])
    first = held_out(tmp_path / "a", frame)
    longer = pd.concat([frame, table(600).tail(200).assign(code="A7")])
    assert held_out(tmp_path / "b", longer) & set(frame["size"]) == first


@pytest.mark.parametrize("write", [csv_of, parquet_of])
def test_exact_copies_are_on_one_side_and_are_told(tmp_path: Path, write: object) -> None:
    frame = pd.concat([table(100), table(100), table(50)])
    name = "a.csv" if write is csv_of else "a.parquet"
    result = prepare_files({name: write(frame)}, tmp_path)  # type: ignore[operator]
    assert not set(result.train["size"]) & set(result.test["size"])
    assert result.read("dataset.json")["duplicate_rows"] == 150
    assert any("150 of 250 rows are exact copies of others" in text for text in result.findings)


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_about_the_share_that_was_asked_for_is_held_out(tmp_path: Path, share: float) -> None:
    chosen = held_out(tmp_path, table(2000), test_size=share)
    assert len(chosen) / 2000 == pytest.approx(share, abs=0.04)


def test_groups_are_on_one_side_as_a_whole(tmp_path: Path) -> None:
    frame = table(400, city=[f"city {row % 40}" for row in range(400)])
    result = prepare_files({"a.csv": csv_of(frame)}, tmp_path, split_by="group:city")
    assert not set(result.train["city"]) & set(result.test["city"])
    assert result.read("dataset.json")["split_by"] == "group:city"


def test_a_group_is_a_value_not_its_text(tmp_path: Path) -> None:
    files = {
        "a.csv": csv_of(table(200, shop=[f"{row % 20}" for row in range(200)])),
        "b.csv": csv_of(table(200, shop=[f"{row % 20}.0" for row in range(200)])),
        "c.csv": csv_of(table(200, shop=[f" {row % 20}" for row in range(200)])),
    }
    result = prepare_files(files, tmp_path, split_by="group:shop")
    assert not set(result.train["shop"]) & set(result.test["shop"])


def test_another_share_than_was_asked_for_is_told(tmp_path: Path) -> None:
    days = ["2024-01-01"] * 160 + ["2024-01-02"] * 240
    result = prepare_files({"a.csv": csv_of(table(400, day=days))}, tmp_path, split_by="time:day")
    assert (
        ": 240 of 400 rows are held out, where TestSize is 0.25: time:day keeps together"
        in (result.findings[-1])
    )


@pytest.mark.parametrize("kind", ["date", "number"])
def test_the_newest_rows_are_held_out(tmp_path: Path, kind: str) -> None:
    days = pd.date_range("2024-01-01", periods=400)
    moments = [str(day.date()) for day in days] if kind == "date" else list(range(400))
    frame = table(400, sold=moments).sample(frac=1, random_state=1)
    result = prepare_files({"a.csv": csv_of(frame)}, tmp_path, split_by="time:sold")
    assert result.train["sold"].max() < result.test["sold"].min()
    assert len(result.test) == 100


def test_rows_of_one_moment_are_on_one_side_and_those_without_are_trained_on(
    tmp_path: Path,
) -> None:
    years = np.repeat([2020.0, 2021.0, 2022.0, np.nan], 100)
    result = prepare_files(
        {"a.csv": csv_of(table(400, year=years))}, tmp_path, split_by="time:year"
    )
    assert set(result.test["year"]) == {2022.0}
    assert any("100 rows have no time; they are used for training" in t for t in result.findings)


def test_copies_of_a_row_are_one_unit_of_the_test_part(tmp_path: Path) -> None:
    frame = pd.concat([table(100), table(100), table(50)])
    result = prepare_files({"a.csv": csv_of(frame)}, tmp_path)
    assert_units(result, result.test["size"])


def test_a_group_is_one_unit_whatever_file_its_rows_are_in(tmp_path: Path) -> None:
    shops = pd.Series([f"{row % 20}" for row in range(200)]).where(np.arange(200) % 20 != 3)
    files = {
        "a.csv": csv_of(table(200, shop=shops)),
        "b.csv": csv_of(table(200, shop=[f"{row % 20}.0" for row in range(200)])),
    }
    result = prepare_files(files, tmp_path, split_by="group:shop", test_size=0.5)
    assert result.test["shop"].isna().any()
    assert_units(result, result.test["shop"].fillna(-1))


@pytest.mark.parametrize("kind", ["date", "number"])
def test_a_moment_is_one_unit(tmp_path: Path, kind: str) -> None:
    days = np.arange(400) // 3
    sold = [f"2024-01-01T{day // 60:02}:{day % 60:02}" for day in days] if kind == "date" else days
    frame = table(400, sold=sold).sample(frac=1, random_state=1)
    result = prepare_files({"a.csv": csv_of(frame)}, tmp_path, split_by="time:sold")
    assert_units(result, result.test["sold"])


def test_a_moment_of_minus_zero_is_that_of_zero(tmp_path: Path) -> None:
    frame = table(400, sold=["-3", "-2", "-1", "0", "-3", "-2", "-1", "-0.0"] * 50)
    result = prepare_files({"a.csv": csv_of(frame)}, tmp_path, split_by="time:sold")
    assert len(result.test) == 100
    assert result.units.nunique() == 1


def test_rows_without_a_target_are_no_units(tmp_path: Path) -> None:
    frame = table(200)
    frame.loc[::3, "target"] = None
    result = prepare_files({"a.csv": csv_of(frame)}, tmp_path)
    assert len(result.units) == len(result.test) < 60


@pytest.mark.parametrize(
    ("split_by", "expected"),
    [
        ("rows", "SplitBy is 'rows'; give row, time:<column> or group:<column>"),
        ("time:", "SplitBy is 'time:'"),
        ("time:sold", "SplitBy names the column 'sold', which .* doesn't have; it has 'city',"),
        ("group:empty", "SplitBy names the column 'empty', which .* has no value in"),
        ("time:city", "the column 'city' of .* is text; time:<column> needs dates"),
        ("group:city", "has 200 usable rows: .* by group:city; each needs at least 5"),
    ],
)
def test_a_split_that_cannot_be_made_is_refused(
    tmp_path: Path, split_by: str, expected: str
) -> None:
    frame = table(city="Bern", empty=None)
    with pytest.raises(DataError, match=expected):
        prepare_files({"a.csv": csv_of(frame)}, tmp_path, split_by=split_by)


@pytest.mark.parametrize(("rows", "test_size"), [(9, 0.25), (40, 0.01), (40, 0.99)])
def test_too_few_rows_are_refused(rows: int, test_size: float, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=f"has {rows} usable rows: .* each needs at least 5"):
        prepare_files({"a.csv": csv_of(table(rows))}, tmp_path, test_size=test_size)
