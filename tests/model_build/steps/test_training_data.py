"""What PrepareData wrote comes back with the dtypes that the model is made for."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

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
    assert [path.name for path in data.report_files] == ["data_report.html", "data_report.json"]


def test_columns_that_were_left_out_are_not_read(prepared: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(prepared, tmp_path / "data")
    description = json.loads((folder / "dataset.json").read_text(encoding="utf-8"))
    description["columns"] = [row for row in description["columns"] if row["name"] != "rooms"]
    (folder / "dataset.json").write_text(json.dumps(description), encoding="utf-8")
    assert "rooms" not in read_training_data(folder, "price").train.features


@pytest.mark.parametrize("name", ["dataset.json", "train.parquet", "raw_rows.json"])
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
