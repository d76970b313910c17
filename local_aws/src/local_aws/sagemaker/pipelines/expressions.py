"""Expressions of a pipeline definition, resolved: Get, Std:Join, Std:JsonGet.

    {"Get": "Parameters.Rows"}                                              -> 100
    {"Get": "Steps.PrepareData.ProcessingOutputConfig.Outputs['data'].S3Output.S3Uri"} -> "s3://..."
    {"Std:Join": {"On": "/", "Values": ["s3:/", {"Get": "Execution.PipelineExecutionId"}]}} -> "s3://..."

Source: "Amazon SageMaker Pipelines pipeline definition JSON schema" and what the SDK compiles to.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

FUNCTIONS = ("Get", "Std:Join", "Std:JsonGet")
EXECUTION_VARIABLES = (
    "StartDateTime",
    "CurrentDateTime",
    "PipelineName",
    "PipelineArn",
    "PipelineExecutionId",
    "PipelineExecutionArn",
    "TrainingJobName",
    "ProcessingJobName",
)
# The member that names an item, in the lists that a job's description holds.
_ITEM_NAMES = ("OutputName", "InputName", "ChannelName", "MetricName", "Name")
_SELECTOR = re.compile(r"\.?([^.\[\]'\"]+)|\['([^']*)'\]|\[\"([^\"]*)\"\]|\[(\d+)\]")


class ExpressionError(Exception):
    """An expression has no value; the message says which one and why."""


@dataclass(frozen=True)
class PropertyFile:
    """A JSON file that a processing step writes into one of its outputs."""

    output_name: str
    file_path: str


def _no_json(uri: str) -> Any:
    raise ExpressionError(f"{uri} can't be read here")


@dataclass(frozen=True, kw_only=True)
class Scope:
    """The values that expressions see while a step is prepared.

    `steps` holds, by step name, what the job's Describe call answered. `read_json` gets an S3 URI.
    """

    parameters: Mapping[str, Any] = field(default_factory=dict)
    execution: Mapping[str, Any] = field(default_factory=dict)
    steps: Mapping[str, Any] = field(default_factory=dict)
    property_files: Mapping[str, Mapping[str, PropertyFile]] = field(default_factory=dict)
    read_json: Callable[[str], Any] = _no_json


def resolve(value: Any, scope: Scope) -> Any:
    """`value` with each expression in it replaced by its value; raises ExpressionError."""
    if isinstance(value, list):
        return [resolve(item, scope) for item in value]
    if not isinstance(value, dict):
        return value
    if not is_expression(value):
        return {key: resolve(item, scope) for key, item in value.items()}
    ((function, body),) = value.items()
    if function == "Get":
        return _get(body, scope)
    if function == "Std:Join":
        return str(body.get("On", "")).join(
            as_text(resolve(item, scope)) for item in body["Values"]
        )
    return _json_get(body, scope)


def is_expression(value: Any) -> bool:
    """Whether `value` is a call of one of FUNCTIONS rather than a plain object."""
    return isinstance(value, dict) and len(value) == 1 and next(iter(value)) in FUNCTIONS


def references(value: Any) -> Iterator[str]:
    """The path of every Get inside `value`, in reading order."""
    if isinstance(value, list):
        for item in value:
            yield from references(item)
    elif isinstance(value, dict):
        if is_expression(value) and isinstance(value.get("Get"), str):
            yield value["Get"]
        else:
            for item in value.values():
                yield from references(item)


def step_named_in(path: str) -> str | None:
    """The step that a Get path refers to; None for parameters and execution variables."""
    root, _, rest = path.partition(".")
    return re.split(r"[.\[]", rest, maxsplit=1)[0] if root == "Steps" else None


def as_text(value: Any) -> str:
    """A value as Std:Join writes it: booleans and null in JSON's spelling."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    return str(value)


def select(document: Any, path: str, what: str) -> Any:
    """What `path` (`a.b[0]['c']`, an optional `$` before it) finds in `document`.

    A quoted selector on a list finds the item of that name. `what` names the document in errors.
    """
    found = document
    for selector in selectors_of(path.removeprefix("$"), what):
        found = _member(found, selector, path, what)
    return found


def selectors_of(path: str, what: str) -> Iterator[str | int]:
    """What `a.b[0]['c']` takes one after the other; raises ExpressionError."""
    position = 0
    while position < len(path):
        match = _SELECTOR.match(path, position)
        if match is None:
            raise ExpressionError(f"{path!r} is not a path into {what}: at {path[position:]!r}")
        position = match.end()
        name, single, double, index = match.groups()
        yield (
            int(index)
            if index is not None
            else next(text for text in (name, single, double) if text is not None)
        )


def _member(found: Any, selector: str | int, path: str, what: str) -> Any:
    if isinstance(found, Mapping):
        if str(selector) in found:
            return found[str(selector)]
        there = ", ".join(map(str, found)) or "nothing"
        raise ExpressionError(f"{path!r}: {what} has no {selector!r} there, but {there}")
    if not isinstance(found, Sequence) or isinstance(found, str):
        raise ExpressionError(f"{path!r}: {what} has a plain value where {selector!r} is looked up")
    if isinstance(selector, str) and selector.isdigit():
        selector = int(selector)
    if isinstance(selector, int):
        if selector < len(found):
            return found[selector]
        raise ExpressionError(
            f"{path!r}: no item {selector}, the list in {what} has {len(found)} items"
        )
    named = {
        item[member]: item
        for item in reversed(found)
        if isinstance(item, Mapping)
        for member in _ITEM_NAMES
        if member in item
    }
    if selector not in named:
        there = ", ".join(sorted(map(str, named))) or "no named items"
        raise ExpressionError(f"{path!r}: no item {selector!r} in {what}, but {there}")
    return named[selector]


def _get(path: str, scope: Scope) -> Any:
    root, _, rest = path.partition(".")
    if root == "Parameters":
        return _known(scope.parameters, rest, f"pipeline parameter {rest!r}")
    if root == "Execution":
        return _known(scope.execution, rest, f"execution variable {rest!r} here")
    if root != "Steps":
        raise ExpressionError(f"{path!r} begins with neither Parameters, Execution nor Steps")
    step = step_named_in(path) or ""
    properties = _known(scope.steps, step, f"result of step {step!r}")
    return select(properties, rest[len(step) :], f"the result of step {step!r}")


def _known(values: Mapping[str, Any], name: str, what: str) -> Any:
    if name not in values:
        raise ExpressionError(f"there is no {what}")
    return values[name]


def _json_get(body: Mapping[str, Any], scope: Scope) -> Any:
    if "S3Uri" in body:
        uri = as_text(resolve(body["S3Uri"], scope))
    else:
        uri = _property_file_uri(body["PropertyFile"], scope)
    return select(scope.read_json(uri), body["Path"], uri)


def _property_file_uri(reference: Any, scope: Scope) -> str:
    path = reference["Get"] if isinstance(reference, Mapping) else str(reference)
    step = step_named_in(path) or ""
    name = path.rsplit(".", 1)[-1]
    file: PropertyFile = _known(
        scope.property_files.get(step, {}), name, f"property file {name!r} in step {step!r}"
    )
    properties = _known(scope.steps, step, f"result of step {step!r}")
    output = select(
        properties,
        f"ProcessingOutputConfig.Outputs['{file.output_name}'].S3Output.S3Uri",
        f"the result of step {step!r}",
    )
    return f"{str(output).rstrip('/')}/{file.file_path.lstrip('/')}"
