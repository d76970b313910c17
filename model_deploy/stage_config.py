"""The parameters and tags of one stage's stack: read, extended, validated, written.

    staging-config.json ─┐
    flags and defaults ──┼─▶ {"Parameters": {...}, "Tags": {...}} ─▶ staging-config-export.json
    the built archive ───┘        keys as endpoint-config-template.yml declares them

A stage's file also has "Test": how its endpoint is judged, and "$schema", by which editors check it
(stage-config.schema.json); CloudFormation is told neither.
What a stage's file says wins over flags; an empty value says nothing. What makes the deployed thing
the built one (the archive, the project, the stage's own name, the tags that say which version it
is) can not be overridden.
"""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from model_deploy.contradictions import find_contradictions
from model_deploy.endpoint_test_plan import Thresholds
from model_deploy.errors import ConfigError

logger = logging.getLogger(__name__)

# A stage's file may not say these: they identify what is deployed.
_BUILT_PARAMETERS = ("SageMakerProjectName", "ModelDataLocation")
# CloudFormation's limits on tags ("Tag", CloudFormation API reference).
_TAG_TEXT = re.compile(r"[\w .:/=+\-@]*")
_MAX_TAGS = 50
_MAX_TAG_KEY = 128
_MAX_TAG_VALUE = 256
# What "Test" may say, from the least to the most: SageMaker waits for an answer for 60 s.
_TEST_RANGES: Mapping[str, tuple[int, int]] = {
    "Requests": (1, 10_000),
    "ConcurrentRequests": (1, 200),
    "MaxP95LatencyInMs": (1, 60_000),
}
# 0.95 to the power of 90 is below 1 %.
_ENOUGH_REQUESTS = 90
_ENDPOINT_NAME = re.compile(r"(?=.{1,63}\Z)[a-zA-Z0-9](-*[a-zA-Z0-9]){0,62}")


@dataclass(frozen=True, kw_only=True)
class StageConfig:
    """One stage's file: the parameters and tags that differ from the defaults, and its test."""

    source: str
    stage: str
    parameters: Mapping[str, str]
    tags: Mapping[str, str]
    test: Mapping[str, int] = field(default_factory=dict)

    @classmethod
    def from_json(cls, path: Path, stage: str) -> StageConfig:
        """Read a stage's file; numbers become strings and lists comma-separated ones."""
        document = _read_json(path)
        problems: list[str] = []
        for key in sorted(set(document) - {"$schema", "Parameters", "Tags", "Test"}):
            problems.append(f'unknown key {key!r}; it may hold "Parameters", "Tags" and "Test"')
        parameters = _strings(document.get("Parameters", {}), "Parameters", problems)
        tags = _strings(document.get("Tags", {}), "Tags", problems)
        test = _test_values(document.get("Test", {}), problems)
        if problems:
            raise ConfigError(str(path), problems)
        if test.get("Requests", _ENOUGH_REQUESTS) < _ENOUGH_REQUESTS:
            logger.warning(
                "%s: Test.Requests is %d; fewer than %d miss a failure rate of 5 %% more often "
                "than once in a hundred tests",
                path,
                test["Requests"],
                _ENOUGH_REQUESTS,
            )
        return cls(source=str(path), stage=stage, parameters=parameters, tags=tags, test=test)

    def thresholds(self, latency_threshold_ms: float) -> Thresholds:
        """How the stage's endpoint is judged; its p95 by the stage's alarm, if "Test" has none.

        `latency_threshold_ms` is LatencyThresholdInMs in effect.
        """
        default = Thresholds()
        requests = self.test.get("Requests", default.requests)
        return Thresholds(
            max_p95_ms=float(self.test.get("MaxP95LatencyInMs", latency_threshold_ms)),
            requests=requests,
            concurrent=self.test.get("ConcurrentRequests", min(default.concurrent, requests)),
        )

    def extended(
        self, defaults: Mapping[str, str], built: Mapping[str, str], tags: Mapping[str, str]
    ) -> ExportedConfig:
        """The whole configuration: `defaults`, overridden by the file, completed by `built`.

        An empty value in the file leaves `defaults` as they are; where these are empty too, the
        template's own default holds.
        Raises ConfigError when the file says what only the build may say.
        """
        problems = [
            f"{name} is decided by the build; remove it"
            for name in _BUILT_PARAMETERS
            if name in self.parameters
        ]
        if self.parameters.get("StageName", self.stage) != self.stage:
            problems.append(
                f"StageName is {self.parameters['StageName']!r}, but this is the file of "
                f"{self.stage!r}"
            )
        problems += [
            f"tag {name!r} is decided by the build; remove it"
            for name in sorted(set(tags) & set(self.tags))
        ]
        if problems:
            raise ConfigError(self.source, problems)
        said = {name: value for name, value in self.parameters.items() if value != ""}
        parameters = {**defaults, **said, **built, "StageName": self.stage}
        return ExportedConfig(
            source=self.source,
            parameters={name: value for name, value in parameters.items() if value != ""},
            tags={**self.tags, **tags, "sagemaker:deployment-stage": self.stage},
        )


