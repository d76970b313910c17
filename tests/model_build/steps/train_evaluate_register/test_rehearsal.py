"""What an estimator's file lacks is said before the training: real jobs with planted faults."""

from __future__ import annotations

import dataclasses
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import rehearsal
import train
from estimators.contract import Estimator
from model import Recipe
from sklearn.linear_model import Ridge
from training_data import Part, TrainingData, read_training_data

from tests.model_build.steps.train_evaluate_register.jobs import Job
from tests.model_build.steps.train_evaluate_register.recipes import SHIPPED, make_recipe

TRIED = r"tried with \d+ rows before the training"

# A file that is right, of which each plant changes something.
RIGHT = """
from .contract import REGRESSION, BuildRequest, Estimator, Parameter


def make(request):
    from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor

    kind = RandomForestRegressor if request.task == REGRESSION else RandomForestClassifier
    return kind(n_estimators=request.parameters["planted_trees"], random_state=1)


def build(request):
    return make(request)


def rank(forest):
    return forest.feature_importances_


FIELDS = dict(
    build=build,
    parameters=(
        Parameter(name="PlantedTrees", default=5, low=1, high=100, meaning="trees", small=2),
    ),
    trusted_types={"sklearn.tree._tree.Tree": "arrays of numbers"},
    rank=rank,
)
"""


def build_as(body: str) -> str:
    return f"def build(request):\n    {body}\nFIELDS['build'] = build\n"


def rank_as(expression: str) -> str:
    return f"FIELDS['rank'] = lambda forest: {expression}\n"


def give(method: str, expression: str) -> str:
    """The forest's method answers otherwise."""
    return build_as(
        f"forest = make(request); kind = type(forest)\n"
        f"    class Planted(kind):\n"
        f"        def {method}(self, X):\n"
        f"            given = kind.{method}(self, X)\n"
        f"            return {expression}\n"
        f"    return Planted(random_state=1)"
    )


