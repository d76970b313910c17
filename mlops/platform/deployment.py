"""Brings the stacks to what the settings say, one after the other.

settings ──▶ checked against the templates, all at once
    └─▶ each stack: cleared if it never came to be ─▶ change set ─▶ shown ─▶ asked
            └─▶ executed ─▶ followed by its events ─▶ protected
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mlops.account import Account
from mlops.display import Display
from mlops.errors import DeploymentFailed, InputError
from mlops.platform.change_sets import (
    ChangeRequest,
    ChangeSet,
    computed_change_set,
    execute_change_set,
)
from mlops.platform.settings import Settings, check_settings
from mlops.platform.stack_events import (
    Operation,
    StackEvent,
    begin_operation,
    failure_reasons,
    follow,
    remedies_of,
)
from mlops.platform.stacks import IMAGES, KINDS, LAPTOP, DeployedStack, StackKind, find_stack
from mlops.platform.templates import Template, is_from_parameter_store

# Output of the images stack: the bucket that templates may be put into as well.
TEMPLATE_BUCKET_OUTPUT = "SourcesBucketName"
_SSM_NAMES_PER_REQUEST = 10
_DELETE_FIRST = (
    "`mlops platform teardown --stack {key}` deletes what is left, protected or not; a project's "
    "stack: `aws cloudformation delete-stack --stack-name {name}`. Then deploy again"
)
_STUCK = {
    "CREATE_FAILED": _DELETE_FIRST,
    "DELETE_FAILED": "`aws cloudformation describe-stack-events --stack-name {name}` names what "
    "could not be deleted; delete the stack again once that is settled",
    "ROLLBACK_FAILED": _DELETE_FIRST,
    "UPDATE_FAILED": "roll it back: `aws cloudformation rollback-stack --stack-name {name}`",
    "UPDATE_ROLLBACK_FAILED": "settle what its events name, then "
    "`aws cloudformation continue-update-rollback --stack-name {name}`, and deploy again",
}


@dataclass(frozen=True, kw_only=True)
class DeployOptions:
    """How to deploy. `delay_seconds` is how long to wait between two looks at AWS."""

    dry_run: bool = False
    yes: bool = False
    accept_data_loss: bool = False
    import_existing: bool = False
    template_bucket: str | None = None
    delay_seconds: float = 1.0


@dataclass(frozen=True, kw_only=True)
class StackPlan:
    """One stack: what it is, what it should become, how it stands."""

    kind: StackKind
    name: str
    template: Template
    # A value that is None stays as it is.
    parameters: Mapping[str, str | None]
    tags: Mapping[str, str]
    deployed: DeployedStack | None
    # Only parameters change: the template stays the one that the stack has.
    keeps_template: bool = False

    def value(self, parameter: str) -> str:
        """What the parameter is going to be."""
        value = self.parameters.get(parameter)
        if value is None and parameter in self.parameters and self.deployed is not None:
            return self.deployed.parameters[parameter]
        return str(self.template.parameters[parameter]["Default"]) if value is None else value


def plan_stacks(account: Account, settings: Settings, keys: Sequence[str]) -> list[StackPlan]:
    """The stacks of these keys in their order. Raises SettingsError with all that is wrong."""
    cloudformation = account.client("cloudformation")
    kinds = [KINDS[key] for key in settings.stacks if key in keys]
    templates = {kind.key: kind.template() for kind in kinds}
    deployed = {kind.key: find_stack(cloudformation, settings.stack_name(kind)) for kind in kinds}
    kept = {
        key: {} if settings.complete or stack is None or stack.never_created else stack.parameters
        for key, stack in deployed.items()
    }
    check_settings(settings, templates, kept)
    return [
        StackPlan(
            kind=kind,
            name=settings.stack_name(kind),
            template=templates[kind.key],
            parameters={
                **{name: None for name in templates[kind.key].parameters if name in kept[kind.key]},
                **settings.stacks[kind.key],
            },
            tags=_tags(settings, deployed[kind.key]),
            deployed=deployed[kind.key],
        )
        for kind in kinds
    ]


def deploy_stack(
    account: Account, plan: StackPlan, options: DeployOptions, display: Display
) -> bool:
    """Bring one stack to its plan; whether anything changed.

    Raises DeploymentFailed, also when the person says no.
    """
    cloudformation = account.client("cloudformation")
    deployed = _ready_for_changes(account, plan, options, display)
    missing = missing_parameters(account, plan)
    if missing or (deployed is not None and deployed.status == "ROLLBACK_COMPLETE"):
        if not options.dry_run:
            raise DeploymentFailed(
                f"{plan.name} can not be deployed yet:",
                [f"there is no parameter {name}; {_maker(name)}" for name in missing],
                [],
            )
        _show_resources(plan, missing, display)
        return False
    request = ChangeRequest(
        stack_name=plan.name,
        template=_template_argument(account, plan, options),
        parameters=plan.parameters,
        tags=plan.tags,
        import_existing=options.import_existing,
    )
    with computed_change_set(
        cloudformation, request, deployed, options.delay_seconds
    ) as change_set:
        if change_set.empty:
            display.result(f"{plan.name}: no changes")
            changed = False
        else:
            _show(plan, change_set, deployed, display)
            if options.dry_run:
                return False
            _require_consent(plan, change_set, options, display)
            operation = begin_operation(cloudformation, change_set.stack_id, plan.name)
            with _going_on(operation, display):
                execute_change_set(cloudformation, change_set)
            changed = True
    if changed:
        _follow(account, plan.kind.key, operation, options, display)
    if plan.kind.protected and not options.dry_run:
        cloudformation.update_termination_protection(
            StackName=plan.name, EnableTerminationProtection=True
        )
    return changed


def follow_operation(
    account: Account, operation: Operation, delay_seconds: float, display: Display
) -> tuple[str, list[StackEvent]]:
    """Show how the operation goes; the stack's last status and all events.

    Ctrl-C leaves CloudFormation at work, and says so.
    """
    cloudformation = account.client("cloudformation")
    with _going_on(operation, display), display.progress(operation.stack_name) as progress:
        return follow(cloudformation, operation, progress.tell, delay_seconds)


@contextlib.contextmanager
def _going_on(operation: Operation, display: Display) -> Iterator[None]:
    """Whoever interrupts the block hears that this does not stop CloudFormation."""
    try:
        yield
    except KeyboardInterrupt:
        display.warn(
            f"CloudFormation goes on with {operation.stack_name}; `mlops platform status` shows "
            "how far it is, and `aws cloudformation cancel-update-stack --stack-name "
            f"{operation.stack_name}` takes an update back."
        )
        raise


def missing_parameters(account: Account, plan: StackPlan) -> list[str]:
    """Names that the stack reads from the Parameter Store and that are not there."""
    names = sorted(
        {
            plan.value(name)
            for name, declared in plan.template.parameters.items()
            if is_from_parameter_store(declared)
        }
    )
    ssm = account.client("ssm")
    return [
        name
        for start in range(0, len(names), _SSM_NAMES_PER_REQUEST)
        for name in ssm.get_parameters(Names=names[start : start + _SSM_NAMES_PER_REQUEST])[
            "InvalidParameters"
        ]
    ]


def _tags(settings: Settings, deployed: DeployedStack | None) -> dict[str, str]:
    if settings.complete or deployed is None:
        return dict(settings.tags)
    return {**deployed.tags, **settings.tags}


def _ready_for_changes(
    account: Account, plan: StackPlan, options: DeployOptions, display: Display
) -> DeployedStack | None:
    """The stack that a change set can be made for, after what never came to be is cleared away."""
    deployed = plan.deployed
    if deployed is None:
        return None
    if deployed.never_created:
        if options.dry_run:
            return deployed
        _clear(account, deployed, options, display)
        return None
    if deployed.status in _STUCK:
        raise DeploymentFailed(
            f"{plan.name} is in {deployed.status} and takes no change:",
            [deployed.status_reason or "CloudFormation gave no reason"],
            [_STUCK[deployed.status].format(name=plan.name, key=plan.kind.key)],
        )
    if deployed.status.endswith("_IN_PROGRESS"):
        raise DeploymentFailed(
            f"{plan.name} is in {deployed.status}: something else changes it now.",
            [],
            ["Wait until `mlops platform status` shows it done, then deploy again."],
        )
    return deployed


def _clear(
    account: Account, deployed: DeployedStack, options: DeployOptions, display: Display
) -> None:
    display.say(
        f"{deployed.name} is in {deployed.status}: it never came to be. Deleting what is left."
    )
    cloudformation = account.client("cloudformation")
    if deployed.termination_protection:
        cloudformation.update_termination_protection(
            StackName=deployed.name, EnableTerminationProtection=False
        )
    cloudformation.delete_stack(StackName=deployed.id)
    cloudformation.get_waiter("stack_delete_complete").wait(
        StackName=deployed.id, WaiterConfig={"Delay": options.delay_seconds, "MaxAttempts": 300}
    )


def _template_argument(account: Account, plan: StackPlan, options: DeployOptions) -> dict[str, Any]:
    """The template as an argument of CreateChangeSet; from S3 when it is too large."""
    if plan.keeps_template:
        return {"UsePreviousTemplate": True}
    if not plan.template.too_large_for_a_request:
        return {"TemplateBody": plan.template.body}
    bucket = options.template_bucket or sources_bucket(account)
    if bucket is None:
        raise InputError(
            f"{plan.kind.template_name} has more than the 51,200 bytes of a request, and there is "
            f"no stack {IMAGES.name} whose bucket could take it; pass --template-bucket"
        )
    body = plan.template.body.encode()
    key = f"templates/{hashlib.sha256(body).hexdigest()}.yml"
    s3 = account.client("s3")
    s3.put_object(Bucket=bucket, Key=key, Body=body)
    return {"TemplateURL": f"{s3.meta.endpoint_url}/{bucket}/{key}"}


def sources_bucket(account: Account) -> str | None:
    """The platform's bucket for what stacks are made from; None before there is one."""
    for kind in (IMAGES, LAPTOP):
        stack = find_stack(account.client("cloudformation"), kind.name)
        if stack is not None and TEMPLATE_BUCKET_OUTPUT in stack.outputs:
            return stack.outputs[TEMPLATE_BUCKET_OUTPUT]
    return None


