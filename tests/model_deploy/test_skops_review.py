from __future__ import annotations

import importlib
import json
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from model_deploy.errors import ModelNotDeployable
from model_deploy.model_validation import Findings, validate_model
from model_deploy.skops_review import REVIEWED_SKOPS_TYPES

_MODEL = "version 3 of 'housing'"


def _list_estimators() -> list[str]:
    from sklearn.utils import all_estimators

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return [
            f"{kind} {name}"
            for kind in ("classifier", "regressor")
            for name, _ in all_estimators(kind)
        ]


def _make(kind: str, name: str) -> Any:
    """The estimator with its defaults; around others, with a linear one."""
    from sklearn.linear_model import LogisticRegression, Ridge
    from sklearn.utils import all_estimators

    inner = LogisticRegression() if kind == "classifier" else Ridge()
    made = dict(all_estimators(kind))[name]
    if name.startswith(("Voting", "Stacking")):
        return made([("a", inner), ("b", inner)])
    if name in ("CCA", "PLSCanonical"):
        return made(n_components=1)
    try:
        return made()
    except TypeError:
        return made(inner)


def _fit(estimator: Any, kind: str) -> Any:
    """Fitted to a small table: positive numbers, and as many targets as it wants."""
    import numpy as np

    name = type(estimator).__name__
    rows = np.random.default_rng(0).random((120, 4)) + 0.1
    target = rows[:, 0] * 10 if kind == "regressor" else (rows[:, 0] > 0.6).astype(int)
    if name.startswith(("MultiOutput", "MultiTask")) or name.endswith("Chain"):
        target = np.c_[target, target]
    if name == "IsotonicRegression":
        rows = rows[:, :1]
    if name == "SelfTrainingClassifier":
        estimator.set_params(estimator=_make("classifier", "LogisticRegression"))
    return estimator.fit(rows, target)


@pytest.fixture(scope="module")
def check(registry: Any) -> Callable[[Any], None]:
    """Saves an estimator as MLflow does, and validates it."""
    import skops.io

    folder = registry.copy_of_model()
    path = folder / "MLmodel"
    description = yaml.safe_load(path.read_text())

    def validate(estimator: Any) -> None:
        skops.io.dump(estimator, folder / "model.skops")
        needed = skops.io.get_untrusted_types(file=folder / "model.skops")
        description["flavors"]["sklearn"]["skops_trusted_types"] = needed
        path.write_text(yaml.safe_dump(description))
        assert validate_model(folder, _MODEL) == Findings()
        skops.io.load(folder / "model.skops", trusted=needed)

    return validate


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("named", _list_estimators())
def test_every_classifier_and_regressor_of_scikit_learn_needs_no_trust(
    check: Callable[[Any], None], named: str
) -> None:
    kind, name = named.split()
    check(_fit(_make(kind, name), kind))


def _list_variants() -> dict[str, Callable[[], Any]]:
    """Settings that need other types than the defaults do."""
    from sklearn.calibration import CalibratedClassifierCV
    from sklearn.gaussian_process import GaussianProcessRegressor, kernels
    from sklearn.linear_model import LogisticRegression, Ridge, TweedieRegressor
    from sklearn.model_selection import GridSearchCV
    from sklearn.neighbors import KNeighborsRegressor
    from sklearn.neural_network import MLPRegressor

    kernel = kernels.RBF() * kernels.ConstantKernel() + kernels.WhiteKernel()
    more = kernels.Matern() + kernels.RationalQuadratic() + kernels.ExpSineSquared()
    return {
        **{
            f"neighbours, {metric}": lambda metric=metric: KNeighborsRegressor(
                algorithm="ball_tree", metric=metric
            )
            for metric in ("manhattan", "chebyshev", "canberra", "braycurtis", "hamming")
        },
        "neighbours, weighted": lambda: KNeighborsRegressor(p=3),
        "network, sgd": lambda: MLPRegressor(solver="sgd", max_iter=3),
        "calibrated, isotonic": lambda: CalibratedClassifierCV(
            LogisticRegression(), method="isotonic"
        ),
        "calibrated, temperature": lambda: CalibratedClassifierCV(
            LogisticRegression(), method="temperature"
        ),
        "linear, tweedie": lambda: TweedieRegressor(power=1.5),
        "search": lambda: GridSearchCV(Ridge(), {"alpha": [1.0, 2.0]}),
        "search, scored": lambda: GridSearchCV(Ridge(), {"alpha": [1.0]}, scoring="r2"),
        "process": lambda: GaussianProcessRegressor(
            kernel + more + kernels.DotProduct() ** 2, optimizer=None, alpha=10.0
        ),
    }


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", list(_list_variants()))
def test_other_settings_than_the_defaults_need_no_trust_either(
    check: Callable[[Any], None], name: str
) -> None:
    estimator = _list_variants()[name]()
    check(_fit(estimator, "classifier" if "calibrated" in name else "regressor"))


def test_what_calls_a_function_that_it_keeps_was_not_reviewed(
    check: Callable[[Any], None],
) -> None:
    from sklearn.neighbors import KNeighborsRegressor

    model = KNeighborsRegressor(algorithm="ball_tree", metric=_distance)
    with pytest.raises(ModelNotDeployable, match=r"PyFuncDistance64"):
        check(_fit(model, "regressor"))


def _distance(one: Any, other: Any) -> float:
    return float(abs(one - other).sum())


@pytest.mark.parametrize("name", sorted(REVIEWED_SKOPS_TYPES))
def test_a_reviewed_type_is_there_and_has_a_reason(name: str) -> None:
    assert len(REVIEWED_SKOPS_TYPES[name].split()) > 3
    module, _, own = name.rpartition(".")
    if not module.startswith("lightgbm"):
        assert hasattr(importlib.import_module(module), own)


@pytest.mark.parametrize(
    ("loader", "name"),
    [
        ("ConstructorFromReduceNode", "lightgbm.basic.Booster"),
        ("TypeNode", "sklearn.neighbors._kd_tree.KDTree"),
        ("FunctionNode", "sklearn.tree._tree.Tree"),
    ],
)
def test_a_reviewed_type_counts_only_as_it_was_reviewed(
    registry: Any, loader: str, name: str
) -> None:
    folder = registry.copy_of_model()
    module, _, own = name.rpartition(".")
    empty = {"__class__": "tuple", "__module__": "builtins", "__loader__": "TupleNode"}
    node: dict[str, Any] = {"__class__": own, "__module__": module, "__loader__": loader}
    node["content"] = {**empty, "content": []}
    _add_node(folder / "model.skops", node)
    _add_node(folder / "model.skops", {**node, "__module__": "zed", "__class__": "Zed"}, "last")
    path = folder / "MLmodel"
    description = yaml.safe_load(path.read_text())
    description["flavors"]["sklearn"]["skops_trusted_types"] += [name, "zed.Zed"]
    path.write_text(yaml.safe_dump(description))
    with pytest.raises(ModelNotDeployable) as caught:
        validate_model(folder, _MODEL)
    (problem,) = caught.value.problems
    assert f"{name} (it was reviewed for another use: the file has it as {loader})" in problem
    assert "zed.Zed" in problem  # all are told at once


def _add_node(path: Path, node: dict[str, Any], name: str = "forged") -> None:
    with zipfile.ZipFile(path) as packed:
        content = {name: packed.read(name) for name in packed.namelist()}
    schema = json.loads(content["schema.json"])
    schema["content"]["content"][name] = node
    content["schema.json"] = json.dumps(schema).encode()
    with zipfile.ZipFile(path, "w") as packed:
        for file, data in content.items():
            packed.writestr(file, data)
