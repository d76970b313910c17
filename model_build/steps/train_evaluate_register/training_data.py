"""What PrepareData wrote, as features and target, and the raw rows that the endpoint will be asked.

number ─▶ float64    boolean ─▶ object: True, False, None
text   ─▶ object     date    ─▶ datetime64[ns], UTC without zone
target ─▶ float64; of classes: text as object, booleans as bool, whole numbers as int64
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from estimators.contract import CLASSIFICATION, Task

_CLASS_TYPES = {"text": "object", "boolean": "bool", "number": "int64"}


class TrainingDataError(Exception):
    """The data channel doesn't hold what PrepareData writes."""


@dataclass(frozen=True, kw_only=True)
class Part:
    """Rows of one file: features, by the kinds of their columns, and the target."""

    features: pd.DataFrame
    target: "pd.Series[Any]"


@dataclass(frozen=True, kw_only=True)
class TrainingData:
    """Both parts; dataset.json, which describes them; raw rows, with their places in `test`.

    `test_units` has a number for each test row; rows with an equal one are not independent.
    """

    train: Part
    test: Part
    test_units: npt.NDArray[np.uint64]
    description: Mapping[str, Any]
    raw_rows: Mapping[str, Any]
    report_files: Sequence[Path]

    @property
    def task(self) -> Task:
        """What the target asks for."""
        task: Task = self.description["task"]
        return task

    @property
    def classes(self) -> Sequence[Any]:
        """The training rows' classes in order; empty for a regression."""
        classes: Sequence[Any] = self.description.get("classes", [])
        return classes

    @property
    def columns(self) -> Sequence[Mapping[str, Any]]:
        """Each feature's name, kind, whether it has gaps, and its format if it has one."""
        described: Sequence[Mapping[str, Any]] = self.description["columns"]
        return described


def read_training_data(folder: Path, target: str) -> TrainingData:
    """All that the channel holds. Raises TrainingDataError."""
    try:
        description = json.loads((folder / "dataset.json").read_text(encoding="utf-8"))
        if description["target"] != target:
            raise TrainingDataError(
                f"{folder} was prepared for the target {description['target']!r}, and "
                f"TARGET_COLUMN is {target!r}"
            )
        kinds = {column["name"]: column["kind"] for column in description["columns"]}
        target_type = "float64"
        if description["task"] == CLASSIFICATION:
            target_type = _CLASS_TYPES[description["target_kind"]]
        train = _read_part(folder / "train.parquet", target, target_type, kinds)
        test = _read_part(folder / "test.parquet", target, target_type, kinds)
        test_units = pd.read_parquet(folder / "test_units.parquet")["unit"].to_numpy()
        raw_rows = json.loads((folder / "raw_rows.json").read_text(encoding="utf-8"))
    except (OSError, ValueError, KeyError) as err:
        raise TrainingDataError(
            f"{folder} does not hold the files that PrepareData writes: {err}"
        ) from err
    return TrainingData(
        train=train,
        test=test,
        test_units=test_units,
        description=description,
        raw_rows=raw_rows,
        report_files=sorted(folder.glob("data_report.*")),
    )


def _read_part(path: Path, target: str, target_type: str, kinds: Mapping[str, str]) -> Part:
    frame = pd.read_parquet(path, columns=[*kinds, target])
    columns = {name: _as_kind(frame[name], kind) for name, kind in kinds.items()}
    return Part(
        features=pd.DataFrame(columns, index=frame.index),
        target=frame[target].astype(np.dtype(target_type)),
    )


def _as_kind(column: "pd.Series[Any]", kind: str) -> "pd.Series[Any]":
    if kind == "date":
        return column.astype("datetime64[ns]")
    return column.astype(object) if kind == "boolean" else column
