"""Deletes the platform's stacks, the last one first; what holds data stays unless told otherwise.

in use by a project? ──no──▶ what goes, what stays ─▶ asked ─▶ protection off ─▶ deleted
                                                                  └─ --delete-data ─▶ the rest
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass, field

from mlops.account import Account
from mlops.display import Display
from mlops.errors import DeploymentFailed, InputError
from mlops.platform.deployment import follow_operation
from mlops.platform.projects import list_projects_use
from mlops.platform.retained_data import Retained, delete_retained, monthly_cost
from mlops.platform.stack_events import begin_operation, failure_reasons
from mlops.platform.stacks import PLATFORM, DeployedStack, deployed_template, find_stack

_GONE = "DELETE_COMPLETE"
_APP, _KEY = "AWS::SageMaker::MlflowApp", "AWS::KMS::Key"


@dataclass(frozen=True, kw_only=True)
class TeardownOptions:
    """How far to go, and what has been agreed to beforehand."""

    yes: bool = False
    delete_data: bool = False
    yes_delete_data: str | None = None
    delay_seconds: float = 4.0


@dataclass(frozen=True, kw_only=True)
class StackTeardown:
    """One stack: what goes with it, and what stays because its policy says so."""

    stack: DeployedStack
    goes: tuple[Retained, ...]
    stays: tuple[Retained, ...]


@dataclass(frozen=True, kw_only=True)
class TeardownPlan:
    """The stacks that exist, in the order in which they go, and what is in the way."""

    stacks: tuple[StackTeardown, ...]
    blockers: list[str] = field(default_factory=list)


def plan_teardown(account: Account, keys: Collection[str] | None = None) -> TeardownPlan:
    """Look, change nothing. What is missing already is simply not in the plan.

    `keys` are of the stacks to take down, all of the platform's if None.
    """
    cloudformation = account.client("cloudformation")
    kinds = [kind for kind in reversed(PLATFORM) if keys is None or kind.key in keys]
    stacks = [find_stack(cloudformation, kind.name) for kind in kinds]
    return TeardownPlan(
        stacks=tuple(_planned(account, stack) for stack in stacks if stack is not None),
        blockers=list_projects_use(account),
    )


def show_teardown(plan: TeardownPlan, options: TeardownOptions, display: Display) -> None:
    """What goes, what stays and what that costs, what is in the way."""
    if not plan.stacks:
        display.result("none of the platform's stacks is there: nothing to take down")
    for each in plan.stacks:
        display.table(
            f"{each.stack.name} ({each.stack.status}): goes",
            ["resource", "type", "id"],
            [[item.logical_id, item.type, item.physical_id] for item in each.goes],
        )
        if each.stays:
            title = "is deleted by --delete-data" if options.delete_data else "stays"
            display.table(
                f"{each.stack.name}: {title}",
                ["resource", "type", "id", "policy", "costs (estimate)"],
                [
                    [i.logical_id, i.type, i.physical_id, i.policy, monthly_cost(i)]
                    for i in each.stays
                ],
            )
    for blocker in plan.blockers:
        display.result(f"in the way: {blocker}", style="bold red")


def tear_down(
    account: Account, plan: TeardownPlan, options: TeardownOptions, display: Display
) -> None:
    """Delete the stacks, and with `delete_data` what they leave.

    Raises InputError when nobody agreed, DeploymentFailed when a stack could not be deleted.
    """
    if not plan.stacks:
        return
    _require_consent(account, plan, options, display)
    for each in plan.stacks:
        _take_protection_off(account, each)
        _delete(account, each.stack, options, display)
        for item in each.stays if options.delete_data else ():
            display.result(delete_retained(account, item))


def _planned(account: Account, stack: DeployedStack) -> StackTeardown:
    cloudformation = account.client("cloudformation")
    template = None
    if stack.status != "REVIEW_IN_PROGRESS":  # then it has neither template nor resources
        template = deployed_template(cloudformation, stack)
    items = []
    for page in cloudformation.get_paginator("list_stack_resources").paginate(StackName=stack.id):
        for resource in page["StackResourceSummaries"]:
            made = resource.get("PhysicalResourceId") and resource["ResourceStatus"] != _GONE
            if template is None or not made:
                continue
            items.append(
                Retained(
                    logical_id=resource["LogicalResourceId"],
                    type=resource["ResourceType"],
                    physical_id=resource["PhysicalResourceId"],
                    policy=template.deletion_policy(resource["LogicalResourceId"]),
                )
            )
    return StackTeardown(
        stack=stack,
        goes=tuple(item for item in items if item.policy == "Delete"),
        # The app before the role that it works under; the key last, as it encrypts the others.
        stays=tuple(
            sorted(
                (item for item in items if item.policy != "Delete"),
                key=lambda item: (item.type == _KEY, item.type != _APP),
            )
        ),
    )


def _require_consent(
    account: Account, plan: TeardownPlan, options: TeardownOptions, display: Display
) -> None:
    """Deleting data is asked for stack by stack, by name; --yes alone does not cover it."""
    names = ", ".join(each.stack.name for each in plan.stacks)
    if not options.yes and not display.confirm(f"Delete {names}?"):
        raise DeploymentFailed("stopped: nothing was deleted", [], [])
    if not options.delete_data:
        return
    if options.yes_delete_data is not None:
        if options.yes_delete_data != account.id:
            raise InputError(
                f"--yes-delete-data {options.yes_delete_data}: the credentials are of account "
                f"{account.id}; nothing was deleted"
            )
        return
    if not display.interactive:
        raise InputError(
            "--delete-data is not covered by --yes; pass --yes-delete-data with the account's "
            "number. Nothing was deleted"
        )
    for each in plan.stacks:
        if each.stays:
            question = f"All data of {each.stack.name} will be deleted and can not be had back."
            if any(item.type == _KEY for item in each.stays):
                question += " So will what else its key encrypts, such as buckets of projects."
            if not display.confirm(question, word=each.stack.name):
                raise DeploymentFailed("stopped: nothing was deleted", [], [])


def _take_protection_off(account: Account, each: StackTeardown) -> None:
    if each.stack.termination_protection:
        account.client("cloudformation").update_termination_protection(
            StackName=each.stack.name, EnableTerminationProtection=False
        )
    # CloudFormation takes a last snapshot of a database, but deletes no protected one.
    for item in _of_type(each, "AWS::RDS::DBInstance"):
        account.client("rds").modify_db_instance(
            DBInstanceIdentifier=item.physical_id, DeletionProtection=False, ApplyImmediately=True
        )
    for item in _of_type(each, "AWS::ElasticLoadBalancingV2::LoadBalancer"):
        account.client("elbv2").modify_load_balancer_attributes(
            LoadBalancerArn=item.physical_id,
            Attributes=[{"Key": "deletion_protection.enabled", "Value": "false"}],
        )


def _of_type(each: StackTeardown, kind: str) -> Iterator[Retained]:
    return (item for item in (*each.goes, *each.stays) if item.type == kind)


def _delete(
    account: Account, stack: DeployedStack, options: TeardownOptions, display: Display
) -> None:
    cloudformation = account.client("cloudformation")
    operation = begin_operation(cloudformation, stack.id, stack.name)
    cloudformation.delete_stack(StackName=stack.id)
    if stack.status == "REVIEW_IN_PROGRESS":  # it goes without an event
        display.result(f"{stack.name}: deleted")
        return
    status, events = follow_operation(account, operation, options.delay_seconds, display)
    if status != _GONE:
        raise DeploymentFailed(
            f"{stack.name} ended in {status}:",
            failure_reasons(events),
            ["Settle what is named, then run `mlops platform teardown` again: it goes on there."],
        )
    display.result(f"{stack.name}: deleted", style="green")
