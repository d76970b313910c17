"""SHAP values of rows with text and dates. shap isn't installed: a small one stands for it."""

from __future__ import annotations

import importlib.machinery
import sys
from collections.abc import Callable
from types import ModuleType, SimpleNamespace
from typing import Any

import explanations
import numpy as np
import pandas as pd
import pytest
from explanations import COLUMNS, OTHERS, ExplanationError, check_installed, explain

from tests.model_build.steps.train_evaluate_register.recipes import (
    make_data,
    make_features,
    make_recipe,
    train,
)


class Permutation:
    """As shap's: columns go over from the background to the row, one after the other."""

    asked = 0

    def __init__(self, ask: Callable[[Any], Any], background: Any) -> None:
        self.ask, self.background = ask, background

    def __call__(self, rows: Any, *, max_evals: int, silent: bool) -> SimpleNamespace:
        assert silent
        assert max_evals == 2 * rows.shape[1] + 1
        values = []
        for row in rows:
            steps = [self.background.copy()]
            for column in range(rows.shape[1]):
                steps.append(steps[-1].copy())
                steps[-1][:, column] = row[column]
            mixed = np.concatenate(steps)
            type(self).asked += len(mixed)
            answers = self.ask(mixed)
            means = answers.reshape(len(steps), len(self.background), *answers.shape[1:]).mean(
                axis=1
            )
            values.append(np.diff(means, axis=0))
        return SimpleNamespace(values=np.array(values))


def _keep_all(rows: Any, *, max_samples: int) -> Any:
    assert len(rows) <= max_samples
    return rows


@pytest.fixture
def shap(monkeypatch: pytest.MonkeyPatch) -> None:
    module = ModuleType("shap")
    module.__spec__ = importlib.machinery.ModuleSpec("shap", None)
    vars(module)["explainers"] = SimpleNamespace(Permutation=Permutation)
    vars(module)["maskers"] = SimpleNamespace(Independent=_keep_all)
    monkeypatch.setitem(sys.modules, "shap", module)
    monkeypatch.setattr(Permutation, "asked", 0)


def test_without_shap_there_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "shap", None)
    with pytest.raises(ExplanationError) as caught:
        check_installed()
    assert str(caught.value) == (
        "Shap is on, and the package shap is not installed here. Add the line shap to "
        "model_build/steps/train_evaluate_register/requirements.txt (then `make lock`), or set "
        "Shap=off"
    )


def test_with_shap_there_is_none(shap: None) -> None:
    check_installed()


@pytest.mark.parametrize("classes", [0, 2, 4])
def test_values_are_those_of_the_tables_own_columns(shap: None, classes: int) -> None:
    data = make_data(1000, classes=classes)
    recipe = make_recipe(target=data.train.target if classes else None)
    model = train(recipe, data.train.features, data.train.target)
    found = explain(model, recipe, data)
    assert sorted(found.names) == sorted(data.test.features.columns)
    assert found.values.shape == found.places.shape == (100, 6)
    strength = abs(found.values).mean(axis=0)
    assert list(strength) == sorted(strength, reverse=True)
    assert found.names.index("city") < found.names.index("sex")
    assert found.own_columns == found.of_columns == 6
    assert (
        found.what
        == {
            0: "the prediction",
            2: "the probability of class 01",
            4: "the probability of the predicted class",
        }[classes]
    )
    places = dict(zip(found.names, found.places.T, strict=True))
    assert all(np.isnan(places[name]).all() for name in ("city", "sex", "id"))
    for name in ("size", "sold", "garden"):
        assert 0 < np.isnan(places[name]).sum() < 100
        assert (np.nanmin(places[name]), np.nanmax(places[name])) == (
            pytest.approx(0, abs=0.5),
            pytest.approx(1, abs=0.5),
        )
    assert (found.values.sum(axis=1) != 0).any()


def test_values_add_up_from_the_backgrounds_prediction_to_the_rows_own(shap: None) -> None:
    data = make_data(1000)
    recipe = make_recipe()
    model = train(recipe, data.train.features, data.train.target)
    found = explain(model, recipe, data)
    rng = np.random.default_rng(recipe.random_seed)
    asked = explanations._draw(data.test.features, 100, rng)
    background = explanations._draw(data.train.features, 20, rng)
    whole = model.predict(asked) - model.predict(background).mean()
    np.testing.assert_allclose(found.values.sum(axis=1), whole)


def test_of_many_columns_the_others_are_one_and_the_model_is_asked_a_bounded_number_of_times(
    shap: None,
) -> None:
    rng = np.random.default_rng(4)
    features = make_features()
    noise = pd.DataFrame({f"noise {at}": rng.normal(0, 1, len(features)) for at in range(200)})
    target = make_data().train.target
    features = pd.concat([noise, features], axis=1)[: len(target)]
    data = make_data(features=features, target=target)
    recipe = make_recipe()
    model = train(recipe, data.train.features, data.train.target)
    found = explain(model, recipe, data)
    assert len(found.names) == COLUMNS + 1
    assert found.names.count(OTHERS) == 1
    assert np.isnan(found.places[:, found.names.index(OTHERS)]).all()
    assert (found.own_columns, found.of_columns) == (COLUMNS, 206)
    rows = len(found.values)
    assert Permutation.asked == rows * 20 * (COLUMNS + 2)
