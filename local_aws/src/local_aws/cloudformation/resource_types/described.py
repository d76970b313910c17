"""A resource type with its published schema: names, types, replacement, kind of tags.

The schemas are AWS's own (CloudFormation registry), as cfn-lint brings them for its checks; moto's
server needs cfn-lint, so they are there. Create-only properties are those that replace.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from local_aws.cloudformation.properties import coerce, property_problems
from local_aws.cloudformation.resource_types.resource_type import Physical, Provisioner
from local_aws.own_aws import REGION

_SCALARS = {"string": "string", "integer": "integer", "number": "double", "boolean": "boolean"}


@dataclass(frozen=True)
class SchemaShape:
    """A node of a JSON schema in the manner of botocore's shapes; "any" where it is not simple."""

    node: Mapping[str, Any]
    root: Mapping[str, Any]

    @property
    def type_name(self) -> str:
        kind = self.node.get("type", "object" if "properties" in self.node else None)
        if not isinstance(kind, str):
            return "any"
        if kind == "object":
            return "structure" if "properties" in self.node else "map" if self._values else "any"
        if kind == "array":
            return "list" if isinstance(self.node.get("items"), Mapping) else "any"
        return _SCALARS.get(kind, "any")

    @property
    def members(self) -> Mapping[str, SchemaShape]:
        return {name: self._at(node) for name, node in self.node["properties"].items()}

    @property
    def required_members(self) -> list[str]:
        return list(self.node.get("required", []))

    @property
    def member(self) -> SchemaShape:
        return self._at(self.node["items"])

    @property
    def value(self) -> SchemaShape:
        assert self._values is not None
        return self._at(self._values)

    @property
    def _values(self) -> Mapping[str, Any] | None:
        found = [*self.node.get("patternProperties", {}).values()]
        found.append(self.node.get("additionalProperties"))
        return next((node for node in found if isinstance(node, Mapping)), None)

    def _at(self, node: Mapping[str, Any]) -> SchemaShape:
        target: Any = node
        while "$ref" in target:
            path = target["$ref"].removeprefix("#/").split("/")
            target = functools.reduce(lambda at, key: at[key], path, self.root)
        return SchemaShape(target, self.root)


@functools.cache
def schema_of(resource_type: str) -> Mapping[str, Any]:
    """The published schema of a resource type."""
    # Heavy (0.9 s), and nothing but a stack needs it.
    from cfnlint.schema import PROVIDER_SCHEMA_MANAGER

    return dict(PROVIDER_SCHEMA_MANAGER.get_resource_schema(REGION, resource_type).schema)


@functools.cache
def shape_of(resource_type: str) -> SchemaShape:
    """The properties that a template may give to the type."""
    schema = schema_of(resource_type)
    given = {
        name: node
        for name, node in schema["properties"].items()
        if f"/properties/{name}" not in schema.get("readOnlyProperties", [])
    }
    node = {"type": "object", "properties": given, "required": schema.get("required", [])}
    return SchemaShape(node, schema)


@dataclass(frozen=True, kw_only=True)
class DescribedType:
    """What the schema tells of a type, and how little a simple type has to add.

    Subclasses say how it comes into being and goes (`create`, `delete`), and `arrange`, which
    brings an existing one from old properties to new ones; those of a new one are empty.
    """

    type: str
    # The property that names it, and what Fn::GetAtt may ask for.
    named_by: str = ""
    attributes: frozenset[str] = frozenset()
    # Properties that nothing here acts on.
    refused: frozenset[str] = frozenset()
    # Properties whose change replaces although the schema doesn't say so.
    replaced_by: frozenset[str] = frozenset()
    # Properties that stay as they are as long as the thing exists.
    immutable: frozenset[str] = frozenset()

    @property
    def tag_form(self) -> str | None:
        tags = shape_of(self.type).members.get("Tags")
        return None if tags is None else "list" if tags.type_name == "list" else "map"

    def problems(self, provisioner: Provisioner, raw: Mapping[str, Any]) -> list[str]:  # noqa: ARG002
        found = property_problems(shape_of(self.type), raw)
        return found + [
            f"local_aws does not support the property {name} of {self.type}"
            for name in sorted(self.refused & set(raw))
        ]

    def typed(self, properties: Mapping[str, Any]) -> dict[str, Any]:
        return dict(coerce(shape_of(self.type), properties))

    def replaces(self, old: Mapping[str, Any], new: Mapping[str, Any]) -> bool:
        create_only = {
            path.split("/")[2] for path in schema_of(self.type).get("createOnlyProperties", [])
        }
        return bool(changed(old, new) & (create_only | self.replaced_by))

    def refusal(self, old: Mapping[str, Any], new: Mapping[str, Any]) -> str | None:
        fixed = sorted(self.immutable & changed(old, new))
        if not fixed:
            return None
        return (
            f"You cannot update the property {fixed[0]} of an existing {self.type}. "
            "Use another logical ID to make a new one."
        )

    def custom_name(self, properties: Mapping[str, Any]) -> str | None:
        return properties.get(self.named_by)

    def furnish(self, by: Provisioner, physical: Physical, properties: Mapping[str, Any]) -> None:
        self.arrange(by, physical, {}, properties)

    def update(
        self, by: Provisioner, physical: Physical, old: Mapping[str, Any], new: Mapping[str, Any]
    ) -> None:
        self.arrange(by, physical, old, new)

    def renewed(self, physical: Physical, properties: Mapping[str, Any]) -> Physical:  # noqa: ARG002
        return physical

    def settle(self, by: Provisioner, physical: Physical, properties: Mapping[str, Any]) -> None:
        """Nothing to wait for."""

    def remark(self, by: Provisioner, properties: Mapping[str, Any]) -> str:  # noqa: ARG002
        return ""

    def arrange(
        self, by: Provisioner, physical: Physical, old: Mapping[str, Any], new: Mapping[str, Any]
    ) -> None:
        """Nothing beside the first call; `old` is empty for a new one."""


@dataclass(frozen=True, kw_only=True)
class AttachedPolicy(DescribedType):
    """A policy that exists only on other resources: all of it is `arrange`; its id is made up."""

    def create(self, by: Provisioner, properties: Mapping[str, Any], name: str) -> Physical:  # noqa: ARG002
        return Physical(name, {"Id": name})

    def delete(self, by: Provisioner, physical: Physical, properties: Mapping[str, Any]) -> None:
        self.arrange(by, physical, properties, {})


def changed(old: Mapping[str, Any], new: Mapping[str, Any]) -> set[str]:
    """Names of the properties that differ."""
    return {key for key in {*old, *new} if old.get(key) != new.get(key)}
