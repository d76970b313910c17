"""The actions of one stage: by run order, those of one run order side by side."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection

from local_aws.codepipeline.action_run import ActionRunner
from local_aws.codepipeline.definition import Action
from local_aws.codepipeline.execution import SUCCEEDED, ActionRun, Execution, StageExecution
from local_aws.codepipeline.stage_queue import StageQueue
from local_aws.workers import start_worker


class StageRun:
    """One pass through a stage, in a thread of its own; `done` is called at its end, or
    `broken_off` with the cause when it meets a fault of local_aws.
    """

    def __init__(
        self,
        runner: ActionRunner,
        queue: StageQueue,
        execution: Execution,
        stage: StageExecution,
        done: Callable[[StageRun], None],
        broken_off: Callable[[StageRun, str], None],
    ) -> None:
        self.execution = execution
        self.stage = stage
        self._pass = stage.passes
        self._runner = runner
        self._queue = queue
        self._done = done
        self._broken_off = broken_off

    @property
    def is_current(self) -> bool:
        """Whether no later pass began, and nobody abandoned this one."""
        return self.stage.passes == self._pass

    def start(self, actions: Collection[Action]) -> threading.Thread:
        """Run these actions of the stage; returns the thread."""
        return start_worker(
            f"stage {self.stage.stage.name} of {self.execution.pipeline.name}",
            lambda: self._work(actions),
            lambda cause: self._broken_off(self, cause),
        )

    def _work(self, actions: Collection[Action]) -> None:
        for group in self.stage.stage.run_orders():
            runs = self._begin([action for action in group if action in actions])
            if runs is None:
                break
            for thread in [self._start_action(run) for run in runs]:
                thread.join()
            if any(run.status != SUCCEEDED for run in runs):
                break
        self._done(self)

    def _start_action(self, run: ActionRun) -> threading.Thread:
        execution = self.execution
        return start_worker(
            f"action {run.action.name} of {execution.pipeline.name}",
            lambda: self._runner.run(execution, run),
            lambda cause: self._runner.fail(execution, run, "InternalError", cause),
        )

    def _begin(self, actions: Collection[Action]) -> list[ActionRun] | None:
        """Records of the actions, begun together; None if the execution may not go on."""
        execution = self.execution
        with self._runner.lock:
            if self._runner.closing.is_set() or not (execution.goes_on and self.is_current):
                return None
            runs = [
                ActionRun(
                    action=action,
                    stage_name=self.stage.stage.name,
                    execution_id=execution.id,
                    pipeline_version=execution.pipeline.version,
                    region=self._runner.own.region,
                )
                for action in actions
            ]
            for run in runs:
                self.stage.runs[run.action.name] = run
                self._queue.latest_runs[run.action.name] = run
                execution.history.append(run)
                self._runner.changes.action(execution, run, "STARTED")
            return runs
