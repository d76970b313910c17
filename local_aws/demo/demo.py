"""`local-aws demo`: the main job from data to production, through the commands a person types.

up ─▶ run-pipeline, twice ─▶ release version 1 ─▶ release version 2 ─▶ read everything back
"""

from __future__ import annotations

import contextlib
import importlib
import threading
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

from local_aws.demo.commands import Commands, require_project
from local_aws.demo.narration import Narrator
from local_aws.demo.registry_report import read_endpoints, read_prediction, read_versions, table_of
from local_aws.demo.release import release
from local_aws.errors import CommandFailed
from local_aws.remote import client_of
from local_aws.server import LocalAws
from local_aws.state import write_json

MODEL_NAME = "sklearn-random-forest"
_TREES = {"1": 20, "2": 200}  # two versions that differ


@dataclass
class _Seconds:
    """Where the time went."""

    up: float = 0.0
    train: float = 0.0
    build: float = 0.0
    staging: float = 0.0
    prod: float = 0.0
    total: float = 0.0


def run_demo(
    state_dir: Path,
    project_dir: Path,
    narrator: Narrator,
    approve: Callable[[str], bool],
    stay: Callable[[], None],
) -> None:
    """Up, the whole road, `demo.json`, the table; then `stay` decides how long it all stays up.

    Raises LocalAwsError; whatever was started has ended then.
    """
    require_project(project_dir)
    begun = time.monotonic()
    seconds = _Seconds()
    with contextlib.ExitStack() as stack:
        with narrator.step("up: AWS and MLflow on this machine") as step:
            local_aws = stack.enter_context(LocalAws(state_dir))
            mlflow_url = local_aws.environment["MLFLOW_TRACKING_URI"]
            step.result = f"AWS at {local_aws.own.url}, MLflow at {mlflow_url}"
        seconds.up = step.seconds
        threading.Thread(target=_import_libraries, daemon=True).start()
        commands = Commands(local_aws.environment, project_dir, local_aws.state.path / "demo")
        for version, trees in _TREES.items():
            seconds.train += _train(commands, narrator, version, trees)
        for version in _TREES:
            parts = release(commands, narrator, approve, MODEL_NAME, version)
            seconds.build += parts.build
            seconds.staging += parts.staging
            seconds.prod += parts.prod
        report = _read_back(commands, narrator)
        seconds.total = time.monotonic() - begun
        rounded = {name: round(value, 1) for name, value in asdict(seconds).items()}
        path = local_aws.state.path / "demo.json"
        write_json(path, {**report, "seconds": rounded})
        narrator.console.print(table_of(report))
        narrator.say("seconds: " + ", ".join(f"{name} {value}" for name, value in rounded.items()))
        narrator.say(f"MLflow: {mlflow_url}/#/models/{MODEL_NAME}")
        narrator.say(f"all of it, read back from MLflow and AWS: {path}")
        stay()


def _import_libraries() -> None:
    """Import what reading back needs, seconds long, while the commands run."""
    for name in ("mlflow.pyfunc", "skops.io"):
        importlib.import_module(name)


def _train(commands: Commands, narrator: Narrator, version: str, trees: int) -> float:
    with narrator.step(f"run-pipeline: train a forest of {trees} trees") as step:
        commands.run(step, "run-pipeline", "--parameters", f"NEstimators={trees}")
        versions = read_versions(commands.environment["MLFLOW_TRACKING_URI"], MODEL_NAME)
        found = [row for row in versions if row["version"] == version]
        if not found:
            raise CommandFailed(f"run-pipeline ended well, but there is no version {version}")
        error = found[0]["median_absolute_error"]
        step.result = f"registered version {version}, median absolute error {error:.2f}"
    return step.seconds


def _read_back(commands: Commands, narrator: Narrator) -> dict[str, object]:
    environment = commands.environment
    with narrator.step("read back: versions, endpoints, a prediction from prod") as step:
        endpoints = read_endpoints(client_of(environment, "sagemaker"))
        prod = next(row for row in endpoints if row["name"].endswith("-prod"))
        prediction = read_prediction(
            client_of(environment, "sagemaker-runtime"),
            prod["name"],
            environment["MLFLOW_TRACKING_URI"],
            f"models:/{prod['model_name']}/{prod['model_version']}",
        )
        step.result = f"{prod['name']} says {prediction['endpoint']}"
        versions = read_versions(environment["MLFLOW_TRACKING_URI"], MODEL_NAME)
    return {"versions": versions, "endpoints": endpoints, "prediction": prediction}
