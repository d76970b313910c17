"""Faults: one clear error, its exit code, no stage changed, no process left. And what is none: a
model that isn't scikit-learn.
"""

from __future__ import annotations

import dataclasses
import json
import os
import signal
import subprocess
import sys
import time
import warnings

import psutil
import pytest
from mlflow import MlflowClient

from tests.end_to_end.project import Project
from tests.end_to_end.shell import PROJECT_DIR

pytestmark = pytest.mark.e2e

NOT_LISTENING = "http://127.0.0.1:9"


def _pipeline(name):
    """The words of run-pipeline before the parameters."""
    kwargs = f'{{"pipeline_name": "{name}", "base_job_prefix": "{name}"}}'
    return ["--kwargs", kwargs, "--parameters"]


def _registered(deployed, name):
    client = MlflowClient(deployed.environment["MLFLOW_TRACKING_URI"])
    return client.search_model_versions(f"name='{name}'")


@pytest.fixture(scope="module")
def tables(deployed):
    """URIs of tables on S3 that cannot be trained on."""
    bucket = deployed.environment["ARTIFACT_BUCKET"]
    s3 = deployed.client("s3")
    words = "a,target\n" + "\n".join(f"{row},word{row}" for row in range(100))
    odd = "a,target\n" + "\n".join(f"{'n/k' if row == 17 else row},{row}" for row in range(1, 401))
    bodies = {"empty": "", "words": words, "odd": odd}
    for name, body in bodies.items():
        s3.put_object(Bucket=bucket, Key=f"bad/{name}.csv", Body=body.encode())
    return {name: f"s3://{bucket}/bad/{name}.csv" for name in bodies}


# Several commands one after the other in one process: importing what each needs takes longer than
# the rest of it. What it writes to standard error goes to a file, as in a shell.
RUN_EACH = """
import json, os, sys, time
from model_build.run_pipeline import main
for name, words, path in json.loads(sys.argv[1]):
    with open(path, "w") as log:
        os.dup2(log.fileno(), 2)
    begun = time.monotonic()
    code = main(words)
    sys.stderr.flush()
    print(json.dumps([name, code, time.monotonic() - begun]))
"""


@dataclasses.dataclass(frozen=True)
class Ended:
    """How a run-pipeline ended."""

    returncode: int
    seconds: float
    stderr: str


@pytest.fixture(scope="module")
def runs(deployed, tables, tmp_path_factory):
    """What run-pipeline says of each table, and of an MLflow that isn't there."""
    folder = tmp_path_factory.mktemp("runs")
    cases = {
        "unknown-dataset": ["InputDataUri=sklearn:nonsense"],
        "missing-target": ["TargetColumn=nonsense"],
        "text-target": [f"InputDataUri={tables['words']}"],
        "empty-file": [f"InputDataUri={tables['empty']}"],
        "odd-value": [f"InputDataUri={tables['odd']}"],
        "mlflow-down": [f"MLflowTrackingURI={NOT_LISTENING}"],
    }
    words = [
        [name, [*_pipeline(name), *parameters, f"RegisteredModelName={name}"], str(folder / name)]
        for name, parameters in cases.items()
    ]
    process = subprocess.run(
        [sys.executable, "-c", RUN_EACH, json.dumps(words)],
        cwd=PROJECT_DIR,
        env=dict(deployed.environment),
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.returncode == 0, [path.read_text() for path in folder.iterdir()]
    ended = [json.loads(line) for line in process.stdout.splitlines()]
    return {
        name: Ended(code, seconds, (folder / name).read_text()) for name, code, seconds in ended
    }


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("unknown-dataset", "nonsense"),
        ("missing-target", "nonsense"),
        ("text-target", "word"),
        ("empty-file", "empty"),
        ("odd-value", "column 'a': 1 of 400 values are no numbers, first 'n/k' (odd.csv, row 17)"),
    ],
)
def test_bad_data_fails_the_execution_and_says_why(deployed, runs, name, told):
    process = runs[name]

    assert process.returncode == 1, process.stderr
    assert told in process.stderr
    assert "Traceback" not in process.stderr
    assert not _registered(deployed, name)


