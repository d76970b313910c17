"""All stacks: found by name, planned, and deployed one thread each."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable, Mapping
from typing import Any

from local_aws.cloudformation.deployment import Deployment
from local_aws.cloudformation.plan import Plan, make_plan
from local_aws.cloudformation.resources import Interrupted, Provisioner
from local_aws.cloudformation.stack import Stack, StackSettings
from local_aws.cloudformation.template import Template
from local_aws.errors import AwsError
from local_aws.own_aws import OwnAws
from local_aws.workers import start_worker

# An update broken off halfway: the same template again may have something to do.
UPDATE_FAILED = "UPDATE_FAILED"
UPDATABLE = frozenset(
    {"CREATE_COMPLETE", "UPDATE_COMPLETE", "UPDATE_ROLLBACK_COMPLETE", UPDATE_FAILED}
)


class Stacks:
    """The account's stacks, deleted ones included. Safe to use from any thread."""

    def __init__(self, own: OwnAws) -> None:
        self.own = own
        self._stacks: dict[str, Stack] = {}
        self._lock = threading.RLock()
        self._closing = threading.Event()
        self._threads: list[threading.Thread] = []

    def interrupted(self) -> list[str]:
        """Let what was in progress when local_aws ended fail; a line for each."""
        told = []
        for stack in self.all():
            if not stack.in_progress:
                continue
            before, stack.resources = (
                stack.status,
                {name: one for name, one in stack.resources.items() if one.physical is not None},
            )
            stack.enter(stack.failed_status, f"local_aws ended during {before}")
            again = "update it" if stack.status == UPDATE_FAILED else "delete it and begin"
            told.append(
                f"stack {stack.name} was in {before}, it is {stack.status} now: {again} again. A "
                "resource that was just being made may have to be deleted by hand"
            )
        return told

    def find(self, name: str) -> Stack:
        """The stack of that name, or of that id (then deleted ones too).

        AwsError ValidationError if there is none.
        """
        with self._lock:
            if name in self._stacks:
                return self._stacks[name]
            stack = self.named(name)
        if stack is None:
            raise AwsError("ValidationError", f"Stack with id {name} does not exist")
        return stack

    def named(self, name: str) -> Stack | None:
        """The stack of that name or id that exists; None if there is none."""
        for stack in self.all():
            if name in (stack.name, stack.id) and stack.status != "DELETE_COMPLETE":
                return stack
        return None

    def all(self) -> list[Stack]:
        """Every stack, newest first."""
        with self._lock:
            return list(reversed(self._stacks.values()))

    def add(self, name: str, settings: StackSettings, status: str) -> Stack:
        """A new stack without resources. AwsError AlreadyExistsException when the name is taken."""
        with self._lock:
            if self.named(name) is not None:
                raise AwsError("AlreadyExistsException", f"Stack [{name}] already exists")
            stack_id = self.new_id(name)
            stack = Stack(name=name, id=stack_id, status=status, settings=settings)
            self._stacks[stack_id] = stack
            return stack

    def remove(self, stack: Stack) -> None:
        """Forget a stack that never had resources."""
        with self._lock:
            del self._stacks[stack.id]

    def new_id(self, name: str) -> str:
        """An ARN as CloudFormation gives to a new stack."""
        return self.own.arn("cloudformation", f"stack/{name}/{uuid.uuid4()}")

    def provisioner(self, role_arn: str | None) -> Provisioner:
        """Who makes a stack's calls. AwsError when CloudFormation can't assume the role."""
        provisioner = Provisioner(self.own, role_arn, self._closing)
        try:
            provisioner.client("sts")
        except AwsError as err:
            raise AwsError(
                "ValidationError", f"Role {role_arn} is invalid or cannot be assumed: {err}"
            ) from err
        return provisioner

    def plan(
        self,
        stack: Stack,
        template: Template,
        given: Mapping[str, str],
        tags: Mapping[str, str],
        role_arn: str | None,
    ) -> Plan:
        """What the stack would become. AwsError ValidationError for whatever is wrong with it."""
        pseudo: dict[str, Any] = {
            "AWS::AccountId": self.own.account,
            "AWS::NotificationARNs": [],
            "AWS::Partition": "aws",
            "AWS::Region": self.own.region,
            "AWS::StackId": stack.id,
            "AWS::StackName": stack.name,
            "AWS::URLSuffix": "amazonaws.com",
        }
        return make_plan(
            template,
            given=given,
            tags=tags,
            pseudo=pseudo,
            provisioner=self.provisioner(role_arn),
        )

    def create(self, stack: Stack, plan: Plan) -> None:
        """Start to create the stack's resources."""
        stack.enter("CREATE_IN_PROGRESS", "User Initiated")
        self._run(stack, lambda deployment: deployment.create(plan))

    def update(self, stack: Stack, plan: Plan, settings: StackSettings) -> None:
        """Start to bring the stack to `plan`."""
        with stack.lock:
            self.require_updatable(stack)
            stack.settings = settings
            stack.enter("UPDATE_IN_PROGRESS", "User Initiated")
        self._run(stack, lambda deployment: deployment.update(plan))

    def delete(self, stack: Stack, retained: list[str]) -> None:
        """Start to delete the stack's resources and the stack."""
        with stack.lock:
            if stack.in_progress:
                raise AwsError(
                    "ValidationError",
                    f"Stack [{stack.name}] cannot be deleted while in status {stack.status}",
                )
            stack.enter("DELETE_IN_PROGRESS", "User Initiated")
        self._run(stack, lambda deployment: deployment.delete(retained))

    def require_updatable(self, stack: Stack) -> None:
        """Raise AWS's ValidationError when the stack's status forbids an update."""
        if stack.status not in UPDATABLE:
            raise AwsError(
                "ValidationError",
                f"Stack:{stack.id} is in {stack.status} state and can not be updated.",
            )

    def close(self) -> None:
        """End deployments that are in progress."""
        self._closing.set()
        for thread in self._threads:
            thread.join(timeout=10)

    def _run(self, stack: Stack, action: Callable[[Deployment], None]) -> None:
        deployment = Deployment(
            stack, Provisioner(self.own, stack.settings.role_arn, self._closing)
        )

        def work() -> None:
            try:
                action(deployment)
            except Interrupted:
                stack.enter(stack.status, "local_aws was closed")

        def fail(cause: str) -> None:
            try:
                deployment.take_back(cause)
            finally:
                if stack.in_progress:
                    stack.enter(stack.failed_status, cause)

        with self._lock:
            self._threads = [t for t in self._threads if t.is_alive()]
            self._threads.append(start_worker(f"stack {stack.name}", work, fail))
