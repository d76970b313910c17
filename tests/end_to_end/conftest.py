"""A local_aws that serves in a process of its own, used through the commands a person types."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

PROJECT_DIR = Path(__file__).parents[2]
BIN_DIR = Path(sys.executable).parent


@dataclass(frozen=True)
class Terminal:
    """A shell in the project's root folder after `eval "$(local-aws env)"`."""

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


def clean_environment() -> dict[str, str]:
    """The developer's environment without a way to any account."""
    return {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("AWS_", "MLFLOW_", "SAGEMAKER_"))
    }


@pytest.fixture(scope="session")
def terminal(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Terminal]:
    """`local-aws up`, and a terminal that talks to it. Shared: use unique names."""
    state_dir = tmp_path_factory.mktemp("up") / "state"
    log = (state_dir.parent / "up.log").open("w")
    up = subprocess.Popen(
        [BIN_DIR / "local-aws", "up", "--state-dir", state_dir],
        env=clean_environment(),
        stdout=log,
        stderr=subprocess.STDOUT,
    )
    deadline = time.monotonic() + 120
    announced = state_dir / "running.json"
    while not announced.exists():
        assert up.poll() is None, Path(log.name).read_text()
        assert time.monotonic() < deadline, "local-aws up took more than 120 s"
        time.sleep(0.2)
    environment = json.loads(announced.read_text())["environment"]
    yield Terminal({**clean_environment(), **environment}, state_dir)
    children = psutil.Process(up.pid).children(recursive=True)
    down = subprocess.run(
        [BIN_DIR / "local-aws", "down", "--state-dir", state_dir], capture_output=True, text=True
    )
    assert down.returncode == 0, down.stderr
    assert up.wait(timeout=30) == 0
    _, alive = psutil.wait_procs(children, timeout=10)
    assert not alive, f"left behind by local-aws up: {alive}"
    shutil.rmtree(state_dir)
