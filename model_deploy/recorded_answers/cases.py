"""The requests that a version's answers are recorded for.

    serving_input_example.json, in as many rows as a request may have ─▶ the first case
    model_deploy/cases/<model>/NAME.json, NAME.csv ─▶ one case each, by name

A file is the request's body, byte for byte as a client would send it: NAME.json with Content-Type
application/json, NAME.csv with text/csv.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from model_deploy.endpoint_test_plan import Case
from model_deploy.errors import ConfigError, ModelNotDeployable
from model_deploy.model_loading import is_inside
from model_deploy.request_limits import RequestLimit, fit_example

logger = logging.getLogger(__name__)

INPUT_EXAMPLE = "the input example"
_CONTENT_TYPES = {".json": "application/json", ".csv": "text/csv"}


def read_cases(
    model_folder: Path, description: Mapping[str, Any], cases_folder: Path, limit: RequestLimit
) -> list[Case]:
    """All cases without their answers; the input example is the first.

    `description` is the model's MLmodel; `cases_folder` the model's own, which need not exist.
    Raises ConfigError naming each file of it that is no request, and ModelNotDeployable where the
    input example can not be sent.
    """
    return [_read_example(model_folder, description, limit), *_read_files(cases_folder, limit)]


def _read_example(model_folder: Path, description: Mapping[str, Any], limit: RequestLimit) -> Case:
    name = (description.get("saved_input_example_info") or {}).get("serving_input_path")
    path = model_folder / (name or "")
    if not name or not is_inside(name, model_folder) or not path.is_file():
        raise ModelNotDeployable(
            "the model",
            ["it has no input example that could be sent. Pass input_example=... to log_model."],
        )
    payload = path.read_text(encoding="utf-8")
    fitted = fit_example(payload, limit)
    if fitted is None:
        size = f"{len(payload.encode()):,} bytes"
        raise ModelNotDeployable(
            "the model",
            [f"its input example is {size}, above {limit}. Log it with a smaller one."],
        )
    body, limited_to = fitted
    problem = _find_json_problem(body)
    if problem:
        raise ModelNotDeployable(
            "the model",
            [f"the request of its input example, {name}, {problem}. Log it with another one."],
        )
    told = f"{INPUT_EXAMPLE}, {limited_to}" if limited_to else INPUT_EXAMPLE
    return Case(name=told, body=body)


def _read_files(folder: Path, limit: RequestLimit) -> list[Case]:
    beside = sorted(folder.parent.iterdir()) if folder.parent.is_dir() else []
    for path in beside:
        if not path.is_dir() and _is_meant(path):
            logger.warning(
                "%s is no case of any model; put it into the folder of one, such as %s",
                path,
                folder,
            )
    if not _is_folder(folder):
        if folder.parent.is_dir():
            others = [each.name for each in beside if each.is_dir()]
            told = f"; there are of: {', '.join(others)}" if others else ""
            logger.info("no cases of your own in %s%s", folder, told)
        return []
    files = sorted(path for path in folder.iterdir() if _is_meant(path))
    problems = [
        f"{path.name} {problem}" for path in files for problem in _find_problems(path, limit)
    ]
    if problems:
        raise ConfigError(str(folder), problems)
    logger.info("%d cases of your own in %s", len(files), folder)
    return [
        Case(
            name=path.name,
            body=path.read_bytes().decode("utf-8"),
            content_type=_CONTENT_TYPES[path.suffix],
        )
        for path in files
    ]


def _is_folder(path: Path) -> bool:
    try:
        return path.is_dir()
    except OSError:  # names of models can be longer than those of folders
        return False


def _is_meant(path: Path) -> bool:
    return not path.name.startswith(".") and path.name.upper() != "README.MD"


def _find_problems(path: Path, limit: RequestLimit) -> Iterator[str]:
    if path.suffix not in _CONTENT_TYPES or not path.is_file():
        yield f"is none of {', '.join(f'*{suffix}' for suffix in _CONTENT_TYPES)}"
        return
    try:
        text = path.read_bytes().decode("utf-8")
    except (OSError, UnicodeDecodeError) as err:
        yield f"can not be read as UTF-8: {err}"
        return
    size = len(text.encode())
    if size > limit.size:
        yield f"is {size:,} bytes, above {limit}"
    if not text.strip():
        yield "is empty"
    elif path.suffix == ".json":
        problem = _find_json_problem(text)
        if problem:
            yield problem


def _find_json_problem(text: str) -> str:
    """Why a text is no body that /invocations takes; its keys are left to MLflow to judge."""
    try:
        document = json.loads(text, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as err:
        return f"is not JSON: {err}"
    if not isinstance(document, dict):
        return (
            "is not a JSON object as /invocations takes it, such as "
            '{"dataframe_split": {"columns": [...], "data": [[...]]}}'
        )
    return ""


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is no JSON; a missing number is null")
