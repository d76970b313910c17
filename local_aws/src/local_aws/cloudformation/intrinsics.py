"""CloudFormation's intrinsic functions: what a template's value becomes, and what it refers to.

    Evaluation(template, ...).value({"Fn::Sub": "${Stage}-x"})  ->  "staging-x"
    references({"Fn::Sub": "${Model.ModelName}"})               ->  Reference("Model", "ModelName")

Semantics: CloudFormation user guide, "Intrinsic function reference".
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from local_aws.cloudformation.template import INTRINSICS, Template
from local_aws.errors import AwsError

_SUBSTITUTION = re.compile(r"\$\{([^}]*)\}")
_CONDITION_FUNCTIONS = frozenset({"Condition", "Fn::And", "Fn::Equals", "Fn::Not", "Fn::Or"})
PSEUDO_PARAMETERS = frozenset(
    {
        *("AWS::AccountId", "AWS::NoValue", "AWS::NotificationARNs", "AWS::Partition"),
        *("AWS::Region", "AWS::StackId", "AWS::StackName", "AWS::URLSuffix"),
    }
)


class _NoValue:
    """What `!Ref AWS::NoValue` gives: the property is left out."""


NO_VALUE: Final = _NoValue()


@dataclass(frozen=True)
class Reference:
    """A Ref (`attribute` is None) or a Fn::GetAtt, wherever it stands."""

    name: str
    attribute: str | None = None


class Evaluation:
    """Values of one template for one stack.

    `pseudo`: the pseudo parameters by name; `resource(reference)`: the Ref or attribute of a
    resource that exists.
    """

    def __init__(
        self,
        template: Template,
        *,
        parameters: Mapping[str, str | list[str]],
        pseudo: Mapping[str, Any],
        resource: Callable[[Reference], Any],
    ) -> None:
        self._template = template
        self._parameters = parameters
        self._pseudo = pseudo
        self._resource = resource
        self._functions: Mapping[str, Callable[[Any], Any]] = {
            "Ref": lambda name: self._refer(Reference(name)),
            "Fn::Cidr": self._cidr,
            "Fn::FindInMap": self._find_in_map,
            "Fn::GetAtt": lambda argument: self._refer(attribute_reference(argument)),
            "Fn::GetAZs": lambda region: [
                f"{self.value(region) or self._pseudo['AWS::Region']}{zone}" for zone in "abc"
            ],
            "Fn::If": lambda a: self.value(a[1] if self.condition(a[0]) else a[2]),
            "Fn::Join": lambda a: a[0].join(as_text(item) for item in self.value(a[1])),
            "Fn::Select": self._select,
            "Fn::Split": lambda a: as_text(self.value(a[1])).split(a[0]),
            "Fn::Sub": self._sub,
        }

    def value(self, raw: Any) -> Any:
        """`raw` with every intrinsic function evaluated and every AWS::NoValue left out."""
        if isinstance(raw, list):
            return [item for item in map(self.value, raw) if item is not NO_VALUE]
        if not isinstance(raw, dict):
            return raw
        name = intrinsic_of(raw)
        if name in _CONDITION_FUNCTIONS:
            return self._decide(raw)
        if name is not None:
            return self._functions[name](raw[name])
        values = {key: self.value(item) for key, item in raw.items()}
        return {key: item for key, item in values.items() if item is not NO_VALUE}

    def condition(self, name: str) -> bool:
        """Whether the template's condition of that name holds."""
        return self._decide(self._template.conditions[name])

    def _decide(self, raw: Any) -> bool:
        name = intrinsic_of(raw)
        if name not in _CONDITION_FUNCTIONS or name is None:
            raise AwsError("ValidationError", f"Template error: {raw!r} is not a condition")
        argument = raw[name]
        if name == "Condition":
            return self.condition(argument)
        if name == "Fn::Equals":
            left, right = (self.value(side) for side in argument)
            return bool(_comparable(left) == _comparable(right))
        outcomes = (self._decide(item) for item in argument)
        if name == "Fn::Not":
            return not next(outcomes)
        return all(outcomes) if name == "Fn::And" else any(outcomes)

    def _refer(self, reference: Reference) -> Any:
        if reference.name == "AWS::NoValue":
            return NO_VALUE
        if reference.name in self._pseudo:
            return self._pseudo[reference.name]
        if reference.name in self._parameters:
            return self._parameters[reference.name]
        return self._resource(reference)

    def _find_in_map(self, argument: Any) -> Any:
        name, first, second = (as_text(self.value(item)) for item in argument)
        try:
            return self._template.mappings[name][first][second]
        except KeyError as err:
            raise AwsError(
                "ValidationError",
                f"Template error: Unable to get mapping for {name}::{first}::{second}",
            ) from err

    def _select(self, argument: Any) -> Any:
        index, items = int(self.value(argument[0])), self.value(argument[1])
        if not 0 <= index < len(items):
            raise AwsError(
                "ValidationError",
                f"Template error: Fn::Select cannot select nonexistent value at index {index}",
            )
        return items[index]

    def _sub(self, argument: Any) -> str:
        text, variables = (argument, {}) if isinstance(argument, str) else argument
        values = {key: self.value(item) for key, item in variables.items()}

        def replacement(match: re.Match[str]) -> str:
            name = match[1]
            if name.startswith("!"):
                return "${" + name[1:] + "}"
            if name in values:
                return as_text(values[name])
            return as_text(self._refer(_substituted(name)))

        return _SUBSTITUTION.sub(replacement, text)

    def _cidr(self, argument: Any) -> list[str]:
        block, count, *bits = self.value(argument)
        size = 32 - int(bits[0]) if bits else 24
        subnets = ipaddress.ip_network(block).subnets(new_prefix=size)
        return [str(subnet) for _, subnet in zip(range(int(count)), subnets, strict=False)]


