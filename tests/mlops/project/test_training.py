"""`mlops train`: what it uploads, starts, and ends with."""

from __future__ import annotations

import json

import pytest

from mlops.cli import main
from mlops.display import Display
from mlops.project.deployment import ProjectOptions, deploy_project
from mlops.project.training import _model_name
from tests.mlops.conftest import HOW


@pytest.fixture(scope="module")
def project(platform):
    deployed, _ = deploy_project(platform, "local", ProjectOptions(), HOW, Display())
    return deployed


@pytest.fixture
def table(tmp_path):
    path = tmp_path / "flat-prices.csv"
    path.write_text("rooms,price\n" + "".join(f"{n % 7},{n}.5\n" for n in range(40)))
    return path


def test_a_table_that_is_not_there_is_named(local_account, tmp_path, caplog):
    assert main(["train", str(tmp_path / "none.csv"), "--target", "price"]) == 2
    assert f"there is no file {tmp_path / 'none.csv'}. Name a CSV or Parquet" in caplog.text


def test_a_parameter_of_another_form_is_refused_before_anything(project, table, platform, caplog):
    words = ["train", str(table), "--target", "price", "--parameter", "Estimator"]
    assert main(words) == 2
    assert "--parameter 'Estimator' is not of the form NAME=VALUE." in caplog.text
    bucket = project.outputs["ArtifactBucketName"]
    listed = platform.client("s3").list_objects_v2(Bucket=bucket, Prefix="raw/flat-prices")
    assert listed["KeyCount"] == 0


def test_the_table_is_uploaded_and_run_pipeline_s_reason_and_exit_code_come_through(
    project, platform, table, capfd
):
    words = ["train", str(table), "--target", "prise", "--parameter", "NEstimators=5", "--json"]

    assert main(words) == 1

    said = capfd.readouterr()
    bucket = project.outputs["ArtifactBucketName"]
    uri = f"s3://{bucket}/raw/flat-prices.csv"
    assert f"uploaded {table} to {uri}" in said.err
    assert (
        f"run-pipeline --parameters InputDataUri={uri} TargetColumn=prise "
        "RegisteredModelName=flat-prices NEstimators=5" in said.err
    )
    assert f"{uri} has no column 'prise' to predict; it has 'price', 'rooms'" in said.err
    assert "next:" not in said.err
    assert said.out == ""
    found = platform.client("s3").get_object(Bucket=bucket, Key="raw/flat-prices.csv")
    assert found["Body"].read() == table.read_bytes()
    # The jobs run where those of CodeBuild do.
    pipeline = platform.client("sagemaker").describe_pipeline(PipelineName="local-build")
    network = json.loads(pipeline["PipelineDefinition"])["Steps"][0]["Arguments"]["NetworkConfig"]
    assert network["VpcConfig"]["Subnets"] == project.environment["SUBNET_IDS"].split(",")


@pytest.mark.parametrize(
    ("table", "name"),
    [
        ("prices.csv", "prices"),
        ("flats.2024.csv.gz", "flats"),
        ("//bucket/raw/houses/", "houses"),
        ("diabetes", "diabetes"),
    ],
)
def test_the_model_is_called_as_the_table_is(table, name):
    assert _model_name(table) == name
