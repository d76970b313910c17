"""What a skops file may make the server create: types that somebody has reviewed.

skops makes nothing that its reader did not allow, and MLflow's server allows what MLmodel lists. So
every type that a file needs must have been reviewed: here, in deploy.json, or in its estimator's
file, whose reasons the model carries (docs/decisions/0021).
"""

from __future__ import annotations

import json
import logging
import re
import sys
import zipfile
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from model_deploy.model_loading import SkopsFile

logger = logging.getLogger(__name__)

_ARRAYS = "arrays and numbers in C; a crafted one can crash the server, or read beside them"
_PLAIN = "a Python object with attributes, which makes no call while it is loaded"
_METRIC = "a pure function of labels and scores, kept by what chose with it"
_TREE = "sklearn.tree._tree.Tree"
# Types that skops does not trust by itself, read in scikit-learn 1.9, NumPy 2.4, LightGBM 4.7 and
# found to run no code of the file's choice; and why.
REVIEWED_SKOPS_TYPES: Mapping[str, str] = {
    "collections.OrderedDict": "a dict of Python's own; LightGBM keeps the class",
    "numpy.dtype": "names an element type; OneHotEncoder and SimpleImputer keep one",
    "numpy.interp": "a pure function, found by its name; dates and booleans become numbers by it",
    # Trees: nodes and values.
    _TREE: f"{_ARRAYS}; its __setstate__ checks types and shapes",
    "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor": (
        f"{_ARRAYS}; its __setstate__ only casts them"
    ),
    # Neighbours: __setstate__ takes typed arrays, numbers and a metric, which is one of C.
    **{
        f"sklearn.neighbors.{name}": f"{_ARRAYS}; its metric must be one of scikit-learn's in C"
        for name in ("_ball_tree.BallTree", "_kd_tree.KDTree")
    },
    # All but PyFuncDistance, which calls a function that it keeps.
    **{
        f"sklearn.metrics._dist_metrics.{name}Distance64": f"{_ARRAYS}: exponent, weights, matrix"
        for name in (
            *("BrayCurtis", "Canberra", "Chebyshev", "Dice", "Euclidean", "Hamming", "Haversine"),
            *("Jaccard", "Mahalanobis", "Manhattan", "Matching", "Minkowski", "RogersTanimoto"),
            *("RussellRao", "SEuclidean", "SokalSneath"),
        )
    },
    # What linear models, neural networks and calibration keep of their fit.
    **{
        f"sklearn.{name}": _PLAIN
        for name in (
            "_loss.loss.HalfTweedieLoss",
            "_loss.loss.HalfTweedieLossIdentity",
            "neural_network._stochastic_optimizers.AdamOptimizer",
            "neural_network._stochastic_optimizers.SGDOptimizer",
            "calibration._CalibratedClassifier",
            "calibration._SigmoidCalibration",
            "calibration._TemperatureScaling",
            "multiclass._ConstantPredictor",
        )
    },
    # Voting and Stacking keep their estimators in one.
    "sklearn.utils._bunch.Bunch": "a dict; its __setstate__ does nothing",
    # Gaussian processes. Not PairwiseKernel, which may call what it keeps.
    **{
        f"sklearn.gaussian_process.{name}": _PLAIN
        for name in (
            "_gpc._BinaryGaussianProcessClassifierLaplace",
            *("kernels.ConstantKernel", "kernels.DotProduct", "kernels.ExpSineSquared"),
            *("kernels.Exponentiation", "kernels.Matern", "kernels.Product", "kernels.RBF"),
            *("kernels.RationalQuadratic", "kernels.Sum", "kernels.WhiteKernel"),
        )
    },
    # Searches and thresholds keep how they chose; to predict, no function of it is called.
    **{
        f"sklearn.{name}": _PLAIN
        for name in (
            *("metrics._scorer._CurveScorer", "metrics._scorer._PassthroughScorer"),
            *("metrics._scorer._Scorer", "model_selection._split.GroupKFold"),
            *("model_selection._split.KFold", "model_selection._split.StratifiedKFold"),
            *("model_selection._split.TimeSeriesSplit", "utils._metadata_requests.MetadataRequest"),
            "utils._metadata_requests.MethodMetadataRequest",
        )
    },
    **{
        f"sklearn.metrics.{name}": _METRIC
        for name in (
            *("_classification.accuracy_score", "_classification.balanced_accuracy_score"),
            *("_classification.f1_score", "_classification.log_loss", "_ranking.roc_auc_score"),
            *("_regression.mean_absolute_error", "_regression.mean_squared_error"),
            *("_regression.r2_score", "_regression.root_mean_squared_error"),
        )
    },
    # LightGBM: the Booster's __setstate__ gives its text to LightGBM's own parser.
    "lightgbm.basic.Booster": "trees as text for a parser in C++; a crafted one can crash it",
    **{
        f"lightgbm.sklearn.LGBM{name}": _PLAIN
        for name in ("Classifier", "Model", "Ranker", "Regressor")
    },
}
# Of skops' ways to use a type, those that the review was made for; else as an instance.
_REVIEWED_USES: Mapping[str, Collection[str]] = {
    "collections.OrderedDict": ("DictNode", "TypeNode"),
    "numpy.dtype": ("DTypeNode", "TypeNode"),
    "numpy.interp": ("FunctionNode",),
    _TREE: ("TreeNode",),
    "sklearn.utils._bunch.Bunch": ("DictNode",),
    **{name: ("FunctionNode",) for name, why in REVIEWED_SKOPS_TYPES.items() if why == _METRIC},
}
# Before it, a file can hide what it creates from what skops lists (its changes in 0.12 and 0.14).
_OLDEST_SKOPS = "0.14"

