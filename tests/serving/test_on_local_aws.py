"""The image's server as an endpoint of local_aws: a real process, asked through boto3."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import boto3
import pandas as pd
import pytest
from serving_image import put_image

from local_aws.gateway import Gateway
from local_aws.sagemaker.endpoints.service import Endpoints
from model_deploy.endpoint_test_plan import Case, EndpointTestPlan, Thresholds
from model_deploy.request_limits import RequestLimit
from model_deploy.test.endpoint import CSV, Answer, Endpoint
from model_deploy.test.endpoint_check import check_cases, check_refusals
from model_deploy.test.raw_rows import check_raw_rows

_IMAGE = "123456789012.dkr.ecr.us-east-1.amazonaws.com/inference:1"
_ROOT = Path(__file__).parents[2]
# As infra/images/inference has it, on this tree.
_SERVER = ["python3", "-m", "uvicorn", "--app-dir", str(_ROOT), "serving.app:app"]
_TRUST = {
    "Version": "2012-10-17",
    "Statement": [
        {
            "Effect": "Allow",
            "Principal": {"Service": "sagemaker.amazonaws.com"},
            "Action": "sts:AssumeRole",
        }
    ],
}


@pytest.fixture(scope="module")
def archives() -> dict[str, str]:
    """SHA-256 of each deployed model's archive, by the name of its endpoint."""
    return {}


@pytest.fixture(scope="module")
def deploy(gateway: Gateway, archives: dict[str, str]) -> Callable[..., Endpoint]:
    """deploy(name, model folder, variant): an endpoint that is in service."""
    client = gateway.own.client
    client("s3").create_bucket(Bucket="models")
    image = put_image(
        gateway.own,
        "inference",
        command=[*_SERVER, "--host", "127.0.0.1", "--port", "{port}"],
        environment={"__pyfunc_model_path__": "/opt/ml/model", "MLFLOW_DISABLE_TELEMETRY": "true"},
        requirements="requirements.txt",
    )
    assert image == _IMAGE
    role = client("iam").create_role(RoleName="m", AssumeRolePolicyDocument=json.dumps(_TRUST))

    def deploy(name: str, folder: Path, **variant: Any) -> Endpoint:
        buffer = io.BytesIO()
        with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
            archive.add(folder, ".")
        body = buffer.getvalue()
        archives[name] = hashlib.sha256(body).hexdigest()
        place = f"{archives[name]}/model.tar.gz"
        client("s3").put_object(Bucket="models", Key=place, Body=body)
        sagemaker = client("sagemaker")
        sagemaker.create_model(
            ModelName=name,
            ExecutionRoleArn=role["Role"]["Arn"],
            PrimaryContainer={"Image": _IMAGE, "ModelDataUrl": f"s3://models/{place}"},
        )
        sagemaker.create_endpoint_config(
            EndpointConfigName=name,
            ProductionVariants=[{"VariantName": "AllTraffic", "ModelName": name, **variant}],
        )
        sagemaker.create_endpoint(EndpointName=name, EndpointConfigName=name)
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline:
            described = sagemaker.describe_endpoint(EndpointName=name)
            if described["EndpointStatus"] != "Creating":
                break
            time.sleep(0.2)
        assert described["EndpointStatus"] == "InService", described
        return Endpoint(name=name, sagemaker=sagemaker, runtime=client("sagemaker-runtime"))

    return deploy


@pytest.fixture(scope="module")
def on_instances(deploy: Callable[..., Endpoint], table_model: Any) -> Endpoint:
    return deploy(
        "instances", table_model.folder, InstanceType="ml.m5.large", InitialInstanceCount=1
    )


def test_an_endpoint_answers_untouched_rows_as_offline(
    on_instances: Endpoint, table_model: Any
) -> None:
    checks = check_raw_rows(on_instances, table_model.raw_rows(), RequestLimit.of({}))
    assert [(check.status, check.detail) for check in checks] == [
        ("passed", "120 rows equal (relative tolerance 1e-06), 1 request")
    ] * 2


def test_an_endpoint_answers_a_classifier_s_labels_and_probabilities(
    deploy: Callable[..., Endpoint], classifier: Any
) -> None:
    endpoint = deploy(
        "classifier", classifier.folder, InstanceType="ml.m5.large", InitialInstanceCount=1
    )
    checks = check_raw_rows(endpoint, classifier.raw_rows(), RequestLimit.of({}))
    assert [(check.status, check.detail) for check in checks] == [
        (
            "passed",
            "60 rows equal in label and probabilities (relative tolerance 1e-06), 1 request",
        )
    ] * 2
    answer = endpoint.invoke("size,town\n1.5,Bern", CSV)
    assert answer.classes == ["no", "yes"]
    assert sum(answer.probabilities[0]) == pytest.approx(1)


