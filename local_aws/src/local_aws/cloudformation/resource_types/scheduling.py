"""EventBridge's rules with their targets, and the Scheduler's schedules."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from local_aws.cloudformation.resource_types.api_resource import ApiResource
from local_aws.cloudformation.resource_types.calls import call, call_unless_gone, is_gone
from local_aws.cloudformation.resource_types.described import DescribedType, changed
from local_aws.cloudformation.resource_types.resource_type import (
    Physical,
    Provisioner,
    ProvisioningError,
    ResourceType,
)
from local_aws.cloudformation.resource_types.tags import retag, tags_in

_RULE = ("Description", "EventBusName", "EventPattern", "RoleArn", "ScheduleExpression", "State")


@dataclass(frozen=True, kw_only=True)
class _Rule(DescribedType):
    """A rule and what it calls."""

    def create(self, by: Provisioner, properties: Mapping[str, Any], name: str) -> Physical:
        chosen = self.custom_name(properties) or name
        events = by.client("events")
        try:
            call(events, "DescribeRule", {"Name": chosen, **_bus(properties)})
        except events.exceptions.ClientError as err:
            if not is_gone(err):
                raise
        else:  # PutRule would change it, and a stack must not take over what others made
            raise ProvisioningError(f"{chosen} already exists (HandlerErrorCode: AlreadyExists)")
        parameters = {name: properties.get(name) for name in _RULE}
        tags = {"Tags": tags_in(properties) or None}
        answer = call(events, "PutRule", {"Name": chosen, **parameters, **tags})
        bus = properties.get("EventBusName")
        return Physical(
            chosen if bus in (None, "default") else f"{bus}|{chosen}",
            {"Arn": answer["RuleArn"], "Name": chosen},
        )

    def update(
        self, by: Provisioner, physical: Physical, old: Mapping[str, Any], new: Mapping[str, Any]
    ) -> None:
        events, differing = by.client("events"), changed(old, new)
        if differing & set(_RULE):
            parameters = {name: new.get(name) for name in _RULE}
            call(events, "PutRule", {"Name": physical.attributes["Name"], **parameters})
        if "Tags" in differing:
            retag(events, physical.attributes["Arn"], tags_in(old), tags_in(new))
        self.arrange(by, physical, old, new)

    def arrange(
        self, by: Provisioner, physical: Physical, old: Mapping[str, Any], new: Mapping[str, Any]
    ) -> None:
        had, wanted = ({t["Id"]: t for t in p.get("Targets", [])} for p in (old, new))
        rule = {"Rule": physical.attributes["Name"], **_bus(new or old)}
        left = sorted(set(had) - set(wanted))
        if left:
            call_unless_gone(by.client("events"), "RemoveTargets", {**rule, "Ids": left})
        targets = [wanted[name] for name in wanted if wanted[name] != had.get(name)]
        if targets:
            answer = call(by.client("events"), "PutTargets", {**rule, "Targets": targets})
            if answer.get("FailedEntryCount"):
                failed = answer["FailedEntries"][0]
                raise ProvisioningError(
                    f"Target {failed['TargetId']} of the rule {physical.id} was refused: "
                    f"{failed['ErrorMessage']} ({failed['ErrorCode']})"
                )

    def delete(self, by: Provisioner, physical: Physical, properties: Mapping[str, Any]) -> None:
        self.arrange(by, physical, properties, {})
        rule = {"Name": physical.attributes["Name"], **_bus(properties)}
        call_unless_gone(by.client("events"), "DeleteRule", rule)


def _bus(properties: Mapping[str, Any]) -> dict[str, str]:
    return {k: v for k, v in properties.items() if k == "EventBusName"}


TYPES: tuple[ResourceType, ...] = (
    _Rule(
        type="AWS::Events::Rule",
        named_by="Name",
        attributes=frozenset({"Arn"}),
        replaced_by=frozenset({"EventBusName"}),
    ),
    ApiResource(
        type="AWS::Scheduler::Schedule",
        service="scheduler",
        creates="CreateSchedule",
        updates="UpdateSchedule",
        deletes="DeleteSchedule",
        named_by="Name",
        identified_by="Name",
        ref="Name",
        answers={"Arn": "ScheduleArn"},
        replaced_by=frozenset({"GroupName"}),
        attributes=frozenset({"Arn"}),
    ),
)
