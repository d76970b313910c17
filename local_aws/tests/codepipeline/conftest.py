"""A gateway with CodePipeline and what its actions use, and short ways to make pipelines."""

from __future__ import annotations

import contextlib
import io
import json
import time
import uuid
import zipfile
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pytest
from pushed import push_commit
from serving_image import put_image

from local_aws.cloudformation.service import CloudFormation
from local_aws.codebuild.service import Builds
from local_aws.codecommit.service import Repositories
from local_aws.codepipeline.service import CodePipelines
from local_aws.containers.images import Images
from local_aws.event_bus import Event, EventBus
from local_aws.gateway import Gateway
from local_aws.sagemaker.endpoints.service import Endpoints
from local_aws.sagemaker.pipelines.service import PipelineExecutions

# An approval's minute, so that five of them pass in a test.
MINUTE_SECONDS = 0.1
TEMPLATE = """
Parameters:
  Role: {Type: String}
  Color: {Type: String, Default: red}
Resources:
  Model:
    Type: AWS::SageMaker::Model
    Properties:
      ExecutionRoleArn: !Ref Role
      PrimaryContainer:
        Image: IMAGE
        ModelDataUrl: ARCHIVE
        Environment: {COLOR: !Ref Color}
Outputs:
  ModelName: {Value: !GetAtt Model.ModelName}
  Color: {Value: !Ref Color}
"""


class Account:
    """A gateway with roles, a versioned source bucket and an artifact store."""

    def __init__(self, gateway: Gateway, bus: EventBus) -> None:
        own = gateway.own
        self.gateway = gateway
        self.bus = bus
        self.codepipeline = own.client("codepipeline")
        self.cloudformation = own.client("cloudformation")
        self.s3 = own.client("s3")
        self.events: list[Mapping[str, Any]] = []
        bus.subscribe(self._note)
        self.role_arn = self.create_role("codepipeline.amazonaws.com")
        self.stack_role_arn = self.create_role("cloudformation.amazonaws.com")
        self.model_role_arn = self.create_role("sagemaker.amazonaws.com")
        self.store = f"store-{uuid.uuid4().hex[:12]}"
        self.source = f"source-{uuid.uuid4().hex[:12]}"
        for bucket in (self.store, self.source):
            self.s3.create_bucket(Bucket=bucket)
        self.s3.put_object(Bucket=self.source, Key="model.tar.gz", Body=b"model")
        # Nothing is served here: a stack's models only have to be made.
        self.image_uri = put_image(gateway.own, f"image-{uuid.uuid4().hex[:12]}", command=["true"])

    def _note(self, event: Event) -> None:
        self.events.append(event.document)

    def create_role(self, principal: str) -> str:
        statement = {
            "Effect": "Allow",
            "Principal": {"Service": principal},
            "Action": "sts:AssumeRole",
        }
        role = self.gateway.own.client("iam").create_role(
            RoleName=f"role-{uuid.uuid4().hex[:12]}",
            AssumeRolePolicyDocument=json.dumps(
                {"Version": "2012-10-17", "Statement": [statement]}
            ),
        )
        return str(role["Role"]["Arn"])

    def put_source(self, **files: str) -> str:
        """Name of a new repository with these files (`__` in a name is a dot)."""
        repository = f"source-{uuid.uuid4().hex[:12]}"
        self.put_revision(repository, **files)
        return repository

    def put_revision(self, repository: str, **files: str) -> str:
        """Id of a commit with these files."""
        named = {name.replace("__", "."): text for name, text in files.items()}
        return self.commit(repository, named)

    def commit(self, repository: str, files: Mapping[str, str], branch: str = "main") -> str:
        """Id of a new commit in a CodeCommit repository, which is made if it isn't there."""
        codecommit = self.gateway.own.client("codecommit")
        with contextlib.suppress(codecommit.exceptions.RepositoryNameExistsException):
            codecommit.create_repository(repositoryName=repository)
        contents = {path: text.encode() for path, text in files.items()}
        credentials = self.gateway.own.credentials_environment(None)
        url = f"{self.gateway.url}/v1/repos/{repository}"
        return push_commit(url, contents, branch, **credentials)

    def read_artifact(self, artifact: Mapping[str, Any]) -> zipfile.ZipFile:
        """The zip that ListActionExecutions shows."""
        place = artifact["s3location"]
        body = self.s3.get_object(Bucket=place["bucket"], Key=place["key"])["Body"].read()
        return zipfile.ZipFile(io.BytesIO(body))

    def template(self) -> str:
        return TEMPLATE.replace("IMAGE", self.image_uri).replace(
            "ARCHIVE", f"s3://{self.source}/model.tar.gz"
        )

    def declaration(self, *stages: dict[str, Any], **members: Any) -> dict[str, Any]:
        """A declaration with a fresh name, of type V2."""
        return {
            "name": f"pipeline-{uuid.uuid4().hex[:12]}",
            "roleArn": self.role_arn,
            "artifactStore": {"type": "S3", "location": self.store},
            "stages": list(stages),
            "pipelineType": "V2",
            **members,
        }

    def create(self, *stages: dict[str, Any], **members: Any) -> PipelineUnderTest:
        declaration = self.declaration(*stages, **members)
        self.codepipeline.create_pipeline(pipeline=declaration)
        return PipelineUnderTest(self, declaration)

    def source_stage(self, repository: str | None = None, **members: Any) -> dict[str, Any]:
        """A stage that takes the repository's main, as the artifact `Code`."""
        configuration = {
            "RepositoryName": repository or self.put_source(readme__md="hello"),
            "BranchName": "main",
            "PollForSourceChanges": "false",
        }
        fetch = action("Fetch", "Source/CodeCommit", configuration, outputs=["Code"], **members)
        return stage("Source", fetch)

    def deploy(self, name: str, stack_name: str, **configuration: str) -> dict[str, Any]:
        """A CloudFormation action on the artifact `Code`."""
        given = {
            "ActionMode": "CREATE_UPDATE",
            "StackName": stack_name,
            "TemplatePath": "Code::stack.yml",
            "RoleArn": self.stack_role_arn,
            **configuration,
        }
        return action(name, "Deploy/CloudFormation", given, inputs=["Code"])


