"""The whole project: infra/project/project.yml as it is, deployed, changed and deleted."""

from __future__ import annotations

import io
import json
import time
import zipfile
from pathlib import Path
from typing import Any

import pytest

PROJECT = Path(__file__).parents[2] / "infra/project/project.yml"
NAME = "sagemaker-demo-p-test"


@pytest.fixture(scope="module")
def account(stack_account: Any) -> Any:
    """An account with what the stacks below the project's tell it: names that need not be there."""
    own = stack_account.own
    for name in ("reader", "writer"):
        allowed = {"Effect": "Allow", "Action": "sts:GetCallerIdentity", "Resource": "*"}
        own.client("iam").create_policy(
            PolicyName=name,
            PolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": [allowed]}),
        )
    values = {
        "tracking-uri": "http://127.0.0.1:1",
        "credentials-secret": "none",
        "reader-policy-arn": f"arn:aws:iam::{own.account}:policy/reader",
        "writer-policy-arn": f"arn:aws:iam::{own.account}:policy/writer",
        "key-arn": own.client("kms").create_key()["KeyMetadata"]["Arn"],
        "client-security-group-id": "sg-0123456789abcdef0",
        "images/inference": f"{own.account}.dkr.ecr.{own.region}.amazonaws.com/inference:1",
        "network/vpc-id": "vpc-0123456789abcdef0",
        "network/private-subnet-ids": "subnet-0123456789abcdef0,subnet-0123456789abcdef1",
    }
    for name, value in values.items():
        own.client("ssm").put_parameter(
            Name=f"/sagemaker-mlflow/{name}",
            Value=value,
            Type="StringList" if "," in value else "String",
        )
    return stack_account


@pytest.fixture(scope="module")
def template_url(account: Any) -> str:
    """The template in S3, beside the two seeds."""
    s3 = account.client("s3")
    s3.create_bucket(Bucket="seeds")
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("README.md", "a unit")
    for name in ("modelbuild", "modeldeploy"):
        s3.put_object(Bucket="seeds", Key=f"{name}.zip", Body=buffer.getvalue())
    s3.put_object(Bucket="seeds", Key="project.yml", Body=PROJECT.read_bytes())
    return f"{account.own.url}/seeds/project.yml"


def test_the_project_is_deployed_changed_and_deleted(account: Any, template_url: str) -> None:
    stack = account.stack()
    request = {"TemplateURL": template_url, "TemplateBody": None}
    given = {
        "SageMakerProjectName": "demo",
        "SageMakerProjectId": "p-test",
        "SeedBucket": "seeds",
        "NotificationEmail": "ml@example.com",
        "Schedule": "cron(0 3 ? * MON *)",
    }
    tags = [{"Key": "sagemaker:project-name", "Value": "demo"}]
    started = time.monotonic()
    assert stack.create(**request, Parameters=given, Tags=tags) == "CREATE_COMPLETE", (
        stack.reasons()
    )
    assert time.monotonic() - started < 20  # some 3 s where nothing else runs
    ids, outputs = stack.ids(), stack.outputs()
    assert set(stack.statuses().values()) == {"CREATE_COMPLETE"}

    pipelines = account.client("codepipeline").list_pipelines()["pipelines"]
    assert {p["name"] for p in pipelines} == {f"{NAME}-modelbuild", f"{NAME}-modeldeploy"}
    branch = account.client("codecommit").get_branch(
        repositoryName=f"{NAME}-modelbuild", branchName="main"
    )
    assert branch["branch"]["commitId"]
    bucket = outputs["ArtifactBucketName"]
    assert account.client("s3").get_bucket_versioning(Bucket=bucket)["Status"] == "Enabled"
    role = account.client("iam").get_role(RoleName=outputs["PipelineRoleArn"].rsplit("/", 1)[-1])
    assert {t["Key"]: t["Value"] for t in role["Role"]["Tags"]}["sagemaker:project-name"] == "demo"

    retention = {**given, "LogRetentionDays": "30", "Branch": "trunk"}
    assert stack.update(**request, Parameters=retention, Tags=tags) == "UPDATE_COMPLETE", (
        stack.reasons()
    )
    assert stack.ids() == ids
    pipeline = account.client("codepipeline").get_pipeline(name=f"{NAME}-modelbuild")["pipeline"]
    assert pipeline["stages"][0]["actions"][0]["configuration"]["BranchName"] == "trunk"
    groups = account.client("logs").describe_log_groups()["logGroups"]
    kept = {g["logGroupName"]: g.get("retentionInDays") for g in groups}
    assert {kept[ids[name]] for name in ids if ids[name] in kept} == {30}

    assert stack.delete() == "DELETE_COMPLETE", stack.reasons()
    assert account.client("codepipeline").list_pipelines()["pipelines"] == []
    account.client("s3").head_bucket(Bucket=bucket)  # retained: it holds what was trained


def test_behind_a_connection_pushes_start_the_pipelines_by_path(
    account: Any, template_url: str
) -> None:
    connection = account.client("codeconnections").create_connection(
        ProviderType="GitHub", ConnectionName="github"
    )["ConnectionArn"]
    stack = account.stack()
    given = {
        "SageMakerProjectName": "connected",
        "SageMakerProjectId": "p-connected",
        "ConnectionArn": connection,
        "ModelBuildRepository": "team/models",
        "ModelDeployRepository": "team/models",
    }
    status = stack.create(TemplateURL=template_url, TemplateBody=None, Parameters=given)
    assert status == "CREATE_COMPLETE", stack.reasons()

    assert "ModelBuildCloneUrl" not in stack.outputs()
    for unit in ("build", "deploy"):
        name = stack.outputs()[f"Model{unit.title()}PipelineName"]
        pipeline = account.client("codepipeline").get_pipeline(name=name)["pipeline"]
        source = pipeline["stages"][0]["actions"][0]
        assert source["actionTypeId"]["provider"] == "CodeStarSourceConnection"
        assert source["configuration"]["FullRepositoryId"] == "team/models"
        (trigger,) = pipeline["triggers"]
        assert trigger["providerType"] == "CodeStarSourceConnection"
        (push,) = trigger["gitConfiguration"]["push"]
        assert push["branches"]["includes"] == ["main"]
        assert any(f"model_{unit}" in path for path in push["filePaths"]["includes"])
    assert stack.delete() == "DELETE_COMPLETE", stack.reasons()


def test_a_project_that_cannot_be_made_leaves_nothing_behind(
    account: Any, template_url: str
) -> None:
    stack = account.stack()
    given = {
        "SageMakerProjectName": "broken",
        "SageMakerProjectId": "p-broken",
        "SeedBucket": "seeds",
        "Schedule": "cron(whenever)",
    }
    status = stack.create(TemplateURL=template_url, TemplateBody=None, Parameters=given)

    assert status == "ROLLBACK_COMPLETE"
    assert "cron(whenever)" in stack.reasons()
    made = {name: state for name, state in stack.statuses().items() if stack.ids()[name]}
    assert set(made.values()) == {"DELETE_COMPLETE"}
    left = account.client("codecommit").list_repositories()["repositories"]
    assert not [r for r in left if "broken" in r["repositoryName"]]
