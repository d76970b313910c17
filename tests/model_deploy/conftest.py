"""A saved model, versions of it in a real registry on SQLite, and an endpoint that serves it."""

from __future__ import annotations

import itertools
import json
import shutil
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

_numbers = itertools.count(1)


@dataclass(frozen=True)
class Registry:
    """The registry, and a way to fill it without MLflow's global state."""

    uri: str
    client: Any
    model_folder: Path
    scratch: Path

    def unique_name(self) -> str:
        return f"housing-{next(_numbers):04}"

    def register(self, name: str, folder: Path | None = None, run_id: str | None = None) -> str:
        """A new version of `name`, made of `folder`; its number."""
        from mlflow.exceptions import MlflowException

        try:
            self.client.create_registered_model(name)
        except MlflowException as err:
            if err.error_code != "RESOURCE_ALREADY_EXISTS":
                raise
        source = str(folder or self.model_folder)
        return str(self.client.create_model_version(name, source, run_id=run_id).version)

    def copy_of_model(self) -> Path:
        """A copy of the saved model that a test may change."""
        return shutil.copytree(self.model_folder, self.scratch / f"model-{next(_numbers)}")

    def run_with(self, content: Any, name: str = "raw_rows.json") -> str:
        """A run that carries a file of that text or document; its id."""
        # Without a place of its own, a registry on SQLite puts artifacts in ./mlruns.
        artifacts = (self.scratch / f"artifacts-{next(_numbers)}").as_uri()
        experiment = self.client.create_experiment(f"e-{next(_numbers)}", artifacts)
        run = self.client.create_run(experiment)
        file = self.scratch / f"run-{next(_numbers)}" / name
        file.parent.mkdir()
        file.write_text(content if isinstance(content, str) else json.dumps(content))
        self.client.log_artifact(run.info.run_id, str(file))
        return str(run.info.run_id)

    def stages(self, name: str) -> dict[str, str]:
        found = self.client.search_model_versions(f"name='{name}'")
        return {str(v.version): v.current_stage for v in sorted(found, key=lambda v: v.version)}

    def aliases(self, name: str) -> dict[str, str]:
        model = self.client.get_registered_model(name)
        return {alias: str(version) for alias, version in model.aliases.items()}

    def tags(self, name: str, version: str) -> dict[str, str]:
        return dict(self.client.get_model_version(name, version).tags)

    def everything(self, name: str) -> tuple[Any, ...]:
        """Stages, aliases and the tags of all versions."""
        stages = self.stages(name)
        return stages, self.aliases(name), {number: self.tags(name, number) for number in stages}

    def set_stage(self, name: str, version: str, stage: str) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)
            self.client.transition_model_version_stage(name, version, stage)


