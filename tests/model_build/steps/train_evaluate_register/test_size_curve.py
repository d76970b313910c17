"""The curve's parts of the training rows are taken as the rows were split, and only where cheap."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import evaluation
import numpy as np
import pandas as pd
import pytest
from model import Recipe
from size_curve import SizeCurve, draw_parts, measure_sizes
from training_data import Part, TrainingData

from tests.model_build.steps.train_evaluate_register.recipes import make_data, make_recipe


def measure(data: TrainingData, recipe: Recipe, fit_seconds: float = 0.0) -> SizeCurve | None:
    measures = evaluation.choose_measures(data.train.target, data.classes)
    return measure_sizes(recipe, data, measures[0], 0.125, fit_seconds)


def count_builds(recipe: Recipe, found: list[int]) -> Recipe:
    """The recipe, noting with how many rows each model is trained."""
    build: Callable[[Any], Any] = recipe.estimator.build

    def note(request: Any) -> Any:
        found.append(request.rows)
        return build(request)

    return replace(recipe, estimator=replace(recipe.estimator, build=note))


@pytest.mark.parametrize("classes", [0, 3])
def test_the_curve_has_parts_of_the_rows_and_ends_with_the_model_itself(classes: int) -> None:
    data = make_data(classes=classes)
    recipe = make_recipe(target=data.train.target if classes else None)
    curve = measure(data, recipe)
    assert curve is not None
    sizes = [rows for rows, _ in curve.scores]
    assert sizes == pytest.approx([30, 75, 150, 300], abs=4)
    assert [len(scores) for _, scores in curve.scores] == [3, 3, 3, 1]
    assert curve.scores[-1] == (300, [0.125])
    means = [np.mean(scores) for _, scores in curve.scores[:3]]
    assert means[0] > means[2]
    assert curve.constant > means[2]
    assert curve.metric.name == ("brier_score" if classes else "rmse")
    assert curve.test_rows == 100


@pytest.mark.parametrize(("seconds", "trainings"), [(0.01, 9), (1.0, 6), (2.0, 3), (2.4, 0)])
def test_how_often_is_trained_follows_from_how_long_it_took(
    seconds: float, trainings: int, caplog: pytest.LogCaptureFixture
) -> None:
    found: list[int] = []
    with caplog.at_level(logging.INFO):
        curve = measure(make_data(), count_builds(make_recipe(), found), seconds)
    assert len(found) == trainings
    assert (curve is None) == (trainings == 0)
    assert ("no size_curve.png: training again" in caplog.text) == (trainings == 0)


def test_of_few_rows_there_is_none(caplog: pytest.LogCaptureFixture) -> None:
    found: list[int] = []
    with caplog.at_level(logging.INFO):
        assert measure(make_data(120), count_builds(make_recipe(), found)) is None
    assert found == []
    assert "no size_curve.png: of 90 training rows parts would be too small" in caplog.text


def test_parts_grow_and_have_some_rows_of_each_class() -> None:
    target = pd.Series(["rare"] * 2 + ["some"] * 20 + ["most"] * 300)
    part = Part(features=pd.DataFrame({"x": range(322)}), target=target)
    parts = list(draw_parts(part, "row", 1))
    assert [set(target.iloc[each]) for each in parts] == [{"rare", "some", "most"}] * 3
    assert [len(each) for each in parts] == pytest.approx([32, 81, 161], abs=3)
    assert set(parts[0]) < set(parts[1]) < set(parts[2])
    assert set(next(draw_parts(part, "row", 2))) != set(parts[0])
    again = list(draw_parts(part, "row", 1))
    assert all((a == b).all() for a, b in zip(parts, again, strict=True))


def test_groups_stay_whole() -> None:
    rng = np.random.default_rng(2)
    groups = pd.Series(rng.choice([*"abcdefghijklmnopqrst", None], 400), dtype=object)
    part = Part(features=pd.DataFrame({"who": groups}), target=pd.Series(np.arange(400.0)))
    parts = list(draw_parts(part, "group:who", 3))
    for each in parts:
        inside, outside = groups.iloc[each], groups.drop(index=each)
        assert not set(inside.fillna("none")) & set(outside.fillna("none"))
    assert [len(each) / 400 for each in parts] == pytest.approx([0.1, 0.25, 0.5], abs=0.07)
    assert set(parts[0]) < set(parts[1]) < set(parts[2])


def test_of_rows_in_time_the_newest_are_taken() -> None:
    times = pd.Series(pd.Timestamp("2024-01-01") + pd.to_timedelta(np.arange(200) // 4, "D"))
    times[::10] = pd.NaT
    shuffled = times.sample(frac=1, random_state=1)
    part = Part(features=pd.DataFrame({"at": shuffled}), target=pd.Series(np.arange(200.0)))
    for each in draw_parts(part, "time:at", 3):
        inside, outside = shuffled.iloc[each], shuffled.drop(index=shuffled.index[each])
        assert inside.notna().all()
        assert inside.min() > outside.max()


def test_time_has_one_draw_as_chance_has_no_part_in_it() -> None:
    found: list[int] = []
    curve = measure(make_data(split_by="time:sold"), count_builds(make_recipe(), found))
    assert curve is not None
    assert len(found) == 3
    found.clear()
    measure(make_data(split_by="group:city"), count_builds(make_recipe(), found))
    assert len(found) == 9


def test_a_part_that_cannot_be_trained_has_no_point_and_the_job_goes_on(
    caplog: pytest.LogCaptureFixture,
) -> None:
    recipe = make_recipe()
    build = recipe.estimator.build

    def refuse(request: Any) -> Any:
        if request.rows < 100:
            raise ValueError("it needs 100 rows")
        return build(request)

    refusing = replace(recipe, estimator=replace(recipe.estimator, build=refuse))
    with caplog.at_level(logging.INFO):
        curve = measure(make_data(), refusing)
    assert curve is not None
    assert [rows for rows, _ in curve.scores] == [150, 300]
    assert "size_curve.png has no point of 30 training rows: it needs 100 rows" in caplog.text

    def fail(request: Any) -> Any:
        raise ValueError("never")

    assert (
        measure(make_data(), replace(recipe, estimator=replace(recipe.estimator, build=fail)))
        is None
    )
