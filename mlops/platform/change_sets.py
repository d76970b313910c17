"""Change sets: what CloudFormation would do to a stack, made, read, and cleared away again."""

from __future__ import annotations

import contextlib
import re
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from botocore.exceptions import ClientError, WaiterError

from mlops.account import error_code
from mlops.errors import DeploymentFailed
from mlops.interrupts import uninterrupted
from mlops.platform.stack_events import remedies_of
from mlops.platform.stacks import DeployedStack, resolved_values

CAPABILITIES = ["CAPABILITY_IAM", "CAPABILITY_NAMED_IAM"]
# Types of which a replacement or removal loses what people put there.
DATA_TYPES = frozenset(
    {
        "AWS::CodeCommit::Repository",
        "AWS::ECR::Repository",
        "AWS::KMS::Key",
        "AWS::RDS::DBCluster",
        "AWS::RDS::DBInstance",
        "AWS::S3::Bucket",
        "AWS::SageMaker::MlflowApp",
        "AWS::SageMaker::MlflowTrackingServer",
    }
)
# How CloudFormation says that nothing differs; there is no code for it.
_EMPTY = re.compile(r"didn't contain changes|No updates are to be performed", re.IGNORECASE)


@dataclass(frozen=True, kw_only=True)
class ChangeRequest:
    """What a stack should become.

    `template` is TemplateBody or TemplateURL with its value, or UsePreviousTemplate.
    """

    stack_name: str
    template: Mapping[str, Any]
    # Of a new stack and of one that gets all its values: name -> value. None keeps a value.
    parameters: Mapping[str, str | None]
    tags: Mapping[str, str]
    # Take in what is there under the same name and in no stack, instead of failing.
    import_existing: bool = False


@dataclass(frozen=True, kw_only=True)
class Change:
    """One resource that would change. `replacement` is yes, conditional, no or empty."""

    action: str
    logical_id: str
    resource_type: str
    replacement: str
    # What becomes of the old one by its policy: Delete, Retain, Snapshot; empty where not told.
    policy: str
    properties: tuple[str, ...]

    @property
    def endangers_data(self) -> bool:
        """People's data would be gone, or no longer where it is looked for."""
        moved = self.action == "Remove" or self.replacement in ("yes", "conditional")
        return moved and self.resource_type in DATA_TYPES


@dataclass(frozen=True, kw_only=True)
class ChangeSet:
    """A change set that CloudFormation has computed."""

    id: str
    stack_name: str
    stack_id: str
    creates_stack: bool
    changes: tuple[Change, ...]
    empty: bool
    # What parameters of the Parameter Store hold now.
    resolved: Mapping[str, str]


@contextlib.contextmanager
def computed_change_set(
    cloudformation: Any, request: ChangeRequest, stack: DeployedStack | None, delay_seconds: float
) -> Iterator[ChangeSet]:
    """The change set; at the end of the block it is gone again unless it was executed.

    So is the empty stack that comes with the first change set of a new one. `stack` is the one
    that exists. Raises DeploymentFailed when CloudFormation can not compute it.
    """
    name = f"mlops-{uuid.uuid4().hex[:12]}"
    creates = stack is None or stack.status == "REVIEW_IN_PROGRESS"
    try:
        with uninterrupted():
            made = cloudformation.create_change_set(
                ChangeSetName=name,
                ChangeSetType="CREATE" if creates else "UPDATE",
                StackName=request.stack_name,
                Description="By mlops",
                Capabilities=CAPABILITIES,
                Parameters=[
                    {"ParameterKey": key, "UsePreviousValue": True}
                    if value is None
                    else {"ParameterKey": key, "ParameterValue": value}
                    for key, value in request.parameters.items()
                ],
                Tags=[{"Key": key, "Value": value} for key, value in request.tags.items()],
                **({"ImportExistingResources": True} if request.import_existing else {}),
                **request.template,
            )
        yield _computed(cloudformation, made, request.stack_name, creates, delay_seconds)
    finally:
        with uninterrupted():
            _clear_away(cloudformation, request.stack_name, name, stack, delay_seconds)


