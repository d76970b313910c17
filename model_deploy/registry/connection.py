"""MLflow's client for one tracking URI: what it answers, and in whose words it fails.

A call that takes long says so within 15 seconds and says until when it waits. Its errors are two:
`MLflowRefusal` (asking again changes nothing) and `MLflowUnwell` (it may be well in a while).
"""

from __future__ import annotations

import logging
import os
import threading
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from model_deploy import mlflow_login
from model_deploy.errors import MLflowError

logger = logging.getLogger(__name__)

CONNECT_ATTEMPTS = 3
_CONNECT_TIMEOUT_SECONDS = 5.0
_CONNECT_PAUSE_SECONDS = 0.5
_LONGEST_CONNECT_SECONDS = (
    CONNECT_ATTEMPTS * _CONNECT_TIMEOUT_SECONDS + (CONNECT_ATTEMPTS - 1) * _CONNECT_PAUSE_SECONDS
)
_FIRST_WORD_SECONDS = 10.0
_NEXT_WORD_SECONDS = 15.0
# MLflow's error codes that say something of the question, not of MLflow's state.
_REFUSALS = frozenset(
    {
        *("BAD_REQUEST", "INVALID_PARAMETER_VALUE", "MALFORMED_REQUEST", "ENDPOINT_NOT_FOUND"),
        *("RESOURCE_DOES_NOT_EXIST", "RESOURCE_ALREADY_EXISTS", "NOT_FOUND", "ALREADY_EXISTS"),
        *("PERMISSION_DENIED", "UNAUTHENTICATED", "CUSTOMER_UNAUTHORIZED", "FEATURE_DISABLED"),
        *("INVALID_STATE", "NOT_IMPLEMENTED"),
    }
)
# MlflowClient asks before each of these whether the model is a prompt, by reading all its versions
# (MLflow 3.17; 20,000 versions: 0.5 s a call). The client below it has the same methods without.
_WRITES = frozenset(
    {
        *("set_model_version_tag", "delete_model_version_tag", "transition_model_version_stage"),
        *("set_registered_model_alias", "delete_registered_model_alias", "update_model_version"),
    }
)


class MLflowRefusal(MLflowError):
    """MLflow answered and said no; `code` is its error code, "" where none came."""

    def __init__(self, message: str, code: str = "") -> None:
        super().__init__(message)
        self.code = code


class MLflowUnwell(MLflowError):
    """MLflow can't be reached, answers 5xx or not in time: the same question may do later."""


