"""A local_aws that serves in a process of its own, used through the commands a person types."""

from __future__ import annotations

import os
import pty
import signal
import subprocess
import time
from collections.abc import Iterator

import pytest

from tests.end_to_end.shell import BIN_DIR, PROJECT_DIR, Terminal
from tests.end_to_end.up import deploy_project, local_aws_up, with_project


@pytest.fixture(scope="session")
def deployed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Terminal]:
    """`local-aws up`, platform and project, and a terminal. Shared: use unique names."""
    with local_aws_up(tmp_path_factory.mktemp("up") / "state") as running:
        yield deploy_project(running)


@pytest.fixture(scope="session")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Terminal]:
    """`mlops demo --yes` on a terminal, in a local-aws that somebody else started elsewhere: it
    is given an endpoint's URL and credentials, and nothing more. It stays up when it has told
    its story; what it told is in `demo.log` beside the state folder, `tmp` is its TMPDIR.
    """
    folder = tmp_path_factory.mktemp("demo")
    with local_aws_up(folder / "theirs" / "state") as theirs:
        given = {name: value for name, value in theirs.environment.items() if "MLFLOW" not in name}
        terminal = Terminal({**given, "TMPDIR": str(folder / "tmp")}, theirs.state_dir)
        (folder / "tmp").mkdir()
        keyboard, stdin = pty.openpty()
        with (folder / "demo.log").open("w") as log:
            process = subprocess.Popen(
                [BIN_DIR / "mlops", "demo", "--yes", "--state-dir", folder / "own"],
                cwd=PROJECT_DIR,
                env=dict(terminal.environment),
                stdin=stdin,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        deadline = time.monotonic() + 280
        while "Everything stays up" not in (told := (folder / "demo.log").read_text()):
            assert process.poll() is None, told
            assert time.monotonic() < deadline, told
            time.sleep(0.2)
        yield with_project(terminal)
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=60) == 0
        os.close(keyboard)
        os.close(stdin)
