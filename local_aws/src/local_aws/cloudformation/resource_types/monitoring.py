"""CloudWatch's alarms, and Application Auto Scaling's targets and policies."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from local_aws.cloudformation.resource_types.calls import call, call_unless_gone
from local_aws.cloudformation.resource_types.described import DescribedType, changed
from local_aws.cloudformation.resource_types.resource_type import (
    Physical,
    Provisioner,
    ProvisioningError,
    ResourceType,
)
from local_aws.cloudformation.resource_types.tags import retag, tags_in
from local_aws.left_out import remark

_ACTIONS = ("AlarmActions", "OKActions", "InsufficientDataActions")
# Together they say what scales; a target's id joins them in this order.
_PLACE = ("ResourceId", "ScalableDimension", "ServiceNamespace")


@dataclass(frozen=True, kw_only=True)
class _Alarm(DescribedType):
    """An alarm; PutMetricAlarm makes and changes it, but takes tags of a new one only."""

    def create(self, by: Provisioner, properties: Mapping[str, Any], name: str) -> Physical:
        chosen = self.custom_name(properties) or name
        look = by.onlooker("cloudwatch")
        # PutMetricAlarm would change it, and a stack must not take over what others made.
        if look.describe_alarms(AlarmNames=[chosen])["MetricAlarms"]:
            raise ProvisioningError(f"{chosen} already exists (HandlerErrorCode: AlreadyExists)")
        self._put(by, chosen, {**properties, "Tags": tags_in(properties) or None})
        return Physical(chosen, {"Arn": by.own.arn("cloudwatch", f"alarm:{chosen}")})

    def update(
        self, by: Provisioner, physical: Physical, old: Mapping[str, Any], new: Mapping[str, Any]
    ) -> None:
        if changed(old, new) - {"Tags"}:
            self._put(by, physical.id, {**new, "Tags": None})
        if "Tags" in changed(old, new):
            retag(by.client("cloudwatch"), physical.attributes["Arn"], tags_in(old), tags_in(new))

    def delete(self, by: Provisioner, physical: Physical, properties: Mapping[str, Any]) -> None:  # noqa: ARG002
        by.client("cloudwatch").delete_alarms(AlarmNames=[physical.id])

    def remark(self, by: Provisioner, properties: Mapping[str, Any]) -> str:  # noqa: ARG002
        told = [name for name in _ACTIONS if properties.get(name)]
        return remark([f"{', '.join(told)} (nobody is told)"] if told else [])

    def _put(self, by: Provisioner, name: str, parameters: Mapping[str, Any]) -> None:
        call(by.client("cloudwatch"), "PutMetricAlarm", {**parameters, "AlarmName": name})


@dataclass(frozen=True, kw_only=True)
class _ScalableTarget(DescribedType):
    """Something that may be scaled; its id names resource, dimension and service."""

    def create(self, by: Provisioner, properties: Mapping[str, Any], name: str) -> Physical:  # noqa: ARG002
        self._register(by, {**properties, "Tags": tags_in(properties) or None})
        place = "|".join(properties[key] for key in _PLACE)
        return Physical(place, {"Id": place})

    def update(
        self,
        by: Provisioner,
        physical: Physical,  # noqa: ARG002
        old: Mapping[str, Any],
        new: Mapping[str, Any],
    ) -> None:
        # Tags are nothing that moto keeps.
        if changed(old, new) - {"Tags"}:
            self._register(by, {**new, "Tags": None})

    def delete(self, by: Provisioner, physical: Physical, properties: Mapping[str, Any]) -> None:  # noqa: ARG002
        client = by.client("application-autoscaling")
        call_unless_gone(client, "DeregisterScalableTarget", _place(physical.id))

    def remark(self, by: Provisioner, properties: Mapping[str, Any]) -> str:  # noqa: ARG002
        least, most = properties["MinCapacity"], properties["MaxCapacity"]
        return remark([f"scaling from {least} to {most} (one process serves)"])

    def _register(self, by: Provisioner, parameters: Mapping[str, Any]) -> None:
        call(by.client("application-autoscaling"), "RegisterScalableTarget", parameters)


@dataclass(frozen=True, kw_only=True)
class _ScalingPolicy(DescribedType):
    """How a target scales; Ref gives its ARN."""

    def create(self, by: Provisioner, properties: Mapping[str, Any], name: str) -> Physical:  # noqa: ARG002
        arn = self._put(by, properties)
        return Physical(arn, {"Arn": arn})

    def update(
        self,
        by: Provisioner,
        physical: Physical,  # noqa: ARG002
        old: Mapping[str, Any],  # noqa: ARG002
        new: Mapping[str, Any],
    ) -> None:
        self._put(by, new)

    def delete(self, by: Provisioner, physical: Physical, properties: Mapping[str, Any]) -> None:  # noqa: ARG002
        parameters = {"PolicyName": properties["PolicyName"], **_place_of(properties)}
        call_unless_gone(by.client("application-autoscaling"), "DeleteScalingPolicy", parameters)

    def _put(self, by: Provisioner, properties: Mapping[str, Any]) -> str:
        given = {name: v for name, v in properties.items() if name != "ScalingTargetId"}
        parameters = {**given, **_place_of(properties)}
        answer = call(by.client("application-autoscaling"), "PutScalingPolicy", parameters)
        return str(answer["PolicyARN"])


def _place_of(policy: Mapping[str, Any]) -> dict[str, str]:
    """The target of a policy, which names it whole or in its three parts."""
    if "ScalingTargetId" in policy:
        return _place(policy["ScalingTargetId"])
    return {key: policy[key] for key in _PLACE}


def _place(target_id: str) -> dict[str, str]:
    return dict(zip(_PLACE, target_id.split("|"), strict=True))


TYPES: tuple[ResourceType, ...] = (
    _Alarm(
        type="AWS::CloudWatch::Alarm",
        named_by="AlarmName",
        attributes=frozenset({"Arn"}),
        refused=frozenset(
            {
                *("ActionConfiguration", "EvaluationCriteria", "EvaluationInterval"),
                *("EvaluationWindow", "WarmUpConfiguration"),
            }
        ),
    ),
    _ScalableTarget(
        type="AWS::ApplicationAutoScaling::ScalableTarget",
        attributes=frozenset({"Id"}),
        refused=frozenset({"ScheduledActions"}),
    ),
    _ScalingPolicy(
        type="AWS::ApplicationAutoScaling::ScalingPolicy",
        attributes=frozenset({"Arn"}),
        refused=frozenset({"PredictiveScalingPolicyConfiguration"}),
    ),
)
