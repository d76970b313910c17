"""A stack's events as they come, and its outputs."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from botocore.exceptions import ClientError

from local_aws.errors import DeploymentFailed

_POLL_SECONDS = 0.3
COMPLETE = ("CREATE_COMPLETE", "UPDATE_COMPLETE")
CREATION_FAILED = ("ROLLBACK_COMPLETE", "ROLLBACK_FAILED", "CREATE_FAILED")


@dataclass(frozen=True, kw_only=True)
class StackEvent:
    """Something happened to one resource of a stack, or to the stack itself."""

    logical_id: str
    resource_type: str
    status: str
    reason: str

    @property
    def failed(self) -> bool:
        """The event tells a cause; what was only cancelled because of another doesn't."""
        return self.status.endswith("_FAILED") and "cancelled" not in self.reason.lower()


class StackEvents:
    """What happens to a stack after this was made."""

    def __init__(self, cloudformation: Any, stack_name: str) -> None:
        self._cloudformation = cloudformation
        self._stack_name = stack_name
        self._seen = {event["EventId"] for event in self._read()}

    def follow(self, on_event: Callable[[StackEvent], None] = lambda _: None) -> None:
        """Wait until nothing is in progress any more, telling each event.

        Raises DeploymentFailed with the reasons unless the stack is then created or updated.
        """
        reasons = []
        while True:
            # The status first: what happened before it ended is then among the events.
            status = stack_status(self._cloudformation, self._stack_name)
            for event in self._new():
                on_event(event)
                if event.failed:
                    reasons.append(f"{event.logical_id}: {event.reason}")
            if status is None or not status.endswith("_IN_PROGRESS"):
                break
            time.sleep(_POLL_SECONDS)
        if status not in COMPLETE:
            raise DeploymentFailed(
                f"stack {self._stack_name} ended {status or 'deleted'}: {'; '.join(reasons)}"
            )

    def _new(self) -> list[StackEvent]:
        fresh = [event for event in self._read() if event["EventId"] not in self._seen]
        self._seen.update(event["EventId"] for event in fresh)
        return [
            StackEvent(
                logical_id=event["LogicalResourceId"],
                resource_type=event["ResourceType"],
                status=event["ResourceStatus"],
                reason=event.get("ResourceStatusReason", ""),
            )
            for event in reversed(fresh)
        ]

    def _read(self) -> list[dict[str, Any]]:
        """All events, newest first; none if there is no such stack."""
        try:
            pages = self._cloudformation.get_paginator("describe_stack_events").paginate(
                StackName=self._stack_name
            )
            return [event for page in pages for event in page["StackEvents"]]
        except ClientError as err:
            if "does not exist" in str(err):
                return []
            raise


def stack_status(cloudformation: Any, stack_name: str) -> str | None:
    """The stack's status; None if there is no such stack."""
    stack = find_stack(cloudformation, stack_name)
    return None if stack is None else str(stack["StackStatus"])


def stack_outputs(cloudformation: Any, stack_name: str) -> dict[str, str]:
    """The stack's outputs by name; none if there is no such stack."""
    outputs = (find_stack(cloudformation, stack_name) or {}).get("Outputs", [])
    return {output["OutputKey"]: output["OutputValue"] for output in outputs}


def find_stack(cloudformation: Any, stack_name: str) -> dict[str, Any] | None:
    """The stack as DescribeStacks shows it; None if there is none of that name."""
    try:
        stacks = cloudformation.describe_stacks(StackName=stack_name)["Stacks"]
    except ClientError as err:
        if "does not exist" in str(err):
            return None
        raise
    return dict(stacks[0])


def without_failed_creation(
    cloudformation: Any, stack_name: str, on_delete: Callable[[str], None] = lambda _: None
) -> dict[str, Any] | None:
    """The stack that can be updated; None if there is none, or none any more.

    One whose creation failed can only be deleted: that is done, and waited for, after `on_delete`
    was told its status.
    """
    stack = find_stack(cloudformation, stack_name)
    if stack is None or stack["StackStatus"] not in CREATION_FAILED:
        return stack
    on_delete(stack["StackStatus"])
    cloudformation.delete_stack(StackName=stack_name)
    waiter = cloudformation.get_waiter("stack_delete_complete")
    waiter.wait(StackName=stack_name, WaiterConfig={"Delay": 1, "MaxAttempts": 120})
    return None
