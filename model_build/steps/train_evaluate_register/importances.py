"""What the model relies on: how much worse it predicts test rows when one column is shuffled.

test rows ─▶ a sample ─▶ the columns that matter most ─▶ scikit-learn's permutation_importance

The whole model is asked, from the table's own columns on, so it works with every estimator. How
many rows, columns and shuffles there are depends on how long one answer takes.
"""

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import columns
import numpy as np
import numpy.typing as npt
import pandas as pd
from evaluation import Measure, Predictions
from model import Recipe
from sklearn.feature_selection import f_classif, f_regression
from sklearn.inspection import permutation_importance
from sklearn.pipeline import Pipeline
from training_data import TrainingData

logger = logging.getLogger(__name__)

# Seconds of the processor: some, and a share of what the training took.
_SECONDS, _SHARE_OF_TRAINING = 2.0, 0.1
# Even the least effort may take a little more than that, but not much.
_OVERDRAFT = 3.0
_ROWS_TO_RANK_BY = 2000


@dataclass(frozen=True, kw_only=True)
class Effort:
    """At most so many test rows and columns, and how often each column is shuffled."""

    rows: int
    columns: int
    shuffles: int

    def count_answers(self, columns: int) -> int:
        """How often the model is asked, if the table has so many columns."""
        return min(self.columns, columns) * self.shuffles + 1


# The first that is quick enough is taken.
EFFORTS = (
    Effort(rows=1000, columns=20, shuffles=5),
    Effort(rows=500, columns=20, shuffles=5),
    Effort(rows=250, columns=20, shuffles=5),
    Effort(rows=250, columns=20, shuffles=3),
    Effort(rows=100, columns=20, shuffles=3),
    Effort(rows=100, columns=10, shuffles=3),
    Effort(rows=100, columns=5, shuffles=3),
)


@dataclass(frozen=True, kw_only=True)
class Importances:
    """By column, the largest first: how much worse the metric gets, for each shuffle.

    `increases` has the shape (columns, shuffles). `of_columns` is how many the table has, `rows`
    how many test rows were predicted.
    """

    names: Sequence[str]
    increases: npt.NDArray[np.float64]
    metric: str
    rows: int
    of_columns: int


def measure_importances(
    model: Pipeline, recipe: Recipe, data: TrainingData, measure: Measure, fit_seconds: float
) -> Importances | None:
    """By the gate's first metric; None if that would take too long, which is logged."""
    allowed = _SECONDS + _SHARE_OF_TRAINING * fit_seconds
    score = _make_score(measure, bool(data.classes))
    chosen = _choose_effort(model, data, score, recipe.random_seed, allowed)
    if chosen is None:
        return None
    effort, rows = chosen
    features, target = data.test.features.iloc[rows], data.test.target.iloc[rows]
    names = list(features.columns)
    if len(names) > effort.columns:
        names = list(rank_columns(model, recipe, data).index[: effort.columns])

    def score_whole(model: Any, shuffled: pd.DataFrame, target: "pd.Series[Any]") -> float:
        # permutation_importance shuffles each column that it gets; the others are as they were.
        whole = features.copy(deep=False)
        whole[names] = shuffled
        return score(model, whole, target)

    found = permutation_importance(
        model,
        features[names],
        target,
        scoring=score_whole,
        n_repeats=effort.shuffles,
        random_state=recipe.random_seed,
    )
    order = np.argsort(-found.importances_mean, kind="stable")
    return Importances(
        names=[names[at] for at in order],
        increases=found.importances[order],
        metric=measure.metric.label,
        rows=len(rows),
        of_columns=features.shape[1],
    )


def rank_columns(model: Pipeline, recipe: Recipe, data: TrainingData) -> "pd.Series[float]":
    """All columns, those first that probably matter most; without asking the model for anything.

    By what the estimator says of itself, else by each column's own F-test with the target.
    """
    shares = recipe.rank_columns(model)
    if shares is not None:
        return shares
    sample = _sample(len(data.train.features), _ROWS_TO_RANK_BY, recipe.random_seed)
    encoder = model.named_steps["columns"]
    encoded = np.asarray(encoder.transform(data.train.features.iloc[sample]), dtype=np.float64)
    encoded = np.where(np.isnan(encoded), _mean_of_columns(encoded), encoded)
    test = f_classif if data.classes else f_regression
    strength = np.zeros(encoded.shape[1])
    varied = np.ptp(encoded, axis=0) > 0  # of the others it warns
    with np.errstate(all="ignore"):
        strength[varied] = test(encoded[:, varied], data.train.target.iloc[sample])[0]
    strength = np.nan_to_num(strength, posinf=float(np.finfo(np.float32).max))
    return columns.sum_by_column(encoder, strength.tolist())


def _make_score(
    measure: Measure, classes: bool
) -> Callable[[Any, pd.DataFrame, "pd.Series[Any]"], float]:
    """The metric such that more is better."""
    sign = 1 if measure.metric.greater_is_better else -1

    def score(model: Any, features: pd.DataFrame, target: "pd.Series[Any]") -> float:
        if not classes:
            predicted = Predictions(values=np.asarray(model.predict(features), dtype=np.float64))
        else:
            probabilities = np.asarray(model.predict_proba(features), dtype=np.float64)
            values = model.classes_[probabilities.argmax(axis=1)]
            predicted = Predictions(values=values, probabilities=probabilities)
        return sign * measure.value(target, predicted)

    return score


def _choose_effort(
    model: Pipeline,
    data: TrainingData,
    score: Callable[[Any, pd.DataFrame, "pd.Series[Any]"], float],
    random_seed: int,
    allowed: float,
) -> tuple[Effort, npt.NDArray[np.intp]] | None:
    """The largest effort that fits into `allowed` seconds, and the places of its test rows."""
    needed = 0.0
    for effort in EFFORTS:
        rows = _sample(len(data.test.features), effort.rows, random_seed)
        # Of the processor: on a busy machine a picture is to show no fewer columns.
        started = time.process_time()
        score(model, data.test.features.iloc[rows], data.test.target.iloc[rows])
        seconds = time.process_time() - started
        needed = seconds * effort.count_answers(data.test.features.shape[1])
        if needed <= allowed:
            return effort, rows
    if needed <= _OVERDRAFT * allowed:
        return effort, rows
    logger.info(
        "no feature_importances.png: it would take %.0f s, and may take %.1f s", needed, allowed
    )
    return None


def _sample(rows: int, most: int, random_seed: int) -> npt.NDArray[np.intp]:
    if rows <= most:
        return np.arange(rows)
    return np.sort(np.random.default_rng(random_seed).choice(rows, most, replace=False))


def _mean_of_columns(encoded: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Of those without any value 0."""
    known = ~np.isnan(encoded)
    sums: npt.NDArray[np.float64] = np.where(known, encoded, 0.0).sum(axis=0)
    means: npt.NDArray[np.float64] = sums / np.maximum(known.sum(axis=0), 1)
    return means
