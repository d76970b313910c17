"""What the forest alone does: bounded trees, merged numbers, one thread when it serves."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from estimators.random_forest import find_merged
from sklearn.pipeline import Pipeline

from tests.model_build.steps.train_evaluate_register.recipes import (
    ROWS,
    make_features,
    make_recipe,
    make_target,
    train,
)


@pytest.fixture(scope="module")
def features() -> pd.DataFrame:
    return make_features()


def test_tree_draws_no_more_rows_than_asked(features: pd.DataFrame) -> None:
    target = make_target(features)
    bounded, free, roomy = (
        train(make_recipe(max_rows_per_tree=rows), features, target).named_steps["estimator"]
        for rows in (50, 0, ROWS)
    )
    roots = [tree.tree_.weighted_n_node_samples[0] for tree in bounded.estimators_]
    assert set(roots) == {50}
    assert bounded.estimators_[0].tree_.node_count < free.estimators_[0].tree_.node_count / 3
    assert [tree.tree_.node_count for tree in roomy.estimators_] == [
        tree.tree_.node_count for tree in free.estimators_
    ]


def test_few_rows_of_a_rehearsal_are_not_bounded(features: pd.DataFrame) -> None:
    """Of scikit-learn's releases some refuse to draw more rows than there are."""
    recipe = make_recipe(max_rows_per_tree=50)
    model = recipe.build(features, make_target(features), rehearsed_with=range(20))
    assert model.named_steps["estimator"].max_samples is None


def test_serving_uses_one_thread(features: pd.DataFrame) -> None:
    model: Pipeline = train(make_recipe(), features, make_target(features))
    assert model.named_steps["estimator"].n_jobs is None


def test_numbers_that_trees_cannot_tell_apart_are_told() -> None:
    near, far = np.arange(100.0), 2.0**31 + np.arange(100.0)
    features = pd.DataFrame({"id": np.concatenate([near, far]), "size": np.linspace(0, 1, 200)})
    (told,) = find_merged(features)
    assert told.startswith("column 'id': 200 different numbers are 101 for the forest")
    assert find_merged(features.assign(id=features["id"] + 0.5)) == []


@pytest.mark.parametrize("start", [1_700_000_000, 2**30, 2**50, -(2**40)])
def test_numbers_that_are_learned_from_their_mean_are_not_told(start: int) -> None:
    assert find_merged(pd.DataFrame({"second": start + np.arange(300.0)})) == []
