"""What is known of one build: its answer to BatchGetBuilds, phase by phase, and its events."""

from __future__ import annotations

import json
import threading
import uuid
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from local_aws.event_bus import EventBus

SUCCEEDED, FAILED, STOPPED, TIMED_OUT = "SUCCEEDED", "FAILED", "STOPPED", "TIMED_OUT"
FAULT, IN_PROGRESS = "FAULT", "IN_PROGRESS"
# Of a build request, what the build's description repeats.
_REPEATED = (
    *("sourceVersion", "source", "secondarySources", "secondarySourceVersions", "cache"),
    *("environment", "serviceRole", "timeoutInMinutes", "queuedTimeoutInMinutes", "vpcConfig"),
    *("encryptionKey",),
)


class BuildRecord:
    """One build. Safe to use from several threads.

    `request` is the project with the overrides of StartBuild.
    """

    def __init__(
        self,
        request: Mapping[str, Any],
        *,
        build_number: int,
        arn_prefix: str,
        initiator: str,
        bus: EventBus,
    ) -> None:
        self.request = request
        self.project_name: str = request["name"]
        self.uuid = str(uuid.uuid4())
        self.id = f"{self.project_name}:{self.uuid}"
        self.arn = f"{arn_prefix}build/{self.id}"
        self.project_arn = f"{arn_prefix}project/{self.project_name}"
        self.start_time = datetime.now(UTC)
        self.stop_requested = threading.Event()
        self.done = threading.Event()
        self._bus = bus
        self._lock = threading.RLock()
        self._phases: list[dict[str, Any]] = []
        self._members: dict[str, Any] = {
            **{name: request[name] for name in _REPEATED if name in request},
            "id": self.id,
            "arn": self.arn,
            "buildNumber": build_number,
            "projectName": self.project_name,
            "initiator": initiator,
            "startTime": self.start_time,
            "buildStatus": IN_PROGRESS,
            "buildComplete": False,
            "currentPhase": "SUBMITTED",
            "exportedEnvironmentVariables": [],
            "artifacts": {},
            "logs": {},
        }
        self.enter("SUBMITTED")
        self.leave(SUCCEEDED)

    @property
    def number(self) -> int:
        return int(self._members["buildNumber"])

    @property
    def initiator(self) -> str:
        return str(self._members["initiator"])

    @property
    def complete(self) -> bool:
        with self._lock:
            return bool(self._members["buildComplete"])

    def update(self, **members: Any) -> None:
        """Set members of the description."""
        with self._lock:
            self._members.update(members)

    def enter(self, phase: str) -> None:
        """A phase begins."""
        with self._lock:
            self._members["currentPhase"] = phase
            self._phases.append({"phaseType": phase, "startTime": datetime.now(UTC)})

    def leave(self, status: str, contexts: Sequence[tuple[str, str]] = ()) -> None:
        """The current phase ends; contexts are (status code, message)."""
        now = datetime.now(UTC)
        with self._lock:
            phase = self._phases[-1]
            phase.update(
                phaseStatus=status,
                endTime=now,
                durationInSeconds=round((now - phase["startTime"]).total_seconds()),
                contexts=[{"statusCode": code, "message": text} for code, text in contexts],
            )

    def end(self, status: str) -> None:
        """The build is over; who listens for events is told."""
        with self._lock:
            self.enter("COMPLETED")
            self._members.update(
                buildStatus=status, buildComplete=True, endTime=self._phases[-1]["startTime"]
            )
        self.done.set()
        self.publish()

    def describe(self) -> dict[str, Any]:
        """The build as BatchGetBuilds describes it."""
        with self._lock:
            return {**self._members, "phases": [dict(phase) for phase in self._phases]}

    def publish(self) -> None:
        """Send "CodeBuild Build State Change" (user guide, "Build notifications input format")."""
        build = self.describe()
        environment = build["environment"]
        logs = build["logs"]
        information: dict[str, Any] = {
            "artifact": {"location": build["artifacts"].get("location", "")},
            "environment": {
                "image": environment["image"],
                "privileged-mode": False,
                "compute-type": environment["computeType"],
                "type": environment["type"],
                "environment-variables": [
                    {"name": v["name"], "type": v.get("type", "PLAINTEXT"), "value": v["value"]}
                    for v in environment.get("environmentVariables", ())
                ],
            },
            "timeout-in-minutes": build["timeoutInMinutes"],
            "build-complete": build["buildComplete"],
            "build-number": build["buildNumber"],
            "initiator": build["initiator"],
            "build-start-time": _in_words(build["startTime"]),
            "source": {
                name: build["source"][name]
                for name in ("type", "location")
                if name in build["source"]
            },
            "logs": {
                "group-name": logs.get("groupName"),
                "stream-name": logs.get("streamName"),
                "deep-link": logs.get("deepLink"),
            },
            "phases": [_phase(phase) for phase in build["phases"]],
            "exported-environment-variables": build["exportedEnvironmentVariables"],
        }
        if "sourceVersion" in build:
            information["source-version"] = build["sourceVersion"]
        ended = [phase for phase in build["phases"] if phase.get("contexts")]
        self._bus.publish(
            "aws.codebuild",
            "CodeBuild Build State Change",
            resources=[self.arn],
            detail={
                "build-status": build["buildStatus"],
                "project-name": self.project_name,
                "build-id": self.arn,
                "additional-information": information,
                "current-phase": build["currentPhase"],
                "current-phase-context": json.dumps(ended[-1]["contexts"] if ended else []),
                "version": "1",
            },
        )


def _phase(phase: Mapping[str, Any]) -> dict[str, Any]:
    event: dict[str, Any] = {
        "phase-type": phase["phaseType"],
        "start-time": _in_words(phase["startTime"]),
    }
    if "endTime" in phase:
        event |= {
            "phase-context": [
                f"{context['statusCode']}: {context['message']}" for context in phase["contexts"]
            ],
            "end-time": _in_words(phase["endTime"]),
            "duration-in-seconds": phase["durationInSeconds"],
            "phase-status": phase["phaseStatus"],
        }
    return event


def _in_words(moment: datetime) -> str:
    """Such as `Sep 1, 2017 4:12:29 PM`."""
    hour = moment.hour % 12 or 12
    return f"{moment:%b} {moment.day}, {moment.year} {hour}:{moment:%M:%S %p}"
