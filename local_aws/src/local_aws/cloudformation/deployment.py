"""Bringing a stack to a plan, and back if that fails.

create:  each resource in order ──▶ CREATE_COMPLETE
              └─ fails ──▶ what was made is deleted ──▶ ROLLBACK_COMPLETE
update:  each resource in order: as it is, changed in place, or replaced by a new one
              ──▶ cleanup deletes the replaced ones and those that left the template
              ──▶ UPDATE_COMPLETE
              └─ fails ──▶ changes taken back, new ones deleted ──▶ UPDATE_ROLLBACK_COMPLETE
delete:  each resource in reverse order ──▶ DELETE_COMPLETE
"""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from local_aws.cloudformation.plan import Plan, PlannedResource, with_stack_tags
from local_aws.cloudformation.resources import (
    Interrupted,
    Physical,
    Provisioner,
    ProvisioningError,
    ResourceType,
    generated_name,
)
from local_aws.cloudformation.stack import Stack, StackResource
from local_aws.errors import AwsError
from local_aws.workers import cause_of

logger = logging.getLogger(__name__)

_REPLACING = (
    "Requested update requires the creation of a new physical resource; hence creating one."
)


@dataclass(frozen=True)
class _Change:
    """What was done to a resource: `before` is None for a new one."""

    before: StackResource | None
    after: StackResource

    @property
    def in_place(self) -> bool:
        return self.before is not None and _id_of(self.before) == _id_of(self.after)


class _ResourceFailed(Exception):
    """One resource failed; the stack's deployment ends."""


