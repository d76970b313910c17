"""A template's Rules, asked before AWS is: what its parameters must not be together.

"Rules" in CloudFormation's user guide. What only an account can tell (Fn::RefAll, Fn::ValueOf, the
Parameter Store) is left to CloudFormation.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mlops.platform.templates import Template, as_text, is_from_parameter_store


class _Unknown(Exception):
    """Only AWS can tell."""


def broken_rules(template: Template, values: Mapping[str, str]) -> list[str]:
    """What the rules say of these parameters: a sentence for each assertion that fails.

    `values` has every parameter of the template.
    """
    known = {
        name: value
        for name, value in values.items()
        if not is_from_parameter_store(template.parameters[name])
    }
    return [
        str(assertion["AssertDescription"])
        for rule in template.rules.values()
        if _may_hold(rule.get("RuleCondition", True), known)
        for assertion in rule["Assertions"]
        if _may_fail(assertion["Assert"], known)
    ]


def _may_hold(condition: Any, values: Mapping[str, str]) -> bool:
    try:
        return _holds(condition, values)
    except _Unknown:
        return False


def _may_fail(condition: Any, values: Mapping[str, str]) -> bool:
    try:
        return not _holds(condition, values)
    except _Unknown:
        return False


def _holds(condition: Any, values: Mapping[str, str]) -> bool:
    if isinstance(condition, bool):
        return condition
    ((function, argument),) = condition.items()
    if function == "Fn::And":
        return all(_holds(each, values) for each in argument)
    if function == "Fn::Or":
        return any(_holds(each, values) for each in argument)
    if function == "Fn::Not":
        return not _holds(argument[0], values)
    if function == "Fn::Equals":
        return _value(argument[0], values) == _value(argument[1], values)
    if function == "Fn::Contains" and isinstance(argument[0], list):
        return _value(argument[1], values) in [_value(each, values) for each in argument[0]]
    raise _Unknown(function)


def _value(raw: Any, values: Mapping[str, str]) -> str:
    if not isinstance(raw, Mapping):
        return as_text(raw)
    name = str(raw.get("Ref"))
    if name not in values:
        raise _Unknown(raw)
    return values[name]
