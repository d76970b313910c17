"""A CloudFormation template's text, YAML or JSON, as a checked `Template`.

Format as in the CloudFormation user guide, "Template anatomy". What AWS would take and this engine
doesn't (transforms, creation and update policies) is refused by name.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import yaml

from local_aws.errors import AwsError

# AWS's quotas: a body in the request, and one that lies in S3.
BODY_LIMIT_BYTES = 51_200
S3_LIMIT_BYTES = 1_000_000

_SECTIONS = frozenset(
    {
        "AWSTemplateFormatVersion",
        "Description",
        "Metadata",
        "Parameters",
        "Rules",
        "Mappings",
        "Conditions",
        "Resources",
        "Outputs",
    }
)
_UNSUPPORTED_SECTIONS = frozenset({"Transform", "Hooks"})
_RESOURCE_ATTRIBUTES = frozenset(
    {
        "Type",
        "Properties",
        "DependsOn",
        "Condition",
        "DeletionPolicy",
        "UpdateReplacePolicy",
        "Metadata",
    }
)
_UNSUPPORTED_ATTRIBUTES = frozenset({"CreationPolicy", "UpdatePolicy"})
# What a resource may ask for; Snapshot only those that AWS can take one of, none of which is made
# here: a template with them can be read, and no stack of it planned.
_SNAPSHOT_TYPES = frozenset({"AWS::EC2::Volume", "AWS::RDS::DBCluster", "AWS::RDS::DBInstance"})
_POLICIES = {
    "DeletionPolicy": ("Delete", "Retain", "RetainExceptOnCreate"),
    "UpdateReplacePolicy": ("Delete", "Retain"),
}

# The short forms of YAML, `!Ref`; those without the prefix "Fn::" when written out.
_PLAIN_TAGS = frozenset({"Ref", "Condition"})
# (Fn::Length and Fn::ToJsonString need a transform on AWS too.)
INTRINSICS = frozenset(
    {
        *("Cidr", "FindInMap", "GetAtt", "GetAZs", "If", "Join", "Select", "Split", "Sub"),
        *("And", "Or", "Not", "Equals"),
    }
)
# Functions of the section Rules only.
RULE_FUNCTIONS = frozenset(
    {
        *("Contains", "EachMemberEquals", "EachMemberIn"),
        *("RefAll", "ValueOf", "ValueOfAll"),
    }
)


@dataclass(frozen=True, kw_only=True)
class ResourceDeclaration:
    """One entry of the section Resources, its properties not evaluated yet."""

    logical_id: str
    type: str
    properties: Mapping[str, Any]
    depends_on: tuple[str, ...] = ()
    condition: str | None = None
    retained_on_delete: bool = False
    retained_on_rollback: bool = False
    retained_on_replace: bool = False


@dataclass(frozen=True, kw_only=True)
class Template:
    """A template whose outer structure is right; `body` is its text as given."""

    body: str
    description: str | None
    metadata: Mapping[str, Any] | None
    parameters: Mapping[str, Mapping[str, Any]]
    rules: Mapping[str, Any]
    mappings: Mapping[str, Any]
    conditions: Mapping[str, Any]
    resources: Mapping[str, ResourceDeclaration]
    outputs: Mapping[str, Mapping[str, Any]]


def parse_template(body: str) -> Template:
    """The template in `body`. AwsError ValidationError says what is wrong with its format."""
    raw = _load(body)
    unknown = sorted(set(raw) - _SECTIONS - _UNSUPPORTED_SECTIONS)
    if unknown:
        raise format_error(f"Invalid template property or properties [{', '.join(unknown)}]")
    for section in sorted(_UNSUPPORTED_SECTIONS & set(raw)):
        raise format_error(f"local_aws does not support the template section {section}")
    sections = {
        name: _section(raw, name)
        for name in _SECTIONS - {"AWSTemplateFormatVersion", "Description"}
    }
    if not sections["Resources"]:
        raise format_error("At least one Resources member must be defined.")
    for name, parameter in sections["Parameters"].items():
        if not isinstance(parameter, dict) or "Type" not in parameter:
            raise format_error(
                f"Every Parameters object must contain a Type member; {name} does not."
            )
    for name, output in sections["Outputs"].items():
        if not isinstance(output, dict) or "Value" not in output:
            raise format_error(
                f"Every Outputs member must contain a Value object; {name} does not."
            )
        if "Export" in output:
            raise format_error(f"local_aws does not support Export (output {name})")
    return Template(
        body=body,
        description=raw.get("Description"),
        metadata=sections["Metadata"] or None,
        parameters=sections["Parameters"],
        rules=sections["Rules"],
        mappings=sections["Mappings"],
        conditions=sections["Conditions"],
        resources={name: _resource(name, value) for name, value in sections["Resources"].items()},
        outputs=sections["Outputs"],
    )


def format_error(problem: str) -> AwsError:
    """AWS's answer to a template that is wrong in itself."""
    return AwsError("ValidationError", f"Template format error: {problem}")


