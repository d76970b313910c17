"""From a trained model to MLflow: the logged model, its raw rows, a registered version."""

import importlib.metadata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import forest
import mlflow
import mlflow.sklearn
import pandas as pd
from mlflow.models import ModelSignature
from mlflow.types import ColSpec, DataType, Schema
from sklearn.pipeline import Pipeline
from training_data import TrainingData

# What a column of each kind is in a request.
_TYPES = {
    "number": DataType.double,
    "boolean": DataType.boolean,
    "text": DataType.string,
    "date": DataType.datetime,
}

EXAMPLE_ROWS = 3


@dataclass(frozen=True, kw_only=True)
class LoggedModel:
    """The model's address within MLflow."""

    uri: str


def log_model(model: Pipeline, data: TrainingData) -> LoggedModel:
    """Log the model to the active run: skops, signature, input example, pinned requirements.

    Its metadata says, under "table", how the table's columns are written, so that a server reads
    a row of the table as PrepareData did.
    """
    info = mlflow.sklearn.log_model(
        model,
        name="model",
        serialization_format="skops",
        skops_trusted_types=list(forest.TRUSTED_TYPES),
        signature=sign(data),
        input_example=_choose_example(data.train.features),
        pip_requirements=pin_requirements(forest.required_packages(model)),
        metadata={"table": {"version": 1, "columns": list(data.columns)}},
    )
    return LoggedModel(uri=info.model_uri)


def sign(data: TrainingData) -> ModelSignature:
    """The signature: the table's own columns; one with gaps in the table may be left out."""
    inputs = [
        ColSpec(_TYPES[column["kind"]], name=column["name"], required=not column["gaps"])
        for column in data.columns
    ]
    return ModelSignature(inputs=Schema(inputs), outputs=Schema([ColSpec(DataType.double)]))


def pin_requirements(packages: Sequence[str]) -> list[str]:
    """The versions in use while training of what a server needs, sorted by name."""
    pins = {name: importlib.metadata.version(name) for name in packages}
    # The job has mlflow-skinny, whose version is the same; a server needs all of mlflow.
    pins["mlflow"] = mlflow.__version__
    return [f"{name}=={version}" for name, version in sorted(pins.items())]


def log_raw_rows(model: Pipeline, data: TrainingData) -> None:
    """Log the raw rows of the test part, with what the model says of the prepared ones.

    So a difference between the way to training and the way to the endpoint shows there.
    """
    raw = {name: value for name, value in data.raw_rows.items() if name != "positions"}
    prepared = data.test.features.iloc[data.raw_rows["positions"]]
    predictions = [float(value) for value in model.predict(prepared)] if len(prepared) else []
    mlflow.log_dict({**raw, "predictions": predictions}, "raw_rows.json")


def register_version(logged: LoggedModel, model_name: str, tags: Mapping[str, str]) -> int:
    """Register the logged model as a new version of `model_name`, tagged; the version."""
    version = mlflow.register_model(logged.uri, model_name, tags=dict(tags))
    return int(version.version)


def _choose_example(features: pd.DataFrame) -> pd.DataFrame:
    """Rows without missing values, where there are some: they show what each column holds."""
    features = features.head(10_000)
    complete = features.dropna()
    example = (features if complete.empty else complete).head(EXAMPLE_ROWS)
    # MLflow would write a gap as NaN, which is no JSON, or as the text NaT.
    return example.astype(object).where(example.notna(), None)
