"""Everything that `local-aws up` serves, started and ended together.

state folder locked, renewed or kept ─▶ MLflow server started, unless another is given ─▶ gateway
started, account furnished ─▶ MLflow ready ─▶ announced
"""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any
from urllib.parse import urlsplit

from local_aws.account import furnish
from local_aws.errors import UsageError
from local_aws.gateway import Gateway
from local_aws.keeping.keeper import NOT_KEPT, about
from local_aws.own_aws import OwnAws
from local_aws.ports import is_free
from local_aws.services import all_services
from local_aws.state import KEPT_FOLDER, StateFolder
from local_aws.tracking_server import TrackingServer


class LocalAws:
    """A context manager.

    Inside it AWS and MLflow answer on 127.0.0.1; after it nothing of them runs. With
    `mlflow=False` no tracking server is started: AWS alone. `on_aws` is called as soon as AWS
    answers, seconds before MLflow does. With `keep` the state of the run before comes back, and
    this one's is kept; None refuses to begin anew where there is a kept one. `notes` says what came
    back and what is not as it was.
    """

    def __init__(
        self,
        state_dir: Path,
        port: int = 0,
        *,
        mlflow: bool = True,
        keep: bool | None = None,
        on_aws: Callable[[], None] = lambda: None,
    ) -> None:
        self.state = StateFolder(state_dir)
        self.notes: list[str] = []
        self._port = port
        self._on_aws = on_aws
        self._mlflow = mlflow
        self._keep = keep
        self._tracking: TrackingServer | None = None
        self._gateway: Gateway | None = None
        self._umask = 0o022
        self.environment: dict[str, str] = {}

    def __enter__(self) -> LocalAws:
        self._umask = os.umask(0o077)  # files and folders are the user's alone
        try:
            self.state.lock()
        except BaseException:
            os.umask(self._umask)
            raise
        try:
            self._renew()
            before = about(self.state.path / KEPT_FOLDER)
            if self._mlflow:
                self._tracking = TrackingServer(
                    self.state.path / "mlflow", port=self._former(before, "MLflow")
                ).start()
            port = self._port or self._former(before, "AWS")
            self._gateway = Gateway(self.state.path, all_services, port=port, keep=bool(self._keep))
            self._bring_back(known=bool(before))
            self._gateway.start()
            self.environment = self.own.credentials_environment(None)
            if self._tracking is not None:
                self.environment["MLFLOW_TRACKING_URI"] = self._tracking.url
            furnish(self.own, self.environment)
            if self._gateway.keeper is not None:
                self.notes += self._gateway.keeper.start(self._ports())
            self._on_aws()
            if self._tracking is not None:
                self._tracking.wait_until_ready()
            self.state.announce(self.own.url, self.environment)
        except BaseException:
            self._close()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._close()

    def _renew(self) -> None:
        if self._keep is None and self.state.is_kept:
            raise UsageError(
                f"the state in {self.state.path} is kept. Go on with it: `local-aws up --keep`. "
                "Start from nothing: `local-aws up --no-keep`, which moves it to previous/."
            )
        self.state.renew(keep=bool(self._keep))

    def _bring_back(self, *, known: bool) -> None:
        assert self._gateway is not None, "it is made before"
        if self._gateway.keeper is None:
            return
        found = self._gateway.keeper.bring_back()
        if known:
            self.notes[:0] = [f"brought back: {found}", f"not brought back: {NOT_KEPT}"]

    def _former(self, before: Mapping[str, Any], server: str) -> int:
        """The port that the server had; 0, and a note, if it is another's by now."""
        port = int(before.get(server, 0))
        if not port or is_free(port):
            return port
        self.notes.append(
            f"{server} was at port {port}, which is taken: what names the old address (clones, "
            "environment variables of projects and templates) does not find it"
        )
        return 0

    def _ports(self) -> dict[str, int]:
        urls = {"AWS": self.own.url, "MLflow": self.environment.get("MLFLOW_TRACKING_URI", "")}
        return {server: urlsplit(url).port or 0 for server, url in urls.items()}

    @property
    def own(self) -> OwnAws:
        """The gateway's own AWS client."""
        assert self._gateway is not None, "inside the context only"
        return self._gateway.own

    def _close(self) -> None:
        with _deaf_to_ctrl_c():
            self.state.withdraw()
            try:
                if self._gateway is not None:
                    self._gateway.close()
            finally:
                try:
                    if self._tracking is not None:
                        self._tracking.stop()
                finally:
                    self.state.unlock()
                    os.umask(self._umask)


@contextlib.contextmanager
def _deaf_to_ctrl_c() -> Iterator[None]:
    """An impatient second Ctrl-C must not leave processes behind.

    Ending takes seconds, and is bounded.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {
        number: signal.signal(number, signal.SIG_IGN) for number in (signal.SIGINT, signal.SIGTERM)
    }
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
