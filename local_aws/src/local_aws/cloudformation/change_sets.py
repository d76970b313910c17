"""CloudFormation's change sets: what an update would do, kept until somebody executes it.

`aws cloudformation deploy` works this way. A set is computed while CreateChangeSet runs, so that
its first DescribeChangeSet already shows CREATE_COMPLETE, or FAILED when there is nothing to do.
"""

from __future__ import annotations

import threading
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from local_aws.aws_protocol import Call
from local_aws.cloudformation.capabilities import require_capabilities
from local_aws.cloudformation.parameters import given_parameters, shown_parameters
from local_aws.cloudformation.plan import Plan
from local_aws.cloudformation.requests import (
    refuse_unsupported,
    require_stack_name,
    tags_of,
    template_of,
)
from local_aws.cloudformation.stack import Stack, StackSettings
from local_aws.cloudformation.stacks import UPDATE_FAILED, Stacks
from local_aws.errors import AwsError
from local_aws.gateway import Handler

Answer = Mapping[str, Any]
# `aws cloudformation deploy --no-fail-on-empty-changeset` looks for this sentence.
NOTHING_TO_DO = (
    "The submitted information didn't contain changes. "
    "Submit different information to create a change set."
)


@dataclass
class ChangeSet:
    """A computed set; `plan` is what executing it brings the stack to."""

    name: str
    id: str
    stack: Stack
    plan: Plan
    before: Plan | None
    settings: StackSettings
    description: str | None
    created: datetime = field(default_factory=lambda: datetime.now(UTC))
    execution_status: str = "AVAILABLE"

    @property
    def empty(self) -> bool:
        """Executing it would do nothing."""
        if self.stack.status == UPDATE_FAILED:
            return False
        return self.before is not None and not self.plan.differs_from(self.before)


class ChangeSets:
    """The change sets of all stacks."""

    def __init__(self, stacks: Stacks) -> None:
        self._stacks = stacks
        self._sets: dict[str, ChangeSet] = {}
        self._lock = threading.Lock()

    def handlers(self) -> dict[str, Handler]:
        """Operation names with what answers them."""
        return {
            "CreateChangeSet": self.create_change_set,
            "DescribeChangeSet": self.describe_change_set,
            "ExecuteChangeSet": self.execute_change_set,
            "DeleteChangeSet": self.delete_change_set,
            "ListChangeSets": self.list_change_sets,
        }

    def forget(self, stack: Stack) -> None:
        """Drop the sets of a stack that is deleted."""
        with self._lock:
            self._sets = {key: s for key, s in self._sets.items() if s.stack is not stack}

    def create_change_set(self, call: Call) -> Answer:
        """Compute the set. With type CREATE the stack begins to exist, in REVIEW_IN_PROGRESS."""
        params = call.params
        refuse_unsupported(params)
        kind = params.get("ChangeSetType", "UPDATE")
        if kind not in ("CREATE", "UPDATE"):
            raise AwsError(
                "ValidationError", f"local_aws does not support change sets of type {kind}"
            )
        settings = StackSettings(
            role_arn=params.get("RoleARN"),
            capabilities=tuple(params.get("Capabilities", ())),
            client_request_token=params.get("ClientToken"),
        )
        stack = self._stack_for(kind, params["StackName"], settings)
        try:
            change_set = self._computed(stack, params, settings)
        except AwsError:
            if kind == "CREATE" and not self._of(stack):
                self._stacks.remove(stack)
            raise
        return {"Id": change_set.id, "StackId": stack.id}

    def describe_change_set(self, call: Call) -> Answer:
        """The set with one entry for each resource that changes."""
        change_set = self._find(call.params)
        plan = change_set.plan
        changes = [] if change_set.empty else _changes(change_set)
        return {
            **_summary(change_set),
            "Parameters": shown_parameters(
                plan.template.parameters, plan.parameters, plan.typed_parameters
            ),
            "Tags": [{"Key": k, "Value": v} for k, v in plan.tags.items()],
            "Capabilities": list(change_set.settings.capabilities),
            "Changes": [{"Type": "Resource", "ResourceChange": change} for change in changes],
        }

    def execute_change_set(self, call: Call) -> None:
        """Start the deployment; the stack's other sets are obsolete with that."""
        change_set = self._find(call.params)
        if call.params.get("RetainExceptOnCreate"):
            raise AwsError(
                "ValidationError", "local_aws does not support the parameter RetainExceptOnCreate"
            )
        if change_set.empty or change_set.execution_status != "AVAILABLE":
            raise AwsError(
                "InvalidChangeSetStatus",
                f"ChangeSet [{change_set.id}] cannot be executed in its current status of "
                f"[{_summary(change_set)['Status']}]",
            )
        stack, settings = change_set.stack, change_set.settings
        refuse_unsupported(call.params)
        if change_set.before is None:
            stack.settings = settings
            self._stacks.create(stack, change_set.plan)
        else:
            self._stacks.update(stack, change_set.plan, settings)
        self.forget(stack)

    def delete_change_set(self, call: Call) -> None:
        """Drop the set."""
        change_set = self._find(call.params)
        with self._lock:
            del self._sets[change_set.id]

    def list_change_sets(self, call: Call) -> Answer:
        """The stack's sets that wait."""
        stack = self._stacks.find(call.params["StackName"])
        return {"Summaries": [_summary(change_set) for change_set in self._of(stack)]}

    def _stack_for(self, kind: str, name: str, settings: StackSettings) -> Stack:
        stack = self._stacks.named(name)
        if kind == "UPDATE":
            stack = self._stacks.find(name)
            self._stacks.require_updatable(stack)
            return stack
        if stack is not None and stack.status == "REVIEW_IN_PROGRESS":
            return stack
        require_stack_name(name)
        stack = self._stacks.add(name, settings, "REVIEW_IN_PROGRESS")
        stack.enter("REVIEW_IN_PROGRESS", "User Initiated")
        return stack

    def _computed(
        self, stack: Stack, params: Mapping[str, Any], settings: StackSettings
    ) -> ChangeSet:
        before = stack.plan
        role_arn = settings.role_arn or stack.settings.role_arn
        template = template_of(params, self._stacks.own, before.template if before else None)
        require_capabilities(template, settings.capabilities)
        given = given_parameters(params.get("Parameters", []), before.parameters if before else {})
        tags = tags_of(params, before.tags if before else {})
        name = params["ChangeSetName"]
        if any(change_set.name == name for change_set in self._of(stack)):
            raise AwsError(
                "AlreadyExistsException",
                f"ChangeSet {name} already exists for stack {stack.name}",
                400,
            )
        change_set = ChangeSet(
            name=name,
            id=self._stacks.own.arn("cloudformation", f"changeSet/{name}/{uuid.uuid4()}"),
            stack=stack,
            plan=self._stacks.plan(stack, template, given, tags, role_arn),
            before=before,
            settings=StackSettings(role_arn, settings.capabilities, settings.client_request_token),
            description=params.get("Description"),
        )
        with self._lock:
            self._sets[change_set.id] = change_set
        return change_set

    def _of(self, stack: Stack) -> list[ChangeSet]:
        with self._lock:
            return [change_set for change_set in self._sets.values() if change_set.stack is stack]

    def _find(self, params: Mapping[str, Any]) -> ChangeSet:
        name, stack_name = params["ChangeSetName"], params.get("StackName")
        with self._lock:
            sets = list(self._sets.values())
        for change_set in sets:
            in_stack = stack_name in (change_set.stack.name, change_set.stack.id)
            if name == change_set.id or (name == change_set.name and in_stack):
                return change_set
        raise AwsError("ChangeSetNotFound", f"ChangeSet [{name}] does not exist", 404)