def _show_resources(plan: StackPlan, missing: Sequence[str], display: Display) -> None:
    """The template's resources, where AWS can not yet say which of them it would make."""
    rows = [
        [logical_id, str(resource["Type"]), str(resource.get("Condition", ""))]
        for logical_id, resource in plan.template.resources.items()
    ]
    display.table(f"{plan.name}: what its template holds", ["resource", "type", "only if"], rows)
    why = [f"no parameter {name} yet; {_maker(name)}" for name in missing] or [
        "its creation failed; `deploy` deletes what is left, then begins anew"
    ]
    for line in why:
        display.result(f"no change set of {plan.name}: {line}", style="yellow")


def _maker(name: str) -> str:
    """Who writes the parameter; on a laptop `mlops platform deploy --size laptop` all of them."""
    if "/images/" in name:
        return "the builds of the images write it"
    if "/network/" in name:
        return f"the stack {KINDS['network'].name} makes it"
    return f"{KINDS['mlflow'].name} or {KINDS['mlflow-managed'].name} makes it"


def _show(
    plan: StackPlan, change_set: ChangeSet, deployed: DeployedStack | None, display: Display
) -> None:
    what = "a new stack" if change_set.creates_stack else "changes"
    display.changes(f"{plan.name}: {what}", change_set.changes)
    if deployed is None or change_set.creates_stack:
        return
    rows = [
        [name, deployed.parameters.get(name, "(new)"), plan.value(name)]
        for name, declared in plan.template.parameters.items()
        if str(declared.get("NoEcho", False)).lower() != "true"
        and deployed.parameters.get(name) != plan.value(name)
    ]
    # The same parameter of the store, which says something else by now: a newer image.
    rows += [
        [f"{name} ({plan.value(name)})", deployed.resolved[name], value]
        for name, value in change_set.resolved.items()
        if deployed.resolved.get(name, value) != value
    ]
    if rows:
        display.table("by these parameters", ["parameter", "from", "to"], rows)