@dataclass(frozen=True, kw_only=True)
class ExportedConfig:
    """What CloudFormation gets for one stage; all values are strings."""

    source: str
    parameters: Mapping[str, str]
    tags: Mapping[str, str]

    @classmethod
    def from_json(cls, path: Path) -> ExportedConfig:
        """Read an exported configuration back."""
        document = _read_json(path)
        problems: list[str] = []
        parameters = _strings(document.get("Parameters", {}), "Parameters", problems)
        tags = _strings(document.get("Tags", {}), "Tags", problems)
        if problems:
            raise ConfigError(str(path), problems)
        return cls(source=str(path), parameters=parameters, tags=tags)

    def to_json(self) -> str:
        """Sorted JSON, as CodePipeline's TemplateConfiguration reads it."""
        document = {"Parameters": dict(self.parameters), "Tags": dict(self.tags)}
        return json.dumps(document, indent=2, sort_keys=True, ensure_ascii=False) + "\n"


@dataclass(frozen=True, kw_only=True)
class TemplateParameter:
    """A parameter as a CloudFormation template declares it."""

    name: str
    is_number: bool = False
    is_list: bool = False
    required: bool = False
    default: str = ""
    pattern: str = ""
    allowed: tuple[str, ...] = ()
    min_value: float | None = None
    max_value: float | None = None
    min_length: int | None = None
    max_length: int | None = None

    def problem(self, value: str) -> str:
        """Why CloudFormation would refuse `value`, or an empty string."""
        shown = f"{self.name} is {value!r}"
        if self.allowed and value not in self.allowed:
            return f"{shown}; allowed are {', '.join(self.allowed)}"
        for item in value.split(",") if self.is_list else [value]:
            if self.pattern and not re.fullmatch(self.pattern, item):
                return f"{shown}, which does not match {self.pattern}"
        if self.is_number:
            return self._number_problem(value, shown)
        if self.min_length is not None and len(value) < self.min_length:
            return f"{shown}; it needs at least {self.min_length} characters"
        if self.max_length is not None and len(value) > self.max_length:
            return f"{shown}; it may have at most {self.max_length} characters"
        return ""

    def _number_problem(self, value: str, shown: str) -> str:
        if not re.fullmatch(r"-?\d+(\.\d+)?", value):
            return f"{shown}, which is not a number"
        if self.min_value is not None and float(value) < self.min_value:
            return f"{shown}; the least is {self.min_value:g}"
        if self.max_value is not None and float(value) > self.max_value:
            return f"{shown}; the most is {self.max_value:g}"
        return ""


def read_template_parameters(template: Path) -> dict[str, TemplateParameter]:
    """The declared parameters of a CloudFormation template, by name."""
    import yaml

    class _Loader(yaml.SafeLoader):
        """Reads YAML whose intrinsic functions (!Sub, !Ref) are of no interest here."""

    _Loader.add_multi_constructor("!", lambda *_: None)
    try:
        # The loader is a SafeLoader.
        document = yaml.load(template.read_text(encoding="utf-8"), Loader=_Loader)  # noqa: S506
    except OSError as err:
        raise ConfigError(str(template), [f"it can not be read: {err.strerror}"]) from err
    except yaml.YAMLError as err:
        raise ConfigError(str(template), [f"it is not YAML: {err}"]) from err
    declared = document.get("Parameters") if isinstance(document, dict) else None
    if not isinstance(declared, dict):
        raise ConfigError(str(template), ["it declares no Parameters"])
    return {name: _declaration(name, said) for name, said in declared.items()}


def find_problems(
    config: ExportedConfig, declared: Mapping[str, TemplateParameter], template: str
) -> list[str]:
    """All that CloudFormation would refuse of `config`, found before anything is uploaded."""
    problems: list[str] = []
    for name in sorted(set(config.parameters) - set(declared)):
        problems.append(
            f"{template} has no parameter {name!r}; it has {', '.join(sorted(declared))}"
        )
    for name, parameter in declared.items():
        if name in config.parameters:
            problem = parameter.problem(config.parameters[name])
            if problem:
                problems.append(problem)
        elif parameter.required:
            problems.append(f"{name} is missing")
    in_effect = {name: parameter.default for name, parameter in declared.items()}
    problems += find_contradictions({**in_effect, **config.parameters})
    return problems + _endpoint_name_problems(config) + _tag_problems(config.tags)


