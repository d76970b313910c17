"""Would more rows help? The same model from parts of the training rows, measured on the test rows.

The parts are taken as the rows were split: whole groups, the newest moments, or rows by chance
with some of each class. Each part holds the smaller ones.
"""

import logging
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import evaluation
import numpy as np
import numpy.typing as npt
import pandas as pd
from evaluation import Measure
from metrics import Metric
from model import Recipe
from training_data import Part, TrainingData

logger = logging.getLogger(__name__)

FRACTIONS = (0.1, 0.25, 0.5)
# All further trainings together may take so long.
_SECONDS = 2.0
_MOST_DRAWS = 3
_FEWEST_ROWS = 100


@dataclass(frozen=True, kw_only=True)
class SizeCurve:
    """How many training rows -> the metric on the test rows, for each draw of so many rows.

    The last is the model itself, from all training rows. `constant` is the best constant's.
    """

    scores: Sequence[tuple[int, Sequence[float]]]
    constant: float
    metric: Metric
    test_rows: int


def measure_sizes(
    recipe: Recipe, data: TrainingData, measure: Measure, score: float, fit_seconds: float
) -> SizeCurve | None:
    """`score` is what the model trained with all rows reached; None, logged, if it isn't made."""
    rows = len(data.train.target)
    if rows < _FEWEST_ROWS:
        logger.info("no size_curve.png: of %d training rows parts would be too small", rows)
        return None
    draws = min(_MOST_DRAWS, int(_SECONDS / (sum(FRACTIONS) * max(fit_seconds, 1e-3))))
    if draws == 0:
        logger.info(
            "no size_curve.png: training again with parts of the rows would take %.0f s, "
            "and may take %.0f s",
            sum(FRACTIONS) * fit_seconds,
            _SECONDS,
        )
        return None
    found: dict[int, list[float]] = {}
    started = time.process_time()
    for draw in range(draws):
        for part in draw_parts(data.train, data.description["split_by"], recipe.random_seed + draw):
            # Where asking takes longer than training, what is there is enough.
            if time.process_time() - started > _SECONDS:
                break
            reached = _train(recipe, data, measure, part)
            if reached is not None:
                found.setdefault(len(part), []).append(reached)
        if data.description["split_by"].startswith("time:"):
            break  # the newest rows are the same in each draw
    if not found:
        return None
    return SizeCurve(
        scores=[*sorted(found.items()), (rows, [score])],
        constant=measure.value(data.test.target, measure.constant),
        metric=measure.metric,
        test_rows=len(data.test.target),
    )


def draw_parts(part: Part, split_by: str, random_seed: int) -> Iterator[npt.NDArray[np.intp]]:
    """Places of training rows, about a tenth, a quarter and a half of them."""
    how, _, column = split_by.partition(":")
    rng = np.random.default_rng(random_seed)
    if how == "time" and column in part.features:
        place = _place_newest_first(part.features[column])
    elif how == "group" and column in part.features:
        place = _place_groups(part.features[column], rng)
    else:
        place = _place_rows(part.target, rng)
    for fraction in FRACTIONS:
        yield np.flatnonzero(place < fraction)


def _place_rows(target: "pd.Series[Any]", rng: np.random.Generator) -> npt.NDArray[np.float64]:
    """From 0 to 1 by chance, evenly within each class."""
    order = pd.Series(rng.permutation(len(target)))
    if target.dtype == np.float64:
        return order.to_numpy() / len(target)
    by_class = order.groupby(target.to_numpy())
    return ((by_class.rank() - 1) / by_class.transform("size")).to_numpy()


def _place_groups(groups: "pd.Series[Any]", rng: np.random.Generator) -> npt.NDArray[np.float64]:
    """Rows of one group have one place: the share of rows before it."""
    codes, known = pd.factorize(groups, use_na_sentinel=False)
    sizes = np.bincount(codes, minlength=len(known))
    order = rng.permutation(len(known))
    before = np.empty(len(known))
    before[order] = np.cumsum(sizes[order]) - sizes[order]
    place: npt.NDArray[np.float64] = before[codes] / len(groups)
    return place


def _place_newest_first(times: "pd.Series[Any]") -> npt.NDArray[np.float64]:
    """Rows of one moment have one place; those without a time are the last."""
    rank = times.rank(method="min", ascending=False, na_option="bottom")
    place: npt.NDArray[np.float64] = (rank.to_numpy() - 1) / len(times)
    return place


def _train(
    recipe: Recipe, data: TrainingData, measure: Measure, part: npt.NDArray[np.intp]
) -> float | None:
    """The metric of a model that learned from these rows only."""
    features, target = data.train.features.iloc[part], data.train.target.iloc[part]
    try:
        model = recipe.build(features, target)
        model.fit(features, target)
        # Trees that are added up in threads, in any order, say of a tie now this, now that.
        recipe.make_ready(model)
        predicted = evaluation.predict(model, data.test.features, data.classes)
    except Exception as err:  # noqa: BLE001 - the picture is extra; the model itself was trained
        logger.info("size_curve.png has no point of %d training rows: %s", len(part), err)
        return None
    return measure.value(data.test.target, predicted)
