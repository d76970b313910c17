"""The project's pipelines, as a person with git, `aws` and `mlops` meets them."""

from __future__ import annotations

import json
import subprocess
import sys
import time
import warnings
from concurrent.futures import ThreadPoolExecutor

import boto3
from mlflow import MlflowClient

from mlops.seed_repositories import write_folder
from mlops.units import list_files
from tests.end_to_end.shell import BIN_DIR, PROJECT_DIR

MODEL = "sklearn-random-forest"
PIPELINE = "sagemaker-local-p-local-modeldeploy"
BUILD_PIPELINE = "sagemaker-local-p-local-modelbuild"


# As AWS documents it for CodeCommit; the flag because the host here isn't Amazon's.
_HELPER = (
    f"!{BIN_DIR / 'aws'} codecommit --region us-east-1 credential-helper --ignore-host-check $@"
)
_CREDENTIAL_HELPER = ("-c", f"credential.helper={_HELPER}", "-c", "credential.UseHttpPath=true")


class Project:
    """What a person with git, `aws` and `mlops` does and sees: a clone of one unit's
    repository, which is called as its pipeline is.
    """

    def __init__(self, terminal, folder, pipeline=PIPELINE):
        self.terminal = terminal
        self.codepipeline = self.client("codepipeline")
        self.folder = folder
        self.pipeline = pipeline
        url = self.client("codecommit").get_repository(repositoryName=pipeline)
        self._git("clone", url["repositoryMetadata"]["cloneUrlHttp"], folder, cwd=folder.parent)
        self._git("config", "user.name", "A Person")
        self._git("config", "user.email", "person@example.com")

    def fill(self):
        """The unit's files as this tree has them, as the repository's first push brings them."""
        self._git("rm", "-r", "--quiet", "--ignore-unmatch", ".")
        write_folder(list_files(self.pipeline.rpartition("-")[2]), self.folder)

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
            ["git", *_CREDENTIAL_HELPER, *arguments],
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
        self._git("add", "--all")
        self._git("commit", "--allow-empty", "--message", message)
        self._git("push", "origin", "HEAD:main")
        commit = self._git("rev-parse", "HEAD")
        for _ in until(30):
            answer = self.codepipeline.list_pipeline_executions(pipelineName=self.pipeline)
            for execution in answer["pipelineExecutionSummaries"]:
                if commit in [row["revisionId"] for row in execution.get("sourceRevisions", [])]:
                    return execution["pipelineExecutionId"]
        raise AssertionError(f"nothing started for {commit}")

    def status(self, execution):
        answer = self.codepipeline.get_pipeline_execution(
            pipelineName=self.pipeline, pipelineExecutionId=execution
        )
        return answer["pipelineExecution"]["status"]

    def actions(self, execution):
        """Action -> its last details."""
        answer = self.codepipeline.list_action_executions(
            pipelineName=self.pipeline, filter={"pipelineExecutionId": execution}
        )
        details = answer["actionExecutionDetails"]
        return {row["actionName"]: row for row in reversed(details)}

    def wait_for(self, execution, *statuses, seconds=150):
        for _ in until(seconds):
            if self.status(execution) in statuses:
                return self.actions(execution)
        raise AssertionError(f"{self.status(execution)}: {self.actions(execution)}")

    def wait_for_approval(self, execution):
        for _ in until(150):
            state = self.codepipeline.get_pipeline_state(name=self.pipeline)
            for stage in state["stageStates"]:
                holder = stage.get("latestExecution", {}).get("pipelineExecutionId")
                for action in stage["actionStates"]:
                    if holder == execution and "token" in action.get("latestExecution", {}):
                        return
            assert self.status(execution) == "InProgress", self.actions(execution)
        raise AssertionError(self.actions(execution))

    def type(self, *words):
        """`mlops` with these words; its output."""
        answer = self.terminal.run("mlops", *words)
        assert answer.returncode == 0, answer.stderr
        heading, _, told = answer.stderr.partition("\n")
        assert heading.startswith("AWS: local ")
        return answer.stdout + told

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


def run_pipelines(terminal, runs, folder=PROJECT_DIR):
    """Name -> how `run-pipeline` ended with these parameters, two at a time.

    Each has a pipeline, an experiment and a model of its own, unless it names another. `folder` is
    where the command is typed: a clone's has the clone's code.
    """

    def run(name, parameters):
        own = {"ExperimentName": name, "RegisteredModelName": name, **parameters}
        return subprocess.run(
            [
                *(sys.executable, "-m", "model_build.run_pipeline"),
                *("--kwargs", json.dumps({"pipeline_name": name, "base_job_prefix": name})),
                *("--parameters", *(f"{key}={value}" for key, value in own.items())),
            ],
            cwd=folder,
            env=dict(terminal.environment),
            capture_output=True,
            text=True,
            timeout=240,
        )

    with ThreadPoolExecutor(2) as aside:
        ended = {name: aside.submit(run, name, parameters) for name, parameters in runs.items()}
    return {name: run.result() for name, run in ended.items()}


def runs_of(terminal, experiment):
    """The runs of an experiment, the newest first; none if there is no such experiment."""
    uri = terminal.environment["MLFLOW_TRACKING_URI"]
    client = MlflowClient(uri, uri)
    found = client.get_experiment_by_name(experiment)
    return client.search_runs([found.experiment_id]) if found else []


def versions_of(terminal, model):
    """The model's versions by their numbers."""
    uri = terminal.environment["MLFLOW_TRACKING_URI"]
    found = MlflowClient(uri, uri).search_model_versions(f"name='{model}'")
    return {str(version.version): version for version in found}


def until(seconds):
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        yield
        time.sleep(0.3)
