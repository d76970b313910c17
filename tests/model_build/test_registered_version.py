"""What an execution registered is read from MLflow, by the version's own tag."""

from __future__ import annotations

import socket
import uuid

import pytest
from mlflow import MlflowClient

from model_build.errors import ServiceError
from model_build.registered_version import find_registered_version


@pytest.mark.parametrize("prefix", ["houses", "it's", """it's "the" price, 100 %?"""])
def test_the_version_of_this_execution_is_found(mlflow_sqlite: str, prefix: str) -> None:
    client = MlflowClient(mlflow_sqlite, mlflow_sqlite)
    mark = uuid.uuid4().hex[:8]
    name = f"{prefix}-{mark}"
    client.create_registered_model(name)
    runs = {}
    for execution in ("first", "second", "third"):
        run = client.create_run("0")
        client.log_metric(run.info.run_id, "rmse", len(execution))
        if execution == "second":
            client.set_tag(run.info.run_id, "data.warnings", "id: read as text\n3 rows are copies")
            client.set_tag(run.info.run_id, "gate.summary", "RMSE 6, better than the mean")
        runs[execution] = run.info.run_id
        client.create_model_version(
            name,
            "file:///nowhere",
            run.info.run_id,
            tags={
                "sagemaker.pipeline_execution_arn": f"arn:{mark}:{execution}",
                **({"gate.metric": "rmse"} if execution == "second" else {}),
            },
        )
    found = find_registered_version(mlflow_sqlite, name, f"arn:{mark}:second")
    assert (found.version, found.run_id) == (2, runs["second"])
    assert found.metrics == {"rmse": 6.0}
    assert found.data_warnings == ["id: read as text", "3 rows are copies"]
    assert found.url == f"models:/{name}/2 in {mlflow_sqlite}"
    assert (found.gate_metric, found.gate_summary) == ("rmse", "RMSE 6, better than the mean")

    without = find_registered_version(mlflow_sqlite, name, f"arn:{mark}:first")
    assert (without.gate_metric, without.gate_summary) == ("", "")

    with pytest.raises(ServiceError) as caught:
        find_registered_version(mlflow_sqlite, name, f"arn:{mark}:fourth")
    assert (
        f"the execution succeeded, but MLflow at {mlflow_sqlite} has no version of {name!r} "
        f"tagged sagemaker.pipeline_execution_arn = arn:{mark}:fourth"
    ) in str(caught.value)


def test_unreachable_mlflow_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "2")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        uri = f"http://127.0.0.1:{free.getsockname()[1]}"
    with pytest.raises(ServiceError, match=f"can't be read from MLflow at {uri}"):
        find_registered_version(uri, "houses", "arn:first")
