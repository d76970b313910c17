"""What an action is given, what it gives back, and what a provider declares about itself."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from local_aws.codepipeline.artifacts import ArtifactLocation, ArtifactStore
from local_aws.codepipeline.definition import Action
from local_aws.own_aws import Identity, OwnAws

PRINCIPAL = "codepipeline.amazonaws.com"
_POLL_SECONDS = 0.2


class ActionFailed(Exception):
    """The action's work failed; `code` and message become its errorDetails."""

    def __init__(self, message: str, code: str = "JobFailed") -> None:
        super().__init__(message)
        self.code = code


class ActionAbandoned(Exception):
    """The execution was stopped, or local_aws closes; nobody waits for the action any more."""


@dataclass(frozen=True, kw_only=True)
class Approval:
    """A person's answer to a manual approval."""

    approved: bool
    summary: str
    caller_arn: str


class ApprovalBox:
    """Where the answer to one approval is put: once, and not after the approval expired."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._settled = threading.Event()
        self._approval: Approval | None = None

    def answer(self, approval: Approval) -> bool:
        """Give the answer; False if there is one, or nobody waits for it any more."""
        with self._lock:
            if self._settled.is_set():
                return False
            self._approval = approval
            self._settled.set()
            return True

    def wait(self, seconds: float) -> Approval | None:
        """The answer; None after so many seconds, or when the box was closed."""
        self._settled.wait(seconds)
        self.close()
        return self._approval

    def close(self) -> None:
        """Take no answer any more, and end the wait."""
        with self._lock:
            self._settled.set()


@dataclass(frozen=True, kw_only=True)
class WantedRevision:
    """What a start asks a source action for: a commit, and which pushed branch it comes from."""

    commit_id: str
    branch: str


@dataclass(frozen=True, kw_only=True)
class ActionJob:
    """One run of an action; `configuration` has its variables resolved.

    `report` adds members to what GetPipelineState shows of it while it runs.
    """

    own: OwnAws
    action: Action
    configuration: Mapping[str, str]
    pipeline_name: str
    stage_name: str
    execution_id: str
    role_arn: str
    store: ArtifactStore
    inputs: Mapping[str, ArtifactLocation]
    # Commit of the source artifacts, by artifact name.
    revisions: Mapping[str, str]
    # What a push or StartPipelineExecution asks this source action for.
    wanted: WantedRevision | None
    ended: threading.Event
    approval: ApprovalBox
    token: str
    minute_seconds: float
    report: Callable[..., None]

    def client(self, service: str) -> Any:
        """A boto3 client under the action's role, or else the pipeline's."""
        return self.own.client(service, self.role_arn, principal=PRINCIPAL)

    def identity(self) -> Identity:
        """Who the action is, for what is no AWS API."""
        return self.own.acting(self.role_arn, PRINCIPAL)

    def pause(self) -> None:
        """Wait between two looks at what runs elsewhere; raises ActionAbandoned."""
        if self.ended.wait(_POLL_SECONDS):
            raise ActionAbandoned

    def scratch_dir(self) -> Path:
        """A folder under which the action may make temporary ones."""
        folder = self.own.state_dir / "code_pipelines"
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def get(self, key: str) -> str:
        """A key of the configuration; empty if it isn't there."""
        return self.configuration.get(key, "")


@dataclass(frozen=True, kw_only=True)
class Revision:
    """What a source action found."""

    id: str
    summary: str = ""
    url: str = ""


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What an action gives back when it succeeds."""

    artifacts: Mapping[str, ArtifactLocation] = field(default_factory=dict)
    variables: Mapping[str, str] = field(default_factory=dict)
    revision: Revision | None = None
    summary: str = ""


class Provider(Protocol):
    """What does the work of one kind of action."""

    @property
    def required(self) -> frozenset[str]:
        """Configuration keys that must be there."""

    @property
    def optional(self) -> frozenset[str]:
        """Configuration keys that may be there."""

    @property
    def inputs(self) -> tuple[int, int]:
        """The least and the most input artifacts."""

    @property
    def outputs(self) -> tuple[int, int]:
        """The least and the most output artifacts."""

    def problems(self, action: Action) -> list[str]:
        """What else is wrong with the action, each beginning with what it is about."""

    def run(self, job: ActionJob) -> Outcome:
        """Do the work and wait for it; raises ActionFailed or ActionAbandoned."""
