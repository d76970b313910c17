"""Runs the project's console scripts as a person at a terminal does."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3

PROJECT_DIR = Path(__file__).parents[2]
BIN_DIR = Path(sys.executable).parent


@dataclass(frozen=True)
class Terminal:
    """A shell in the project's root folder after `eval "$(local-aws env)"` and the project's."""

    environment: Mapping[str, str]
    state_dir: Path

    def run(
        self, program: str, *arguments: str, seconds: float = 120
    ) -> subprocess.CompletedProcess[str]:
        """Run a console script; both outputs are captured."""
        return subprocess.run(
            [BIN_DIR / program, *arguments],
            cwd=PROJECT_DIR,
            env=dict(self.environment),
            capture_output=True,
            text=True,
            timeout=seconds,
        )

    def start(self, program: str, *arguments: str) -> subprocess.Popen[str]:
        """Start a console script in a process group of its own, as a terminal does."""
        return subprocess.Popen(
            [BIN_DIR / program, *arguments],
            cwd=PROJECT_DIR,
            env=dict(self.environment),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def client(self, service: str) -> Any:
        """A client of the account that the environment names."""
        return boto3.client(
            service,
            endpoint_url=self.environment["AWS_ENDPOINT_URL"],
            aws_access_key_id=self.environment["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=self.environment["AWS_SECRET_ACCESS_KEY"],
        )


def clean_environment() -> dict[str, str]:
    """The developer's environment without a way to any account."""
    return {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("AWS_", "MLFLOW_", "SAGEMAKER_"))
    }
