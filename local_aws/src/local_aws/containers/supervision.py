"""A child process that never outlives its time limit or its parent, and leaves no grandchildren.

    parent (any thread) ── pipe ──▶ supervisor (own session) ──▶ command (own session and group)

The supervisor (`supervisor.py`) reads the pipe: its end of file means that the parent is gone, even
by SIGKILL. A terminal's Ctrl-C reaches neither of the two; the parent decides what to do about it.
"""

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from local_aws.errors import LocalAwsError

SUPERVISOR = Path(__file__).with_name("supervisor.py")
STOP_GRACE_SECONDS = 5.0


class StartError(LocalAwsError):
    """A command could not be started at all."""


class SupervisedProcess:
    """A running command. Safe to use from several threads."""

    def __init__(self, supervisor: "subprocess.Popen[bytes]", pid: int, log_path: Path) -> None:
        self.pid = pid
        self.log_path = log_path
        self.timed_out = False
        self._supervisor = supervisor
        self._lock = threading.Lock()
        self._code: int | None = None

    def poll(self) -> int | None:
        """The exit code (128 + n after signal n), None while the command runs."""
        return None if self._supervisor.poll() is None else self._result()

    def wait(self, timeout_seconds: float | None = None) -> int:
        """The exit code once the command and all below it are gone.

        Raises TimeoutError when that takes longer.
        """
        try:
            self._supervisor.wait(timeout_seconds)
        except subprocess.TimeoutExpired:
            raise TimeoutError(f"process {self.pid} still runs after {timeout_seconds} s") from None
        return self._result()

    def stop(self, grace_seconds: float = STOP_GRACE_SECONDS) -> None:
        """Send SIGTERM to the command's group, after the grace period SIGKILL to all below it.

        Returns when it is gone. A second call may shorten the grace period.
        """
        with self._lock:
            control = self._supervisor.stdin
            assert control is not None
            if not control.closed and self._supervisor.poll() is None:
                try:
                    control.write(f"stop {grace_seconds}\n".encode())
                    control.flush()
                except BrokenPipeError:
                    pass  # it ended just now
        self.wait()

    def _result(self) -> int:
        with self._lock:
            if self._code is None:
                self._code = self._read_result()
            return self._code

    def _read_result(self) -> int:
        control, status = self._supervisor.stdin, self._supervisor.stdout
        assert control is not None
        assert status is not None
        words = status.readline().decode().split()
        status.close()
        with contextlib.suppress(BrokenPipeError):
            control.close()
        if len(words) == 3:
            self.timed_out = words[2] == "limit"
            return int(words[1])
        # Somebody killed the supervisor itself; its command must not stay behind.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        return 128 + signal.SIGKILL


def start_supervised(
    argv: Sequence[str],
    *,
    environment: Mapping[str, str],
    cwd: Path,
    log_path: Path,
    limit_seconds: float | None = None,
    mounts: Mapping[str, Any] | None = None,
    umask: int = 0o022,
) -> SupervisedProcess:
    """Start a command whose output is appended to `log_path`, and return once it runs.

    The command gets exactly `environment`, no standard input, and is ended after `limit_seconds`.
    `mounts` are the arguments of `mount_namespace.enter`, for a command that sees its own /opt/ml;
    `umask` is a container's, because what a command makes goes into archives.
    Raises StartError when it cannot be executed.
    """
    log_path.parent.mkdir(parents=True, exist_ok=True)
    supervisor = subprocess.Popen(
        [sys.executable, "-I", "-S", str(SUPERVISOR)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        cwd="/",
        start_new_session=True,
    )
    assert supervisor.stdin is not None
    assert supervisor.stdout is not None
    request = {
        "argv": [str(word) for word in argv],
        "environment": dict(environment),
        "cwd": str(cwd),
        "log_path": str(log_path.absolute()),
        "limit_seconds": limit_seconds,
        "grace_seconds": STOP_GRACE_SECONDS,
        "umask": umask,
        "mounts": dict(mounts) if mounts else None,
    }
    try:
        supervisor.stdin.write(json.dumps(request).encode() + b"\n")
        supervisor.stdin.flush()
    except BrokenPipeError:
        pass  # what went wrong is in the answer, or in its absence
    answer, _, detail = supervisor.stdout.readline().decode().strip().partition(" ")
    if answer != "started":
        supervisor.stdout.close()
        supervisor.communicate()
        raise StartError(f"could not start {argv[0]}: {detail or 'its supervisor ended at once'}")
    return SupervisedProcess(supervisor, int(detail), log_path)
