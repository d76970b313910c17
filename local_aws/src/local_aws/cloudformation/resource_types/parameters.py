"""SSM parameters and log groups."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from local_aws.cloudformation.resource_types.api_resource import ApiResource
from local_aws.cloudformation.resource_types.calls import call, call_unless_gone
from local_aws.cloudformation.resource_types.described import DescribedType, changed
from local_aws.cloudformation.resource_types.resource_type import (
    Physical,
    Provisioner,
    ResourceType,
)
from local_aws.cloudformation.resource_types.tags import retag, tags_in


@dataclass(frozen=True, kw_only=True)
class _Parameter(DescribedType):
    """A parameter; Ref gives its name, and its Type and Value are attributes too."""

    def create(self, by: Provisioner, properties: Mapping[str, Any], name: str) -> Physical:
        chosen = self.custom_name(properties) or f"CFN-{name}"
        self._put(by, chosen, properties, {"Tags": tags_in(properties) or None})
        return Physical(chosen, {"Type": properties["Type"], "Value": properties["Value"]})

    def update(
        self, by: Provisioner, physical: Physical, old: Mapping[str, Any], new: Mapping[str, Any]
    ) -> None:
        if changed(old, new) - {"Tags"}:
            self._put(by, physical.id, new, {"Overwrite": True})
        if "Tags" in changed(old, new):
            retag(by.client("ssm"), physical.id, tags_in(old), tags_in(new))

    def renewed(self, physical: Physical, properties: Mapping[str, Any]) -> Physical:
        return Physical(physical.id, {key: properties[key] for key in ("Type", "Value")})

    def delete(self, by: Provisioner, physical: Physical, properties: Mapping[str, Any]) -> None:  # noqa: ARG002
        call_unless_gone(by.client("ssm"), "DeleteParameter", {"Name": physical.id})

    def _put(
        self,
        by: Provisioner,
        name: str,
        properties: Mapping[str, Any],
        further: Mapping[str, Any],
    ) -> None:
        names = ("Type", "Value", "Description", "AllowedPattern", "DataType", "Tier", "Policies")
        values = {key: properties.get(key) for key in names}
        call(by.client("ssm"), "PutParameter", {"Name": name, **values, **further})


@dataclass(frozen=True, kw_only=True)
class _LogGroup(ApiResource):
    """A log group with its retention."""

    def create(self, by: Provisioner, properties: Mapping[str, Any], name: str) -> Physical:
        made = super().create(by, properties, name)
        arn = by.own.arn("logs", f"log-group:{made.id}")
        # Policies name a group with its streams by the first, tags go by the second.
        return Physical(made.id, {**made.attributes, "Arn": f"{arn}:*", "GroupArn": arn})

    def arrange(
        self, by: Provisioner, physical: Physical, old: Mapping[str, Any], new: Mapping[str, Any]
    ) -> None:
        logs, group = by.client("logs"), {"logGroupName": physical.id}
        days = new.get("RetentionInDays")
        if days is not None and days != old.get("RetentionInDays"):
            call(logs, "PutRetentionPolicy", {**group, "retentionInDays": days})
        elif days is None and "RetentionInDays" in old:
            call_unless_gone(logs, "DeleteRetentionPolicy", group)
        if old and old.get("KmsKeyId") != new.get("KmsKeyId"):
            key = new.get("KmsKeyId")
            verb = "Disassociate" if key is None else "Associate"
            call(logs, f"{verb}KmsKey", {**group, "kmsKeyId": key})


TYPES: tuple[ResourceType, ...] = (
    _Parameter(
        type="AWS::SSM::Parameter", named_by="Name", attributes=frozenset({"Type", "Value"})
    ),
    _LogGroup(
        type="AWS::Logs::LogGroup",
        service="logs",
        creates="CreateLogGroup",
        deletes="DeleteLogGroup",
        named_by="LogGroupName",
        identified_by="LogGroupName",
        ref="LogGroupName",
        apart=frozenset({"RetentionInDays"}),
        tagged_by="GroupArn",
        attributes=frozenset({"Arn"}),
        replaced_by=frozenset({"LogGroupClass"}),
    ),
)
