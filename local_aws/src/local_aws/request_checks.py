"""A request held against its service's model, as AWS does before it looks at anything else.

botocore checks types, what is required, and minimums; the models know maximums, patterns and enums
as well. Source of the words: "1 validation error detected: Value 'a.b' at 'modelName' failed to
satisfy constraint: Member must ...", as AWS's services answer.
"""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

import regex  # type: ignore[import-untyped]
from botocore.model import ListShape, MapShape, OperationModel, Shape, StructureShape

from local_aws.errors import AwsError

_TYPES: Mapping[str, type | tuple[type, ...]] = {
    "structure": dict,
    "map": dict,
    "list": list,
    "string": str,
    "boolean": bool,
    "integer": int,
    "long": int,
    "float": (int, float),
    "double": (int, float),
}
# What services call a member that breaks a constraint; the others call it as their protocol does.
_CODES = {
    "ecr": "InvalidParameterException",
    "logs": "InvalidParameterException",
    "sns": "InvalidParameter",
    "sqs": "InvalidParameterValue",
}
_MOST_TAGS = 50
_LONGEST_KEY, _LONGEST_VALUE = 128, 256
_SHOWN = 200
_MOST_SECONDS = 1.0
_TOO_MANY = ("TooManyTagsException",)
_NOT_YOURS = (
    "InvalidSystemTagUsageException",
    "InvalidTagsException",
    "InvalidTagParameterException",
)
_NO_TAG = ("InvalidTagsMapException", "InvalidTagsException", "InvalidTagParameterException")
# (errors of which one says it, where the service has it; what is said)
_Fault = tuple[tuple[str, ...], str]


def check_request(model: OperationModel, params: Mapping[str, Any]) -> None:
    """Raise AwsError for parameters that break a constraint of the operation's model."""
    if model.input_shape is None:
        return
    faults = [*_faults(model.input_shape, params, ())]
    if not faults:
        faults = [*_faults_of_tags(model.input_shape, params)]
    if faults:
        said = "; ".join(text for _, text in faults)
        plural = "s" if len(faults) > 1 else ""
        raise AwsError(
            _code(model, faults[0][0]), f"{len(faults)} validation error{plural} detected: {said}"
        )


@functools.cache
def compiled(pattern: str) -> regex.Pattern[str] | None:
    """A model's pattern, which may be Java's; None for one that is none here."""
    try:
        return regex.compile(pattern)
    except regex.error:
        return None


def _code(model: OperationModel, special: tuple[str, ...]) -> str:
    known = {error.name for error in model.error_shapes}
    for code in special:
        if code in known:
            return code
    service = model.service_model
    query = service.resolved_protocol in ("query", "ec2")
    return _CODES.get(service.signing_name, "ValidationError" if query else "ValidationException")


def _special(path: tuple[str, ...], *forms: str) -> tuple[str, ...]:
    """Some services have an error for each member: InvalidRepositoryNameException."""
    if path and path[0].lower() == "tags":
        return _NO_TAG
    named = [part for part in path if not part.isdigit() and part != "member"]
    member = named[-1][:1].upper() + named[-1][1:] if named else ""
    return tuple(form.format(member) for form in forms)


def _faults(shape: Shape, value: Any, path: tuple[str, ...]) -> Iterator[_Fault]:
    wanted = _TYPES.get(shape.type_name)
    if wanted is not None and not _is_a(value, wanted):
        where = ".".join(path) or "the request"
        kind = type(value).__name__
        raise AwsError(
            "SerializationException", f"{where}: {kind} can not be converted to {shape.type_name}"
        )
    shown = "(hidden)" if shape.metadata.get("sensitive") else value
    special = _special(path, "Invalid{}Exception", "{}SizeLimitExceededException")
    yield from ((special, _said(shown, path, rule)) for rule in _broken(shape, value))
    if isinstance(shape, StructureShape):
        given = {name: item for name, item in value.items() if item is not None}
        for name in shape.required_members:
            if name not in given:
                inner = (*path, _low(name))
                missing = _special(inner, "{}RequiredException")
                yield missing, _said(None, inner, "Member must not be null")
        if shape.is_tagged_union and len(given) != 1:
            yield special, _said(value, path, "Member must have exactly one of its members set")
        for name, item in given.items():
            if name in shape.members:
                yield from _faults(shape.members[name], item, (*path, _low(name)))
    elif isinstance(shape, ListShape):
        for number, item in enumerate(value, 1):
            yield from _faults(shape.member, item, (*path, str(number), "member"))
    elif isinstance(shape, MapShape):
        for key, item in value.items():
            yield from _faults(shape.key, key, (*path, key))
            yield from _faults(shape.value, item, (*path, key, "member"))