# Of Python's own, what the model's metadata may name: these hold things and do nothing.
_CONTAINERS = ("collections.OrderedDict", "collections.defaultdict", "collections.deque")
# What no estimator is made of: loaders and installers, and our own modules, those of the training
# step among them.
_REFUSED = (
    *("cloudpickle", "dill", "joblib", "mlflow", "skops"),
    *("distutils", "pip", "pkg_resources", "setuptools", "__main__", "__mp_main__"),
    *("infra", "local_aws", "model_build", "model_deploy", "serving"),
    *("champion", "columns", "estimators", "evaluation", "explanations", "gate", "importances"),
    *("metrics", "mlflow_login", "mlflow_pages", "model", "model_card", "model_name"),
    *("plot_style", "plots", "registration", "rehearsal", "size_curve", "tracking", "train"),
    *("training_data", "verdict"),
)
# Compared in lower case, as some file systems find modules.
_SILENCED = {name.lower() for name in (*sys.stdlib_module_names, *_REFUSED)}
_PACKAGE_OF_MODULE: Mapping[str, str] = {"sklearn": "scikit-learn"}
# The last name starts with a capital letter: functions seldom do.
_CLASS_NAME = re.compile(r"([A-Za-z_][A-Za-z0-9_]*\.)+_*[A-Z][A-Za-z0-9_]*", re.ASCII)
# Of skops' ways to use a type, the one that does not call it: __new__, then __setstate__ or
# __dict__; and the reference to something that was made before.
_INSTANCES = {"ObjectNode", "CachedNode"}
# One version and no condition: `lightgbm==4.6.0`.
_PIN = re.compile(
    r"\s*([A-Za-z0-9][A-Za-z0-9._-]*)\s*(\[[^]]*])?\s*==\s*([\w.!+-]+)\s*(#.*)?", re.ASCII
)


@dataclass(frozen=True, kw_only=True)
class Told:
    """What the model itself says of types: its metadata and its pinned requirements."""

    reasons: Mapping[Any, Any] = field(default_factory=dict)
    package_of_module: Mapping[str, str] = field(default_factory=dict)
    malformed: str = ""
    pinned: Mapping[str, str] = field(default_factory=dict)
    has_code: bool = False


@dataclass(frozen=True, kw_only=True)
class SkopsReview:
    """What is wrong with a skops file, and all types that it needs."""

    problems: list[str]
    needed: frozenset[str] = frozenset()


def read_told(description: Mapping[str, Any], model_folder: Path, has_code: bool) -> Told:
    """The model's own word; `has_code`: its modules may stand for those of its packages."""
    metadata = description.get("metadata")
    metadata = metadata if isinstance(metadata, Mapping) else {}
    reasons, packages = metadata.get("reviewed_types"), metadata.get("package_of_module", {})
    named = packages if isinstance(packages, Mapping) else {}
    kept = {k: v for k, v in named.items() if isinstance(k, str) and isinstance(v, str)}
    malformed = ""
    if kept != packages:
        malformed = "its metadata's package_of_module is no mapping of texts to texts"
        logger.warning("%s: what is none of it is ignored", malformed)
    return Told(
        reasons=reasons if isinstance(reasons, Mapping) else {},
        package_of_module=kept,
        malformed=malformed,
        pinned=_read_pinned_packages(model_folder),
        has_code=has_code,
    )


def review_skops(
    model_folder: Path, file: SkopsFile, trusted: Mapping[str, str], told: Told
) -> SkopsReview:
    """Hold all types that the file needs to the reviews; `trusted` has deploy.json's reasons."""
    try:
        from skops.io import get_untrusted_types
    except ImportError:
        return SkopsReview(
            problems=[
                f"{file.name} can not be reviewed: skops is not installed here. Run "
                "`pip install skops scikit-learn` in the versions of the model's requirements.txt."
            ]
        )
    path = model_folder / file.name
    try:
        needed = frozenset(get_untrusted_types(file=path))
        uses = _read_uses(path)
    except Exception as err:  # noqa: BLE001 - a damaged file fails in many ways; all mean the same
        return SkopsReview(
            problems=[f"{file.name} is not a readable skops file: {type(err).__name__}: {err}"]
        )
    problems = list(_find_old_skops(told))
    unknown = list(_find_unknown(file.name, needed, uses, trusted, told))
    if unknown:
        problems.append(
            f"{file.name} needs types that nobody reviewed: {', '.join(unknown)}. Read what "
            "loading them does, then give the reason in trusted_types of deploy.json, or of the "
            "estimator's file and train again."
        )
    undeclared = sorted(needed - file.declared)
    if undeclared:
        problems.append(
            f"{file.name} needs types that its MLmodel does not list, so no server can load it: "
            f"{', '.join(undeclared)}. Pass skops_trusted_types=[...] to log_model."
        )
    return SkopsReview(problems=problems, needed=needed)


