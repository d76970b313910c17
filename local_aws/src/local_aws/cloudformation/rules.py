"""The section Rules: assertions about parameters, checked before anything else happens.

Functions: CloudFormation user guide, "Rule-specific intrinsic functions". Those that ask the
account for its networks (RefAll, ValueOf, ValueOfAll) are refused: local_aws has no EC2.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from local_aws.cloudformation.intrinsics import PSEUDO_PARAMETERS, as_text
from local_aws.cloudformation.template import Template, format_error
from local_aws.errors import AwsError

_WITHOUT_NETWORKS = frozenset({"Fn::RefAll", "Fn::ValueOf", "Fn::ValueOfAll"})


class RuleEvaluation:
    """The rules of one template, for the values of its parameters."""

    def __init__(
        self,
        parameters: Mapping[str, str | list[str]],
        pseudo: Mapping[str, Any],
    ) -> None:
        self._values = {**pseudo, **parameters}
        self._functions: Mapping[str, Callable[[list[Any]], bool]] = {
            "Fn::And": lambda a: all(map(self.holds, a)),
            "Fn::Contains": lambda a: self._value(a[1]) in self._list(a[0]),
            "Fn::EachMemberEquals": lambda a: all(v == self._value(a[1]) for v in self._list(a[0])),
            "Fn::EachMemberIn": lambda a: set(self._list(a[0])) <= set(self._list(a[1])),
            "Fn::Equals": lambda a: self._value(a[0]) == self._value(a[1]),
            "Fn::Not": lambda a: not self.holds(a[0]),
            "Fn::Or": lambda a: any(map(self.holds, a)),
        }

    def holds(self, raw: Any) -> bool:
        """Whether a condition of a rule is true."""
        name, argument = _function(raw)
        if name not in self._functions:
            raise format_error(f"{name} is not a condition that a rule may have")
        return self._functions[name](argument)

    def _value(self, raw: Any) -> Any:
        if isinstance(raw, list):
            return [self._value(item) for item in raw]
        if not isinstance(raw, Mapping):
            return as_text(raw)
        name, argument = _function(raw)
        if name == "Ref":
            return self._values[argument]
        return self.holds(raw)

    def _list(self, raw: Any) -> list[Any]:
        value = self._value(raw)
        return value if isinstance(value, list) else [value]


def check_rules(
    template: Template,
    parameters: Mapping[str, str | list[str]],
    pseudo: Mapping[str, Any],
) -> None:
    """Raise AwsError ValidationError with the descriptions of all assertions that don't hold."""
    evaluation = RuleEvaluation(parameters, pseudo)
    broken = []
    for name, rule in template.rules.items():
        if "RuleCondition" in rule and not evaluation.holds(rule["RuleCondition"]):
            continue
        broken += [
            f"{name}: {assertion.get('AssertDescription', 'an assertion of the rule is false')}"
            for assertion in rule["Assertions"]
            if not evaluation.holds(assertion["Assert"])
        ]
    if broken:
        raise AwsError("ValidationError", f"Template validation error: {'; '.join(broken)}")


def check_rule_functions(template: Template) -> None:
    """Raise AwsError ValidationError for a rule that is wrong whatever the parameters are."""
    for name, rule in template.rules.items():
        if not isinstance(rule, Mapping) or not isinstance(rule.get("Assertions"), list):
            raise format_error(f"Rule {name} must have a list of Assertions")
        unknown = sorted(set(rule) - {"RuleCondition", "Assertions"})
        if unknown:
            raise format_error(f"Invalid property '{unknown[0]}' of rule {name}")
        for assertion in rule["Assertions"]:
            if not isinstance(assertion, Mapping) or "Assert" not in assertion:
                raise format_error(f"Every assertion of rule {name} must contain Assert")
            _check(template, assertion["Assert"])
        if "RuleCondition" in rule:
            _check(template, rule["RuleCondition"])


def _check(template: Template, raw: Any) -> None:
    if isinstance(raw, list):
        for item in raw:
            _check(template, item)
    if not isinstance(raw, Mapping):
        return
    name, argument = _function(raw)
    if name == "Ref":
        if argument not in template.parameters and argument not in PSEUDO_PARAMETERS:
            raise format_error(f"Unresolved dependencies [{argument}] in the Rules block")
        return
    least = {"Fn::Not": 1}.get(name, 2)
    if not isinstance(argument, list) or len(argument) < least:
        raise format_error(f"{name} in the Rules block takes a list of at least {least} arguments")
    _check(template, argument)


def _function(raw: Any) -> tuple[str, Any]:
    if not isinstance(raw, Mapping) or len(raw) != 1:
        raise format_error(f"{raw!r} in the Rules block is not a function")
    ((name, argument),) = raw.items()
    if name in _WITHOUT_NETWORKS:
        raise format_error(f"local_aws does not support {name}: it has no networks to ask")
    known = ("And", "Contains", "EachMemberEquals", "EachMemberIn", "Equals", "Not", "Or")
    if name != "Ref" and name not in {f"Fn::{function}" for function in known}:
        raise format_error(f"{name} is not a function for the Rules block")
    return name, argument
