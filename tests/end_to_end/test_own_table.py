"""A customer's own table on S3: text, missing values, nothing changed in the code."""

from __future__ import annotations

import io

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
