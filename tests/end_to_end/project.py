"""The project's modeldeploy pipeline, as a person with git, `aws` and `local-aws` meets it."""

from __future__ import annotations

import json
import subprocess
import time
import warnings

import boto3
from mlflow import MlflowClient

MODEL = "sklearn-random-forest"
PIPELINE = "sagemaker-local-p-local-modeldeploy"


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
        for _ in until(30):
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
        for _ in until(seconds):
            if self.status(execution) in statuses:
                return self.actions(execution)
        raise AssertionError(f"{self.status(execution)}: {self.actions(execution)}")

    def wait_for_approval(self, execution):
        for _ in until(150):
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


def until(seconds):
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        yield
        time.sleep(0.3)
