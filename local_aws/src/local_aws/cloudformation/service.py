"""AWS CloudFormation, executed: the API's operations on stacks.

    request ──▶ template ──▶ plan (checked, nothing made yet) ──▶ deployment in a thread
                                                                        └─▶ events, outputs, status

Change sets are in cloudformation_change_sets. boto3's waiters and `aws cloudformation deploy` work
against it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from local_aws.aws_protocol import Call
from local_aws.cloudformation.capabilities import (
    described_capabilities,
    require_capabilities,
)
from local_aws.cloudformation.change_sets import ChangeSets
from local_aws.cloudformation.parameters import given_parameters
from local_aws.cloudformation.requests import (
    refuse_unsupported,
    require_stack_name,
    tags_of,
    template_of,
)
from local_aws.cloudformation.resources import RESOURCE_TYPES
from local_aws.cloudformation.stack import Stack, StackSettings
from local_aws.cloudformation.stacks import UPDATE_FAILED, Stacks
from local_aws.cloudformation.template import Template
from local_aws.cloudformation.validation import check_template
from local_aws.errors import AwsError
from local_aws.gateway import Handler
from local_aws.own_aws import OwnAws

Answer = Mapping[str, Any]


class CloudFormation:
    """The service; `own` makes the calls that provision resources."""

    kept = ("_stacks._stacks", "_change_sets._sets")

    def __init__(self, own: OwnAws) -> None:
        self._own = own
        self._stacks = Stacks(own)
        self._change_sets = ChangeSets(self._stacks)

    def operations(self) -> Mapping[tuple[str, str], Handler]:
        """What the gateway hands to this service."""
        handlers: dict[str, Handler] = {
            "CreateStack": self.create_stack,
            "UpdateStack": self.update_stack,
            "DeleteStack": self.delete_stack,
            "UpdateTerminationProtection": self.update_termination_protection,
            "DescribeStacks": self.describe_stacks,
            "DescribeStackEvents": self.describe_stack_events,
            "DescribeStackResources": self.describe_stack_resources,
            "ListStackResources": self.list_stack_resources,
            "GetTemplate": self.get_template,
            "GetTemplateSummary": self.get_template_summary,
            **self._change_sets.handlers(),
        }
        return {("cloudformation", name): handler for name, handler in handlers.items()}

    def close(self) -> None:
        """End deployments in progress."""
        self._stacks.close()

    def resume(self) -> list[str]:
        """Nothing is deployed on: a stack that was in progress failed."""
        return self._stacks.interrupted()

    def create_stack(self, call: Call) -> Answer:
        """Check everything, then create in the background."""
        params = call.params
        require_stack_name(params["StackName"])
        refuse_unsupported(params)
        settings = StackSettings(
            role_arn=params.get("RoleARN"),
            capabilities=tuple(params.get("Capabilities", ())),
            client_request_token=params.get("ClientRequestToken"),
        )
        template = template_of(params, self._own)
        require_capabilities(template, settings.capabilities)
        stack = self._stacks.add(params["StackName"], settings, "CREATE_IN_PROGRESS")
        try:
            given = given_parameters(params.get("Parameters", []), {})
            plan = self._stacks.plan(stack, template, given, tags_of(params, {}), settings.role_arn)
        except AwsError:
            self._stacks.remove(stack)
            raise
        stack.termination_protection = bool(params.get("EnableTerminationProtection"))
        self._stacks.create(stack, plan)
        return {"StackId": stack.id}

    def update_stack(self, call: Call) -> Answer:
        """Check everything, then change the stack in the background."""
        params = call.params
        refuse_unsupported(params)
        stack = self._stacks.find(params["StackName"])
        self._stacks.require_updatable(stack)
        before = stack.plan
        assert before is not None
        settings = StackSettings(
            role_arn=params.get("RoleARN") or stack.settings.role_arn,
            capabilities=tuple(params.get("Capabilities", ())),
            client_request_token=params.get("ClientRequestToken"),
        )
        template = template_of(params, self._own, before.template)
        require_capabilities(template, settings.capabilities)
        given = given_parameters(params.get("Parameters", []), before.parameters)
        plan = self._stacks.plan(
            stack, template, given, tags_of(params, before.tags), settings.role_arn
        )
        if not plan.differs_from(before) and stack.status != UPDATE_FAILED:
            raise AwsError("ValidationError", "No updates are to be performed.")
        self._stacks.update(stack, plan, settings)
        return {"StackId": stack.id}

    def delete_stack(self, call: Call) -> None:
        """Delete in the background; a stack that doesn't exist is deleted already."""
        refuse_unsupported(call.params, "DeletionMode")
        stack = self._stacks.named(call.params["StackName"])
        if stack is None or stack.status == "DELETE_IN_PROGRESS":
            return
        if stack.termination_protection:
            raise AwsError(
                "ValidationError",
                f"Stack [{stack.name}] cannot be deleted while TerminationProtection is enabled",
            )
        retained = call.params.get("RetainResources", [])
        if retained and stack.status != "DELETE_FAILED":
            raise AwsError(
                "ValidationError",
                f"Invalid operation on stack [{stack.id}]. "
                "RetainResources is for stacks in DELETE_FAILED only",
            )
        role_arn = call.params.get("RoleARN") or stack.settings.role_arn
        self._stacks.provisioner(role_arn)
        stack.settings = StackSettings(
            role_arn=role_arn,
            capabilities=stack.settings.capabilities,
            client_request_token=call.params.get("ClientRequestToken"),
        )
        self._change_sets.forget(stack)
        self._stacks.delete(stack, retained)

    def update_termination_protection(self, call: Call) -> Answer:
        """Switch the protection against DeleteStack."""
        stack = self._stacks.find(call.params["StackName"])
        stack.termination_protection = bool(call.params["EnableTerminationProtection"])
        return {"StackId": stack.id}

    def describe_stacks(self, call: Call) -> Answer:
        """One stack, or all that exist."""
        name = call.params.get("StackName")
        stacks = [self._stacks.find(name)] if name else _existing(self._stacks.all())
        return {"Stacks": [stack.description() for stack in stacks]}

    def describe_stack_events(self, call: Call) -> Answer:
        """All events, the newest first."""
        stack = self._stacks.find(call.params["StackName"])
        return {"StackEvents": list(reversed(stack.events))}

    def describe_stack_resources(self, call: Call) -> Answer:
        """A stack's resources."""
        refuse_unsupported(call.params, "LogicalResourceId", "PhysicalResourceId")
        return {"StackResources": self._resources(call)}

    def list_stack_resources(self, call: Call) -> Answer:
        """Summaries of a stack's resources."""
        return {"StackResourceSummaries": self._resources(call)}

    def get_template(self, call: Call) -> Answer:
        """The template's text as it was given."""
        refuse_unsupported(call.params, "ChangeSetName")
        stack = self._stacks.find(call.params["StackName"])
        if stack.plan is None:
            raise AwsError("ValidationError", f"Stack with id {stack.name} has no template yet")
        return {
            "TemplateBody": stack.plan.template.body,
            "StagesAvailable": ["Original", "Processed"],
        }

    def get_template_summary(self, call: Call) -> Answer:
        """Parameters with their constraints, resource types, description."""
        refuse_unsupported(call.params)
        template = self._checked_template(call.params)
        types = [resource.type for resource in template.resources.values()]
        return {
            "Parameters": [
                {
                    **_parameter(name, declared),
                    "ParameterType": declared["Type"],
                    "ParameterConstraints": {
                        "AllowedValues": [str(v) for v in declared.get("AllowedValues", [])]
                    },
                }
                for name, declared in template.parameters.items()
            ],
            "Description": template.description,
            "ResourceTypes": types,
            **described_capabilities(template),
            "Version": "2010-09-09",
        }

    def _checked_template(self, params: Mapping[str, Any]) -> Template:
        name = params.get("StackName")
        if name:
            plan = self._stacks.find(name).plan
            if plan is None:
                raise AwsError("ValidationError", f"Stack with id {name} has no template yet")
            return plan.template
        template = template_of(params, self._own)
        check_template(template, RESOURCE_TYPES, self._stacks.provisioner(None))
        return template

    def _resources(self, call: Call) -> list[Mapping[str, Any]]:
        stack = self._stacks.find(call.params["StackName"])
        with stack.lock:
            resources = list(stack.resources.values())
        return [stack.resource_description(resource) for resource in resources]


def _existing(stacks: Iterable[Stack]) -> list[Stack]:
    return [stack for stack in stacks if stack.status != "DELETE_COMPLETE"]


def _parameter(name: str, declared: Mapping[str, Any]) -> dict[str, Any]:
    default = declared.get("Default")
    return {
        "ParameterKey": name,
        "DefaultValue": None if default is None else str(default),
        "NoEcho": str(declared.get("NoEcho", False)).lower() == "true",
        "Description": declared.get("Description"),
    }
