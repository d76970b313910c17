"""One pipeline with all its executions: how they move from stage to stage.

    start ─▶ arrive ─▶ (waits in the queue) ─▶ enter ─▶ StageRun ─▶ leave ─▶ arrive at the next ...
                                                │                   └─▶ failed: retry, roll back
             superseded by a newer one ◀────────┘

All state is guarded by `lock`; work happens in the threads of StageRun. What people may
ask for is decided in starts and retry_and_rollback.
"""

from __future__ import annotations

import threading
from collections.abc import Collection, Mapping

from local_aws.codepipeline.action_run import ActionRunner
from local_aws.codepipeline.actions.action import WantedRevision
from local_aws.codepipeline.definition import Action, Pipeline
from local_aws.codepipeline.execution import (
    ABANDONED,
    CANCELLED,
    FAILED,
    IN_PROGRESS,
    STOPPED,
    STOPPING,
    SUCCEEDED,
    SUPERSEDED,
    Execution,
    StageExecution,
    Trigger,
    now,
)
from local_aws.codepipeline.stage_queue import StageQueue, Transition
from local_aws.codepipeline.stage_run import StageRun
from local_aws.codepipeline.state_changes import StateChanges
from local_aws.own_aws import OwnAws


class PipelineRuns:
    """A pipeline that exists. Thread-safe."""

    def __init__(
        self, own: OwnAws, changes: StateChanges, pipeline: Pipeline, minute_seconds: float
    ) -> None:
        self.pipeline = pipeline
        self.created = self.updated = now()
        self.executions: list[Execution] = []
        self.queues = {stage.name: StageQueue() for stage in pipeline.stages}
        self._changes = changes
        self._runner = ActionRunner(own=own, changes=changes, minute_seconds=minute_seconds)
        self.lock, self._closing = self._runner.lock, self._runner.closing
        self._threads: list[threading.Thread] = []

    def start(
        self,
        trigger: Trigger,
        wanted: Mapping[str, WantedRevision],
        token: str | None = None,
    ) -> Execution:
        """A new execution of the pipeline as it is now."""
        with self.lock:
            execution = Execution(
                pipeline=self.pipeline,
                trigger=trigger,
                number=len(self.executions) + 1,
                wanted=wanted,
                client_token=token,
            )
            self.executions.append(execution)
            self._changes.pipeline(execution, "STARTED")
            self._arrive(execution, self.pipeline.stages[0].name)
            return execution

    @property
    def transitions(self) -> dict[str, Transition]:
        """The way into each stage."""
        return {name: queue.transition for name, queue in self.queues.items()}

    @transitions.setter
    def transitions(self, transitions: Mapping[str, Transition]) -> None:
        for name, transition in transitions.items():
            self.queues[name].transition = transition

    def update(self, pipeline: Pipeline) -> None:
        """Go on with another version; what runs of the old one is cancelled, as on AWS."""
        with self.lock:
            for execution in self.executions:
                if execution.is_over:
                    continue
                execution.outdated = True
                if self._withdraw(execution):
                    self._finish(execution, CANCELLED, "CANCELED")
            self.pipeline = pipeline
            self.updated = now()
            # Executions that still finish an action hold the stages that they are in.
            self.queues = {s.name: self.queues.get(s.name) or StageQueue() for s in pipeline.stages}

    def stop(self, execution: Execution, *, abandon: bool, reason: str) -> None:
        """Start nothing more; with `abandon` don't wait for what runs either."""
        with self.lock:
            execution.stop_reason = reason or execution.stop_reason
            if self._withdraw(execution):
                self._finish(execution, STOPPED, "STOPPED")
                return
            if execution.status != STOPPING:
                execution.status = STOPPING
                self._changes.pipeline(execution, "STOPPING")
                self._changes.stage(execution, execution.stage_name, "STOPPING")
                execution.stages[execution.stage_name].status = STOPPING
            if abandon:
                self._abandon(execution)

    def set_transition(self, stage_name: str, *, enabled: bool, by: str, reason: str = "") -> None:
        """Open or close the way into a stage."""
        with self.lock:
            transition = self.queues[stage_name].transition
            transition.enabled = enabled
            transition.changed_by, transition.changed_at = by, now()
            transition.reason = reason
            self._admit(stage_name)

    def resume(self, execution: Execution, stage_name: str, actions: Collection[Action]) -> None:
        """Run these actions of a stage once more; the execution goes on from there."""
        with self.lock:
            stage = execution.stages[stage_name]
            stage.status = IN_PROGRESS
            execution.status = IN_PROGRESS
            execution.status_summary = ""
            execution.stop_reason = None
            execution.attempt += 1
            execution.updated = now()
            self._changes.pipeline(execution, "RESUMED")
            self._changes.stage(execution, stage_name, "RESUMED")
            self._run_stage(execution, stage, actions)

    def roll_back(self, stage_name: str, target: Execution, trigger: Trigger) -> Execution:
        """A new execution that runs this one stage with what `target` had there."""
        with self.lock:
            execution = Execution(
                pipeline=self.pipeline,
                trigger=trigger,
                number=len(self.executions) + 1,
                artifacts=dict(target.artifacts),
                revisions=dict(target.revisions),
                artifact_revisions=dict(target.artifact_revisions),
                outputs=dict(target.outputs),
                rollback_target=target.id,
            )
            self.executions.append(execution)
            self._changes.pipeline(execution, "STARTED")
            self._enter(execution, stage_name)
            return execution

    def execution(self, execution_id: str) -> Execution | None:
        """The execution with this id."""
        with self.lock:
            return next((e for e in self.executions if e.id == execution_id), None)

    def close(self) -> list[threading.Thread]:
        """End everything; returns the threads that end now."""
        with self.lock:
            self._closing.set()
            for execution in self.executions:
                for run in execution.history:
                    run.end()
            return [thread for thread in self._threads if thread.is_alive()]

    def _arrive(self, execution: Execution, stage_name: str) -> None:
        execution.stage_name = stage_name
        execution.updated = now()
        for older in self.queues[stage_name].arrive(execution):
            self._finish(older, SUPERSEDED, "SUPERSEDED")
        self._admit(stage_name)

    def _admit(self, stage_name: str) -> None:
        queue = self.queues.get(stage_name)
        while queue is not None and not self._closing.is_set():
            execution = queue.admit()
            if execution is None:
                return
            self._enter(execution, stage_name)

    def _enter(self, execution: Execution, stage_name: str) -> None:
        stage = execution.pipeline.stage(stage_name)
        assert stage is not None
        record = StageExecution(stage=stage)
        execution.stages[stage_name] = record
        execution.stage_name = stage_name
        self._changes.stage(execution, stage_name, "STARTED")
        self._run_stage(execution, record, stage.actions)

    def _run_stage(
        self, execution: Execution, stage: StageExecution, actions: Collection[Action]
    ) -> None:
        queue = self.queues[stage.stage.name]
        queue.inside.append(execution)
        queue.latest, queue.latest_execution = stage, execution
        stage.passes += 1
        run = StageRun(self._runner, queue, execution, stage, self._leave, self._break_off)
        self._threads = [thread for thread in self._threads if thread.is_alive()]
        self._threads.append(run.start(actions))

    def _leave(self, run: StageRun) -> None:
        """A StageRun is at its end: decide what comes next."""
        execution, stage, name = run.execution, run.stage, run.stage.stage.name
        with self.lock:
            if self._closing.is_set() or not run.is_current:
                return  # it was abandoned
            self._vacate(execution)
            unfinished = stage.unfinished()
            failed = any(run.status == FAILED for run in stage.runs.values())
            if not unfinished:
                stage.status = SUCCEEDED
                self._changes.stage(execution, name, "SUCCEEDED")
                self._go_on(execution, name)
            elif execution.status == STOPPING:
                stage.status = FAILED if failed else STOPPED
                self._changes.stage(execution, name, stage.status.upper())
                self._finish(execution, STOPPED, "STOPPED")
            elif execution.outdated:
                stage.status = CANCELLED
                self._changes.stage(execution, name, "CANCELED")
                self._finish(execution, CANCELLED, "CANCELED")
            else:
                stage.status = FAILED
                self._changes.stage(execution, name, "FAILED")
                self._after_failure(execution, stage)
            self._admit(name)

    def _break_off(self, run: StageRun, cause: str) -> None:
        """A StageRun met a fault of local_aws: its execution fails, and others may go on."""
        execution, name = run.execution, run.stage.stage.name
        with self.lock:
            if self._closing.is_set() or execution.is_over:
                return
            for action in run.stage.runs.values():
                self._runner.fail(execution, action, "InternalError", cause)
                action.end()
            run.stage.status = FAILED
            execution.status_summary = cause
            self._withdraw(execution)
            self._vacate(execution)
            self._finish(execution, FAILED, "FAILED")
            self._admit(name)

    def _go_on(self, execution: Execution, stage_name: str) -> None:
        """The stage succeeded: to the next one, or to the end."""
        stages = execution.pipeline.stages
        last = execution.rollback_target or stages[-1].name == stage_name
        if last:
            self._finish(execution, SUCCEEDED, "SUCCEEDED")
        elif execution.status == STOPPING:
            self._finish(execution, STOPPED, "STOPPED")
        elif execution.outdated:
            self._finish(execution, CANCELLED, "CANCELED")
        else:
            self._arrive(execution, stages[execution.pipeline.index(stage_name) + 1].name)

    def _after_failure(self, execution: Execution, stage: StageExecution) -> None:
        """What the stage's onFailure asks for: the end, or back to what last succeeded."""
        self._finish(execution, FAILED, "FAILED")
        if stage.stage.on_failure == "ROLLBACK" and execution.rollback_target is None:
            target = self._last_success(stage.stage.name)
            if target is not None:
                self.roll_back(
                    stage.stage.name, target, Trigger(type="AutomatedRollback", detail=execution.id)
                )

    def _last_success(self, stage_name: str) -> Execution | None:
        """The newest standard execution of this version that succeeded in the stage."""
        for execution in reversed(self.executions):
            stage = execution.stages.get(stage_name)
            succeeded = stage is not None and stage.status == SUCCEEDED
            if (
                succeeded
                and execution.rollback_target is None
                and execution.pipeline.version == self.pipeline.version
            ):
                return execution
        return None

    def _withdraw(self, execution: Execution) -> bool:
        """Take the execution out of the queue where it waits, if it waits."""
        for queue in self.queues.values():
            if execution in queue.waiting:
                queue.waiting.remove(execution)
                return True
        return False

    def _abandon(self, execution: Execution) -> None:
        stage = execution.stages[execution.stage_name]
        for run in stage.runs.values():
            if run.status == IN_PROGRESS:
                run.become(ABANDONED)
                self._changes.action(execution, run, "ABANDONED")
                run.end()
        stage.status = STOPPED
        self._changes.stage(execution, execution.stage_name, "STOPPED")
        self._finish(execution, STOPPED, "STOPPED")
        stage.passes += 1
        self._vacate(execution)
        self._admit(execution.stage_name)

    def _vacate(self, execution: Execution) -> None:
        for queue in self.queues.values():
            if execution in queue.inside:
                queue.inside.remove(execution)

    def _finish(self, execution: Execution, status: str, state: str) -> None:
        execution.status = status
        execution.updated = now()
        self._changes.pipeline(execution, state)
