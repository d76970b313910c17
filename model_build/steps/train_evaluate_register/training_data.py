"""What PrepareData wrote, as features and target."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd


class TrainingDataError(Exception):
    """The data channel doesn't hold what PrepareData writes."""


@dataclass(frozen=True, kw_only=True)
class Part:
    """Rows of one file: features (float64, or text with None) and the target (float64)."""

    features: pd.DataFrame
    target: "pd.Series[Any]"


@dataclass(frozen=True, kw_only=True)
class TrainingData:
    """Both parts, and dataset.json, which describes them."""

    train: Part
    test: Part
    description: Mapping[str, Any]


def read_training_data(folder: Path, target: str) -> TrainingData:
    """The channel's two tables and their description. Raises TrainingDataError."""
    try:
        description = json.loads((folder / "dataset.json").read_text(encoding="utf-8"))
        train = _read_part(folder / "train.parquet", target)
        test = _read_part(folder / "test.parquet", target)
    except (OSError, ValueError) as err:
        raise TrainingDataError(
            f"{folder} does not hold the three files that PrepareData writes: {err}"
        ) from err
    return TrainingData(train=train, test=test, description=description)


def _read_part(path: Path, target: str) -> Part:
    frame = pd.read_parquet(path)
    if target not in frame.columns:
        raise TrainingDataError(f"{path.name} has no target column {target!r}; TARGET_COLUMN is it")
    return Part(features=frame.drop(columns=target), target=frame[target])
