"""The champion is asked about the same rows, or it is said why it can't be."""

from __future__ import annotations

import shutil
import uuid
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import champion
import evaluation
import mlflow
import mlflow.artifacts
import mlflow.sklearn
import numpy as np
import pandas as pd
import pytest
import registration
from estimators import find_estimators
from mlflow import MlflowClient
from mlflow.exceptions import RestException
from model import Recipe
from sklearn.ensemble import RandomForestRegressor
from training_data import Part, TrainingData

SPLIT = {"random_seed": 42, "test_size": 0.25, "split_by": "row"}
COLUMNS: list[dict[str, Any]] = [
    {"name": "size", "kind": "number", "gaps": True},
    {"name": "city", "kind": "text", "gaps": False},
]


def make_data(classes: Sequence[Any] = (), target: str = "price") -> TrainingData:
    """Rows whose target follows from `size` and `city`."""
    random = np.random.default_rng(2)
    features = pd.DataFrame({"size": random.gamma(4, 20, 160)})
    features["city"] = np.array(["Bern", "Chur"], dtype=object)[random.integers(0, 2, 160)]
    features.loc[::9, "size"] = np.nan
    values = features["size"].fillna(50) + 100 * (features["city"] == "Bern")
    if classes:
        places = pd.qcut(values, len(classes), labels=False)
        dtype = object if isinstance(classes[0], str) else "int64"
        values = pd.Series([classes[place] for place in places], dtype=dtype)
    kind = "text" if classes and isinstance(classes[0], str) else "number"
    description: dict[str, Any] = {
        "target": target,
        "task": "classification" if classes else "regression",
        "target_kind": kind,
        "columns": COLUMNS,
        **({"classes": list(classes)} if classes else {}),
    }
    parts = [
        Part(features=features[rows].reset_index(drop=True), target=values[rows])
        for rows in (slice(0, 120), slice(120, 160))
    ]
    return TrainingData(
        train=parts[0],
        test=parts[1],
        test_units=np.arange(40, dtype=np.uint64),
        description=description,
        raw_rows={},
        report_files=[],
    )


