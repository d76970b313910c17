"""TrainEvaluateRegister with a real MLflow: what it leaves there, and what it says if it fails."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
import train
from training_data import read_training_data

from tests.model_build.steps.jobs import ARN, Job
from tests.model_build.steps.tables import SOURCE


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
    error = run.data.metrics["median_absolute_error"]
    assert float(version.tags["median_absolute_error"]) == pytest.approx(error)
    assert f"median_absolute_error: {error:.10g}\n" in capsys.readouterr().out
    assert {
        "absolute_error_p10",
        "absolute_error_p50",
        "absolute_error_p90",
        "rmse",
        "r2",
        "baseline_median_absolute_error",
        "max_median_absolute_error",
    } <= set(run.data.metrics)
    assert run.data.params["n_estimators"] == "10"
    assert {tag.value for item in run.inputs.dataset_inputs for tag in item.tags} == {
        "training",
        "testing",
    }
    artifacts = {item.path for item in job.client.list_artifacts(run.info.run_id)}
    assert artifacts == {
        "residuals.png",
        "feature_importances.png",
        "raw_rows.json",
        "data_report.json",
        "data_report.html",
    }
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
    assert model.metadata.metadata["table"] == {"version": 1, "columns": description["columns"]}
    assert model.get_raw_model().named_steps["forest"].n_jobs is None


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
    assert train.main(job.arguments(**{"max-median-absolute-error": 1e9})) == 0
    (version,) = job.versions
    folder = mlflow.artifacts.download_artifacts(f"models:/{job.name}/{version.version}")
    text = Path(folder, "serving_input_example.json").read_text(encoding="utf-8")
    sent = json.loads(text, parse_constant=pytest.fail)["dataframe_split"]["data"]
    assert None in [cell for row in sent for cell in row]
    assert "NaT" not in text


def test_model_above_its_limit_is_logged_but_not_registered(job: Job) -> None:
    assert train.main(job.arguments(**{"max-median-absolute-error": 0.001})) == 1
    run = job.run
    assert run.info.status == "FINISHED"
    assert run.data.metrics["max_median_absolute_error"] == 0.001
    assert job.versions == []
    reason = run.data.tags["gate.reason"]
    assert "is above 0.001, the limit MaxMedianAbsoluteError" in reason
    assert job.failure.startswith(f"QualityGateNotMet: {reason}; nothing was registered; ")
    assert run.info.run_id in job.failure


def test_whatever_breaks_after_the_start_ends_the_run_as_failed(
    job: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REGISTERED_MODEL_NAME", "not/a/name")
    assert train.main(job.arguments()) == 1
    assert job.run.info.status == "FAILED"
    assert job.failure.startswith("MlflowException: ")
    assert "not/a/name" in job.failure


def test_all_missing_settings_are_named(job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("EXPERIMENT_NAME")
    monkeypatch.delenv("TARGET_COLUMN")
    assert train.main(job.arguments()) == 1
    assert job.failure == (
        "not in the environment: EXPERIMENT_NAME, TARGET_COLUMN; the pipeline sets them"
    )


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
        [sys.executable, "train.py", *job.arguments(**{"n-estimators": 100_000})],
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
