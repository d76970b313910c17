"""What is read back from the registry and from AWS."""

from __future__ import annotations

import io
import json
import uuid
import warnings
from datetime import UTC, datetime

import boto3
import pytest
from botocore.stub import Stubber
from rich.console import Console

from mlops.release.registry_report import read_endpoints, read_prediction, read_versions, table_of


@pytest.fixture
def model_name(mlflow_sqlite):
    """A registered model: version 1 archived, version 2 in production, version 3 by hand, 4 with
    a tag that is no number.
    """
    import mlflow  # seconds, in each process that collects tests

    name = f"report-{uuid.uuid4().hex[:8]}"
    # The registry by name too: tests of the training step leave a global one of their own behind.
    client = mlflow.MlflowClient(mlflow_sqlite, mlflow_sqlite)
    client.create_registered_model(name)
    experiment = client.create_experiment(name)
    gates = (("rmse", "4.0"), ("brier_score", "0.121"), None, ("rmse", "none"))
    for number, gate in enumerate(gates, 1):
        run = client.create_run(experiment)
        tags = {}
        if gate is not None:
            tags = dict(zip(("gate.metric", "gate.value"), gate, strict=True))
            tags["gate.summary"] = f"{gate[0]} {gate[1]}, better than nothing"
            client.set_tag(run.info.run_id, "sagemaker.pipeline_execution_arn", f"arn:{number}")
        client.create_model_version(name, "file:///nowhere", run.info.run_id, tags=tags)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        client.transition_model_version_stage(name, "1", "Archived")
        client.transition_model_version_stage(name, "2", "Production")
    client.set_registered_model_alias(name, "champion", "2")
    yield name
    mlflow.set_tracking_uri(None)


def test_versions_are_told_with_stage_aliases_metric_and_execution(mlflow_sqlite, model_name):
    rows = read_versions(mlflow_sqlite, model_name)

    assert [
        (row["version"], row["stage"], row["aliases"], row["metric"], row["gate"]) for row in rows
    ] == [
        (
            "1",
            "Archived",
            [],
            {"name": "rmse", "value": 4.0},
            "rmse 4.0, better than nothing",
        ),
        (
            "2",
            "Production",
            ["champion"],
            {"name": "brier_score", "value": 0.121},
            "brier_score 0.121, better than nothing",
        ),
        ("3", "None", [], None, None),
        ("4", "None", [], None, "rmse none, better than nothing"),
    ]
    assert [row["url"] for row in rows[:1]] == [f"models:/{model_name}/1 in {mlflow_sqlite}"]
    executions = [row["pipeline_execution_arn"] for row in rows]
    assert executions == ["arn:1", "arn:2", None, "arn:4"]


def test_endpoints_are_told_with_the_version_that_their_model_is_tagged_with():
    sagemaker = boto3.client("sagemaker", region_name="us-east-1")
    arn, now = "arn:aws:sagemaker:us-east-1:123456789012", datetime.now(UTC)
    row = {"EndpointName": "x-prod", "EndpointArn": f"{arn}:endpoint/x-prod"}
    times = {"CreationTime": now, "LastModifiedTime": now}
    variant = {"VariantName": "AllTraffic", "ModelName": "m"}
    tags = {"mlflow:model-name": "a=20forest", "mlflow:model-version": "7"}
    with Stubber(sagemaker) as stub:
        for operation, answer in {
            "list_endpoints": {"Endpoints": [{**row, **times, "EndpointStatus": "InService"}]},
            "describe_endpoint": {
                **row,
                **times,
                "EndpointStatus": "InService",
                "EndpointConfigName": "c",
            },
            "describe_endpoint_config": {
                "EndpointConfigName": "c",
                "EndpointConfigArn": f"{arn}:endpoint-config/c",
                "ProductionVariants": [variant],
                "CreationTime": now,
            },
            "describe_model": {
                "ModelName": "m",
                "ModelArn": f"{arn}:model/m",
                "PrimaryContainer": {"ModelDataUrl": "s3://models/told.tar.gz"},
                "CreationTime": now,
            },
            "list_tags": {"Tags": [{"Key": k, "Value": v} for k, v in tags.items()]},
        }.items():
            stub.add_response(operation, answer)

        found = read_endpoints(sagemaker, "x")

    assert found == [
        {
            "name": "x-prod",
            "status": "InService",
            "model_name": "a forest",
            "model_version": "7",
            "model_data_url": "s3://models/told.tar.gz",
        }
    ]


