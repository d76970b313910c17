"""`mlops demo`: from `git push` to a prediction from prod, through the project's own pipelines.

up ─▶ deploy infra/project/project.yml, while MLflow starts ─▶ push modelbuild: CI trains, registers
   ─▶ push modeldeploy: CD builds, staging, test, approval, prod, test ─▶ read everything back
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from mlops.demo.commands import require_project
from mlops.demo.narration import Narrator
from mlops.demo.pipeline_story import execution_report, tell_execution
from mlops.demo.registry_report import read_endpoints, read_prediction, read_versions, table_of
from local_aws.errors import CommandFailed
from local_aws.mlflow_elsewhere import MlflowElsewhere, become_client
from mlops.project.clients import Clients
from mlops.project.deployment import DeploymentOptions, deploy_project
from mlops.project.executions import newest_execution_id
from mlops.project.project_stack import ProjectStack, require_project_stack, stack_name_of
from mlops.project.push import push_unit
from mlops.project.stack_events import StackEvent
from mlops.project.watching import wait_for_execution
from local_aws.server import LocalAws
from local_aws.state import write_json
from local_aws.workers import only_logged, start_worker

_FOREST = "model_build/steps/train_evaluate_register/estimators/random_forest.py"
_TREES = re.compile(r'(name="NEstimators",\s+default=)(\d+)')


@dataclass
class _Seconds:
    """Where the time went."""

    up: float = 0.0
    deploy: float = 0.0
    train: float = 0.0
    release: float = 0.0
    total: float = 0.0


def run_demo(
    state_dir: Path,
    project_dir: Path,
    narrator: Narrator,
    approve: Callable[[str], bool],
    stay: Callable[[], None],
    versions: int = 1,
    mlflow: MlflowElsewhere | None = None,
) -> None:
    """Up, the whole road `versions` times, `demo.json`, the table; then `stay` decides how long
    it all stays up.

    Raises LocalAwsError; whatever was started has ended then.
    """
    require_project(project_dir)
    begun = time.monotonic()
    seconds = _Seconds()
    with contextlib.ExitStack() as exits:
        with narrator.step("up: AWS on this machine; MLflow begins to start") as step:
            local_aws = exits.enter_context(LocalAws(state_dir, await_mlflow=False, mlflow=mlflow))
            mlflow_url = local_aws.environment["MLFLOW_TRACKING_URI"]
            step.result = local_aws.own.url
        seconds.up = step.seconds
        clients = Clients(local_aws.environment)
        seconds.deploy, stack = _deploy(clients, narrator, project_dir)
        local_aws.state.update_environment(stack.environment)
        with narrator.step("up: MLflow") as step:
            local_aws.await_mlflow()
            step.result = mlflow_url
        seconds.up += step.seconds
        if mlflow is not None:
            become_client(local_aws.environment, os.environ)
        # What reading back needs, seconds long, while the pipelines run.
        start_worker("import of MLflow", _import_libraries, only_logged)
        demo = _Demo(clients, narrator, stack, project_dir, approve)
        for number in range(versions):
            seconds.train += demo.train(number)
            seconds.release += demo.release()
        report = _read_back(clients, narrator, demo.executions)
        seconds.total = time.monotonic() - begun
        rounded = {name: round(value, 1) for name, value in asdict(seconds).items()}
        path = local_aws.state.path / "demo.json"
        write_json(path, {**report, "seconds": rounded})
        narrator.console.print(table_of(report))
        narrator.say("seconds: " + ", ".join(f"{name} {value}" for name, value in rounded.items()))
        narrator.say(f"MLflow: {mlflow_url}/#/models/{_model_name(project_dir)}")
        narrator.say(f"all of it, read back from MLflow and AWS: {path}")
        stay()


class _Demo:
    """The part between the project's stack and the report."""

    def __init__(
        self,
        clients: Clients,
        narrator: Narrator,
        stack: ProjectStack,
        project_dir: Path,
        approve: Callable[[str], bool],
    ) -> None:
        self._clients = clients
        self._narrator = narrator
        self._stack = stack
        self._project_dir = project_dir
        self._approve = approve
        self.executions: list[tuple[str, str]] = []

    def train(self, number: int) -> float:
        """Push modelbuild, follow CI; the seconds of both."""
        factor = 2**number
        message = "Train" if factor == 1 else f"Train a forest {factor} times as large"
        pushed = self._push("build", message, lambda folder: _multiply_trees(folder, factor))
        return pushed + self._follow("CI trains and registers")

    def release(self) -> float:
        """Push modeldeploy, follow CD to prod; the seconds of both."""
        pushed = self._push("deploy", "Deploy the latest version", lambda _: None)
        return pushed + self._follow("CD deploys, tests, asks, deploys")

    def _push(self, unit: str, message: str, edit: Callable[[Path], None]) -> float:
        pipeline = self._stack.pipeline_name(unit)
        before = newest_execution_id(self._clients, pipeline)
        with self._narrator.step(f'git push: model{unit}, "{message}"') as step:
            pushed = push_unit(
                self._clients, self._stack, unit, self._project_dir, message, edit=edit
            )
            if pushed.new:
                execution = wait_for_execution(self._clients, pipeline, before)
                step.result = f"commit {pushed.commit[:8]} started {pipeline}"
            else:
                execution = self._clients("codepipeline").start_pipeline_execution(name=pipeline)[
                    "pipelineExecutionId"
                ]
                step.result = f"nothing changed since {pushed.commit[:8]}; started {pipeline} again"
        self.executions.append((pipeline, execution))
        return step.seconds

    def _follow(self, title: str) -> float:
        pipeline, execution = self.executions[-1]
        return tell_execution(
            self._clients,
            self._narrator,
            f"{pipeline}: {title}",
            pipeline,
            execution,
            self._approve,
        )