def _find_old_skops(told: Told) -> Iterator[str]:
    from packaging.version import InvalidVersion, Version

    pinned = told.pinned.get("skops")
    try:
        if pinned is None or Version(pinned) >= Version(_OLDEST_SKOPS):
            return
    except InvalidVersion:
        return  # what pip can't install either
    yield (
        f"its requirements.txt asks for skops {pinned}, and before {_OLDEST_SKOPS} a file could "
        "create more than skops lists. Log the model again with a newer one."
    )


def _find_unknown(
    file: str,
    needed: Collection[str],
    uses: Mapping[str, Collection[str]],
    trusted: Mapping[str, str],
    told: Told,
) -> Iterator[str]:
    """Each needed type that no review covers, with why in brackets."""
    for each in sorted(needed):
        used = set(uses.get(each, ()))
        if each in trusted:
            logger.info("%s: %s is trusted in deploy.json: %r", file, each, trusted[each])
            continue
        other = sorted(used - {*_REVIEWED_USES.get(each, ("ObjectNode",)), "CachedNode"})
        if each in REVIEWED_SKOPS_TYPES and used and not other:
            continue
        reason = told.reasons.get(each)
        if each in REVIEWED_SKOPS_TYPES and reason is None:
            how = ", ".join(other) or "no node of its name"
            yield f"{each} (it was reviewed for another use: the file has it as {how})"
            continue
        objection = _find_objection(each, reason, told, used)
        if objection is None:
            logger.info("%s: %s was reviewed with its estimator: %r", file, each, reason)
        else:
            yield f"{each}{objection}"


def _find_objection(
    skops_type: str, reason: object, told: Told, uses: Collection[str]
) -> str | None:
    """Why the model's own word for a type does not count, in brackets; None if it does."""
    if reason is None:
        return ""
    if not isinstance(reason, str) or not reason.strip():
        return " (its metadata names it without a reason)"
    if skops_type in _CONTAINERS:
        return None
    module = skops_type.partition(".")[0]
    if module.lower() in _SILENCED:
        return f" (its metadata can't speak for {module})"
    if told.has_code:
        return " (its metadata can't speak for it, as the model's own modules may stand for it)"
    elsewhere = "read it, then trust it in deploy.json"
    if not _CLASS_NAME.fullmatch(skops_type):
        return f" (its metadata can speak for classes only, by this name it is none: {elsewhere})"
    package = _normalise(
        _PACKAGE_OF_MODULE.get(module) or told.package_of_module.get(module, module)
    )
    if package not in told.pinned:
        also = f"; {told.malformed}" if told.malformed else ""
        return (
            f" (its metadata names it, but its requirements.txt does not pin {package} "
            f"with =={also})"
        )
    other = sorted(set(uses) - _INSTANCES)
    if other or not uses:
        how = ", ".join(other) or "no node of its name"
        return (
            f" (its metadata can speak for instances of a class only, the file has it as {how}: "
            f"{elsewhere})"
        )
    return None


def _read_uses(path: Path) -> dict[str, set[str]]:
    """How the skops file uses each type: its nodes' loaders; nothing where that is not told.

    Only narrows what skops says that the file needs: a node that is not understood helps nobody.
    """
    with zipfile.ZipFile(path) as packed:
        schema = json.loads(packed.read("schema.json"))
    uses: dict[str, set[str]] = {}
    # Protocol 0 names a function elsewhere than in its node.
    todo: list[Any] = [schema] if schema.get("protocol") else []
    while todo:
        each = todo.pop()
        if isinstance(each, list):
            todo += each
        elif isinstance(each, dict):
            todo += each.values()
            loader = each.get("__loader__")
            if isinstance(loader, str):
                name = f"{each.get('__module__')}.{each.get('__class__')}"
                uses.setdefault(name, set()).add(loader)
    return uses


def _read_pinned_packages(model_folder: Path) -> dict[str, str]:
    """Normalised names of what the model's requirements.txt asks for in one version, and which."""
    path = model_folder / "requirements.txt"
    if not path.is_file():
        return {}
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    return {_normalise(found[1]): found[3] for line in lines if (found := _PIN.fullmatch(line))}


def _normalise(package: str) -> str:
    """As PyPI compares names."""
    return re.sub(r"[-_.]+", "-", package).lower()
