"""The state folder (`.local/`): what runs, and where each part keeps its files, for its user alone.

running.json   who serves, where, and the environment to export; there only while it runs
mlflow/        the registry: SQLite database, artifacts, server log
api-calls.jsonl  who called what
repositories/  bare git repositories
builds/        one log a build
jobs/          one folder a job that runs or failed: its /opt/ml
logs/          what each job printed
endpoints/     one folder an endpoint's deployment: its model and its log
previous/      the same of the run before: `up` starts from nothing, because moto forgets S3 when it
ends
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import psutil

from local_aws.errors import UsageError

DEFAULT_STATE_DIR = Path(".local")


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

    def renew(self) -> None:
        """Start from nothing; the files of the run before are kept in `previous/`, one generation.

        Raises UsageError if a local_aws serves from this folder.
        """
        running = self.running()
        if running is not None:
            raise UsageError(
                f"local_aws already runs here: process {running.pid}, {running.gateway_url}. "
                f"Use it (`local-aws status`), or end it with `local-aws down`."
            )
        if not self.path.exists():
            self.path.mkdir(mode=0o700, parents=True)
            return
        aside = Path(tempfile.mkdtemp(prefix=f"{self.path.name}-", dir=self.path.parent))
        self.path.replace(aside)
        shutil.rmtree(aside / "previous", ignore_errors=True)
        self.path.mkdir(mode=0o700)
        aside.chmod(0o700)
        aside.replace(self.path / "previous")

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
        """Take the announcement back."""
        self._running.unlink(missing_ok=True)

    def running(self) -> Running | None:
        """Who serves from this folder.

        Or None; an announcement left by a killed process doesn't count.
        """
        try:
            running = Running(**json.loads(self._running.read_text()))
        except FileNotFoundError:
            return None
        return running if process_of(running) is not None else None

    def require_running(self) -> Running:
        """Who serves from this folder; raises UsageError if nobody does."""
        running = self.running()
        if running is None:
            raise UsageError(
                f"no local_aws runs in {self.path}. Start one with `local-aws up` "
                f"(or name its folder with --state-dir)."
            )
        return running


def process_of(running: Running) -> psutil.Process | None:
    """The announced process, if it is still that very process."""
    with contextlib.suppress(psutil.NoSuchProcess):
        process = psutil.Process(running.pid)
        if abs(process.create_time() - running.started) < 1 and process.status() != "zombie":
            return process
    return None


def write_json(path: Path, document: Any) -> None:
    """Write sorted JSON for this user alone; a reader sees the whole new file or the old one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.touch(mode=0o600)
    temporary.write_text(json.dumps(document, indent=2, sort_keys=True) + "\n")
    temporary.replace(path)
