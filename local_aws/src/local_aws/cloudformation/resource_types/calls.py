"""AWS calls in a template's terms: its names and values become those of the API.

call(client, "CreateProject", {"Name": "build", "TimeoutInMinutes": "30"})
    ->  client.create_project(name="build", timeoutInMinutes=30)
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from botocore import xform_name
from botocore.exceptions import ClientError

from local_aws.cloudformation.intrinsics import intrinsic_of
from local_aws.cloudformation.properties import coerce
from local_aws.cloudformation.resource_types.tags import tag_parameter
from local_aws.errors import AwsError

# How the services say that what is to be deleted is not there.
_GONE = ("NotFound", "NoSuch", "DoesNotExist", "NonExistent")
# And moto, where its codes do not: CodeBuild and others, and Application Auto Scaling.
_GONE_MESSAGES = ("Could not find", "No scalable target", "No scaling policy")


def call(client: Any, operation: str, parameters: Mapping[str, Any]) -> Any:
    """The answer. `parameters` have the template's names; Tags are a dict, whatever the API takes.

    None as a value leaves the parameter out.
    """
    shape = client.meta.service_model.operation_model(operation).input_shape
    given = {name: value for name, value in parameters.items() if value is not None}
    tags = given.pop("Tags", None)
    arguments = api_input(shape, given)
    if tags is not None:
        name = member_named(shape, "Tags")
        assert name is not None
        arguments[name] = tag_parameter(shape.members[name], tags)
    return getattr(client, xform_name(operation))(**arguments)


def call_unless_gone(client: Any, operation: str, parameters: Mapping[str, Any]) -> None:
    """The same for calls that take something away: it may be gone already."""
    try:
        call(client, operation, parameters)
    except ClientError as err:
        if not is_gone(err):
            raise


def is_gone(err: ClientError) -> bool:
    """Whether the service says that the thing doesn't exist."""
    details = err.response["Error"]
    return any(word in details["Code"] for word in _GONE) or any(
        words in details["Message"] for words in _GONE_MESSAGES
    )


def api_input(shape: Any, value: Any) -> Any:
    """`value` with the API's names and types; a document where it takes text becomes JSON."""
    kind = shape.type_name
    if kind == "structure" and isinstance(value, Mapping):
        return dict(_member(shape, key, item) for key, item in value.items())
    if kind == "map" and isinstance(value, Mapping):
        return {key: api_input(shape.value, item) for key, item in value.items()}
    if kind == "list" and isinstance(value, list):
        return [api_input(shape.member, item) for item in value]
    if kind == "string" and isinstance(value, (Mapping, list)):
        return json.dumps(value)
    return coerce(shape, value)


def member_named(shape: Any, name: str) -> str | None:
    """The member that a property of that name means: case doesn't count. None if there is none."""
    if name in shape.members:
        return name
    return next((member for member in shape.members if member.lower() == name.lower()), None)


def _member(shape: Any, key: str, value: Any) -> tuple[str, Any]:
    name = member_named(shape, key)
    if name is None:
        raise AwsError("ValidationError", f"local_aws does not support the property {key} here")
    return name, api_input(shape.members[name], value)


def untaken(shape: Any, raw: Any, path: str = "") -> Iterator[str]:
    """Paths of properties, not evaluated yet, that the API has no member for."""
    intrinsic = intrinsic_of(raw)
    if intrinsic == "Fn::If":
        for branch in raw[intrinsic][1:]:
            yield from untaken(shape, branch, path)
    if intrinsic is not None:
        return
    if shape.type_name == "structure" and isinstance(raw, Mapping):
        for name, value in raw.items():
            member = member_named(shape, name)
            if member is None:
                yield f"{path}/{name}"
            else:
                yield from untaken(shape.members[member], value, f"{path}/{name}")
    elif shape.type_name == "list" and isinstance(raw, list):
        for index, value in enumerate(raw):
            yield from untaken(shape.member, value, f"{path}/{index}")
