"""The values of a template's parameters: given, kept from before, or default; and their checks."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from local_aws.cloudformation.intrinsics import as_text
from local_aws.cloudformation.template import format_error
from local_aws.errors import AwsError

_CONSTRAINTS = frozenset(
    {
        *("AllowedPattern", "AllowedValues", "ConstraintDescription", "Default", "Description"),
        *("MaxLength", "MaxValue", "MinLength", "MinValue", "NoEcho", "Type"),
    }
)
_SSM_VALUE = re.compile(r"AWS::SSM::Parameter::Value<(.+)>")
_AWS_TYPE = re.compile(r"AWS::(EC2|Route53)::[\w:]+")
HIDDEN = "****"


def given_parameters(
    entries: Iterable[Mapping[str, Any]], previous: Mapping[str, str]
) -> dict[str, str]:
    """A request's Parameters as text by name; UsePreviousValue takes the one in `previous`."""
    given = {}
    for entry in entries:
        name = entry["ParameterKey"]
        if entry.get("UsePreviousValue"):
            if name not in previous:
                raise AwsError(
                    "ValidationError",
                    f"Invalid input for parameter key {name}. "
                    "Cannot specify usePreviousValue as true "
                    "for a parameter key not in the previous template",
                )
            given[name] = previous[name]
        else:
            given[name] = entry.get("ParameterValue", "")
    return given


def resolve_parameters(
    declared: Mapping[str, Mapping[str, Any]], given: Mapping[str, str]
) -> dict[str, str]:
    """Each declared parameter's text. AwsError ValidationError names what breaks a constraint."""
    for name, declaration in declared.items():
        _check_declaration(name, declaration)
    unknown = sorted(set(given) - set(declared))
    if unknown:
        raise AwsError(
            "ValidationError", f"Parameters: [{', '.join(unknown)}] do not exist in the template"
        )
    missing = [n for n, d in declared.items() if n not in given and "Default" not in d]
    if missing:
        raise AwsError("ValidationError", f"Parameters: [{', '.join(missing)}] must have values")
    values = {n: given[n] if n in given else _default(d) for n, d in declared.items()}
    for name, value in values.items():
        problem = _violation(name, declared[name], value)
        if problem:
            raise AwsError("ValidationError", problem)
    return values


def typed_parameters(
    declared: Mapping[str, Mapping[str, Any]],
    values: Mapping[str, str],
    ssm_parameter: Callable[[str], str],
) -> dict[str, str | list[str]]:
    """What a Ref to each parameter gives: lists split, SSM ones as `ssm_parameter(name)` says."""
    typed: dict[str, str | list[str]] = {}
    for name, value in values.items():
        kind = str(declared[name]["Type"])
        stored = _SSM_VALUE.fullmatch(kind)
        if stored:
            kind, value = stored[1], ssm_parameter(value)
        elif kind == "AWS::SSM::Parameter::Name":
            ssm_parameter(value)  # it has to exist; the value is its name
        typed[name] = _split(value) if _is_list(kind) else value
    return typed


def shown_parameters(
    declared: Mapping[str, Mapping[str, Any]],
    values: Mapping[str, str],
    typed: Mapping[str, str | list[str]],
) -> list[dict[str, str]]:
    """Parameters as DescribeStacks shows them: NoEcho hidden, SSM ones with their value."""
    shown = []
    for name, value in values.items():
        entry = {"ParameterKey": name, "ParameterValue": value}
        if is_hidden(declared[name]):
            entry["ParameterValue"] = HIDDEN
        elif _SSM_VALUE.fullmatch(str(declared[name]["Type"])):
            resolved = typed[name]
            entry["ResolvedValue"] = resolved if isinstance(resolved, str) else ",".join(resolved)
        shown.append(entry)
    return shown


def is_hidden(declaration: Mapping[str, Any]) -> bool:
    """Whether descriptions show HIDDEN in place of the parameter's value."""
    return as_text(declaration.get("NoEcho", False)) == "true"


def _check_declaration(name: str, declaration: Mapping[str, Any]) -> None:
    kind = str(declaration["Type"])
    stored = _SSM_VALUE.fullmatch(kind)
    inner = stored[1] if stored else kind
    element = re.sub(r"^List<(.+)>$", r"\1", inner)
    plain = element in ("String", "Number", "CommaDelimitedList", "AWS::SSM::Parameter::Name")
    if not plain and not _AWS_TYPE.fullmatch(element):
        raise format_error(f"Unrecognized parameter type: {kind} (parameter {name})")
    unknown = sorted(set(declaration) - _CONSTRAINTS)
    if unknown:
        raise format_error(f"Invalid template parameter property '{unknown[0]}' (parameter {name})")


def _default(declaration: Mapping[str, Any]) -> str:
    default = declaration["Default"]
    return ",".join(map(as_text, default)) if isinstance(default, list) else as_text(default)


def _violation(name: str, declaration: Mapping[str, Any], value: str) -> str | None:
    kind = str(declaration["Type"])
    parts: Sequence[str] = _split(value) if _is_list(kind) else [value]
    problem = None
    for part in parts:
        problem = problem or _violation_of_one(name, declaration, part)
    if problem and "ConstraintDescription" in declaration:
        described = declaration["ConstraintDescription"]
        return f"Parameter '{name}' failed to satisfy constraint: {described}"
    return problem


def _violation_of_one(name: str, declaration: Mapping[str, Any], value: str) -> str | None:
    limits = {key: float(declaration[key]) for key in declaration if key.startswith(("Min", "Max"))}
    if declaration["Type"] in ("Number", "List<Number>"):
        try:
            number = float(value)
        except ValueError:
            return f"Parameter '{name}' must be a number, not {value!r}"
        if number < limits.get("MinValue", number):
            return f"Parameter '{name}' must be a number not less than {declaration['MinValue']}"
        if number > limits.get("MaxValue", number):
            return f"Parameter '{name}' must be a number not greater than {declaration['MaxValue']}"
    if len(value) < limits.get("MinLength", 0):
        return f"Parameter '{name}' must contain at least {declaration['MinLength']} characters"
    if len(value) > limits.get("MaxLength", len(value)):
        return f"Parameter '{name}' must contain at most {declaration['MaxLength']} characters"
    pattern = declaration.get("AllowedPattern")
    if pattern is not None and not re.fullmatch(pattern, value):
        return f"Parameter '{name}' must match pattern {pattern}"
    allowed = declaration.get("AllowedValues")
    if allowed is not None and value not in map(as_text, allowed):
        return (
            f"Parameter '{name}' must be one of AllowedValues [{', '.join(map(as_text, allowed))}]"
        )
    return None


def _is_list(kind: str) -> bool:
    return kind == "CommaDelimitedList" or kind.startswith("List<")


def _split(value: str) -> list[str]:
    return [part.strip() for part in value.split(",")]