def intrinsic_of(raw: Any) -> str | None:
    """The intrinsic function that `raw` is a call of. AwsError names one that is unknown."""
    if not isinstance(raw, dict) or len(raw) != 1:
        return None
    (name,) = raw
    if name in ("Ref", "Condition"):
        # {"Condition": {...}} is an IAM policy's; a condition's name is text.
        return name if isinstance(raw[name], str) else None
    if not isinstance(name, str) or not name.startswith("Fn::"):
        return None
    if name.removeprefix("Fn::") not in INTRINSICS:
        raise AwsError(
            "ValidationError",
            f"Template error: local_aws does not support the intrinsic function {name}",
        )
    return name


def attribute_reference(argument: Any) -> Reference:
    """What Fn::GetAtt with this argument refers to."""
    parts = argument.split(".", 1) if isinstance(argument, str) else argument
    if (
        not isinstance(parts, list)
        or len(parts) != 2
        or not all(isinstance(p, str) and p for p in parts)
    ):
        raise AwsError(
            "ValidationError",
            "Template error: every Fn::GetAtt object requires two non-empty parameters, "
            "the resource name and the resource attribute",
        )
    return Reference(parts[0], parts[1])


def references(raw: Any) -> Iterator[Reference]:
    """Every Ref and Fn::GetAtt inside `raw`, those in Fn::Sub included, pseudo parameters too."""
    if isinstance(raw, list):
        for item in raw:
            yield from references(item)
    if not isinstance(raw, dict):
        return
    name = intrinsic_of(raw)
    if name == "Ref":
        yield Reference(raw["Ref"])
    elif name == "Fn::GetAtt":
        yield attribute_reference(raw[name])
    elif name == "Fn::Sub":
        text, variables = (raw[name], {}) if isinstance(raw[name], str) else raw[name]
        yield from references(variables)
        for found in _SUBSTITUTION.findall(text):
            if not found.startswith("!") and found not in variables:
                yield _substituted(found)
    else:
        for item in raw.values():
            yield from references(item)


def as_text(value: Any) -> str:
    """A scalar as CloudFormation writes it: true and false in lower case."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def _substituted(name: str) -> Reference:
    resource, dot, attribute = name.partition(".")
    return Reference(resource, attribute if dot else None)


def _comparable(value: Any) -> Any:
    return [as_text(item) for item in value] if isinstance(value, list) else as_text(value)