@pytest.fixture
def name(mlflow_sqlite: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The name of a registered model that does not exist yet."""
    monkeypatch.chdir(tmp_path)
    # MLflow writes it there, and it would outlast the test.
    monkeypatch.setenv("MLFLOW_TRACKING_URI", mlflow_sqlite)
    mlflow.set_tracking_uri(mlflow_sqlite)
    mlflow.set_registry_uri(mlflow_sqlite)
    return f"m-{uuid.uuid4().hex[:8]}"


def register(name: str, data: TrainingData, **params: Any) -> str:
    """Train on the data, register, and make it the champion; its version."""
    recipe = Recipe(
        name="random-forest",
        estimator=find_estimators()["random-forest"],
        task=data.task,
        classes=data.classes,
        parameters={"NEstimators": 10, "MinSamplesLeaf": 2, "MaxRowsPerTree": 0},
        random_seed=1,
    )
    model = recipe.build(data.train.features, data.train.target).fit(
        data.train.features, data.train.target
    )
    recipe.make_ready(model)
    with mlflow.start_run():
        mlflow.log_params({**SPLIT, "target": data.description["target"], **params})
        logged = registration.log_model(model, recipe, data)
        version = registration.register_version(logged, name, {})
    crown(name, str(version))
    return str(version)


def crown(name: str, version: str) -> None:
    MlflowClient().set_registered_model_alias(name, "champion", version)


def test_no_model_and_no_alias_are_no_champion(name: str) -> None:
    data = make_data()
    assert champion.ask_champion(name, data, SPLIT)[0].version is None
    register(name, data)
    MlflowClient().delete_registered_model_alias(name, "champion")
    told, predicted = champion.ask_champion(name, data, SPLIT)
    assert (told.version, predicted) == (None, None)


def test_champion_predicts_the_same_rows(name: str) -> None:
    data = make_data()
    version = register(name, data)
    told, predicted = champion.ask_champion(name, data, SPLIT)
    assert (told.version, told.why, list(told.remarks)) == (version, "", [])
    assert predicted is not None
    model = mlflow.sklearn.load_model(f"models:/{name}/{version}")
    np.testing.assert_array_equal(predicted.values, model.predict(data.test.features))


def test_version_at_the_alias_is_asked_not_the_newest(name: str) -> None:
    data = make_data()
    first = register(name, data)
    register(name, data)
    crown(name, first)
    assert champion.ask_champion(name, data, SPLIT)[0].version == first


@pytest.mark.parametrize("classes", [["no", "yes"], [0, 1, 2]])
def test_champion_of_classes_gives_probabilities(name: str, classes: list[Any]) -> None:
    data = make_data(classes)
    version = register(name, data)
    _, predicted = champion.ask_champion(name, data, SPLIT)
    assert predicted is not None
    model = mlflow.sklearn.load_model(f"models:/{name}/{version}")
    np.testing.assert_array_equal(predicted.probabilities, model.predict_proba(data.test.features))


def test_probabilities_stand_at_the_classes_of_today(name: str) -> None:
    """A class was added since, one is gone, and so the places have moved."""
    register(name, make_data(["b", "c", "x"]))
    now = make_data(["a", "b", "c"])
    told, predicted = champion.ask_champion(name, now, SPLIT)
    assert told.why == ""
    assert predicted is not None
    assert predicted.probabilities is not None
    assert (predicted.probabilities[:, 0] == 0).all()
    at_c = predicted.values == "c"
    assert (predicted.probabilities[at_c].argmax(axis=1) == 2).all()
    for measure in evaluation.choose_measures(now.train.target, now.classes):
        assert measure.losses(now.test.target, predicted).shape == (40,)


def with_columns(data: TrainingData, columns: list[dict[str, Any]], frame: Any) -> TrainingData:
    parts = [replace(part, features=frame(part.features)) for part in (data.train, data.test)]
    return replace(
        data, train=parts[0], test=parts[1], description={**data.description, "columns": columns}
    )


def test_further_columns_of_the_table_are_no_obstacle(name: str) -> None:
    register(name, make_data())
    more = with_columns(
        make_data(),
        [{"name": "rooms", "kind": "number", "gaps": False}, *COLUMNS],
        lambda features: features.assign(rooms=1.0)[["rooms", "size", "city"]],
    )
    told, predicted = champion.ask_champion(name, more, SPLIT)
    assert told.why == ""
    assert predicted is not None


@pytest.mark.parametrize("gone", ["size", "city"])
def test_column_that_the_table_lacks_is_said(name: str, gone: str) -> None:
    """Also one that the champion does without in single rows: it never met a table without it."""
    register(name, make_data())
    kept = [column for column in COLUMNS if column["name"] != gone]
    fewer = with_columns(make_data(), kept, lambda features: features.drop(columns=gone))
    told, predicted = champion.ask_champion(name, fewer, SPLIT)
    assert predicted is None
    assert told.why == f"it knows columns that the table lacks: {gone}"


def test_column_of_another_kind_is_said(name: str) -> None:
    register(name, make_data())
    other = with_columns(
        make_data(),
        [{**COLUMNS[0], "kind": "text"}, COLUMNS[1]],
        lambda features: features.assign(size="big"),
    )
    told, _ = champion.ask_champion(name, other, SPLIT)
    assert told.why == "the column 'size' is number for it and text now"


def test_other_task_other_classes_other_target_are_said(name: str) -> None:
    register(name, make_data(["no", "yes"]))
    whys = [
        champion.ask_champion(name, data, SPLIT)[0].why
        for data in (make_data(), make_data([0, 1]), make_data(["no", "yes"], target="rent"))
    ]
    assert whys == [
        "its task is classification, ours is regression",
        "its classes are ['no', 'yes'], ours are [0, 1]",
        "it predicts the column 'price'",
    ]


def test_other_split_is_remarked_on(name: str) -> None:
    """Its training rows may be among the test rows of today."""
    register(name, make_data(), random_seed=7)
    told, predicted = champion.ask_champion(name, make_data(), SPLIT)
    assert predicted is not None
    (remark,) = told.remarks
    assert remark == (
        "It was trained with random_seed 7, so that it may have learned from some of these rows"
    )


def test_champion_that_cannot_be_loaded_is_said(name: str) -> None:
    version = register(name, make_data())
    source = MlflowClient().get_model_version_download_uri(name, version)
    Path(source.removeprefix("file://"), "model.skops").write_bytes(b"no archive")
    told, predicted = champion.ask_champion(name, make_data(), SPLIT)
    assert predicted is None
    assert told.why.startswith("it can't be loaded or asked here: BadZipFile: ")


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_champion_without_a_signature_is_said(name: str) -> None:
    forest = RandomForestRegressor(2).fit([[0.0], [1.0]], [0, 1])
    with mlflow.start_run():
        info = mlflow.sklearn.log_model(
            forest,
            name="model",
            serialization_format="skops",
            skops_trusted_types=["sklearn.tree._tree.Tree"],
            pip_requirements=["scikit-learn"],
        )
    crown(name, str(mlflow.register_model(info.model_uri, name).version))
    told, _ = champion.ask_champion(name, make_data(), SPLIT)
    assert told.why == "its signature has no columns with names"


def test_champion_whose_files_are_gone_is_said(name: str) -> None:
    version = register(name, make_data())
    source = MlflowClient().get_model_version_download_uri(name, version)
    shutil.rmtree(source.removeprefix("file://"))
    told, predicted = champion.ask_champion(name, make_data(), SPLIT)
    assert predicted is None
    assert told.why == "its files are gone"


def test_champion_whose_run_is_gone_is_compared_all_the_same(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    register(name, make_data())
    monkeypatch.setattr(MlflowClient, "get_run", refuse("RESOURCE_DOES_NOT_EXIST"))
    told, predicted = champion.ask_champion(name, make_data(), SPLIT)
    assert predicted is not None
    (remark,) = told.remarks
    assert remark.startswith("Its run is gone")


@pytest.mark.parametrize(
    ("place", "what"),
    [
        ((MlflowClient, "get_registered_model"), "which version of 'm-"),
        ((MlflowClient, "get_run"), "the run of the champion, version 1"),
        ((mlflow.artifacts, "download_artifacts"), "the files of the champion, version 1"),
    ],
)
def test_mlflow_that_refuses_says_nothing_about_the_champion(
    name: str, monkeypatch: pytest.MonkeyPatch, place: tuple[Any, str], what: str
) -> None:
    """Or ChampionIncomparable=allow would let a worse model through."""
    register(name, make_data())
    monkeypatch.setattr(*place, refuse("PERMISSION_DENIED"))
    with pytest.raises(champion.ChampionError, match="start the pipeline again") as caught:
        champion.ask_champion(name, make_data(), SPLIT)
    assert str(caught.value).startswith(f"MLflow does not tell {what}")


def refuse(code: str) -> Any:
    def answer(*_arguments: Any, **_named: Any) -> Any:
        raise RestException({"error_code": code, "message": "no"})

    return answer
