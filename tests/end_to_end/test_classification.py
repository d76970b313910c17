"""A yes/no target, from a file on S3 to labels and probabilities from prod; and what the gate says
of the models that come after it, to everybody.
"""

from __future__ import annotations

import csv
import io
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from mlflow import MlflowClient

from tests.end_to_end.project import (
    BUILD_PIPELINE,
    Project,
    run_pipelines,
    runs_of,
    until,
    versions_of,
)

pytestmark = pytest.mark.e2e

MODEL = "churn"
ROWS = 400

# Leaves of so many rows: better than knowing nothing, and far from what the columns tell.
COARSE = 60


def customers():
    """Who left: by plan, by how much they used it, and by chance."""
    rng = np.random.default_rng(3)
    plan = rng.choice(["basic", "plus", "NA", ""], ROWS)
    usage = rng.uniform(0, 100, ROWS)
    score = np.where(plan == "basic", 2.5, -1.5) + np.where(usage < 40, 2.5, -2.0)
    left = rng.uniform(size=ROWS) < 1 / (1 + np.exp(-2 * score))
    days = pd.date_range("2024-01-01", periods=ROWS).strftime("%Y-%m-%d")
    return pd.DataFrame(
        {
            "id": [f"{row:05}" for row in range(ROWS)],
            "plan": plan,
            "usage": [f"{value:.1f}" if row % 9 else "" for row, value in enumerate(usage)],
            "since": [day if row % 7 else "" for row, day in enumerate(days)],
            "autopay": rng.choice(["true", "false", ""], ROWS),
            "left": np.where(left, "yes", "no"),
        }
    )


@pytest.fixture(scope="module")
def table():
    return customers()


@pytest.fixture(scope="module")
def tables(deployed, table):
    """Name -> parameters that name a table on S3 and its target."""
    rng = np.random.default_rng(4)
    frames = {
        "left": table,
        "without": table.drop(columns="autopay").rename(columns={"since": "joined"}),
        "bought": pd.DataFrame({"a": range(ROWS), "bought": rng.integers(0, 2, ROWS)}),
        "noise": pd.DataFrame(rng.normal(size=(ROWS, 4)), columns=["a", "b", "c", "noise"]),
    }
    s3, bucket = deployed.client("s3"), deployed.environment["ARTIFACT_BUCKET"]
    named = {}
    for name, frame in frames.items():
        key = f"raw/{name}.csv"
        s3.put_object(Bucket=bucket, Key=key, Body=frame.to_csv(index=False).encode())
        target = name if name in frame else "left"
        named[name] = {"InputDataUri": f"s3://{bucket}/{key}", "TargetColumn": target}
    return named


@pytest.fixture(scope="module")
def first(deployed, tables):
    """The first run of each table, and of a bundled set of flowers."""
    return run_pipelines(
        deployed,
        {
            MODEL: {**tables["left"], "NEstimators": 50},
            "flowers": {"InputDataUri": "sklearn:iris"},
            "bought": tables["bought"],
            "noise": tables["noise"],
        },
    )


def test_a_yes_no_target_is_classified_and_passes_the_gate(deployed, first):
    trained = first[MODEL]

    assert trained.returncode == 0, trained.stderr
    assert f"registered {MODEL} version 1" in trained.stdout
    assert "gate: Brier score " in trained.stdout
    for metric in ("accuracy", "balanced_accuracy", "brier_score", "log_loss", "roc_auc"):
        assert f"\n  {metric} " in trained.stdout
    assert "absolute_error" not in trained.stdout
    (run,) = runs_of(deployed, MODEL)
    assert run.data.tags["gate.verdict"] == "passed"
    assert run.data.metrics["brier_score"] < run.data.metrics["baseline_brier_score"]
    version = versions_of(deployed, MODEL)["1"]
    assert version.tags["gate.metric"] == "brier_score"
    assert float(version.tags["gate.value"]) == pytest.approx(run.data.metrics["brier_score"])
    kept = {item.path for item in registry(deployed).list_artifacts(version.run_id)}
    assert {"gate_report.json", "gate.png", "confusion_matrix.png", "raw_rows.json"} <= kept


def test_flowers_are_classified_by_their_names(deployed, first):
    assert first["flowers"].returncode == 0, first["flowers"].stderr

    (run,) = runs_of(deployed, "flowers")
    raw = read_artifact(deployed, run, "raw_rows.json")
    assert raw["classes"] == ["setosa", "versicolor", "virginica"]
    assert set(raw["predictions"]) == set(raw["classes"])
    assert run.data.metrics["accuracy"] > 0.8
    assert "r2" not in run.data.metrics


