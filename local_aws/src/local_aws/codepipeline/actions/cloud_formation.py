"""Deploy with CloudFormation: a stack is made or updated; the action's variables are its outputs.

Source: "AWS CloudFormation deploy action reference" in the CodePipeline user guide.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from botocore.exceptions import ClientError

from local_aws.codepipeline.actions.action import ActionFailed, ActionJob, Outcome
from local_aws.codepipeline.actions.stack_requests import stack_request
from local_aws.codepipeline.definition import Action

_SUCCEEDED = ("CREATE_COMPLETE", "UPDATE_COMPLETE")
# States that REPLACE_ON_FAILURE deletes the stack from.
_FAILED = (
    *("CREATE_FAILED", "ROLLBACK_COMPLETE", "ROLLBACK_FAILED", "DELETE_FAILED"),
    "UPDATE_ROLLBACK_FAILED",
)
_MODES = ("CREATE_UPDATE", "REPLACE_ON_FAILURE")
_NO_CHANGES = "No updates are to be performed"


@dataclass(frozen=True)
class CloudFormation:
    """Deploy/CloudFormation."""

    required: frozenset[str] = frozenset({"ActionMode", "StackName", "RoleArn", "TemplatePath"})
    optional: frozenset[str] = frozenset({"TemplateConfiguration", "Capabilities"})
    inputs: tuple[int, int] = (0, 10)
    outputs: tuple[int, int] = (0, 0)

    def problems(self, action: Action) -> list[str]:
        configuration = action.configuration
        mode = configuration.get("ActionMode", "CREATE_UPDATE")
        if mode not in _MODES:
            return [f"ActionMode {mode!r} is none that local_aws has: {', '.join(_MODES)}"]
        problems = []
        for key in ("TemplatePath", "TemplateConfiguration"):
            artifact, separator, _ = configuration.get(key, "").partition("::")
            if key in configuration and (not separator or artifact not in action.inputs):
                problems.append(
                    f"{key} {configuration[key]!r} is not <input artifact>::<file>; "
                    f"its input artifacts: {', '.join(action.inputs) or 'none'}"
                )
        return problems

    def run(self, job: ActionJob) -> Outcome:
        """Do what ActionMode says, and wait until the stack is settled."""
        job.report(external_id=job.get("StackName"))
        try:
            if job.get("ActionMode") == "REPLACE_ON_FAILURE":
                _delete_failed(job)
            return _create_update(job)
        except ClientError as err:
            raise ActionFailed(
                f"CloudFormation refused stack {job.get('StackName')}: "
                f"{err.response['Error']['Message']}",
                "ConfigurationError",
            ) from err


def _create_update(job: ActionJob) -> Outcome:
    request = stack_request(job)
    stack = _describe(job, job.get("StackName"))
    if stack is not None:
        _report(job, stack)
    try:
        if stack is None or stack["StackStatus"] == "REVIEW_IN_PROGRESS":
            job.client("cloudformation").create_stack(**request)
        else:
            job.client("cloudformation").update_stack(**request)
    except ClientError as err:
        if _NO_CHANGES not in str(err) or stack is None:
            raise
        return _outcome(stack)
    return _deployed(job)


def _delete_failed(job: ActionJob) -> None:
    stack = _describe(job, job.get("StackName"))
    if stack is not None and stack["StackStatus"] in _FAILED:
        _delete(job, stack)


def _deployed(job: ActionJob) -> Outcome:
    stack = _settled(job, job.get("StackName"))
    assert stack is not None
    if stack["StackStatus"] in _SUCCEEDED:
        return _outcome(stack)
    raise ActionFailed(
        f"Stack {stack['StackName']} ended {stack['StackStatus']}. "
        f"{_failed_resources(job, stack) or stack.get('StackStatusReason', '')}"
    )


def _delete(job: ActionJob, stack: Mapping[str, Any]) -> None:
    role = {"RoleARN": job.get("RoleArn")} if job.get("RoleArn") else {}
    job.client("cloudformation").delete_stack(StackName=stack["StackId"], **role)
    gone = _settled(job, stack["StackId"])
    if gone is not None and gone["StackStatus"] != "DELETE_COMPLETE":
        raise ActionFailed(
            f"Stack {stack['StackName']} could not be deleted, it is {gone['StackStatus']}. "
            f"{_failed_resources(job, gone)}"
        )


def _settled(job: ActionJob, name: str) -> dict[str, Any] | None:
    while True:
        stack = _describe(job, name)
        if stack is None:
            return None
        _report(job, stack)
        status = stack["StackStatus"]
        if not status.endswith("_IN_PROGRESS") or status == "REVIEW_IN_PROGRESS":
            return stack
        job.pause()


def _describe(job: ActionJob, name: str) -> dict[str, Any] | None:
    """The stack; None if there is none of this name."""
    try:
        stacks = job.client("cloudformation").describe_stacks(StackName=name)["Stacks"]
    except ClientError as err:
        if "does not exist" in str(err):
            return None
        raise
    return dict(stacks[0])


def _report(job: ActionJob, stack: Mapping[str, Any]) -> None:
    link = (
        f"https://console.aws.amazon.com/cloudformation/home?region={job.own.region}"
        f"#/stack/detail?stackId={stack['StackId']}"
    )
    job.report(external_id=stack["StackId"], external_url=link)


def _failed_resources(job: ActionJob, stack: Mapping[str, Any]) -> str:
    """What failed in the stack's last operation, first cause first."""
    events = job.client("cloudformation").describe_stack_events(StackName=stack["StackId"])
    reasons: list[str] = []
    for event in events["StackEvents"]:  # newest first
        if event["PhysicalResourceId"] == stack["StackId"] and event["ResourceStatus"] in (
            *("CREATE_IN_PROGRESS", "UPDATE_IN_PROGRESS", "DELETE_IN_PROGRESS"),
        ):
            break
        if event["ResourceStatus"].endswith("_FAILED"):
            reason = event.get("ResourceStatusReason", "no reason given")
            reasons.insert(0, f"{event['LogicalResourceId']}: {reason}")
    return f"Failed resources: {'; '.join(reasons)}" if reasons else ""


def _outcome(stack: Mapping[str, Any]) -> Outcome:
    outputs = {output["OutputKey"]: output["OutputValue"] for output in stack.get("Outputs", [])}
    return Outcome(
        variables=outputs,
        summary=f"Stack {stack['StackName']} is {stack['StackStatus']}",
    )
