"""One execution of a pipeline: which step may start, what became of it, how it all ends.

    Executing ──▶ Succeeded
        │    └──▶ Failed      a step failed; those that run finish, no other starts
        └─ Stopping ──▶ Stopped   jobs are stopped, no other step starts

A step starts once all that it needs has succeeded and its branch, if any, was taken; all
such run side by side. Steps of a branch not taken never appear, nor does what
needs them.
"""

from __future__ import annotations

import datetime
import json
import queue
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from local_aws.clock import Clock
from local_aws.sagemaker.pipelines.conditions import is_true
from local_aws.sagemaker.pipelines.definition import PipelineDefinition, Step
from local_aws.sagemaker.pipelines.expressions import ExpressionError, Scope, as_text, resolve
from local_aws.sagemaker.pipelines.step_jobs import JobStepRunner, StepFailedError, StepStoppedError
from local_aws.workers import start_worker

_FAILURE_REASON_LENGTH = 1024
STEP_FAILURE = "Step failure: One or multiple steps failed."


@dataclass(frozen=True, kw_only=True)
class ExecutionPlan:
    """What is fixed when an execution starts."""

    pipeline_name: str
    pipeline_arn: str
    execution_id: str
    role_arn: str
    display_name: str
    description: str
    definition_text: str
    definition: PipelineDefinition
    parameters: Mapping[str, Any]
    created: datetime.datetime

    @property
    def execution_arn(self) -> str:
        """The ARN that names the execution in every API call."""
        return f"{self.pipeline_arn}/execution/{self.execution_id}"


