"""The version that serves production, asked about the same test rows.

    @champion ─▶ its columns, kinds, classes and target as ours? ─▶ load ─▶ predict ─▶ losses

It is loaded as MLflow does it everywhere, in the environment of this job.
"""

import logging
from collections.abc import Iterator, Mapping
from typing import Any

import evaluation
import mlflow.pyfunc
import numpy as np
from evaluation import Predictions
from gate import Champion
from mlflow import MlflowClient
from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import RESOURCE_DOES_NOT_EXIST, ErrorCode
from training_data import TrainingData

logger = logging.getLogger(__name__)

ALIAS = "champion"
# What decides which rows are held out; a champion trained with others may know our test rows.
_OF_THE_SPLIT = ("random_seed", "test_size", "split_by")
_LONGEST_REASON = 300


class _Incomparable(Exception):
    """It can't be asked about these rows; the message says why."""


def ask_champion(
    model_name: str, data: TrainingData, split: Mapping[str, Any]
) -> tuple[Champion, Predictions | None]:
    """@champion of this moment, and what it says of the test rows; None if it can't be asked.

    `split` has the parameters of our own run. Raises MlflowException if MLflow does not answer.
    """
    client = MlflowClient()
    version = _find_champion(client, model_name)
    if version is None:
        return Champion(version=None), None
    run = client.get_run(version.run_id).data if version.run_id else None
    told = dict(run.params) if run else {}
    try:
        predicted = _predict(version, data, told)
    except _Incomparable as err:
        return Champion(version=str(version.version), why=str(err)), None
    except Exception as err:  # whatever the champion's own code raises means the same
        logger.warning("the champion can't be asked", exc_info=err)
        why = f"it can't be loaded or asked here: {type(err).__name__}: {err}"
        return Champion(version=str(version.version), why=why[:_LONGEST_REASON]), None
    remarks = list(_remark_on_split(told, split))
    return Champion(version=str(version.version), remarks=remarks), predicted


def _find_champion(client: MlflowClient, model_name: str) -> ModelVersion | None:
    try:
        aliases = client.get_registered_model(model_name).aliases
    except MlflowException as err:
        if err.error_code == ErrorCode.Name(RESOURCE_DOES_NOT_EXIST):
            return None
        raise
    return client.get_model_version(model_name, aliases[ALIAS]) if ALIAS in aliases else None


def _predict(version: ModelVersion, data: TrainingData, told: Mapping[str, str]) -> Predictions:
    """Raises _Incomparable, and whatever the champion raises."""
    if told.get("target", data.description["target"]) != data.description["target"]:
        raise _Incomparable(f"it predicts the column {told['target']!r}")
    model = mlflow.pyfunc.load_model(f"models:/{version.name}/{version.version}")
    metadata = model.metadata.metadata or {}
    # Versions from before there were tasks are regressions.
    task = metadata.get("task", "regression")
    if task != data.task:
        raise _Incomparable(f"its task is {task}, ours is {data.task}")
    names = _match_columns(model, metadata, data)
    features = data.test.features[names]
    if not data.classes:
        values = np.asarray(model.predict(features), dtype=np.float64)
        if values.shape != (len(features),) or not np.isfinite(values).all():
            raise _Incomparable("it does not predict one finite number for each row")
        return Predictions(values=values)
    return _predict_classes(model, metadata, features, data)


def _predict_classes(
    model: Any, metadata: Mapping[str, Any], features: Any, data: TrainingData
) -> Predictions:
    classes = list(metadata.get("classes", []))
    if not set(classes) & set(data.classes):
        raise _Incomparable(f"its classes are {classes}, ours are {list(data.classes)}")
    theirs = evaluation.predict(model.get_raw_model(), features, classes)
    assert theirs.probabilities is not None, "classes have them"
    ours = np.zeros((len(features), len(data.classes)))
    for place, name in enumerate(data.classes):
        if name in classes:
            ours[:, place] = theirs.probabilities[:, classes.index(name)]
    return Predictions(values=theirs.values, probabilities=ours)


def _match_columns(model: Any, metadata: Mapping[str, Any], data: TrainingData) -> list[str]:
    """The columns that it takes. Raises _Incomparable where ours are not these."""
    ours = {column["name"]: column for column in data.columns}
    schema = model.metadata.get_input_schema()
    if schema is None or not schema.has_input_names():
        raise _Incomparable("its signature has no columns with names")
    absent = [name for name in schema.input_names() if name not in ours]
    if absent:
        raise _Incomparable(f"it knows columns that the table lacks: {', '.join(absent)}")
    table = metadata.get("table") or {}
    for column in table.get("columns", []):
        other = ours.get(column["name"])
        if other is not None and other["kind"] != column["kind"]:
            raise _Incomparable(
                f"the column {column['name']!r} is {column['kind']} for it and {other['kind']} now"
            )
    return list(schema.input_names())


def _remark_on_split(told: Mapping[str, str], split: Mapping[str, Any]) -> Iterator[str]:
    other = [
        f"{name} {told[name]}"
        for name in _OF_THE_SPLIT
        if name in told and told[name] != str(split[name])
    ]
    if other:
        yield (
            f"It was trained with {', '.join(other)}, so that it may have learned from some of "
            "these rows"
        )
