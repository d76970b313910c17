"""A real MLflow server with what a training job left there, and a browser."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from tests.chromium import browser  # noqa: F401 # a fixture
from tests.model_build.conftest import STEPS

if TYPE_CHECKING:
    from tests.model_build.steps.train_evaluate_register.jobs import Job


@dataclass(frozen=True, kw_only=True)
class Trained:
    """A job that registered a version, and what it printed."""

    server: str
    job: Job
    log: str

    @property
    def experiment_id(self) -> str:
        return str(self.job.run.info.experiment_id)

    @property
    def run_id(self) -> str:
        return str(self.job.run.info.run_id)

    @property
    def run_name(self) -> str:
        return str(self.job.run.info.run_name)


@pytest.fixture(scope="session")
def trained(mlflow_server: str, tmp_path_factory: pytest.TempPathFactory) -> Trained:
    """The training step itself, as the job's program, with the server."""
    # Seconds to import.
    import numpy as np
    import pandas as pd

    from tests.model_build.steps.tables import parquet_of, prepare_files
    from tests.model_build.steps.train_evaluate_register.jobs import Job

    folder = tmp_path_factory.mktemp("trained")
    rng = np.random.default_rng(7)
    frame = pd.DataFrame({"size": rng.gamma(4, 20, 200), "rooms": rng.integers(1, 7, 200)})
    frame["price"] = frame["size"] * 10 + frame["rooms"] * 50 + rng.normal(0, 30, 200)
    prepare_files({"a.parquet": parquet_of(frame)}, folder / "data", target="price")
    job = Job(mlflow_server, folder / "data", folder)
    step = STEPS / "train_evaluate_register"
    ended = subprocess.run(
        [sys.executable, step / "train.py", *job.arguments()],
        env={**os.environ, **job.environment, "GIT_PYTHON_REFRESH": "quiet"},
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert ended.returncode == 0, ended.stdout
    return Trained(server=mlflow_server, job=job, log=ended.stdout)
