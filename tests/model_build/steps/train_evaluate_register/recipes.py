"""Tables in the training step's dtypes, recipes for them, and the models they make."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import estimators
import numpy as np
import pandas as pd
from model import Recipe
from sklearn.pipeline import Pipeline
from training_data import Part, TrainingData

ROWS = 400
SHIPPED = ("random-forest", "hist-gradient-boosting")
# What makes each of them quick.
_QUICK = {"n_estimators": 10, "min_samples_leaf": 2, "max_rows_per_tree": 0, "boosting_rounds": 6}


def make_features(rows: int = ROWS) -> pd.DataFrame:
    """A column of each kind, all but `sex` and `id` with gaps."""
    rng = np.random.default_rng(5)
    sold = pd.Timestamp("2022-03-01") + pd.to_timedelta(rng.integers(0, 24 * 900, rows), "h")
    features = pd.DataFrame(
        {
            "size": rng.gamma(4, 20, rows),
            "garden": pd.Series(rng.choice([True, False, None], rows), dtype=object),
            "city": pd.Series(rng.choice(["Bern", "Basel", "Genf", None], rows), dtype=object),
            "sex": rng.choice(["f", "m"], rows),
            "id": [f"house-{number}" for number in range(rows)],
            "sold": sold.astype("datetime64[ns]"),
        }
    )
    features.loc[::9, "size"] = np.nan
    features.loc[::7, "sold"] = pd.NaT
    return features


def make_target(features: pd.DataFrame) -> pd.Series[Any]:
    """Most from whether the city is known; then size, city, garden, the hour of the sale."""
    city = features["city"].map({"Bern": 500, "Basel": 300}).fillna(0)
    garden = features["garden"].map({True: 400, False: 0}).fillna(200).astype(float)
    hour = features["sold"].dt.hour.fillna(12) * 50
    price = features["size"].fillna(50) * 10 + city + garden + hour
    return price + features["city"].isna() * 5000


def make_classes(features: pd.DataFrame, kind: str, count: int) -> pd.Series[Any]:
    """The same target in classes of about equally many rows."""
    place = pd.qcut(make_target(features), count, labels=False)
    if kind == "boolean":
        return place.astype(bool)
    if kind == "number":
        return place.astype("int64") * 3 - 1
    return pd.Series([f"class {at:02d}" for at in place], dtype=object, index=features.index)


def make_recipe(
    name: str = "random-forest",
    target: pd.Series[Any] | None = None,
    random_seed: int = 3,
    **parameters: float,
) -> Recipe:
    """For a target of classes, or, without one, of numbers; parameters by keyword."""
    estimator = estimators.find_estimators()[name]
    chosen = {**_QUICK, **parameters}
    return Recipe(
        name=name,
        estimator=estimator,
        task="regression" if target is None else "classification",
        classes=[] if target is None else list_classes(target),
        parameters={
            parameter.name: chosen.get(parameter.keyword, parameter.default)
            for parameter in estimator.parameters
        },
        random_seed=random_seed,
    )


def list_classes(target: pd.Series[Any]) -> Sequence[Any]:
    """As dataset.json has them."""
    classes: Sequence[Any] = np.unique(target.to_numpy()).tolist()
    return classes


def train(recipe: Recipe, features: pd.DataFrame, target: pd.Series[Any]) -> Pipeline:
    """As the training step does."""
    model = recipe.build(features, target).fit(features, target)
    recipe.make_ready(model)
    return model


def make_data(
    rows: int = ROWS,
    *,
    classes: int = 0,
    split_by: str = "row",
    features: pd.DataFrame | None = None,
    target: pd.Series[Any] | None = None,
) -> TrainingData:
    """The first three quarters of the rows are for the training, the others for the test."""
    if features is None:
        features = make_features(rows)
    if target is None:
        target = make_classes(features, "text", classes) if classes else make_target(features)
    train_rows = len(features) * 3 // 4
    train = Part(features=features[:train_rows], target=target[:train_rows])
    return TrainingData(
        train=train,
        test=Part(features=features[train_rows:], target=target[train_rows:]),
        test_units=np.arange(len(features) - train_rows, dtype=np.uint64),
        description={
            "target": "price",
            "task": "classification" if classes else "regression",
            "classes": list_classes(train.target) if classes else [],
            "target_kind": "text" if classes else "number",
            "split_by": split_by,
        },
        raw_rows={},
        report_files=[],
    )
