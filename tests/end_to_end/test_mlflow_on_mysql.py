"""Train, register, build and promote against MLflow as infra/platform/mlflow.yml has it: on a
database that speaks MySQL, with a login, and artifacts in S3: each client under its own role.

What is trained on is a customer's own table.
"""

from __future__ import annotations

import base64
import concurrent.futures
import dataclasses
import io
import json
import subprocess
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from mlflow import MlflowClient

from tests.end_to_end.shell import PROJECT_DIR, Terminal
from tests.end_to_end.up import deploy_project, local_aws_up
from tests.mariadb import mariadb  # noqa: F401 - a fixture
from tests.tracking_server import MlflowContainer

pytestmark = pytest.mark.e2e

MODEL = "prices"
BUCKET = "local-123456789012-us-east-1"
DATABASE = "road"
PASSWORD = MlflowContainer.secrets["CLIENT_PASSWORD"]

ROWS = 50_000


def _table() -> pd.DataFrame:
    random = np.random.default_rng(7)
    district = random.choice(["north", "south", "east", "west"], ROWS)
    rooms = random.integers(1, 8, ROWS).astype(float)
    area = random.normal(80, 25, ROWS).clip(15)
    price = 900 * area + 12_000 * rooms + np.where(district == "north", 5_000, 0)
    table = pd.DataFrame(
        {
            "district": district,
            "rooms": rooms,
            "area": area,
            "price": price + random.normal(0, 8_000, ROWS),
        }
    )
    table.loc[random.random(ROWS) < 0.1, "district"] = None
    table.loc[random.random(ROWS) < 0.1, "rooms"] = np.nan
    return table


@dataclasses.dataclass(frozen=True, kw_only=True)
class Road:
    """What the commands said, and what they left."""

    terminal: Terminal
    folder: Path
    train: subprocess.CompletedProcess[str]
    build: subprocess.CompletedProcess[str]
    test: subprocess.CompletedProcess[str]
    build_without_login: subprocess.CompletedProcess[str]

    def read(self, name):
        """A file that a command wrote."""
        return json.loads((self.folder / name).read_text())


@pytest.fixture(scope="module")
def server(mariadb, tmp_path_factory):  # noqa: F811
    container = MlflowContainer(
        mariadb.create_database(DATABASE),
        tmp_path_factory.mktemp("mlflow"),
        basic_auth=True,
        artifact_root=f"s3://{BUCKET}/mlflow",
    )
    try:
        yield container.start()
    finally:
        container.stop()


@pytest.fixture(scope="module")
def road(server, tmp_path_factory):
    folder = tmp_path_factory.mktemp("road")
    with (
        local_aws_up(folder / "state", "--no-mlflow") as running,
        concurrent.futures.ThreadPoolExecutor(1) as aside,
    ):
        login = json.dumps({"username": server.client_username, "password": PASSWORD})
        secret = running.client("secretsmanager").create_secret(Name="login", SecretString=login)
        terminal = deploy_project(
            running,
            *("--parameter", f"laptop.TrackingUri={server.url}"),
            *("--parameter", f"laptop.CredentialsSecret={secret['ARN']}"),
        )
        environment = {**terminal.environment, "MLFLOW_CREDENTIALS_SECRET": "none"}
        stranger = dataclasses.replace(terminal, environment=environment)
        refused = aside.submit(build, stranger, folder / "refused")
        parquet = io.BytesIO()
        _table().to_parquet(parquet)
        terminal.client("s3").put_object(
            Bucket=BUCKET, Key="tables/prices/part-0.parquet", Body=parquet.getvalue()
        )
        train = terminal.run(
            *("run-pipeline", "--parameters"),
            *(f"InputDataUri=s3://{BUCKET}/tables/prices/", "TargetColumn=price"),
            *(f"RegisteredModelName={MODEL}", "NEstimators=20", "MinSamplesLeaf=5"),
            seconds=240,
        )
        assert train.returncode == 0, train.stderr
        built = build(terminal, folder)
        assert built.returncode == 0, built.stderr
        deploy_endpoint(terminal, folder / "prod-config-export.json")
        tested = terminal.run(
            "test-endpoint",
            *("--import-build-config", str(folder / "prod-config-export.json")),
            *("--export-test-results", str(folder / "results.json")),
            seconds=240,
        )
        yield Road(
            terminal=terminal,
            folder=folder,
            train=train,
            build=built,
            test=tested,
            build_without_login=refused.result(),
        )


def deploy_endpoint(terminal, config_path):
    """The stack of prod, as the pipeline's action makes it from the build's configuration."""
    cloudformation = terminal.client("cloudformation")
    config = json.loads(config_path.read_text())
    name = "sagemaker-local-p-local-deploy-prod"
    cloudformation.create_stack(
        StackName=name,
        TemplateBody=(PROJECT_DIR / "model_deploy/endpoint-config-template.yml").read_text(),
        Parameters=[
            {"ParameterKey": key, "ParameterValue": value}
            for key, value in config["Parameters"].items()
        ],
        Tags=[{"Key": key, "Value": value} for key, value in config["Tags"].items()],
    )
    waiter = cloudformation.get_waiter("stack_create_complete")
    waiter.wait(StackName=name, WaiterConfig={"Delay": 1})


