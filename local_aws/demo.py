"""`local-aws demo`: the main job from data to production, through the commands that a person or
CodeBuild types.

    up ─▶ run-pipeline, twice ─▶ for version 1, then for version 2:
          build ─▶ deploy staging ─▶ test ─▶ approve? ─▶ deploy prod ─▶ test
    ─▶ predict, read everything back
"""

from __future__ import annotations

import contextlib
import os
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from local_aws.demo_report import read_endpoints, read_prediction, read_versions, table_of
from local_aws.errors import DemoFailed, UsageError
from local_aws.narration import Narrator, Step
from local_aws.server import LocalAws
from local_aws.stack_deployment import deploy_stack
from local_aws.state import write_json
from local_aws.supervision import start_supervised

MODEL_NAME = "sklearn-random-forest"
_TREES = {"1": 20, "2": 200}  # two versions that differ, the second one better


@dataclass
class Seconds:
    """Where the time went, in seconds."""

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
    stay: Callable[[LocalAws], None],
) -> None:
    """Up, the whole road, `demo.json`, the table; then `stay` decides how long it all stays up.

    `approve` gets the question that a person answers in the CodePipeline console. Raises
    LocalAwsError.
    """
    if not (project_dir / "model_deploy" / "staging-config.json").is_file():
        raise UsageError(
            f"{project_dir} holds no model_deploy/staging-config.json. "
            "Run the demo in the project's root folder."
        )
    begun = time.monotonic()
    with contextlib.ExitStack() as stack:
        with narrator.step("up: AWS and MLflow on this machine") as step:
            local_aws = stack.enter_context(LocalAws(state_dir))
            mlflow_url = local_aws.environment["MLFLOW_TRACKING_URI"]
            step.result = f"AWS at {local_aws.own.url}, MLflow at {mlflow_url}"
        demo = _Demo(local_aws, narrator, approve, project_dir)
        demo.seconds.up = step.seconds
        report = demo.run()
        demo.seconds.total = time.monotonic() - begun
        seconds = {name: round(value, 1) for name, value in asdict(demo.seconds).items()}
        path = local_aws.state.path / "demo.json"
        write_json(path, {**report, "seconds": seconds})
        narrator.console.print(table_of(report))
        narrator.say("seconds: " + ", ".join(f"{name} {value}" for name, value in seconds.items()))
        narrator.say(f"MLflow: {mlflow_url}/#/models/{MODEL_NAME}")
        narrator.say(f"all of it, read back: {path}")
        stay(local_aws)


