"""The job of a Processing or Training step: created, watched, stopped, tried again.

arguments ──resolve──▶ Create…Job ──▶ Describe…Job until it ends ──▶ its description
               ▲                              │
               └── a policy allows a retry ◀──┘ failed

A step with CacheConfig runs as well: a cache hit is a saving on AWS, never a promise.
"""

from __future__ import annotations

import dataclasses
import datetime
import json
import random
import re
import string
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError, ParamValidationError

from local_aws.clock import Clock
from local_aws.sagemaker.pipelines.definition import Step
from local_aws.sagemaker.pipelines.expressions import Scope, resolve
from local_aws.sagemaker.pipelines.retry import (
    SERVICE_FAULT,
    Retries,
    exception_type_of_error,
    exception_type_of_failure,
)

_POLL_SECONDS = (0.05, 0.2)
_JOB_NAME_LENGTH = 63
_SUFFIX_LENGTH = 10


class StepFailedError(Exception):
    """The step failed; the message is its FailureReason."""


class StepStoppedError(Exception):
    """The step was stopped before it ended."""


class _AttemptFailedError(Exception):
    """One attempt failed; `exception_type` is what a retry policy could name."""

    def __init__(self, reason: str, exception_type: str | None) -> None:
        super().__init__(reason)
        self.exception_type = exception_type


@dataclass(frozen=True)
class JobKind:
    """How the API names the jobs of a step type: `noun` in operations, `method` in boto3."""

    noun: str
    method: str

    @property
    def name_member(self) -> str:
        return f"{self.noun}Name"


JOB_KINDS = {
    "Processing": JobKind("ProcessingJob", "processing_job"),
    "Training": JobKind("TrainingJob", "training_job"),
}


