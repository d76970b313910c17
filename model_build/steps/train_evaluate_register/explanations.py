"""SHAP values, where somebody asked for them (Shap=on): what moved each prediction, and how far.

test rows ─▶ a sample ─▶ the columns that matter most, and all others as one ─▶ shap's permutations

The whole model is asked, from the table's own columns on, so it works with every estimator. shap is
not among the job's packages: nobody who leaves it off installs it.
"""

import importlib.util
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import importances
import numpy as np
import numpy.typing as npt
import pandas as pd
from model import Recipe
from sklearn.pipeline import Pipeline
from training_data import TrainingData

ROWS, BACKGROUND_ROWS, COLUMNS = 100, 20, 15
OTHERS = "all other columns"


class ExplanationError(Exception):
    """SHAP values were asked for, and there is no shap."""


@dataclass(frozen=True, kw_only=True)
class Explanation:
    """By row and column, how far the value moved the prediction, and that value among the others.

    `places` is from 0, the smallest, to 1, the largest value of the column; NaN is for what has no
    order: text, and missing values. `what` is what was predicted.
    """

    names: Sequence[str]
    values: npt.NDArray[np.float64]
    places: npt.NDArray[np.float64]
    what: str
    of_columns: int

    @property
    def own_columns(self) -> int:
        """How many stand alone."""
        return len([name for name in self.names if name is not OTHERS])


def check_installed() -> None:
    """Raises ExplanationError, within milliseconds."""
    if importlib.util.find_spec("shap") is None:
        raise ExplanationError(
            "Shap is on, and the package shap is not installed here. Add the line shap to "
            "model_build/steps/train_evaluate_register/requirements.txt (then `make lock`), or set "
            "Shap=off"
        )


def explain(model: Pipeline, recipe: Recipe, data: TrainingData) -> Explanation:
    """Of 100 test rows, each against 20 training rows, by the 15 columns that matter most.

    Of two classes the probability of the second, of more that of the row's predicted class.
    """
    import shap  # seconds to import, where there is one

    rng = np.random.default_rng(recipe.random_seed)
    asked = _draw(data.test.features, ROWS, rng)
    background = _draw(data.train.features, BACKGROUND_ROWS, rng)
    names = list(asked.columns)
    if len(names) > COLUMNS:
        names = list(importances.rank_columns(model, recipe, data).index[:COLUMNS])
    groups = [[name] for name in names]
    others = [name for name in asked.columns if name not in set(names)]
    if others:
        groups.append(others)

    # shap moves numbers only, and a table has text and dates. So it gets each cell's row, and the
    # cells are put in when the model is asked.
    table = pd.concat([asked, background], ignore_index=True)
    places = np.arange(len(table), dtype=np.float64)[:, np.newaxis].repeat(len(groups), axis=1)
    ask = _make_ask(model, recipe, table, groups)
    explainer = shap.explainers.Permutation(
        ask, shap.maskers.Independent(places[len(asked) :], max_samples=BACKGROUND_ROWS)
    )
    explainer_values = explainer(
        places[: len(asked)], max_evals=2 * len(groups) + 1, silent=True
    ).values
    values = np.asarray(explainer_values, dtype=np.float64)
    what = "the prediction"
    if len(recipe.classes) == 2:
        what = f"the probability of {recipe.classes[1]}"
    if values.ndim == 3:
        what = "the probability of the predicted class"
        predicted = ask(places[: len(asked)]).argmax(axis=1)
        values = values[np.arange(len(asked)), :, predicted]
    order = np.argsort(-np.abs(values).mean(axis=0), kind="stable")
    shown = [*names, OTHERS][: len(groups)]
    return Explanation(
        names=[shown[at] for at in order],
        values=values[:, order],
        places=np.column_stack([_place(asked, groups[at]) for at in order]),
        what=what,
        of_columns=asked.shape[1],
    )


def _draw(features: pd.DataFrame, most: int, rng: np.random.Generator) -> pd.DataFrame:
    if len(features) <= most:
        return features
    return features.iloc[np.sort(rng.choice(len(features), most, replace=False))]


def _make_ask(
    model: Pipeline, recipe: Recipe, table: pd.DataFrame, groups: Sequence[list[str]]
) -> Callable[[npt.NDArray[np.float64]], npt.NDArray[np.float64]]:
    def ask(cells: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        rows = cells.astype(int)
        parts = [
            table[group].take(rows[:, at]).reset_index(drop=True) for at, group in enumerate(groups)
        ]
        features = pd.concat(parts, axis="columns")[list(table.columns)]
        if not recipe.classes:
            return np.asarray(model.predict(features), dtype=np.float64)
        probabilities = np.asarray(model.predict_proba(features), dtype=np.float64)
        return probabilities[:, 1] if len(recipe.classes) == 2 else probabilities

    return ask


def _place(features: pd.DataFrame, group: Sequence[str]) -> npt.NDArray[np.float64]:
    """Each row's place in the column from 0 to 1; NaN where it has none."""
    column = features[group[0]]
    if len(group) > 1 or (column.dtype == object and not _is_boolean(column)):
        return np.full(len(features), np.nan)
    if column.dtype == object:
        column = column.astype("float64")
    rank = column.rank(method="average")
    return np.asarray((rank - 1) / max(float(rank.max()) - 1, 1), dtype=np.float64)


def _is_boolean(column: "pd.Series[Any]") -> bool:
    return bool(pd.api.types.infer_dtype(column, skipna=True) == "boolean")
