"""What a model must have before it is packaged: all that it lacks, at once.

    MLmodel ─▶ python_function flavour? signature? input example?
       └─▶ what MLflow would load (model_loading) ─▶ types of its skops files (skops_review)
                      └─▶ code that runs then: told, or forbidden by deploy.json

Loading a pickle runs whatever is in it. For scikit-learn there is a safe form, so a pickled one is
refused; whatever else runs code is told to the one who deploys it (docs/decisions/0021).
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from model_deploy.deploy_request import FORBID, TELL
from model_deploy.errors import ModelNotDeployable
from model_deploy.model_loading import is_inside, read_loading
from model_deploy.skops_review import read_told, review_skops

logger = logging.getLogger(__name__)


class Reviewed(Protocol):
    """What deploy.json says of the model: a DeployRequest."""

    @property
    def trusted_types(self) -> Mapping[str, str]: ...

    @property
    def code_on_load(self) -> str: ...


@dataclass(frozen=True, kw_only=True)
class NothingReviewed:
    """What a model has beside which no file was read."""

    trusted_types: Mapping[str, str] = field(default_factory=dict)
    code_on_load: str = TELL


@dataclass(frozen=True, kw_only=True)
class Findings:
    """What is true of a model that can be deployed.

    `code_on_load` has one sentence for each thing that runs code when the model is loaded.
    """

    code_on_load: tuple[str, ...] = ()


def validate_model(
    model_folder: Path, model: str, reviewed: Reviewed = NothingReviewed()
) -> Findings:
    """What is true of `model_folder`, which can be deployed; `model` is how messages call it.

    Raises ModelNotDeployable with every problem found.
    """
    description = _read_description(model_folder, model)
    flavors = description.get("flavors") or {}
    if not isinstance(flavors, dict):
        raise ModelNotDeployable(model, ["its MLmodel file has no mapping of flavours"])
    loading = read_loading(flavors, model_folder)
    told = read_told(description, model_folder, loading.has_code)
    reviews = [
        review_skops(model_folder, file, reviewed.trusted_types, told)
        for file in loading.skops_files
    ]
    problems = [
        *_flavor_problems(flavors),
        *_signature_problems(description),
        *_example_problems(description, model_folder),
        *loading.problems,
        *(problem for review in reviews for problem in review.problems),
    ]
    if reviewed.code_on_load == FORBID:
        problems += [
            f"deploy.json forbids code that runs when a model is loaded: {sentence}."
            for sentence in loading.code_on_load
        ]
    if problems:
        raise ModelNotDeployable(model, problems)
    for sentence in loading.code_on_load:
        logger.warning("loading %s runs code: %s; only deploy what you trust", model, sentence)
    needed = {name for review in reviews for name in review.needed}
    for name in sorted(set(reviewed.trusted_types) - needed):
        logger.warning("deploy.json trusts %s, which %s does not need; remove it", name, model)
    return Findings(code_on_load=tuple(loading.code_on_load))


def _read_description(model_folder: Path, model: str) -> dict[str, Any]:
    import yaml

    path = model_folder / "MLmodel"
    if not path.is_file():
        raise ModelNotDeployable(
            model, ["it has no MLmodel file. Register a folder that log_model or save_model wrote."]
        )
    try:
        description = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, ValueError, RecursionError) as err:
        raise ModelNotDeployable(model, [f"its MLmodel file is not YAML: {err}"]) from err
    if not isinstance(description, dict):
        raise ModelNotDeployable(model, ["its MLmodel file holds no mapping"])
    return description


def _flavor_problems(flavors: Mapping[str, Any]) -> list[str]:
    if "python_function" in flavors:
        return []
    present = ", ".join(sorted(str(name) for name in flavors)) or "none"
    return [
        f"no python_function flavour (it has: {present}); MLflow's server loads only that. "
        "Log it with an MLflow flavour that has one."
    ]


def _signature_problems(description: Mapping[str, Any]) -> list[str]:
    signature = description.get("signature") or {}
    advice = "Pass signature=infer_signature(...) to log_model"
    if not isinstance(signature, Mapping):
        return [f"its signature is {_short(signature)}, which is no mapping. {advice}."]
    inputs = signature.get("inputs")
    if inputs in (None, "", "[]"):
        return [
            f"no signature with inputs, so wrong requests would be answered. {advice} "
            "(nullable integer columns give none silently)."
        ]
    if not _are_columns(inputs):
        return [
            f"its signature's inputs are {_short(inputs)}, which is no JSON list of columns or "
            f"tensors with their types. {advice}."
        ]
    return []


def _are_columns(inputs: object) -> bool:
    """Whether that is a schema as MLflow writes it: text with a list of what has a type."""
    try:
        columns = json.loads(inputs) if isinstance(inputs, str) else None
    except (ValueError, RecursionError):
        return False
    return isinstance(columns, list) and all(
        isinstance(each, dict)
        and isinstance(each.get("type"), str)
        and isinstance(each.get("tensor-spec", {}), dict)
        for each in columns
    )


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _example_problems(description: Mapping[str, Any], model_folder: Path) -> list[str]:
    example = description.get("saved_input_example_info") or {}
    advice = "Pass input_example=... to log_model."
    if not isinstance(example, Mapping):
        return [f"its saved_input_example_info is {_short(example)}, which is no mapping. {advice}"]
    name = example.get("serving_input_path")
    if not example:
        return [f"no input example, so the endpoint could not be tested. {advice}"]
    outside = [
        f"its MLmodel names {_short(path)} ({key}) as its input example, which is no file of the "
        f"model. No MLflow writes that. {advice}"
        for key in ("artifact_path", "serving_input_path")
        if (path := example.get(key)) is not None
        and not (isinstance(path, str) and is_inside(path, model_folder))
    ]
    if outside:
        return outside
    if not name or not (model_folder / name).is_file():
        return [
            "its input example has no serving form (serving_input_example.json), which MLflow "
            f">= 2.16 writes. {advice}"
        ]
    try:
        json.loads((model_folder / name).read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as err:
        return [f"its input example {name} is not JSON: {err}. {advice}"]
    return []
