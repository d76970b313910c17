"""A table as people have it, from a file on S3 to prod: the endpoint answers what it says."""

from __future__ import annotations

import csv
import io
import json
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from mlflow import MlflowClient

from tests.end_to_end.project import Project

pytestmark = pytest.mark.e2e

MODEL = "any-table"
ROWS = 400


def houses(seed):
    """Text, dates, gaps, NA as a value, ids of 2^60, formats; the price follows from the country,
    the size and the code.
    """
    rng = np.random.default_rng(seed)
    country = rng.choice(["NA", "DE", "CH", ""], ROWS)
    size = rng.integers(20, 200, ROWS).astype(float)
    code = rng.choice(["1", "2", "A7"], ROWS)
    price = size * 10 + pd.Series(country).map({"NA": 5000, "DE": 1000, "CH": 3000, "": 0})
    price += pd.Series(code).map({"1": 500, "2": 200, "A7": 0}) + rng.normal(size=ROWS).round(2)
    days = pd.date_range("2024-01-01", periods=ROWS).strftime("%Y-%m-%d")
    return pd.DataFrame(
        {
            "id": [str(2**60 + row) for row in range(ROWS)],
            "country": country,
            "size": [f"{value:g}" if row % 9 else "" for row, value in enumerate(size)],
            "code": code,
            "zip": [f"{row % 50:05}" for row in range(ROWS)],
            "sold": [day if row % 7 else "" for row, day in enumerate(days)],
            "garden": rng.choice(["true", "false", ""], ROWS),
            "tax": [f"{value:,.1f}" for value in size * 33],
            "note": rng.choice(["plain", 'say "so", twice', "née", "two\nlines"], ROWS),
            "price": price.round(2),
        }
    )


@pytest.fixture(scope="module")
def table():
    return houses(seed=1)


def train(deployed, frame, key):
    """Two files under one prefix; run-pipeline's end."""
    s3, bucket = deployed.client("s3"), deployed.environment["ARTIFACT_BUCKET"]
    for name, part in (("a", frame[: ROWS // 2]), ("b", frame[ROWS // 2 :])):
        body = part.to_csv(index=False).encode()
        s3.put_object(Bucket=bucket, Key=f"{key}/{name}.csv", Body=body)
    return deployed.run(
        "run-pipeline",
        *("--kwargs", json.dumps({"pipeline_name": MODEL, "base_job_prefix": MODEL})),
        *("--parameters", f"InputDataUri=s3://{bucket}/{key}", "TargetColumn=price"),
        *(f"RegisteredModelName={MODEL}", "NEstimators=20"),
    )


@pytest.fixture(scope="module")
def released(deployed, table, tmp_path_factory):
    """The table's model in staging and prod."""
    trained = train(deployed, table, "raw/houses")
    assert trained.returncode == 0, trained.stderr
    assert "data: column 'id': read as text: 400 of its whole numbers are beyond 2^53" in (
        trained.stdout
    )
    project = Project(deployed, tmp_path_factory.mktemp("clone") / "modeldeploy")
    project.fill()
    execution = project.push("Deploy the table's model", model_name=MODEL, model_version="latest")
    project.wait_for_approval(execution)
    project.type("approve", "--yes")
    project.wait_for(execution, "Succeeded")
    return project.type("logs", "sagemaker-local-p-local-testing")


# In a process of its own: loading a model changes MLflow's global state.
PREDICT = """
import json, sys
import mlflow, pandas
features = pandas.read_parquet("features.parquet").astype({"garden": object})
print(json.dumps(mlflow.pyfunc.load_model(sys.argv[1]).predict(features).tolist()))
"""


@pytest.fixture(scope="module")
def offline(deployed, table, released, tmp_path_factory):
    """What the registered model itself says of the table's rows, read here by other code."""
    text = table.drop(columns="price")
    features = pd.DataFrame(
        {
            **{name: text[name].where(text[name] != "", None) for name in text.columns},
            "size": pd.to_numeric(text["size"]),
            "tax": text["tax"].str.replace(",", "").astype(float),
            "sold": pd.to_datetime(text["sold"].where(text["sold"] != "", None)),
            "garden": text["garden"].map({"true": True, "false": False, "": None}).astype(object),
        }
    )
    folder = tmp_path_factory.mktemp("offline")
    features.to_parquet(folder / "features.parquet")
    process = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", PREDICT, f"models:/{MODEL}/1"],
        cwd=folder,
        env=dict(deployed.environment),
        capture_output=True,
        text=True,
    )
    assert process.returncode == 0, process.stderr
    return json.loads(process.stdout.splitlines()[-1])


def registry(deployed):
    uri = deployed.environment["MLFLOW_TRACKING_URI"]
    return MlflowClient(uri, uri)


def ask(deployed, body, content_type):
    answer = deployed.client("sagemaker-runtime").invoke_endpoint(
        EndpointName="local-prod", ContentType=content_type, Body=body.encode()
    )
    return json.loads(answer["Body"].read())["predictions"]


def test_both_endpoints_were_asked_raw_rows_in_both_forms(released):
    for form in ("JSON", "CSV"):
        assert released.count(f"passed: answers raw rows as {form} as offline") == 2


def test_prod_answers_the_untouched_lines_of_the_file_as_offline(deployed, table, offline):
    answered = ask(deployed, table.to_csv(index=False), "text/csv")

    np.testing.assert_allclose(answered, offline, rtol=1e-9)


def test_prod_answers_the_same_rows_in_json_as_offline(deployed, table, offline):
    rows = list(csv.DictReader(io.StringIO(table.to_csv(index=False))))
    for row in rows:
        row["size"] = float(row["size"]) if row["size"] else None
        row["garden"] = {"true": True, "false": False, "": None}[row["garden"]]
        row["id"] = int(row["id"])
        for name in ("country", "sold"):
            row[name] = row[name] or None
    answered = ask(deployed, json.dumps({"dataframe_records": rows}), "application/json")

    np.testing.assert_allclose(answered, offline, rtol=1e-9)


def test_the_model_learned_what_the_table_says(deployed, table, offline):
    client = registry(deployed)
    version = client.get_model_version(MODEL, "1")
    run = client.get_run(version.run_id)

    assert run.data.metrics["r2"] > 0.9
    apart = pd.Series(offline).groupby(table["country"]).mean()
    assert apart["NA"] > apart["CH"] > apart["DE"] > apart[""]
    kept = {item.path for item in client.list_artifacts(version.run_id)}
    assert {"raw_rows.json", "data_report.json", "data_report.html"} <= kept


def test_a_corrected_file_under_the_same_key_is_read_at_once(deployed, released):
    process = train(deployed, houses(seed=2), "raw/houses")

    assert process.returncode == 0, process.stderr
    assert "cached" not in process.stdout + process.stderr
    client = registry(deployed)
    digests = {client.get_model_version(MODEL, str(n)).tags["data.digest"] for n in (1, 2)}
    assert len(digests) == 2
