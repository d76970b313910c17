"""A training job, run in this process or another: its settings, and what it left in MLflow."""

from __future__ import annotations

import json
import uuid
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient
from mlflow.entities import Run

ARN = "arn:aws:sagemaker:us-east-1:123456789012:pipeline/p/execution/abc"


class Job:
    """One training job: where it writes, and what it left."""

    def __init__(self, tracking_uri: str, data: Path, folder: Path) -> None:
        self.data = data
        self.failure_file = folder / "output" / "failure"
        self.name = f"m-{uuid.uuid4().hex[:8]}"
        self.client = MlflowClient(tracking_uri, tracking_uri)
        self.environment = {
            "MLFLOW_TRACKING_URI": tracking_uri,
            "EXPERIMENT_NAME": self.name,
            "REGISTERED_MODEL_NAME": self.name,
            "TARGET_COLUMN": json.loads((data / "dataset.json").read_text())["target"],
            "ESTIMATOR": "random-forest",
            "METRIC_LIMITS": "none",
            "CHAMPION_INCOMPARABLE": "refuse",
            "SHAP": "off",
            "PIPELINE_EXECUTION_ARN": ARN,
            "TRAINING_JOB_NAME": "pipelines-abc-Train",
            "SOURCE_COMMIT": "0123abc",
        }

    def arguments(self, **hyperparameters: object) -> list[str]:
        chosen = {"n-estimators": 10, "boosting-rounds": 10, **hyperparameters}
        words = [word for name, value in chosen.items() for word in (f"--{name}", str(value))]
        return [*words, "--data", str(self.data), "--failure-file", str(self.failure_file)]

    def enter(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """From now on this process has the job's environment."""
        for name, value in self.environment.items():
            monkeypatch.setenv(name, value)

    @property
    def failure(self) -> str:
        return self.failure_file.read_text(encoding="utf-8")

    @property
    def run(self) -> Run:
        experiment = self.client.get_experiment_by_name(self.name)
        assert experiment is not None
        (run,) = self.client.search_runs([experiment.experiment_id])
        return run

    @property
    def has_run(self) -> bool:
        return self.client.get_experiment_by_name(self.name) is not None

    @property
    def versions(self) -> list[Any]:
        return list(self.client.search_model_versions(f"name = '{self.name}'"))