class PipelineUnderTest:
    """A pipeline that exists; its first execution is that of its creation."""

    def __init__(self, account: Account, declaration: dict[str, Any]) -> None:
        self.account = account
        self.client = account.codepipeline
        self.declaration = declaration
        self.name: str = declaration["name"]

    def executions(self) -> list[dict[str, Any]]:
        """Summaries, the oldest first."""
        answer = self.client.list_pipeline_executions(pipelineName=self.name)
        return list(reversed(answer["pipelineExecutionSummaries"]))

    def first(self) -> str:
        return str(self.executions()[0]["pipelineExecutionId"])

    def start(self, **members: Any) -> str:
        answer = self.client.start_pipeline_execution(name=self.name, **members)
        return str(answer["pipelineExecutionId"])

    def execution(self, execution_id: str) -> dict[str, Any]:
        return self.client.get_pipeline_execution(  # type: ignore[no-any-return]
            pipelineName=self.name, pipelineExecutionId=execution_id
        )["pipelineExecution"]

    def status(self, execution_id: str) -> str:
        return str(self.execution(execution_id)["status"])

    def ended(self, execution_id: str) -> str:
        """The status once nothing goes on."""

        def over() -> str | None:
            status = self.status(execution_id)
            return None if status in ("InProgress", "Stopping") else status

        return str(eventually(over))

    def stage(self, name: str) -> dict[str, Any]:
        states = self.client.get_pipeline_state(name=self.name)["stageStates"]
        return next(state for state in states if state["stageName"] == name)

    def action(self, stage_name: str, name: str) -> dict[str, Any]:
        states = self.stage(stage_name)["actionStates"]
        return next(state for state in states if state["actionName"] == name)

    def latest(self, stage_name: str, name: str) -> dict[str, Any]:
        return self.action(stage_name, name).get("latestExecution", {})  # type: ignore[no-any-return]

    def runs(self, execution_id: str) -> list[dict[str, Any]]:
        """Action executions, the oldest first."""
        answer = self.client.list_action_executions(
            pipelineName=self.name, filter={"pipelineExecutionId": execution_id}
        )
        return list(reversed(answer["actionExecutionDetails"]))

    def asked(self, stage_name: str, name: str, execution_id: str | None = None) -> str:
        """The token of an approval that waits, of this execution."""

        def token() -> str | None:
            inside = self.stage(stage_name).get("latestExecution", {}).get("pipelineExecutionId")
            if execution_id not in (None, inside):
                return None
            return self.latest(stage_name, name).get("token")

        return str(eventually(token))

    def answer(
        self, stage_name: str, name: str, token: str, status: str = "Approved", summary: str = ""
    ) -> None:
        self.client.put_approval_result(
            pipelineName=self.name,
            stageName=stage_name,
            actionName=name,
            token=token,
            result={"status": status, "summary": summary},
        )

    def approve(self, stage_name: str, name: str, execution_id: str | None = None) -> None:
        self.answer(stage_name, name, self.asked(stage_name, name, execution_id))

    def reject(self, stage_name: str, name: str, execution_id: str | None = None) -> None:
        token = self.asked(stage_name, name, execution_id)
        self.answer(stage_name, name, token, "Rejected", "not this one")

    def waits_before(self, stage_name: str, execution_id: str) -> None:
        eventually(
            lambda: (
                self.stage(stage_name).get("inboundExecution", {}).get("pipelineExecutionId")
                == execution_id
            )
        )

    def states(self, what: str, execution_id: str) -> list[str]:
        """The states that events told of: of the Pipeline, of stages, of actions."""
        kind = f"CodePipeline {what} Execution State Change"
        told = []
        for event in list(self.account.events):
            detail = event["detail"]
            if event["detail-type"] == kind and detail["execution-id"] == execution_id:
                where = detail.get("action") or detail.get("stage")
                told.append(f"{where} {detail['state']}" if where else str(detail["state"]))
        return told


