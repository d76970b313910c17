"""A pipeline's declaration as values: Pipeline, its stages, their actions.

Source of the structure: "CodePipeline pipeline structure reference" in the user guide.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Action:
    """One action; `declaration` is what the API was given."""

    name: str
    category: str
    provider: str
    run_order: int
    configuration: Mapping[str, str]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    role_arn: str | None
    namespace: str | None
    timeout_minutes: int | None
    declaration: Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class Stage:
    """One stage. `on_failure` is ROLLBACK or FAIL."""

    name: str
    actions: tuple[Action, ...]
    on_failure: str
    declaration: Mapping[str, Any]

    def run_orders(self) -> list[list[Action]]:
        """The actions in groups: those of one group run side by side."""
        orders = sorted({action.run_order for action in self.actions})
        return [[a for a in self.actions if a.run_order == order] for order in orders]

    def action(self, name: str) -> Action | None:
        """The action of this name."""
        return next((action for action in self.actions if action.name == name), None)


@dataclass(frozen=True, kw_only=True)
class Pipeline:
    """One version of a pipeline."""

    name: str
    version: int
    type: str
    execution_mode: str
    role_arn: str
    bucket: str
    kms_key: str | None
    stages: tuple[Stage, ...]
    declaration: Mapping[str, Any]

    def index(self, stage_name: str) -> int:
        """Where the stage stands; ValueError if there is none of this name."""
        return [stage.name for stage in self.stages].index(stage_name)

    def stage(self, name: str) -> Stage | None:
        """The stage of this name."""
        return next((stage for stage in self.stages if stage.name == name), None)

    def actions(self) -> list[tuple[Stage, Action]]:
        """All actions, in the order in which they run."""
        return [
            (stage, action)
            for stage in self.stages
            for group in stage.run_orders()
            for action in group
        ]


def read_pipeline(declaration: Mapping[str, Any], version: int) -> Pipeline:
    """The declaration as values; it is complete afterwards: AWS's defaults are filled in."""
    complete = {
        **declaration,
        "stages": [_complete_stage(stage) for stage in declaration["stages"]],
        "version": version,
        "executionMode": declaration.get("executionMode", "SUPERSEDED"),
        "pipelineType": declaration.get("pipelineType", "V1"),
    }
    store = declaration.get("artifactStore", {})
    return Pipeline(
        name=declaration["name"],
        version=version,
        type=complete["pipelineType"],
        execution_mode=complete["executionMode"],
        role_arn=declaration["roleArn"],
        bucket=store.get("location", ""),
        kms_key=store.get("encryptionKey", {}).get("id"),
        stages=tuple(_read_stage(stage) for stage in complete["stages"]),
        declaration=complete,
    )


def _complete_stage(stage: Mapping[str, Any]) -> dict[str, Any]:
    actions = [
        {
            **action,
            "runOrder": action.get("runOrder", 1),
            "configuration": action.get("configuration", {}),
            "inputArtifacts": action.get("inputArtifacts", []),
            "outputArtifacts": action.get("outputArtifacts", []),
        }
        for action in stage["actions"]
    ]
    return {**stage, "actions": actions}


def _read_stage(stage: Mapping[str, Any]) -> Stage:
    return Stage(
        name=stage["name"],
        actions=tuple(_read_action(action) for action in stage["actions"]),
        on_failure=stage.get("onFailure", {}).get("result", "FAIL"),
        declaration=stage,
    )


def _read_action(action: Mapping[str, Any]) -> Action:
    return Action(
        name=action["name"],
        category=action["actionTypeId"]["category"],
        provider=action["actionTypeId"]["provider"],
        run_order=action["runOrder"],
        configuration=action["configuration"],
        inputs=tuple(artifact["name"] for artifact in action["inputArtifacts"]),
        outputs=tuple(artifact["name"] for artifact in action["outputArtifacts"]),
        role_arn=action.get("roleArn"),
        namespace=action.get("namespace"),
        timeout_minutes=action.get("timeoutInMinutes"),
        declaration=action,
    )
