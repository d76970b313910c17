"""One model server: the process that stands for an endpoint's fleet of containers.

Serving(...).start()  ──▶ archive unpacked, container started, GET /ping answers 200
                      ──▶ watched: restarted when it dies, its log copied to CloudWatch
"""

from __future__ import annotations

import contextlib
import logging
import shutil
import threading
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import urllib3
from botocore.exceptions import BotoCoreError, ClientError

from local_aws.containers.container import ContainerEnvironment, start_container
from local_aws.containers.image import Image
from local_aws.containers.images import Images
from local_aws.containers.log_stream import LogStream
from local_aws.containers.supervision import SupervisedProcess
from local_aws.errors import AwsError, LocalAwsError
from local_aws.left_out import remark
from local_aws.own_aws import OwnAws
from local_aws.ports import find_free_port
from local_aws.sagemaker.endpoints.definitions import container_of
from local_aws.sagemaker.endpoints.invocation_metrics import InvocationMetrics
from local_aws.sagemaker.endpoints.model_data import ModelDataError, fetch_model_data
from local_aws.workers import start_worker

logger = logging.getLogger(__name__)

DEFAULT_HEALTH_CHECK_SECONDS = 240.0
_PING_INTERVAL_SECONDS = 0.1
_WATCH_INTERVAL_SECONDS = 0.5
# AWS's limits for one /ping and for one invocation.
_PING_TIMEOUT_SECONDS = 2.0
INVOCATION_TIMEOUT_SECONDS = 60.0
# FailureReason holds 1,024 characters.
_REASON_LOG_CHARACTERS = 700
_STOP_GRACE_SECONDS = 2.0


class ServingError(Exception):
    """The model can't be served; the message is for FailureReason."""


class ServingCancelled(Exception):
    """The endpoint was deleted, or local_aws closed, before the model was ready."""


@dataclass(frozen=True, kw_only=True)
class Variant:
    """What one endpoint configuration says is to be served, with the model it names."""

    endpoint_name: str
    config_name: str
    definition: Mapping[str, Any]
    model: Mapping[str, Any]
    data_capture: Mapping[str, Any] | None = None
    # Settings without effect here, for the log.
    left_out: tuple[str, ...] = ()

    @property
    def image_uri(self) -> str:
        """The container's image."""
        return str(container_of(self.model)["Image"])

    @property
    def name(self) -> str:
        """The production variant's."""
        return str(self.definition["VariantName"])

    @property
    def health_check_seconds(self) -> float:
        """How long the container may take until it answers /ping."""
        seconds = self.definition.get("ContainerStartupHealthCheckTimeoutInSeconds")
        return float(seconds or DEFAULT_HEALTH_CHECK_SECONDS)


