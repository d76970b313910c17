"""The pipeline's parameters: what each execution may choose.

The estimators' own come from their files; see model_build/steps/train_evaluate_register/estimators.
"""

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from model_build.errors import ConfigError
from model_build.training_step import (
    DEFAULT_ESTIMATOR,
    REQUIREMENTS,
    find_estimators,
    list_estimator_parameters,
    list_job_packages,
    metrics,
    model_name,
)

Kind = Literal["String", "Integer", "Float"]
Value = str | int | float

_TRACKING_URI = re.compile(r"https?://[^\s/]+\S*|arn:aws[a-z-]*:sagemaker:\S+")
_INPUT_DATA_URI = re.compile(r"sklearn:\w+|s3://[a-z0-9][a-z0-9.-]+/\S.*")
_ODD_VALUES = re.compile(r"refuse|missing|text")
_TASK = re.compile(r"auto|regression|classification")
_INCOMPARABLE = re.compile(r"refuse|allow")
_SPLIT_BY = re.compile(r"row|(time|group):.*\S.*")

_LARGEST_SEED = 2**32 - 1


@dataclass(frozen=True, kw_only=True)
class PipelineParameter:
    """One parameter: its name, kind, default (None: it must be given) and rule.

    `find_problem` takes a value of the right kind; it returns what is wrong or what to give
    instead, or None when the value is fine.
    """

    name: str
    kind: Kind
    default: Value | None
    find_problem: Callable[[Value], str | None]


def _text(pattern: re.Pattern[str], expected: str) -> Callable[[Value], str | None]:
    return lambda value: None if pattern.fullmatch(str(value)) else f"give {expected}"


def _number(
    low: float, high: float, expected: str, *, open_interval: bool = False
) -> Callable[[Value], str | None]:
    def find_problem(value: Value) -> str | None:
        number = float(value)
        inside = low < number < high if open_interval else low <= number <= high
        return None if inside and math.isfinite(number) else f"give {expected}"

    return find_problem


def _find_limit_problem(value: Value, task: str | None = None) -> str | None:
    try:
        metrics.read_limits(str(value), task)
    except ValueError as err:
        return str(err)
    return None


def _find_shap_problem(value: Value) -> str | None:
    if value not in ("off", "on"):
        return "give off or on"
    if value == "on" and "shap" not in list_job_packages():
        return (
            "the job would not have the package shap; add the line shap to "
            f"{REQUIREMENTS.relative_to(REQUIREMENTS.parents[3])}, then `make lock`"
        )
    return None


MLFLOW_TRACKING_URI = PipelineParameter(
    name="MLflowTrackingURI",
    kind="String",
    default=None,
    find_problem=_text(
        _TRACKING_URI, "the http(s):// address of an MLflow server, or a SageMaker MLflow ARN"
    ),
)

_COMMON = (
    MLFLOW_TRACKING_URI,
    PipelineParameter(
        name="ExperimentName",
        kind="String",
        # The training step then takes RegisteredModelName: one experiment for each model.
        default="same-as-model",
        find_problem=_text(re.compile(r"\S(.*\S)?"), "text that isn't blank"),
    ),
    PipelineParameter(
        name="RegisteredModelName",
        kind="String",
        default="sklearn-random-forest",
        find_problem=lambda value: model_name.find_problem(str(value)),
    ),
    PipelineParameter(
        name="InputDataUri",
        kind="String",
        default="sklearn:diabetes",
        find_problem=_text(
            _INPUT_DATA_URI, "sklearn:<dataset>, or s3://bucket/key of a CSV or Parquet table"
        ),
    ),
    PipelineParameter(
        name="OddValues",
        kind="String",
        default="refuse",
        find_problem=_text(_ODD_VALUES, "refuse, missing or text"),
    ),
    PipelineParameter(
        name="SplitBy",
        kind="String",
        default="row",
        find_problem=_text(_SPLIT_BY, "row, time:<column> or group:<column>"),
    ),
    PipelineParameter(
        name="TargetColumn",
        kind="String",
        default="target",
        find_problem=_text(re.compile(r".*\S.*"), "text that isn't blank"),
    ),
    PipelineParameter(
        name="TestSize",
        kind="Float",
        default=0.25,
        find_problem=_number(0, 1, "a fraction between 0 and 1", open_interval=True),
    ),
    PipelineParameter(
        name="RandomSeed",
        kind="Integer",
        default=42,
        find_problem=_number(0, _LARGEST_SEED, f"a whole number from 0 to {_LARGEST_SEED}"),
    ),
    PipelineParameter(
        name="Task",
        kind="String",
        default="auto",
        find_problem=_text(_TASK, "auto, regression or classification"),
    ),
    PipelineParameter(
        name="MetricLimits",
        kind="String",
        default=metrics.NO_LIMITS,
        find_problem=_find_limit_problem,
    ),
    PipelineParameter(
        name="ChampionMargin",
        kind="Float",
        default=0.0,
        find_problem=_number(0, 10, "a number from 0 to 10"),
    ),
    PipelineParameter(
        name="ChampionIncomparable",
        kind="String",
        default="refuse",
        find_problem=_text(_INCOMPARABLE, "refuse or allow"),
    ),
    PipelineParameter(name="Shap", kind="String", default="off", find_problem=_find_shap_problem),
)