def test_the_table_shows_each_version_and_what_serves_it():
    versions = [
        {"version": version, "stage": "Archived", "aliases": [], "metric": metric}
        for version, metric in (
            ("1", None),
            ("2", {"name": "brier_score", "value": 0.12149}),
            ("3", {"name": "rmse", "value": 12345.6}),
        )
    ]
    versions.append(
        {
            "version": "4",
            "stage": "Production",
            "aliases": ["champion"],
            "metric": {"name": "rmse", "value": 53.1049},
        }
    )
    endpoints = [{"name": "x-prod", "status": "InService", "model_version": "4"}]
    text = io.StringIO()

    Console(file=text, width=100).print(table_of({"versions": versions, "endpoints": endpoints}))

    heading, *_ = [line for line in text.getvalue().split("\n") if "version" in line]
    assert [cell.strip() for cell in heading.split("┃")[1:-1]][-1] == "metric"
    rows = [
        [cell.strip() for cell in line.split("│")[1:-1]] for line in text.getvalue().split("\n")
    ]
    assert ["-", "1", "Archived", "-", "-"] in rows
    assert ["-", "2", "Archived", "-", "brier_score 0.121"] in rows
    assert ["-", "3", "Archived", "-", "rmse 12,346"] in rows
    assert ["x-prod (InService)", "4", "Production", "champion", "rmse 53.1"] in rows


class _Runtime:
    """SageMaker Runtime's one operation; `answer` is what the endpoint says."""

    def __init__(self, answer):
        self._answer = answer

    def invoke_endpoint(self, *, EndpointName, Body, ContentType):
        self.asked = (EndpointName, json.loads(Body), ContentType)
        return {"Body": io.BytesIO(json.dumps(self._answer).encode())}


@pytest.fixture
def register(mlflow_sqlite, tmp_path):
    """register(model, rows): the URI of a version that holds the model."""
    import mlflow.sklearn

    def register(model, rows):
        mlflow.sklearn.save_model(
            model,
            tmp_path / "model",
            signature=mlflow.models.infer_signature(rows),
            input_example=rows,
            pip_requirements=["scikit-learn", "skops"],
            skops_trusted_types=["sklearn.tree._tree.Tree", "numpy.dtype"],
        )
        client = mlflow.MlflowClient(mlflow_sqlite, mlflow_sqlite)
        name = f"report-{uuid.uuid4().hex[:8]}"
        client.create_registered_model(name)
        client.create_model_version(name, str(tmp_path / "model"))
        return f"models:/{name}/1"

    yield register
    mlflow.set_tracking_uri(None)


@pytest.mark.parametrize(
    "labels", [["no", "yes"], [False, True], [0, 7]], ids=["texts", "booleans", "integers"]
)
def test_a_classifier_s_labels_are_told_with_the_endpoint_s_probabilities(
    mlflow_sqlite, register, labels
):
    import numpy as np
    import pandas as pd
    from sklearn.tree import DecisionTreeClassifier

    rows = pd.DataFrame({"a": [1.0, 2.0]})
    target = np.array(labels, dtype=object if isinstance(labels[0], str) else None)
    uri = register(DecisionTreeClassifier().fit(rows, target), rows)
    shares = [[0.75, 0.25], [0.25, 0.75]]
    runtime = _Runtime({"predictions": labels, "classes": labels, "probabilities": shares})

    prediction = read_prediction(runtime, "x-prod", mlflow_sqlite, uri)

    assert json.loads(json.dumps(prediction)) == {
        "inputs": [{"a": 1.0}, {"a": 2.0}],
        "endpoint": labels,
        "offline": labels,
        "classes": labels,
        "probabilities": shares,
    }
    assert {type(label) for label in prediction["offline"]} == {type(labels[0])}
    split = {"columns": ["a"], "data": [[1.0], [2.0]]}
    assert runtime.asked == ("x-prod", {"dataframe_split": split}, "application/json")


def test_a_regression_s_numbers_are_told_alone(mlflow_sqlite, register):
    import pandas as pd
    from sklearn.tree import DecisionTreeRegressor

    rows = pd.DataFrame({"a": [1.0, 2.0]})
    uri = register(DecisionTreeRegressor().fit(rows, [0.5, 1.5]), rows)

    prediction = read_prediction(_Runtime({"predictions": [0.5, 1.5]}), "p", mlflow_sqlite, uri)

    assert prediction == {
        "inputs": [{"a": 1.0}, {"a": 2.0}],
        "endpoint": [0.5, 1.5],
        "offline": [0.5, 1.5],
    }
