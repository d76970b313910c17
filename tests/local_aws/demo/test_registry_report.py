"""What is read back from the registry and from AWS."""

from __future__ import annotations

import io
import uuid
import warnings

import pytest
from rich.console import Console

from local_aws.demo.registry_report import read_endpoints, read_versions, table_of


@pytest.fixture
def model_name(mlflow_sqlite):
    """A registered model: version 1 archived, version 2 in production, version 3 by hand."""
    import mlflow  # seconds, in each process that collects tests

    name = f"report-{uuid.uuid4().hex[:8]}"
    # The registry by name too: tests of the training step leave a global one of their own behind.
    client = mlflow.MlflowClient(mlflow_sqlite, mlflow_sqlite)
    client.create_registered_model(name)
    experiment = client.create_experiment(name)
    for error in (4.0, 2.5, None):
        run = client.create_run(experiment)
        if error is not None:
            client.log_metric(run.info.run_id, "median_absolute_error", error)
            client.set_tag(run.info.run_id, "sagemaker.pipeline_execution_arn", f"arn:{error}")
        client.create_model_version(name, "file:///nowhere", run.info.run_id)
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
        (row["version"], row["stage"], row["aliases"], row["median_absolute_error"]) for row in rows
    ] == [
        ("1", "Archived", [], 4.0),
        ("2", "Production", ["champion"], 2.5),
        ("3", "None", [], None),
    ]
    assert [row["pipeline_execution_arn"] for row in rows] == ["arn:4.0", "arn:2.5", None]


def test_endpoints_are_told_with_the_version_that_their_model_is_tagged_with(serving_account):
    config = serving_account.create_config(
        serving_account.put_archive("told"),
        model={
            "Tags": [
                {"Key": "mlflow:model-name", "Value": "forest"},
                {"Key": "mlflow:model-version", "Value": "7"},
            ]
        },
    )
    name = serving_account.create_endpoint(config)

    (row,) = [row for row in read_endpoints(serving_account.sagemaker) if row["name"] == name]

    assert row["status"] == "InService"
    assert (row["model_name"], row["model_version"]) == ("forest", "7")
    assert row["model_data_url"].startswith(f"s3://{serving_account.bucket}/told-")


def test_the_table_shows_each_version_and_what_serves_it():
    versions = [
        {"version": "1", "stage": "Archived", "aliases": [], "median_absolute_error": None},
        {
            "version": "2",
            "stage": "Production",
            "aliases": ["champion"],
            "median_absolute_error": 2,
        },
    ]
    endpoints = [{"name": "x-prod", "status": "InService", "model_version": "2"}]
    text = io.StringIO()

    Console(file=text, width=100).print(table_of({"versions": versions, "endpoints": endpoints}))

    rows = [
        [cell.strip() for cell in line.split("│")[1:-1]] for line in text.getvalue().split("\n")
    ]
    assert ["-", "1", "Archived", "-", "-"] in rows
    assert ["x-prod (InService)", "2", "Production", "champion", "2.00"] in rows