def _deploy(clients: Clients, narrator: Narrator, project_dir: Path) -> tuple[float, ProjectStack]:
    done = 0

    def show(event: StackEvent) -> None:
        nonlocal done
        if event.resource_type != "AWS::CloudFormation::Stack":
            done += event.status.endswith("_COMPLETE")
            step.progress(f"{done} resources, {event.logical_id} {event.status}")

    name = stack_name_of(clients.environment)
    with narrator.step(f"deploy: infra/project/project.yml as stack {name}") as step:
        deploy_project(clients, project_dir, DeploymentOptions(), on_event=show)
        step.result = f"{done} resources: repositories, pipelines, roles, bucket"
    return step.seconds, require_project_stack(clients)


def _multiply_trees(folder: Path, factor: int) -> None:
    """Change a default in the files that are pushed; the working tree stays as it is."""
    path = folder / _FOREST
    text, found = _TREES.subn(lambda m: f"{m[1]}{int(m[2]) * factor}", path.read_text())
    if not found:
        raise CommandFailed(f"{path.name} declares no NEstimators whose default could change")
    path.write_text(text)


def _import_libraries() -> None:
    for name in ("mlflow.pyfunc", "skops.io"):
        importlib.import_module(name)


def _read_back(
    clients: Clients, narrator: Narrator, executions: list[tuple[str, str]]
) -> dict[str, object]:
    environment: Mapping[str, str] = clients.environment
    with narrator.step("read back: versions, endpoints, a prediction from prod") as step:
        endpoints = read_endpoints(clients("sagemaker"))
        prod = next(row for row in endpoints if row["name"].endswith("-prod"))
        prediction = read_prediction(
            clients("sagemaker-runtime"),
            prod["name"],
            environment["MLFLOW_TRACKING_URI"],
            f"models:/{prod['model_name']}/{prod['model_version']}",
        )
        step.result = f"{prod['name']} says {prediction['endpoint']}"
        versions = read_versions(environment["MLFLOW_TRACKING_URI"], prod["model_name"])
        pipelines = [execution_report(clients, *each) for each in executions]
    return {
        "versions": versions,
        "endpoints": endpoints,
        "prediction": prediction,
        "pipelines": pipelines,
    }


def _model_name(project_dir: Path) -> str:
    document = json.loads((project_dir / "model_deploy" / "deploy.json").read_text())
    return str(document["model_name"])
