"""A resource's properties and a shape: unknown names found, scalars typed.

A shape is botocore's, or a node of a resource type's schema in the same form.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from local_aws.cloudformation.intrinsics import as_text, intrinsic_of
from local_aws.errors import AwsError

_INTEGERS = frozenset({"integer", "long"})
_FLOATS = frozenset({"float", "double"})


def property_problems(shape: Any, raw: Any) -> list[str]:
    """What CloudFormation would reject in properties that are not evaluated yet."""
    return list(_problems(shape, raw, ""))


def coerce(shape: Any, value: Any, path: str = "#") -> Any:
    """`value` with its scalars in the shape's types: parameters of a template arrive as text."""
    kind = shape.type_name
    if kind == "any":
        return value
    if kind == "structure" and isinstance(value, Mapping):
        return {k: coerce(shape.members[k], v, f"{path}/{k}") for k, v in value.items()}
    if kind == "map" and isinstance(value, Mapping):
        return {as_text(k): coerce(shape.value, v, f"{path}/{k}") for k, v in value.items()}
    if kind == "list" and isinstance(value, list):
        return [coerce(shape.member, v, f"{path}/{i}") for i, v in enumerate(value)]
    if kind in ("structure", "map", "list") or isinstance(value, (Mapping, list)):
        raise _mistyped(kind, value, path)
    try:
        if kind in _INTEGERS:
            return int(value)
        if kind in _FLOATS:
            return float(value)
    except ValueError as err:
        raise _mistyped(kind, value, path) from err
    if kind == "boolean":
        if as_text(value) not in ("true", "false"):
            raise _mistyped(kind, value, path)
        return as_text(value) == "true"
    return as_text(value) if kind == "string" else value


def _problems(shape: Any, raw: Any, path: str) -> Iterator[str]:
    intrinsic = intrinsic_of(raw)
    if intrinsic == "Fn::If":
        for branch in raw[intrinsic][1:]:
            yield from _problems(shape, branch, path)
    if intrinsic is not None or shape.type_name == "any":
        return
    if shape.type_name == "structure" and isinstance(raw, Mapping):
        for name in sorted(set(raw) - set(shape.members)):
            yield f"#{path}: extraneous key [{name}] is not permitted"
        for name in shape.required_members:
            if name not in raw:
                yield f"#{path}: required key [{name}] not found"
        for name, value in raw.items():
            if name in shape.members:
                yield from _problems(shape.members[name], value, f"{path}/{name}")
    elif shape.type_name == "list" and isinstance(raw, list):
        for index, value in enumerate(raw):
            yield from _problems(shape.member, value, f"{path}/{index}")
    elif shape.type_name in ("structure", "list", "map") and not isinstance(raw, Mapping):
        yield f"#{path}: expected type: {_JSON_TYPES[shape.type_name]}, found: {type(raw).__name__}"
    elif shape.type_name not in ("structure", "map") and isinstance(raw, (Mapping, list)):
        yield f"#{path}: expected type: {_json_type(shape.type_name)}, found: {type(raw).__name__}"


_JSON_TYPES = {"structure": "JSONObject", "map": "JSONObject", "list": "JSONArray"}


def _json_type(kind: str) -> str:
    return _JSON_TYPES.get(kind, kind.capitalize())


def _mistyped(kind: str, value: Any, path: str) -> AwsError:
    return AwsError(
        "ValidationError",
        f"Properties validation failed with message: {path}: "
        f"expected type: {_json_type(kind)}, found: {value!r}",
    )
