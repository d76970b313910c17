"""Importances are measured on test rows, for every estimator, with few predictions."""

from __future__ import annotations

import logging
import time
from dataclasses import replace
from typing import Any

import evaluation
import numpy as np
import pandas as pd
import pytest
from importances import EFFORTS, Importances, measure_importances, rank_columns
from model import Recipe
from sklearn.pipeline import Pipeline
from training_data import TrainingData

from tests.model_build.steps.train_evaluate_register.recipes import (
    SHIPPED,
    make_data,
    make_features,
    make_recipe,
    train,
)


class Counting:
    """A trained model that counts how often, and about how many rows, it is asked."""

    def __init__(self, model: Pipeline, seconds: float = 0.0) -> None:
        self.model, self.seconds = model, seconds
        self.calls, self.rows = 0, 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self.model, name)

    def fit(self) -> None:
        raise AssertionError("it is trained")

    def predict(self, features: pd.DataFrame) -> Any:
        self.calls += 1
        self.rows += len(features)
        end = time.process_time() + self.seconds
        while time.process_time() < end:
            pass
        return self.model.predict(features)


def measure(
    data: TrainingData, recipe: Recipe, model: Any, fit_seconds: float = 1e6
) -> Importances | None:
    measures = evaluation.choose_measures(data.train.target, data.classes)
    return measure_importances(model, recipe, data, measures[0], fit_seconds)


def make(name: str = "random-forest", **facts: Any) -> tuple[TrainingData, Recipe, Pipeline]:
    data = make_data(**facts)
    recipe = make_recipe(name, data.train.target if data.classes else None, n_estimators=4)
    return data, recipe, train(recipe, data.train.features, data.train.target)


@pytest.mark.parametrize("name", SHIPPED)
@pytest.mark.parametrize("classes", [0, 2, 5])
def test_columns_of_each_kind_are_measured_on_the_test_rows(name: str, classes: int) -> None:
    """`city` being known or not makes most of the target; `sex` has no part in it."""
    data, recipe, model = make(name, classes=classes)
    found = measure(data, recipe, model)
    assert found is not None
    means = pd.Series(found.increases.mean(axis=1), index=found.names)
    assert sorted(found.names) == sorted(data.test.features.columns)
    assert list(means) == sorted(means, reverse=True)
    assert found.increases.shape == (6, 5)
    assert means.idxmax() in ("city", "size")
    assert abs(means["sex"]) < means.max() / 5
    assert (found.rows, found.of_columns) == (100, 6)
    assert found.metric == ("Brier score" if classes else "RMSE")


def test_an_increase_is_that_of_the_gates_metric() -> None:
    """Without its only column that tells anything, the model is as wrong as one that guesses."""
    rng = np.random.default_rng(3)
    features = pd.DataFrame({"told": rng.normal(0, 1, 400), "noise": rng.normal(0, 1, 400)})
    target = features["told"] * 10
    data, recipe, model = make(features=features, target=target)
    found = measure(data, recipe, model)
    assert found is not None
    assert found.names == ["told", "noise"]
    guessing = np.sqrt(2) * float(data.test.target.std())
    assert found.increases[0].mean() == pytest.approx(guessing, rel=0.25)
    assert found.increases[0].std() > 0
    again = measure(data, recipe, model)
    assert again is not None
    np.testing.assert_array_equal(again.increases, found.increases)


def test_an_estimator_that_cannot_rank_has_them_too() -> None:
    data, recipe, model = make()
    recipe = replace(recipe, estimator=replace(recipe.estimator, rank=None))
    found = measure(data, recipe, model)
    assert found is not None
    assert len(found.names) == 6


@pytest.mark.parametrize("classes", [0, 3])
@pytest.mark.parametrize("ranks", [True, False])
def test_of_many_columns_those_that_probably_matter_most_are_measured(
    ranks: bool, classes: int
) -> None:
    features = make_features()
    rng = np.random.default_rng(9)
    noise = {f"noise {at}": rng.normal(0, 1, len(features)) for at in range(300)}
    noise["constant"] = np.ones(len(features))
    noise["gaps"] = np.where(np.arange(len(features)) % 2, np.nan, noise["noise 0"])
    target = make_data(classes=classes).train.target.reset_index(drop=True)
    features = pd.concat([pd.DataFrame(noise), features], axis=1)[: len(target)]
    data, recipe, model = make(classes=classes, features=features, target=target)
    if not ranks:
        recipe = replace(recipe, estimator=replace(recipe.estimator, rank=None))
    ranked = rank_columns(model, recipe, data)
    assert len(ranked) == features.shape[1]
    assert set(ranked.index[:3]) & {"city", "size"}
    found = measure(data, recipe, model)
    assert found is not None
    assert len(found.names) == EFFORTS[0].columns
    assert found.of_columns == features.shape[1]
    assert found.names[0] in ("city", "size")


def test_the_model_is_asked_a_bounded_number_of_times() -> None:
    rng = np.random.default_rng(1)
    features = pd.DataFrame(rng.normal(0, 1, (4200, 60)), columns=[f"c{at}" for at in range(60)])
    data, recipe, model = make(features=features, target=features["c0"] * 2.0)
    counting = Counting(model)
    found = measure(data, recipe, counting)
    assert found is not None
    # Once to see how long it takes, once unshuffled, then five times for each of twenty columns.
    assert counting.calls == 2 + 20 * 5
    assert counting.rows == counting.calls * 1000
    assert found.names[0] == "c0"


def test_where_an_answer_takes_long_there_are_fewer(caplog: pytest.LogCaptureFixture) -> None:
    data, recipe, model = make()
    slow = Counting(model, seconds=0.15)
    found = measure(data, recipe, slow, fit_seconds=0.0)
    assert found is not None
    assert slow.calls <= len(EFFORTS) + 1 + 6 * 3
    slower = Counting(model, seconds=0.5)
    with caplog.at_level(logging.INFO):
        assert measure(data, recipe, slower, fit_seconds=0.0) is None
    assert slower.calls == len(EFFORTS)
    assert "no feature_importances.png: it would take " in caplog.text
    assert caplog.text.strip().endswith("and may take 2.0 s")


def test_a_long_training_allows_for_more() -> None:
    data, recipe, model = make()
    slow = Counting(model, seconds=0.1)
    found = measure(data, recipe, slow, fit_seconds=60.0)
    assert found is not None
    assert found.increases.shape == (6, 5)


def test_the_test_rows_are_left_as_they_were() -> None:
    data, recipe, model = make()
    before = data.test.features.copy()
    measure(data, recipe, model)
    pd.testing.assert_frame_equal(data.test.features, before)