def test_noughts_and_ones_are_refused_with_both_choices(deployed, first):
    refused = first["bought"]

    assert refused.returncode == 1
    reason = refused.stderr.partition("PrepareData failed: ")[2].partition("\n")[0]
    assert "'bought'" in reason
    assert "Task=classification" in reason
    assert "Task=regression" in reason
    assert not versions_of(deployed, "bought")
    assert not runs_of(deployed, "bought")


def test_noise_is_not_registered(deployed, first):
    refused = first["noise"]

    assert refused.returncode == 4, refused.stderr
    assert "not better beyond chance" in refused.stderr
    assert not versions_of(deployed, "noise")
    (run,) = runs_of(deployed, "noise")
    assert run.info.status == "FINISHED"
    assert "not better beyond chance" in run.data.tags["gate.reason"]


@pytest.fixture(scope="module")
def staged(deployed, first, tmp_path_factory):
    """The project whose pipeline has version 1 in staging, tested, and asks a person."""
    assert first[MODEL].returncode == 0, first[MODEL].stderr
    project = Project(deployed, tmp_path_factory.mktemp("clone") / "modeldeploy")
    project.fill()
    execution = project.push("Deploy it", model_name=MODEL, model_version="latest")
    project.wait_for_approval(execution)
    return project, execution


@pytest.fixture(scope="module")
def approved(staged):
    """The project with version 1 in prod; what its approver read; what the staging test printed."""
    project, execution = staged
    tested = project.type("logs", "sagemaker-local-p-local-testing")
    message = project.type("approve", "--yes")
    project.wait_for(execution, "Succeeded")
    return project, message, tested


def test_the_staging_test_compares_labels_and_probabilities(approved):
    _, _, tested = approved

    for form in ("JSON", "CSV"):
        assert f"passed: answers raw rows as {form} as offline" in tested
    assert "probabilities" in tested


def test_the_approval_speaks_of_the_metrics_of_classes(approved):
    _, message, _ = approved

    assert f"Deploy {MODEL} version 1 to production?" in message
    assert "Brier score 0." in message
    assert "accuracy 0." in message
    assert "median" not in message
    assert "class shares" in message


# In a process of its own: loading a model changes MLflow's global state.
PREDICT = """
import json, sys
import mlflow, pandas
features = pandas.read_parquet("features.parquet").astype({"autopay": object})
model = mlflow.pyfunc.load_model(sys.argv[1]).get_raw_model()
print(json.dumps({
    "predictions": model.predict(features).tolist(),
    "classes": model.classes_.tolist(),
    "probabilities": model.predict_proba(features).tolist(),
}))
"""


@pytest.fixture(scope="module")
def offline(deployed, table, approved, tmp_path_factory):
    """What the registered model itself says of the table's rows, read here by other code."""
    text = table.drop(columns="left")
    features = pd.DataFrame(
        {
            **{name: text[name].where(text[name] != "", None) for name in text.columns},
            "usage": pd.to_numeric(text["usage"]),
            "since": pd.to_datetime(text["since"].where(text["since"] != "", None)),
            "autopay": text["autopay"].map({"true": True, "false": False, "": None}).astype(object),
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


def check_answer(answered, offline):
    assert list(answered) == ["predictions", "classes", "probabilities"]
    assert answered["classes"] == offline["classes"] == ["no", "yes"]
    assert answered["predictions"] == offline["predictions"]
    assert set(answered["predictions"]) == {"no", "yes"}
    np.testing.assert_allclose(answered["probabilities"], offline["probabilities"], rtol=1e-9)


def test_prod_answers_labels_and_probabilities_to_the_files_own_lines(
    approved, table, offline, tmp_path
):
    rows = tmp_path / "rows.csv"
    rows.write_text(table.drop(columns="left").to_csv(index=False))

    answered = approved[0].type("invoke", "local-prod", "--file", str(rows))

    check_answer(json.loads(answered), offline)


def test_prod_answers_the_same_to_the_rows_in_json(approved, table, offline):
    rows = list(csv.DictReader(io.StringIO(table.drop(columns="left").to_csv(index=False))))
    for row in rows:
        row["usage"] = float(row["usage"]) if row["usage"] else None
        row["autopay"] = {"true": True, "false": False, "": None}[row["autopay"]]
        row["plan"], row["since"] = row["plan"] or None, row["since"] or None

    answered = approved[0].type(
        "invoke", "local-prod", "--data", json.dumps({"dataframe_records": rows})
    )

    check_answer(json.loads(answered), offline)


def test_prod_serves_the_version_that_is_now_the_champion(deployed, approved):
    assert approved[0].version_served("local-prod") == "1"
    assert registry(deployed).get_registered_model(MODEL).aliases == {"champion": "1"}


@pytest.fixture(scope="module")
def inbox(deployed, approved):
    """The queue that the project's notifications come to, in place of somebody's mail."""
    sqs, sns = deployed.client("sqs"), deployed.client("sns")
    url = sqs.create_queue(QueueName="inbox")["QueueUrl"]
    attributes = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])
    (topic,) = [
        row["TopicArn"]
        for row in sns.list_topics()["Topics"]
        if row["TopicArn"].endswith(":sagemaker-local-p-local")
    ]
    sns.subscribe(
        TopicArn=topic,
        Protocol="sqs",
        Endpoint=attributes["Attributes"]["QueueArn"],
        Attributes={"RawMessageDelivery": "true"},
    )
    return sqs, url


