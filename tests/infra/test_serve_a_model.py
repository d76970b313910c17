"""The trial of an inference image: what it takes for an answer, with a stand-in for Docker."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import socket
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from mlflow.pyfunc import scoring_server

from serving.server import TableServer

_SCRIPT = Path(__file__).parents[2] / "infra" / "images" / "inference" / "serve_a_model.py"


@pytest.fixture(scope="module")
def trial() -> ModuleType:
    """The script, which lies outside of any package."""
    spec = importlib.util.spec_from_file_location("serve_a_model", _SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def serve(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., object]]:
    """serve(fault): container and port of what `docker run` started."""
    docker = tmp_path / "docker"
    source = (Path(__file__).parents[1] / "mlops/platform/docker_stand_in.py").read_text()
    docker.write_text(f"#!{sys.executable}\n{source}")
    docker.chmod(stat.S_IRWXU)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setenv("DOCKER_NOTES", str(tmp_path / "notes"))
    containers = []

    def start(fault: str = "") -> tuple[str, int]:
        monkeypatch.setenv("DOCKER_FAULT", fault)
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        container = subprocess.run(
            [
                *("docker", "run", "--detach", "--publish", f"127.0.0.1:{port}:8080"),
                *("--volume", f"{tmp_path}:/opt/ml/model:ro", "image", "serve"),
            ],
            stdout=subprocess.PIPE,
            text=True,
            check=True,
        ).stdout.strip()
        containers.append(container)
        return container, port

    yield start
    for container in containers:
        subprocess.run(["docker", "rm", "--force", container], check=True)


def test_a_served_model_that_doubles_passes(
    trial: ModuleType, serve: Callable[..., tuple[str, int]]
) -> None:
    container, port = serve()
    assert trial.wait_until_ready(container, port, 20) < 20
    trial.ask(port)


def test_another_answer_fails(trial: ModuleType, serve: Callable[..., tuple[str, int]]) -> None:
    container, port = serve("wrong answer")
    trial.wait_until_ready(container, port, 20)
    with pytest.raises(
        trial.NoAnswerError, match=r"it answered .*: 4\.5}.* to 'code,.* not .*3\.0"
    ):
        trial.ask(port)


@pytest.fixture(scope="module")
def model(trial: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The model that the trial saves, loaded."""
    import mlflow.pyfunc

    folder = tmp_path_factory.mktemp("trial") / "model"
    trial.save_model(folder)
    return mlflow.pyfunc.load_model(str(folder))


@contextlib.contextmanager
def _served(app: Any) -> Iterator[int]:
    import uvicorn

    server = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=0, log_level="error"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        assert thread.is_alive()
        time.sleep(0.02)
    yield server.servers[0].sockets[0].getsockname()[1]
    server.should_exit = True
    thread.join(timeout=10)


def test_the_image_s_server_answers_the_trial_s_questions(trial: ModuleType, model: Any) -> None:
    with _served(TableServer(model, scoring_server.init(model))) as port:
        trial.ask(port)


def test_an_image_with_mlflow_s_server_alone_fails(trial: ModuleType, model: Any) -> None:
    with (
        _served(scoring_server.init(model)) as port,
        pytest.raises(trial.NoAnswerError) as failed,
    ):
        trial.ask(port)
    assert str(failed.value).startswith("it answered ")
    assert '"code": NaN' in str(failed.value)


def test_a_container_that_ends_is_not_waited_for(
    trial: ModuleType, serve: Callable[..., tuple[str, int]]
) -> None:
    container, port = serve("container ends")
    with pytest.raises(trial.NoAnswerError, match="the container ended after"):
        trial.wait_until_ready(container, port, 60)


def test_patience_ends(trial: ModuleType, serve: Callable[..., tuple[str, int]]) -> None:
    container, _ = serve()
    with pytest.raises(trial.NoAnswerError, match="no answer to /ping within 0 s"):
        trial.wait_until_ready(container, 9, 0)
