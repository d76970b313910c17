"""AWS CodePipeline, executed: the service, and the operations on pipelines.

    CreatePipeline ─▶ checks ─▶ PipelineRuns ◀─ StartPipelineExecution, pushes on the bus
    execution_operations read its records (views) and act on them

Pipelines and executions live as long as the gateway does.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from typing import Any

from local_aws.aws_protocol import Call
from local_aws.codepipeline.checks import check_pipeline
from local_aws.codepipeline.definition import Pipeline, read_pipeline
from local_aws.codepipeline.execution import Trigger
from local_aws.codepipeline.execution_operations import PAGES, ExecutionOperations
from local_aws.codepipeline.pipeline_runs import PipelineRuns
from local_aws.codepipeline.registry import Registry
from local_aws.codepipeline.starts import start_by_event, start_execution
from local_aws.codepipeline.state_changes import StateChanges
from local_aws.errors import AwsError
from local_aws.event_bus import Event, EventBus
from local_aws.gateway import Handler
from local_aws.own_aws import OwnAws
from local_aws.pagination import page_of
from local_aws.tags import SMALL, Tags

Answer = Mapping[str, Any]

_CLOSE_SECONDS = 5.0


class CodePipelines:
    """The service. `minute_seconds` is how long a minute of an approval's timeout lasts."""

    kept = ("pipelines", "_tags._tags")

    def __init__(self, own: OwnAws, bus: EventBus, minute_seconds: float = 60.0) -> None:
        self._own = own
        self._changes = StateChanges(own, bus)
        self._minute_seconds = minute_seconds
        self._registry = Registry(own.account)
        self._executions = ExecutionOperations(self._registry)
        self._tags = Tags(
            self._require,
            SMALL,
            too_many="TooManyTagsException",
            reserved="InvalidTagsException",
            invalid="InvalidTagsException",
        )
        self._ending: list[threading.Thread] = []
        bus.subscribe(self._hear)

    def operations(self) -> Mapping[tuple[str, str], Handler]:
        """What the gateway hands to this service."""
        handlers: dict[str, Handler] = {
            "CreatePipeline": self.create_pipeline,
            "UpdatePipeline": self.update_pipeline,
            "DeletePipeline": self.delete_pipeline,
            "GetPipeline": self.get_pipeline,
            "ListPipelines": self.list_pipelines,
            **self._executions.handlers(),
            **self._tags.handlers(),
        }
        return {("codepipeline", name): handler for name, handler in handlers.items()}

    def close(self) -> None:
        """End all executions, and wait for their threads."""
        threads = [thread for runs in self._registry.everything() for thread in runs.close()]
        deadline = time.monotonic() + _CLOSE_SECONDS
        for thread in [*threads, *self._ending]:
            thread.join(max(0.0, deadline - time.monotonic()))

    @property
    def pipelines(self) -> Any:
        """All without their executions, to be kept."""
        members = ("pipeline", "created", "updated", "transitions")
        return [[getattr(one, name) for name in members] for one in self._registry.everything()]

    @pipelines.setter
    def pipelines(self, kept: Any) -> None:
        for pipeline, created, updated, transitions in kept:
            runs = PipelineRuns(self._own, self._changes, pipeline, self._minute_seconds)
            runs.created, runs.updated, runs.transitions = created, updated, transitions
            self._registry.add(runs)

    def create_pipeline(self, call: Call) -> Answer:
        """Check the declaration, keep it, start its first execution."""
        declaration, tags = call.params["pipeline"], call.params.get("tags", [])
        pipeline = self._checked(declaration, version=1)
        runs = PipelineRuns(self._own, self._changes, pipeline, self._minute_seconds)
        arn = self._own.arn("codepipeline", pipeline.name)
        self._tags.check(arn, tags)
        self._registry.add(runs)
        self._tags.set(arn, tags)
        start_execution(runs, Trigger(type="CreatePipeline", detail=call.caller_arn))
        return {"pipeline": pipeline.declaration, "tags": tags}

    def update_pipeline(self, call: Call) -> Answer:
        """Check the declaration; it is the pipeline's next version."""
        declaration = call.params["pipeline"]
        runs = self._registry.runs(declaration["name"])
        pipeline = self._checked(declaration, version=runs.pipeline.version + 1)
        runs.update(pipeline)
        return {"pipeline": pipeline.declaration}

    def delete_pipeline(self, call: Call) -> None:
        """End what runs of it and forget it; one that doesn't exist is fine."""
        runs = self._registry.remove(call.params["name"])
        if runs is not None:
            self._tags.forget(self._own.arn("codepipeline", call.params["name"]))
            self._ending = [t for t in self._ending if t.is_alive()] + runs.close()

    def get_pipeline(self, call: Call) -> Answer:
        """The declaration as it is now; local_aws keeps no older versions."""
        runs = self._registry.runs(call.params["name"])
        wanted = call.params.get("version", runs.pipeline.version)
        if wanted != runs.pipeline.version:
            raise AwsError(
                "PipelineVersionNotFoundException",
                f"Pipeline '{runs.pipeline.name}' has version {runs.pipeline.version} here; "
                f"local_aws does not keep version {wanted}",
            )
        metadata = {
            "pipelineArn": self._own.arn("codepipeline", runs.pipeline.name),
            "created": runs.created,
            "updated": runs.updated,
        }
        return {"pipeline": runs.pipeline.declaration, "metadata": metadata}

    def list_pipelines(self, call: Call) -> Answer:
        """All pipelines by name."""
        items = [
            {
                "name": runs.pipeline.name,
                "version": runs.pipeline.version,
                "pipelineType": runs.pipeline.type,
                "executionMode": runs.pipeline.execution_mode,
                "created": runs.created,
                "updated": runs.updated,
            }
            for runs in self._registry.everything()
        ]
        found, more = page_of(items, lambda item: str(item["name"]), call.params, **PAGES)
        return {"pipelines": found, **more}

    def _require(self, arn: str) -> None:
        prefix = self._own.arn("codepipeline", "")
        if not arn.startswith(prefix) or arn.removeprefix(prefix) not in self._registry:
            raise AwsError("ResourceNotFoundException", f"There is no pipeline with the ARN {arn}")

    def _hear(self, event: Event) -> None:
        """Start what a push starts; the bus calls it."""
        for runs in self._registry.everything():
            start_by_event(runs, event.document)

    def _checked(self, declaration: Mapping[str, Any], version: int) -> Pipeline:
        pipeline = read_pipeline(declaration, version)
        check_pipeline(self._own, pipeline)
        return pipeline
