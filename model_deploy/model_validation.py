"""What a model must have before it is packaged: all that it lacks, at once.

    MLmodel ─▶ python_function flavour? signature? input example? ─▶ serialisation reviewed?

Loading a pickle runs whatever is in it, so a scikit-learn model must be saved with skops, and every
type its file needs must have been reviewed: here, by who passes --trusted-skops-type, or in its
estimator's file, whose reasons the model carries (reviewed_types; only classes of pinned packages,
of which the file makes plain instances). Other flavours serialise as their library does
(docs/decisions/0021).
"""

from __future__ import annotations

import json
import logging
import re
import sys
import zipfile
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from model_deploy.errors import ModelNotDeployable

logger = logging.getLogger(__name__)

# Types that skops does not trust by itself, read and found to run no code of the file's choice.
REVIEWED_SKOPS_TYPES: Mapping[str, str] = {
    "numpy.dtype": "names an element type; OneHotEncoder and SimpleImputer keep one",
    "numpy.interp": "a pure function, found by its name; dates and booleans become numbers by it",
    "sklearn.tree._tree.Tree": "node arrays of a tree; its __setstate__ checks their shapes",
}
_PICKLES = ("pickle", "cloudpickle")

# Of Python's own, what the model's metadata may name: these hold things and do nothing.
_CONTAINERS = ("collections.OrderedDict", "collections.defaultdict", "collections.deque")
# What no estimator is made of: loaders and installers, and our own modules, those of the training
# step among them.
_REFUSED = (
    *("cloudpickle", "dill", "joblib", "mlflow", "skops"),
    *("distutils", "pip", "pkg_resources", "setuptools", "__main__", "__mp_main__"),
    *("infra", "local_aws", "model_build", "model_deploy", "serving"),
    *("champion", "columns", "estimators", "evaluation", "gate", "metrics", "mlflow_login"),
    *("model", "plots", "registration", "rehearsal", "tracking", "train", "training_data"),
    "verdict",
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
    r"\s*([A-Za-z0-9][A-Za-z0-9._-]*)\s*(\[[^]]*])?\s*==\s*[\w.!+-]+\s*(#.*)?", re.ASCII
)


@dataclass(frozen=True, kw_only=True)
class _Told:
    """What the model itself says of types: its metadata and its pinned requirements."""

    reasons: Mapping[Any, Any] = field(default_factory=dict)
    package_of_module: Mapping[str, str] = field(default_factory=dict)
    malformed: str = ""
    pinned: Collection[str] = ()


def validate_model(
    model_folder: Path, model: str, trusted_skops_types: Collection[str] = ()
) -> None:
    """Return when `model_folder` can be deployed; `model` is how messages call it.

    Raises ModelNotDeployable with every problem found.
    """
    description = _read_description(model_folder, model)
    flavors = description.get("flavors") or {}
    problems = [
        *_flavor_problems(flavors),
        *_signature_problems(description),
        *_example_problems(description, model_folder),
        *_serialisation_problems(description, flavors, model_folder, trusted_skops_types),
    ]
    if problems:
        raise ModelNotDeployable(model, problems)


def _read_description(model_folder: Path, model: str) -> dict[str, Any]:
    import yaml

    path = model_folder / "MLmodel"
    if not path.is_file():
        raise ModelNotDeployable(
            model, ["it has no MLmodel file. Register a folder that log_model or save_model wrote."]
        )
    try:
        description = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as err:
        raise ModelNotDeployable(model, [f"its MLmodel file is not YAML: {err}"]) from err
    if not isinstance(description, dict):
        raise ModelNotDeployable(model, ["its MLmodel file holds no mapping"])
    return description


def _flavor_problems(flavors: Mapping[str, Any]) -> list[str]:
    if "python_function" in flavors:
        return []
    present = ", ".join(sorted(flavors)) or "none"
    return [
        f"no python_function flavour (it has: {present}); MLflow's server loads only that. "
        "Log it with an MLflow flavour that has one."
    ]


def _signature_problems(description: Mapping[str, Any]) -> list[str]:
    signature = description.get("signature") or {}
    if signature.get("inputs") not in (None, "", "[]"):
        return []
    return [
        "no signature with inputs, so wrong requests would be answered. Pass "
        "signature=infer_signature(...) to log_model (nullable integer columns give none silently)."
    ]


def _example_problems(description: Mapping[str, Any], model_folder: Path) -> list[str]:
    example = description.get("saved_input_example_info") or {}
    name = example.get("serving_input_path")
    advice = "Pass input_example=... to log_model."
    if not example:
        return [f"no input example, so the endpoint could not be tested. {advice}"]
    if not name or not (model_folder / name).is_file():
        return [
            "its input example has no serving form (serving_input_example.json), which MLflow "
            f">= 2.16 writes. {advice}"
        ]
    try:
        json.loads((model_folder / name).read_text(encoding="utf-8"))
    except ValueError as err:
        return [f"its input example {name} is not JSON: {err}. {advice}"]
    return []