class Serving:
    """A model server. `start` and `stop` may be called from different threads."""

    def __init__(self, own: OwnAws, images: Images, variant: Variant) -> None:
        self.variant = variant
        self.metrics = InvocationMetrics()
        self._own = own
        self._images = images
        self._root = own.state_dir / "endpoints" / variant.endpoint_name / uuid.uuid4().hex[:12]
        self._stopping = threading.Event()
        self._healthy = threading.Event()
        self._lock = threading.Lock()
        self._process: SupervisedProcess | None = None
        self._launch: Callable[[], None] | None = None
        self._watcher: threading.Thread | None = None
        self._failure = ""
        self._requests = 0
        self._pool: urllib3.HTTPConnectionPool | None = None
        self.log_path = self._root / "serving.log"
        self._log_group = f"/aws/sagemaker/Endpoints/{variant.endpoint_name}"
        self._log_stream = f"{variant.name}/{self._root.name}"
        logs = own.client("logs", variant.model["ExecutionRoleArn"])
        self._log = LogStream(logs, self._log_group, self._log_stream, self.log_path)

    @property
    def healthy(self) -> bool:
        """It answers: not before its first /ping, nor while it is restarted."""
        return self._healthy.is_set()

    @property
    def gave_up(self) -> bool:
        """It died and could not be restarted."""
        return bool(self._failure)

    @property
    def failure(self) -> str:
        """Why it gave up; empty unless it did."""
        return self._failure

    @property
    def busy(self) -> bool:
        """A request that was to come here is not answered yet."""
        return self._requests > 0

    @property
    def log_stream_arn(self) -> str:
        """Where its output is in CloudWatch."""
        return self._own.arn("logs", f"log-group:{self._log_group}:log-stream:{self._log_stream}")

    def start(self, on_failure: Callable[[str], None]) -> None:
        """Return once it answers /ping. ServingError says why it can't, with the log's last lines;
        `stop` is due then too.

        `on_failure(reason)` is called when it dies later and can't be restarted.
        """
        if self.variant.left_out:
            self.log_path.parent.mkdir(parents=True, exist_ok=True)
            self.log_path.write_text(f"{remark(list(self.variant.left_out))}\n")
        try:
            self._launch = self._prepared()
            self._launch()
            self._wait_until_healthy()
        except (AwsError, LocalAwsError, ClientError, BotoCoreError, ModelDataError) as err:
            raise ServingError(str(err)) from err

        def fail(reason: str) -> None:
            self._failure = reason
            self._healthy.clear()
            on_failure(reason)

        endpoint_name = self.variant.endpoint_name
        self._watcher = start_worker(
            f"the watch over endpoint {endpoint_name}", lambda: self._watch(fail), fail
        )

    def expect_request(self) -> None:
        """One more request is to come here; `end_request` is due once it is answered."""
        with self._lock:
            self._requests += 1

    def end_request(self) -> None:
        """The request's answer, or its error, is on its way."""
        with self._lock:
            self._requests -= 1

    def invoke(self, body: bytes, headers: Mapping[str, str]) -> urllib3.BaseHTTPResponse:
        """The answer to POST /invocations; urllib3.exceptions.HTTPError if none came."""
        try:
            return self._post(body, headers)
        except urllib3.exceptions.ProtocolError:
            # A kept connection that the server closed just as it was used again.
            return self._post(body, headers)

    def stop(self) -> None:
        """End the process and forget its files; its log stays."""
        self._stopping.set()
        self._healthy.clear()
        with self._lock:
            process, pool = self._process, self._pool
        if process is not None:
            process.stop(_STOP_GRACE_SECONDS)
        watcher = self._watcher
        if watcher is not None and watcher.is_alive() and watcher is not threading.current_thread():
            watcher.join()
        if pool is not None:
            pool.close()
        self._log.send(to_the_end=True)
        for folder in ("opt", "env", "home", "tmp"):
            shutil.rmtree(self._root / folder, ignore_errors=True)

    def _post(self, body: bytes, headers: Mapping[str, str]) -> urllib3.BaseHTTPResponse:
        assert self._pool is not None
        return self._pool.request(
            "POST",
            "/invocations",
            body=body,
            headers=dict(headers),
            timeout=INVOCATION_TIMEOUT_SECONDS,
            retries=False,
        )

    def _prepared(self) -> Callable[[], None]:
        """Fetch the model, make its environment; returns what starts the container."""
        model = self.variant.model
        container = container_of(model)
        role_arn = model["ExecutionRoleArn"]
        image = self._images.find(container["Image"], role_arn)
        folder = self._root / "opt/ml/model"
        folder.mkdir(parents=True)
        if "ModelDataUrl" in container:
            s3 = self._own.client("s3", role_arn)
            fetch_model_data(s3, container["ModelDataUrl"], folder)
        self._raise_if_stopping()
        environment = self._images.prepare(image, self._requirements(image), self._root)
        variables = {
            **self._own.credentials_environment(role_arn),
            **container.get("Environment", {}),
        }
        return lambda: self._start_container(image, environment, variables)

    def _requirements(self, image: Image) -> Path | None:
        if image.requirements is None:
            return None
        path = self._root / image.requirements.relative_to("/")
        return path if path.is_file() else None

    def _start_container(
        self, image: Image, environment: ContainerEnvironment, variables: Mapping[str, str]
    ) -> None:
        port = find_free_port()
        with self._lock:
            self._raise_if_stopping()
            self._process = start_container(
                environment,
                image.serve_command(port),
                root=self._root,
                environment={**variables, "SAGEMAKER_BIND_TO_PORT": str(port)},
                log_path=self.log_path,
            )
            self._pool = urllib3.HTTPConnectionPool("127.0.0.1", port, maxsize=32)

    def _wait_until_healthy(self) -> None:
        deadline = time.monotonic() + self.variant.health_check_seconds
        process, pool = self._process, self._pool
        assert process is not None
        assert pool is not None
        while True:
            with contextlib.suppress(urllib3.exceptions.HTTPError):
                answer = pool.request("GET", "/ping", timeout=_PING_TIMEOUT_SECONDS, retries=False)
                if answer.status == 200:
                    self._healthy.set()
                    return
            self._raise_if_stopping()
            code = process.poll()
            if code is not None:
                raise ServingError(self._unhealthy(f"It ended with exit code {code}."))
            if time.monotonic() > deadline:
                seconds = self.variant.health_check_seconds
                raise ServingError(self._unhealthy(f"It did not answer within {seconds:.0f} s."))
            if self._stopping.wait(_PING_INTERVAL_SECONDS):
                raise ServingCancelled

    def _watch(self, on_failure: Callable[[str], None]) -> None:
        """Copy the log; restart the server when it dies, as AWS does, until that fails."""
        while not self._stopping.wait(_WATCH_INTERVAL_SECONDS):
            self._log.send()
            process = self._process
            if process is None or process.poll() is None:
                continue
            self._healthy.clear()
            logger.warning(
                "the model server of endpoint %s ended (exit code %s); restarting it",
                self.variant.endpoint_name,
                process.poll(),
            )
            try:
                assert self._launch is not None
                self._launch()
                self._wait_until_healthy()
            except ServingCancelled:
                return
            except (ServingError, LocalAwsError) as err:
                on_failure(str(err))
                return

    def _unhealthy(self, what: str) -> str:
        """AWS's words, and the cause as the log has it."""
        self._log.send(to_the_end=True)
        return (
            f"The primary container for production variant {self.variant.name} did not pass the "
            f"ping health check. Please check CloudWatch logs for this endpoint. {what} "
            f"Its log ends:\n{_last_lines(self.log_path, _REASON_LOG_CHARACTERS)}"
        )

    def _raise_if_stopping(self) -> None:
        if self._stopping.is_set():
            raise ServingCancelled


def _last_lines(path: Path, limit: int) -> str:
    """The end of a log in at most `limit` characters, whole lines where they fit."""
    if not path.exists():
        return ""
    text = path.read_text(errors="replace").strip()
    if len(text) <= limit:
        return text
    end = text[-limit:]
    return end.partition("\n")[2] or end
