"""What is to be deployed: the stacks, their parameters, their tags.

A settings file says it as a whole: a parameter that it leaves out has the template's default.
Some are in infra/platform/settings; copy one to keep your own values.

infra/platform/settings.schema.json, which "$schema" names for editors, says what each value may be.

    {"region": null, "stacks": {"network": {"Cidr": "10.42.0.0/20"}, "images": {}, ...}, "tags": {}}
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from mlops.errors import InputError, SettingsError
from mlops.platform.stacks import KINDS, MANAGED, MLFLOW, PLATFORM, PROJECT, StackKind
from mlops.platform.template_rules import broken_rules
from mlops.platform.templates import INFRA_DIR, Template, as_text, problem_of_value

SETTINGS_DIR = INFRA_DIR / "platform" / "settings"
SIZES = tuple(sorted(path.stem for path in SETTINGS_DIR.glob("*.json")))
_SECTIONS = {"region", "stacks", "tags"}
_KEYS = {"$schema", *_SECTIONS}
_PLATFORM = tuple(kind.key for kind in PLATFORM)


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Parameters of each stack by its key, in the order of deployment.

    `complete`: what is not named has the template's default. Otherwise it keeps the value that
    the stack has.
    """

    source: str
    stacks: Mapping[str, Mapping[str, str]]
    region: str | None = None
    tags: Mapping[str, str] = field(default_factory=dict)
    complete: bool = True

    # Where a stack has another name than its kind.
    names: Mapping[str, str] = field(default_factory=dict)

    def stack_name(self, kind: StackKind) -> str:
        """The stack's name in the account."""
        return self.names.get(kind.key, kind.name)


def size_file(size: str) -> Path:
    """The settings file of a size."""
    return SETTINGS_DIR / f"{size}.json"


def read_settings(path: Path) -> Settings:
    """Settings from a file. Raises SettingsError for what can not be settings at all."""
    try:
        content = json.loads(path.read_text())
    except OSError as err:
        raise InputError(f"can not read the settings {path}: {err.strerror}") from err
    except ValueError as err:
        raise SettingsError(str(path), [f"is not JSON: {err}"]) from err
    problems = list(_problems_of_shape(content))
    if problems:
        raise SettingsError(str(path), problems)
    return Settings(
        source=str(path),
        region=content.get("region"),
        stacks={
            key: {name: _as_value(value) for name, value in content["stacks"][key].items()}
            for key in KINDS
            if key in content["stacks"]
        },
        tags={key: str(value) for key, value in content.get("tags", {}).items()},
    )


def keeping_settings(keys: Sequence[str]) -> Settings:
    """These stacks, with the values that they have."""
    stacks: dict[str, Mapping[str, str]] = {key: {} for key in KINDS if key in keys}
    return Settings(source="the command line", stacks=stacks, complete=False)


def with_parameters(settings: Settings, given: Sequence[str]) -> Settings:
    """The settings with values of the command line, each `STACK.Name=value`, on top."""
    stacks = {key: dict(parameters) for key, parameters in settings.stacks.items()}
    problems = []
    for text in given:
        place, equals, value = text.partition("=")
        key, dot, name = place.partition(".")
        if not (equals and dot and name):
            problems.append(f"--parameter {text}: is not STACK.Name=value")
        elif key not in stacks:
            problems.append(f"--parameter {text}: '{key}' is none of {', '.join(stacks)}")
        else:
            stacks[key][name] = value
    if problems:
        raise SettingsError("the command line", problems)
    return replace(settings, stacks=stacks)


def check_settings(
    settings: Settings,
    templates: Mapping[str, Template],
    kept: Mapping[str, Mapping[str, str]],
) -> None:
    """Raise SettingsError with everything that the templates would refuse.

    `kept` has, by stack, values that the stack keeps if the settings don't name them.
    """
    problems = [
        problem
        for key, template in templates.items()
        for problem in _problems_of_stack(key, settings.stacks[key], template, kept.get(key, {}))
    ]
    if MLFLOW.key in settings.stacks and MANAGED.key in settings.stacks:
        problems.append(
            f"stacks: '{MLFLOW.key}' and '{MANAGED.key}' publish the same parameters; keep one"
        )
    if problems:
        raise SettingsError(settings.source, problems)


def _problems_of_shape(content: Any) -> list[str]:
    if not isinstance(content, Mapping):
        return ["is not an object with `stacks`"]
    problems = [f"'{key}' is none of {_named(_SECTIONS)}" for key in content.keys() - _KEYS]
    if not isinstance(content.get("region"), str | None):
        problems.append("region: is neither a name nor null")
    stacks, tags = content.get("stacks"), content.get("tags", {})
    if not isinstance(tags, Mapping):
        problems.append("tags: is not an object of texts")
    if not isinstance(stacks, Mapping) or not stacks:
        return [*problems, f"stacks: names none; those there are: {_named(_PLATFORM)}"]
    for key, parameters in stacks.items():
        if key == PROJECT.key:
            problems.append(f"stacks: '{key}' is put up by `mlops project deploy`")
        elif key not in _PLATFORM:
            problems.append(f"stacks: '{key}' is none of {_named(_PLATFORM)}")
        elif not isinstance(parameters, Mapping):
            problems.append(f"{key}: is not an object of parameters")
        else:
            problems += [
                f"{key}.{name}: is neither text, number, true, false nor a list of texts"
                for name, value in parameters.items()
                if not _is_value(value)
            ]
    return problems


def _problems_of_stack(
    key: str, given: Mapping[str, str], template: Template, kept: Mapping[str, str]
) -> list[str]:
    problems = []
    for name in given.keys() - template.parameters.keys():
        problems.append(
            f"{key}.{name}: {KINDS[key].template_name} has no such parameter; "
            f"it has {_named(template.parameters)}"
        )
    for name, declared in template.parameters.items():
        if name in given:
            problem = problem_of_value(declared, given[name])
            if problem:
                secret = str(declared.get("NoEcho", False)).lower() == "true"
                value = "the value" if secret else f"'{given[name]}'"
                problems.append(f"{key}.{name}: {value} {problem}")
        elif "Default" not in declared and name not in kept:
            problems.append(
                f"{key}.{name}: has no value; {declared.get('Description', '').strip()}"
            )
    values = {
        name: given.get(name, kept.get(name, as_text(declared.get("Default", ""))))
        for name, declared in template.parameters.items()
    }
    return [*problems, *(f"{key}: {broken}" for broken in broken_rules(template, values))]


def _is_value(value: Any) -> bool:
    if isinstance(value, list):
        return all(isinstance(each, str) for each in value)
    return isinstance(value, str | bool | int | float)


def _as_value(value: Any) -> str:
    return ",".join(value) if isinstance(value, list) else as_text(value)


def _named(names: Any) -> str:
    return ", ".join(sorted(names))