def _serialisation_problems(
    description: Mapping[str, Any],
    flavors: Mapping[str, Any],
    model_folder: Path,
    trusted_skops_types: Collection[str],
) -> list[str]:
    sklearn = flavors.get("sklearn")
    problems: list[str] = []
    # MLflow's own default for a flavour that does not say is pickle.
    form = (sklearn or {}).get("serialization_format", "pickle")
    if sklearn is not None and form in _PICKLES:
        problems.append(
            f"scikit-learn saved with {form}, which runs code when it is loaded. Save it with "
            'serialization_format="skops" and skops_trusted_types=[...].'
        )
    elif sklearn is None:
        loader = (flavors.get("python_function") or {}).get("loader_module", "unknown")
        logger.warning(
            "not a scikit-learn model (loader %s): loading it runs the code it was saved with; "
            "only deploy what you trust",
            loader,
        )
    declared = set((sklearn or {}).get("skops_trusted_types") or [])
    trusted = {*REVIEWED_SKOPS_TYPES, *trusted_skops_types}
    told = _read_told(description, model_folder)
    for path in sorted(model_folder.rglob("*.skops")):
        name = path.relative_to(model_folder).as_posix()
        problems.extend(_skops_problems(path, name, trusted, declared, told))
    return problems


def _skops_problems(
    path: Path,
    name: str,
    trusted: Collection[str],
    declared: Collection[str],
    told: _Told,
) -> list[str]:
    try:
        from skops.io import get_untrusted_types
    except ImportError:
        return [
            f"{name} can not be reviewed: skops is not installed here. "
            "Run `pip install skops scikit-learn` in the versions of the model's requirements.txt."
        ]
    try:
        needed = get_untrusted_types(file=path)
    except Exception as err:  # noqa: BLE001 - a damaged file fails in many ways; all mean the same
        return [f"{name} is not a readable skops file: {type(err).__name__}: {err}"]
    uses = _read_uses(path)
    unknown: list[str] = []
    for each in sorted(set(needed) - set(trusted)):
        reason = told.reasons.get(each)
        objection = _find_objection(each, reason, told, uses.get(each, set()))
        if objection is None:
            logger.info("%s: %s was reviewed with its estimator: %r", name, each, reason)
        else:
            unknown.append(f"{each}{objection}")
    undeclared = sorted(set(needed) - set(declared))
    problems: list[str] = []
    if unknown:
        problems.append(
            f"{name} needs types that nobody reviewed: {', '.join(unknown)}. Read what loading "
            "them does, then give the reason in trusted_types of the estimator's file and train "
            "again, or pass --trusted-skops-type for each."
        )
    if undeclared:
        problems.append(
            f"{name} needs types that its MLmodel does not list, so no server can load it: "
            f"{', '.join(undeclared)}. Pass skops_trusted_types=[...] to log_model."
        )
    return problems


def _find_objection(
    skops_type: str, reason: object, told: _Told, uses: Collection[str]
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
    elsewhere = "read it, then add it to REVIEWED_SKOPS_TYPES or pass --trusted-skops-type"
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


def _read_told(description: Mapping[str, Any], model_folder: Path) -> _Told:
    metadata = description.get("metadata")
    metadata = metadata if isinstance(metadata, Mapping) else {}
    reasons, packages = metadata.get("reviewed_types"), metadata.get("package_of_module", {})
    named = packages if isinstance(packages, Mapping) else {}
    kept = {k: v for k, v in named.items() if isinstance(k, str) and isinstance(v, str)}
    malformed = ""
    if kept != packages:
        malformed = "its metadata's package_of_module is no mapping of texts to texts"
        logger.warning("%s: what is none of it is ignored", malformed)
    return _Told(
        reasons=reasons if isinstance(reasons, Mapping) else {},
        package_of_module=kept,
        malformed=malformed,
        pinned=_read_pinned_packages(model_folder),
    )


def _read_pinned_packages(model_folder: Path) -> set[str]:
    """Normalised names of what the model's requirements.txt asks for in one version."""
    path = model_folder / "requirements.txt"
    if not path.is_file():
        return set()
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    return {_normalise(found[1]) for line in lines if (found := _PIN.fullmatch(line))}


def _normalise(package: str) -> str:
    """As PyPI compares names."""
    return re.sub(r"[-_.]+", "-", package).lower()
