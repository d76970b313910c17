"""API answers written out, for what the project's commands make of them."""

from __future__ import annotations

from datetime import UTC, datetime

import boto3
import pytest
from botocore.stub import Stubber

START = datetime(2026, 11, 22, 21, 0, 0, tzinfo=UTC)
LATER = datetime(2026, 11, 22, 21, 1, 30, tzinfo=UTC)
PIPELINE = "sagemaker-n-i-modeldeploy"
EXECUTION = "11111111-2222-3333-4444-555555555555"
TOKEN = "66666666-7777-8888-9999-000000000000"


class StubbedAccount:
    """Takes the place of an account: each service answers what a test has queued."""

    def __init__(self) -> None:
        self.stubs: dict[str, Stubber] = {}
        self._clients: dict[str, object] = {}

    def client(self, service: str):
        if service not in self._clients:
            self._clients[service] = boto3.client(service, region_name="us-east-1")
            self.stubs[service] = Stubber(self._clients[service])
            self.stubs[service].activate()
        return self._clients[service]

    def stub(self, service: str) -> Stubber:
        self.client(service)
        return self.stubs[service]


@pytest.fixture
def account():
    return StubbedAccount()


@pytest.fixture
def answers():
    """Queues the three answers that say how an execution stands."""
    return queue_execution


def queue_execution(account, *, approval=None, status="InProgress", build_status="Succeeded"):
    """An execution whose build has `build_status`; `approval` "waits", "approved" or None."""
    stub = account.stub("codepipeline")
    stub.add_response(
        "get_pipeline_execution",
        {
            "pipelineExecution": {
                "pipelineName": PIPELINE,
                "pipelineExecutionId": EXECUTION,
                "status": status,
                "artifactRevisions": [
                    {
                        "name": "SourceArtifact",
                        "revisionId": "abcdef0123456789",
                        "revisionSummary": "Deploy version 3\n\nwhy",
                    }
                ],
                "trigger": {
                    "triggerType": "CloudWatchEvent",
                    "triggerDetail": "arn:aws:events:us-east-1:1:rule/modeldeploy-push",
                },
            }
        },
        {"pipelineName": PIPELINE, "pipelineExecutionId": EXECUTION},
    )
    stub.add_response("get_pipeline_state", pipeline_state(approval), {"name": PIPELINE})
    details = [build_detail(build_status)]
    if approval:
        details.insert(0, approval_detail("InProgress" if approval == "waits" else "Succeeded"))
    stub.add_response(
        "list_action_executions",
        {"actionExecutionDetails": details},
        {"pipelineName": PIPELINE, "filter": {"pipelineExecutionId": EXECUTION}},
    )


def queue_log(account, *lines):
    """What the build of `queue_execution` has printed last."""
    account.stub("codebuild").add_response(
        "batch_get_builds",
        {"builds": [{"logs": {"groupName": "group", "streamName": "stream"}}]},
        {"ids": ["builds:8c4e"]},
    )
    account.stub("logs").add_response(
        "get_log_events", {"events": [{"message": f"{line}\n"} for line in lines]}
    )


def pipeline_state(approval):
    waiting = {"status": "InProgress", "token": TOKEN}
    asked = {"latestExecution": waiting} if approval == "waits" else {}
    return {
        "pipelineName": PIPELINE,
        "stageStates": [
            {
                "stageName": "Build",
                "actionStates": [{"actionName": "BuildDeploymentTemplates"}],
                "latestExecution": {"pipelineExecutionId": EXECUTION, "status": "Succeeded"},
            },
            {
                "stageName": "DeployStaging",
                "actionStates": [{"actionName": "ApproveDeployment", **asked}],
                "latestExecution": {"pipelineExecutionId": EXECUTION, "status": "InProgress"},
            },
        ],
    }


def build_detail(status):
    result = {"externalExecutionId": "builds:8c4e", "externalExecutionSummary": "built"}
    if status == "Failed":
        result["errorDetails"] = {"code": "JobFailed", "message": "exit status 2"}
    return {
        "stageName": "Build",
        "actionName": "BuildDeploymentTemplates",
        "startTime": START,
        "lastUpdateTime": LATER,
        "status": status,
        "input": {"actionTypeId": action_type("Build", "CodeBuild")},
        "output": {"executionResult": result},
    }


def approval_detail(status):
    return {
        "stageName": "DeployStaging",
        "actionName": "ApproveDeployment",
        "startTime": START,
        "lastUpdateTime": LATER,
        "status": status,
        "input": {
            "actionTypeId": action_type("Approval", "Manual"),
            "configuration": {"CustomData": "#{BuildVariables.MODEL_NAME}"},
            "resolvedConfiguration": {
                "CustomData": "housing version 3, median AE 35.2",
                "ExternalEntityLink": "http://mlflow/#/models/housing",
            },
        },
    }


def action_type(category, provider):
    return {"category": category, "owner": "AWS", "provider": provider, "version": "1"}