def _section(raw: Mapping[str, Any], name: str) -> dict[str, Any]:
    value = raw.get(name)
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise format_error(f"{name} section must be a map, not {type(value).__name__}")
    return value


def _resource(logical_id: str, value: Any) -> ResourceDeclaration:
    if logical_id.startswith("Fn::"):
        function = "::".join(logical_id.split("::")[:2])
        raise format_error(f"local_aws does not support the intrinsic function {function}")
    if not logical_id.isalnum():
        raise format_error(f"Resource name {logical_id} is non alphanumeric.")
    if not isinstance(value, dict) or not isinstance(value.get("Type"), str):
        raise format_error(
            f"[/Resources/{logical_id}] Every Resources object must contain a Type member."
        )
    unknown = sorted(set(value) - _RESOURCE_ATTRIBUTES - _UNSUPPORTED_ATTRIBUTES)
    if unknown:
        raise format_error(f"Invalid template resource property '{unknown[0]}' in {logical_id}")
    for name in sorted(_UNSUPPORTED_ATTRIBUTES & set(value)):
        raise format_error(
            f"local_aws does not support the attribute {name} (resource {logical_id})"
        )
    for name, policies in _POLICIES.items():
        if value.get(name, "Delete") == "Snapshot":
            if value["Type"] in _SNAPSHOT_TYPES:
                continue
            raise format_error(
                f"The resource type {value['Type']} does not support {name} Snapshot "
                f"(resource {logical_id})"
            )
        if value.get(name, "Delete") not in policies:
            raise format_error(
                f"local_aws does not support {name} {value[name]!r} (resource {logical_id})"
            )
    properties = value.get("Properties")
    if properties is not None and not isinstance(properties, dict):
        raise format_error(f"[/Resources/{logical_id}/Properties] must be a map")
    depends_on = value.get("DependsOn", [])
    return ResourceDeclaration(
        logical_id=logical_id,
        type=value["Type"],
        properties=properties or {},
        depends_on=(depends_on,) if isinstance(depends_on, str) else tuple(depends_on),
        condition=value.get("Condition"),
        retained_on_delete=value.get("DeletionPolicy", "Delete") != "Delete",
        retained_on_rollback=value.get("DeletionPolicy") == "Retain",
        retained_on_replace=value.get("UpdateReplacePolicy", "Delete") != "Delete",
    )


def _load(body: str) -> dict[str, Any]:
    try:
        if body.lstrip().startswith("{"):
            raw = json.loads(body, object_pairs_hook=_unique)
        else:
            # A SafeLoader with the short forms added; it constructs plain values only.
            raw = yaml.load(body, Loader=_TemplateLoader)  # noqa: S506
    except json.JSONDecodeError as err:
        raise format_error(
            f"JSON not well-formed. (line {err.lineno}, column {err.colno})"
        ) from err
    except yaml.YAMLError as err:
        raise format_error(f"YAML not well-formed. {_where(err)}") from err
    if not isinstance(raw, dict):
        raise format_error("unsupported structure.")
    return raw


def _where(err: yaml.YAMLError) -> str:
    if isinstance(err, yaml.MarkedYAMLError) and err.problem_mark is not None:
        mark = err.problem_mark
        return f"{err.problem} (line {mark.line + 1}, column {mark.column + 1})"
    return str(err)


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result: dict[str, Any] = {}
    for key, value in pairs:
        if key in result:
            raise format_error(f"duplicate key {key!r}")
        result[key] = value
    return result


class _TemplateLoader(yaml.SafeLoader):
    """YAML with CloudFormation's short forms; a key given twice is an error, a date stays text."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = True) -> dict[Any, Any]:
        keys = [self.construct_object(key, deep=True) for key, _ in node.value]
        for index, key in enumerate(keys):
            if key in keys[:index]:
                raise yaml.constructor.ConstructorError(
                    None, None, f"duplicate key {key!r}", node.value[index][0].start_mark
                )
        return super().construct_mapping(node, deep=deep)


def _construct_intrinsic(loader: _TemplateLoader, tag: str, node: yaml.Node) -> dict[str, Any]:
    if tag not in INTRINSICS | _PLAIN_TAGS | RULE_FUNCTIONS:
        raise format_error(f"local_aws does not support the intrinsic function !{tag}")
    value: Any
    if isinstance(node, yaml.ScalarNode):
        value = loader.construct_scalar(node)
    elif isinstance(node, yaml.SequenceNode):
        value = loader.construct_sequence(node, deep=True)
    else:
        assert isinstance(node, yaml.MappingNode)
        value = loader.construct_mapping(node, deep=True)
    if tag == "GetAtt" and isinstance(value, str):
        value = value.split(".", 1)
    return {tag if tag in _PLAIN_TAGS else f"Fn::{tag}": value}


def _construct_text(loader: _TemplateLoader, node: yaml.Node) -> str:
    assert isinstance(node, yaml.ScalarNode)
    return str(loader.construct_scalar(node))


_TemplateLoader.add_multi_constructor("!", _construct_intrinsic)
_TemplateLoader.add_constructor("tag:yaml.org,2002:timestamp", _construct_text)
