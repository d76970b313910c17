"""An MLflow server as a process of its own.

SQLite for the registry, artifacts on disk, on 127.0.0.1.
"""

from __future__ import annotations

import logging
import os
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path

import urllib3

from local_aws.containers.supervision import SupervisedProcess, start_supervised
from local_aws.errors import StartFailed
from local_aws.ports import find_free_port
from local_aws.workers import start_worker

logger = logging.getLogger(__name__)

# A server that ends again within this time is broken, not unlucky: it isn't restarted.
_LONG_ENOUGH_SECONDS = 10.0
_PROGRAM = (sys.executable, "-m", "mlflow", "server")


class TrackingServer:
    """The server of one folder; `url` serves once `wait_until_ready()` has returned.

    From then on a server that ends is restarted, as an endpoint's is: MLflow's clients ask again
    for minutes before they give up.
    """

    def __init__(
        self, folder: Path, program: Sequence[str] = _PROGRAM, port: int | None = None
    ) -> None:
        self._folder = folder
        self._program = program
        self._port = port or find_free_port()
        self.url = f"http://127.0.0.1:{self._port}"
        self.log_path = folder / "server.log"
        self._process: SupervisedProcess | None = None
        self._lock = threading.Lock()
        self._stopping = False
        self._restarted = False

    def start(self) -> TrackingServer:
        """Start the process; returns before it is ready, because that takes seconds."""
        self._folder.mkdir(parents=True, exist_ok=True)
        self._process = start_supervised(
            [
                *self._program,
                *("--backend-store-uri", f"sqlite:///{self._folder / 'mlflow.db'}"),
                *("--artifacts-destination", str(self._folder / "artifacts")),
                *("--host", "127.0.0.1"),
                *("--port", str(self._port)),
                *("--workers", "1"),
            ],
            environment={
                **_without_aws(os.environ),
                "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
                "MLFLOW_DISABLE_TELEMETRY": "true",
            },
            cwd=self._folder,
            log_path=self.log_path,
            umask=0o077,
        )
        return self

    def wait_until_ready(self, timeout_seconds: float = 120.0) -> None:
        """Return when the server answers.

        Raises StartFailed with its last log lines when it ends or takes too long.
        """
        assert self._process is not None, "start() comes first"
        deadline = time.monotonic() + timeout_seconds
        http = urllib3.PoolManager(retries=False, timeout=2.0)
        while time.monotonic() < deadline:
            if self._process.poll() is not None:
                raise StartFailed(f"MLflow's server ended at once:\n{self._last_lines()}")
            try:
                if http.request("GET", f"{self.url}/health").status == 200:
                    start_worker("the watch over MLflow", self._keep, self._leave)
                    return
            except urllib3.exceptions.HTTPError:
                pass
            time.sleep(0.1)
        raise StartFailed(
            f"MLflow's server did not answer at {self.url} within {timeout_seconds:.0f} s:\n"
            f"{self._last_lines()}"
        )

    def stop(self) -> None:
        """End the server, if it runs."""
        with self._lock:
            self._stopping = True
        if self._process is not None:
            self._process.stop()

    def _keep(self) -> None:
        """Restart the server when it ends unasked."""
        while True:
            assert self._process is not None, "start() comes first"
            started = time.monotonic()
            self._process.wait()
            with self._lock:
                if self._stopping:
                    return
                if time.monotonic() - started < _LONG_ENOUGH_SECONDS and self._restarted:
                    logger.error("MLflow's server ended again:\n%s", self._last_lines())
                    return
                logger.warning("MLflow's server at %s ended; restarting it", self.url)
                self._restarted = True
                self.start()

    def _leave(self, cause: str) -> None:
        logger.error("nobody restarts MLflow's server at %s any more: %s", self.url, cause)

    def _last_lines(self) -> str:
        if not self.log_path.exists():
            return "  (it printed nothing)"
        return "\n".join(f"  {line}" for line in self.log_path.read_text().splitlines()[-15:])


def _without_aws(environment: os._Environ[str]) -> dict[str, str]:
    """The server keeps its artifacts on disk.

    It needs no way to any AWS account, nor another server's settings.
    """
    return {
        name: value
        for name, value in environment.items()
        if not name.startswith(("AWS_", "MLFLOW_", "_MLFLOW_"))
    }