def _is_a(value: Any, wanted: type | tuple[type, ...]) -> bool:
    if isinstance(value, bool):
        return wanted is bool
    return isinstance(value, wanted)


def _broken(shape: Shape, value: Any) -> Iterator[str]:
    """The constraints of the shape that the value breaks."""
    limits = shape.metadata
    if isinstance(value, int | float) and not isinstance(value, bool):
        size, what = value, "value"
    elif isinstance(value, str | bytes | list | dict):
        size, what = len(value), "length"
    else:
        return
    if "min" in limits and size < limits["min"]:
        yield f"Member must have {what} greater than or equal to {limits['min']}"
    if "max" in limits and size > limits["max"]:
        yield f"Member must have {what} less than or equal to {limits['max']}"
        return
    if not isinstance(value, str):
        return
    if "enum" in limits and value not in limits["enum"]:
        yield f"Member must satisfy enum value set: [{', '.join(limits['enum'])}]"
    if "pattern" in limits and not _fits(limits["pattern"], value):
        yield f"Member must satisfy regular expression pattern: {limits['pattern']}"


def _fits(text: str, value: str) -> bool:
    pattern = compiled(text)
    try:
        return pattern is None or bool(pattern.fullmatch(value, timeout=_MOST_SECONDS))
    except TimeoutError:  # some models' patterns try for ever on what just misses them
        return False


def _faults_of_tags(shape: Shape, params: Mapping[str, Any]) -> Iterator[_Fault]:
    """What holds for tags everywhere, where a model says nothing of it."""
    for name, value in params.items():
        if name.lower() != "tags" or not value or name not in shape.members:
            continue
        tags, place = _pairs(value), (_low(name),)
        most = shape.members[name].metadata.get("max", _MOST_TAGS)
        if len(tags) > most:
            yield _TOO_MANY, _said(value, place, f"Member must have at most {most} tags")
        for key, text in tags:
            if key.lower().startswith("aws:"):
                yield _NOT_YOURS, _said(key, place, "Keys may not begin with aws:")
            if not key or len(key) > _LONGEST_KEY or len(text) > _LONGEST_VALUE:
                rule = f"Keys have 1 to {_LONGEST_KEY} characters, values up to {_LONGEST_VALUE}"
                yield _NO_TAG, _said(key, place, rule)
        for key, count in Counter(key for key, _ in tags).items():
            if count > 1:
                yield _NO_TAG, _said(key, place, "Tag keys must be unique")


def _pairs(value: Any) -> list[tuple[str, str]]:
    """The tags of a list or a map; an empty list for something else of that name."""
    if isinstance(value, dict):
        return [(key, text) for key, text in value.items() if isinstance(text, str)]
    pairs = []
    for tag in value:
        named = {name.lower().removeprefix("tag"): text for name, text in tag.items()}
        if "key" in named:
            pairs.append((named["key"], named.get("value") or ""))
    return pairs


def _said(value: Any, path: tuple[str, ...], rule: str) -> str:
    text = str(value)
    shown = "null" if value is None else f"'{text[:_SHOWN]}{'...' if len(text) > _SHOWN else ''}'"
    return f"Value {shown} at '{'.'.join(path)}' failed to satisfy constraint: {rule}"


def _low(name: str) -> str:
    """A member as the messages name it."""
    return name[:1].lower() + name[1:]