class Deployment:
    """One create, update or delete of a stack; run in a thread of its own."""

    def __init__(self, stack: Stack, provisioner: Provisioner) -> None:
        self._stack = stack
        self._by = provisioner
        self._changes: list[_Change] = []
        self._deployed = stack.plan

    def create(self, plan: Plan) -> None:
        """CREATE_COMPLETE, or what the settings say of a failure."""
        stack = self._stack
        stack.plan = plan
        try:
            self._converge(plan)
        except _ResourceFailed as err:
            self._undo_creation(str(err))
        else:
            stack.enter("CREATE_COMPLETE")

    def update(self, plan: Plan) -> None:
        """UPDATE_COMPLETE, or UPDATE_ROLLBACK_COMPLETE with everything as it was."""
        stack = self._stack
        try:
            self._converge(plan)
        except _ResourceFailed as err:
            self._roll_back(str(err))
            return
        replaced = [c.before for c in self._changes if c.before is not None and not c.in_place]
        left = [
            stack.resources[name] for name in _reversed_order(stack) if name not in plan.resources
        ]
        with stack.lock:
            stack.plan, stack.updated = plan, datetime.now(UTC)
            stack.resources = {name: stack.resources[name] for name in plan.resources}
        stack.enter("UPDATE_COMPLETE_CLEANUP_IN_PROGRESS")
        for resource in reversed(replaced):
            self._delete(resource, retained=resource.retained_on_replace)
        for resource in left:
            self._delete(resource, retained=resource.retained_on_delete)
        stack.enter("UPDATE_COMPLETE")

    def delete(self, retained: Iterable[str] = ()) -> None:
        """DELETE_COMPLETE, or DELETE_FAILED naming what is still there."""
        self._delete_all("DELETE", frozenset(retained))

    def take_back(self, cause: str) -> None:
        """Roll back what met a fault of local_aws; nothing if it was no creation or update."""
        if self._stack.status == "CREATE_IN_PROGRESS":
            self._undo_creation(f"{cause}. ")
        elif self._stack.status == "UPDATE_IN_PROGRESS":
            self._roll_back(f"{cause}. ")

    def _undo_creation(self, reason: str) -> None:
        self._stack.enter("ROLLBACK_IN_PROGRESS", f"{reason}Rollback requested by user.")
        self._delete_all("ROLLBACK", undoing=True)

    def _converge(self, plan: Plan) -> None:
        """Bring each resource about, in order. _ResourceFailed at the first that can't be."""
        stack = self._stack
        for name, planned in plan.resources.items():
            reason = _failure_of(functools.partial(self._bring, name, planned, plan))
            if reason is not None:
                resource = stack.resources.setdefault(
                    name, StackResource(name, planned.type, planned.sketch)
                )
                verb = "UPDATE" if self._deployed and name in self._deployed.resources else "CREATE"
                stack.mark(resource, f"{verb}_FAILED", reason)
                raise _ResourceFailed(
                    f"The following resource(s) failed to {verb.lower()}: [{name}]. "
                )
        stack.outputs = stack.evaluate_outputs(plan)

    def _bring(self, name: str, planned: PlannedResource, plan: Plan) -> None:
        """Make the resource what the plan says: as it is, updated in place, or made anew."""
        stack, kind = self._stack, planned.type
        values = plan.evaluation(stack.lookup).value(planned.declaration.properties)
        properties = with_stack_tags(kind, values, plan.tags)
        before = stack.resources.get(name)
        after = StackResource(
            logical_id=name,
            type=kind,
            properties=properties,
            hidden=plan.hidden_values,
            retained_on_delete=planned.declaration.retained_on_delete,
            retained_on_rollback=planned.declaration.retained_on_rollback,
            retained_on_replace=planned.declaration.retained_on_replace,
        )
        if before is None:
            self._make(after, None)
        elif before.type is not kind:
            raise ProvisioningError(
                f"Update of resource type is not permitted ({name}: {before.type.type})"
            )
        elif before.properties == properties:
            before.retained_on_delete = after.retained_on_delete
            before.retained_on_rollback = after.retained_on_rollback
            before.retained_on_replace = after.retained_on_replace
        elif (refusal := kind.refusal(before.properties, properties)) is not None:
            raise ProvisioningError(refusal)
        elif kind.replaces(before.properties, properties):
            _require_new_name(before, after)
            self._make(after, before)
        else:
            assert before.physical is not None
            after.physical = before.physical
            self._start(_Change(before, after), "UPDATE_IN_PROGRESS")
            self._update(kind, before.physical, before.properties, properties)
            after.physical = kind.renewed(before.physical, properties)
            stack.mark(after, "UPDATE_COMPLETE", kind.remark(self._by, kind.typed(properties)))

    def _make(self, after: StackResource, before: StackResource | None) -> None:
        stack, kind = self._stack, after.type
        verb = "CREATE" if before is None else "UPDATE"
        self._start(
            _Change(before, after), f"{verb}_IN_PROGRESS", "" if before is None else _REPLACING
        )
        properties = kind.typed(after.properties)
        made = kind.create(self._by, properties, generated_name(stack.name, after.logical_id))
        after.physical = made
        stack.mark(after, f"{verb}_IN_PROGRESS", "Resource creation Initiated")
        kind.furnish(self._by, made, properties)
        kind.settle(self._by, made, properties)
        stack.mark(after, f"{verb}_COMPLETE", kind.remark(self._by, properties))

    def _update(
        self,
        kind: ResourceType,
        physical: Physical,
        old: Mapping[str, Any],
        new: Mapping[str, Any],
    ) -> None:
        properties = kind.typed(new)
        kind.update(self._by, physical, kind.typed(old), properties)
        kind.settle(self._by, physical, properties)

    def _start(self, change: _Change, status: str, reason: str = "") -> None:
        self._changes.append(change)
        with self._stack.lock:
            self._stack.resources[change.after.logical_id] = change.after
        self._stack.mark(change.after, status, reason)

    def _roll_back(self, reason: str) -> None:
        stack = self._stack
        assert self._deployed is not None
        stack.enter("UPDATE_ROLLBACK_IN_PROGRESS", reason)
        for change in reversed(self._changes):
            problem = self._take_back(change)
            if problem is not None:
                stack.enter("UPDATE_ROLLBACK_FAILED", problem)
                return
        stack.enter("UPDATE_ROLLBACK_COMPLETE_CLEANUP_IN_PROGRESS")
        for change in reversed(self._changes):
            if not change.in_place:
                kept = change.before is None and change.after.retained_on_rollback
                self._delete(change.after, retained=kept)
        with stack.lock:
            stack.resources = {
                n: r for n, r in stack.resources.items() if n in self._deployed.resources
            }
            stack.updated = datetime.now(UTC)
        stack.enter("UPDATE_ROLLBACK_COMPLETE")

    def _take_back(self, change: _Change) -> str | None:
        """Make the resource before the change the stack's again; the problem if that fails."""
        stack, before = self._stack, change.before
        if before is None:
            return None
        if change.in_place:
            stack.mark(change.after, "UPDATE_IN_PROGRESS")
            problem = _failure_of(lambda: self._change_back(change.after, before))
            if problem is not None:
                stack.mark(change.after, "UPDATE_FAILED", problem)
                return (
                    f"The following resource(s) failed to update: [{before.logical_id}]. {problem}"
                )
        stack.resources[before.logical_id] = before
        stack.mark(before, "UPDATE_COMPLETE")
        return None

    def _change_back(self, after: StackResource, before: StackResource) -> None:
        assert before.physical is not None
        self._update(before.type, before.physical, after.properties, before.properties)

    def _delete_all(
        self, verb: str, kept: frozenset[str] = frozenset(), *, undoing: bool = False
    ) -> None:
        """Delete every resource; the stack ends in <verb>_COMPLETE or <verb>_FAILED."""
        stack = self._stack
        resources = [stack.resources[name] for name in _reversed_order(stack)]
        # DeletionPolicy RetainExceptOnCreate is meant for the rollback of a creation.
        failed = [
            resource.logical_id
            for resource in resources
            if not self._delete(
                resource,
                retained=resource.logical_id in kept
                or (resource.retained_on_rollback if undoing else resource.retained_on_delete),
            )
        ]
        if failed:
            reason = f"The following resource(s) failed to delete: [{', '.join(failed)}]. "
            stack.enter(f"{verb}_FAILED", reason)
            return
        if verb == "DELETE":
            stack.deleted, stack.outputs = datetime.now(UTC), []
        stack.enter(f"{verb}_COMPLETE")

    def _delete(self, resource: StackResource, *, retained: bool) -> bool:
        """Delete a physical resource, with its events; False if that failed."""
        stack, physical = self._stack, resource.physical
        if physical is None or resource.status == "DELETE_COMPLETE":
            return True
        if retained:
            stack.mark(resource, "DELETE_SKIPPED")
            return True
        stack.mark(resource, "DELETE_IN_PROGRESS")
        problem = _failure_of(lambda: self._remove(resource, physical))
        stack.mark(resource, f"DELETE_{'FAILED' if problem else 'COMPLETE'}", problem or "")
        return problem is None

    def _remove(self, resource: StackResource, physical: Physical) -> None:
        # Secrets stay references: no deletion needs one, and it may be gone already.
        resource.type.delete(self._by, physical, resource.type.typed(resource.properties))


