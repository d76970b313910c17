"""Resource types of the CloudFormation engine: how each is created, changed, replaced and deleted.

A type whose properties are the parameters of its Create call is one row of `RESOURCE_TYPES`
(ApiResource). Anything else implements `ResourceType`. Every change is an ordinary API call under
the stack's role.
"""

from __future__ import annotations

import secrets
import string
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from botocore import xform_name
from botocore.exceptions import ClientError

from local_aws.cloudformation.properties import coerce, property_problems, union_of
from local_aws.own_aws import OwnAws

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
        return self.own.client(service, self.role_arn, principal="cloudformation.amazonaws.com")

    def pause(self) -> None:
        """Wait between two looks at a resource; raises Interrupted when local_aws closes."""
        if self.closing.wait(_POLL_SECONDS):
            raise Interrupted("local_aws was closed")


class ResourceType(Protocol):
    """What the engine asks of a type. `properties` are evaluated and hold the stack's tags."""

    @property
    def type(self) -> str:
        """`AWS::Service::Thing`."""

    @property
    def attributes(self) -> frozenset[str]:
        """What Fn::GetAtt may ask for."""

    @property
    def takes_tags(self) -> bool:
        """Whether the stack's tags go into the property Tags."""

    def problems(self, provisioner: Provisioner, raw: Mapping[str, Any]) -> list[str]:
        """What is wrong with the names of the properties; `raw` is not evaluated yet."""

    def replaces(self, old: Mapping[str, Any], new: Mapping[str, Any]) -> bool:
        """Whether going from `old` to `new` properties needs a new physical resource."""

    def custom_name(self, properties: Mapping[str, Any]) -> str | None:
        """The name that the template gives; None where CloudFormation makes one up."""

    def create(self, by: Provisioner, properties: Mapping[str, Any], name: str) -> Physical:
        """Start to create it; `name` is the made-up one."""

    def update(
        self, by: Provisioner, physical: Physical, old: Mapping[str, Any], new: Mapping[str, Any]
    ) -> None:
        """Start to change it in place."""

    def settle(self, by: Provisioner, physical: Physical, properties: Mapping[str, Any]) -> None:
        """Wait until it is what `properties` ask for; ProvisioningError says why it isn't."""

    def delete(self, by: Provisioner, physical: Physical) -> None:
        """Delete it and wait until it is gone; one that is gone already is fine."""


Settle = Callable[[Provisioner, Physical, Mapping[str, Any]], None]


@dataclass(frozen=True, kw_only=True)
class ApiResource:
    """A SageMaker type whose properties are the input of Create<thing>; its Ref is the ARN."""

    type: str
    thing: str
    service: str = "sagemaker"
    # Properties that Update<thing> changes in place; any other change needs a replacement.
    updatable: frozenset[str] = frozenset()
    settled: Settle | None = None
    # Whether the thing already is what an update would make it.
    holds: Callable[[Provisioner, Physical, Mapping[str, Any]], bool] | None = None
    # Delete<thing> returns before the thing is gone.
    deletes_slowly: bool = False
    takes_tags: bool = True

    @property
    def name_property(self) -> str:
        """The parameter that names the thing, and the attribute of the same name."""
        return f"{self.thing}Name"

    @property
    def attributes(self) -> frozenset[str]:
        return frozenset({self.name_property})

    def problems(self, provisioner: Provisioner, raw: Mapping[str, Any]) -> list[str]:
        return property_problems(self._shape(provisioner), raw, not_required={self.name_property})

    def replaces(self, old: Mapping[str, Any], new: Mapping[str, Any]) -> bool:
        return bool(_changed(old, new) - self.updatable - {"Tags"})

    def custom_name(self, properties: Mapping[str, Any]) -> str | None:
        return properties.get(self.name_property)

    def create(self, by: Provisioner, properties: Mapping[str, Any], name: str) -> Physical:
        chosen = self.custom_name(properties) or name
        answer = self._call(by, "Create", {**properties, self.name_property: chosen})
        return Physical(answer[f"{self.thing}Arn"], {self.name_property: chosen})

    def update(
        self, by: Provisioner, physical: Physical, old: Mapping[str, Any], new: Mapping[str, Any]
    ) -> None:
        changed = _changed(old, new)
        if "Tags" in changed:
            _retag(by.client(self.service), physical.id, _tags(old), _tags(new))
        if changed - {"Tags"} and not (self.holds and self.holds(by, physical, new)):
            self._call(by, "Update", {**new, **physical.attributes})

    def settle(self, by: Provisioner, physical: Physical, properties: Mapping[str, Any]) -> None:
        if self.settled is not None:
            self.settled(by, physical, properties)

    def delete(self, by: Provisioner, physical: Physical) -> None:
        try:
            self._call(by, "Delete", physical.attributes)
            while self.deletes_slowly:
                by.pause()
                self._call(by, "Describe", physical.attributes)
        except ClientError as err:
            if "Could not find" not in str(err):
                raise

    def _call(self, by: Provisioner, verb: str, parameters: Mapping[str, Any]) -> Any:
        client = by.client(self.service)
        operation = f"{verb}{self.thing}"
        shape = client.meta.service_model.operation_model(operation).input_shape
        known = {key: value for key, value in parameters.items() if key in shape.members}
        return getattr(client, xform_name(operation))(**coerce(shape, known))

    def _shape(self, by: Provisioner) -> Any:
        model = by.own.client(self.service).meta.service_model
        verbs = ("Create", "Update") if self.updatable else ("Create",)
        return union_of(
            [model.operation_model(f"{verb}{self.thing}").input_shape for verb in verbs]
        )