def _summary(change_set: ChangeSet) -> dict[str, Any]:
    return {
        "ChangeSetName": change_set.name,
        "ChangeSetId": change_set.id,
        "StackName": change_set.stack.name,
        "StackId": change_set.stack.id,
        "Description": change_set.description,
        "CreationTime": change_set.created,
        "Status": "FAILED" if change_set.empty else "CREATE_COMPLETE",
        "StatusReason": NOTHING_TO_DO if change_set.empty else None,
        "ExecutionStatus": "UNAVAILABLE" if change_set.empty else change_set.execution_status,
    }


def _changes(change_set: ChangeSet) -> list[dict[str, Any]]:
    """A ResourceChange for each resource that is added, modified or removed."""
    before = change_set.before.resources if change_set.before else {}
    existing = change_set.stack.resources
    changes: list[dict[str, Any]] = []
    moved: set[str] = set()  # resources whose Ref and attributes will differ
    for name, planned in change_set.plan.resources.items():
        change: dict[str, Any] = {"LogicalResourceId": name, "ResourceType": planned.type.type}
        if name not in before:
            changes.append({**change, "Action": "Add"})
            continue
        old, new = before[name].sketch, planned.sketch
        direct = {key for key in {*old, *new} if old.get(key) != new.get(key)}
        dependent = {
            key for key, value in new.items() if any("${" + m in str(value) for m in moved)
        } - direct
        if not direct and not dependent:
            continue
        replaced = bool(direct) and planned.type.replaces(old, new)
        conditional = planned.type.replaces(
            dict.fromkeys(dependent), dict.fromkeys(dependent, "changed")
        )
        replacement = "True" if replaced else "Conditional" if conditional else "False"
        if replacement != "False":
            moved.add(name)
        physical = existing[name].physical if name in existing else None
        changes.append(
            {
                **change,
                "Action": "Modify",
                "PhysicalResourceId": physical.id if physical else None,
                "Replacement": replacement,
                "Scope": sorted(
                    {"Tags" if key == "Tags" else "Properties" for key in direct | dependent}
                ),
                "Details": [
                    {
                        "Target": _target(key),
                        "Evaluation": "Static" if key in direct else "Dynamic",
                        "ChangeSource": "DirectModification"
                        if key in direct
                        else "ResourceAttribute",
                    }
                    for key in sorted(direct | dependent)
                ],
            }
        )
    for name in before:
        if name not in change_set.plan.resources:
            physical = existing[name].physical if name in existing else None
            changes.append(
                {
                    "Action": "Remove",
                    "LogicalResourceId": name,
                    "PhysicalResourceId": physical.id if physical else None,
                    "ResourceType": before[name].type.type,
                }
            )
    return changes


def _target(key: str) -> dict[str, str]:
    return {"Attribute": "Tags"} if key == "Tags" else {"Attribute": "Properties", "Name": key}
