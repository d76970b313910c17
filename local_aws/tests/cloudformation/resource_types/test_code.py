"""Repositories, build projects, pipelines in stacks."""

from __future__ import annotations

import io
import os
import subprocess
import zipfile
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError
from callers import git_logs_in


def put_zip(account: Any, bucket: str) -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("README.md", "the unit")
        archive.writestr(".gitignore", "*.log")
        archive.writestr("kept.log", "in the archive, so in the commit")
        script = zipfile.ZipInfo("bin/run.sh")
        script.external_attr = 0o755 << 16
        archive.writestr(script, "#!/bin/sh\n")
    account.client("s3").create_bucket(Bucket=bucket)
    account.client("s3").put_object(Bucket=bucket, Key="unit.zip", Body=buffer.getvalue())


def repository(**properties: Any) -> dict[str, Any]:
    return {
        "Type": "AWS::CodeCommit::Repository",
        "Properties": {"RepositoryName": {"Ref": "AWS::StackName"}, **properties},
    }


def test_a_repository_starts_with_the_archives_files(account: Any, tmp_path: Path) -> None:
    stack = account.stack(
        Outputs={
            name: {"Value": {"Fn::GetAtt": f"Code.{name}"}}
            for name in ("Arn", "CloneUrlHttp", "Name")
        }
    )
    put_zip(account, stack.name)
    location = {"Bucket": stack.name, "Key": "unit.zip"}
    stack.resources["Code"] = repository(Code={"BranchName": "trunk", "S3": location})
    assert stack.create(Tags=[{"Key": "team", "Value": "ml"}]) == "CREATE_COMPLETE", stack.reasons()

    outputs = stack.outputs()
    assert outputs["Name"] == stack.name
    clone = tmp_path / "clone"
    command = ["git", "clone", "--quiet", "--branch", "trunk", outputs["CloneUrlHttp"], str(clone)]
    credentials = account.own.credentials_environment(None)
    subprocess.run(command, check=True, env={**os.environ, **git_logs_in(), **credentials})
    files = {p.relative_to(clone).as_posix() for p in clone.rglob("*") if p.is_file()}
    assert {f for f in files if not f.startswith(".git/")} == {
        *("README.md", ".gitignore", "kept.log", "bin/run.sh"),
    }
    assert (clone / "bin/run.sh").stat().st_mode & 0o100
    commits = subprocess.run(
        ["git", "rev-list", "--count", "HEAD"], cwd=clone, check=True, capture_output=True
    ).stdout
    assert commits.strip() == b"1"
    tags = account.client("codecommit").list_tags_for_resource(resourceArn=outputs["Arn"])["tags"]
    assert tags == {"team": "ml"}


def test_an_archive_that_is_not_there_fails_the_stack_and_leaves_no_repository(
    account: Any,
) -> None:
    stack = account.stack()
    location = {"Bucket": "no-such-bucket", "Key": "unit.zip"}
    stack.resources["Code"] = repository(Code={"S3": location})

    assert stack.create() == "ROLLBACK_COMPLETE"
    assert "could not be read from s3://no-such-bucket/unit.zip" in stack.reasons()
    with pytest.raises(ClientError, match="RepositoryDoesNotExist"):
        account.client("codecommit").get_repository(repositoryName=stack.name)


def test_a_repository_is_described_anew_and_never_renamed(account: Any) -> None:
    stack = account.stack({"Code": repository(RepositoryDescription="first")})
    stack.create()
    codecommit = account.client("codecommit")

    stack.resources["Code"] = repository(RepositoryDescription="second")
    assert stack.update(Tags=[{"Key": "team", "Value": "ml"}]) == "UPDATE_COMPLETE"
    made = codecommit.get_repository(repositoryName=stack.name)["repositoryMetadata"]
    assert made["repositoryDescription"] == "second"
    assert stack.ids()["Code"] == made["repositoryId"]
    assert codecommit.list_tags_for_resource(resourceArn=made["Arn"])["tags"] == {"team": "ml"}

    stack.resources["Code"] = repository(RepositoryName=f"{stack.name}-2")
    assert stack.update() == "UPDATE_ROLLBACK_COMPLETE"
    assert "cannot update the property RepositoryName" in stack.reasons()
    assert stack.delete() == "DELETE_COMPLETE"


