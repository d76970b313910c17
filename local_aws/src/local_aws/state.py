"""The state folder (`.local/`): what runs, and where each part keeps its files, for its user alone.

lock           held by the process that serves, from its first step to its last; who that is
running.json   who serves, where, and the environment to export; there only while it serves
mlflow/        the registry: SQLite database, artifacts, server log
api-calls.jsonl  who called what
objects/       what S3's objects hold, a file each
repositories/  bare git repositories
builds/        one log a build
jobs/          one folder a job that runs or failed: its /opt/ml
logs/          what each job printed
endpoints/     one folder an endpoint's deployment: its model and its log
kept/          what `up --keep` brings back, see `keeping`
previous/      the same of the run before: without --keep `up` starts from nothing
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TextIO

import psutil

from local_aws.errors import UsageError

DEFAULT_STATE_DIR = Path(".local")
OBJECTS_FOLDER = "objects"
KEPT_FOLDER = "kept"
# What is where it was after `up --keep`; the rest is of one run.
_KEPT = frozenset({KEPT_FOLDER, OBJECTS_FOLDER, "repositories", "mlflow"})
_LOCK = "lock"
_PREVIOUS = "previous"
_MOVING = ".moving"


@dataclass(frozen=True, kw_only=True)
class Running:
    """The process that serves.

    Identified beyond doubt by id and start time (seconds since 1970).
    """

    pid: int
    started: float
    gateway_url: str
    environment: dict[str, str]


class StateFolder:
    """One state folder; its path is absolute."""

    def __init__(self, path: Path) -> None:
        self.path = path.resolve()
        self._running = self.path / "running.json"
        self._lock: TextIO | None = None

    def lock(self) -> None:
        """Take the folder for this process, until `unlock` or the process's end, however it ends.

        Raises UsageError, which says who has it.
        """
        self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.path.chmod(0o700)
        file = (self.path / _LOCK).open("a+")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as err:
            file.close()
            raise UsageError(self._taken()) from err
        own = psutil.Process()
        file.truncate(0)
        file.write(json.dumps({"pid": own.pid, "started": own.create_time()}))
        file.flush()
        self._lock = file

    def unlock(self) -> None:
        """Leave the folder to others."""
        if self._lock is not None:
            self._lock.truncate(0)
            self._lock.close()
            self._lock = None

    def holder(self) -> psutil.Process | None:
        """The process that has the folder: it starts, serves or ends."""
        try:
            written = json.loads((self.path / _LOCK).read_text())
            return _process(written["pid"], written["started"])
        except (FileNotFoundError, ValueError):
            return None

    @property
    def is_kept(self) -> bool:
        """Whether `up --keep` has left something here."""
        return (self.path / KEPT_FOLDER).is_dir()

    def renew(self, *, keep: bool = False) -> None:
        """Start from nothing; the files of the run before go to `previous/`, one generation.

        With `keep` what was kept stays. For who has the lock. Killed on the way, the next one goes
        on where this one was.
        """
        moving = self.path / _MOVING
        moving.mkdir(parents=True, exist_ok=True)
        if not self.is_kept:  # objects without the record of them are nothing
            shutil.rmtree(self.path / OBJECTS_FOLDER, ignore_errors=True)
        stays = _KEPT if keep and self.is_kept else frozenset()
        # The record first: without it the rest is not taken for kept.
        for entry in sorted(self.path.iterdir(), key=lambda entry: entry.name != KEPT_FOLDER):
            if entry.name not in {_LOCK, _PREVIOUS, _MOVING, *stays}:
                entry.replace(moving / entry.name)
        shutil.rmtree(self.path / _PREVIOUS, ignore_errors=True)
        if any(moving.iterdir()):
            moving.chmod(0o700)
            moving.replace(self.path / _PREVIOUS)
        else:
            moving.rmdir()

    def announce(
        self,
        gateway_url: str,
        environment: Mapping[str, str],
    ) -> None:
        """Tell other processes that this one serves."""
        own = psutil.Process()
        running = Running(
            pid=own.pid,
            started=own.create_time(),
            gateway_url=gateway_url,
            environment=dict(environment),
        )
        write_json(self._running, asdict(running))

    def withdraw(self) -> None:
        """Take the announcement back. For who has the lock: another's is not its to take."""
        self._running.unlink(missing_ok=True)

    def running(self) -> Running | None:
        """Who serves from this folder.

        Or None; an announcement left by a killed process doesn't count.
        """
        try:
            running = Running(**json.loads(self._running.read_text()))
        except FileNotFoundError:
            return None
        return running if _process(running.pid, running.started) is not None else None

    def _taken(self) -> str:
        running, holder = self.running(), self.holder()
        if running is not None:
            return (
                f"local_aws already runs here: process {running.pid}, {running.gateway_url}. "
                f"Use it (`local-aws status`), or end it with `local-aws down`."
            )
        who = f"process {holder.pid}" if holder is not None else "another process"
        return (
            f"a local_aws is just starting or ending in {self.path}: {who}. "
            "Wait for it, or end it with `local-aws down`."
        )

    def require_running(self) -> Running:
        """Who serves from this folder; raises UsageError if nobody does."""
        running = self.running()
        if running is None:
            raise UsageError(
                f"no local_aws runs in {self.path}. Start one with `local-aws up` "
                f"(or name its folder with --state-dir)."
            )
        return running


def _process(pid: int, started: float) -> psutil.Process | None:
    """The process of that id, if it is the very one that started then and hasn't ended."""
    with contextlib.suppress(psutil.NoSuchProcess):
        process = psutil.Process(pid)
        if abs(process.create_time() - started) < 1 and process.status() != "zombie":
            return process
    return None


def write_json(path: Path, document: Any) -> None:
    """Write sorted JSON for this user alone; a reader sees the whole new file or the old one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.touch(mode=0o600)
    temporary.write_text(json.dumps(document, indent=2, sort_keys=True) + "\n")
    temporary.replace(path)
