"""The version that serves production, asked about the same test rows.

    @champion ─▶ fetch ─▶ its columns, kinds, classes and target as ours? ─▶ load ─▶ predict

It is loaded as MLflow does it everywhere, in the environment of this job. An MLflow that does not
answer says nothing about the champion: then the job fails, and nothing is registered.
"""

import logging
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import evaluation
import mlflow.artifacts
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


class ChampionError(Exception):
    """MLflow does not tell or give the champion."""


class _Incomparable(Exception):
    """It can't be asked about these rows; the message says why."""


def ask_champion(
    model_name: str, data: TrainingData, split: Mapping[str, Any]
) -> tuple[Champion, Predictions | None]:
    """@champion of this moment, and what it says of the test rows; None if it can't be asked.

    `split` has the parameters of our own run. Raises ChampionError if MLflow does not answer.
    """
    client = MlflowClient()
    version = _find_champion(client, model_name)
    if version is None:
        return Champion(version=None), None
    told = _read_parameters(client, version)
    try:
        with tempfile.TemporaryDirectory(prefix="champion-") as folder:
            predicted = _predict(_fetch(client, version, folder), data, told or {})
    except ChampionError:
        raise
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
        return client.get_model_version(model_name, aliases[ALIAS]) if ALIAS in aliases else None
    except MlflowException as err:
        if _is_gone(err):
            return None
        raise _explain(f"which version of {model_name!r} is the champion", err) from err


def _read_parameters(client: MlflowClient, version: ModelVersion) -> dict[str, str] | None:
    """Its run's; None if it has no run, or that was deleted."""
    if not version.run_id:
        return None
    try:
        return dict(client.get_run(version.run_id).data.params)
    except MlflowException as err:
        if _is_gone(err):
            return None
        raise _explain(f"the run of the champion, version {version.version}", err) from err


def _fetch(client: MlflowClient, version: ModelVersion, folder: str) -> str:
    """The model's folder on this machine. Raises _Incomparable if it was deleted."""
    try:
        # An address `models:/` can't hold each name: it ends at a ?, and splits at an @.
        uri = client.get_model_version_download_uri(version.name, version.version)
        path: str = mlflow.artifacts.download_artifacts(uri, dst_path=folder)
    except Exception as err:  # each kind of store has errors of its own
        if _is_gone(err):
            raise _Incomparable("its files are gone") from err
        raise _explain(f"the files of the champion, version {version.version}", err) from err
    # Of a folder that was deleted, some stores give nothing rather than an error.
    if not Path(path, "MLmodel").is_file():
        raise _Incomparable("its files are gone")
    return path


def _is_gone(err: BaseException | None) -> bool:
    """Whether MLflow or its store answered that there is no such thing."""
    while err is not None:
        status = getattr(getattr(err, "response", None), "status_code", None)
        code = getattr(err, "error_code", None)
        if status == 404 or code == ErrorCode.Name(RESOURCE_DOES_NOT_EXIST):
            return True
        if isinstance(err, FileNotFoundError):
            return True
        err = err.__cause__
    return False


def _explain(what: str, err: Exception) -> ChampionError:
    return ChampionError(
        f"MLflow does not tell {what}, so that the model can't be compared: {err}. Nothing was "
        "registered; start the pipeline again once MLflow answers"
    )


def _predict(path: str, data: TrainingData, told: Mapping[str, str]) -> Predictions:
    """Raises _Incomparable, and whatever the champion raises."""
    if told.get("target", data.description["target"]) != data.description["target"]:
        raise _Incomparable(f"it predicts the column {told['target']!r}")
    model = mlflow.pyfunc.load_model(path)
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


def _remark_on_split(told: Mapping[str, str] | None, split: Mapping[str, Any]) -> Iterator[str]:
    if told is None:
        yield "Its run is gone, so that nobody knows whether it learned from some of these rows"
        return
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