def list_parameters() -> list[PipelineParameter]:
    """The pipeline's parameters, the estimators' own last. Raises ConfigError."""
    own = [_declare_own(parameter) for parameter in list_estimator_parameters()]
    return [*_COMMON, _declare_choice(find_estimators()), *own]


def _declare_choice(names: Mapping[str, Any]) -> PipelineParameter:
    return PipelineParameter(
        name="Estimator",
        kind="String",
        default=DEFAULT_ESTIMATOR,
        find_problem=lambda value: None if value in names else f"give {' or '.join(names)}",
    )


def _declare_own(parameter: Any) -> PipelineParameter:
    return PipelineParameter(
        name=parameter.name,
        kind="Integer" if isinstance(parameter.default, int) else "Float",
        default=parameter.default,
        find_problem=_number(
            parameter.low, parameter.high, f"{parameter.expected} ({parameter.meaning})"
        ),
    )


def read_assignments(assignments: Sequence[str]) -> dict[str, str]:
    """`NAME=VALUE` words as a mapping. Raises ConfigError."""
    problems = []
    values: dict[str, str] = {}
    for assignment in assignments:
        name, equals, value = assignment.partition("=")
        if not equals or not name:
            problems.append(f"{assignment!r} is no NAME=VALUE")
        elif name in values:
            problems.append(f"{name} is given twice")
        else:
            values[name] = value
    if problems:
        raise ConfigError("--parameters", problems)
    return values


def check_values(
    texts: Mapping[str, str], declared: Mapping[str, tuple[Kind, Value | None]]
) -> dict[str, Value]:
    """The values for one execution, each in its declared kind.

    `declared` gives kind and default of each parameter that the pipeline has. Raises ConfigError
    for an unknown name, a value of another kind or out of range, a parameter that has neither
    value nor default, and values that contradict each other.
    """
    rules = {parameter.name: parameter for parameter in list_parameters()}
    problems = []
    values: dict[str, Value] = {}
    for name, text in texts.items():
        if name not in declared:
            problems.append(
                f"the pipeline has no parameter {name!r}; it has {', '.join(sorted(declared))}"
            )
            continue
        value = _convert(text, declared[name][0])
        if value is None:
            problems.append(f"{name}={text!r} is no {_KIND_NAMES[declared[name][0]]}")
            continue
        problem = rules[name].find_problem(value) if name in rules else None
        if problem is not None:
            problems.append(f"{name}={text!r} won't do; {problem}")
        values[name] = value
    for name, (_, default) in declared.items():
        if default is None and name not in texts:
            problems.append(_describe_missing(name))
    if not problems:
        settings = {**{name: default for name, (_, default) in declared.items()}, **values}
        problems = [*_find_foreign(values, settings), *_find_limits_of_other_task(settings)]
    if problems:
        raise ConfigError("--parameters", problems)
    return values


def _find_foreign(values: Mapping[str, Value], settings: Mapping[str, Value | None]) -> list[str]:
    """Parameters that were given, although the chosen estimator would never hear of them."""
    estimators = {
        name: [parameter.name for parameter in estimator.parameters]
        for name, estimator in find_estimators().items()
    }
    chosen = settings.get("Estimator")
    if chosen not in estimators:  # a pipeline without that choice
        return []
    own = estimators[str(chosen)]
    problems = []
    for name in values:
        owners = [owner for owner, names in estimators.items() if name in names]
        if owners and chosen not in owners:
            problems.append(
                f"{name} belongs to {' and '.join(owners)}; "
                f"{chosen} has {', '.join(own) or 'no parameters of its own'}"
            )
    return problems


def _find_limits_of_other_task(settings: Mapping[str, Value | None]) -> list[str]:
    task, limits = settings.get("Task"), settings.get("MetricLimits")
    if task not in metrics.METRICS or limits is None:
        return []
    problem = _find_limit_problem(limits, str(task))
    return [] if problem is None else [f"MetricLimits={limits!r} won't do; {problem}"]


_KIND_NAMES: Mapping[Kind, str] = {
    "String": "text (an empty value can't be passed to SageMaker)",
    "Integer": "whole number",
    "Float": "number",
}


def _convert(text: str, kind: Kind) -> Value | None:
    try:
        if kind == "Integer":
            return int(text)
        if kind == "Float":
            return float(text)
    except ValueError:
        return None
    return text or None


def _describe_missing(name: str) -> str:
    if name == MLFLOW_TRACKING_URI.name:
        return (
            f"{name} has no value; set MLFLOW_TRACKING_URI or pass --parameters {name}=http://..."
        )
    return f"{name} has no value; pass --parameters {name}=..."
