"""Models registered by hand that are not what they seem, pushed through the project's pipeline.

Each is registered in MLflow and named in deploy.json of a clone; what happens is read where a
person reads it: the actions of the execution, the results of the test, the registry.
"""

from __future__ import annotations

import io
import json
import subprocess
import sys
import zipfile

import pytest
from mlflow import MlflowClient

from tests.end_to_end.project import Project, versions_of

pytestmark = pytest.mark.e2e

# In a process of its own: logging a model changes MLflow's global state.
REGISTER = """
import os, random, sys, tempfile, time
import mlflow, pandas as pd
from mlflow.models import infer_signature

class Differs(mlflow.pyfunc.PythonModel):
    def predict(self, context, model_input, params=None):
        import os
        served = os.path.exists("/opt/ml/model/MLmodel")
        return (model_input["x"] + (100.0 if served else 0.0)).tolist()

class Slow(mlflow.pyfunc.PythonModel):
    def predict(self, context, model_input, params=None):
        import time
        time.sleep(1.5)
        return model_input["x"].tolist()

class Flaky(mlflow.pyfunc.PythonModel):
    def load_context(self, context):
        self.asked = 0
    def predict(self, context, model_input, params=None):
        import os
        self.asked += 1
        if self.asked % 20 == 19 and os.environ.get("SAGEMAKER_BIND_TO_PORT"):
            raise ValueError("every twentieth request")
        return model_input["x"].tolist()

class NotFinite(mlflow.pyfunc.PythonModel):
    def predict(self, context, model_input, params=None):
        return [float("nan"), float("inf")][: len(model_input)]

class Chat(mlflow.pyfunc.ChatModel):
    def predict(self, context, messages, params):
        from mlflow.types.llm import ChatChoice, ChatCompletionResponse, ChatMessage
        said = messages[-1].content.upper()
        return ChatCompletionResponse(choices=[ChatChoice(index=0,
            message=ChatMessage(role="assistant", content=said), finish_reason="stop")],
            model="echo", created=0, id="1")

mlflow.set_tracking_uri(sys.argv[1])
example = pd.DataFrame({"x": [30.0, 1.5]})
pins = ["mlflow-skinny==3.17.2", "pandas==2.2.3"]
with mlflow.start_run():
    for name, model in {"differ": Differs(), "slow": Slow(), "flaky": Flaky(),
                        "not-finite": NotFinite()}.items():
        mlflow.pyfunc.log_model(name=name, python_model=model, registered_model_name=name,
            pip_requirements=pins, input_example=example,
            signature=infer_signature(example, [30.0, 1.5]))
    mlflow.pyfunc.log_model(name="chat", python_model=Chat(), registered_model_name="it's a chat",
        pip_requirements=pins)
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "model")
        mlflow.pyfunc.save_model(path, python_model=Slow(), pip_requirements=pins,
            input_example=example, signature=infer_signature(example, [30.0, 1.5]))
        os.mkdir(os.path.join(path, "code"))
        with open(os.path.join(path, "code", "evil_loader.py"), "w") as file:
            file.write("def _load_pyfunc(path):\\n    raise SystemExit('loaded')\\n")
        text = open(os.path.join(path, "MLmodel")).read()
        text = text.replace("loader_module: mlflow.pyfunc.model", "loader_module: evil_loader")
        flavor = ["sklearn:", "  pickled_model: model.skops", "  serialization_format: skops",
                  "  sklearn_version: 1.9.0"]
        text = text.replace("flavors:\\n", "\\n  ".join(["flavors:", *flavor]) + "\\n")
        text = text.replace("    code: null", "    code: code")
        open(os.path.join(path, "MLmodel"), "w").write(text)
        mlflow.log_artifacts(path, "evil")
    run = mlflow.active_run().info
client = mlflow.MlflowClient()
client.create_registered_model("evil")
client.create_model_version("evil", f"{run.artifact_uri}/evil", run.run_id)
"""


