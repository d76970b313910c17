"""The one shell in which all commands of a build run, so that `cd` and variables last.

The shell waits for the name of the next script at a named pipe, reads it in (`.`), and writes its
exit code to another. A command that ends the shell (`exit 1`, `set -e`) fails as any other; a new
shell goes on with its exported variables and its folder.
"""

from __future__ import annotations

import contextlib
import os
import select
import shlex
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from local_aws.containers.supervision import SupervisedProcess, start_supervised
from local_aws.workers import WorkerFault, start_worker

DRIVER = """\
_codebuild={control}
trap '_codebuild_code=$?; export -p >"$_codebuild/state"; pwd >"$_codebuild/folder"; \
exit "$_codebuild_code"' EXIT
while IFS= read -r _codebuild_next <"$_codebuild/next"; do
  . "$_codebuild/$_codebuild_next" </dev/null
  echo "$?" >"$_codebuild/ended"
done
"""
STOP_GRACE_SECONDS = 5.0
WAIT_SECONDS = 0.5


class ShellStopped(Exception):
    """The shell was ended from outside, or by its time limit."""

    def __init__(self, *, timed_out: bool) -> None:
        super().__init__("timed out" if timed_out else "stopped")
        self.timed_out = timed_out


class BuildShell:
    """Runs commands until it is stopped; `on_wait` is called every half second meanwhile."""

    def __init__(
        self,
        shell: Sequence[str],
        *,
        root: Path,
        visible_root: Path,
        variables: Mapping[str, str],
        cwd: Path,
        log_path: Path,
        deadline: float,
        mounts: Mapping[str, str] | None,
        on_wait: Callable[[], None],
    ) -> None:
        self._shell = list(shell)
        self._control = root / "control"
        self._visible_control = visible_root / "control"
        self._variables = dict(variables)
        self._cwd = cwd
        self._log_path = log_path
        self._deadline = deadline
        self._mounts = mounts
        self._on_wait = on_wait
        self._lock = threading.Lock()
        self._process: SupervisedProcess | None = None
        self._stopped = False
        self._count = 0
        self._fault = ""
        self._control.mkdir()
        for name in ("next", "ended"):
            os.mkfifo(self._control / name)
        driver = DRIVER.format(control=shlex.quote(str(self._visible_control)))
        (self._control / "driver").write_text(driver)
        # Open at both ends, so that neither side waits for the other to open it.
        self._next = os.open(self._control / "next", os.O_RDWR | os.O_NONBLOCK)
        self._ended = os.open(self._control / "ended", os.O_RDWR | os.O_NONBLOCK)

    def run(self, command: str) -> int:
        """The exit code of a command. Raises ShellStopped; StartError if there is no shell.

        WorkerFault when local_aws lost sight of it.
        """
        process = self._start()
        self._count += 1
        script = f"command-{self._count}"
        (self._control / script).write_text(command + "\n")
        os.write(self._next, f"{script}\n".encode())
        answer = self._wait()
        if answer != "gone":
            return int(answer)
        self._process = None
        if self._fault:
            raise WorkerFault(self._fault)
        code = process.wait()
        if self._stopped or process.timed_out:
            raise ShellStopped(timed_out=not self._stopped)
        self._drop_unread()
        return code

    def exported(self) -> dict[str, str]:
        """The exported variables as the commands left them."""
        place = self._visible_control / "variables"
        self.run(f"/usr/bin/env -0 >{shlex.quote(str(place))}")
        entries = (self._control / "variables").read_bytes().decode(errors="replace").split("\0")
        return dict(entry.split("=", 1) for entry in entries if "=" in entry)

    def stop(self) -> None:
        """End the shell and all below it; returns when they are gone. Any thread may call it."""
        with self._lock:
            self._stopped = True
            process = self._process
        if process is not None:
            process.stop(STOP_GRACE_SECONDS)

    def close(self) -> None:
        """End what the commands left running; the shell is not used any more."""
        with self._lock:
            self._stopped = True
            process, self._process = self._process, None
        if process is not None:
            process.stop(0)
            while self._wait() != "gone":
                pass
        os.close(self._next)
        os.close(self._ended)

    def _start(self) -> SupervisedProcess:
        with self._lock:
            if self._stopped:
                raise ShellStopped(timed_out=False)
            if self._process is not None:
                return self._process
            left = self._deadline - time.monotonic()
            if left <= 0:
                raise ShellStopped(timed_out=True)
            process = start_supervised(
                [*self._shell, str(self._visible_control / "driver")],
                environment=self._variables,
                cwd=self._cwd,
                log_path=self._log_path,
                limit_seconds=left,
                mounts=self._mounts,
            )
            self._process = process
        start_worker(
            f"end of the shell {process.pid}",
            lambda: self._tell_end(process),
            lambda cause: self._lose(process, cause),
        )
        self._restore()
        return process

    def _tell_end(self, process: SupervisedProcess) -> None:
        process.wait()
        self._tell_gone()

    def _lose(self, process: SupervisedProcess, cause: str) -> None:
        self._fault = cause
        try:
            process.stop(0)
        finally:
            self._tell_gone()

    def _tell_gone(self) -> None:
        with contextlib.suppress(OSError):
            os.write(self._ended, b"gone\n")

    def _restore(self) -> None:
        """Give a new shell the state that the one before it left."""
        state, folder = self._control / "state", self._control / "folder"
        if not state.exists():
            return
        seen = self._visible_control
        state.rename(self._control / "former-state")
        folder.rename(self._control / "former-folder")
        self.run(
            f". {shlex.quote(str(seen / 'former-state'))}\n"
            f'cd "$(cat {shlex.quote(str(seen / "former-folder"))})"'
        )

    def _wait(self) -> str:
        line = b""
        while not line.endswith(b"\n"):
            ready, _, _ = select.select([self._ended], [], [], WAIT_SECONDS)
            if ready:
                line += os.read(self._ended, 1)
            else:
                self._on_wait()
        return line.decode().strip()

    def _drop_unread(self) -> None:
        """Nothing may be left in the pipes for the next shell."""
        for pipe in (self._next, self._ended):
            with contextlib.suppress(BlockingIOError):
                os.read(pipe, 4096)
