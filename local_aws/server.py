"""Everything that `local-aws up` serves, started and ended together.

state folder renewed ─▶ MLflow server started, unless another is given ─▶ gateway started, account
furnished ─▶ MLflow ready ─▶ announced
"""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType

from local_aws.account import furnish, publish_parameters
from local_aws.gateway import Gateway
from local_aws.mlflow_elsewhere import Mlflow, MlflowElsewhere, keep_login
from local_aws.own_aws import OwnAws
from local_aws.services import all_services
from local_aws.state import StateFolder
from local_aws.tracking_server import TrackingServer


class LocalAws:
    """A context manager.

    Inside it AWS and MLflow answer on 127.0.0.1; after it nothing of them runs. Who has work
    that needs no MLflow passes `await_mlflow=False`, and calls `await_mlflow()` later. `mlflow` is
    a server elsewhere, used in place of an own one.
    """

    def __init__(
        self,
        state_dir: Path,
        port: int = 0,
        *,
        await_mlflow: bool = True,
        mlflow: MlflowElsewhere | None = None,
    ) -> None:
        self.state = StateFolder(state_dir)
        self._port = port
        self._awaits_mlflow = await_mlflow
        self._elsewhere = mlflow
        self._tracking: Mlflow | None = None
        self._gateway: Gateway | None = None
        self.environment: dict[str, str] = {}

    def __enter__(self) -> LocalAws:
        self.state.renew()
        try:
            self._tracking = self._elsewhere or TrackingServer(self.state.path / "mlflow")
            self._tracking.start()
            self._gateway = Gateway(self.state.path, all_services, port=self._port).start()
            self.environment = {
                **self.own.credentials_environment(None),
                "MLFLOW_TRACKING_URI": self._tracking.url,
                "MLFLOW_CREDENTIALS_SECRET": keep_login(self.own, self._tracking.login),
                **furnish(self.own),
            }
            publish_parameters(self.own, self.environment)
            if self._awaits_mlflow:
                self.await_mlflow()
            self.state.announce(
                self.own.url,
                self._tracking.url,
                self.environment,
                mlflow_elsewhere=self._elsewhere is not None,
            )
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

    def await_mlflow(self) -> None:
        """Return when MLflow answers; raises StartFailed if it doesn't."""
        assert self._tracking is not None, "inside the context only"
        self._tracking.wait_until_ready()

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
                if self._tracking is not None:
                    self._tracking.stop()


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
