"""What PrepareData wrote, as features and target, and the raw rows that the endpoint will be asked.

number ─▶ float64    boolean ─▶ object: True, False, None
text   ─▶ object     date    ─▶ datetime64[ns], UTC without zone
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd


class TrainingDataError(Exception):
    """The data channel doesn't hold what PrepareData writes."""


@dataclass(frozen=True, kw_only=True)
class Part:
    """Rows of one file: features, by the kinds of their columns, and the target (float64)."""

    features: pd.DataFrame
    target: "pd.Series[Any]"


@dataclass(frozen=True, kw_only=True)
class TrainingData:
    """Both parts; dataset.json, which describes them; raw rows, with their places in `test`."""

    train: Part
    test: Part
    description: Mapping[str, Any]
    raw_rows: Mapping[str, Any]
    report_files: Sequence[Path]

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
        train = _read_part(folder / "train.parquet", target, kinds)
        test = _read_part(folder / "test.parquet", target, kinds)
        raw_rows = json.loads((folder / "raw_rows.json").read_text(encoding="utf-8"))
    except (OSError, ValueError, KeyError) as err:
        raise TrainingDataError(
            f"{folder} does not hold the files that PrepareData writes: {err}"
        ) from err
    return TrainingData(
        train=train,
        test=test,
        description=description,
        raw_rows=raw_rows,
        report_files=sorted(folder.glob("data_report.*")),
    )


def _read_part(path: Path, target: str, kinds: Mapping[str, str]) -> Part:
    frame = pd.read_parquet(path, columns=[*kinds, target])
    columns = {name: _as_kind(frame[name], kind) for name, kind in kinds.items()}
    return Part(features=pd.DataFrame(columns, index=frame.index), target=frame[target])


def _as_kind(column: "pd.Series[Any]", kind: str) -> "pd.Series[Any]":
    if kind == "date":
        return column.astype("datetime64[ns]")
    return column.astype(object) if kind == "boolean" else column
