"""What a model must have before it is packaged: all that it lacks, at once.

    MLmodel ─▶ python_function flavour? signature? input example? ─▶ serialisation reviewed?

Loading a pickle runs whatever is in it, so a scikit-learn model must be saved with skops, and every
type its file needs must have been reviewed: here, by who passes --trusted-skops-type, or in its
estimator's file, whose reasons the model carries (reviewed_types; of pinned packages only). Other
flavours serialise as their library does (docs/decisions/0021).
"""

from __future__ import annotations

import json
import logging
import re
import sys
from collections.abc import Collection, Mapping
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
# Their business is to load or run what they are given; no estimator is made of them.
_LOADERS = ("cloudpickle", "dill", "joblib", "mlflow", "skops")
_PACKAGE_OF_MODULE: Mapping[str, str] = {"sklearn": "scikit-learn"}
_DOTTED_NAME = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)+", re.ASCII)
# One version and no condition: `lightgbm==4.6.0`.
_PIN = re.compile(
    r"\s*([A-Za-z0-9][A-Za-z0-9._-]*)\s*(\[[^]]*])?\s*==\s*[\w.!+-]+\s*(#.*)?", re.ASCII
)


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
    metadata = description.get("metadata")
    told = metadata.get("reviewed_types") if isinstance(metadata, Mapping) else None
    pinned = _read_pinned_packages(model_folder)
    for path in sorted(model_folder.rglob("*.skops")):
        name = path.relative_to(model_folder).as_posix()
        problems.extend(_skops_problems(path, name, trusted, declared, told, pinned))
    return problems


def _skops_problems(
    path: Path,
    name: str,
    trusted: Collection[str],
    declared: Collection[str],
    told: object,
    pinned: Collection[str],
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
    unknown: list[str] = []
    for each in sorted(set(needed) - set(trusted)):
        reason = told.get(each) if isinstance(told, Mapping) else None
        objection = _find_objection(each, reason, pinned)
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


def _find_objection(skops_type: str, reason: object, pinned: Collection[str]) -> str | None:
    """Why the model's own word for a type does not count, in brackets; None if it does."""
    if reason is None:
        return ""
    if not isinstance(reason, str) or not reason.strip():
        return " (its metadata names it without a reason)"
    if skops_type in _CONTAINERS:
        return None
    module = skops_type.partition(".")[0]
    if module in sys.stdlib_module_names or module in _LOADERS:
        return f" (its metadata can't speak for {module})"
    package = _normalise(_PACKAGE_OF_MODULE.get(module, module))
    if not _DOTTED_NAME.fullmatch(skops_type) or package not in pinned:
        return f" (its metadata names it, but its requirements.txt does not pin {package} with ==)"
    return None


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
