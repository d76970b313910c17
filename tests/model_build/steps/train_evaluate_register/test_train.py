"""TrainEvaluateRegister with a real MLflow: what it leaves there, and what it says if it fails."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import estimators
import metrics
import mlflow
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
import train
from model import pin_packages
from training_data import read_training_data

from tests.model_build.steps.tables import SOURCE
from tests.model_build.steps.train_evaluate_register.jobs import ARN, Job
from tests.model_build.steps.train_evaluate_register.recipes import SHIPPED, make_recipe


def test_good_model_is_logged_and_registered(
    job: Job, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert train.main(job.arguments()) == 0
    assert os.environ["MLFLOW_DISABLE_TELEMETRY"] == "true"
    run = job.run
    assert run.info.status == "FINISHED"
    (version,) = job.versions
    origin = {
        "sagemaker.pipeline_execution_arn": ARN,
        "sagemaker.training_job_name": "pipelines-abc-Train",
        "source.commit": "0123abc",
        "data.uri": SOURCE,
    }
    description = json.loads((job.data / "dataset.json").read_text(encoding="utf-8"))
    origin["data.digest"] = description["digest"]
    assert description["warnings"]
    assert run.data.tags["data.warnings"].splitlines() == description["warnings"]
    assert origin.items() <= run.data.tags.items()
    assert origin.items() <= version.tags.items()
    names = {metric.name for metric in metrics.METRICS["regression"]}
    assert set(run.data.metrics) == {*names, "baseline_rmse", "baseline_rmse_middle"}
    assert run.data.metrics["rmse"] < run.data.metrics["baseline_rmse"]
    assert find_in_log(capsys.readouterr().out) == {
        name: pytest.approx(run.data.metrics[name]) for name in names
    }
    assert run.data.tags["gate.verdict"] == "passed"
    assert "gate.reason" not in run.data.tags
    assert version.tags["gate.metric"] == "rmse"
    assert float(version.tags["gate.value"]) == pytest.approx(run.data.metrics["rmse"])
    assert version.tags["gate.summary"] == run.data.tags["gate.summary"]
    assert len(version.tags["gate.summary"]) <= 200
    of_the_estimator = {"n_estimators": "10"}
    assert of_the_estimator.items() <= run.data.params.items()
    assert {
        name: value
        for name, value in run.data.params.items()
        if name not in ("n_estimators", "min_samples_leaf", "max_rows_per_tree")
    } == {
        "estimator": "random-forest",
        "random_seed": "42",
        "task": "regression",
        "test_size": "0.25",
        "split_by": "row",
        "target": "price",
        "feature_count": "6",
        "train_rows": str(description["train_rows"]),
        "test_rows": str(description["test_rows"]),
    }
    for item in run.inputs.dataset_inputs:
        assert item.dataset.name == "houses"
        assert SOURCE in item.dataset.source
    assert {tag.value for item in run.inputs.dataset_inputs for tag in item.tags} == {
        "training",
        "testing",
    }
    artifacts = {item.path for item in job.client.list_artifacts(run.info.run_id)}
    assert artifacts == {
        "predicted_actual.png",
        "residuals.png",
        "size_curve.png",
        "feature_importances.png",
        "raw_rows.json",
        "data_report.json",
        "data_report.html",
        "gate_report.json",
        "gate.png",
    }
    report = mlflow.artifacts.load_dict(f"{run.info.artifact_uri}/gate_report.json")
    assert report["verdict"] == "passed"
    assert report["summary"] == run.data.tags["gate.summary"]
    assert not job.failure_file.exists()

    folder = Path(
        mlflow.artifacts.download_artifacts(
            f"models:/{job.name}/{version.version}", dst_path=str(tmp_path / "model")
        )
    )
    requirements = (folder / "requirements.txt").read_text(encoding="utf-8").splitlines()
    assert sorted(line.partition("==")[0] for line in requirements) == [
        "mlflow",
        "numpy",
        "pandas",
        "scikit-learn",
        "skops",
    ]
    assert all("==" in line for line in requirements)
    assert (folder / "input_example.json").is_file()
    assert not list(folder.glob("*.pkl"))
    model = mlflow.pyfunc.load_model(str(folder))
    inputs = model.metadata.get_input_schema().inputs
    assert {column.name: (column.type.name, column.required) for column in inputs} == {
        "size": ("double", False),
        "rooms": ("double", False),
        "city": ("string", False),
        "id": ("string", True),
        "sold": ("datetime", True),
        "garden": ("boolean", True),
    }
    assert [column.type.name for column in model.metadata.get_output_schema().inputs] == ["double"]
    assert model.metadata.metadata == {
        "table": {"version": 1, "columns": description["columns"]},
        "task": "regression",
        "reviewed_types": make_recipe().trusted_types,
        "package_of_module": {"numpy": "numpy", "sklearn": "scikit-learn"},
    }
    assert model.get_raw_model().named_steps["estimator"].n_jobs is None


@pytest.mark.parametrize("name", SHIPPED)
@pytest.mark.parametrize("kind", ["text", "boolean", "integer"])
def test_a_target_of_classes_is_classified(
    kind: str,
    name: str,
    start_job: Callable[[Path], Job],
    prepared_classes: dict[str, Path],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    job = start_job(prepared_classes[kind])
    monkeypatch.setenv("ESTIMATOR", name)
    monkeypatch.setenv("METRIC_LIMITS", "accuracy>=0.5, brier_score<=0.6")
    assert train.main(job.arguments()) == 0, job.failure
    run = job.run
    (version,) = job.versions
    names = {metric.name for metric in metrics.METRICS["classification"]}
    assert set(run.data.metrics) == {*names, "baseline_brier_score", "baseline_accuracy"}
    assert find_in_log(capsys.readouterr().out) == {
        each: pytest.approx(run.data.metrics[each]) for each in names
    }
    assert run.data.params["task"] == "classification"
    assert version.tags["gate.metric"] == "brier_score"
    artifacts = {item.path for item in job.client.list_artifacts(run.info.run_id)}
    assert artifacts == {
        "confusion_matrix.png",
        "roc_curve.png",
        "calibration.png",
        "size_curve.png",
        "feature_importances.png",
        "raw_rows.json",
        "data_report.json",
        "data_report.html",
        "gate_report.json",
        "gate.png",
    }
    classes = json.loads((job.data / "dataset.json").read_text(encoding="utf-8"))["classes"]
    assert (
        classes
        == {
            "text": ["$middle$", "high", "low"],
            "boolean": [False, True],
            "integer": [1, 3, 5],
        }[kind]
    )

    folder = Path(
        mlflow.artifacts.download_artifacts(f"models:/{job.name}/{version.version}"),
    )
    requirements = (folder / "requirements.txt").read_text(encoding="utf-8").splitlines()
    expected = pin_packages(["mlflow", *estimators.find_estimators()[name].packages])
    assert {*expected, *pin_packages(["numpy", "pandas", "scikit-learn", "skops"])} == set(
        requirements
    )
    model = mlflow.pyfunc.load_model(str(folder))
    assert model.metadata.metadata["task"] == "classification"
    assert model.metadata.metadata["classes"] == classes
    assert list(map(type, model.metadata.metadata["classes"])) == list(map(type, classes))
    assert set(model.metadata.metadata["reviewed_types"]) == set(
        model.metadata.flavors["sklearn"]["skops_trusted_types"]
    )
    (answer,) = model.metadata.get_output_schema().inputs
    assert answer.type.name == {"text": "string", "boolean": "boolean", "integer": "long"}[kind]

    raw = mlflow.artifacts.load_dict(f"{run.info.artifact_uri}/raw_rows.json")
    data = read_training_data(job.data, kind)
    rows = data.test.features.iloc[data.raw_rows["positions"]]
    assert raw["classes"] == classes
    np.testing.assert_array_equal(raw["probabilities"], model.get_raw_model().predict_proba(rows))
    most = [classes[int(np.argmax(each))] for each in raw["probabilities"]]
    assert raw["predictions"] == most == model.predict(rows).tolist()
    assert {type(value) for value in raw["predictions"]} == {type(classes[0])}


def test_parameters_of_another_estimator_are_no_concern_of_the_chosen_one(
    job: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ESTIMATOR", "hist-gradient-boosting")
    chosen = {"boosting-rounds": 7, "learning-rate": 0.3, "n-estimators": 10**9}
    assert train.main(job.arguments(**chosen)) == 0, job.failure
    assert job.run.data.params["boosting_rounds"] == "7"
    assert job.run.data.params["learning_rate"] == "0.3"
    assert "n_estimators" not in job.run.data.params
    assert "data.warnings" in job.run.data.tags


def test_what_the_estimator_cannot_do_with_the_table_is_told(job: Job, tmp_path: Path) -> None:
    """Only the forest computes in float32."""
    job.data = shutil.copytree(job.data, tmp_path / "large")
    for part in ("train", "test"):
        table = pq.read_table(job.data / f"{part}.parquet")
        large = pa.array([2.0**31 * (at % 2) + at for at in range(len(table))])
        at = table.column_names.index("rooms")
        pq.write_table(table.set_column(at, "rooms", large), job.data / f"{part}.parquet")
    assert train.main(job.arguments()) == 0, job.failure
    *_, told = job.run.data.tags["data.warnings"].splitlines()
    assert told.startswith("column 'rooms': ")


def test_raw_rows_are_those_of_the_table_with_predictions_of_the_prepared_ones(job: Job) -> None:
    assert train.main(job.arguments()) == 0
    (version,) = job.versions
    model = mlflow.pyfunc.load_model(f"models:/{job.name}/{version.version}")
    kept = mlflow.artifacts.load_dict(f"{job.run.info.artifact_uri}/raw_rows.json")
    written = json.loads((job.data / "raw_rows.json").read_text(encoding="utf-8"))
    positions = written.pop("positions")
    predictions = kept.pop("predictions")
    assert kept == written
    assert len(predictions) == len(kept["rows"]) > 30
    test = read_training_data(job.data, "price").test.features.iloc[positions]
    np.testing.assert_array_equal(model.predict(test), predictions)
    assert any(None in cells for cells in kept["rows"])


def test_gaps_of_the_input_example_are_null(job: Job, tmp_path: Path) -> None:
    job.data = shutil.copytree(job.data, tmp_path / "gappy")
    for part in ("train", "test"):
        path = job.data / f"{part}.parquet"
        table = pq.read_table(path)
        for name in ("sold", "size", "garden", "city"):
            gaps = pa.nulls(len(table), table.schema.field(name).type)
            column = table.column_names.index(name)
            keep = pa.array([row % 4 == column % 4 for row in range(len(table))])
            values = pc.if_else(keep, table.column(name), gaps)
            table = table.set_column(column, name, values)
        pq.write_table(table, path)
    train.main(job.arguments())
    (logged,) = job.run.outputs.model_outputs
    folder = mlflow.artifacts.download_artifacts(f"models:/{logged.model_id}")
    text = Path(folder, "serving_input_example.json").read_text(encoding="utf-8")
    sent = json.loads(text, parse_constant=pytest.fail)["dataframe_split"]["data"]
    assert None in [cell for row in sent for cell in row]
    assert "NaT" not in text


def test_model_above_its_limit_is_logged_but_not_registered(
    job: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("METRIC_LIMITS", "median_absolute_error<=0.001")
    assert train.main(job.arguments()) == 1
    run = job.run
    assert run.info.status == "FINISHED"
    assert job.versions == []
    assert run.data.tags["gate.verdict"] == "failed"
    reason = run.data.tags["gate.reason"]
    assert reason.startswith("median_absolute_error ")
    assert reason.endswith(" is above the limit 0.001")
    assert job.failure.startswith(f"QualityGateNotMet: {reason}; nothing was registered; ")
    assert run.info.run_id in job.failure
    artifacts = {item.path for item in job.client.list_artifacts(run.info.run_id)}
    assert {"gate_report.json", "gate.png", "raw_rows.json"} <= artifacts
    assert len(run.outputs.model_outputs) == 1


@pytest.mark.parametrize(
    ("settings", "arguments", "told"),
    [
        (
            {"ESTIMATOR": "ridge"},
            {},
            "Estimator is 'ridge'; there are random-forest, hist-gradient-boosting",
        ),
        ({}, {"n-estimators": 0}, "NEstimators is 0; give a whole number from 1 to 10000"),
        (
            {},
            {"min-samples-leaf": 1_000_001},
            "MinSamplesLeaf is 1000001; give a whole number from 1 to 1000000",
        ),
        (
            {"ESTIMATOR": "hist-gradient-boosting"},
            {"learning-rate": "nan"},
            "LearningRate is nan; give a number from 0.0001 to 1",
        ),
        ({}, {"champion-margin": 11}, "ChampionMargin is 11.0; give a number from 0 to 10"),
        ({}, {"champion-margin": "nan"}, "ChampionMargin is nan; give a number from 0 to 10"),
        (
            {"METRIC_LIMITS": "accuracy>=0.9"},
            {},
            "MetricLimits is 'accuracy>=0.9': accuracy is no metric of regression, which has rmse,",
        ),
        ({"METRIC_LIMITS": "rmse<5"}, {}, "MetricLimits is 'rmse<5': 'rmse<5' is no limit; write"),
        (
            {"CHAMPION_INCOMPARABLE": "maybe"},
            {},
            "ChampionIncomparable is 'maybe'; give refuse or allow",
        ),
        ({"SHAP": "yes"}, {}, "Shap is 'yes'; give on or off"),
        (
            {"SHAP": "on"},
            {},
            "Shap is on, and the package shap is not installed here. Add the line shap to",
        ),
        (
            {"TARGET_COLUMN": "cost"},
            {},
            "{data} was prepared for the target 'price', and TARGET_COLUMN is 'cost'",
        ),
        (
            {"ESTIMATOR": "", "METRIC_LIMITS": "", "CHAMPION_INCOMPARABLE": "", "SHAP": ""},
            {},
            "not in the environment: ESTIMATOR, METRIC_LIMITS, CHAMPION_INCOMPARABLE, SHAP; the "
            "pipeline",
        ),
    ],
)
def test_wrong_settings_are_one_sentence_and_no_run(
    job: Job,
    settings: dict[str, str],
    arguments: dict[str, object],
    told: str,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    assert train.main(job.arguments(**arguments)) == 1
    assert job.failure.startswith(told.format(data=job.data))
    assert "Traceback" not in caplog.text
    assert not job.has_run
    assert job.versions == []


def test_whatever_breaks_after_the_start_ends_the_run_as_failed(job: Job, tmp_path: Path) -> None:
    job.data = shutil.copytree(job.data, tmp_path / "beyond")
    raw = json.loads((job.data / "raw_rows.json").read_text(encoding="utf-8"))
    raw["positions"][-1] = 10**6
    (job.data / "raw_rows.json").write_text(json.dumps(raw), encoding="utf-8")
    assert train.main(job.arguments()) == 1
    assert job.run.info.status == "FAILED"
    assert job.failure.startswith("IndexError: ")
    assert job.versions == []


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("not/a/name", "MLflow's names have no / and no :"),
        # SQLite would take it, another database not; and no tag of AWS holds it.
        ("x" * 300, "it has 300 characters; MLflow holds 256"),
    ],
)
def test_a_model_name_that_nothing_can_hold_is_told_before_the_training(
    job: Job, monkeypatch: pytest.MonkeyPatch, name: str, problem: str
) -> None:
    monkeypatch.setenv("REGISTERED_MODEL_NAME", name)
    assert train.main(job.arguments()) == 1
    assert job.failure == (
        f"no model can be registered as {name!r}: {problem}. Check RegisteredModelName"
    )
    experiment = job.client.get_experiment_by_name(job.name)
    assert experiment is not None
    assert job.client.search_runs([experiment.experiment_id]) == []


def test_all_missing_settings_are_named(job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("EXPERIMENT_NAME")
    monkeypatch.delenv("TARGET_COLUMN")
    assert train.main(job.arguments()) == 1
    assert job.failure == (
        "not in the environment: EXPERIMENT_NAME, TARGET_COLUMN; the pipeline sets them"
    )
    # The folder is there now, as it is in the job; of a long cause SageMaker keeps 1024 characters.
    monkeypatch.setenv("EXPERIMENT_NAME", job.name)
    monkeypatch.setenv("TARGET_COLUMN", "target")
    monkeypatch.setenv("ESTIMATOR", "é" * 2000)
    assert train.main(job.arguments()) == 1
    assert job.failure == f"Estimator is '{'é' * 2000}"[:1024]


def test_data_that_prepare_data_did_not_write_is_refused(job: Job, tmp_path: Path) -> None:
    job.data = tmp_path / "empty"
    assert train.main(job.arguments()) == 1
    assert "does not hold the files that PrepareData writes" in job.failure


def test_unreachable_mlflow_fails_within_seconds_and_is_named(
    job: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        uri = f"http://127.0.0.1:{free.getsockname()[1]}"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    started = time.monotonic()
    assert train.main(job.arguments()) == 1
    assert time.monotonic() - started < 8
    assert job.failure.startswith(f"MLflow at {uri} can't be reached or refuses: ")
    assert "Check MLflowTrackingURI" in job.failure
    assert "MLFLOW_HTTP_REQUEST_MAX_RETRIES" not in os.environ


def test_a_login_that_cannot_be_had_fails_the_job_at_once(
    job: Job, stub_server: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    arn = "arn:aws:secretsmanager:us-east-1:123456789012:secret:mlflow-client-a1b2c3"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    monkeypatch.setenv("MLFLOW_CREDENTIALS_SECRET", arn)
    monkeypatch.setenv("AWS_ENDPOINT_URL", stub_server.url)
    stub_server.status = 400
    stub_server.body = b'{"__type": "AccessDeniedException", "message": "It is not authorized."}'
    # Before it looks for its data, which isn't there either.
    assert train.main([*job.arguments(), "--data", str(tmp_path / "none")]) == 1
    assert job.failure.startswith(
        f"MLFLOW_CREDENTIALS_SECRET: {arn} can't be read: AccessDeniedException: It is not"
    )


def test_a_login_that_mlflow_refuses_is_named_without_its_password(
    job: Job,
    stub_server: Any,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    before = mlflow.get_tracking_uri(), mlflow.get_registry_uri()
    monkeypatch.setenv("MLFLOW_TRACKING_URI", stub_server.url)
    monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", "client")
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "open-sesame")
    stub_server.status, stub_server.body = 401, b"You are not authenticated."
    assert train.main(job.arguments()) == 1
    mlflow.set_tracking_uri(before[0])
    mlflow.set_registry_uri(before[1])
    assert job.failure == (
        f"MLflow at {stub_server.url} refuses the login of 'client': no such user, or another "
        "password. Check what MLFLOW_CREDENTIALS_SECRET or MLFLOW_TRACKING_USERNAME names"
    )
    assert "open-sesame" not in caplog.text


def test_a_stopped_job_leaves_no_running_run(
    mlflow_server: str, prepared: Path, tmp_path: Path
) -> None:
    """As SageMaker stops a job: SIGTERM, then time to end. Run as the job runs it.

    Below the SDK's driver, which reads its output and ends by the same signal; and with a server,
    because only then MLflow prints a line before it says that the run has ended.
    """
    job = Job(mlflow_server, prepared, tmp_path)
    process = subprocess.Popen(
        [sys.executable, "train.py", *job.arguments(**{"n-estimators": 10_000})],
        cwd=Path(train.__file__).parent,
        env={
            **os.environ,
            **job.environment,
            "PYTHONDONTWRITEBYTECODE": "1",
            "PYTHONUNBUFFERED": "1",
        },
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    try:
        wait_for(lambda: bool(job.run.info.status == "RUNNING" and job.run.data.params))
        process.stdout.close()
        process.send_signal(signal.SIGTERM)
        assert process.stderr is not None
        errors = process.stderr.read()
        process.wait(timeout=60)
    finally:
        process.kill()
        process.wait()
    process.stderr.close()
    assert process.returncode == 1, errors
    assert job.run.info.status == "FAILED"
    assert job.failure == "the job was asked to stop (SIGTERM)"
    assert "Traceback" not in errors


def test_a_stop_that_a_finalizer_swallowed_is_raised_again() -> None:
    script = """
import os, signal, sys, time, train

class Finalized:
    def __del__(self):
        os.kill(os.getpid(), signal.SIGTERM)

train.STOP_AGAIN_SECONDS = 1
signal.signal(signal.SIGTERM, train._stop)
try:
    finalized = Finalized()
    del finalized
    time.sleep(20)
except train.StoppedError:
    sys.exit(7)
"""
    folder = Path(train.__file__).parent
    process = subprocess.run([sys.executable, "-c", script], cwd=folder, timeout=60)
    assert process.returncode == 7


def find_in_log(output: str) -> dict[str, float]:
    """What SageMaker finds there by the pipeline's expressions."""
    found = {name: re.findall(metrics.EXPRESSION.format(name=name), output) for name in metrics.ALL}
    return {name: float(value) for name, values in found.items() for value in values}


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 180
    while True:
        try:
            if condition():
                return
        except (AssertionError, ValueError):
            pass
        assert time.monotonic() < deadline
        time.sleep(0.3)
