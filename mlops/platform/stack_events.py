"""An operation of CloudFormation as it goes: its events as progress, its failures as reasons."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from botocore.exceptions import ClientError

from mlops.account import error_message

_STACK = "AWS::CloudFormation::Stack"
# Consequences of another resource's failure, not reasons.
_CANCELLED = re.compile(r"cancelled|The following resource\(s\) failed", re.IGNORECASE)
# What people can do about reasons that are met often: what AWS says, and the remedy.
_REMEDIES = (
    (
        r"not authorized to perform|AccessDenied|is not allowed to",
        "Who deploys lacks a right: CloudFormation acts with your own credentials here.",
    ),
    (
        r"already exists",
        "Something of that name is there. What an earlier stack left is taken in by "
        "`mlops platform deploy --import-existing`; anything else has to be deleted or renamed.",
    ),
    (
        r"limit|quota|exceeded",
        "A quota of the account is used up: `mlops platform doctor` names those that "
        "matter, Service Quotas raises them.",
    ),
    (
        r"Circuit Breaker|did not stabilize|ServiceNotStable",
        "The server's tasks did not stay healthy: read its log group in CloudWatch Logs, "
        "then run `mlops platform doctor`.",
    ),
)


@dataclass(frozen=True, kw_only=True)
class StackEvent:
    """What happened to one resource, or to the stack as a whole."""

    at: datetime
    logical_id: str
    resource_type: str
    status: str
    reason: str
    of_stack: bool

    @property
    def over(self) -> bool:
        """The resource needs no more waiting for."""
        return not self.status.endswith("_IN_PROGRESS")

    @property
    def failed(self) -> bool:
        """With a reason of its own, not because another one failed."""
        return (
            self.status.endswith("_FAILED")
            and not self.of_stack
            and not _CANCELLED.search(self.reason)
        )


@dataclass(frozen=True, kw_only=True)
class Operation:
    """One operation on a stack: which one, and its last event from before."""

    stack_id: str
    stack_name: str
    after_event: str


def begin_operation(cloudformation: Any, stack_id: str, stack_name: str) -> Operation:
    """To be called before the operation is started, so that no event is missed or told twice."""
    try:
        events = cloudformation.describe_stack_events(StackName=stack_id)["StackEvents"]
    except ClientError as err:
        if "does not exist" not in error_message(err):
            raise
        events = []
    return Operation(
        stack_id=stack_id,
        stack_name=stack_name,
        after_event=events[0]["EventId"] if events else "",
    )


def follow(
    cloudformation: Any,
    operation: Operation,
    tell: Callable[[StackEvent], None],
    poll_seconds: float,
) -> tuple[str, list[StackEvent]]:
    """Tell each event as it comes; the stack's status at the end, and all events."""
    told: list[StackEvent] = []
    last = operation.after_event
    while True:
        news, last = _events_after(cloudformation, operation, last)
        for event in news:
            tell(event)
            told.append(event)
            if event.of_stack and event.over:
                return event.status, told
        time.sleep(poll_seconds)


def failure_reasons(events: Iterable[StackEvent]) -> list[str]:
    """What failed by itself, the first one first."""
    events = list(events)
    reasons = [
        f"{event.logical_id} ({event.resource_type}): {event.reason or event.status}"
        for event in events
        if event.failed
    ]
    if not reasons:
        reasons = [
            f"{event.logical_id}: {event.reason}"
            for event in events
            if event.of_stack and event.reason and re.search("ROLLBACK|FAILED", event.status)
        ]
    return list(dict.fromkeys(reasons))


def reasons_until(cloudformation: Any, stack_id: str, moment: datetime | None) -> list[str]:
    """What failed by itself in the last operation that had begun by then, the first one first."""
    found: list[Mapping[str, Any]] = []
    operation = Operation(stack_id=stack_id, stack_name="", after_event="")
    for page in cloudformation.get_paginator("describe_stack_events").paginate(StackName=stack_id):
        for event in page["StackEvents"]:
            if moment is not None and event["Timestamp"] > moment:
                continue
            found.append(event)
            if _begins_operation(event):
                return failure_reasons(_in_order(found, operation))
    return failure_reasons(_in_order(found, operation))


def _begins_operation(event: Mapping[str, Any]) -> bool:
    """A rollback belongs to the operation that it undoes."""
    status = event.get("ResourceStatus", "")
    return event.get("PhysicalResourceId") == event.get("StackId") and status in (
        *("CREATE_IN_PROGRESS", "UPDATE_IN_PROGRESS", "DELETE_IN_PROGRESS"),
    )


def remedies_of(reasons: Iterable[str]) -> list[str]:
    """What can be done about them, as far as it is known."""
    text = "\n".join(reasons)
    return [remedy for pattern, remedy in _REMEDIES if re.search(pattern, text, re.IGNORECASE)]


def _events_after(
    cloudformation: Any, operation: Operation, last: str
) -> tuple[list[StackEvent], str]:
    """The newer events, oldest first, and the id of the newest. AWS lists the newest first."""
    found: list[Mapping[str, Any]] = []
    for page in cloudformation.get_paginator("describe_stack_events").paginate(
        StackName=operation.stack_id
    ):
        for event in page["StackEvents"]:
            if event["EventId"] == last:
                return _in_order(found, operation), found[0]["EventId"] if found else last
            found.append(event)
    return _in_order(found, operation), found[0]["EventId"] if found else last


def _in_order(found: list[Mapping[str, Any]], operation: Operation) -> list[StackEvent]:
    return [
        StackEvent(
            at=event["Timestamp"],
            logical_id=event["LogicalResourceId"],
            resource_type=event.get("ResourceType", ""),
            status=event.get("ResourceStatus", ""),
            reason=event.get("ResourceStatusReason") or "",
            of_stack=event.get("ResourceType") == _STACK
            and event.get("PhysicalResourceId") == operation.stack_id,
        )
        for event in reversed(found)
    ]