def execute_change_set(cloudformation: Any, change_set: ChangeSet) -> None:
    """Start what the change set says."""
    with uninterrupted():
        cloudformation.execute_change_set(
            ChangeSetName=change_set.id,
            StackName=change_set.stack_name,
            ClientRequestToken=uuid.uuid4().hex,
        )


def _computed(
    cloudformation: Any,
    made: Mapping[str, str],
    stack_name: str,
    creates: bool,
    delay_seconds: float,
) -> ChangeSet:
    identity = {"ChangeSetName": made["Id"], "StackName": stack_name}
    empty = False
    try:
        cloudformation.get_waiter("change_set_create_complete").wait(
            **identity, WaiterConfig={"Delay": delay_seconds, "MaxAttempts": 300}
        )
    except WaiterError as err:
        reason = str(err.last_response.get("StatusReason", err))
        empty = bool(_EMPTY.search(reason))
        if not empty:
            raise _refused(cloudformation, made["Id"], stack_name, reason) from err
    pages = list(cloudformation.get_paginator("describe_change_set").paginate(**identity))
    return ChangeSet(
        id=made["Id"],
        stack_name=stack_name,
        stack_id=made["StackId"],
        creates_stack=creates,
        changes=tuple(
            _change(change["ResourceChange"])
            for page in pages
            for change in page.get("Changes", [])
            if "ResourceChange" in change
        ),
        empty=empty,
        resolved=resolved_values(pages[0].get("Parameters", [])),
    )


def _change(told: Mapping[str, Any]) -> Change:
    properties = {
        detail["Target"].get("Name") or detail["Target"].get("Attribute", "")
        for detail in told.get("Details", [])
        if "Target" in detail
    }
    replacement = {"True": "yes", "Conditional": "conditional", "False": "no"}
    return Change(
        action=told["Action"],
        logical_id=told["LogicalResourceId"],
        resource_type=told["ResourceType"],
        replacement=replacement.get(told.get("Replacement") or "", ""),
        policy=str(told.get("PolicyAction") or "").removeprefix("ReplaceAnd"),
        properties=tuple(sorted(properties - {""})),
    )


def _refused(
    cloudformation: Any, change_set_id: str, stack_name: str, reason: str
) -> DeploymentFailed:
    """CloudFormation checks properties and names before it makes a change set: its findings."""
    findings = []
    # Only AWS knows the operation, and only some failures have such events.
    with contextlib.suppress(ClientError):
        answer = cloudformation.describe_events(
            ChangeSetName=change_set_id, Filters={"FailedEvents": True}
        )
        findings = [
            f"{event.get('LogicalResourceId', stack_name)}: {event['ValidationStatusReason']}"
            for event in answer["OperationEvents"]
            if event.get("ValidationStatusReason")
        ]
    reasons = findings or [reason]
    return DeploymentFailed(
        f"CloudFormation can not compute the changes of {stack_name}:",
        reasons,
        [
            *remedies_of(reasons),
            "Nothing was changed. Correct the settings or the template, then deploy again.",
        ],
    )


def _clear_away(
    cloudformation: Any,
    stack_name: str,
    name: str,
    before: DeployedStack | None,
    delay_seconds: float,
) -> None:
    identity = {"ChangeSetName": name, "StackName": stack_name}
    try:
        waiting = cloudformation.describe_change_set(**identity)
        if waiting.get("ExecutionStatus") not in (None, "AVAILABLE", "UNAVAILABLE"):
            return
        # One that is still computed (after Ctrl-C) can not be deleted yet.
        with contextlib.suppress(WaiterError):
            cloudformation.get_waiter("change_set_create_complete").wait(
                **identity, WaiterConfig={"Delay": delay_seconds, "MaxAttempts": 60}
            )
        cloudformation.delete_change_set(**identity)
    except ClientError as err:
        # Never made, or executed: its stack has other change sets no more.
        if error_code(err) not in ("ChangeSetNotFound", "ValidationError"):
            raise
        return
    if before is None:
        cloudformation.delete_stack(StackName=waiting["StackId"])
