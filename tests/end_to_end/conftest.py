"""A local_aws that serves in a process of its own, used through the commands a person types."""

from __future__ import annotations

import json
import os
import pty
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator

import psutil
import pytest

from tests.end_to_end.shell import BIN_DIR, PROJECT_DIR, Terminal, clean_environment
from tests.end_to_end.up import deploy_project, local_aws_up, with_project


@pytest.fixture(scope="session")
def deployed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Terminal]:
    """`local-aws up`, platform and project, and a terminal. Shared: use unique names."""
    with local_aws_up(tmp_path_factory.mktemp("up") / "state") as running:
        yield deploy_project(running)


@pytest.fixture(scope="session")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Terminal]:
    """`mlops demo --yes` on a terminal, which stays up when it has told its story; and another
    terminal that talks to it. What it told is in `demo.log` beside the state folder, `tmp` is its
    TMPDIR.
    """
    state_dir = tmp_path_factory.mktemp("demo") / "state"
    log_path = state_dir.parent / "demo.log"
    temporary = state_dir.parent / "tmp"
    temporary.mkdir()
    keyboard, stdin = pty.openpty()
    with log_path.open("w") as log:
        process = subprocess.Popen(
            [BIN_DIR / "mlops", "demo", "--yes", "--state-dir", state_dir],
            cwd=PROJECT_DIR,
            env={**clean_environment(), "TMPDIR": str(temporary)},
            stdin=stdin,
            stdout=log,
            stderr=subprocess.STDOUT,
        )
    deadline = time.monotonic() + 280
    while "Everything stays up" not in log_path.read_text():
        assert process.poll() is None, log_path.read_text()
        assert time.monotonic() < deadline, log_path.read_text()
        time.sleep(0.2)
    environment = json.loads((state_dir / "running.json").read_text())["environment"]
    yield with_project(Terminal({**clean_environment(), **environment}, state_dir))
    children = psutil.Process(process.pid).children(recursive=True)
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=60) == 0
    _, alive = psutil.wait_procs(children, timeout=10)
    assert not alive, f"left behind by mlops demo: {alive}"
    assert not (state_dir / "running.json").exists()
    os.close(keyboard)
    os.close(stdin)
    shutil.rmtree(state_dir)
