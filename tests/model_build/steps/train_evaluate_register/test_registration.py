"""What MLflow is told of a model, and the raw rows with what the model says of them."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pytest
import registration
from training_data import TrainingData, read_training_data

from tests.model_build.steps.train_evaluate_register.recipes import SHIPPED, make_recipe, train


@pytest.fixture
def in_a_run(mlflow_sqlite: str) -> Any:
    mlflow.set_tracking_uri(mlflow_sqlite)
    mlflow.set_experiment("registration")
    with mlflow.start_run() as run:
        yield run


def read_classes(prepared_classes: dict[str, Path], kind: str) -> TrainingData:
    return read_training_data(prepared_classes[kind], kind)


@pytest.mark.parametrize(
    ("kind", "answer"), [("text", "string"), ("boolean", "boolean"), ("integer", "long")]
)
def test_the_signature_answers_with_a_class(
    prepared_classes: dict[str, Path], kind: str, answer: str
) -> None:
    signature = registration.sign(read_classes(prepared_classes, kind))
    assert [column.type.name for column in signature.outputs] == [answer]
    assert {column.name: (column.type.name, column.required) for column in signature.inputs} == {
        "size": ("double", False),
        "city": ("string", False),
        "garden": ("boolean", True),
    }


def test_the_signature_of_a_regression_answers_with_a_number(prepared: Path) -> None:
    signature = registration.sign(read_training_data(prepared, "price"))
    assert [column.type.name for column in signature.outputs] == ["double"]


@pytest.mark.parametrize("name", SHIPPED)
@pytest.mark.parametrize("kind", ["text", "boolean", "integer"])
def test_metadata_is_json_and_says_how_to_read_and_what_was_reviewed(
    prepared_classes: dict[str, Path], kind: str, name: str
) -> None:
    data = read_classes(prepared_classes, kind)
    recipe = make_recipe(name, data.train.target)
    told = registration.describe_model(recipe, data)
    metadata = json.loads(json.dumps(told["metadata"], allow_nan=False))
    assert metadata == {
        "table": {"version": 1, "columns": data.description["columns"]},
        "task": "classification",
        "classes": data.description["classes"],
        "reviewed_types": recipe.trusted_types,
        "package_of_module": {"numpy": "numpy", "sklearn": "scikit-learn"},
    }
    assert sorted(told["skops_trusted_types"]) == sorted(recipe.trusted_types)
    assert f"mlflow=={mlflow.__version__}" in told["pip_requirements"]
    assert told["pip_requirements"] == sorted(told["pip_requirements"])


def test_a_regression_has_no_classes(prepared: Path) -> None:
    data = read_training_data(prepared, "price")
    metadata = registration.describe_model(make_recipe(), data)["metadata"]
    assert metadata["task"] == "regression"
    assert "classes" not in metadata


def test_the_example_has_rows_without_gaps_where_there_are_some(prepared: Path) -> None:
    data = read_training_data(prepared, "price")
    example = registration.describe_model(make_recipe(), data)["input_example"]
    assert len(example) == 3
    assert example.notna().all(axis=None)


@pytest.mark.parametrize("kind", ["text", "boolean", "integer"])
def test_raw_rows_have_classes_and_a_probability_for_each(
    prepared_classes: dict[str, Path], kind: str, in_a_run: Any
) -> None:
    data = read_classes(prepared_classes, kind)
    model = train(make_recipe(target=data.train.target), data.train.features, data.train.target)
    registration.log_raw_rows(model, data)
    raw = mlflow.artifacts.load_dict(f"{in_a_run.info.artifact_uri}/raw_rows.json")
    assert raw["classes"] == data.classes
    assert np.shape(raw["probabilities"]) == (len(raw["rows"]), len(data.classes))
    assert set(raw["predictions"]) <= set(data.classes)
    assert "positions" not in raw


@pytest.mark.parametrize("kind", ["text", "boolean", "integer"])
def test_where_no_raw_row_was_kept_there_are_no_probabilities(
    prepared_classes: dict[str, Path], kind: str, in_a_run: Any
) -> None:
    data = read_classes(prepared_classes, kind)
    model = train(make_recipe(target=data.train.target), data.train.features, data.train.target)
    none = {**data.raw_rows, "rows": [], "csv": [], "positions": []}
    registration.log_raw_rows(model, dataclasses.replace(data, raw_rows=none))
    raw = mlflow.artifacts.load_dict(f"{in_a_run.info.artifact_uri}/raw_rows.json")
    assert (raw["predictions"], raw["probabilities"]) == ([], [])
    assert raw["classes"] == data.classes