def _id_of(resource: StackResource) -> str | None:
    return resource.physical.id if resource.physical else None


def _failure_of(action: Callable[[], None]) -> str | None:
    """The reason that `action` fails with, None when it doesn't. Interrupted passes."""
    try:
        action()
    except Interrupted:
        raise
    except ClientError as err:
        details = err.response["Error"]
        return (
            f'Resource handler returned message: "{details["Message"]}" '
            f"(HandlerErrorCode: {details['Code']})"
        )
    except (AwsError, BotoCoreError, ProvisioningError) as err:
        return str(err)
    except Exception as err:  # a mistake of ours must not leave a stack in progress for ever
        logger.exception("a resource's change failed inside local_aws")
        return cause_of(err)
    return None


def _reversed_order(stack: Stack) -> list[str]:
    """Names of the stack's resources, those that need others first."""
    planned = list(stack.plan.resources) if stack.plan else []
    known = [name for name in planned if name in stack.resources]
    return [name for name in stack.resources if name not in known] + known[::-1]


def _require_new_name(before: StackResource, after: StackResource) -> None:
    name = after.type.custom_name(after.properties)
    if name is not None and name == before.type.custom_name(before.properties):
        raise ProvisioningError(
            "CloudFormation cannot update a stack when a custom-named resource requires replacing. "
            f"Rename {name} and update the stack again."
        )
