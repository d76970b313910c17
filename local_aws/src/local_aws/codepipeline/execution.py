"""What is known of executions: the records that the engine writes and the views read.

Each record belongs to one pipeline and is written under that pipeline's lock.
"""

from __future__ import annotations

import threading
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

from local_aws.codepipeline.actions.action import ApprovalBox, Revision, WantedRevision
from local_aws.codepipeline.artifacts import ArtifactLocation
from local_aws.codepipeline.definition import Action, Pipeline, Stage

IN_PROGRESS = "InProgress"
STOPPING = "Stopping"
SUCCEEDED = "Succeeded"
FAILED = "Failed"
STOPPED = "Stopped"
ABANDONED = "Abandoned"
CANCELLED = "Cancelled"
SUPERSEDED = "Superseded"


def now() -> datetime:
    """The time in UTC."""
    return datetime.now(UTC)


@dataclass(frozen=True, kw_only=True)
class Trigger:
    """What started an execution, in the words of the API."""

    type: str
    detail: str


@dataclass(kw_only=True)
class ActionRun:
    """One run of one action; a retry makes another."""

    action: Action
    stage_name: str
    execution_id: str
    pipeline_version: int
    region: str
    id: str = field(default_factory=lambda: str(uuid.uuid4()))
    token: str = ""
    status: str = IN_PROGRESS
    started: datetime = field(default_factory=now)
    changed: datetime = field(default_factory=now)
    summary: str = ""
    updated_by: str = ""
    external_id: str = ""
    external_url: str = ""
    log_stream_arn: str = ""
    error_code: str = ""
    error_message: str = ""
    configuration: Mapping[str, str] = field(default_factory=dict)
    inputs: Mapping[str, ArtifactLocation] = field(default_factory=dict)
    outputs: Mapping[str, ArtifactLocation] = field(default_factory=dict)
    variables: Mapping[str, str] = field(default_factory=dict)
    revision: Revision | None = None
    # Set when nobody waits for the action any more.
    ended: threading.Event = field(default_factory=threading.Event)
    approval: ApprovalBox = field(default_factory=ApprovalBox)

    def become(self, status: str) -> None:
        """Change the status, now."""
        self.status = status
        self.changed = now()

    def end(self) -> None:
        """Tell the action's work that nobody waits for it any more."""
        self.ended.set()
        self.approval.close()


@dataclass(kw_only=True)
class StageExecution:
    """One execution in one stage; `runs` are the latest of each action."""

    stage: Stage
    status: str = IN_PROGRESS
    runs: dict[str, ActionRun] = field(default_factory=dict)
    manual_retries: int = 0
    # How often it was begun or abandoned: a StageRun of a former pass has no say any more.
    passes: int = 0

    def unfinished(self) -> list[Action]:
        """The actions that have not succeeded."""
        return [
            action
            for action in self.stage.actions
            if action.name not in self.runs or self.runs[action.name].status != SUCCEEDED
        ]


@dataclass(kw_only=True)
class Execution:
    """One execution of one version of a pipeline; `number` orders them by age."""

    pipeline: Pipeline
    trigger: Trigger
    number: int
    id: str = field(default_factory=lambda: str(uuid.uuid4()))
    started: datetime = field(default_factory=now)
    updated: datetime = field(default_factory=now)
    status: str = IN_PROGRESS
    status_summary: str = ""
    attempt: int = 1
    # Where it is, or waits to get in.
    stage_name: str = ""
    stages: dict[str, StageExecution] = field(default_factory=dict)
    history: list[ActionRun] = field(default_factory=list)
    # What the start asked for, by source action.
    wanted: Mapping[str, WantedRevision] = field(default_factory=dict)
    artifacts: dict[str, ArtifactLocation] = field(default_factory=dict)
    # What source actions found, by action; and the same by their artifact.
    revisions: dict[str, Revision] = field(default_factory=dict)
    artifact_revisions: dict[str, Revision] = field(default_factory=dict)
    outputs: dict[str, Mapping[str, str]] = field(default_factory=dict)
    client_token: str | None = None
    stop_reason: str | None = None
    # The pipeline was changed: what runs may end, nothing else starts.
    outdated: bool = False
    rollback_target: str | None = None

    @property
    def type(self) -> str:
        """STANDARD or ROLLBACK."""
        return "ROLLBACK" if self.rollback_target else "STANDARD"

    @property
    def goes_on(self) -> bool:
        """Whether it may start another action."""
        return self.status == IN_PROGRESS and not self.outdated

    @property
    def is_over(self) -> bool:
        """Whether nothing of it runs or waits."""
        return self.status not in (IN_PROGRESS, STOPPING)
