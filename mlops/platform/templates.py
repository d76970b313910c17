"""CloudFormation templates as text and as data, without their functions evaluated."""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from mlops.errors import InputError

try:  # ten times as fast
    from yaml import CSafeLoader as SafeLoader
except ImportError:
    from yaml import SafeLoader  # type: ignore[assignment]

INFRA_DIR = Path(__file__).resolve().parents[2] / "infra"
# A request may carry no more; larger templates are read from S3. "CloudFormation quotas".
BODY_LIMIT_BYTES = 51_200
_SSM_TYPE = "AWS::SSM::Parameter::Value<"
# Types that CloudFormation takes a snapshot of unless told otherwise: "DeletionPolicy attribute".
_SNAPSHOT_BY_DEFAULT = {"AWS::RDS::DBCluster", "AWS::RDS::DBInstance"}


@dataclass(frozen=True, kw_only=True)
class Template:
    """A template's text, and what it declares."""

    body: str
    parameters: Mapping[str, Mapping[str, Any]]
    resources: Mapping[str, Mapping[str, Any]]
    rules: Mapping[str, Mapping[str, Any]]

    @property
    def too_large_for_a_request(self) -> bool:
        """It has to go through S3."""
        return len(self.body.encode()) > BODY_LIMIT_BYTES

    def deletion_policy(self, logical_id: str) -> str:
        """What becomes of the resource when its stack is deleted: Delete, Retain, Snapshot."""
        resource = self.resources.get(logical_id, {})
        default = "Snapshot" if resource.get("Type") in _SNAPSHOT_BY_DEFAULT else "Delete"
        policy = str(resource.get("DeletionPolicy", default))
        return "Retain" if policy == "RetainExceptOnCreate" else policy


@functools.cache
def read_template(name: str) -> Template:
    """A template of infra/, such as `platform/network.yml`; InputError where it is none."""
    path = INFRA_DIR / name
    try:
        return parse_template(path.read_text())
    except (OSError, yaml.YAMLError) as err:
        raise InputError(f"can not read the template {path}: {err}") from err


def parse_template(body: str | Mapping[str, Any]) -> Template:
    """A template from its text; boto3 hands out those written in JSON as data."""
    text = body if isinstance(body, str) else json.dumps(body)
    # A SafeLoader: nothing but plain data comes out.
    content = yaml.load(text, Loader=_Loader)  # noqa: S506
    return Template(
        body=text,
        parameters=content.get("Parameters", {}),
        resources=content["Resources"],
        rules=content.get("Rules", {}),
    )


def is_from_parameter_store(declared: Mapping[str, Any]) -> bool:
    """Whether the parameter's value names a parameter of the Parameter Store."""
    return str(declared["Type"]).startswith(_SSM_TYPE)


def problem_of_value(declared: Mapping[str, Any], value: str) -> str | None:
    """Why CloudFormation would refuse the value, None if it would not.

    "Parameters" in its user guide. Whether a named resource exists, only AWS can tell; so can
    the template's Rules.
    """
    kind = str(declared["Type"])
    allowed = [as_text(each) for each in declared.get("AllowedValues", [])]
    if allowed and value not in allowed:
        return f"is none of {', '.join(allowed)}"
    if kind == "Number":
        return _problem_of_number(declared, value)
    pattern = declared.get("AllowedPattern")
    if pattern is not None and not re.fullmatch(str(pattern), value):
        return f"does not match {pattern}"
    if len(value) < int(declared.get("MinLength", 0)):
        return f"is shorter than {declared['MinLength']} characters"
    if "MaxLength" in declared and len(value) > int(declared["MaxLength"]):
        return f"is longer than {declared['MaxLength']} characters"
    return None


def _problem_of_number(declared: Mapping[str, Any], value: str) -> str | None:
    try:
        number = float(value)
    except ValueError:
        return "is no number"
    if "MinValue" in declared and number < float(declared["MinValue"]):
        return f"is less than {declared['MinValue']}"
    if "MaxValue" in declared and number > float(declared["MaxValue"]):
        return f"is more than {declared['MaxValue']}"
    return None


def as_text(value: Any) -> str:
    """A value as CloudFormation compares it: everything is text."""
    return str(value).lower() if isinstance(value, bool) else str(value)


class _Loader(SafeLoader):
    """Reads `!Ref x` as the same that JSON would say: {"Ref": "x"}."""


def _function(loader: _Loader, suffix: str, node: yaml.Node) -> dict[str, Any]:
    name = suffix if suffix in ("Ref", "Condition") else f"Fn::{suffix}"
    if isinstance(node, yaml.MappingNode):
        return {name: loader.construct_mapping(node, deep=True)}
    if isinstance(node, yaml.SequenceNode):
        return {name: loader.construct_sequence(node, deep=True)}
    return {name: loader.construct_scalar(node)}  # type: ignore[arg-type]


_Loader.add_multi_constructor("!", _function)
