"""The image's entry point: MLflow's own container code, run without a container."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
import types
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from serving.entry_point import APP_DIR, EntryPointError, replace_server, with_our_app

_ENTRY_POINT = APP_DIR / "serving" / "entry_point.py"
# What a container has in fixed places: the model, and the port behind nginx.
_CONTAINER = """
import runpy, sys
from mlflow.models import container
container.MODEL_PATH, container.DEFAULT_INFERENCE_SERVER_PORT = sys.argv[2], int(sys.argv[3])
entry_point, sys.argv = sys.argv[1], ["entry_point.py", "local", "serve"]
runpy.run_path(entry_point, run_name="__main__")
"""


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


@pytest.fixture
def served(table_model: Any, tmp_path: Path) -> Iterator[int]:
    """The port where the container's two workers answer."""
    port = _free_port()
    log = (tmp_path / "log").open("w")
    process = subprocess.Popen(
        [sys.executable, "-P", "-c", _CONTAINER, _ENTRY_POINT, table_model.folder, str(port)],
        cwd=tmp_path,
        env={
            **{name: value for name, value in os.environ.items() if name != "PYTHONPATH"},
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "DISABLE_NGINX": "true",
            "MLFLOW_DISABLE_ENV_CREATION": "true",
            "MLFLOW_MODELS_WORKERS": "2",
        },
        stdout=log,
        stderr=subprocess.STDOUT,
    )
    log.close()
    deadline = time.monotonic() + 120
    while True:
        assert process.poll() is None, (tmp_path / "log").read_text()
        assert time.monotonic() < deadline, (tmp_path / "log").read_text()
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/ping", timeout=5):
                break
        except OSError:
            time.sleep(0.1)
    yield port
    process.send_signal(signal.SIGTERM)
    process.wait(timeout=30)


def test_mlflow_s_container_code_starts_this_server(served: int, table_model: Any) -> None:
    def status(body: bytes) -> int:
        request = urllib.request.Request(
            f"http://127.0.0.1:{served}/invocations",
            data=body,
            headers={"Content-Type": "text/csv"},
        )
        try:
            with urllib.request.urlopen(request, timeout=30) as response:
                return int(response.status)
        except urllib.error.HTTPError as err:
            answer = err.read().decode()
            assert "'size': 'n/k' is not a number" in answer
            return err.code

    # Dates in CSV, which MLflow's own server does not take.
    assert status(table_model.csv()) == 200
    assert status(table_model.csv('n/k,"$1,000.00",,,Bern,,01.01.2023')) == 400


def test_command_is_mlflow_s_but_for_the_application() -> None:
    from mlflow.pyfunc import scoring_server

    asked = {"model_uri": "/opt/ml/model", "nworkers": 4, "port": 8000}
    theirs, environment = scoring_server.get_cmd(**asked)
    command, ours = with_our_app(scoring_server.get_cmd)(**asked)
    assert command == (f"uvicorn --port 8000 --workers 4 --app-dir {APP_DIR} serving.app:app")
    assert theirs == "uvicorn --port 8000 --workers 4 mlflow.pyfunc.scoring_server.app:app"
    assert ours == environment
    assert ours["__pyfunc_model_path__"] == "file:///opt/ml/model"


def test_container_code_that_starts_something_else_is_refused() -> None:
    wrapped = with_our_app(lambda **_: ("gunicorn mlflow.pyfunc.scoring_server.wsgi:app", {}))
    with pytest.raises(EntryPointError) as refused:
        wrapped()
    assert str(refused.value) == (
        "MLflow would run 'gunicorn mlflow.pyfunc.scoring_server.wsgi:app', not uvicorn with "
        "mlflow.pyfunc.scoring_server.app:app; look at mlflow.pyfunc.scoring_server.get_cmd of "
        "this version"
    )
    with pytest.raises(EntryPointError, match="look at its function _serve_pyfunc"):
        replace_server(types.ModuleType("container"))
