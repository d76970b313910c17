"""What a rule's target gets of an event: all of it, a text, a part of it, or a text made of parts.

Source: EventBridge user guide, "Amazon EventBridge input transformation".
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from jsonpath_ng.exceptions import JSONPathError
from jsonpath_ng.parser import parse as parse_path

from local_aws.errors import AwsError

_PLACEHOLDER = re.compile(r"<([A-Za-z0-9_.-]+)>")
_WAYS = ("Input", "InputPath", "InputTransformer")


class InputError(Exception):
    """This event has nothing for the target; the message is the reason."""


def check_input(target: Mapping[str, Any]) -> None:
    """Raise ValidationException for what PutTargets would refuse of the target's input."""
    ways = [way for way in _WAYS if way in target]
    if len(ways) > 1:
        raise _invalid(target, f"Only one of Input, InputPath, or InputTransformer must be "
                               f"provided for target {target['Id']}.")  # fmt: skip
    if "Input" in target:
        try:
            json.loads(target["Input"])
        except ValueError as err:
            raise _invalid(target, "JSON syntax error in input for target") from err
    if "InputPath" in target:
        _check_path(target, target["InputPath"])
    transformer = target.get("InputTransformer", {})
    for name, path in transformer.get("InputPathsMap", {}).items():
        if not _PLACEHOLDER.fullmatch(f"<{name}>") or name.upper().startswith("AWS"):
            raise _invalid(target, f"InputPathsMap: {name!r} can't be the name of a variable")
        _check_path(target, path)
    known = {*transformer.get("InputPathsMap", {}), *_reserved({}, "", "")}
    for name in _PLACEHOLDER.findall(transformer.get("InputTemplate", "")):
        if name not in known:
            raise _invalid(
                target,
                f"Invalid InputTemplate for target {target['Id']} : [Placeholder {name} is not in "
                "InputPathsMap]",
            )


def target_input(
    target: Mapping[str, Any], event: Mapping[str, Any], *, rule_name: str, rule_arn: str
) -> str:
    """The text that the target gets. Raises InputError."""
    if "Input" in target:
        return str(target["Input"])
    if "InputPath" in target:
        found = _find(target["InputPath"], event)
        if not found:
            raise InputError(f"InputPath {target['InputPath']} names nothing in the event")
        return json.dumps(found[0])
    if "InputTransformer" in target:
        transformer = target["InputTransformer"]
        values = _reserved(event, rule_name, rule_arn)
        for name, path in transformer.get("InputPathsMap", {}).items():
            found = _find(path, event)
            if found:
                values[name] = found if "*" in path else found[0]
        return _fill(transformer["InputTemplate"], values)
    return json.dumps(event)


def is_customised(target: Mapping[str, Any]) -> bool:
    """Whether the target gets something else than the event."""
    return any(way in target for way in _WAYS)


def _fill(template: str, values: Mapping[str, Any]) -> str:
    """The template with its variables; what has no value is left out.

    Between quotes a value is part of the string, elsewhere it is JSON of its own.
    """
    filled: list[str] = []
    position, in_string = 0, False
    for placeholder in _PLACEHOLDER.finditer(template):
        before = template[position : placeholder.start()]
        in_string ^= len(re.findall(r'(?<!\\)"', before)) % 2 == 1
        filled.append(before)
        position = placeholder.end()
        if placeholder[1] not in values:
            continue
        value = values[placeholder[1]]
        if not in_string:
            filled.append(json.dumps(value))
        elif isinstance(value, str):
            filled.append(json.dumps(value)[1:-1])
        else:
            filled.append(json.dumps(json.dumps(value))[1:-1])
    return "".join(filled) + template[position:]


def _reserved(event: Mapping[str, Any], rule_name: str, rule_arn: str) -> dict[str, Any]:
    """The variables that every template has."""
    return {
        "aws.events.rule-arn": rule_arn,
        "aws.events.rule-name": rule_name,
        "aws.events.event.ingestion-time": event.get("time", ""),
        "aws.events.event": {name: value for name, value in event.items() if name != "detail"},
        "aws.events.event.json": event,
    }


def _find(path: str, event: Mapping[str, Any]) -> list[Any]:
    return [match.value for match in parse_path(path).find(event)]


def _check_path(target: Mapping[str, Any], path: str) -> None:
    try:
        parse_path(path)
        valid = path.startswith("$")
    except JSONPathError:
        valid = False
    if not valid:
        raise _invalid(target, f"Invalid JSONPath {path!r}; it starts with $")


def _invalid(target: Mapping[str, Any], reason: str) -> AwsError:
    return AwsError("ValidationException", f"{reason} (target {target['Id']})")
