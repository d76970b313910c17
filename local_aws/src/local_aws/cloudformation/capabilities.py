"""What a request has to acknowledge before a stack may touch IAM."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from local_aws.cloudformation.template import Template
from local_aws.errors import AwsError

# The types that need an acknowledgement, with the property that gives one a name of its own.
_NAMED_BY: Mapping[str, str | None] = {
    "AWS::IAM::ManagedPolicy": "ManagedPolicyName",
    "AWS::IAM::Policy": None,
    "AWS::IAM::Role": "RoleName",
}


def required_capabilities(template: Template) -> list[str]:
    """CAPABILITY_NAMED_IAM if IAM resources have names of their own, else CAPABILITY_IAM if any."""
    resources = [r for r in template.resources.values() if r.type in _NAMED_BY]
    if any(_NAMED_BY[r.type] in r.properties for r in resources):
        return ["CAPABILITY_NAMED_IAM"]
    return ["CAPABILITY_IAM"] if resources else []


def described_capabilities(template: Template) -> dict[str, Any]:
    """The part of ValidateTemplate's and GetTemplateSummary's answers on capabilities."""
    required = required_capabilities(template)
    if not required:
        return {}
    types = sorted({r.type for r in template.resources.values() if r.type in _NAMED_BY})
    return {
        "Capabilities": required,
        "CapabilitiesReason": "The following resource(s) require capabilities: "
        f"[{', '.join(types)}]",
    }


def require_capabilities(template: Template, given: Iterable[str]) -> None:
    """Raise AwsError InsufficientCapabilitiesException unless `given` is enough."""
    required = required_capabilities(template)
    enough = {*given, "CAPABILITY_IAM"} if "CAPABILITY_NAMED_IAM" in given else set(given)
    if not set(required) <= enough:
        raise AwsError(
            "InsufficientCapabilitiesException",
            f"Requires capabilities : [{', '.join(required)}]",
        )