def test_gate_not_met_registers_nothing_and_says_so(deployed):
    process = deployed.run(
        "run-pipeline",
        *_pipeline("gate"),
        *("MetricLimits=median_absolute_error<=0.5", "RegisteredModelName=gate"),
    )

    assert process.returncode == 4
    assert "error: not registered: the quality gate was not met: " in process.stderr
    assert "0.5" in process.stderr
    assert not _registered(deployed, "gate")


def test_mlflow_down_fails_the_training_within_seconds(runs):
    process = runs["mlflow-down"]

    assert process.returncode == 1
    assert NOT_LISTENING in process.stderr
    assert process.seconds < 60


# In a process of its own: logging a model changes MLflow's global state.
REGISTER_MODELS = """
import sys
import mlflow

class NoSignature(mlflow.pyfunc.PythonModel):
    def predict(self, context, model_input, params=None):
        return [0.0]

class CannotLoad(mlflow.pyfunc.PythonModel):
    def __setstate__(self, state):
        import os
        if os.path.exists("/opt/ml/model/MLmodel"):
            raise RuntimeError("the weights are gone")
    def __getstate__(self):
        return {"weights": "gone"}
    def predict(self, context, model_input, params=None):
        return [0.0]

class Doubles(mlflow.pyfunc.PythonModel):
    def predict(self, context, model_input, params=None):
        return (model_input["x"] * 2).tolist()

import pandas as pd
example = pd.DataFrame({"x": [1.5]})
PINS = ["mlflow-skinny==3.17.2", "pandas==2.2.3"]
mlflow.set_tracking_uri(sys.argv[1])
with mlflow.start_run():
    mlflow.pyfunc.log_model(name="model", python_model=NoSignature(),
        registered_model_name="no-signature", pip_requirements=PINS)
    mlflow.pyfunc.log_model(name="other", python_model=CannotLoad(),
        registered_model_name="cannot-load", pip_requirements=PINS,
        input_example=example, signature=mlflow.models.infer_signature(example, [0.0]))
    mlflow.pyfunc.log_model(name="doubles", python_model=Doubles(),
        registered_model_name="doubles", pip_requirements=PINS,
        input_example=example, signature=mlflow.models.infer_signature(example, [3.0]))
"""


@pytest.fixture(scope="module")
def models(deployed):
    """Registered by hand: one without a signature, one whose loading raises where it is served, one
    that is fine.
    """
    process = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", REGISTER_MODELS, _uri(deployed)],
        env=dict(deployed.environment),
        capture_output=True,
        text=True,
    )
    assert process.returncode == 0, process.stderr


def _uri(deployed):
    return deployed.environment["MLFLOW_TRACKING_URI"]


def _build(deployed, folder, *arguments):
    return deployed.run(
        "build-deployment",
        *("--initial-instance-count", "1", "--instance-type", "ml.m5.large"),
        *("--import-staging-config", "model_deploy/staging-config.json"),
        *("--import-prod-config", "model_deploy/prod-config.json"),
        *("--export-staging-config", str(folder / "staging-config-export.json")),
        *("--export-prod-config", str(folder / "prod-config-export.json")),
        *arguments,
    )


def test_wrong_version_lists_the_ones_there_are(deployed, models, tmp_path):
    process = _build(deployed, tmp_path, "--model-name", "no-signature", "--model-version", "7")

    assert process.returncode == 2
    assert "no version 7 of 'no-signature'" in process.stderr
    assert "1" in process.stderr
    assert not list(tmp_path.iterdir())


def test_version_without_signature_is_refused_before_any_upload(deployed, models, tmp_path):
    process = _build(deployed, tmp_path, "--model-name", "no-signature", "--model-version", "1")

    assert process.returncode == 2
    assert "signature" in process.stderr
    assert "input example" in process.stderr
    assert not list(tmp_path.iterdir())
    bucket = deployed.environment["ARTIFACT_BUCKET"]
    keys = [
        entry["Key"]
        for entry in deployed.client("s3").list_objects_v2(Bucket=bucket).get("Contents", [])
    ]
    assert not [key for key in keys if "no-signature" in key]


