"""CodeBuild's operations: what they keep, list and refuse."""

from __future__ import annotations

import pytest
from botocore.exceptions import ClientError

QUICK = """
version: 0.2
phases:
  build:
    commands: ["true"]
"""


def _refused(call, **arguments) -> tuple[str, str]:
    with pytest.raises(ClientError) as caught:
        call(**arguments)
    error = caught.value.response["Error"]
    return error["Code"], error["Message"]


def test_a_project_is_kept_updated_listed_and_forgotten(account):
    client = account.codebuild
    definition = account.definition(QUICK, description="first", timeoutInMinutes=7)
    created = client.create_project(**definition)["project"]
    name = definition["name"]

    assert created["arn"].endswith(f":project/{name}")
    assert _refused(client.create_project, **definition)[0] == "ResourceAlreadyExistsException"
    client.update_project(name=name, description="second")
    (project,) = client.batch_get_projects(names=[created["arn"]])["projects"]
    assert (project["description"], project["timeoutInMinutes"]) == ("second", 7)
    assert project["source"] == definition["source"]
    assert project["created"] < project["lastModified"]
    client.delete_project(name=name)
    client.delete_project(name=name)
    assert client.batch_get_projects(names=[name])["projectsNotFound"] == [name]


@pytest.mark.parametrize("principal", ["sagemaker.amazonaws.com", None])
def test_the_service_role_must_exist_and_trust_codebuild(account, principal):
    role = account.create_role(principal) if principal else "arn:aws:iam::123456789012:role/none"
    code, message = _refused(
        account.codebuild.create_project, **account.definition(QUICK, serviceRole=role)
    )

    assert code == "InvalidInputException"
    assert message.startswith(f"CodeBuild is not authorized to perform: sts:AssumeRole on {role}: ")


@pytest.mark.parametrize(
    ("member", "value", "words"),
    [
        (
            "environment",
            {"image": "node:22"},
            "cannot run builds in the image node:22. It runs aws",
        ),
        ("environment", {"type": "WINDOWS_CONTAINER"}, "WINDOWS_CONTAINER is not supported for"),
        ("environment", {"type": "ARM_CONTAINER"}, "ARM_CONTAINER is not supported for the image"),
        ("environment", {"privilegedMode": True}, "environment: privilegedMode"),
        ("source", {"type": "GITHUB", "location": "https://g.example/r"}, "source type GITHUB"),
        ("source", {"type": "S3", "location": "bucket-alone"}, "location must be a valid S3"),
        ("source", {"type": "NO_SOURCE", "buildspec": ""}, "NO_SOURCE needs a buildspec"),
        ("badgeEnabled", True, "CreateProject: badgeEnabled"),
        ("logsConfig", {"s3Logs": {"status": "ENABLED", "location": "b/k"}}, "logsConfig.s3Logs"),
        ("artifacts", {"type": "S3"}, "location must not be null"),
        ("artifacts", {"type": "CODEPIPELINE"}, "CODEPIPELINE must be the type of both"),
    ],
)
def test_what_cannot_run_here_is_refused_by_name(account, member, value, words):
    definition = account.definition(QUICK)
    if isinstance(value, dict):
        value = {**definition.get(member, {}), **value}
    code, message = _refused(account.codebuild.create_project, **{**definition, member: value})

    assert code == "InvalidInputException"
    assert words in message


def test_overrides_that_cannot_run_here_are_refused_by_name(account):
    name = account.create_project(QUICK)
    start = account.codebuild.start_build

    assert "node:22" in _refused(start, projectName=name, imageOverride="node:22")[1]
    assert "debugSessionEnabled" in _refused(start, projectName=name, debugSessionEnabled=True)[1]


def test_a_codepipeline_project_needs_a_source_to_start(account):
    pipeline = {"type": "CODEPIPELINE"}
    name = account.create_project(files={}, source=pipeline, artifacts=pipeline)

    code, message = _refused(account.codebuild.start_build, projectName=name)

    assert code == "InvalidInputException"
    assert "needs sourceTypeOverride" in message


def test_builds_are_listed_newest_first(account):
    client = account.codebuild
    name = account.create_project(QUICK)
    first = account.start(name, sourceVersion="label")
    account.finished(first)
    second = account.start(name)
    account.finished(second)

    assert client.list_builds_for_project(projectName=name)["ids"] == [second, first]
    ascending = client.list_builds_for_project(projectName=name, sortOrder="ASCENDING")["ids"]
    assert ascending == [first, second]


def test_unknown_projects_and_builds_are_named(account):
    code, message = _refused(account.codebuild.start_build, projectName="nobody")
    assert code == "ResourceNotFoundException"
    assert message.endswith(":project/nobody")
    assert _refused(account.codebuild.stop_build, id="p:1")[1] == "Build cannot be found: p:1"