def test_rows_that_are_larger_than_a_request_are_asked_in_pieces(
    on_instances: Endpoint, table_model: Any
) -> None:
    raw = table_model.raw_rows()
    # A column that the model does not know makes each row 100,000 bytes.
    note = "é" * 50_000
    raw["columns"] = [*raw["columns"], "note"]
    raw["rows"] = [[*row, note] for row in raw["rows"]]
    raw["csv"] = [f"{record},{note}" for record in raw["csv"]]
    checks = check_raw_rows(on_instances, raw, RequestLimit.of({}))
    assert [check.status for check in checks] == ["passed", "passed"], checks
    # "é" is six bytes in JSON, two in UTF-8.
    assert [check.detail.rpartition(", ")[2] for check in checks] == ["7 requests", "3 requests"]


def test_a_body_above_the_limit_is_an_answer_not_a_lack_of_permissions(
    on_instances: Endpoint,
) -> None:
    answer = on_instances.invoke("x" * (6 * 1024 * 1024 + 1), CSV)
    assert answer.error == (
        "An error occurred (413) when calling the InvokeEndpoint operation: HTTP content length "
        "exceeded 6291456 bytes."
    )


def test_a_serverless_endpoint_takes_four_megabytes(
    deploy: Callable[..., Endpoint], table_model: Any
) -> None:
    endpoint = deploy(
        "serverless",
        table_model.folder,
        ServerlessConfig={"MemorySizeInMB": 2048, "MaxConcurrency": 1},
    )
    row = '1,"$1,000.00",,,Bern,,01.01.2023'
    body = table_model.csv(row).decode()
    filled = body + "\r\n" * ((4 * 1024 * 1024 - len(body)) // 2)
    assert not endpoint.invoke(filled, CSV).error
    assert "exceeded 4194304 bytes" in endpoint.invoke(filled + "\r\n\r\n", CSV).error
    assert RequestLimit.of({"ServerlessMemoryInMB": "2048"}).size == 4194304


def test_test_staging_moves_a_version_that_answers_its_raw_rows(
    gateway: Gateway,
    on_instances: Endpoint,
    archives: dict[str, str],
    table_model: Any,
    mlflow_sqlite: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from mlflow import MlflowClient

    from model_deploy.test.test import main

    client = MlflowClient(tracking_uri=mlflow_sqlite, registry_uri=mlflow_sqlite)
    client.create_registered_model("table-on-local-aws")
    client.create_model_version("table-on-local-aws", str(table_model.folder))
    # The endpoint's name is made of these two.
    on_instances.sagemaker.create_endpoint(
        EndpointName="shop-staging", EndpointConfigName=on_instances.name
    )
    example = (table_model.folder / "serving_input_example.json").read_text()
    plan = EndpointTestPlan(
        model_name="table-on-local-aws",
        model_version="1",
        archive_sha256=archives[on_instances.name],
        inputs=[{"type": "double", "name": "price", "required": True}],
        cases=[Case(name="the input example", body=example)],
        raw_rows=table_model.raw_rows(),
        stages={"staging": Thresholds(max_p95_ms=30_000, requests=10)},
    ).to_json()
    (tmp_path / "endpoint-test.json").write_text(plan)
    config = {
        "Parameters": {
            "SageMakerProjectName": "shop",
            "StageName": "staging",
            "ModelDataLocation": f"s3://models/{archives[on_instances.name]}/model.tar.gz",
            "ContainerImageURI": _IMAGE,
        },
        "Tags": {
            "mlflow:model-name": "table-on-local-aws",
            "mlflow:model-version": "1",
            "mlflow:tracking-uri": mlflow_sqlite,
            "model-archive-sha256": archives[on_instances.name],
            "endpoint-test-sha256": hashlib.sha256(plan.encode()).hexdigest(),
        },
    }
    (tmp_path / "config.json").write_text(json.dumps(config))
    for name, value in gateway.own.credentials_environment(None).items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(boto3, "DEFAULT_SESSION", None)  # it has the credentials of before
    code = main(
        [
            *("--import-build-config", str(tmp_path / "config.json")),
            *("--export-test-results", str(tmp_path / "results.json")),
            *("--poll-seconds", "0.2"),
        ]
    )
    results = json.loads((tmp_path / "results.json").read_text())
    assert {check["name"]: check["status"] for check in results["checks"]} == dict.fromkeys(
        (
            "endpoint in service",
            "serves the configuration asked for",
            "its archive is the one that was built",
            "answers the input example",
            "answers raw rows as JSON as offline",
            "answers raw rows as CSV as offline",
            "refuses what is not JSON",
            "refuses wrong columns",
            "answers every request",
            "latency",
        ),
        "passed",
    )
    assert (code, results["registry"]["stage"]) == (0, "Staging")


@pytest.fixture(scope="module")
def fragile(deploy: Callable[..., Endpoint], tmp_path_factory: pytest.TempPathFactory) -> Endpoint:
    """A model without a table: 1 is right, 10 is answered Infinity, and it raises at null."""
    import mlflow.sklearn
    import numpy as np
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, Schema
    from sklearn.linear_model import LinearRegression

    model = LinearRegression().fit(pd.DataFrame({"a": [1.0, 2.0]}), [1.0, 2.0])
    model.coef_, model.intercept_ = np.array([1e308]), 0.0
    folder = tmp_path_factory.mktemp("fragile") / "model"
    mlflow.sklearn.save_model(
        model,
        folder,
        signature=ModelSignature(Schema([ColSpec("double", "a")])),
        pip_requirements=["scikit-learn", "skops"],
    )
    return deploy("fragile", folder, InstanceType="ml.m5.large", InitialInstanceCount=1)


def _ask(endpoint: Endpoint, value: float | None, column: str = "a") -> Answer:
    split = {"columns": [column], "data": [[value]]}
    return endpoint.invoke(json.dumps({"dataframe_split": split}))


def _counted(gateway: Gateway, metric: str) -> list[float]:
    """The metric that alarms look at, of each request to the fragile endpoint so far."""
    (service,) = [each for each in gateway._services if isinstance(each, Endpoints)]
    serving = service._endpoints["fragile"].serving
    assert serving is not None
    values = serving.metrics.values(metric, 0.0, time.monotonic())
    assert values is not None
    return values


def test_what_a_model_does_wrong_is_counted_by_the_alarm_s_metric(
    gateway: Gateway, fragile: Endpoint
) -> None:
    assert _ask(fragile, 1.0).predictions == [1e308]
    crashed = _ask(fragile, None)
    assert (crashed.original_status, crashed.predictions) == (500, None)
    assert "Input X contains NaN" in json.loads(crashed.original_message)["message"]
    infinite = _ask(fragile, 10.0)
    assert (infinite.original_status, json.loads(infinite.original_message)) == (
        500,
        {
            "error_code": "INTERNAL_ERROR",
            "message": "row 1: the model predicts Infinity, which is no number in JSON; 1 of 1 "
            "predictions are so",
        },
    )
    assert _ask(fragile, 1.0, column="b").original_status == 400
    assert _counted(gateway, "Invocation5XXErrors") == [0.0, 1.0, 1.0, 0.0]
    assert _counted(gateway, "Invocation4XXErrors") == [0.0, 0.0, 0.0, 1.0]


def test_aws_calls_a_crash_an_internal_failure_of_the_model(fragile: Endpoint) -> None:
    said: list[Any] = []

    def note(response_dict: dict[str, Any], **_: Any) -> None:
        said.append(json.loads(response_dict["body"]))  # botocore leaves the code out

    events = fragile.runtime.meta.events
    events.register("before-parse.sagemaker-runtime.InvokeEndpoint", note)
    try:
        assert "(ModelError)" in _ask(fragile, None).error
        assert "(ModelError)" in _ask(fragile, 1.0, column="b").error
    finally:
        events.unregister("before-parse.sagemaker-runtime.InvokeEndpoint", note)
    assert [each["ErrorCode"] for each in said] == [
        "INTERNAL_FAILURE_FROM_MODEL",
        "CLIENT_ERROR_FROM_MODEL",
    ]


def test_the_endpoint_s_test_sees_what_a_model_does_wrong(fragile: Endpoint) -> None:
    def example(value: str) -> Case:
        body = f'{{"dataframe_split": {{"columns": ["a"], "data": [[{value}]]}}}}'
        return Case(name="the input example", body=body, answer='{"predictions": [1e308]}')

    def checks(value: str) -> list[str]:
        plan = EndpointTestPlan(
            model_name="m", model_version="1", archive_sha256="s", cases=[example(value)]
        )
        return [check.status for check in check_cases(fragile, plan)[0]]

    assert checks("1.0") == ["passed", "passed"]
    assert checks("10.0") == ["failed", "failed"]
    assert checks("null") == ["failed", "failed"]
    inputs = [{"type": "double", "name": "a", "required": True}]
    refusals = check_refusals(fragile, example("1.0"), inputs)
    assert [check.status for check in refusals] == ["passed", "passed"]
