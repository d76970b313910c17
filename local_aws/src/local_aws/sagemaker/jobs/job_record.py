"""What Describe tells about a job, and the way to stop it."""

from __future__ import annotations

import datetime
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from local_aws.containers.supervision import SupervisedProcess
from local_aws.workers import start_worker

ENDED = frozenset({"Completed", "Failed", "Stopped"})
# AWS gives a container 120 s between SIGTERM and SIGKILL; nobody waits that long at a laptop.
STOP_GRACE_SECONDS = 30.0


@dataclass(frozen=True)
class JobKind:
    """How the API names one kind of job."""

    noun: str
    words: str
    log_group: str

    @property
    def name(self) -> str:
        return f"{self.noun}Name"

    @property
    def arn(self) -> str:
        return f"{self.noun}Arn"

    @property
    def status(self) -> str:
        return f"{self.noun}Status"

    @property
    def start(self) -> str:
        return f"{self.noun.removesuffix('Job')}StartTime"

    @property
    def end(self) -> str:
        return f"{self.noun.removesuffix('Job')}EndTime"


TRAINING = JobKind("TrainingJob", "training job", "/aws/sagemaker/TrainingJobs")
PROCESSING = JobKind("ProcessingJob", "processing job", "/aws/sagemaker/ProcessingJobs")


class JobRecord:
    """One job, shared by its own thread and those of its callers.

    `request` is the Create call's, without its tags.
    """

    def __init__(self, kind: JobKind, request: Mapping[str, Any], arn: str) -> None:
        self.kind = kind
        self.name: str = request[kind.name]
        self.arn = arn
        self.request = {name: value for name, value in request.items() if name != "Tags"}
        self.stop_requested = threading.Event()
        self._lock = threading.Lock()
        self._process: SupervisedProcess | None = None
        now = _now()
        self._members: dict[str, Any] = {
            **self.request,
            kind.arn: arn,
            kind.status: "InProgress",
            "CreationTime": now,
            "LastModifiedTime": now,
        }
        if kind is TRAINING:
            self._members["SecondaryStatusTransitions"] = []
            self.enter("Starting", "Starting the training job")

    def describe(self) -> dict[str, Any]:
        """The answer of the Describe call."""
        with self._lock:
            members = dict(self._members)
            if "SecondaryStatusTransitions" in members:
                members["SecondaryStatusTransitions"] = [
                    dict(transition) for transition in members["SecondaryStatusTransitions"]
                ]
            return members

    @property
    def status(self) -> str:
        return str(self._members[self.kind.status])

    def update(self, **members: Any) -> None:
        """Change what Describe says."""
        with self._lock:
            self._members.update(members, LastModifiedTime=_now())

    def started(self) -> None:
        """The container starts now."""
        self.update(**{self.kind.start: _now()})

    def enter(self, secondary_status: str, message: str) -> None:
        """The next secondary status of a training job; nothing for a processing job."""
        with self._lock:
            if self._members[self.kind.status] not in ENDED:
                self._enter(secondary_status, message)

    def end(self, status: str, secondary_status: str, message: str, **members: Any) -> None:
        """The job is over, unless it was before. All of it becomes visible at once."""
        with self._lock:
            if self._members[self.kind.status] in ENDED:
                return
            self._enter(secondary_status, message)
            now = _now()
            if self.kind is TRAINING:
                self._members["SecondaryStatusTransitions"][-1]["EndTime"] = now
                started = self._members.get(self.kind.start, now)
                seconds = max(1, round((now - started).total_seconds()))
                self._members.update(TrainingTimeInSeconds=seconds, BillableTimeInSeconds=seconds)
            self._members.update(members)
            self._members.update({self.kind.end: now, "LastModifiedTime": now})
            self._members[self.kind.status] = status

    def fail(self, cause: str) -> None:
        """The job is over because of a fault of local_aws; its process, if any, is ended."""
        self.end("Failed", "Failed", "Job failed", FailureReason=f"InternalServerError: {cause}")
        with self._lock:
            process = self._process
        if process is not None:
            process.stop(0)

    def run(self, process: SupervisedProcess) -> None:
        """Tell which process is the job's, so that a stop reaches it, even one asked for before."""
        with self._lock:
            self._process = process
        if self.stop_requested.is_set():
            self._stop_process(STOP_GRACE_SECONDS)

    def stop(self, grace_seconds: float = STOP_GRACE_SECONDS) -> None:
        """Ask the job to end; returns at once."""
        with self._lock:
            if self._members[self.kind.status] in ENDED:
                return
            self._members[self.kind.status] = "Stopping"
        self.enter("Stopping", "Stopping the training job")
        self.stop_requested.set()
        self._stop_process(grace_seconds)

    def _stop_process(self, grace_seconds: float) -> None:
        process = self._process
        if process is not None:
            start_worker(f"stop {self.name}", lambda: process.stop(grace_seconds), self.fail)

    def _enter(self, secondary_status: str, message: str) -> None:
        if self.kind is not TRAINING:
            return
        now = _now()
        transitions = self._members["SecondaryStatusTransitions"]
        if transitions:
            transitions[-1].setdefault("EndTime", now)
        transitions.append({"Status": secondary_status, "StartTime": now, "StatusMessage": message})
        self._members.update(SecondaryStatus=secondary_status, LastModifiedTime=now)


def _now() -> datetime.datetime:
    return datetime.datetime.now(datetime.UTC)
