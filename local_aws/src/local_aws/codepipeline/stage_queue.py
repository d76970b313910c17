"""Who may enter a stage: the lock of each stage, and who waits in front of it.

One execution is inside; of those that wait, only the newest goes on (mode SUPERSEDED).
Source: "How pipeline executions work" in the CodePipeline user guide.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from local_aws.codepipeline.execution import ActionRun, Execution, StageExecution


@dataclass(kw_only=True)
class Transition:
    """The way into a stage, which a person may close."""

    enabled: bool = True
    changed_by: str = ""
    changed_at: datetime | None = None
    reason: str = ""


@dataclass(kw_only=True)
class StageQueue:
    """One stage: who is inside, who waits, and what GetPipelineState shows of it."""

    transition: Transition = field(default_factory=Transition)
    inside: list[Execution] = field(default_factory=list)
    waiting: list[Execution] = field(default_factory=list)
    latest: StageExecution | None = None
    latest_execution: Execution | None = None
    latest_runs: dict[str, ActionRun] = field(default_factory=dict)

    def arrive(self, execution: Execution) -> list[Execution]:
        """Let the execution wait here; returns those that are superseded by it, or it itself."""
        self.waiting.append(execution)
        newest = max(self.waiting, key=lambda waiting: waiting.number)
        superseded = [waiting for waiting in self.waiting if waiting is not newest]
        self.waiting = [newest]
        return superseded

    def admit(self) -> Execution | None:
        """The next execution that may enter now, no longer waiting; None if nobody may."""
        if not self.waiting or not self.transition.enabled or self.inside:
            return None
        return self.waiting.pop(0)