def test_refused_archive_upload_writes_no_config(deployed, models, tmp_path):
    process = _build(
        deployed,
        tmp_path,
        *("--model-name", "cannot-load", "--model-version", "1"),
        *("--artifact-bucket", "not-our-bucket"),
    )

    assert process.returncode == 3, process.stderr
    assert "not-our-bucket" in process.stderr
    assert "Traceback" not in process.stderr
    assert not list(tmp_path.iterdir())


@pytest.fixture(scope="module")
def project(deployed, models, tmp_path_factory):
    clone = Project(deployed, tmp_path_factory.mktemp("clone") / "modeldeploy")
    clone.fill()
    return clone


def test_endpoint_whose_model_cannot_load_rolls_back_and_moves_no_stage(deployed, project):
    execution = project.push("Deploy it", model_name="cannot-load", model_version="latest")
    actions = project.wait_for(execution, "Failed")

    assert actions["DeployResourcesStaging"]["status"] == "Failed"
    assert "the weights are gone" in deployed.run("mlops", "pipeline", "deploy", "--once").stdout
    (version,) = _registered(deployed, "cannot-load")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        assert version.current_stage == "None"
    assert MlflowClient(_uri(deployed)).get_registered_model("cannot-load").aliases == {}


def test_ctrl_c_during_a_job_says_what_still_runs_and_how_to_stop_it(deployed):
    process = deployed.start(
        "run-pipeline",
        *_pipeline("interrupted"),
        *("NEstimators=10000", "RegisteredModelName=interrupted"),
    )
    sagemaker = deployed.client("sagemaker")
    (job,) = _wait_for(lambda: _running_training_jobs(sagemaker) or process.poll() is not None, 60)
    (training,) = _wait_for(_training_processes, 60)
    training.suspend()  # it is there and takes no processor from what the test waits for
    try:
        os.killpg(process.pid, signal.SIGINT)
        _, told = process.communicate(timeout=60)
    finally:
        process.kill()
        training.resume()

    assert process.returncode == 130
    assert "stop-pipeline-execution" in told
    assert "Traceback" not in told
    (execution,) = sagemaker.list_pipeline_executions(PipelineName="interrupted")[
        "PipelineExecutionSummaries"
    ]
    assert execution["PipelineExecutionArn"] in told
    assert execution["PipelineExecutionStatus"] == "Executing"
    sagemaker.stop_pipeline_execution(
        PipelineExecutionArn=execution["PipelineExecutionArn"], ClientRequestToken="x" * 32
    )
    _wait_for(lambda: _status(sagemaker, execution) == "Stopped", 60)
    assert not _running_training_jobs(sagemaker)
    assert not [p for p in psutil.process_iter(["cmdline"]) if job in str(p.info["cmdline"])]
    assert not _registered(deployed, "interrupted")


def _training_processes():
    return [
        process
        for process in psutil.process_iter(["cmdline"])
        if {"train.py", "10000"} <= set(process.info["cmdline"] or [])
    ]


def _running_training_jobs(sagemaker):
    jobs = sagemaker.list_training_jobs(StatusEquals="InProgress")["TrainingJobSummaries"]
    return [job["TrainingJobName"] for job in jobs]


def _status(sagemaker, execution):
    return sagemaker.describe_pipeline_execution(
        PipelineExecutionArn=execution["PipelineExecutionArn"]
    )["PipelineExecutionStatus"]


def _wait_for(condition, seconds):
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < deadline, f"not within {seconds} s"
        time.sleep(0.2)
    return found


def test_a_model_of_another_flavour_is_built_deployed_and_predicts(deployed, project):
    execution = project.push("Deploy it", model_name="doubles", model_version="latest")
    project.wait_for_approval(execution)

    body = json.dumps({"dataframe_split": {"columns": ["x"], "data": [[21.0]]}})
    answer = deployed.run("mlops", "invoke", "local-staging", "--data", body)
    assert json.loads(answer.stdout) == {"predictions": [42.0]}
    version = MlflowClient(_uri(deployed)).get_model_version_by_alias("doubles", "challenger")
    assert str(version.version) == "1"
    project.type("reject", "--comment", "only tried", "--yes")
    project.wait_for(execution, "Failed")