class _Demo:
    """One run of the demo against a running local_aws, from the project's root folder."""

    def __init__(
        self,
        local_aws: LocalAws,
        narrator: Narrator,
        approve: Callable[[str], bool],
        project_dir: Path,
    ) -> None:
        self._aws = local_aws
        self._narrator = narrator
        self._approve = approve
        self._project_dir = project_dir
        self._output_dir = local_aws.state.path / "demo"
        self._output_dir.mkdir(parents=True, exist_ok=True)
        self._commands = 0
        self.seconds = Seconds()

    def run(self) -> dict[str, Any]:
        """The whole road; returns the report, read back from MLflow and AWS."""
        for version, trees in _TREES.items():
            with self._narrator.step(
                f"run-pipeline: train version {version}, {trees} trees"
            ) as step:
                self._command(step, "run-pipeline", "--parameters", f"NEstimators={trees}")
                step.result = self._registered(version)
            self.seconds.train += step.seconds
        for version in _TREES:
            self._release(version)
        return self._report()

    def _release(self, version: str) -> None:
        """Version -> archive -> staging -> test -> approval -> prod -> test."""
        with self._narrator.step(
            f"build: package version {version}, write the stage configs"
        ) as step:
            self._command(
                step,
                "build-deployment",
                *("--model-name", MODEL_NAME),
                *("--model-version", version),
                *("--initial-instance-count", "1"),
                *("--instance-type", "ml.m5.large"),
                *("--import-staging-config", "model_deploy/staging-config.json"),
                *("--import-prod-config", "model_deploy/prod-config.json"),
                *("--export-staging-config", str(self._config_path("staging"))),
                *("--export-prod-config", str(self._config_path("prod"))),
            )
        self.seconds.build += step.seconds
        self.seconds.staging += self._deploy_and_test("staging")
        question = f"Deploy version {version} of {MODEL_NAME} to prod?"
        if not self._approve(question):
            raise DemoFailed(f"{question} No. Prod is as it was, and so are the stages there.")
        self._narrator.say(f"    approved: version {version} goes to prod")
        self.seconds.prod += self._deploy_and_test("prod")

    def _deploy_and_test(self, stage: str) -> float:
        environment = self._aws.environment
        stack_name = "-".join(
            [
                "sagemaker",
                environment["SAGEMAKER_PROJECT_NAME"],
                environment["SAGEMAKER_PROJECT_ID"],
                "deploy",
                stage,
            ]
        )
        with self._narrator.step(f"deploy {stage}: CloudFormation stack {stack_name}") as deploy:
            outputs = deploy_stack(
                self._aws.own.client("cloudformation"),
                stack_name,
                self._project_dir / "model_deploy" / "endpoint-config-template.yml",
                self._config_path(stage),
                deploy.progress,
            )
            deploy.result = f"endpoint {outputs['EndpointName']} in service"
        with self._narrator.step(f"test {stage}: the endpoint answers as the model does") as test:
            self._command(
                test,
                "test-endpoint",
                *("--import-build-config", str(self._config_path(stage))),
                *("--export-test-results", str(self._output_dir / f"{stage}-test-results.json")),
            )
            test.result = f"passed; {self._stages()}"
        return deploy.seconds + test.seconds

    def _report(self) -> dict[str, Any]:
        with self._narrator.step("read back: versions, endpoints, a prediction from prod") as step:
            uri = self._aws.environment["MLFLOW_TRACKING_URI"]
            endpoints = read_endpoints(self._aws.own.client("sagemaker"))
            prod = next(row for row in endpoints if row["name"].endswith("-prod"))
            prediction = read_prediction(
                self._aws.own.client("sagemaker-runtime"),
                prod["name"],
                uri,
                f"models:/{prod['model_name']}/{prod['model_version']}",
            )
            step.result = f"{prod['name']} says {prediction['endpoint']}"
            return {
                "versions": read_versions(uri, MODEL_NAME),
                "endpoints": endpoints,
                "prediction": prediction,
            }

    def _registered(self, version: str) -> str:
        rows = read_versions(self._aws.environment["MLFLOW_TRACKING_URI"], MODEL_NAME)
        for row in rows:
            if row["version"] == version:
                return (
                    f"version {version}, median absolute error {row['median_absolute_error']:.2f}"
                )
        raise DemoFailed(f"run-pipeline ended well, but the registry has no version {version}")

    def _stages(self) -> str:
        rows = read_versions(self._aws.environment["MLFLOW_TRACKING_URI"], MODEL_NAME)
        return ", ".join(f"version {row['version']} is {row['stage']}" for row in rows)

    def _config_path(self, stage: str) -> Path:
        return self._output_dir / f"{stage}-config-export.json"

    def _command(self, step: Step, program: str, *arguments: str) -> None:
        """Run one of the project's console scripts as a person would.

        Raises DemoFailed with what it printed last.
        """
        self._commands += 1
        log_path = self._output_dir / f"{self._commands:02}-{program}.log"
        process = start_supervised(
            [str(Path(sys.executable).parent / program), *arguments],
            environment={**os.environ, **self._aws.environment},
            cwd=self._project_dir,
            log_path=log_path,
        )
        try:
            while process.poll() is None:
                time.sleep(0.1)
                step.progress(_last_line(log_path))
        finally:
            process.stop()
        if process.poll() != 0:
            lines = log_path.read_text().splitlines()[-15:]
            raise DemoFailed(
                f"{program} ended with exit code {process.poll()}; its last lines ({log_path}):\n"
                + "\n".join(f"    {line}" for line in lines)
            )


def _last_line(path: Path) -> str:
    try:
        lines = path.read_text(errors="replace").splitlines()
    except FileNotFoundError:
        return ""
    return lines[-1][:160] if lines else ""
