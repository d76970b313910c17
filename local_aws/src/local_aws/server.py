"""Everything that `local-aws up` serves, started and ended together.

state folder locked, renewed ─▶ MLflow server started, unless another is given ─▶ gateway started,
account furnished ─▶ MLflow ready ─▶ announced
"""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType

from local_aws.account import furnish
from local_aws.gateway import Gateway
from local_aws.own_aws import OwnAws
from local_aws.services import all_services
from local_aws.state import StateFolder
from local_aws.tracking_server import TrackingServer


class LocalAws:
    """A context manager.

    Inside it AWS and MLflow answer on 127.0.0.1; after it nothing of them runs. With
    `mlflow=False` no tracking server is started: AWS alone.
    """

    def __init__(
        self,
        state_dir: Path,
        port: int = 0,
        *,
        mlflow: bool = True,
    ) -> None:
        self.state = StateFolder(state_dir)
        self._port = port
        self._tracking = TrackingServer(self.state.path / "mlflow") if mlflow else None
        self._gateway: Gateway | None = None
        self.environment: dict[str, str] = {}

    def __enter__(self) -> LocalAws:
        self.state.lock()
        try:
            self.state.renew()
            if self._tracking is not None:
                self._tracking.start()
            self._gateway = Gateway(self.state.path, all_services, port=self._port).start()
            self.environment = self.own.credentials_environment(None)
            if self._tracking is not None:
                self.environment["MLFLOW_TRACKING_URI"] = self._tracking.url
            furnish(self.own, self.environment)
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