@pytest.fixture(scope="module")
def pushed(deployed, inbox, tables, tmp_path_factory):
    """A push after which CI trains on the champion's own table, and badly."""
    project = Project(deployed, tmp_path_factory.mktemp("clone") / "modelbuild", BUILD_PIPELINE)
    project.fill()
    forest = "model_build/steps/train_evaluate_register/estimators/random_forest.py"
    for path, old, new in (
        ("model_build/parameters.py", '"sklearn:diabetes"', f'"{tables["left"]["InputDataUri"]}"'),
        ("model_build/parameters.py", 'default="target"', 'default="left"'),
        ("model_build/parameters.py", '"sklearn-random-forest"', f'"{MODEL}"'),
        (forest, "default=3,", f"default={COARSE},"),
    ):
        file = project.folder / path
        assert file.read_text().count(old) == 1, f"{old} in {path}"
        file.write_text(file.read_text().replace(old, new))
    return project, project.push("Learn from fewer leaves")


@pytest.fixture(scope="module")
def later(deployed, pushed, tables):
    """Runs of models that would follow the champion."""
    of_model = {"RegisteredModelName": MODEL, "NEstimators": 50}
    return run_pipelines(
        deployed,
        {
            "worse": {**tables["left"], **of_model, "MinSamplesLeaf": COARSE},
            "other-columns": {**tables["without"], **of_model},
            "other-columns-allowed": {
                **tables["without"],
                **of_model,
                "ChampionIncomparable": "allow",
            },
        },
    )


def test_a_model_worse_than_the_champion_is_not_registered(deployed, later):
    refused = later["worse"]

    assert refused.returncode == 4, refused.stderr
    told = refused.stderr.partition("not registered: the quality gate was not met: ")[2]
    check_worse(told.partition("\n")[0])
    (run,) = runs_of(deployed, "worse")
    assert run.info.status == "FINISHED"
    assert run.data.tags["gate.verdict"] == "failed"
    check_worse(run.data.tags["gate.reason"])
    report = read_artifact(deployed, run, "gate_report.json")
    assert report["verdict"] == "failed"
    assert report["champion"]["state"] == "compared"
    assert report["champion"]["version"] == "1"
    assert "not better" not in report["reason"], "it is the champion that stopped it"
    assert run.info.run_id not in {row.run_id for row in versions_of(deployed, MODEL).values()}


def test_a_push_that_trains_a_worse_model_tells_everybody_why(deployed, pushed, inbox):
    project, execution = pushed
    project.wait_for(execution, "Failed")

    shown = deployed.run("mlops", "pipeline", "build", "--once")
    assert shown.returncode == 1
    check_worse(shown.stdout)
    assert "quality gate" in shown.stdout
    sqs, url = inbox
    mails = []
    for _ in until(20):
        answer = sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10)
        mails += [message["Body"] for message in answer.get("Messages", [])]
        if any("quality gate" in mail for mail in mails):
            break
    (mail,) = [mail for mail in mails if "quality gate" in mail]
    check_worse(mail)
    assert "http" in mail, "where the run is"


def check_worse(told):
    assert "worse" in told, told
    assert "champion" in told, told


def test_a_champion_with_other_columns_stops_the_model_unless_that_is_allowed(deployed, later):
    refused, allowed = later["other-columns"], later["other-columns-allowed"]

    assert refused.returncode == 4, refused.stderr
    told = refused.stderr.partition("not registered: ")[2].partition("\n")[0]
    assert "champion, version 1" in told
    assert "autopay" in told
    assert "ChampionIncomparable=allow" in told
    assert allowed.returncode == 0, allowed.stderr
    assert f"registered {MODEL} version 2" in allowed.stdout
    assert "champion v1 not compared" in allowed.stdout
    assert set(versions_of(deployed, MODEL)) == {"1", "2"}
    assert registry(deployed).get_registered_model(MODEL).aliases == {"champion": "1"}


def registry(terminal):
    uri = terminal.environment["MLFLOW_TRACKING_URI"]
    return MlflowClient(uri, uri)


def read_artifact(terminal, run, name):
    """The JSON that the run keeps under this name."""
    with tempfile.TemporaryDirectory() as folder:
        path = registry(terminal).download_artifacts(run.info.run_id, name, folder)
        return json.loads(Path(path).read_text())