class Connection:
    """One MLflow, asked by the names of MlflowClient's methods.

    `client` is an MlflowClient for those who have one. Nothing global is set, unless the URI is the
    ARN of SageMaker's managed MLflow, whose plugin reads only the global one.
    """

    def __init__(self, tracking_uri: str, client: Any = None) -> None:
        self.tracking_uri = tracking_uri
        self._known_client = client
        self._writer: Any = None

    @property
    def shown_uri(self) -> str:
        """The tracking URI without credentials, for messages and tags."""
        return without_credentials(self.tracking_uri)

    def ask(self, method: str, *arguments: Any, **options: Any) -> Any:
        """The client's answer to one of its methods; else MLflowRefusal or MLflowUnwell."""
        client = self._client
        if method in _WRITES and self._writer is not None:
            client = self._writer
        with self.waiting_told(method), self.refusals_named(), warnings.catch_warnings():
            # MLflow deprecates stages (2.9) in favour of aliases; we write both, knowingly.
            warnings.filterwarnings("ignore", ".*stages.*", FutureWarning)
            return getattr(client, method)(*arguments, **options)

    @contextmanager
    def refusals_named(self, what: str = "answer") -> Iterator[None]:
        """MLflow's exceptions become ours."""
        from mlflow.exceptions import MlflowException

        try:
            yield
        except MlflowException as err:
            raise self._named(err, what) from err
        except OSError as err:
            raise MLflowUnwell(f"MLflow at {self.shown_uri} could not {what}: {err}") from err

    @contextmanager
    def waiting_told(self, what: str, longest_seconds: float | None = None) -> Iterator[None]:
        """A line in the log after 10 seconds, and each 15 from then on, until it is over.

        `longest_seconds` is when it is given up, where that is not as with MLflow's client.
        """
        over = threading.Event()
        begun = time.monotonic()

        def tell() -> None:
            pause = _FIRST_WORD_SECONDS
            while not over.wait(pause):
                logger.warning(
                    "MLflow at %s has not answered %s for %.0f s; given up after about %.0f s",
                    self.shown_uri,
                    what,
                    time.monotonic() - begun,
                    longest_call_seconds() if longest_seconds is None else longest_seconds,
                )
                pause = _NEXT_WORD_SECONDS

        teller = threading.Thread(target=tell, name="mlflow-waiting", daemon=True)
        teller.start()
        try:
            yield
        finally:
            over.set()
            teller.join()

    def _named(self, err: Any, what: str) -> MLflowError:
        login = mlflow_login.explain_refused_login(err, os.environ)
        message = f"MLflow at {self.shown_uri} {login or f'could not {what}: {err}'}"
        if err.error_code in _REFUSALS:
            return MLflowRefusal(message, err.error_code)
        return MLflowUnwell(message)

    @property
    def _client(self) -> Any:
        if self._known_client is None:
            with self.waiting_told("/health", _LONGEST_CONNECT_SECONDS):
                self._require_reachable()
            with self.refusals_named("open"):
                import mlflow
                from mlflow import MlflowClient

                if self.tracking_uri.startswith("arn:"):
                    # SageMaker's plugin signs requests for MLflow's global URI, whatever the
                    # client's own is.
                    mlflow.set_tracking_uri(self.tracking_uri)
                self._known_client = MlflowClient(
                    tracking_uri=self.tracking_uri, registry_uri=self.tracking_uri
                )
                find_writer = getattr(self._known_client, "_get_registry_client", None)
                self._writer = find_writer() if find_writer else None
        return self._known_client

    def _require_reachable(self) -> None:
        """An MLflow that is not there is an error within seconds.

        MLflow's own client would retry a refused connection for about four minutes.
        """
        scheme = urlsplit(self.tracking_uri).scheme
        if scheme in ("http", "https"):
            self._require_server()
        elif scheme == "sqlite":
            database = Path(self.tracking_uri.removeprefix("sqlite:///"))
            if not database.is_file():
                raise MLflowRefusal(
                    f"no MLflow at {self.shown_uri}: there is no file {database}. "
                    "Check MLFLOW_TRACKING_URI or --tracking-uri."
                )

    def _require_server(self) -> None:
        import requests

        url = f"{self.tracking_uri.rstrip('/')}/health"
        reason = ""
        for attempt in range(CONNECT_ATTEMPTS):
            if attempt:
                time.sleep(_CONNECT_PAUSE_SECONDS)
            try:
                status = requests.get(url, timeout=_CONNECT_TIMEOUT_SECONDS).status_code
            except requests.exceptions.SSLError:
                return  # MLflow has settings of its own for certificates; let it decide.
            except requests.exceptions.RequestException as err:
                reason = _root_cause(err)
                continue
            if status not in (502, 503, 504):
                return
            reason = f"it answers HTTP {status}"
        raise MLflowUnwell(
            f"MLflow at {self.shown_uri} can not be reached: {reason}. "
            "Check that it runs, and MLFLOW_TRACKING_URI or --tracking-uri."
        )


def longest_call_seconds() -> float:
    """How long one call of MLflow's client may take, by the settings in the environment.

    Each try has its time, and the pauses between double: 0, 2, 4 times the factor (urllib3's Retry,
    which MLflow hands its settings to). Capped where urllib3 caps a pause, at 120 s.
    """
    from mlflow import environment_variables as settings

    retries = settings.MLFLOW_HTTP_REQUEST_MAX_RETRIES.get()
    factor = settings.MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR.get()
    jitter = settings.MLFLOW_HTTP_REQUEST_BACKOFF_JITTER.get()
    pauses = [min(120.0, factor * 2**number + jitter) for number in range(1, retries)]
    tries = (retries + 1) * settings.MLFLOW_HTTP_REQUEST_TIMEOUT.get()
    return float(tries + sum(pauses) + jitter)


def without_credentials(uri: str) -> str:
    """The URI without user, password and query, fit for logs and tags."""
    parts = urlsplit(uri)
    if not parts.netloc:
        return uri
    host = parts.netloc.rpartition("@")[2]
    return urlunsplit((parts.scheme, host, parts.path, "", ""))


def _root_cause(err: BaseException) -> str:
    cause: BaseException | None = err
    while cause is not None:
        if isinstance(cause, OSError) and cause.strerror:
            return cause.strerror
        cause = cause.__cause__ or cause.__context__
    return type(err).__name__
