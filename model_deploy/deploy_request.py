"""Which model version to deploy and what of it was reviewed, as deploy.json says it.

{"model_name": "sklearn-random-forest", "model_version": 3 | "3" | "latest" | "@challenger",
 "trusted_types": {type: reason}, "accept": {check: reason}, "code_on_load": "tell" | "forbid"}

The last three may be left out; deploy.schema.json says what each is. Deploying, trusting and
waiving are commits to review.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from model_deploy import model_name as names
from model_deploy.endpoint_test_plan import NO_OFFLINE_COMPARISON
from model_deploy.errors import ConfigError

TELL = "tell"
FORBID = "forbid"

_KEYS = ("model_name", "model_version", "trusted_types", "accept", "code_on_load")
# Names the file that editors check this one by; nothing else reads it.
_SCHEMA = "$schema"
# What the endpoint's test may leave out, with a reviewed reason.
_ACCEPTABLE = (NO_OFFLINE_COMPARISON,)
# MLflow counts from 1, and its database has no number of more digits.
_VERSION = re.compile(r"[1-9][0-9]{0,8}|latest|@[\w.-]+")
_NO_VERSION = 'write a number such as "3", "latest", or an alias such as "@challenger"'
_TYPE = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)+")
# What stands where nobody has written a reason yet.
_PLACEHOLDERS = frozenset(
    (
        *("", "a reason", "because", "fixme", "n/a", "na", "no reason", "none", "placeholder"),
        *("reason", "tbd", "the reason", "todo", "why", "xxx", "your reason"),
    )
)
_EXAMPLE = '{"model_name": "sklearn-random-forest", "model_version": "latest"}'


@dataclass(frozen=True, kw_only=True)
class DeployRequest:
    """A registered model's name, and which version: a number, `latest`, or an alias (`@name`).

    `trusted_types` has the types that its skops file may hold beside those that were reviewed here,
    `accept` the checks that its test may leave out, each with the reason. With `code_on_load`
    "forbid" a model that runs code when it is loaded is not deployed; else it is told.
    """

    model_name: str
    model_version: str
    trusted_types: Mapping[str, str] = field(default_factory=dict)
    accept: Mapping[str, str] = field(default_factory=dict)
    code_on_load: str = TELL

    @classmethod
    def of_flags(cls, model_name: str, model_version: str, path: Path) -> DeployRequest:
        """What the flags say (empty: not given), and the file where they are silent.

        The version of a name that is given is not the file's; what the file reviewed counts only
        for its own model. A file that is not there, or that is another model's, does not matter
        then; one that is this model's, or nobody can tell whose, must be right.
        """
        problems: list[str] = []
        if model_version and not _VERSION.fullmatch(model_version):
            problems.append(f"--model-version is {model_version!r}; {_NO_VERSION}")
        if not model_name:
            if problems:
                raise ConfigError("the command line", problems)
            reviewed = cls.from_json(path)
            return replace(reviewed, model_version=model_version or reviewed.model_version)
        problem = names.find_problem(model_name)
        if problem is not None:
            problems.append(f"--model-name is {model_name!r}; {problem}")
        if problems:
            raise ConfigError("the command line", problems)
        asked = cls(model_name=model_name, model_version=model_version or "latest")
        if not path.exists():
            return asked
        named = _read_object(path).get("model_name")
        if isinstance(named, str) and named != model_name:
            return asked
        return replace(cls.from_json(path), model_version=asked.model_version)

    @classmethod
    def from_json(cls, path: Path) -> DeployRequest:
        """Read the file; ConfigError with all that is wrong with it."""
        document = _read_object(path)
        problems = [
            f"unknown key {key!r}; it holds {', '.join(_KEYS)}"
            for key in sorted(set(document) - {*_KEYS, _SCHEMA})
        ]
        name = _read_text(document, "model_name", problems)
        version = _read_version(document, problems)
        problem = names.find_problem(name) if name else None
        if problem is not None:
            problems.append(f"model_name is {name!r}; {problem}")
        trusted = _read_reasons(document, "trusted_types", problems)
        problems += [
            f"trusted_types names {each!r}; write a type as skops does, with its module"
            for each in sorted(trusted)
            if not _TYPE.fullmatch(each)
        ]
        accepted = _read_reasons(document, "accept", problems)
        problems += [
            f"accept names {each!r}; what can be accepted is {', '.join(_ACCEPTABLE)}"
            for each in sorted(set(accepted) - set(_ACCEPTABLE))
        ]
        code_on_load = document.get("code_on_load", TELL)
        if code_on_load not in (TELL, FORBID):
            problems.append(
                f'code_on_load is {json.dumps(code_on_load)}; write "{TELL}" or "{FORBID}"'
            )
        if problems:
            raise ConfigError(str(path), problems)
        return cls(
            model_name=name,
            model_version=version,
            trusted_types=trusted,
            accept=accepted,
            code_on_load=str(code_on_load),
        )


class _Doubled(Exception):
    """A key that stands twice; JSON's readers would silently take the last."""


def _refuse_doubles(pairs: list[tuple[str, object]]) -> dict[str, object]:
    names = [name for name, _ in pairs]
    doubled = sorted({name for name in names if names.count(name) > 1})
    if doubled:
        listed = ", ".join(repr(name) for name in doubled)
        raise _Doubled(f"it says {listed} more than once; leave one of them")
    return dict(pairs)


def _read_object(path: Path) -> Mapping[str, object]:
    try:
        text = path.read_text(encoding="utf-8")
        document = json.loads(text, object_pairs_hook=_refuse_doubles)
    except OSError as err:
        told = f"it can not be read: {err.strerror}. Write {_EXAMPLE}, or pass --model-name"
        raise ConfigError(str(path), [told]) from err
    except _Doubled as err:
        raise ConfigError(str(path), [str(err)]) from err
    except (ValueError, RecursionError) as err:
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
    return value


def _read_version(document: Mapping[str, object], problems: list[str]) -> str:
    """As text: a number may stand there without quotes, as whole numbers do in JSON."""
    value = document.get("model_version")
    if isinstance(value, bool | float):
        problems.append(f"model_version is {json.dumps(value)}; {_NO_VERSION}")
        return ""
    if isinstance(value, int):
        document = {"model_version": str(value)}
    version = _read_text(document, "model_version", problems)
    if version and not _VERSION.fullmatch(version):
        shown = value if isinstance(value, int) else repr(version)
        problems.append(f"model_version is {shown}; {_NO_VERSION}")
        return ""
    return version


def _is_reason(text: str) -> bool:
    """Whether it says anything; a template's word does not."""
    return text.strip(" \t\r\n.,:;!?<>[](){}\"'`_-*").lower() not in _PLACEHOLDERS


def _read_reasons(
    document: Mapping[str, object], key: str, problems: list[str]
) -> Mapping[str, str]:
    """Names with the reason of each; those without one are found wrong."""
    value = document.get(key, {})
    if not isinstance(value, dict):
        problems.append(f'{key} is {json.dumps(value)}; write {{"name": "reason"}}')
        return {}
    reasons: dict[str, str] = {}
    for name, reason in value.items():
        if isinstance(reason, str) and _is_reason(reason):
            reasons[name] = reason
        else:
            problems.append(f"{key} has no reason for {name!r}; write why, as text")
    return reasons
