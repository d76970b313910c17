"""The conditions of a Condition step: true or false."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from local_aws.sagemaker.pipelines.expressions import ExpressionError, Scope, resolve

_ORDER: dict[str, Callable[[Any, Any], bool]] = {
    "GreaterThan": operator.gt,
    "GreaterThanOrEqualTo": operator.ge,
    "LessThan": operator.lt,
    "LessThanOrEqualTo": operator.le,
}
_MEMBERS = {
    "Equals": ("LeftValue", "RightValue"),
    **dict.fromkeys(_ORDER, ("LeftValue", "RightValue")),
    "In": ("QueryValue", "Values"),
    "Not": ("Condition",),
    "Or": ("Conditions",),
}


def is_true(condition: Mapping[str, Any], scope: Scope) -> bool:
    """Whether the condition holds; raises ExpressionError for values that can't be compared."""
    kind = condition["Type"]
    if kind == "Not":
        return not is_true(condition["Condition"], scope)
    if kind == "Or":
        return any(is_true(alternative, scope) for alternative in condition["Conditions"])
    if kind == "In":
        sought = resolve(condition["QueryValue"], scope)
        return any(_equal(sought, item) for item in resolve(condition["Values"], scope))
    left = resolve(condition["LeftValue"], scope)
    right = resolve(condition["RightValue"], scope)
    if kind == "Equals":
        return _equal(left, right)
    if not _ordered(left, right):
        raise ExpressionError(
            f"{kind} can't compare {left!r} ({_kind(left)}) with {right!r} ({_kind(right)})"
        )
    return _ORDER[kind](left, right)


def problems_of(condition: Any) -> Iterator[str]:
    """What is wrong with the form of a condition, nested ones included; nothing if it is fine."""
    if not isinstance(condition, Mapping) or condition.get("Type") not in _MEMBERS:
        kind = condition.get("Type") if isinstance(condition, Mapping) else condition
        yield f"unknown condition type {kind!r}; there are {', '.join(_MEMBERS)}"
        return
    missing = [member for member in _MEMBERS[condition["Type"]] if member not in condition]
    if missing:
        yield f"a condition of type {condition['Type']} has no {', '.join(missing)}"
        return
    if condition["Type"] == "Not":
        yield from problems_of(condition["Condition"])
    elif condition["Type"] == "Or":
        for alternative in condition["Conditions"]:
            yield from problems_of(alternative)


def _equal(left: Any, right: Any) -> bool:
    # Python says True == 1; a pipeline does not.
    return isinstance(left, bool) == isinstance(right, bool) and bool(left == right)


def _ordered(left: Any, right: Any) -> bool:
    return _kind(left) == _kind(right) and _kind(left) in ("number", "text")


def _kind(value: Any) -> str:
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, int | float):
        return "number"
    return "text" if isinstance(value, str) else type(value).__name__
