"""Brings a stack to a template and parameters through a change set, as `aws cloudformation deploy`
does.

A stack whose creation failed is deleted first. A template over CloudFormation's limit for a request
goes through S3.
"""

from __future__ import annotations

import hashlib
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from botocore.exceptions import ClientError

from local_aws.errors import DeploymentFailed
from mlops.project.clients import Clients
from mlops.project.stack_events import (
    StackEvent,
    StackEvents,
    stack_outputs,
    without_failed_creation,
)

TEMPLATE_BODY_BYTES = 51_200
_NO_CHANGES = ("didn't contain changes", "No updates are to be performed")
_POLL_SECONDS = 0.2


@dataclass(frozen=True, kw_only=True)
class StackChange:
    """What a stack is to become.

    `template` None keeps the one it has; parameters and tags that are not named keep their values.
    """

    stack_name: str
    template: str | None = None
    parameters: Mapping[str, str] = field(default_factory=dict)
    tags: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class StackOutcome:
    """How it went; `changed` False means there was nothing to do."""

    changed: bool
    outputs: dict[str, str]


def change_stack(
    clients: Clients,
    change: StackChange,
    bucket: str,
    on_begin: Callable[[int], None] = lambda _: None,
    on_event: Callable[[StackEvent], None] = lambda _: None,
) -> StackOutcome:
    """Compute, execute, wait.

    `bucket` is for a template too large for a request. `on_begin` gets the number of resources that
    change, `on_event` each event. Raises DeploymentFailed with the reasons if it rolled back.
    """
    cloudformation = clients("cloudformation")
    stack = without_failed_creation(cloudformation, change.stack_name)
    if stack is not None and stack["StackStatus"] == "REVIEW_IN_PROGRESS":
        stack = None  # a change set made its name, nothing more
    change_set = f"local-aws-{uuid.uuid4().hex[:12]}"
    identity = {"StackName": change.stack_name, "ChangeSetName": change_set}
    template = _template(clients, change, bucket)
    cloudformation.create_change_set(
        **identity,
        **template,
        ChangeSetType="CREATE" if stack is None else "UPDATE",
        Parameters=_parameters(cloudformation, template, change, stack),
        Tags=_tags(change, stack),
        Capabilities=["CAPABILITY_NAMED_IAM"],
    )
    described = _computed(cloudformation, identity)
    if described is None:
        cloudformation.delete_change_set(**identity)
        return StackOutcome(changed=False, outputs=stack_outputs(cloudformation, change.stack_name))
    on_begin(len(described["Changes"]))
    events = StackEvents(cloudformation, change.stack_name)
    cloudformation.execute_change_set(**identity)
    events.follow(on_event)
    return StackOutcome(changed=True, outputs=stack_outputs(cloudformation, change.stack_name))


def _template(clients: Clients, change: StackChange, bucket: str) -> dict[str, Any]:
    if change.template is None:
        return {"UsePreviousTemplate": True}
    body = change.template.encode()
    if len(body) <= TEMPLATE_BODY_BYTES:
        return {"TemplateBody": change.template}
    s3 = clients("s3")
    key = f"templates/{hashlib.sha256(body).hexdigest()}.yml"
    s3.put_object(Bucket=bucket, Key=key, Body=body)
    return {"TemplateURL": f"https://{bucket}.s3.amazonaws.com/{key}"}


def _parameters(
    cloudformation: Any,
    template: Mapping[str, Any],
    change: StackChange,
    stack: Mapping[str, Any] | None,
) -> list[dict[str, Any]]:
    entries: list[dict[str, Any]] = [
        {"ParameterKey": name, "ParameterValue": value} for name, value in change.parameters.items()
    ]
    if stack is None:
        return entries
    former = {parameter["ParameterKey"] for parameter in stack.get("Parameters", ())}
    if change.template is not None:
        summary = cloudformation.get_template_summary(**template)
        former &= {parameter["ParameterKey"] for parameter in summary.get("Parameters", ())}
    kept = sorted(former - set(change.parameters))
    return [*entries, *({"ParameterKey": name, "UsePreviousValue": True} for name in kept)]


def _tags(change: StackChange, stack: Mapping[str, Any] | None) -> list[dict[str, str]]:
    former = {tag["Key"]: tag["Value"] for tag in (stack or {}).get("Tags", ())}
    return [{"Key": k, "Value": v} for k, v in {**former, **change.tags}.items()]


def _computed(cloudformation: Any, identity: Mapping[str, str]) -> dict[str, Any] | None:
    """The change set, ready to be executed; None if it would change nothing."""
    while True:
        described = cloudformation.describe_change_set(**identity)
        if described["Status"] == "CREATE_COMPLETE":
            pages = cloudformation.get_paginator("describe_change_set").paginate(**identity)
            changes = [change for page in pages for change in page.get("Changes", ())]
            return {**described, "Changes": changes}
        if described["Status"] == "FAILED":
            reason = described.get("StatusReason", "")
            if any(text in reason for text in _NO_CHANGES):
                return None
            raise DeploymentFailed(f"stack {identity['StackName']} cannot be changed: {reason}")
        time.sleep(_POLL_SECONDS)


def ensure_bucket(clients: Clients, bucket: str) -> None:
    """Create the bucket unless it is there."""
    s3 = clients("s3")
    try:
        s3.head_bucket(Bucket=bucket)
    except ClientError as err:
        if err.response["Error"]["Code"] not in ("404", "NoSuchBucket"):
            raise
        s3.create_bucket(Bucket=bucket)