@dataclass(frozen=True, kw_only=True)
class JobStepRunner:
    """Runs job steps of one execution. `sagemaker` is a client under the pipeline's role."""

    sagemaker: Any
    clock: Clock
    stop: threading.Event
    execution_arn: str

    def run(
        self, step: Step, scope: Scope, report: Callable[[Mapping[str, Any]], None]
    ) -> Mapping[str, Any]:
        """The description of the job that succeeded.

        `report` gets members of the step's entry in ListPipelineExecutionSteps as they become
        known. Raises StepFailedError, StepStoppedError or ExpressionError.
        """
        started = self.clock.now()
        retries = Retries(step.retry_policies)
        attempt = 0
        while True:
            attempt += 1
            report({"AttemptCount": attempt})
            try:
                return self._attempt(step, scope, report)
            except _AttemptFailedError as err:
                elapsed = (self.clock.now() - started).total_seconds()
                delay = retries.after_failure(err.exception_type, elapsed)
                if delay is None:
                    raise StepFailedError(self._failure_reason(step, err, attempt)) from err
            if self.clock.wait(self.stop, delay):
                raise StepStoppedError

    def _attempt(
        self, step: Step, scope: Scope, report: Callable[[Mapping[str, Any]], None]
    ) -> Mapping[str, Any]:
        if self.stop.is_set():
            raise StepStoppedError
        kind = JOB_KINDS[step.type]
        prefix = resolve(step.arguments.get(kind.name_member), scope)
        name = job_name(self.execution_arn.rsplit("/", 1)[-1], step.name, prefix)
        scope = dataclasses.replace(scope, execution={**scope.execution, kind.name_member: name})
        arguments = {**resolve(step.arguments, scope), kind.name_member: name}
        report({"Metadata": {kind.noun: {"Arn": self._create(kind, arguments)}}})
        return self._watch(kind, name)

    def _create(self, kind: JobKind, arguments: Mapping[str, Any]) -> str:
        """Start the job; its ARN."""
        prefix = f"ClientError: Failed to invoke sagemaker:Create{kind.noun}. Error Details: "
        try:
            answer = getattr(self.sagemaker, f"create_{kind.method}")(**arguments)
        except ClientError as err:
            error = err.response["Error"]
            status = err.response["ResponseMetadata"]["HTTPStatusCode"]
            exception_type = exception_type_of_error(error["Code"], status)
            raise _AttemptFailedError(prefix + error["Message"], exception_type) from err
        except ParamValidationError as err:
            raise _AttemptFailedError(prefix + str(err), None) from err
        except BotoCoreError as err:
            raise _AttemptFailedError(prefix + str(err), SERVICE_FAULT) from err
        return str(answer[f"{kind.noun}Arn"])

    def _watch(self, kind: JobKind, name: str) -> Mapping[str, Any]:
        """Wait for the job to end, stopping it if the execution is stopped; its description."""
        status_member = f"{kind.noun}Status"
        started = self.clock.now()
        stopping = False
        while True:
            job = self._call(kind, "Describe", name)
            status = job[status_member]
            if status == "Completed":
                return json_values(job)
            if status == "Failed" and not stopping:
                reason = (
                    job.get("FailureReason") or "AlgorithmError: See job logs for more information"
                )
                raise _AttemptFailedError(reason, exception_type_of_failure(reason))
            if status in ("Stopped", "Failed"):
                if stopping:
                    raise StepStoppedError
                raise StepFailedError(_stopped_by_another(kind, name, job))
            if self.stop.is_set() and not stopping:
                stopping = True
                self._stop_job(kind, name)
            self._pause((self.clock.now() - started).total_seconds(), stopping)

    def _stop_job(self, kind: JobKind, name: str) -> None:
        try:
            self._call(kind, "Stop", name)
        except StepFailedError:
            # Stop refuses a job that has ended in the meantime; its description then says how.
            if self._call(kind, "Describe", name)[f"{kind.noun}Status"] == "InProgress":
                raise

    def _pause(self, seconds_so_far: float, stopping: bool) -> None:
        # A tenth of the time gone by: short jobs are noticed at once, long ones cost little.
        shortest, longest = _POLL_SECONDS
        event = threading.Event() if stopping else self.stop
        self.clock.wait(event, min(max(shortest, seconds_so_far / 10), longest))

    def _call(self, kind: JobKind, verb: str, name: str) -> Mapping[str, Any]:
        try:
            answer: Mapping[str, Any] = getattr(self.sagemaker, f"{verb.lower()}_{kind.method}")(
                **{kind.name_member: name}
            )
        except (ClientError, BotoCoreError) as err:
            detail = err.response["Error"]["Message"] if isinstance(err, ClientError) else str(err)
            raise StepFailedError(
                f"ClientError: Failed to invoke sagemaker:{verb}{kind.noun}. "
                f"Error Details: {detail}"
            ) from err
        return answer

    def _failure_reason(self, step: Step, err: _AttemptFailedError, attempt: int) -> str:
        if err.exception_type is None:
            return str(err)
        named = err.exception_type.upper().replace(".", "_")
        why = (
            f"No retry policy configured for the exception type {named}."
            if attempt == 1
            else f"{attempt} attempts were made, which is all that the retry policies allow."
        )
        return (
            f"{err}\nRetry not appropriate on execution of step with PipelineExecutionArn "
            f"{self.execution_arn} and StepId {step.name}. {why}"
        )


def job_name(execution_id: str, step_name: str, prefix: str | None = None) -> str:
    """A new job name as SageMaker Pipelines makes them, at most 63 characters.

    `prefix` is the job name in a definition compiled with use_custom_job_prefix; it replaces
    `pipelines-<execution id>-<step name>`.
    """
    suffix = "".join(random.choices(string.ascii_letters + string.digits, k=_SUFFIX_LENGTH))  # noqa: S311
    text = prefix or f"pipelines-{execution_id}-{step_name}"
    words = re.sub(r"[^A-Za-z0-9]+", "-", text)[: _JOB_NAME_LENGTH - _SUFFIX_LENGTH - 1]
    return f"{words.strip('-')}-{suffix}"


def _stopped_by_another(kind: JobKind, name: str, job: Mapping[str, Any]) -> str:
    limit = job.get("StoppingCondition", {}).get("MaxRuntimeInSeconds")
    overrun = f" or for running longer than its MaxRuntimeInSeconds, {limit}" if limit else ""
    return f"ClientError: {kind.noun} {name} was stopped, by a Stop{kind.noun} call{overrun}"


def json_values(description: Mapping[str, Any]) -> Mapping[str, Any]:
    """A Describe answer as the JSON values that expressions can take from it."""
    kept = {name: value for name, value in description.items() if name != "ResponseMetadata"}
    values: dict[str, Any] = json.loads(json.dumps(kept, default=_json_value))
    return values


def _json_value(value: Any) -> Any:
    return value.isoformat() if isinstance(value, datetime.datetime) else str(value)
