"""Pipeline parameters: declared in the definition, given as text at the start, typed here."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from local_aws.errors import AwsError
from local_aws.sagemaker.pipelines.expressions import as_text

TYPES = ("String", "Integer", "Float", "Boolean")
_INTEGER = re.compile(r"[+-]?\d+")


@dataclass(frozen=True, kw_only=True)
class Parameter:
    """A declared parameter; `default` is None if the caller must give a value."""

    name: str
    type: str
    default: Any = None
    allowed: tuple[str, ...] = ()


def parameter_values(
    declared: Sequence[Parameter], given: Sequence[Mapping[str, str]]
) -> dict[str, Any]:
    """The value of each declared parameter, as str, int, float or bool.

    Raises AwsError (ValidationException) with all that is wrong: unknown names, names given twice,
    values missing, empty, of another type or not among the allowed ones.
    """
    by_name = {parameter.name: parameter for parameter in declared}
    texts = {item["Name"]: item["Value"] for item in given}
    problems = [
        f"Pipeline parameter {name!r} is given twice"
        for name, times in Counter(item["Name"] for item in given).items()
        if times > 1
    ]
    for name in sorted(set(texts) - set(by_name)):
        there = ", ".join(sorted(by_name)) or "none"
        problems.append(f"Pipeline parameter {name!r} is not defined; defined are: {there}")
    values = {}
    for parameter in declared:
        try:
            values[parameter.name] = _value(parameter, texts.get(parameter.name))
        except ValueError as err:
            problems.append(str(err))
    if problems:
        raise AwsError("ValidationException", ". ".join(problems))
    return values


def _value(parameter: Parameter, text: str | None) -> Any:
    if text is None:
        if parameter.default is None:
            raise ValueError(f"Pipeline parameter {parameter.name!r} must have a value: no default")
        text = as_text(parameter.default)
    if not text:
        raise ValueError(
            f"Pipeline parameter {parameter.name!r}: "
            '[string "" is too short (length: 0, required minimum: 1)]'
        )
    value = _typed(parameter.type, text)
    if value is None:
        raise ValueError(
            f"Pipeline parameter {parameter.name!r} is of type {parameter.type}; {text!r} is not"
        )
    if parameter.allowed and text not in parameter.allowed:
        raise ValueError(
            f"Pipeline parameter {parameter.name!r} is {text!r}, "
            f"not one of {', '.join(parameter.allowed)}"
        )
    return value


def _typed(kind: str, text: str) -> Any:
    """The value that `text` writes, None if it is not of that type."""
    if kind == "Integer":
        return int(text) if _INTEGER.fullmatch(text) else None
    if kind == "Boolean":
        return {"true": True, "false": False}.get(text.lower())
    if kind == "Float":
        try:
            number = float(text)
        except ValueError:
            return None
        return number if math.isfinite(number) else None
    return text