def project(role_arn: str, **properties: Any) -> dict[str, Any]:
    return {
        "Type": "AWS::CodeBuild::Project",
        "Properties": {
            "ServiceRole": role_arn,
            "Artifacts": {"Type": "NO_ARTIFACTS"},
            "Source": {"Type": "NO_SOURCE", "BuildSpec": "version: 0.2\nphases: {}\n"},
            "Environment": {
                "Type": "LINUX_CONTAINER",
                "ComputeType": "BUILD_GENERAL1_SMALL",
                "Image": "aws/codebuild/amazonlinux-x86_64-standard:5.0",
                "EnvironmentVariables": [
                    {"Name": "COLOR", "Value": "red"},
                    {"Name": "URI", "Type": "PARAMETER_STORE", "Value": "/uri"},
                ],
            },
            **properties,
        },
    }


def test_a_build_project_is_made_changed_in_place_and_deleted(account: Any) -> None:
    role_arn = account.create_role("codebuild.amazonaws.com")
    vpc = {"VpcId": "vpc-1", "Subnets": ["subnet-1"], "SecurityGroupIds": ["sg-1"]}
    stack = account.stack(
        {
            "Build": project(
                role_arn,
                TimeoutInMinutes="30",
                Description="first",
                VpcConfig=vpc,
                LogsConfig={
                    "CloudWatchLogs": {
                        "Status": "ENABLED",
                        "GroupName": "builds",
                        "StreamName": "build",
                    }
                },
            )
        },
        Outputs={"Arn": {"Value": {"Fn::GetAtt": "Build.Arn"}}},
    )
    assert stack.create(Tags=[{"Key": "team", "Value": "ml"}]) == "CREATE_COMPLETE", stack.reasons()
    codebuild, name = account.client("codebuild"), stack.ids()["Build"]

    def made() -> Any:
        (found,) = codebuild.batch_get_projects(names=[name])["projects"]
        return found

    before = made()
    assert before["arn"] == stack.outputs()["Arn"]
    assert (before["timeoutInMinutes"], before["description"]) == (30, "first")
    assert before["source"]["buildspec"].startswith("version: 0.2")
    variables = {v["name"]: v for v in before["environment"]["environmentVariables"]}
    assert variables["COLOR"]["value"] == "red"
    assert variables["URI"]["type"] == "PARAMETER_STORE"
    assert before["logsConfig"]["cloudWatchLogs"]["groupName"] == "builds"
    assert before["vpcConfig"]["vpcId"] == "vpc-1"
    assert before["tags"] == [{"key": "team", "value": "ml"}]

    stack.resources["Build"] = project(role_arn, Description="second")
    assert stack.update(Tags=[]) == "UPDATE_COMPLETE", stack.reasons()
    after = made()
    assert after["created"] == before["created"]
    assert (after["timeoutInMinutes"], after["description"]) == (60, "second")
    assert not after.get("vpcConfig")
    assert not after.get("tags")

    assert stack.delete() == "DELETE_COMPLETE"
    assert codebuild.batch_get_projects(names=[name])["projects"] == []


@pytest.mark.parametrize(
    ("properties", "problem"),
    [
        ({"Triggers": {"Webhook": True}}, "does not support the property Triggers"),
        ({"buildSpec": "x"}, r"extraneous key \[buildSpec\] is not permitted"),
        ({"Source": {"Type": "NO_SOURCE", "buildspec": "x"}}, r"extraneous key \[buildspec\]"),
    ],
)
def test_wrong_properties_are_named_before_anything_is_made(
    account: Any, properties: dict[str, Any], problem: str
) -> None:
    with pytest.raises(ClientError, match=problem):
        account.stack({"Build": project("role", **properties)}).create()