def stage(name: str, *actions: dict[str, Any], **members: Any) -> dict[str, Any]:
    return {"name": name, "actions": list(actions), **members}


def action(
    name: str,
    kind: str,
    configuration: Mapping[str, str] | None = None,
    *,
    inputs: list[str] | None = None,
    outputs: list[str] | None = None,
    **members: Any,
) -> dict[str, Any]:
    category, provider = kind.split("/")
    return {
        "name": name,
        "actionTypeId": {
            "category": category,
            "owner": "AWS",
            "provider": provider,
            "version": "1",
        },
        "configuration": dict(configuration or {}),
        "inputArtifacts": [{"name": artifact} for artifact in inputs or []],
        "outputArtifacts": [{"name": artifact} for artifact in outputs or []],
        **members,
    }


def eventually(attempt: Callable[[], Any], seconds: float = 60.0) -> Any:
    """The first true value of `attempt`."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        value = attempt()
        if value:
            return value
        time.sleep(0.03)
    raise AssertionError(f"nothing within {seconds} s")


class Declare:
    """`stage`, `action` and `eventually` for test modules, which can't import each other."""

    stage = staticmethod(stage)
    action = staticmethod(action)
    eventually = staticmethod(eventually)

    @staticmethod
    def approval(name: str = "Approve", **members: Any) -> dict[str, Any]:
        return action(name, "Approval/Manual", **members)


@pytest.fixture(scope="session")
def declare() -> type[Declare]:
    return Declare


# Not for the session: another module's mock_aws() empties moto, which is one for the process.
@pytest.fixture(scope="module")
def account(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Account]:
    """CodePipeline and what its actions use. Shared: names are unique."""
    buses: list[EventBus] = []

    def services(own: Any) -> list[Any]:
        buses.append(EventBus(own))
        return [
            Endpoints(own, Images(own)),
            PipelineExecutions(own),  # it answers AddTags, for all of SageMaker
            CloudFormation(own),
            Repositories(own, buses[0]),
            Builds(own, buses[0]),
            CodePipelines(own, buses[0], minute_seconds=MINUTE_SECONDS),
        ]

    gateway = Gateway(tmp_path_factory.mktemp("code-pipelines"), services).start()
    yield Account(gateway, buses[0])
    gateway.close()