def _require_consent(
    plan: StackPlan, change_set: ChangeSet, options: DeployOptions, display: Display
) -> None:
    dangers = [change.logical_id for change in change_set.changes if change.endangers_data]
    if dangers and not options.accept_data_loss:
        question = f"{', '.join(dangers)} would be replaced or removed, and hold data."
        if options.yes or not display.interactive:
            raise InputError(
                f"{plan.name}: {question} Nothing was changed. Back up first; "
                "--accept-data-loss lets --yes go on."
            )
        agreed = display.confirm(question, word=plan.name)
    else:
        agreed = options.yes or display.confirm(f"Deploy {plan.name}?")
    if not agreed:
        raise DeploymentFailed(
            f"stopped before {plan.name}; it is as it was.", [], ["What was deployed before stays."]
        )


def _follow(
    account: Account, key: str, operation: Operation, options: DeployOptions, display: Display
) -> None:
    status, events = follow_operation(account, operation, options.delay_seconds, display)
    if status in ("CREATE_COMPLETE", "UPDATE_COMPLETE"):
        display.result(f"{operation.stack_name}: {status}", style="green")
        return
    reasons = failure_reasons(events)
    after = {
        "ROLLBACK_COMPLETE": "Nothing of it is left but what its policies retain; "
        "the next `deploy` clears the stack away and begins anew.",
        "UPDATE_ROLLBACK_COMPLETE": "The stack is as it was before.",
    }
    remedy = after.get(status) or _STUCK.get(status, "").format(name=operation.stack_name, key=key)
    raise DeploymentFailed(
        f"{operation.stack_name} ended in {status}:", reasons, [*remedies_of(reasons), remedy]
    )
