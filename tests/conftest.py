"""Fixtures for all tests: no way to a real account, a registry, a running local_aws.

A unit's own repository has this file too, and no local_aws.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

_CREDENTIALS = {
    "AWS_ACCESS_KEY_ID": "testing",
    "AWS_SECRET_ACCESS_KEY": "testing",
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_REGION": "us-east-1",
    "AWS_EC2_METADATA_DISABLED": "true",
    "AWS_CONFIG_FILE": os.devnull,
    "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
}
_NEVER_INHERITED = (
    "AWS_PROFILE",
    "AWS_SESSION_TOKEN",
    "AWS_ENDPOINT_URL",
    "MLFLOW_TRACKING_URI",
    "MLFLOW_CREDENTIALS_SECRET",
    "MLFLOW_TRACKING_USERNAME",
    "MLFLOW_TRACKING_PASSWORD",
    "MLFLOW_TRACKING_TOKEN",
    "ARTIFACT_BUCKET",
    "ARTIFACT_BUCKET_KMS_ID",
    "SUBNET_IDS",
    "SECURITY_GROUP_IDS",
    "SAGEMAKER_PIPELINE_ROLE_ARN",
    "SAGEMAKER_JOB_ROLE_ARN",
    "SAGEMAKER_PROJECT_NAME",
    "SAGEMAKER_PROJECT_ID",
    "MODEL_EXECUTION_ROLE_ARN",
    "CONTAINER_IMAGE_URI",
)
# At import, so that they hold for modules that read them when they are imported.
os.environ.update(_CREDENTIALS)
# As where the environment is active: then commands are printed by their names.
os.environ["PATH"] = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
for _name in _NEVER_INHERITED:
    os.environ.pop(_name, None)
# A shell that runs this in the background lets it ignore Ctrl-C, and what it starts would as well.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--units-elsewhere",
        action="store_true",
        help="leave out the tests that test_units.py runs in the units' own repositories",
    )


_LONGEST = ("test_emulator_apart.py", "test_units.py")
_UNITS = [Path(__file__).parent / name for name in ("model_build", "model_deploy")]


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Files none of whose tests would be left: importing them costs each worker ten seconds."""
    if not config.getoption("--units-elsewhere") or not collection_path.match("test_*.py"):
        return None
    if not any(collection_path.is_relative_to(unit) for unit in _UNITS):
        return None
    return True if "gateway" not in collection_path.read_text() else None


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if config.getoption("--units-elsewhere"):
        _leave_out_what_units_run_elsewhere(config, items)
    # The longest files first: at the end, one of them would keep the other workers idle.
    long = {item.path for item in items if item.get_closest_marker("e2e")}
    items.sort(key=lambda item: (item.path.name not in _LONGEST, item.path not in long))


def _leave_out_what_units_run_elsewhere(config: pytest.Config, items: list[pytest.Item]) -> None:
    def is_elsewhere(item: pytest.Item) -> bool:
        # In a unit's own repository there is no gateway.
        fixtures = getattr(item, "fixturenames", ())
        return "gateway" not in fixtures and any(item.path.is_relative_to(unit) for unit in _UNITS)

    config.hook.pytest_deselected(items=[item for item in items if is_elsewhere(item)])
    items[:] = [item for item in items if not is_elsewhere(item)]


@pytest.fixture(scope="session")
def mlflow_sqlite(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Tracking URI of a registry on SQLite, artifacts on disk beside it.

    Shared: use unique names.
    """
    folder = tmp_path_factory.mktemp("mlflow")
    # Without it artifacts of a database store land in ./mlruns.
    os.environ["_MLFLOW_SERVER_ARTIFACT_ROOT"] = str(folder / "artifacts")
    return f"sqlite:///{folder / 'mlflow.db'}"


@pytest.fixture(scope="session")
def mlflow_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """URL of a real MLflow server process."""
    folder = tmp_path_factory.mktemp("mlflow-server")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    inherited = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("AWS_", "MLFLOW_", "_MLFLOW_"))
    }
    with (folder / "server.log").open("wb") as log:
        process = subprocess.Popen(
            [
                *(sys.executable, "-m", "mlflow", "server", "--workers", "1"),
                *("--host", "127.0.0.1", "--port", str(port)),
                *("--backend-store-uri", f"sqlite:///{folder / 'mlflow.db'}"),
                *("--artifacts-destination", str(folder / "artifacts")),
            ],
            env={
                **inherited,
                "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
                "MLFLOW_DISABLE_TELEMETRY": "true",
            },
            cwd=folder,
            stdout=log,
            stderr=log,
            start_new_session=True,  # it has children, which end with it
        )
    url = f"http://127.0.0.1:{port}"
    try:
        _wait_until_healthy(url, process, folder / "server.log")
        yield url
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(timeout=30)


def _wait_until_healthy(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and process.poll() is None:
        try:
            with urllib.request.urlopen(f"{url}/health", timeout=2):
                return
        except OSError:
            time.sleep(0.2)
    raise AssertionError(f"no MLflow server at {url}: {log.read_text()[-2000:]}")


class StubServer:
    """An HTTP server that answers each request with `status` and `body`, and keeps what it got."""

    def __init__(self) -> None:
        self.status = 200
        self.body = b""
        self.received: list[tuple[str, dict[str, str], bytes]] = []
        stub = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                headers = {name.title(): value for name, value in self.headers.items()}
                stub.received.append((self.path, headers, body))
                self.send_response(stub.status)
                self.send_header("Content-Length", str(len(stub.body)))
                self.end_headers()
                self.wfile.write(stub.body)

            def do_GET(self) -> None:
                self.do_POST()

            def log_message(self, *_: object) -> None:
                """Not on stderr."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()


@pytest.fixture
def stub_server() -> Iterator[StubServer]:
    """What a service answers when a real one can't be made to."""
    stub = StubServer()
    yield stub
    stub.server.shutdown()
    stub.server.server_close()


@pytest.fixture(scope="module")
def empty_account() -> None:
    """Nothing of what another module's gateway left: moto keeps one account for the process."""
    from moto.moto_api._internal import moto_api_backend

    moto_api_backend.reset()


# Not for the session: another module's mock_aws() empties moto, which is one for the process.
@pytest.fixture(scope="module")
def gateway(empty_account: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[object]:
    """A running local_aws gateway with all services, without MLflow, its account empty.

    Shared by a module's tests: use unique names.
    """
    pytest.importorskip("local_aws", reason="this unit's own repository has no local_aws")
    from local_aws.gateway import Gateway
    from local_aws.services import all_services

    running = Gateway(tmp_path_factory.mktemp("local_aws"), all_services).start()
    yield running
    running.close()
