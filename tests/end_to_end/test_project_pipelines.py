"""The project's pipelines, as infra/project.yml defines them, after the demo: version 1 is in prod.

The tests build on each other in the order in which they stand.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
import warnings

import boto3
import pytest
from mlflow import MlflowClient

from tests.end_to_end.role_policies import RolePolicies, calls_under_roles

pytestmark = [pytest.mark.e2e, pytest.mark.xdist_group("demo")]

MODEL = "sklearn-random-forest"
PIPELINE = "sagemaker-local-p-local-modeldeploy"

# A version whose predictions are not those that its training run kept; in a process of its own.
REGISTER_LIAR = """
import sys
import mlflow
import pandas as pd

class Zero(mlflow.pyfunc.PythonModel):
    def predict(self, context, model_input, params=None):
        return [0.0] * len(model_input)

mlflow.set_tracking_uri(sys.argv[1])
example = pd.DataFrame({"x": [1.5, 2.0]})
rows = {"dataframe_split": {"columns": ["x"], "data": [[1.0], [2.0]]}}
with mlflow.start_run():
    mlflow.log_dict({"inputs": rows, "predictions": [1.0, 2.0]}, "held_out_sample.json")
    mlflow.pyfunc.log_model(
        name="model", python_model=Zero(), registered_model_name="liar", input_example=example,
        pip_requirements=["mlflow==3.17.2", "pandas==2.2.3"],
        signature=mlflow.models.infer_signature(example, [0.0, 0.0]),
    )
"""


class Project:
    """What a person with git, `aws` and `local-aws` does and sees."""

    def __init__(self, terminal, folder):
        self.terminal = terminal
        self.codepipeline = self.client("codepipeline")
        self.folder = folder
        url = self.client("codecommit").get_repository(repositoryName=PIPELINE)
        self._git("clone", url["repositoryMetadata"]["cloneUrlHttp"], folder, cwd=folder.parent)
        self._git("config", "user.name", "A Person")
        self._git("config", "user.email", "person@example.com")

    def client(self, service):
        environment = self.terminal.environment
        return boto3.client(
            service,
            endpoint_url=environment["AWS_ENDPOINT_URL"],
            aws_access_key_id=environment["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=environment["AWS_SECRET_ACCESS_KEY"],
        )

    def _git(self, *arguments, cwd=None):
        answer = subprocess.run(
            ["git", *arguments],
            cwd=cwd or self.folder,
            env={**self.terminal.environment, "NO_PROXY": "127.0.0.1"},
            capture_output=True,
            text=True,
        )
        assert answer.returncode == 0, answer.stderr
        return answer.stdout.strip()

    def push(self, message, **deploy):
        """Edit deploy.json, commit, git push; the id of the execution that this started."""
        if deploy:
            path = self.folder / "model_deploy" / "deploy.json"
            path.write_text(json.dumps(deploy) + "\n")
        self._git("commit", "--all", "--allow-empty", "--message", message)
        self._git("push")
        commit = self._git("rev-parse", "HEAD")
        for _ in _until(30):
            answer = self.codepipeline.list_pipeline_executions(pipelineName=PIPELINE)
            for execution in answer["pipelineExecutionSummaries"]:
                if commit in [row["revisionId"] for row in execution.get("sourceRevisions", [])]:
                    return execution["pipelineExecutionId"]
        raise AssertionError(f"nothing started for {commit}")

    def status(self, execution):
        answer = self.codepipeline.get_pipeline_execution(
            pipelineName=PIPELINE, pipelineExecutionId=execution
        )
        return answer["pipelineExecution"]["status"]

    def actions(self, execution):
        """Action -> its last details."""
        answer = self.codepipeline.list_action_executions(
            pipelineName=PIPELINE, filter={"pipelineExecutionId": execution}
        )
        details = answer["actionExecutionDetails"]
        return {row["actionName"]: row for row in reversed(details)}

    def wait_for(self, execution, *statuses, seconds=150):
        for _ in _until(seconds):
            if self.status(execution) in statuses:
                return self.actions(execution)
        raise AssertionError(f"{self.status(execution)}: {self.actions(execution)}")

    def wait_for_approval(self, execution):
        for _ in _until(150):
            state = self.codepipeline.get_pipeline_state(name=PIPELINE)
            for stage in state["stageStates"]:
                holder = stage.get("latestExecution", {}).get("pipelineExecutionId")
                for action in stage["actionStates"]:
                    if holder == execution and "token" in action.get("latestExecution", {}):
                        return
            assert self.status(execution) == "InProgress", self.actions(execution)
        raise AssertionError(self.actions(execution))

    def type(self, *words):
        """`local-aws` with these words; its output."""
        answer = self.terminal.run("local-aws", *words, "--state-dir", self.terminal.state_dir)
        assert answer.returncode == 0, answer.stderr
        return answer.stdout + answer.stderr

    def stages(self):
        """Version -> stage and aliases, of the demo's model."""
        uri = self.terminal.environment["MLFLOW_TRACKING_URI"]
        client = MlflowClient(uri, uri)
        aliases = client.get_registered_model(MODEL).aliases
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)
            return {
                str(row.version): (
                    row.current_stage,
                    [alias for alias, version in aliases.items() if str(version) == row.version],
                )
                for row in client.search_model_versions(f"name='{MODEL}'")
            }

    def version_served(self, endpoint):
        sagemaker = self.client("sagemaker")
        arn = sagemaker.describe_endpoint(EndpointName=endpoint)["EndpointArn"]
        tags = sagemaker.list_tags(ResourceArn=arn)["Tags"]
        return {tag["Key"]: tag["Value"] for tag in tags}["mlflow:model-version"]