class PipelineRun:
    """A running or ended execution. Safe to use from any thread.

    `sagemaker` and `s3` are clients under the role of the plan. `on_status` is told the status
    before and the new one, each time that it changes; `on_step` the same of each step, with its
    type and its entry in ListPipelineExecutionSteps.
    """

    def __init__(
        self,
        plan: ExecutionPlan,
        *,
        sagemaker: Any,
        s3: Any,
        clock: Clock,
        on_status: Callable[[ExecutionPlan, str, str], None] = lambda *_: None,
        on_step: Callable[[ExecutionPlan, str, str, Mapping[str, Any]], None] = lambda *_: None,
    ) -> None:
        self.plan = plan
        self._sagemaker = sagemaker
        self._s3 = s3
        self._clock = clock
        self._on_status = on_status
        self._on_step = on_step
        self._step_types = {step.name: step.type for step in plan.definition.steps}
        self._lock = threading.RLock()
        self._entries: dict[str, dict[str, Any]] = {}
        self._results: dict[str, Mapping[str, Any]] = {}
        self._status = "Executing"
        self._failure_reason = ""
        self._modified = plan.created
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Run the steps in a thread of their own; returns at once."""
        self._on_status(self.plan, "", "Executing")
        name = f"pipeline execution {self.plan.execution_id}"
        self._thread = start_worker(name, self._run, self._fail)

    def stop(self) -> bool:
        """Stop the jobs and start no other step; False if the execution has already ended."""
        with self._lock:
            if self._status not in ("Executing", "Stopping"):
                return False
            self._become("Stopping")
            for entry in self._entries.values():
                if entry["StepStatus"] == "Executing":
                    self._change_step(entry, StepStatus="Stopping")
            self._stop.set()
        return True

    def join(self, timeout_seconds: float) -> None:
        """Wait until the execution has ended."""
        if self._thread is not None:
            self._thread.join(timeout_seconds)

    @property
    def status(self) -> str:
        """The PipelineExecutionStatus."""
        with self._lock:
            return self._status

    def describe(self) -> dict[str, Any]:
        """The answer to DescribePipelineExecution."""
        plan = self.plan
        with self._lock:
            answer = {
                "PipelineArn": plan.pipeline_arn,
                "PipelineExecutionArn": plan.execution_arn,
                "PipelineExecutionDisplayName": plan.display_name,
                "PipelineExecutionStatus": self._status,
                "CreationTime": plan.created,
                "LastModifiedTime": self._modified,
                "RoleArn": plan.role_arn,
            }
            if plan.description:
                answer["PipelineExecutionDescription"] = plan.description
            if self._failure_reason:
                answer["FailureReason"] = self._failure_reason
        return answer

    def steps(self) -> list[dict[str, Any]]:
        """The PipelineExecutionSteps, in the order in which they started."""
        with self._lock:
            return [dict(entry) for entry in self._entries.values()]

    def _run(self) -> None:
        ended: queue.SimpleQueue[str] = queue.SimpleQueue()
        running: set[str] = set()
        while True:
            while (step := self._next_step()) is not None:
                self._open_entry(step)
                if step.type in ("Condition", "Fail"):
                    self._run_step(step)  # takes no time
                    continue
                running.add(step.name)
                self._start_step(step, ended)
            if not running:
                break
            running.discard(ended.get())
        with self._lock:
            failed = any(entry["StepStatus"] == "Failed" for entry in self._entries.values())
            if self._stop.is_set():
                self._become("Stopped")
            elif failed:
                self._become("Failed", STEP_FAILURE)
            else:
                self._become("Succeeded")

    def _next_step(self) -> Step | None:
        """A step that may start now."""
        with self._lock:
            statuses = {name: entry["StepStatus"] for name, entry in self._entries.items()}
            if self._stop.is_set() or "Failed" in statuses.values():
                return None
            for step in self.plan.definition.steps:
                if step.name in statuses:
                    continue
                if all(statuses.get(name) == "Succeeded" for name in step.needs) and (
                    step.branch is None
                    or self._results[step.branch.condition]["Outcome"]
                    == _outcome(step.branch.outcome)
                ):
                    return step
        return None

    def _open_entry(self, step: Step) -> None:
        entry: dict[str, Any] = {
            "StepName": step.name,
            "StartTime": self._clock.now(),
            "StepStatus": "Executing",
            "Metadata": {},
            "AttemptCount": 1,
        }
        if step.display_name:
            entry["StepDisplayName"] = step.display_name
        if step.description:
            entry["StepDescription"] = step.description
        with self._lock:
            self._entries[step.name] = entry
            self._on_step(self.plan, "", step.type, entry)

    def _fail(self, cause: str) -> None:
        """The execution met a fault of local_aws: it ends, and its jobs are stopped."""
        self._stop.set()
        with self._lock:
            for entry in self._entries.values():
                if entry["StepStatus"] in ("Executing", "Stopping"):
                    self._change_step(
                        entry,
                        StepStatus="Failed",
                        FailureReason=f"InternalServerError: {cause}"[:_FAILURE_REASON_LENGTH],
                        EndTime=datetime.datetime.now(datetime.UTC),
                    )
            self._become("Failed", cause)

    def _start_step(self, step: Step, ended: queue.SimpleQueue[str]) -> None:
        def work() -> None:
            self._run_step(step)
            ended.put(step.name)

        def fail(cause: str) -> None:
            try:
                self._close_entry(step, "Failed", f"InternalServerError: {cause}")
            finally:
                ended.put(step.name)

        start_worker(f"pipeline step {self.plan.execution_id} {step.name}", work, fail)

    def _run_step(self, step: Step) -> None:
        """Run the step to its end, whatever that is; its entry tells."""
        try:
            result = self._result_of(step)
        except StepStoppedError:
            self._close_entry(step, "Stopped")
        except StepFailedError as err:
            self._close_entry(step, "Failed", str(err))
        except ExpressionError as err:
            self._close_entry(step, "Failed", f"ClientError: {err}")
        else:
            with self._lock:
                self._results[step.name] = result
                self._close_entry(step, "Succeeded")

    def _result_of(self, step: Step) -> Mapping[str, Any]:
        scope = self._scope()
        if step.type == "Condition":
            conditions = step.arguments.get("Conditions") or []
            outcome = _outcome(all(is_true(condition, scope) for condition in conditions))
            self._report(step, {"Metadata": {"Condition": {"Outcome": outcome}}})
            return {"Outcome": outcome}
        if step.type == "Fail":
            message = as_text(resolve(step.arguments["ErrorMessage"], scope))
            self._report(step, {"Metadata": {"Fail": {"ErrorMessage": message}}})
            raise StepFailedError(message)
        runner = JobStepRunner(
            sagemaker=self._sagemaker,
            clock=self._clock,
            stop=self._stop,
            execution_arn=self.plan.execution_arn,
        )
        return runner.run(step, scope, lambda members: self._report(step, members))

    def _scope(self) -> Scope:
        plan = self.plan
        with self._lock:
            results = dict(self._results)
        return Scope(
            parameters=plan.parameters,
            execution={
                "PipelineName": plan.pipeline_name,
                "PipelineArn": plan.pipeline_arn,
                "PipelineExecutionId": plan.execution_id,
                "PipelineExecutionArn": plan.execution_arn,
                "StartDateTime": _timestamp(plan.created),
                "CurrentDateTime": _timestamp(self._clock.now()),
            },
            steps=results,
            property_files={step.name: step.property_files for step in plan.definition.steps},
            read_json=self._read_json,
        )

    def _read_json(self, uri: str) -> Any:
        bucket, _, key = uri.removeprefix("s3://").partition("/")
        try:
            body = self._s3.get_object(Bucket=bucket, Key=key)["Body"].read()
            return json.loads(body)
        except (ClientError, BotoCoreError) as err:
            raise ExpressionError(f"Unable to read the property file {uri}: {err}") from err
        except ValueError as err:
            raise ExpressionError(f"The property file {uri} is not JSON: {err}") from err

    def _report(self, step: Step, members: Mapping[str, Any]) -> None:
        with self._lock:
            self._entries[step.name].update(members)

    def _close_entry(self, step: Step, status: str, failure_reason: str = "") -> None:
        members: dict[str, Any] = {"StepStatus": status, "EndTime": self._clock.now()}
        if failure_reason:
            members["FailureReason"] = failure_reason[:_FAILURE_REASON_LENGTH]
        with self._lock:
            entry = self._entries[step.name]
            if entry["StepStatus"] != "Failed":  # with the execution, which met a fault
                self._change_step(entry, **members)

    def _change_step(self, entry: dict[str, Any], **members: Any) -> None:
        """Another status for a step, and what comes with it."""
        before = entry["StepStatus"]
        entry.update(members)
        self._on_step(self.plan, before, self._step_types[entry["StepName"]], entry)

    def _become(self, status: str, failure_reason: str = "") -> None:
        before, self._status = self._status, status
        self._failure_reason = failure_reason
        self._modified = self._clock.now()
        if status != "Executing":  # start() says that
            self._on_status(self.plan, before, status)


def _outcome(value: bool) -> str:
    return "True" if value else "False"


def _timestamp(moment: datetime.datetime) -> str:
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