@pytest.fixture(scope="module")
def models(deployed):
    process = subprocess.run(
        [
            *(sys.executable, "-W", "ignore", "-c", REGISTER),
            deployed.environment["MLFLOW_TRACKING_URI"],
        ],
        env=dict(deployed.environment),
        capture_output=True,
        text=True,
    )
    assert process.returncode == 0, process.stderr


@pytest.fixture(scope="module")
def project(deployed, models, tmp_path_factory):
    clone = Project(deployed, tmp_path_factory.mktemp("planted") / "clone")
    clone.fill()
    return clone


def _end(project, name):
    """Push the model; its actions when the execution has ended or asks for approval."""
    execution = project.push(f"Deploy {name}", model_name=name, model_version="latest")
    return project.wait_for(execution, "Failed", "Succeeded")


def _told(project, action):
    """The log of an action's build."""
    build_id = action["output"]["executionResult"]["externalExecutionId"]
    (build,) = project.client("codebuild").batch_get_builds(ids=[build_id])["builds"]
    logs = build["logs"]
    answer = project.client("logs").get_log_events(
        logGroupName=logs["groupName"], logStreamName=logs["streamName"], startFromHead=True
    )
    return "\n".join(event["message"].rstrip() for event in answer["events"])


def _stage(project, name):
    (version,) = versions_of(project.terminal, name).values()
    return version.current_stage


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("differ", "130.0 served, 30.0 expected"),
        ("slow", "p95"),
        ("flaky", "every twentieth request"),
    ],
)
def test_an_endpoint_that_is_not_as_the_model_fails_its_test(project, name, told):
    actions = _end(project, name)
    assert actions["BuildDeploymentTemplates"]["status"] == "Succeeded"
    assert actions["DeployResourcesStaging"]["status"] == "Succeeded"
    assert actions["TestStaging"]["status"] == "Failed"
    assert "ApproveDeployment" not in actions
    assert told in _told(project, actions["TestStaging"])
    assert _stage(project, name) == "None"


@pytest.mark.parametrize(("name", "told"), [("not-finite", "finite"), ("evil", "evil_loader")])
def test_a_model_that_nobody_can_serve_ends_at_the_build(project, name, told):
    actions = _end(project, name)
    assert actions["BuildDeploymentTemplates"]["status"] == "Failed"
    assert "DeployResourcesStaging" not in actions
    assert told in _told(project, actions["BuildDeploymentTemplates"])
    assert _stage(project, name) == "None"


def test_a_chat_model_passes_and_an_archive_that_went_missing_does_not(project):
    """Its name is one that no AWS tag could hold as it is."""
    name = "it's a chat"
    execution = project.push("Deploy the chat", model_name=name, model_version="1")
    project.wait_for_approval(execution)
    actions = project.actions(execution)
    message = actions["ApproveDeployment"]["input"]["resolvedConfiguration"]["CustomData"]
    assert f"Deploy {name} version 1 to production?" in message
    config = json.loads(_artifact(project, actions, "staging-config-export.json"))
    digest = config["Tags"]["model-archive-sha256"]
    assert f"Archive {digest}" in message
    uri = project.terminal.environment["MLFLOW_TRACKING_URI"]
    client = MlflowClient(uri, uri)
    assert client.get_registered_model(name).aliases == {"challenger": "1"}

    bucket, _, key = config["Parameters"]["ModelDataLocation"][5:].partition("/")
    assert digest in key
    project.client("s3").delete_object(Bucket=bucket, Key=key)
    project.type("approve", "--comment", "looks right", "--yes")
    actions = project.wait_for(execution, "Failed")
    assert actions["CheckArchive"]["status"] == "Failed"
    assert "there is no object at" in _told(project, actions["CheckArchive"])
    assert "DeployResourcesProd" not in actions
    assert client.get_registered_model(name).aliases == {"challenger": "1"}


def _artifact(project, actions, name):
    """A file of the build's artifact."""
    (place,) = actions["BuildDeploymentTemplates"]["output"]["outputArtifacts"]
    location = place["s3location"]
    body = project.client("s3").get_object(Bucket=location["bucket"], Key=location["key"])
    with zipfile.ZipFile(io.BytesIO(body["Body"].read())) as packed:
        return packed.read(name)
