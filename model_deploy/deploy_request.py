"""Which model version to deploy, as deploy.json says it: deploying is a commit to review.

{"model_name": "sklearn-random-forest", "model_version": "3" | "latest" | "@challenger"}
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from model_deploy.errors import ConfigError

_KEYS = ("model_name", "model_version")
_VERSION = re.compile(r"[1-9]\d*|latest|@[\w.-]+")
# What MLflow refuses in the name of a registered model.
_NOT_IN_NAMES = re.compile(r"[/:]")
# What stands in a file that somebody was meant to fill in.
_PLACEHOLDER = re.compile(
    r"<.*>|\$?\{.*\}|(todo|tbd|xxx+|change[-_ ]?me|(your|my)[-_ ]model.*)", re.I
)
_EXAMPLE = '{"model_name": "sklearn-random-forest", "model_version": "latest"}'


@dataclass(frozen=True, kw_only=True)
class DeployRequest:
    """A registered model's name, and which version: a number, `latest`, or an alias (`@name`)."""

    model_name: str
    model_version: str

    @classmethod
    def of_flags(cls, model_name: str, model_version: str, path: Path) -> DeployRequest:
        """What the flags say (empty: not given), and the file where they are silent.

        The file is not read when a name is given: its version is one of its own model.
        """
        if model_name:
            return cls(model_name=model_name, model_version=model_version or "latest")
        reviewed = cls.from_json(path)
        return replace(reviewed, model_version=model_version or reviewed.model_version)

    @classmethod
    def from_json(cls, path: Path) -> DeployRequest:
        """Read the file; ConfigError with all that is wrong with it."""
        document = _read_object(path)
        problems = [
            f"unknown key {key!r}; it holds {' and '.join(_KEYS)}"
            for key in sorted(set(document) - set(_KEYS))
        ]
        name = _read_text(document, "model_name", problems)
        version = _read_text(document, "model_version", problems)
        if name and _NOT_IN_NAMES.search(name):
            problems.append(f"model_name is {name!r}; MLflow's names have no / and no :")
        if version and not _VERSION.fullmatch(version):
            problems.append(
                f'model_version is {version!r}; write a number such as "3", "latest", or an alias '
                'such as "@challenger"'
            )
        if problems:
            raise ConfigError(str(path), problems)
        return cls(model_name=name, model_version=version)


def _read_object(path: Path) -> Mapping[str, object]:
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except OSError as err:
        told = f"it can not be read: {err.strerror}. Write {_EXAMPLE}, or pass --model-name"
        raise ConfigError(str(path), [told]) from err
    except ValueError as err:
        raise ConfigError(str(path), [f"it is not JSON: {err}. Write {_EXAMPLE}"]) from err
    if not isinstance(document, dict):
        raise ConfigError(str(path), [f"it is no JSON object. Write {_EXAMPLE}"])
    return document


def _read_text(document: Mapping[str, object], key: str, problems: list[str]) -> str:
    """The value, or an empty string when it was found wrong, which `problems` then says."""
    if key not in document:
        problems.append(f"{key} is missing")
        return ""
    value = document[key]
    if not isinstance(value, str):
        problems.append(f"{key} is {json.dumps(value)}; write it as text, in double quotes")
        return ""
    if not value.strip():
        problems.append(f"{key} is empty")
        return ""
    if _PLACEHOLDER.fullmatch(value.strip()):
        problems.append(f"{key} is still the placeholder {value!r}; name a registered model's")
        return ""
    if value != value.strip():
        problems.append(f"{key} is {value!r}; remove the spaces around it")
        return ""
    return value
