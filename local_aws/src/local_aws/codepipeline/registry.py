"""All pipelines of the account, and how calls name what is in them."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import Any

from local_aws.codepipeline.execution import Execution
from local_aws.codepipeline.pipeline_runs import PipelineRuns
from local_aws.errors import AwsError


class Registry:
    """The pipelines by name. Thread-safe."""

    def __init__(self, account: str) -> None:
        self._account = account
        self._lock = threading.Lock()
        self._pipelines: dict[str, PipelineRuns] = {}

    def add(self, runs: PipelineRuns) -> None:
        """Keep a new one; raises AwsError if its name is taken."""
        name = runs.pipeline.name
        with self._lock:
            if name in self._pipelines:
                raise AwsError(
                    "PipelineNameInUseException",
                    f"A pipeline with the name '{name}' already exists in account "
                    f"'{self._account}'",
                )
            self._pipelines[name] = runs

    def remove(self, name: str) -> PipelineRuns | None:
        """Forget it; None if there is none."""
        with self._lock:
            return self._pipelines.pop(name, None)

    def __contains__(self, name: str) -> bool:
        with self._lock:
            return name in self._pipelines

    def everything(self) -> list[PipelineRuns]:
        """All, by name."""
        with self._lock:
            return [self._pipelines[name] for name in sorted(self._pipelines)]

    def runs(self, name: str) -> PipelineRuns:
        """The pipeline of this name; raises AwsError."""
        with self._lock:
            runs = self._pipelines.get(name)
        if runs is None:
            raise AwsError(
                "PipelineNotFoundException",
                f"Account '{self._account}' does not have a pipeline with name '{name}'",
            )
        return runs

    def execution(self, params: Mapping[str, Any]) -> tuple[PipelineRuns, Execution]:
        """What pipelineName and pipelineExecutionId name; raises AwsError."""
        return self.execution_of(params["pipelineName"], params["pipelineExecutionId"])

    def execution_of(self, name: str, execution_id: str) -> tuple[PipelineRuns, Execution]:
        """The pipeline and its execution; raises AwsError."""
        runs = self.runs(name)
        execution = runs.execution(execution_id)
        if execution is None:
            raise AwsError(
                "PipelineExecutionNotFoundException",
                f"Pipeline '{name}' does not have a pipeline execution with ID '{execution_id}'",
            )
        return runs, execution

    def with_stage(self, name: str, stage_name: str) -> PipelineRuns:
        """The pipeline, which has such a stage; raises AwsError."""
        runs = self.runs(name)
        if runs.pipeline.stage(stage_name) is None:
            raise AwsError(
                "StageNotFoundException",
                f"Pipeline '{name}' does not have a stage with name '{stage_name}'",
            )
        return runs
