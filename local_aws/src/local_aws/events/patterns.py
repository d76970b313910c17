"""Does an event match a pattern.

moto matches. What AWS would not take is refused before, and arrays of objects, which moto doesn't
look into, are offered to it one object at a time.

Source: EventBridge user guide, "Creating event patterns" and "Comparison operators"; the
wording of the refusals is that of PutRule.
"""

from __future__ import annotations

import ipaddress
import itertools
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from moto.events.models import EventPattern

from local_aws.errors import AwsError

_COMPARISONS = ("<", "<=", "=", ">=", ">")
_TEXT_OPERATORS = ("prefix", "suffix", "equals-ignore-case", "wildcard")


@dataclass(frozen=True)
class Pattern:
    """A pattern that AWS would take."""

    text: str
    document: Mapping[str, Any]

    def matches(self, event: Mapping[str, Any]) -> bool:
        """Whether the event, in its envelope, matches."""
        pattern = EventPattern(self.text, dict(self.document))
        return any(pattern.matches_event(variant) for variant in _variants(event))


def parse_pattern(text: str) -> Pattern:
    """Raises InvalidEventPatternException, which names what is wrong or not supported."""
    try:
        document = json.loads(text)
    except ValueError as err:
        raise _invalid("Invalid JSON") from err
    if not isinstance(document, dict):
        raise _invalid("Filter is not an object")
    if not document:
        raise _invalid("Empty event pattern matches everything; name at least one field")
    _check_object(document)
    return Pattern(text, document)


def _check_object(document: Mapping[str, Any]) -> None:
    for name, value in document.items():
        if name == "$or":
            _check_alternatives(value)
        elif isinstance(value, dict):
            if not value:
                raise _invalid("Empty objects are not allowed")
            _check_object(value)
        elif isinstance(value, list):
            if not value:
                raise _invalid("Empty arrays are not allowed")
            for choice in value:
                _check_choice(choice)
        else:
            raise _invalid(f'"{name}" must be an object or an array')


def _check_alternatives(value: object) -> None:
    if not isinstance(value, list) or len(value) < 2:
        raise _invalid("There must have at least 2 Objects in $or relationship.")
    for alternative in value:
        if not isinstance(alternative, dict) or not alternative:
            raise _invalid("Only objects are allowed in $or relationship.")
        _check_object(alternative)


def _check_choice(choice: object) -> None:
    if isinstance(choice, list):
        raise _invalid("Match value must be String, number, true, false, or null")
    if not isinstance(choice, dict):
        return
    if len(choice) != 1:
        raise _invalid("Only one key allowed in match expression")
    ((operator, operand),) = choice.items()
    if operator in ("prefix", "suffix"):
        if isinstance(operand, dict) and list(operand) == ["equals-ignore-case"]:
            operand = operand["equals-ignore-case"]
        _check_text(operator, operand)
    elif operator == "wildcard":
        _check_text(operator, operand)
        if "**" in str(operand):
            raise _invalid("Consecutive wildcard characters at pos " + str(operand.index("**")))
    elif operator == "equals-ignore-case":
        _check_text(operator, operand)
    elif operator == "exists":
        if not isinstance(operand, bool):
            raise _invalid("exists match pattern must be either true or false.")
    elif operator == "numeric":
        _check_numeric(operand)
    elif operator == "cidr":
        _check_cidr(operand)
    elif operator == "anything-but":
        _check_anything_but(operand)
    else:
        raise _invalid(f"Unrecognized match type {operator}")


def _check_text(operator: str, operand: object) -> None:
    if not isinstance(operand, str) or not operand:
        raise _invalid(f"{operator} match pattern must be a string that is not empty")


def _check_numeric(operand: object) -> None:
    if not isinstance(operand, list) or len(operand) not in (2, 4):
        raise _invalid("Value of numeric must be an array of one or two comparisons")
    for comparison, number in zip(operand[::2], operand[1::2], strict=True):
        if comparison not in _COMPARISONS:
            raise _invalid(f"Unrecognized numeric range operator: {comparison}")
        if not isinstance(number, int | float) or isinstance(number, bool):
            raise _invalid(f"Value of {comparison} must be numeric")


def _check_cidr(operand: object) -> None:
    try:
        ipaddress.ip_network(str(operand))
    except ValueError as err:
        raise _invalid(f"Malformed CIDR, one '/' required: {operand} ({err})") from err


def _check_anything_but(operand: object) -> None:
    if isinstance(operand, dict):
        if len(operand) != 1 or next(iter(operand)) not in _TEXT_OPERATORS:
            raise _invalid(f"Unsupported anything-but pattern: {'.'.join(map(str, operand))}")
        ((operator, values),) = operand.items()
        for value in values if isinstance(values, list) else [values]:
            _check_text(operator, value)
        return
    for value in operand if isinstance(operand, list) else [operand]:
        if not isinstance(value, str | int | float) or isinstance(value, bool):
            raise _invalid("Inside anything-but list, only numbers and strings are allowed")
    if operand == []:
        raise _invalid("Empty arrays are not allowed")


def _variants(value: Any) -> Iterator[Any]:
    """The value with one object of each array of objects in the array's place.

    What a pattern says of the fields of an array's objects must hold for one and the same object.
    """
    if isinstance(value, Mapping):
        for values in itertools.product(*(list(_variants(each)) for each in value.values())):
            yield dict(zip(value, values, strict=True))
    elif isinstance(value, list) and any(isinstance(each, Mapping | list) for each in value):
        for each in value:
            yield from _variants(each)
    else:
        yield value


def _invalid(reason: str) -> AwsError:
    return AwsError("InvalidEventPatternException", f"Event pattern is not valid. Reason: {reason}")
