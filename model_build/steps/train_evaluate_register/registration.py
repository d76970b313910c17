"""From a trained model to MLflow: the logged model, its raw rows, a registered version."""

import importlib.metadata
import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import evaluation
import mlflow
import mlflow.sklearn
import pandas as pd
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException
from mlflow.models import ModelSignature, convert_input_example_to_serving_input
from mlflow.types import ColSpec, DataType, Schema
from model import Recipe, pin_packages
from sklearn.pipeline import Pipeline
from training_data import TrainingData

logger = logging.getLogger(__name__)

# What a column of each kind is in a request.
_TYPES = {
    "number": DataType.double,
    "boolean": DataType.boolean,
    "text": DataType.string,
    "date": DataType.datetime,
}

# What a class is in an answer, by the kind of the target.
_CLASS_TYPES = {
    "text": DataType.string,
    "boolean": DataType.boolean,
    "number": DataType.long,
}

EXAMPLE_ROWS = 3


@dataclass(frozen=True, kw_only=True)
class LoggedModel:
    """The model's address within MLflow."""

    uri: str


def log_model(model: Pipeline, recipe: Recipe, data: TrainingData) -> LoggedModel:
    """Log the model to the active run: skops, signature, input example, pinned requirements."""
    info = mlflow.sklearn.log_model(model, name="model", **describe_model(recipe, data))
    return LoggedModel(uri=info.model_uri)


def describe_model(recipe: Recipe, data: TrainingData) -> dict[str, Any]:
    """What MLflow is told of a model to save it.

    Its metadata says, under "table", how the table's columns are written, so that a server reads
    a row of the table as PrepareData did; under "classes" in which order it knows them; and under
    "reviewed_types" why what skops must create to load it is harmless, with the names that pip has
    for these types' packages under "package_of_module".
    """
    metadata = {
        "table": {"version": 1, "columns": list(data.columns)},
        "task": data.task,
        "reviewed_types": recipe.trusted_types,
        "package_of_module": find_packages(recipe),
        **({"classes": list(data.classes)} if data.classes else {}),
    }
    return {
        "serialization_format": "skops",
        "skops_trusted_types": list(recipe.trusted_types),
        "signature": sign(data),
        "input_example": _choose_example(data.train.features),
        # The job has mlflow-skinny, whose version is the same; a server needs all of mlflow.
        "pip_requirements": sorted(
            [*pin_packages(recipe.packages), f"mlflow=={mlflow.__version__}"]
        ),
        "metadata": metadata,
    }


def find_packages(recipe: Recipe) -> dict[str, str]:
    """Top module of each reviewed type -> the one of the model's packages that installs it."""
    modules = {name.partition(".")[0] for name in recipe.trusted_types}
    installed_by = importlib.metadata.packages_distributions()
    return {
        module: package
        for module in sorted(modules)
        for package in recipe.packages
        if package in installed_by.get(module, [])
    }


def sign(data: TrainingData) -> ModelSignature:
    """The signature: the table's own columns; one with gaps in the table may be left out."""
    inputs = [
        ColSpec(_TYPES[column["kind"]], name=column["name"], required=not column["gaps"])
        for column in data.columns
    ]
    answer = _CLASS_TYPES[data.description["target_kind"]] if data.classes else DataType.double
    return ModelSignature(inputs=Schema(inputs), outputs=Schema([ColSpec(answer)]))


def log_raw_rows(model: Pipeline, data: TrainingData) -> None:
    """Log the raw rows of the test part, with what the model says of the prepared ones.

    So a difference between the way to training and the way to the endpoint shows there.
    """
    told = {name: value for name, value in data.raw_rows.items() if name != "positions"}
    prepared = data.test.features.iloc[data.raw_rows["positions"]]
    told["predictions"] = []
    if data.classes:
        told |= {"classes": list(data.classes), "probabilities": []}
    if len(prepared):
        predicted = evaluation.predict(model, prepared, data.classes)
        told["predictions"] = [evaluation.to_json(value) for value in predicted.values]
        if predicted.probabilities is not None:
            told["probabilities"] = predicted.probabilities.tolist()
    mlflow.log_dict(told, "raw_rows.json")


def example_request(data: TrainingData) -> dict[str, Any]:
    """A request of one row that the model's endpoint answers, as JSON."""
    example = _choose_example(data.train.features).head(1)
    request: dict[str, Any] = json.loads(convert_input_example_to_serving_input(example))
    return request


def register_version(logged: LoggedModel, model_name: str, tags: Mapping[str, str]) -> int:
    """Register the logged model as a new version of `model_name`, tagged; the version."""
    version = mlflow.register_model(logged.uri, model_name, tags=dict(tags))
    return int(version.version)


def describe_version(model_name: str, version: int, card: str, of_model: str) -> None:
    """Write the version's card, and the model's own description if it has none.

    A description that MLflow refuses is told, and fails nothing: the version is registered.
    """
    client = MlflowClient()
    try:
        client.update_model_version(model_name, str(version), card)
        if not client.get_registered_model(model_name).description:
            client.update_registered_model(model_name, of_model)
    except (MlflowException, OSError) as err:
        logger.warning("version %d of %s has no model card: %s", version, model_name, err)


def _choose_example(features: pd.DataFrame) -> pd.DataFrame:
    """Rows without missing values, where there are some: they show what each column holds."""
    features = features.head(10_000)
    complete = features.dropna()
    example = (features if complete.empty else complete).head(EXAMPLE_ROWS)
    # MLflow would write a gap as NaN, which is no JSON, or as the text NaT.
    return example.astype(object).where(example.notna(), None)