FAULTS = {
    "untrusted type": (
        "regression",
        "FIELDS['trusted_types'] = {}",
        "its model can't be saved, TRIED: nobody reviewed "
        "sklearn.tree._tree.Tree. Read what loading them does, and add each to `trusted_types` "
        "with the reason why it is harmless",
    ),
    "package that a server lacks": (
        "regression",
        "import joblib\n"
        "FIELDS['trusted_types']['joblib.memory.NotMemorizedResult'] = 'a value'\n"
        + build_as(
            "kept = joblib.memory.NotMemorizedResult(1)\n"
            "    forest = make(request); forest.kept = kept\n"
            "    return forest"
        ),
        "its model can't be saved, TRIED: the model holds objects "
        'of the package joblib, which no server would have. Add "joblib" to `packages`',
    ),
    "function in the place of a class": (
        "regression",
        "FIELDS['trusted_types']['numpy.load'] = 'harmless, surely'\n",
        "its model can't be saved, TRIED: numpy.load in `trusted_types` is no class, and no "
        "deployment takes a function's word from here. Build the model without it",
    ),
    "class of its own file": (
        "regression",
        "from sklearn.ensemble import RandomForestRegressor\n"
        "class Own(RandomForestRegressor): pass\n"
        "FIELDS['trusted_types']['estimators.planted.Own'] = 'mine'\n"
        + build_as("return Own(random_state=1)"),
        "its model can't be saved, TRIED: the model holds objects "
        "of the training step's own module estimators, which no server would have. Build it of the "
        "classes of packages that pip installs",
    ),
    "package that is not installed": (
        "regression",
        "FIELDS['packages'] = ('no-such-package',)",
        "its model can't be pinned, TRIED: PackageNotFoundError: "
        "No package metadata was found for no-such-package. `packages` has the names that pip "
        "knows; requirements.txt installs them",
    ),
    "rank too short": (
        "regression",
        rank_as("[1.0, 2.0]"),
        "its model can't be ranked, TRIED: it gives 2 shares of "
        r"\d+ encoded columns. `rank` gives each encoded column a share of 0 or more, or is None",
    ),
    "rank too long": (
        "regression",
        rank_as("[*forest.feature_importances_, 0.0]"),
        r"its model can't be ranked, .*: it gives \d+ shares of \d+ encoded columns",
    ),
    "rank negative": (
        "regression",
        rank_as("forest.feature_importances_ - 0.5"),
        r"its model can't be ranked, .*: it gives -0\.\d+. `rank` gives each",
    ),
    "rank NaN": (
        "regression",
        rank_as("forest.feature_importances_ * float('nan')"),
        "its model can't be ranked, .*: it gives nan. `rank` gives each",
    ),
    "rank raises": (
        "regression",
        rank_as("forest.coef_"),
        "its model can't be ranked, .*: AttributeError: 'RandomForestRegressor' object has no",
    ),
    "another class than the most probable": (
        "text",
        give("predict", "given[::-1]"),
        "its model can't be asked, .*: EvaluationError: the model predicts another class than the "
        "most probable one",
    ),
    "no probabilities": (
        "text",
        build_as(
            "from sklearn.impute import SimpleImputer\n"
            "    from sklearn.pipeline import make_pipeline\n"
            "    from sklearn.linear_model import RidgeClassifier\n"
            "    return make_pipeline(SimpleImputer(), RidgeClassifier())"
        ),
        "its model can't be asked, TRIED: EvaluationError: the model has no "
        "predict_proba, .*around it$",
    ),
    "probabilities that are none": (
        "boolean",
        give("predict_proba", "given * 2"),
        "its model can't be asked, .*: EvaluationError: the model gives probabilities that do not "
        "add up to 1 in each row",
    ),
    "probabilities of one class": (
        "boolean",
        give("predict_proba", "given[:, :1]"),
        "its model can't be asked, .*: EvaluationError: the model does not give each row a "
        "probability for each class",
    ),
    "predictions NaN": (
        "regression",
        give("predict", "given * float('nan')"),
        "its model can't be asked, .*: EvaluationError: the model does not predict one finite "
        "number for each row",
    ),
    "a column of predictions": (
        "regression",
        give("predict", "given[:, None]"),
        "its model can't be asked, .*: EvaluationError: the model does not predict one finite",
    ),
    "task that it does not do": (
        "integer",
        "FIELDS['tasks'] = ('regression',)",
        "its model can't be taken, TRIED: it does no "
        "classification. its file's `tasks` are regression",
    ),
    "build raises": (
        "regression",
        build_as("raise RuntimeError('no GPU here')"),
        "its model can't be built, TRIED: RuntimeError: no GPU here$",
    ),
    "wrong keyword": (
        "regression",
        build_as("return request.parameters['n_trees']"),
        "its model can't be built, TRIED: KeyError: 'n_trees'. "
        "`request.parameters` has planted_trees",
    ),
    "missing package in a function": (
        "regression",
        build_as("import no_such_package"),
        "its model can't be built, .*: ModuleNotFoundError: No module named 'no_such_package'",
    ),
    "build gives nothing": (
        "regression",
        build_as("pass"),
        "its model can't be .*before the training: ",
    ),
    "missing values": (
        "regression",
        build_as("from sklearn.linear_model import Ridge\n    return Ridge()"),
        "its model can't be trained, TRIED: Input X contains NaN",
    ),
    "more rows than twenty": (
        "regression",
        build_as(
            "from sklearn.impute import SimpleImputer\n"
            "    from sklearn.pipeline import make_pipeline\n"
            "    from sklearn.neighbors import KNeighborsRegressor\n"
            "    return make_pipeline(SimpleImputer(), KNeighborsRegressor(50))"
        ),
        "its model can't be asked, TRIED: Expected n_neighbors",
    ),
    "setting for serving that is none": (
        "regression",
        "FIELDS['when_serving'] = {'n_threads': 1}",
        "its model can't be trained, .*: Invalid parameter 'n_threads'",
    ),
    "remark raises": (
        "regression",
        "FIELDS['remark'] = lambda features: features['no such column']",
        "its model can't be remarked on, .*: KeyError: 'no such column'. `remark` gives a list of "
        "sentences, or is None",
    ),
    "remark is one text": (
        "regression",
        "FIELDS['remark'] = lambda features: 'beware'",
        "its model can't be remarked on, .*: it gives 'beware'. `remark` gives a list of sentences",
    ),
    "reason that is no text": (
        "regression",
        "FIELDS['trusted_types'] = {'sklearn.tree._tree.Tree': object()}",
        "its model can't be saved, TRIED: RepresenterError: ",
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_planted_fault_is_told_before_the_training(
    fault: str,
    start_job: Callable[[Path], Job],
    plant_estimator: Callable[[str, str], None],
    prepared: Path,
    prepared_classes: dict[str, Path],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    kind, change, told = FAULTS[fault]
    job = start_job({"regression": prepared, **prepared_classes}[kind])
    plant_estimator("planted", f"{RIGHT}\n{change}\nESTIMATOR = Estimator(**FIELDS)\n")
    monkeypatch.setenv("ESTIMATOR", "planted")
    assert train.main(job.arguments()) == 1
    told = told.replace("TRIED", TRIED)
    assert re.match(f"estimators/planted.py: {told}", job.failure), job.failure
    assert not job.has_run
    assert job.versions == []


@pytest.mark.parametrize("kind", ["regression", "text", "boolean", "integer"])
def test_without_a_fault_the_planted_estimator_is_trained(
    kind: str,
    start_job: Callable[[Path], Job],
    plant_estimator: Callable[[str, str], None],
    prepared: Path,
    prepared_classes: dict[str, Path],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    job = start_job({"regression": prepared, **prepared_classes}[kind])
    plant_estimator("planted", f"{RIGHT}\nESTIMATOR = Estimator(**FIELDS)\n")
    monkeypatch.setenv("ESTIMATOR", "planted")
    assert train.main(job.arguments(**{"planted-trees": 20})) == 0
    assert job.run.data.params["planted_trees"] == "20"
    assert len(job.versions) == 1


def make_data(data: TrainingData, target: Any) -> TrainingData:
    """The same with the target of this test."""
    features = data.train.features.head(len(target)).reset_index(drop=True)
    described = {**data.description}
    if target.dtype == object:
        described |= {"task": "classification", "target_kind": "text"}
        described["classes"] = sorted(set(target))
    return dataclasses.replace(
        data, train=Part(features=features, target=target), description=described
    )


@pytest.fixture(scope="module")
def data(prepared: Path) -> TrainingData:
    return read_training_data(prepared, "price")


def drop_gaps(data: TrainingData) -> TrainingData:
    features = data.train.features[["garden", "id", "sold"]]
    return dataclasses.replace(data, train=Part(features=features, target=data.train.target))


@pytest.mark.parametrize(("classes", "rows"), [(2, 20), (3, 21), (12, 36), (60, 180)])
def test_of_each_class_there_are_rows(data: TrainingData, classes: int, rows: int) -> None:
    target = pd.Series([f"class {at % classes:02d}" for at in range(180)], dtype=object)
    chosen = rehearsal.choose_rows(drop_gaps(make_data(data, target)))
    assert len(chosen) == len(set(chosen)) == rows
    counts = target.iloc[chosen].value_counts()
    assert len(counts) == classes
    assert counts.min() == counts.max() >= 3


def test_rare_classes_are_among_the_rows(data: TrainingData) -> None:
    target = pd.Series(["often"] * 170 + ["twice", "twice", "once"], dtype=object)
    chosen = rehearsal.choose_rows(drop_gaps(make_data(data, target)))
    assert target.iloc[chosen].value_counts().to_dict() == {"often": 7, "twice": 2, "once": 1}


def test_of_numbers_there_are_small_and_large_ones(data: TrainingData) -> None:
    """The first rows of this table have all the same."""
    target = pd.Series([0.0] * 150 + [*range(30, 0, -1)])
    chosen = rehearsal.choose_rows(drop_gaps(make_data(data, target)))
    assert len(chosen) == 20
    assert target.iloc[chosen].agg(["min", "max"]).tolist() == [0, 30]
    few = drop_gaps(make_data(data, pd.Series(np.arange(7.0))))
    assert rehearsal.choose_rows(few) == list(range(7))


@pytest.mark.parametrize("kind", ["object", "float64"])
def test_rows_with_gaps_are_among_them(data: TrainingData, kind: str) -> None:
    target = pd.Series([f"class {at % 3}" if kind == "object" else at for at in range(170)])
    made = make_data(data, target.astype(kind))
    features = made.train.features[["id"]].copy()
    for at in range(30):
        features[f"number {at}"] = np.where(np.arange(170) == 90 + at, np.nan, 1.0)
    made = dataclasses.replace(made, train=Part(features=features, target=made.train.target))
    chosen = rehearsal.choose_rows(made)
    assert set(range(90, 110)) <= set(chosen)
    assert len(chosen) == len(set(chosen)) <= 41
    assert chosen == sorted(chosen)


@pytest.mark.parametrize("name", SHIPPED)
@pytest.mark.parametrize("classes", [0, 2, 3, 12, 60])
def test_what_is_shipped_can_be_rehearsed(data: TrainingData, name: str, classes: int) -> None:
    target = data.train.target.head(170).reset_index(drop=True)
    if classes:
        # The last class has one row.
        target = pd.Series([f"class {at % classes:02d}" for at in range(169)] + ["z"], dtype=object)
    made = make_data(data, target)
    recipe = make_recipe(name, target if classes else None, max_rows_per_tree=50)
    rehearsal.rehearse(recipe, made)
    recipe.build(made.train.features, target).fit(made.train.features, target)


@pytest.mark.parametrize(
    ("name", "costly"),
    [
        ("random-forest", {"n_estimators": 10_000}),
        ("hist-gradient-boosting", {"boosting_rounds": 10_000, "max_leaf_nodes": 10_000}),
    ],
)
def test_costly_parameters_cost_the_rehearsal_nothing(
    data: TrainingData, name: str, costly: dict[str, float]
) -> None:
    rehearsal.rehearse(make_recipe(name), data)  # what is imported only once
    started = time.process_time()
    rehearsal.rehearse(make_recipe(name), data)
    cheap = time.process_time() - started
    rehearsal.rehearse(make_recipe(name, **costly), data)
    assert time.process_time() - started - cheap < 3 * cheap + 1


def test_a_file_of_two_words_is_named_as_it_is_called(data: TrainingData) -> None:
    recipe = Recipe(
        name="nearest-rows",
        estimator=Estimator(build=print, tasks=("classification",)),
        task="regression",
        classes=[],
        parameters={},
        random_seed=1,
    )
    with pytest.raises(rehearsal.RehearsalError, match=r"^estimators/nearest_rows\.py: its model"):
        rehearsal.rehearse(recipe, data)


def test_gap_that_only_the_test_part_has_is_rehearsed(data: TrainingData) -> None:
    """Planted: no training row has a gap, so that fitting does not meet one."""
    size = np.arange(float(len(data.train.target)))
    late = dataclasses.replace(
        data,
        train=Part(features=pd.DataFrame({"size": size}), target=data.train.target),
        description={
            **data.description,
            "columns": [{"name": "size", "kind": "number", "gaps": True}],
        },
    )
    recipe = make_recipe("random-forest")
    rehearsal.rehearse(recipe, late)
    ridge = dataclasses.replace(recipe, estimator=Estimator(build=lambda _: Ridge()))
    with pytest.raises(rehearsal.RehearsalError, match=r"can't be asked, .*NaN"):
        rehearsal.rehearse(ridge, late)
