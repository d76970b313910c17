"""From a trained model to MLflow: the logged model, its held-out sample, a registered version."""

import importlib.metadata
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import mlflow
import mlflow.sklearn
import pandas as pd
from mlflow.models import infer_signature
from sklearn.pipeline import Pipeline

# What skops may create beyond its own list when it loads our model; reviewed by hand, and never
# taken from the file, which could ask for anything.
#   sklearn.tree._tree.Tree  the nodes of one tree: arrays of numbers, and a __setstate__ in Cython
#                            that checks their layout; it imports and calls nothing.
TRUSTED_TYPES = ("sklearn.tree._tree.Tree",)

# What loading and scoring need; the versions are those in use while training.
_REQUIRED = ("numpy", "pandas", "scikit-learn", "skops")

EXAMPLE_ROWS = 3
SAMPLE_ROWS = 100


class SignatureError(Exception):
    """No signature follows from these columns, so no endpoint could check its requests."""


@dataclass(frozen=True, kw_only=True)
class LoggedModel:
    """The model's address within MLflow."""

    uri: str


def log_model(model: Pipeline, features: pd.DataFrame) -> LoggedModel:
    """Log the model to the active run: skops, signature, input example, pinned requirements."""
    signature = infer_signature(features, model.predict(features.head(EXAMPLE_ROWS)))
    if signature is None or signature.inputs is None:
        raise SignatureError(f"no signature follows from the columns {list(features.columns)}")
    info = mlflow.sklearn.log_model(
        model,
        name="model",
        serialization_format="skops",
        skops_trusted_types=list(TRUSTED_TYPES),
        signature=signature,
        input_example=_choose_example(features),
        pip_requirements=pin_requirements(),
    )
    return LoggedModel(uri=info.model_uri)


def pin_requirements() -> list[str]:
    """The exact versions that a server needs, sorted by name."""
    pins = {name: importlib.metadata.version(name) for name in _REQUIRED}
    # The job has mlflow-skinny, whose version is the same; a server needs all of mlflow.
    pins["mlflow"] = mlflow.__version__
    return [f"{name}=={version}" for name, version in sorted(pins.items())]


def log_held_out_sample(model: Pipeline, features: pd.DataFrame) -> None:
    """Log up to 100 test rows, as /invocations takes them, with what the model says of them."""
    rows = features.head(SAMPLE_ROWS)
    # pandas writes missing values of either kind as null.
    split = json.loads(rows.to_json(orient="split", index=False, double_precision=15))
    predictions = [float(value) for value in model.predict(_read_split(split, features))]
    sample = {"inputs": {"dataframe_split": split}, "predictions": predictions}
    mlflow.log_dict(sample, "held_out_sample.json")


def register_version(logged: LoggedModel, model_name: str, tags: Mapping[str, str]) -> int:
    """Register the logged model as a new version of `model_name`, tagged; the version."""
    version = mlflow.register_model(logged.uri, model_name, tags=dict(tags))
    return int(version.version)


def _choose_example(features: pd.DataFrame) -> pd.DataFrame:
    """Rows without missing values, where there are some: they show what each column holds."""
    complete = features.dropna()
    return (features if complete.empty else complete).head(EXAMPLE_ROWS)


def _read_split(split: Mapping[str, Any], features: pd.DataFrame) -> pd.DataFrame:
    """The rows as a server reads them, so that the predictions are of the very same numbers."""
    frame = pd.DataFrame(split["data"], columns=split["columns"], dtype=object)
    return frame.astype(dict(features.dtypes))