def build(terminal, folder):
    return terminal.run(
        *("build-deployment", "--model-name", MODEL),
        *("--export-staging-config", str(folder / "staging-config-export.json")),
        *("--export-prod-config", str(folder / "prod-config-export.json")),
    )


def test_the_version_is_in_production_by_the_databases_own_word(road, mariadb):  # noqa: F811
    assert road.test.returncode == 0, road.test.stderr
    assert f"registered {MODEL} version 1" in road.train.stdout
    ((name, version, stage, location),) = mariadb.execute(
        "SELECT name, version, current_stage, storage_location FROM model_versions",
        database=DATABASE,
    )
    assert (name, version, stage) == (MODEL, 1, "Production")
    assert location.startswith(f"s3://{BUCKET}/mlflow/")
    aliases = mariadb.execute(
        "SELECT alias, version FROM registered_model_aliases", database=DATABASE
    )
    assert aliases == [("champion", 1)]


def test_own_table_on_s3_is_what_was_learned(road, server, monkeypatch):
    # As a person with a login of his own.
    monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", server.admin_username)
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", server.secrets["ADMIN_PASSWORD"])
    client = MlflowClient(server.url, server.url)
    version = client.get_model_version(MODEL, "1")
    metrics = client.get_run(version.run_id).data.metrics
    assert metrics["median_absolute_error"] < 15_000 < metrics["baseline_rmse"]
    assert version.tags["data.uri"] == f"s3://{BUCKET}/tables/prices/"


def test_prod_predicts_what_the_training_kept_in_s3(road):
    described = road.terminal.client("sagemaker").describe_endpoint(EndpointName="local-prod")
    assert described["EndpointStatus"] == "InService"
    s3 = road.terminal.client("s3")
    (key,) = [key for key in keys(s3) if key.startswith("mlflow/") and "/raw_rows.json" in key]
    raw = json.loads(s3.get_object(Bucket=BUCKET, Key=key)["Body"].read())

    answer = road.terminal.client("sagemaker-runtime").invoke_endpoint(
        EndpointName="local-prod",
        Body=json.dumps({"dataframe_split": {"columns": raw["columns"], "data": raw["rows"]}}),
        ContentType="application/json",
    )

    predictions = json.loads(answer["Body"].read())["predictions"]
    assert predictions == pytest.approx(raw["predictions"], rel=1e-9)
    checks = {row["name"]: row["status"] for row in road.read("results.json")["checks"]}
    assert checks["answers raw rows as JSON as offline"] == "passed"
    assert checks["answers raw rows as CSV as offline"] == "passed"


def test_job_and_commands_read_the_secret_each_under_its_own_name(road):
    calls = [
        json.loads(line)
        for line in (road.terminal.state_dir / "api-calls.jsonl").read_text().splitlines()
    ]
    readers = [
        call["caller"].split(":")[-1].partition("/")[0]
        for call in calls
        if call["action"] == "secretsmanager:GetSecretValue"
    ]
    # run-pipeline, build-deployment and test-endpoint; the training job. PrepareData needs none.
    assert sorted(readers) == ["assumed-role", "user", "user", "user"]


def test_the_password_is_nowhere_but_in_the_secret(road, server):
    """Neither as it is, nor as JSON or HTTP write it."""
    login = f"{server.client_username}:{PASSWORD}".encode()
    needles = [PASSWORD.encode(), json.dumps(PASSWORD)[1:-1].encode(), base64.b64encode(login)]
    s3, sagemaker = road.terminal.client("s3"), road.terminal.client("sagemaker")
    (job,) = sagemaker.list_training_jobs()["TrainingJobSummaries"]
    described = sagemaker.describe_training_job(TrainingJobName=job["TrainingJobName"])
    secret_arn = road.terminal.environment["MLFLOW_CREDENTIALS_SECRET"]
    assert described["Environment"]["MLFLOW_CREDENTIALS_SECRET"] == secret_arn
    definition = sagemaker.describe_pipeline(PipelineName="local-build")["PipelineDefinition"]
    assert secret_arn in definition
    texts = {
        "DescribeTrainingJob": repr(described).encode(),
        "DescribePipeline": definition.encode(),
        "the server's log": server.log().encode(),
        **{f"S3 {key}": s3.get_object(Bucket=BUCKET, Key=key)["Body"].read() for key in keys(s3)},
        **{str(path): path.read_bytes() for path in road.folder.rglob("*") if path.is_file()},
    }
    for name, said in (("train", road.train), ("build", road.build), ("test", road.test)):
        texts[name] = (said.stdout + said.stderr).encode()

    assert len(texts) > 30
    found = [name for name, text in texts.items() if any(needle in text for needle in needles)]
    assert found == []


def test_without_the_secret_there_is_one_clear_error(road, server):
    refused = road.build_without_login

    assert refused.returncode == 3
    assert refused.stdout == ""
    (line,) = refused.stderr.splitlines()
    assert line.endswith(
        f"ERROR MLflow at {server.url} asks for a login, and there is none: set "
        "MLFLOW_CREDENTIALS_SECRET to the ARN of the secret with MLflow's user and password"
    )
    assert not (road.folder / "refused").exists()


def test_the_server_met_nothing_unexpected(road, server):
    assert "Traceback" not in server.log()
    assert server.check().exit_code == 0


def keys(s3):
    pages = s3.get_paginator("list_objects_v2").paginate(Bucket=BUCKET)
    return [entry["Key"] for page in pages for entry in page.get("Contents", ())]
