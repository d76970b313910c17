"""What the engine asks of a resource type, and what it gives it: names, clients, pauses."""

from __future__ import annotations

import secrets
import string
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from local_aws.own_aws import OwnAws

PRINCIPAL = "cloudformation.amazonaws.com"
_POLL_SECONDS = 0.2
_NAME_LIMIT = 63


class ProvisioningError(Exception):
    """A resource did not become what the template asks for; the message is the event's reason."""


class Interrupted(Exception):
    """local_aws is closing while a stack is in progress."""


@dataclass(frozen=True)
class Physical:
    """A resource that exists: `id` is what Ref gives, `attributes` what Fn::GetAtt gives."""

    id: str
    attributes: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Provisioner:
    """Who makes the calls: clients under the stack's role, until `closing` is set."""

    own: OwnAws
    role_arn: str | None
    closing: threading.Event

    def client(self, service: str) -> Any:
        """A boto3 client as CloudFormation uses it for this stack."""
        return self.own.client(service, self.role_arn, principal=PRINCIPAL)

    def onlooker(self, service: str) -> Any:
        """A client for looks that CloudFormation takes without a permission of the stack's role."""
        return self.own.client(service)

    def pause(self) -> None:
        """Wait between two looks at a resource; raises Interrupted when local_aws closes."""
        if self.closing.wait(_POLL_SECONDS):
            raise Interrupted("local_aws was closed")


class ResourceType(Protocol):
    """`properties` are evaluated, hold the stack's tags and have the types of the schema."""

    @property
    def type(self) -> str:
        """`AWS::Service::Thing`."""

    @property
    def attributes(self) -> frozenset[str]:
        """What Fn::GetAtt may ask for."""

    @property
    def tag_form(self) -> str | None:
        """Whether the property Tags is a "list" or a "map"; None for a type without tags."""

    def problems(self, provisioner: Provisioner, raw: Mapping[str, Any]) -> list[str]:
        """What is wrong with the names of the properties; `raw` is not evaluated yet."""

    def typed(self, properties: Mapping[str, Any]) -> dict[str, Any]:
        """Evaluated properties with scalars as the schema has them: parameters arrive as text."""

    def replaces(self, old: Mapping[str, Any], new: Mapping[str, Any]) -> bool:
        """Whether going from `old` to `new` properties needs a new physical resource."""

    def refusal(self, old: Mapping[str, Any], new: Mapping[str, Any]) -> str | None:
        """Why a thing with `old` properties can't become one with `new` ones, in any way."""

    def custom_name(self, properties: Mapping[str, Any]) -> str | None:
        """The name that the template gives; None where CloudFormation makes one up."""

    def create(self, by: Provisioner, properties: Mapping[str, Any], name: str) -> Physical:
        """Start to create it, with the first call; `name` is the made-up one."""

    def furnish(self, by: Provisioner, physical: Physical, properties: Mapping[str, Any]) -> None:
        """Make the further calls that a new one needs; if one fails, the resource is deleted."""

    def update(
        self, by: Provisioner, physical: Physical, old: Mapping[str, Any], new: Mapping[str, Any]
    ) -> None:
        """Start to change it in place."""

    def renewed(self, physical: Physical, properties: Mapping[str, Any]) -> Physical:
        """The thing after an update: what Fn::GetAtt gives may be another value."""

    def settle(self, by: Provisioner, physical: Physical, properties: Mapping[str, Any]) -> None:
        """Wait until it is what `properties` ask for; ProvisioningError says why it isn't."""

    def remark(self, by: Provisioner, properties: Mapping[str, Any]) -> str:
        """What of it has no effect on this machine, for the event of its end; empty for nothing."""

    def delete(self, by: Provisioner, physical: Physical, properties: Mapping[str, Any]) -> None:
        """Delete it and wait until it is gone; one that is gone already is fine."""


def generated_name(stack_name: str, logical_id: str) -> str:
    """`<stack>-<logical id>-<suffix>`, at most 63 characters, different each time."""
    alphabet = string.ascii_letters + string.digits
    suffix = "".join(secrets.choice(alphabet) for _ in range(12))
    room = _NAME_LIMIT - len(suffix) - 2
    logical = logical_id[: room - min(len(stack_name), room // 2)]
    return f"{stack_name[: room - len(logical)].rstrip('-')}-{logical}-{suffix}"