def stages(branch: str, *, reject: str = "") -> list[dict[str, Any]]:
    source = {"Category": "Source", "Owner": "AWS", "Provider": "CodeCommit", "Version": "1"}
    approval = {"Category": "Approval", "Owner": "AWS", "Provider": "Manual", "Version": "1"}
    configuration = {
        "RepositoryName": {"Ref": "AWS::StackName"},
        "BranchName": branch,
        "PollForSourceChanges": False,
    }
    return [
        {
            "Name": "Source",
            "Actions": [
                {
                    "Name": "Code",
                    "ActionTypeId": source,
                    "Configuration": configuration,
                    "OutputArtifacts": [{"Name": "Source"}],
                    "RunOrder": "1",
                }
            ],
        },
        {
            "Name": "Gate",
            "Actions": [
                {
                    "Name": "Approve",
                    "ActionTypeId": approval,
                    "Configuration": {"CustomData": reject or "look at it"},
                }
            ],
        },
    ]


def test_a_pipeline_is_made_changed_in_place_and_deleted(account: Any) -> None:
    role_arn = account.create_role("codepipeline.amazonaws.com")
    properties: dict[str, Any] = {
        "Name": {"Fn::Sub": "${AWS::StackName}-pipeline"},
        "PipelineType": "V2",
        "ExecutionMode": "SUPERSEDED",
        "RoleArn": role_arn,
        "ArtifactStore": {"Type": "S3", "Location": {"Ref": "Artifacts"}},
        "Stages": stages("main"),
    }
    stack = account.stack(
        {"Pipeline": {"Type": "AWS::CodePipeline::Pipeline", "Properties": properties}},
        Outputs={"Arn": {"Value": {"Fn::GetAtt": "Pipeline.Arn"}}},
    )
    stack.resources["Code"] = repository()
    stack.resources["Artifacts"] = {"Type": "AWS::S3::Bucket"}
    assert stack.create(Tags=[{"Key": "team", "Value": "ml"}]) == "CREATE_COMPLETE", stack.reasons()
    codepipeline, name = account.client("codepipeline"), f"{stack.name}-pipeline"
    assert stack.ids()["Pipeline"] == name

    answer = codepipeline.get_pipeline(name=name)
    assert answer["metadata"]["pipelineArn"] == stack.outputs()["Arn"]
    made = answer["pipeline"]
    assert made["pipelineType"] == "V2"
    action = made["stages"][0]["actions"][0]
    assert action["actionTypeId"]["provider"] == "CodeCommit"
    assert action["runOrder"] == 1
    assert action["outputArtifacts"] == [{"name": "Source"}]
    # An action's configuration is a map of its own: names stay, values are text.
    assert action["configuration"] == {
        "RepositoryName": stack.name,
        "BranchName": "main",
        "PollForSourceChanges": "false",
    }

    properties["Stages"] = stages("trunk")
    assert stack.update() == "UPDATE_COMPLETE", stack.reasons()
    changed = codepipeline.get_pipeline(name=name)["pipeline"]
    assert changed["stages"][0]["actions"][0]["configuration"]["BranchName"] == "trunk"
    assert changed["version"] == made["version"] + 1

    assert stack.delete() == "DELETE_COMPLETE", stack.reasons()
    with pytest.raises(ClientError, match="PipelineNotFound"):
        codepipeline.get_pipeline(name=name)


def test_a_pipelines_tags_follow_the_stacks(account: Any) -> None:
    stack = account.stack(
        {
            "Artifacts": {"Type": "AWS::S3::Bucket"},
            "Pipeline": {
                "Type": "AWS::CodePipeline::Pipeline",
                "Properties": {
                    "RoleArn": account.create_role("codepipeline.amazonaws.com"),
                    "ArtifactStore": {"Type": "S3", "Location": {"Ref": "Artifacts"}},
                    "Stages": stages("main"),
                },
            },
        },
        Outputs={"Arn": {"Value": {"Fn::GetAtt": "Pipeline.Arn"}}},
    )
    assert stack.create(Tags=[{"Key": "team", "Value": "ml"}]) == "CREATE_COMPLETE", stack.reasons()
    assert stack.update(Tags=[{"Key": "cost", "Value": "7"}]) == "UPDATE_COMPLETE", stack.reasons()

    arn = stack.outputs()["Arn"]
    tags = account.client("codepipeline").list_tags_for_resource(resourceArn=arn)["tags"]
    assert tags == [{"key": "cost", "value": "7"}]
