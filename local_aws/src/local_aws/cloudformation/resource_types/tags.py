"""Tags in the forms that templates and APIs have for them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from botocore import xform_name

# Services whose operations on tags are not TagResource and UntagResource:
# add, remove, the parameter that names the resource, further ones.
_OWN_OPERATIONS: Mapping[str, tuple[str, str, str, Mapping[str, str]]] = {
    "sagemaker": ("AddTags", "DeleteTags", "ResourceArn", {}),
    "sqs": ("TagQueue", "UntagQueue", "QueueUrl", {}),
    "ssm": (
        "AddTagsToResource",
        "RemoveTagsFromResource",
        "ResourceId",
        {"ResourceType": "Parameter"},
    ),
    "iam": ("TagRole", "UntagRole", "RoleName", {}),
}


def tags_in(properties: Mapping[str, Any]) -> dict[str, str]:
    """The property Tags, list or map, as a dict."""
    tags = properties.get("Tags") or {}
    if isinstance(tags, Mapping):
        return dict(tags)
    return {tag["Key"]: tag["Value"] for tag in tags}


def tag_parameter(shape: Any, tags: Mapping[str, str]) -> Any:
    """The tags as the API's parameter of that shape takes them."""
    if shape.type_name == "map":
        return dict(tags)
    key, value = shape.member.members  # Key and Value, key and value, TagKey and TagValue
    return [{key: name, value: text} for name, text in tags.items()]


def retag(client: Any, resource: str, old: Mapping[str, str], new: Mapping[str, str]) -> None:
    """Change a resource's tags; `resource` is its ARN, or what its service names it by."""
    # A tag that changes is removed too: moto's own AddTags would keep both values.
    outdated = sorted(key for key, value in old.items() if new.get(key) != value)
    added = {key: value for key, value in new.items() if old.get(key) != value}
    model = client.meta.service_model
    add, remove, named_by, further = _OWN_OPERATIONS.get(
        model.service_name, ("TagResource", "UntagResource", "", {})
    )
    if outdated:
        shape = model.operation_model(remove).input_shape
        keys = next(name for name in shape.members if name.lower() == "tagkeys")
        target = named_by or _other_member(shape, keys)
        getattr(client, xform_name(remove))(**{target: resource, keys: outdated}, **further)
    if added:
        shape = model.operation_model(add).input_shape
        tags = next(name for name in shape.members if name.lower() == "tags")
        target = named_by or _other_member(shape, tags)
        parameter = tag_parameter(shape.members[tags], added)
        getattr(client, xform_name(add))(**{target: resource, tags: parameter}, **further)


def _other_member(shape: Any, known: str) -> str:
    return str(next(name for name in shape.members if name != known))
