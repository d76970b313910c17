"""Deploys a stack from a template and a TemplateConfiguration file, as CodePipeline's
CloudFormation action does.

The action's mode is REPLACE_ON_FAILURE: create the stack if there is none, else update it; a stack
whose creation failed is deleted first. No changes is a success.
Source of the file's form: "Template configuration file" in AWS CodePipeline's CloudFormation
reference.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from botocore.exceptions import ClientError

from local_aws.project.stack_events import (
    CREATION_FAILED,
    StackEvent,
    StackEvents,
    find_stack,
    stack_outputs,
    without_failed_creation,
)


@dataclass(frozen=True, kw_only=True)
class StackSettings:
    """What a stack is deployed with."""

    template: str
    parameters: Mapping[str, str]
    tags: Mapping[str, str]


def deploy_stack(
    cloudformation: Any,
    stack_name: str,
    template_path: Path,
    configuration_path: Path,
    on_event: Callable[[str], None] = lambda _: None,
) -> dict[str, str]:
    """Deploy and wait; returns the stack's outputs.

    `on_event` gets a line for each stack event as it comes. Raises DeploymentFailed with the
    reasons when it rolled back.
    """
    configuration = json.loads(configuration_path.read_text())
    settings = StackSettings(
        template=template_path.read_text(),
        parameters=configuration["Parameters"],
        tags=configuration["Tags"],
    )
    return _apply(cloudformation, stack_name, settings, on_event)


def read_settings(cloudformation: Any, stack_name: str) -> StackSettings | None:
    """What the stack was last deployed with; None if there is none that ever came up."""
    stack = find_stack(cloudformation, stack_name)
    if stack is None or stack["StackStatus"] in CREATION_FAILED:
        return None
    return StackSettings(
        template=cloudformation.get_template(StackName=stack_name)["TemplateBody"],
        parameters={
            parameter["ParameterKey"]: parameter["ParameterValue"]
            for parameter in stack["Parameters"]
        },
        tags={tag["Key"]: tag["Value"] for tag in stack["Tags"]},
    )


def restore_stack(
    cloudformation: Any,
    stack_name: str,
    settings: StackSettings,
    on_event: Callable[[str], None] = lambda _: None,
) -> None:
    """Deploy once more what `read_settings` saw, as CodePipeline's rollback of a stage does."""
    _apply(cloudformation, stack_name, settings, on_event)


def _line(event: StackEvent) -> str:
    """What happened, and what of it has no effect on this machine."""
    told = f": {event.reason}" if event.status.endswith("_COMPLETE") and event.reason else ""
    return f"{event.logical_id} {event.status}{told}"


def _apply(
    cloudformation: Any,
    stack_name: str,
    settings: StackSettings,
    on_event: Callable[[str], None],
) -> dict[str, str]:
    request = {
        "StackName": stack_name,
        "TemplateBody": settings.template,
        "Parameters": [
            {"ParameterKey": key, "ParameterValue": value}
            for key, value in settings.parameters.items()
        ],
        "Tags": [{"Key": key, "Value": value} for key, value in settings.tags.items()],
    }
    stack = without_failed_creation(
        cloudformation,
        stack_name,
        lambda status: on_event(f"deleting the stack, whose creation had failed ({status})"),
    )
    events = StackEvents(cloudformation, stack_name)
    try:
        if stack is None:
            cloudformation.create_stack(**request)
        else:
            cloudformation.update_stack(**request)
    except ClientError as err:
        if "No updates are to be performed" not in str(err):
            raise
    else:
        events.follow(lambda event: on_event(_line(event)))
    return stack_outputs(cloudformation, stack_name)