def _until(seconds):
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        yield
        time.sleep(0.3)


@pytest.fixture(scope="module")
def project(demo, tmp_path_factory):
    project = Project(demo, tmp_path_factory.mktemp("clone") / "modeldeploy")
    # The schedule retrains while the first test runs.
    project.type("schedule", "rate(1 minute)")
    return project


def test_a_failing_staging_test_stops_the_pipeline_before_the_approval(project):
    registered = subprocess.run(
        [
            *(sys.executable, "-W", "ignore", "-c", REGISTER_LIAR),
            project.terminal.environment["MLFLOW_TRACKING_URI"],
        ],
        env=dict(project.terminal.environment),
        capture_output=True,
        text=True,
    )
    assert registered.returncode == 0, registered.stderr

    execution = project.push("Deploy the liar", model_name="liar", model_version="latest")
    actions = project.wait_for(execution, "Failed")

    assert actions["TestStaging"]["status"] == "Failed"
    assert "ApproveDeployment" not in actions
    assert project.version_served("local-prod") == "1"
    assert project.stages()["1"] == ("Production", ["champion"])
    shown = project.type("logs", "sagemaker-local-p-local-testing")
    assert "failed: predicts held-out rows as offline" in shown


def test_the_schedule_retrains_by_itself_and_registers_a_version(project):
    for _ in _until(120):
        if "2" in project.stages():
            break
    assert project.stages()["2"] == ("None", [])

    shown = project.type("schedule")
    assert "rate(1 minute)" in shown
    project.type("schedule", "--off")
    schedules = project.client("scheduler").list_schedules()["Schedules"]
    assert not [schedule for schedule in schedules if schedule["State"] == "ENABLED"]


def test_a_rejection_leaves_prod_alone_and_says_who_and_why(project):
    waiting = project.push("Deploy version 2", model_name=MODEL, model_version="2")
    project.wait_for_approval(waiting)
    older = project.push("Say something")
    for _ in _until(60):
        if project.actions(older).get("BuildDeploymentTemplates", {}).get("status") == "Succeeded":
            break
    newer = project.push("Say something else")
    project.wait_for(older, "Superseded")
    assert project.status(waiting) == "InProgress", "what waits for approval is never superseded"

    told = project.type("reject", "--comment", "its error is too high", "--yes")
    assert f"{MODEL} version 2" in told
    approval = project.wait_for(waiting, "Failed")["ApproveDeployment"]

    assert approval["status"] == "Failed"
    assert approval["updatedBy"].startswith("arn:aws:iam::")
    assert "its error is too high" in json.dumps(approval["output"])
    assert project.version_served("local-prod") == "1"
    assert project.stages()["1"] == ("Production", ["champion"])
    assert project.stages()["2"] == ("Staging", ["challenger"])
    project.wait_for_approval(newer)  # it enters the stage that was locked


def test_an_approval_brings_version_2_to_prod_and_archives_version_1(project):
    told = project.type("approve", "--comment", "better", "--yes")
    assert "median" in told, "the approval shows the metrics"
    (execution,) = [
        row["pipelineExecutionId"]
        for row in project.codepipeline.list_pipeline_executions(pipelineName=PIPELINE)[
            "pipelineExecutionSummaries"
        ]
        if row["status"] == "InProgress"
    ]

    project.wait_for(execution, "Succeeded")

    assert project.version_served("local-prod") == "2"
    assert project.stages()["1"] == ("Archived", [])
    assert project.stages()["2"] == ("Production", ["champion"])


def test_the_roles_policies_allow_every_call_that_was_made_under_them(project):
    """local_aws enforces none; its record of calls is held against the stack's real policies."""
    policies = RolePolicies(project.client("iam"), path="/sagemaker-projects/")
    calls = calls_under_roles(project.terminal.state_dir / "api-calls.jsonl")

    denied = {call for call in calls if call.role in policies and not policies.allow(call)}

    assert len({call.role for call in calls if call.role in policies}) >= 9
    assert not denied, "\n".join(map(str, sorted(denied)))
