"""CodeBuild actions on real builds: sources, variables, artifacts, failures, stops."""

from __future__ import annotations

import json
import textwrap
import uuid
from typing import Any

import pytest


@pytest.fixture(scope="module")
def build_role(account: Any) -> str:
    return str(account.create_role("codebuild.amazonaws.com"))


@pytest.fixture
def project(account: Any, build_role: str) -> str:
    """Name of a project as templates declare them for pipelines."""
    name = f"project-{uuid.uuid4().hex[:12]}"
    account.gateway.own.client("codebuild").create_project(
        name=name,
        source={"type": "CODEPIPELINE", "buildspec": "spec.yml"},
        artifacts={"type": "CODEPIPELINE"},
        environment={
            "type": "LINUX_CONTAINER",
            "image": "aws/codebuild/amazonlinux-x86_64-standard:5.0",
            "computeType": "BUILD_GENERAL1_SMALL",
        },
        serviceRole=build_role,
    )
    return name


def source(account: Any, *commands: str) -> dict[str, Any]:
    """A source stage with a buildspec that runs these commands and keeps out.txt."""
    spec = {
        "version": 0.2,
        "env": {"exported-variables": ["VERSION"]},
        "phases": {"build": {"commands": list(commands)}},
        "artifacts": {"files": ["out.txt"]},
    }
    return account.source_stage(account.put_source(spec__yml=json.dumps(spec)))  # type: ignore[no-any-return]


def build(
    declare: Any, name: str, project: str, inputs: list[str], output: str, **configuration: str
) -> dict[str, Any]:
    given = {"ProjectName": project, **configuration}
    return declare.action(  # type: ignore[no-any-return]
        name,
        "Build/CodeBuild",
        given,
        inputs=inputs,
        outputs=[output],
        namespace=f"{name}Variables",
    )


def test_build_gets_sources_and_variables_and_gives_artifact_and_variables(
    account: Any, declare: Any, project: str
) -> None:
    command = textwrap.dedent(
        """
        if [ -n "$CODEBUILD_SRC_DIR_Built" ]; then
            cp "$CODEBUILD_SRC_DIR_Built/out.txt" out.txt
        fi
        echo "$NAME $PIPELINE_EXECUTION_ID $CODEBUILD_INITIATOR" >> out.txt
        export VERSION=7
        """
    )
    environment = json.dumps(
        [
            {"name": "NAME", "value": "first", "type": "PLAINTEXT"},
            {"name": "PIPELINE_EXECUTION_ID", "value": "#{codepipeline.PipelineExecutionId}"},
        ]
    )
    again = json.dumps([{"name": "NAME", "value": "second #{BuildVariables.VERSION}"}])
    pipeline = account.create(
        source(account, command),
        declare.stage(
            "Build",
            build(declare, "Build", project, ["Code"], "Built", EnvironmentVariables=environment),
            {
                **build(
                    declare,
                    "Again",
                    project,
                    ["Code", "Built"],
                    "Rebuilt",
                    PrimarySource="Code",
                    EnvironmentVariables=again,
                ),
                "runOrder": 2,
            },
        ),
    )
    execution_id = pipeline.first()

    assert pipeline.ended(execution_id) == "Succeeded", pipeline.stage("Build")
    run = pipeline.runs(execution_id)[-1]
    (artifact,) = run["output"]["outputArtifacts"]
    with account.read_artifact(artifact) as archive:
        lines = archive.read("out.txt").decode().splitlines()
    initiator = f"codepipeline/{pipeline.name}"
    assert lines == [f"first {execution_id} {initiator}", f"second 7  {initiator}"]
    assert run["output"]["outputVariables"] == {"VERSION": "7"}
    shown = pipeline.latest("Build", "Build")
    assert shown["externalExecutionId"].startswith(f"{project}:")
    assert project in shown["externalExecutionUrl"]


def test_failed_build_says_which_phase_and_where_its_log_is(
    account: Any, declare: Any, project: str
) -> None:
    pipeline = account.create(
        source(account, "exit 3"),
        declare.stage(
            "Build",
            build(declare, "Build", project, ["Code"], "Built"),
            declare.approval(runOrder=2),
        ),
    )

    assert pipeline.ended(pipeline.first()) == "Failed"
    message = pipeline.latest("Build", "Build")["errorDetails"]["message"]
    assert message.startswith("Build terminated with state: FAILED. Phase: BUILD, Code: ")
    assert f"Log: /aws/codebuild/{project}, stream " in message
    assert pipeline.latest("Build", "Approve") == {}


def test_unknown_project_fails_the_action(account: Any, declare: Any) -> None:
    pipeline = account.create(
        source(account, "true"),
        declare.stage("Build", build(declare, "Build", "nowhere", ["Code"], "Built")),
    )

    assert pipeline.ended(pipeline.first()) == "Failed"
    message = pipeline.latest("Build", "Build")["errorDetails"]["message"]
    assert message.startswith("Error calling startBuild: ")
    assert "nowhere" in message


def test_abandoned_execution_stops_its_build(account: Any, declare: Any, project: str) -> None:
    pipeline = account.create(
        source(account, "sleep 60"),
        declare.stage("Build", build(declare, "Build", project, ["Code"], "Built")),
    )
    build_id = declare.eventually(
        lambda: pipeline.latest("Build", "Build").get("externalExecutionId")
    )

    pipeline.client.stop_pipeline_execution(
        pipelineName=pipeline.name, pipelineExecutionId=pipeline.first(), abandon=True
    )

    code_build = account.gateway.own.client("codebuild")

    def status() -> str | None:
        (found,) = code_build.batch_get_builds(ids=[build_id])["builds"]
        return str(found["buildStatus"]) if found["buildComplete"] else None

    assert declare.eventually(status) == "STOPPED"
    assert pipeline.status(pipeline.first()) == "Stopped"
