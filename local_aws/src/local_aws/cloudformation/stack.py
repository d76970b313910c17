"""A stack's state: resources, events, outputs, status; safe to read while it is deployed."""

from __future__ import annotations

import json
import threading
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from local_aws.cloudformation.intrinsics import Reference, as_text
from local_aws.cloudformation.parameters import HIDDEN, shown_parameters
from local_aws.cloudformation.plan import Plan
from local_aws.cloudformation.resources import RESOURCE_TYPES, Physical, ResourceType
from local_aws.cloudformation.template import format_error

STACK_TYPE = "AWS::CloudFormation::Stack"


@dataclass
class StackResource:
    """A resource of a stack. `properties` are those that `physical` was last given."""

    logical_id: str
    type: ResourceType
    properties: Mapping[str, Any]
    physical: Physical | None = None
    hidden: frozenset[str] = frozenset()
    retained_on_delete: bool = False
    retained_on_rollback: bool = False
    retained_on_replace: bool = False
    status: str = ""
    reason: str = ""
    changed: datetime = field(default_factory=lambda: datetime.now(UTC))

    def __getstate__(self) -> dict[str, Any]:
        return {**vars(self), "type": self.type.type}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state, type=RESOURCE_TYPES[state["type"]])


@dataclass(frozen=True)
class StackSettings:
    """What a request says beside the template, its parameters and tags."""

    role_arn: str | None = None
    capabilities: tuple[str, ...] = ()
    client_request_token: str | None = None


@dataclass
class Stack:
    """One stack. `plan` is what is deployed; None before the first deployment ended."""

    name: str
    id: str
    status: str
    settings: StackSettings
    created: datetime = field(default_factory=lambda: datetime.now(UTC))
    updated: datetime | None = None
    deleted: datetime | None = None
    reason: str = ""
    plan: Plan | None = None
    resources: dict[str, StackResource] = field(default_factory=dict)
    outputs: list[dict[str, str]] = field(default_factory=list)
    events: list[dict[str, Any]] = field(default_factory=list)
    termination_protection: bool = False
    lock: threading.RLock = field(default_factory=threading.RLock)

    @property
    def in_progress(self) -> bool:
        """A deployment or deletion runs."""
        return self.status.endswith("_IN_PROGRESS") and self.status != "REVIEW_IN_PROGRESS"

    @property
    def failed_status(self) -> str:
        """How what is in progress ends if it fails."""
        verb = self.status.removesuffix("_IN_PROGRESS").removesuffix("_COMPLETE_CLEANUP")
        return f"{verb}_FAILED"

    def enter(self, status: str, reason: str = "") -> None:
        """Take a new status, with its event."""
        with self.lock:
            self.status, self.reason = status, reason
            self._event(self.name, self.id, STACK_TYPE, status, reason)

    def mark(self, resource: StackResource, status: str, reason: str = "") -> None:
        """Give a resource a new status, with its event."""
        with self.lock:
            resource.status, resource.reason = status, reason
            resource.changed = datetime.now(UTC)
            physical_id = resource.physical.id if resource.physical else ""
            self._event(
                resource.logical_id,
                physical_id,
                resource.type.type,
                status,
                reason,
                _masked(resource.properties, resource.hidden),
            )

    def lookup(self, reference: Reference) -> Any:
        """What a Ref or Fn::GetAtt to a resource gives now."""
        with self.lock:
            resource = self.resources.get(reference.name)
            if resource is None or resource.physical is None:
                raise format_error(
                    f"Unresolved resource dependencies [{reference.name}] "
                    "in the Resources block of the template"
                )
            if reference.attribute is None:
                return resource.physical.id
            return resource.physical.attributes[reference.attribute]

    def evaluate_outputs(self, plan: Plan) -> list[dict[str, str]]:
        """The plan's outputs with the values of the resources that exist."""
        evaluation = plan.evaluation(self.lookup)
        outputs = []
        for key in plan.outputs:
            raw = plan.template.outputs[key]
            output = {"OutputKey": key, "OutputValue": as_text(evaluation.value(raw["Value"]))}
            if "Description" in raw:
                output["Description"] = raw["Description"]
            outputs.append(output)
        return outputs

    def description(self) -> dict[str, Any]:
        """The stack as DescribeStacks answers it."""
        with self.lock:
            plan = self.plan
            return {
                "StackId": self.id,
                "StackName": self.name,
                "StackStatus": self.status,
                "StackStatusReason": self.reason or None,
                "Description": plan.template.description if plan else None,
                "CreationTime": self.created,
                "LastUpdatedTime": self.updated,
                "DeletionTime": self.deleted,
                "Parameters": _shown(plan),
                "Tags": [{"Key": k, "Value": v} for k, v in (plan.tags if plan else {}).items()],
                "Outputs": list(self.outputs),
                "RoleARN": self.settings.role_arn,
                "Capabilities": list(self.settings.capabilities),
                "DisableRollback": False,
                "EnableTerminationProtection": self.termination_protection,
                "NotificationARNs": [],
                "DriftInformation": {"StackDriftStatus": "NOT_CHECKED"},
            }

    def resource_description(self, resource: StackResource) -> dict[str, Any]:
        """A resource as DescribeStackResource, -Resources and ListStackResources answer it."""
        with self.lock:
            return {
                "StackName": self.name,
                "StackId": self.id,
                "LogicalResourceId": resource.logical_id,
                "PhysicalResourceId": resource.physical.id if resource.physical else None,
                "ResourceType": resource.type.type,
                "ResourceStatus": resource.status,
                "ResourceStatusReason": resource.reason or None,
                "Timestamp": resource.changed,
                "LastUpdatedTimestamp": resource.changed,
                "DriftInformation": {"StackResourceDriftStatus": "NOT_CHECKED"},
            }

    def _event(
        self,
        logical_id: str,
        physical_id: str,
        type_name: str,
        status: str,
        reason: str,
        properties: Mapping[str, Any] | None = None,
    ) -> None:
        self.events.append(
            {
                "StackId": self.id,
                "StackName": self.name,
                "EventId": str(uuid.uuid4()),
                "LogicalResourceId": logical_id,
                "PhysicalResourceId": physical_id,
                "ResourceType": type_name,
                "Timestamp": datetime.now(UTC),
                "ResourceStatus": status,
                "ResourceStatusReason": reason or None,
                "ResourceProperties": None if properties is None else json.dumps(properties),
                "ClientRequestToken": self.settings.client_request_token,
            }
        )


def _masked(values: Any, hidden: frozenset[str]) -> Any:
    """`values` with asterisks wherever one of the hidden texts stands."""
    if isinstance(values, Mapping):
        return {key: _masked(value, hidden) for key, value in values.items()}
    if isinstance(values, list):
        return [_masked(value, hidden) for value in values]
    if isinstance(values, str):
        for text in hidden:
            values = values.replace(text, HIDDEN)
    return values


def _shown(plan: Plan | None) -> list[dict[str, str]]:
    if plan is None:
        return []
    return shown_parameters(plan.template.parameters, plan.parameters, plan.typed_parameters)
