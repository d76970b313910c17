"""SageMaker's resource types."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from local_aws.cloudformation.resource_types.api_resource import ApiResource
from local_aws.cloudformation.resource_types.described import changed
from local_aws.cloudformation.resource_types.resource_type import (
    Physical,
    Provisioner,
    ProvisioningError,
    ResourceType,
)
from local_aws.left_out import left_out, remark

# What UpdateEndpoint changes in place.
_UPDATABLE = frozenset(
    {
        *("EndpointConfigName", "DeploymentConfig", "RetainAllVariantProperties", "Tags"),
        *("ExcludeRetainedVariantProperties", "RetainDeploymentConfig"),
    }
)


class _Immutable(ApiResource):
    """A thing that no call changes: anything but its tags needs another one."""

    def replaces(self, old: Mapping[str, Any], new: Mapping[str, Any]) -> bool:
        return bool(changed(old, new) - {"Tags"})


class _Endpoint(ApiResource):
    """Endpoints come late, fail late, and go back to what served when an update fails."""

    def replaces(self, old: Mapping[str, Any], new: Mapping[str, Any]) -> bool:
        return bool(changed(old, new) - _UPDATABLE)

    def problems(self, provisioner: Provisioner, raw: Mapping[str, Any]) -> list[str]:
        only_updates = _UPDATABLE - {"EndpointConfigName", "DeploymentConfig", "Tags"}
        return super().problems(
            provisioner, {name: v for name, v in raw.items() if name not in only_updates}
        )

    def update(
        self, by: Provisioner, physical: Physical, old: Mapping[str, Any], new: Mapping[str, Any]
    ) -> None:
        endpoint = self._describe(by, physical)
        serves = endpoint["EndpointStatus"], endpoint["EndpointConfigName"]
        if serves == ("InService", new["EndpointConfigName"]):
            # One whose update failed holds what taking it back would bring about.
            old = {**new, "Tags": old.get("Tags", [])}
        super().update(by, physical, old, new)

    def settle(self, by: Provisioner, physical: Physical, properties: Mapping[str, Any]) -> None:
        """Endpoints fail late; a failed update shows only in the configuration that serves."""
        while True:
            endpoint = self._describe(by, physical)
            if endpoint["EndpointStatus"] in ("InService", "Failed"):
                break
            by.pause()
        asked = properties["EndpointConfigName"]
        if endpoint["EndpointStatus"] == "InService" and endpoint["EndpointConfigName"] == asked:
            return
        serves = endpoint["EndpointConfigName"]
        reason = endpoint.get("FailureReason") or f"it still serves {serves}"
        raise ProvisioningError(
            f'Resource handler returned message: "Endpoint {physical.id} failed to reach '
            f'configuration {asked}: {reason}" (HandlerErrorCode: NotStabilized)'
        )

    def remark(self, by: Provisioner, properties: Mapping[str, Any]) -> str:
        sagemaker = by.onlooker("sagemaker")
        name = properties["EndpointConfigName"]
        config = sagemaker.describe_endpoint_config(EndpointConfigName=name)
        model = config["ProductionVariants"][0]["ModelName"]
        return remark(left_out(config, sagemaker.describe_model(ModelName=model)))

    def await_end(self, by: Provisioner, physical: Physical) -> None:
        while True:
            by.pause()
            endpoint = self._describe(by, physical)
            if endpoint["EndpointStatus"] == "Failed":
                raise ProvisioningError(
                    f'Resource handler returned message: "Endpoint {physical.id} could not be '
                    f'deleted: {endpoint.get("FailureReason")}" (HandlerErrorCode: NotStabilized)'
                )

    def _describe(self, by: Provisioner, physical: Physical) -> Any:
        name = physical.attributes["EndpointName"]
        return by.client("sagemaker").describe_endpoint(EndpointName=name)


TYPES: tuple[ResourceType, ...] = (
    _Immutable(
        type="AWS::SageMaker::Model",
        service="sagemaker",
        creates="CreateModel",
        deletes="DeleteModel",
        named_by="ModelName",
        identified_by="ModelName",
        ref="Arn",
        answers={"Arn": "ModelArn"},
        attributes=frozenset({"ModelName"}),
    ),
    _Immutable(
        type="AWS::SageMaker::EndpointConfig",
        service="sagemaker",
        creates="CreateEndpointConfig",
        deletes="DeleteEndpointConfig",
        named_by="EndpointConfigName",
        identified_by="EndpointConfigName",
        ref="Arn",
        answers={"Arn": "EndpointConfigArn"},
        attributes=frozenset({"EndpointConfigName"}),
    ),
    _Endpoint(
        type="AWS::SageMaker::Endpoint",
        service="sagemaker",
        creates="CreateEndpoint",
        updates="UpdateEndpoint",
        deletes="DeleteEndpoint",
        named_by="EndpointName",
        identified_by="EndpointName",
        ref="Arn",
        answers={"Arn": "EndpointArn"},
        attributes=frozenset({"EndpointName"}),
    ),
)