@pytest.fixture(scope="session")
def saved_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A forest behind imputing and encoding, saved with skops, signature and input example."""
    import mlflow.sklearn
    import numpy as np
    import pandas as pd
    from mlflow.models import infer_signature
    from sklearn.compose import ColumnTransformer
    from sklearn.ensemble import RandomForestRegressor
    from sklearn.impute import SimpleImputer
    from sklearn.pipeline import Pipeline
    from sklearn.preprocessing import FunctionTransformer, OneHotEncoder

    rows = pd.DataFrame(
        {"rooms": [1.0, 2.0, 3.0, 4.0] * 5, "town": ["Aix", "Bor", "Aix", "Caen"] * 5}
    )
    straight = FunctionTransformer(np.interp, kw_args={"xp": [0.0, 9.0], "fp": [0.0, 9.0]})
    model = Pipeline(
        [
            (
                "columns",
                ColumnTransformer(
                    [
                        ("numbers", SimpleImputer(), ["rooms"]),
                        ("straight", straight, ["rooms"]),
                        ("texts", OneHotEncoder(handle_unknown="ignore"), ["town"]),
                    ]
                ),
            ),
            ("forest", RandomForestRegressor(n_estimators=3, random_state=0)),
        ]
    ).fit(rows, rows["rooms"] * 10)
    folder = tmp_path_factory.mktemp("saved") / "model"
    mlflow.sklearn.save_model(
        model,
        folder,
        signature=infer_signature(rows, model.predict(rows)),
        input_example=rows.head(2),
        pip_requirements=["scikit-learn", "skops"],
        skops_trusted_types=["numpy.dtype", "numpy.interp", "sklearn.tree._tree.Tree"],
    )
    return folder


@pytest.fixture(scope="session")
def registry(
    mlflow_sqlite: str, saved_model: Path, tmp_path_factory: pytest.TempPathFactory
) -> Registry:
    from mlflow import MlflowClient

    client = MlflowClient(tracking_uri=mlflow_sqlite, registry_uri=mlflow_sqlite)
    return Registry(mlflow_sqlite, client, saved_model, tmp_path_factory.mktemp("registry"))


@pytest.fixture
def register_versions(registry: Registry) -> Callable[[int], str]:
    """Registers that many versions of a new model; its name."""

    def register(count: int) -> str:
        name = registry.unique_name()
        for _ in range(count):
            registry.register(name)
        return name

    return register


class FakeSageMaker:
    """SageMaker's APIs over HTTP for one endpoint; MLflow's real scoring server is its container.

    Tests set what Describe* answer, and may replace the container by `answer`. S3 has `archive`
    at every address, or nothing (None); CodePipeline has `actions`.
    """

    def __init__(self, container_url: str) -> None:
        self.container_url = container_url
        self.statuses = ["InService"]
        self.failure_reason = ""
        self.model: dict[str, Any] = {}
        self.variant: dict[str, Any] = {"InstanceType": "ml.m5.large", "InitialInstanceCount": 1}
        self.refusal: tuple[int, str, str] | None = None
        # What SageMaker Runtime itself says of a request, if anything.
        self.runtime_refusal: Callable[[bytes], tuple[int, str, str] | None] = lambda _: None
        self.content_type = ""
        self.archive: bytes | None = b"the archive"
        self.actions: list[dict[str, Any]] = []
        self.rollback_target = ""
        self.answer: Callable[[bytes], tuple[int, bytes]] = self._container
        self.url = ""

    def describe(self, operation: str, params: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        if self.refusal:
            status, code, message = self.refusal
            return status, {"__type": code, "message": message}
        if operation == "GetPipelineExecution":
            target = {"rollbackTargetPipelineExecutionId": self.rollback_target}
            return 200, {"pipelineExecution": {"rollbackMetadata": target}}
        if operation == "ListActionExecutions":
            return 200, {"actionExecutionDetails": self.actions}
        if operation == "DescribeEndpoint":
            status = self.statuses.pop(0) if len(self.statuses) > 1 else self.statuses[0]
            reason = {"FailureReason": self.failure_reason} if self.failure_reason else {}
            name = params["EndpointName"]
            return 200, {
                "EndpointName": name,
                "EndpointArn": f"arn:aws:sagemaker:us-east-1:123456789012:endpoint/{name}",
                "EndpointConfigName": "config-7",
                "EndpointStatus": status,
                "CreationTime": 0,
                "LastModifiedTime": 0,
                **reason,
            }
        if operation == "DescribeEndpointConfig":
            variant = {"VariantName": "AllTraffic", "ModelName": "model-7", **self.variant}
            return 200, {"EndpointConfigName": "config-7", "ProductionVariants": [variant]}
        return 200, {"ModelName": "model-7", **self.model}

    def _container(self, body: bytes) -> tuple[int, bytes]:
        import requests

        headers = {"Content-Type": self.content_type}
        answer = requests.post(
            f"{self.container_url}/invocations", data=body, headers=headers, timeout=30
        )
        return answer.status_code, answer.content


def _serve_sagemaker(fake: FakeSageMaker) -> ThreadingHTTPServer:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            """S3's GetObject."""
            if fake.archive is None:
                self._send(404, b"<Error><Code>NoSuchKey</Code></Error>")
            else:
                self._send(200, fake.archive)

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            target = self.headers.get("X-Amz-Target")
            if target:
                status, answer = fake.describe(target.partition(".")[2], json.loads(body))
                self._send(status, json.dumps(answer).encode())
                return
            refusal = fake.runtime_refusal(body)
            if refusal:
                status, code, message = refusal
                content = json.dumps({"Message": message}).encode()
                self._send(status, content, {"x-amzn-errortype": code})
                return
            fake.content_type = self.headers["Content-Type"]
            status, content = fake.answer(body)
            if status == 200:
                self._send(200, content)
            else:  # as SageMaker Runtime wraps what a container says
                error = {
                    "Message": f"Received client error ({status}) from primary",
                    "OriginalStatusCode": status,
                    "OriginalMessage": content.decode(),
                }
                self._send(424, json.dumps(error).encode(), {"x-amzn-errortype": "ModelError"})

        def _send(self, status: int, content: bytes, headers: dict[str, str] | None = None) -> None:
            self.send_response(status)
            for name, value in {"Content-Length": str(len(content)), **(headers or {})}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: Any) -> None:
            """Not on stderr."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    # Looked at often: each test waits that long for the server to end.
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    return server


@pytest.fixture(scope="session")
def container_url(saved_model: Path) -> Iterator[str]:
    """MLflow's real scoring server with the saved model, in a thread."""
    import mlflow.pyfunc
    import uvicorn
    from mlflow.pyfunc.scoring_server import init

    app = init(mlflow.pyfunc.load_model(str(saved_model)))
    server = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=0, log_level="error"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        assert thread.is_alive()
        time.sleep(0.02)
    port = server.servers[0].sockets[0].getsockname()[1]
    yield f"http://127.0.0.1:{port}"
    server.should_exit = True
    thread.join(timeout=10)


@pytest.fixture
def sagemaker(container_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeSageMaker]:
    """A fake SageMaker that AWS_ENDPOINT_URL points to."""
    fake = FakeSageMaker(container_url)
    server = _serve_sagemaker(fake)
    fake.url = f"http://127.0.0.1:{server.server_address[1]}"
    monkeypatch.setenv("AWS_ENDPOINT_URL", fake.url)
    yield fake
    server.shutdown()
    server.server_close()
