"""What PrepareData wrote comes back with the dtypes that the model is made for."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from training_data import TrainingDataError, read_training_data


def test_each_kind_of_column_has_its_dtype(prepared: Path) -> None:
    data = read_training_data(prepared, "price")
    for part in (data.train, data.test):
        assert {name: str(dtype) for name, dtype in part.features.dtypes.items()} == {
            "size": "float64",
            "rooms": "float64",
            "city": "object",
            "id": "object",
            "sold": "datetime64[ns]",
            "garden": "object",
        }
        assert set(part.features["garden"]) == {True, False}
        assert part.target.dtype == "float64"
    assert data.task == "regression"
    assert data.classes == []
    assert data.test_units.dtype == "uint64"
    assert len(data.test_units) == len(data.test.target)
    assert [path.name for path in data.report_files] == ["data_report.html", "data_report.json"]


@pytest.mark.parametrize(
    ("kind", "dtype", "classes"),
    [
        ("text", "object", ["$middle$", "high", "low"]),
        ("boolean", "bool", [False, True]),
        ("integer", "int64", [1, 3, 5]),
    ],
)
def test_each_kind_of_class_has_its_dtype(
    prepared_classes: dict[str, Path], kind: str, dtype: str, classes: list[Any]
) -> None:
    data = read_training_data(prepared_classes[kind], kind)
    assert data.task == "classification"
    assert data.classes == classes
    assert [type(value) for value in data.classes] == [type(value) for value in classes]
    for part in (data.train, data.test):
        assert part.target.dtype == dtype
        assert set(part.target) <= set(classes)
    assert set(data.train.target) == set(classes)


def test_columns_that_were_left_out_are_not_read(prepared: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(prepared, tmp_path / "data")
    description = json.loads((folder / "dataset.json").read_text(encoding="utf-8"))
    description["columns"] = [row for row in description["columns"] if row["name"] != "rooms"]
    (folder / "dataset.json").write_text(json.dumps(description), encoding="utf-8")
    assert "rooms" not in read_training_data(folder, "price").train.features


@pytest.mark.parametrize(
    "name", ["dataset.json", "train.parquet", "test_units.parquet", "raw_rows.json"]
)
def test_a_folder_without_one_of_the_files_is_refused(
    prepared: Path, tmp_path: Path, name: str
) -> None:
    folder = shutil.copytree(prepared, tmp_path / "data")
    (folder / name).unlink()
    with pytest.raises(TrainingDataError, match=f"does not hold the files that .*{name}"):
        read_training_data(folder, "price")


def test_other_target_than_prepared_is_refused(prepared: Path) -> None:
    with pytest.raises(TrainingDataError, match="prepared for the target 'price', and TARGET_COL"):
        read_training_data(prepared, "cost")
