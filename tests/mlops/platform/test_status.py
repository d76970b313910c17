"""What stands, asked of moto: it has the databases, services and images that local_aws has not."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from botocore.stub import Stubber
from moto import mock_aws
from moto.moto_api._internal import moto_api_backend
from rich.console import Console

from mlops.account import Account, open_account
from mlops.display import Display
from mlops.platform.status import PARAMETER_NAMES, PartStatus, read_status, show_status

SERVER = {
    "Cluster": {"Type": "AWS::ECS::Cluster", "Properties": {"ClusterName": "mlflow"}},
    "Task": {
        "Type": "AWS::ECS::TaskDefinition",
        "Properties": {
            "Family": "mlflow",
            "ContainerDefinitions": [{"Name": "server", "Image": "server", "Memory": 512}],
        },
    },
    "Service": {
        "Type": "AWS::ECS::Service",
        "Properties": {
            "ServiceName": "mlflow",
            "Cluster": {"Ref": "Cluster"},
            "TaskDefinition": {"Ref": "Task"},
            "DesiredCount": 2,
        },
    },
    "Database": {
        "Type": "AWS::RDS::DBInstance",
        "Properties": {
            "DBInstanceIdentifier": "mlflow",
            "DBInstanceClass": "db.t4g.micro",
            "Engine": "mysql",
            "EngineVersion": "8.4.5",
            "AllocatedStorage": "20",
            "MasterUsername": "admin",
            "MasterUserPassword": "not-a-secret",
        },
    },
}


@pytest.fixture(scope="module")
def mocked() -> Iterator[Account]:
    with mock_aws():
        yield open_account("eu-west-1", None)


@pytest.fixture
def account(mocked: Account) -> Account:
    """An empty one, with clients that are there already."""
    moto_api_backend.reset()
    return mocked


def create(account: Account, name: str, resources: Any, **tags: str) -> None:
    account.client("cloudformation").create_stack(
        StackName=name,
        TemplateBody=json.dumps({"Resources": resources}),
        Tags=[{"Key": key, "Value": value} for key, value in tags.items()],
    )


def push(account: Account, repository: str, tag: str) -> str:
    ecr = account.client("ecr")
    uri = ecr.create_repository(repositoryName=repository)["repository"]["repositoryUri"]
    image = ecr.put_image(
        repositoryName=repository,
        imageManifest=json.dumps({"schemaVersion": 2}),
        imageManifestMediaType="application/vnd.oci.image.manifest.v1+json",
        imageTag=tag,
    )
    return f"{uri}@{image['image']['imageId']['imageDigest']}"


def shown(account: Account) -> str:
    out = io.StringIO()
    console = Console(file=out, width=200)
    show_status(read_status(account), Display(out=console, err=console), as_json=False)
    return out.getvalue()


def test_an_empty_account_is_told_as_one(account: Account) -> None:
    status = read_status(account)
    assert [(each.name, each.status) for each in status.stacks] == [
        ("sagemaker-mlflow-network", "absent"),
        ("sagemaker-mlflow-images", "absent"),
        ("sagemaker-mlflow-server", "absent"),
        ("sagemaker-mlflow-managed", "absent"),
    ]
    assert status.parameters == dict.fromkeys(PARAMETER_NAMES)
    assert (status.images, status.mlflow, status.problems) == ((), (), ())


def test_stacks_images_service_and_database_are_told(account: Account) -> None:
    create(account, "sagemaker-mlflow-server", SERVER)
    create(account, "sagemaker-project-housing", {"One": {"Type": "AWS::SNS::Topic"}})
    create(
        account,
        "sagemaker-housing-p-housing-deploy-prod",
        {"One": {"Type": "AWS::SNS::Topic"}},
        **{"sagemaker:project-name": "housing"},
    )
    create(account, "somebody-else", {"One": {"Type": "AWS::SNS::Topic"}})
    ssm = account.client("ssm")
    address = push(account, "sagemaker-mlflow/server", "3.17.2-4")
    gone = f"{address.rpartition('@')[0]}@sha256:{hashlib.sha256(b'gone').hexdigest()}"
    for name, value in {"images/server": address, "images/inference": gone, "mine": "x"}.items():
        ssm.put_parameter(Name=f"/sagemaker-mlflow/{name}", Value=value, Type="String")

    status = read_status(account)

    assert status.problems == ()
    assert [each.name for each in status.stacks][4:] == [
        "sagemaker-housing-p-housing-deploy-prod",
        "sagemaker-project-housing",
    ]
    assert status.parameters["/sagemaker-mlflow/images/server"] == address
    assert status.parameters["/sagemaker-mlflow/mine"] == "x"
    server, inference = status.images
    assert (server.tags, server.age_days) == (("3.17.2-4",), 0)
    assert (inference.tags, inference.age_days) == ((), None)
    assert status.mlflow == (
        PartStatus(part="service", name="mlflow", status="0 of 2 tasks run, 2 start"),
        PartStatus(part="database", name="mlflow", status="available, mysql 8.4.5, db.t4g.micro"),
    )
    text = shown(account)
    assert "sagemaker-mlflow-server                  CREATE_COMPLETE" in text
    assert "/sagemaker-mlflow/images/inference  not in ECR" in text
    assert "service   mlflow  0 of 2 tasks run" in text


def test_json_has_the_same(account: Account, capsys: pytest.CaptureFixture[str]) -> None:
    show_status(read_status(account), Display(), as_json=True)
    told = json.loads(capsys.readouterr().out)
    assert told["account"] == "123456789012"
    assert told["stacks"][0] == {
        "name": "sagemaker-mlflow-network",
        "status": "absent",
        "changed_at": "",
        "protected": False,
    }
    assert told["parameters"]["/sagemaker-mlflow/tracking-uri"] is None


def test_what_aws_does_not_answer_is_named_and_the_rest_is_told(account: Account) -> None:
    ssm = account.client("ssm")
    message = "User: you is not authorized to perform: ssm:GetParametersByPath on resource: *"
    with Stubber(ssm) as stubber:
        stubber.add_client_error("get_parameters_by_path", "AccessDeniedException", message)
        status = read_status(account)
    assert status.problems == (f"AWS does not allow you ssm:GetParametersByPath: {message}",)
    assert len(status.stacks) == 4


def test_managed_mlflow_is_told_by_its_own_status(account: Account) -> None:
    create(account, "sagemaker-mlflow-managed", {"One": {"Type": "AWS::SNS::Topic"}})
    arn = "arn:aws:sagemaker:eu-west-1:123456789012:mlflow-app/app-0A"
    cloudformation, sagemaker = account.client("cloudformation"), account.client("sagemaker")
    summary = {
        "LogicalResourceId": "App",
        "PhysicalResourceId": arn,
        "ResourceType": "AWS::SageMaker::MlflowApp",
        "ResourceStatus": "CREATE_COMPLETE",
        "LastUpdatedTimestamp": datetime.now(UTC),
    }
    stack = {
        "StackName": "sagemaker-mlflow-managed",
        "StackId": "s",
        "StackStatus": "CREATE_COMPLETE",
        "CreationTime": datetime.now(UTC),
    }
    with Stubber(cloudformation) as stacks, Stubber(sagemaker) as apps:
        stacks.add_response("describe_stacks", {"Stacks": [stack]})
        stacks.add_client_error("describe_stacks", "ValidationError", "x does not exist")
        stacks.add_response("describe_stacks", {"Stacks": [stack]})
        stacks.add_response("list_stack_resources", {"StackResourceSummaries": [summary]})
        apps.add_response(
            "describe_mlflow_app",
            {"Arn": arn, "Name": "sagemaker-mlflow", "Status": "Created", "MlflowVersion": "3.4"},
            {"Arn": arn},
        )
        status = read_status(account)
    assert status.mlflow == (
        PartStatus(part="managed MLflow", name="sagemaker-mlflow", status="Created, MLflow 3.4"),
    )