def generated_name(stack_name: str, logical_id: str) -> str:
    """`<stack>-<logical id>-<suffix>`, at most 63 characters, different each time."""
    alphabet = string.ascii_letters + string.digits
    suffix = "".join(secrets.choice(alphabet) for _ in range(12))
    room = _NAME_LIMIT - len(suffix) - 2
    logical = logical_id[: room - min(len(stack_name), room // 2)]
    return f"{stack_name[: room - len(logical)].rstrip('-')}-{logical}-{suffix}"


def _settle_endpoint(by: Provisioner, physical: Physical, properties: Mapping[str, Any]) -> None:
    """Endpoints fail late; a failed update shows only in the configuration that still serves."""
    name = physical.attributes["EndpointName"]
    client = by.client("sagemaker")
    while True:
        endpoint = client.describe_endpoint(EndpointName=name)
        if endpoint["EndpointStatus"] in ("InService", "Failed"):
            break
        by.pause()
    asked = properties["EndpointConfigName"]
    if endpoint["EndpointStatus"] == "InService" and endpoint["EndpointConfigName"] == asked:
        return
    reason = endpoint.get("FailureReason") or f"it still serves {endpoint['EndpointConfigName']}"
    raise ProvisioningError(
        f'Resource handler returned message: "Endpoint {physical.id} failed to reach configuration '
        f'{asked}: {reason}" (HandlerErrorCode: NotStabilized)'
    )


def _endpoint_holds(by: Provisioner, physical: Physical, properties: Mapping[str, Any]) -> bool:
    """An endpoint whose update failed went back to its old configuration by itself."""
    name = physical.attributes["EndpointName"]
    endpoint = by.client("sagemaker").describe_endpoint(EndpointName=name)
    serves: tuple[str, str] = endpoint["EndpointStatus"], endpoint["EndpointConfigName"]
    return serves == ("InService", properties["EndpointConfigName"])


def _changed(old: Mapping[str, Any], new: Mapping[str, Any]) -> set[str]:
    return {key for key in {*old, *new} if old.get(key) != new.get(key)}


def _tags(properties: Mapping[str, Any]) -> dict[str, str]:
    return {tag["Key"]: tag["Value"] for tag in properties.get("Tags", [])}


def _retag(client: Any, arn: str, old: Mapping[str, str], new: Mapping[str, str]) -> None:
    # A tag that changes is deleted too: moto's own AddTags would keep both values.
    outdated = sorted(key for key, value in old.items() if new.get(key) != value)
    if outdated:
        client.delete_tags(ResourceArn=arn, TagKeys=outdated)
    tags = [{"Key": key, "Value": value} for key, value in new.items() if old.get(key) != value]
    if tags:
        client.add_tags(ResourceArn=arn, Tags=tags)


RESOURCE_TYPES: Mapping[str, ResourceType] = {
    resource.type: resource
    for resource in (
        ApiResource(type="AWS::SageMaker::Model", thing="Model"),
        ApiResource(type="AWS::SageMaker::EndpointConfig", thing="EndpointConfig"),
        ApiResource(
            type="AWS::SageMaker::Endpoint",
            thing="Endpoint",
            updatable=frozenset(
                {
                    *("EndpointConfigName", "DeploymentConfig", "RetainAllVariantProperties"),
                    *("ExcludeRetainedVariantProperties", "RetainDeploymentConfig"),
                }
            ),
            settled=_settle_endpoint,
            holds=_endpoint_holds,
            deletes_slowly=True,
        ),
    )
}
