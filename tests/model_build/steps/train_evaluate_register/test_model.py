"""Either estimator learns either task, and its model goes to a server with what was reviewed."""

from __future__ import annotations

import json
from typing import Any

import evaluation
import numpy as np
import pandas as pd
import pytest
import skops.io
from model import pin_packages
from sklearn.metrics import accuracy_score
from sklearn.pipeline import Pipeline

from tests.model_build.steps.train_evaluate_register.recipes import (
    SHIPPED,
    list_classes,
    make_classes,
    make_features,
    make_recipe,
    make_target,
    train,
)

KINDS = (("text", 2), ("text", 3), ("text", 12), ("boolean", 2), ("number", 2), ("number", 3))


@pytest.fixture(scope="module")
def features() -> pd.DataFrame:
    return make_features()


def load(model: Pipeline, trusted: list[str]) -> Any:
    """As a server does: no more than these types are created."""
    return skops.io.loads(skops.io.dumps(model), trusted=trusted)


@pytest.mark.parametrize("name", SHIPPED)
def test_same_seed_same_model(features: pd.DataFrame, name: str) -> None:
    target = make_target(features)
    one, again, other = (
        train(make_recipe(name, random_seed=seed), features, target).predict(features)
        for seed in (3, 3, 4)
    )
    np.testing.assert_array_equal(one, again)
    assert not np.array_equal(one, other)


@pytest.mark.parametrize("name", SHIPPED)
@pytest.mark.parametrize(("kind", "count"), KINDS)
def test_classes_of_each_kind_are_learned_saved_and_told_as_json(
    features: pd.DataFrame, name: str, kind: str, count: int
) -> None:
    target = make_classes(features, kind, count)
    recipe = make_recipe(name, target)
    model = train(recipe, features, target)
    predicted = evaluation.predict(model, features, recipe.classes)
    assert accuracy_score(target, predicted.values) > 1.5 / count

    loaded = evaluation.predict(load(model, list(recipe.trusted_types)), features, recipe.classes)
    assert loaded.probabilities is not None
    np.testing.assert_array_equal(loaded.values, predicted.values)
    np.testing.assert_array_equal(loaded.probabilities, predicted.probabilities)
    again = train(recipe, features, target)
    np.testing.assert_array_equal(again.predict_proba(features), predicted.probabilities)

    told = json.loads(json.dumps([evaluation.to_json(value) for value in predicted.values]))
    assert told == predicted.values.tolist()
    assert {type(value) for value in told} == {type(list_classes(target)[0])}


@pytest.mark.parametrize("name", SHIPPED)
@pytest.mark.parametrize("count", [0, 2, 3, 12])
def test_every_column_has_its_share(features: pd.DataFrame, name: str, count: int) -> None:
    """However many numbers its encoders made of it: one for each city, one for each class."""
    target = make_classes(features, "text", count) if count else make_target(features)
    recipe = make_recipe(name, target if count else None)
    model = train(recipe, features, target)
    shares = recipe.rank_columns(model)
    assert shares is not None
    encoded = model.named_steps["columns"].get_feature_names_out()
    assert len(encoded) > len(features.columns) + 3
    assert sorted(shares.index) == sorted(features.columns)
    assert shares.sum() == pytest.approx(1)
    assert shares.is_monotonic_decreasing
    if count < 12:
        assert shares.index[0] == "city"


@pytest.mark.parametrize("name", SHIPPED)
def test_where_nothing_was_learned_no_column_has_a_share(name: str) -> None:
    features = pd.DataFrame({"size": np.ones(60), "city": ["Bern"] * 60})
    recipe = make_recipe(name)
    shares = recipe.rank_columns(train(recipe, features, pd.Series(np.arange(60.0))))
    assert shares is not None
    assert shares.to_dict() == {"size": 0, "city": 0}


@pytest.mark.parametrize("name", SHIPPED)
@pytest.mark.parametrize(
    "kept", [["size"], ["garden"], ["city"], ["id"], ["sold"], ["sex", "size"]]
)
@pytest.mark.parametrize("count", [0, 2, 3])
def test_table_of_any_kinds_is_saved_with_no_more_than_the_reviewed_types(
    features: pd.DataFrame, name: str, kept: list[str], count: int
) -> None:
    target = make_classes(features, "text", count) if count else make_target(features)
    recipe = make_recipe(name, target if count else None)
    model = train(recipe, features[kept], target)
    loaded = load(model, list(recipe.trusted_types))
    np.testing.assert_array_equal(loaded.predict(features[kept]), model.predict(features[kept]))


@pytest.mark.parametrize("name", SHIPPED)
@pytest.mark.parametrize("count", [0, 3])
def test_all_reviewed_types_are_needed(features: pd.DataFrame, name: str, count: int) -> None:
    target = make_classes(features, "text", count) if count else make_target(features)
    recipe = make_recipe(name, target if count else None)
    saved = skops.io.dumps(train(recipe, features, target))
    assert set(skops.io.get_untrusted_types(data=saved)) == set(recipe.trusted_types)
    assert all(len(reason) > 20 for reason in recipe.trusted_types.values())
    assert recipe.packages == ["numpy", "pandas", "scikit-learn", "skops"]


@pytest.mark.parametrize("name", SHIPPED)
def test_text_that_training_never_saw_is_classified(features: pd.DataFrame, name: str) -> None:
    target = make_classes(features, "text", 3)
    recipe = make_recipe(name, target)
    model = train(recipe, features, target)
    unseen = features.assign(city="Zug", sex=None, id="house-none")
    evaluation.predict(model, unseen, recipe.classes)


def test_packages_are_pinned_to_the_versions_in_use_here() -> None:
    assert pin_packages(["numpy", "pandas"]) == [
        f"numpy=={np.__version__}",
        f"pandas=={pd.__version__}",
    ]
