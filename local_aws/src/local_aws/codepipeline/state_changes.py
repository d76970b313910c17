"""The events that executions tell: "CodePipeline ... Execution State Change".

Source: "Monitoring CodePipeline events" in the user guide.
"""

from __future__ import annotations

from typing import Any

from local_aws.codepipeline.execution import ActionRun, Execution
from local_aws.event_bus import EventBus
from local_aws.own_aws import OwnAws


class StateChanges:
    """Publishes the events of one account's pipelines."""

    def __init__(self, own: OwnAws, bus: EventBus) -> None:
        self._own = own
        self._bus = bus

    def pipeline(self, execution: Execution, state: str) -> None:
        """STARTED, RESUMED, SUCCEEDED, FAILED, STOPPING, STOPPED, SUPERSEDED, CANCELED."""
        self._publish("Pipeline", execution, {"state": state})

    def stage(self, execution: Execution, stage_name: str, state: str) -> None:
        """The same for a stage."""
        self._publish("Stage", execution, {"stage": stage_name, "state": state})

    def action(self, execution: Execution, run: ActionRun, state: str) -> None:
        """STARTED, SUCCEEDED, FAILED, ABANDONED."""
        type_id = run.action.declaration["actionTypeId"]
        detail: dict[str, Any] = {
            "stage": run.stage_name,
            "action": run.action.name,
            "action-execution-id": run.id,
            "state": state,
            "region": self._own.region,
            "type": {key: type_id[key] for key in ("owner", "provider", "category", "version")},
            "input-artifacts": [place.described(name) for name, place in run.inputs.items()],
            "output-artifacts": [place.described(name) for name, place in run.outputs.items()],
        }
        if state != "STARTED":
            result = {
                "external-execution-id": run.external_id,
                "external-execution-url": run.external_url,
                "external-execution-summary": run.error_message or run.summary,
                "error-code": run.error_code,
            }
            detail["execution-result"] = {key: text for key, text in result.items() if text}
        self._publish("Action", execution, detail)

    def _publish(self, what: str, execution: Execution, detail: dict[str, Any]) -> None:
        name = execution.pipeline.name
        self._bus.publish(
            "aws.codepipeline",
            f"CodePipeline {what} Execution State Change",
            resources=[self._own.arn("codepipeline", name)],
            detail={
                "pipeline": name,
                "execution-id": execution.id,
                "start-time": f"{execution.started:%Y-%m-%dT%H:%M:%S.%f}"[:-3] + "Z",
                "version": float(execution.pipeline.version),
                "pipeline-execution-attempt": float(execution.attempt),
                "execution-trigger": {
                    "trigger-type": execution.trigger.type,
                    "trigger-detail": execution.trigger.detail,
                },
                **detail,
            },
        )
