"""`local-aws up` in a process of its own, and what it leaves behind: nothing."""

from __future__ import annotations

import contextlib
import json
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import psutil

from tests.end_to_end.shell import BIN_DIR, Terminal, clean_environment


@contextlib.contextmanager
def local_aws_up(state_dir: Path, *flags: str | Path) -> Iterator[Terminal]:
    """Serve until the block ends; a terminal that talks to it."""
    state_dir.parent.mkdir(parents=True, exist_ok=True)
    log_path = state_dir.parent / "up.log"
    with log_path.open("w") as log:
        up = subprocess.Popen(
            [BIN_DIR / "local-aws", "up", "--state-dir", state_dir, *flags],
            cwd=state_dir.parent,
            env=clean_environment(),
            stdout=log,
            stderr=subprocess.STDOUT,
        )
    deadline = time.monotonic() + 120
    announced = state_dir / "running.json"
    while not announced.exists():
        assert up.poll() is None, log_path.read_text()
        assert time.monotonic() < deadline, "local-aws up took more than 120 s"
        time.sleep(0.2)
    environment = json.loads(announced.read_text())["environment"]
    try:
        yield Terminal({**clean_environment(), **environment}, state_dir)
    finally:
        _end(up, state_dir)


def deploy_project(terminal: Terminal, *flags: str) -> Terminal:
    """What `mlops` puts up for a project, and a terminal in which its programs find it."""
    for words in (
        ["platform", "deploy", "--size", "laptop", "--yes", *flags],
        ["project", "deploy", "local", "--yes"],
    ):
        answer = terminal.run("mlops", *words)
        assert answer.returncode == 0, answer.stderr
    return with_project(terminal)


def with_project(terminal: Terminal) -> Terminal:
    """The terminal after `eval "$(mlops project env)"`."""
    answer = terminal.run("mlops", "project", "env", "--json")
    assert answer.returncode == 0, answer.stderr
    return Terminal({**terminal.environment, **json.loads(answer.stdout)}, terminal.state_dir)


def _end(up: subprocess.Popen[bytes], state_dir: Path) -> None:
    children = psutil.Process(up.pid).children(recursive=True)
    down = subprocess.run(
        [BIN_DIR / "local-aws", "down", "--state-dir", state_dir], capture_output=True, text=True
    )
    assert down.returncode == 0, down.stderr
    assert up.wait(timeout=30) == 0
    _, alive = psutil.wait_procs(children, timeout=10)
    assert not alive, f"left behind by local-aws up: {alive}"
    shutil.rmtree(state_dir)
