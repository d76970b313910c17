"""What a customer brings: a table of their own on S3, and a model that is not scikit-learn."""

from __future__ import annotations

import io
import json
import subprocess
import sys

import boto3
import numpy as np
import pandas as pd
import pytest
from mlflow import MlflowClient

pytestmark = pytest.mark.e2e

ROWS = 50_000


def _table() -> pd.DataFrame:
    random = np.random.default_rng(7)
    district = random.choice(["north", "south", "east", "west"], ROWS)
    rooms = random.integers(1, 8, ROWS).astype(float)
    area = random.normal(80, 25, ROWS).clip(15)
    price = 900 * area + 12_000 * rooms + np.where(district == "north", 50_000, 0)
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


def test_own_table_on_s3_trains_and_registers(terminal):
    parquet = io.BytesIO()
    _table().to_parquet(parquet)
    bucket = terminal.environment["ARTIFACT_BUCKET"]
    s3 = boto3.client(
        "s3",
        endpoint_url=terminal.environment["AWS_ENDPOINT_URL"],
        aws_access_key_id=terminal.environment["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=terminal.environment["AWS_SECRET_ACCESS_KEY"],
    )
    s3.put_object(Bucket=bucket, Key="tables/prices/part-0.parquet", Body=parquet.getvalue())

    process = terminal.run(
        "run-pipeline",
        "--parameters",
        f"InputDataUri=s3://{bucket}/tables/prices/",
        "TargetColumn=price",
        "RegisteredModelName=prices",
        "NEstimators=20",
        "MinSamplesLeaf=5",
        seconds=200,
    )

    assert process.returncode == 0, process.stderr
    client = MlflowClient(terminal.environment["MLFLOW_TRACKING_URI"])
    version = client.get_model_version("prices", "1")
    metrics = client.get_run(version.run_id).data.metrics
    assert metrics["median_absolute_error"] < 15_000 < metrics["baseline_median_absolute_error"]
    assert version.tags["data.uri"] == f"s3://{bucket}/tables/prices/"


# In a process of its own: logging a model changes MLflow's global state.
REGISTER = """
import sys
import mlflow
import pandas as pd

class Doubles(mlflow.pyfunc.PythonModel):
    def predict(self, context, model_input, params=None):
        return (model_input["x"] * 2).tolist()

mlflow.set_tracking_uri(sys.argv[1])
example = pd.DataFrame({"x": [1.5, 2.0]})
with mlflow.start_run():
    mlflow.pyfunc.log_model(
        name="model", python_model=Doubles(), registered_model_name="doubles",
        input_example=example, pip_requirements=["mlflow==3.17.2", "pandas==2.2.3"],
        signature=mlflow.models.infer_signature(example, [3.0, 4.0]),
    )
"""


def test_a_model_of_another_flavour_is_built_deployed_and_predicts(terminal):
    uri = terminal.environment["MLFLOW_TRACKING_URI"]
    registered = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", REGISTER, uri],
        env=dict(terminal.environment),
        capture_output=True,
        text=True,
    )
    assert registered.returncode == 0, registered.stderr

    released = terminal.run(
        "local-aws",
        *("release", "--model-name", "doubles", "--yes"),
        *("--state-dir", str(terminal.state_dir)),
    )

    assert released.returncode == 0, released.stderr
    assert "version 1 Production" in released.stderr
    body = json.dumps({"dataframe_split": {"columns": ["x"], "data": [[21.0]]}})
    answer = terminal.run(
        "local-aws",
        *("invoke", "local-prod", "--data", body),
        *("--state-dir", str(terminal.state_dir)),
    )
    assert json.loads(answer.stdout) == {"predictions": [42.0]}
    version = MlflowClient(uri).get_model_version_by_alias("doubles", "champion")
    assert str(version.version) == "1"