def _read_json(path: Path) -> dict[str, Any]:
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except OSError as err:
        raise ConfigError(str(path), [f"it can not be read: {err.strerror}"]) from err
    except ValueError as err:
        raise ConfigError(str(path), [f"it is not JSON: {err}"]) from err
    if not isinstance(document, dict):
        raise ConfigError(str(path), ['it holds no object with "Parameters" and "Tags"'])
    return document


def _strings(values: object, where: str, problems: list[str]) -> dict[str, str]:
    if not isinstance(values, dict):
        problems.append(f"{where} is not an object")
        return {}
    strings: dict[str, str] = {}
    for name, value in values.items():
        if isinstance(value, str):
            strings[name] = value
        elif isinstance(value, int | float) and not isinstance(value, bool):
            strings[name] = str(value)
        elif isinstance(value, list) and all(isinstance(item, str) for item in value):
            strings[name] = ",".join(value)
        else:
            problems.append(
                f"{where}.{name} is {json.dumps(value)}; a string, number or list of strings fits"
            )
    return strings


def _test_values(values: object, problems: list[str]) -> dict[str, int]:
    if not isinstance(values, dict):
        problems.append("Test is not an object")
        return {}
    problems += [
        f"Test has no {name!r}; it may hold {', '.join(_TEST_RANGES)}"
        for name in sorted(set(values) - set(_TEST_RANGES))
    ]
    said: dict[str, int] = {}
    for name, (least, most) in _TEST_RANGES.items():
        value = values.get(name, "")
        if isinstance(value, int) and not isinstance(value, bool) and least <= value <= most:
            said[name] = value
        elif value != "":
            problems.append(
                f"Test.{name} is {json.dumps(value)}; give a whole number from {least} to {most}"
            )
    requests, concurrent = said.get("Requests"), said.get("ConcurrentRequests", 0)
    if requests is not None and concurrent > requests:
        problems.append(f"Test.ConcurrentRequests is {concurrent}, more than Requests, {requests}")
    return said


def _declaration(name: str, said: Mapping[str, Any]) -> TemplateParameter:
    kind = said.get("Type", "String")
    return TemplateParameter(
        name=name,
        is_number=kind == "Number",
        is_list=kind == "CommaDelimitedList" or kind.startswith("List<"),
        required="Default" not in said,
        default=str(said.get("Default", "")),
        pattern=said.get("AllowedPattern", ""),
        allowed=tuple(str(value) for value in said.get("AllowedValues", ())),
        min_value=said.get("MinValue"),
        max_value=said.get("MaxValue"),
        min_length=said.get("MinLength"),
        max_length=said.get("MaxLength"),
    )


def _endpoint_name_problems(config: ExportedConfig) -> list[str]:
    project, stage = config.parameters.get("SageMakerProjectName"), config.parameters["StageName"]
    if project is None or _ENDPOINT_NAME.fullmatch(f"{project}-{stage}"):
        return []
    return [
        f"the endpoint's name would be {f'{project}-{stage}'!r}; SageMaker allows letters, digits "
        "and hyphens, at most 63"
    ]


def _tag_problems(tags: Mapping[str, str]) -> list[str]:
    problems: list[str] = []
    if len(tags) > _MAX_TAGS:
        problems.append(f"{len(tags)} tags; CloudFormation takes {_MAX_TAGS}")
    for name, value in sorted(tags.items()):
        if not value:
            problems.append(f"tag {name!r} is empty; CloudFormation needs a value")
        if name.lower().startswith("aws:"):
            problems.append(f"tag {name!r}: AWS keeps names that begin with aws: to itself")
        problems += _tag_text_problems(f"tag name {name!r}", name, _MAX_TAG_KEY)
        problems += _tag_text_problems(f"tag {name} = {value!r}", value, _MAX_TAG_VALUE)
    return problems


def _tag_text_problems(what: str, text: str, longest: int) -> list[str]:
    if len(text) > longest:
        return [f"{what} has {len(text)} characters; {longest} are allowed"]
    if not _TAG_TEXT.fullmatch(text):
        return [f"{what} has characters other than letters, digits, spaces and _ . : / = + - @"]
    return []
