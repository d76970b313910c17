"""Declarations that CreatePipeline refuses, and with which error."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import ClientError

Change = Callable[[dict[str, Any], Any], None]


def refusal(account: Any, declaration: dict[str, Any]) -> tuple[str, str]:
    with pytest.raises(ClientError) as caught:
        account.codepipeline.create_pipeline(pipeline=declaration)
    error = caught.value.response["Error"]
    return error["Code"], error["Message"]


@pytest.fixture
def declaration(account: Any, declare: Any) -> dict[str, Any]:
    """One that is fine: source, deployment, approval."""
    return account.declaration(  # type: ignore[no-any-return]
        account.source_stage(namespace="Source"),
        declare.stage("Deploy", account.deploy("Stack", "stack")),
        declare.stage("Ask", declare.approval()),
    )


def test_unchanged_declaration_is_accepted(account: Any, declaration: dict[str, Any]) -> None:
    answer = account.codepipeline.create_pipeline(pipeline=declaration)["pipeline"]
    assert answer["version"] == 1
    assert answer["stages"][0]["actions"][0]["runOrder"] == 1


def test_single_stage(account: Any, declaration: dict[str, Any]) -> None:
    del declaration["stages"][1:]
    assert refusal(account, declaration) == (
        "InvalidStructureException",
        "Pipeline has only 1 stage(s). There should be a minimum of 2 stages in a pipeline",
    )


def test_first_stage_with_another_action(account: Any, declaration: dict[str, Any]) -> None:
    declaration["stages"].reverse()
    code, message = refusal(account, declaration)
    assert code == "InvalidStructureException"
    assert "Pipeline should start with a stage that only contains source actions" in message
    assert "only the first stage may contain source actions" in message


def test_role_that_does_not_trust_codepipeline(account: Any, declaration: dict[str, Any]) -> None:
    declaration["roleArn"] = account.model_role_arn
    assert refusal(account, declaration) == (
        "InvalidStructureException",
        f"CodePipeline is not authorized to perform AssumeRole on role {account.model_role_arn}",
    )


def test_role_of_an_action_that_is_not_there(account: Any, declaration: dict[str, Any]) -> None:
    role = "arn:aws:iam::123456789012:role/nobody"
    declaration["stages"][1]["actions"][0]["roleArn"] = role
    code, message = refusal(account, declaration)
    assert code == "InvalidStructureException"
    assert message == f"{account.role_arn} is not authorized to perform AssumeRole on role {role}"


def test_artifact_store_that_is_not_there(account: Any, declaration: dict[str, Any]) -> None:
    declaration["artifactStore"]["location"] = "no-such-bucket-here"
    code, message = refusal(account, declaration)
    assert code == "InvalidStructureException"
    assert "artifact store no-such-bucket-here" in message


def test_name_with_a_space(account: Any, declaration: dict[str, Any]) -> None:
    declaration["name"] = "my pipeline"
    code, message = refusal(account, declaration)
    assert code == "ValidationException"
    assert "'my pipeline' at 'pipeline.name'" in message


def deploy(declaration: dict[str, Any]) -> dict[str, Any]:
    return declaration["stages"][1]["actions"][0]  # type: ignore[no-any-return]


STAGES: dict[str, tuple[Change, str]] = {
    "two stages of one name": (
        lambda d, _: d["stages"][2].update(name="Deploy"),
        "stage name Deploy is used more than once",
    ),
    "no action": (
        lambda d, _: d["stages"][2].update(actions=[]),
        "Stage Ask must contain at least one action",
    ),
    "two actions of one name": (
        lambda d, t: d["stages"][2]["actions"].append(t.approval()),
        "Stage Ask has more than one action with the name Approve",
    ),
    "conditions": (
        lambda d, _: d["stages"][1].update(beforeEntry={"conditions": [{"result": "FAIL"}]}),
        "does not emulate beforeEntry",
    ),
    "skip": (
        lambda d, _: d["stages"][1].update(onFailure={"result": "SKIP"}),
        "SKIP is for conditions",
    ),
    "rollback of the source": (
        lambda d, _: d["stages"][0].update(onFailure={"result": "ROLLBACK"}),
        "a source stage cannot be rolled back",
    ),
}


@pytest.mark.parametrize("case", STAGES)
def test_wrong_stage(case: str, account: Any, declare: Any, declaration: dict[str, Any]) -> None:
    change, expected = STAGES[case]
    change(declaration, declare)
    code, message = refusal(account, declaration)
    assert code == "InvalidStageDeclarationException"
    assert expected in message


def code_build(name: str, inputs: list[str], **configuration: str) -> dict[str, Any]:
    return {
        "name": name,
        "actionTypeId": {
            "category": "Build",
            "owner": "AWS",
            "provider": "CodeBuild",
            "version": "1",
        },
        "configuration": {"ProjectName": "p", **configuration},
        "inputArtifacts": [{"name": artifact} for artifact in inputs],
    }


ACTIONS: dict[str, tuple[Change, str]] = {
    "provider that local_aws lacks": (
        lambda d, _: deploy(d)["actionTypeId"].update(provider="CodeDeploy"),
        "Provider: 'CodeDeploy', Owner: 'AWS', Version: '1') in action 'Stack' is not available",
    ),
    "owner": (
        lambda d, _: deploy(d)["actionTypeId"].update(owner="Custom"),
        "Owner: 'Custom'",
    ),
    "missing key": (
        lambda d, _: deploy(d)["configuration"].pop("StackName"),
        "Action configuration for action 'Stack' is missing required configuration 'StackName'",
    ),
    "unknown key": (
        lambda d, _: deploy(d)["configuration"].update(Stackname="x"),
        "Action configuration for action 'Stack' contains unknown configuration 'Stackname'",
    ),
    "mode": (
        lambda d, _: deploy(d)["configuration"].update(ActionMode="UPSERT"),
        "ActionMode 'UPSERT' is none that local_aws has: CREATE_UPDATE",
    ),
    "mode of change sets": (
        lambda d, _: deploy(d)["configuration"].update(ActionMode="CHANGE_SET_EXECUTE"),
        "ActionMode 'CHANGE_SET_EXECUTE' is none that local_aws has",
    ),
    "template of another artifact": (
        lambda d, _: deploy(d)["configuration"].update(TemplatePath="Other::stack.yml"),
        "TemplatePath 'Other::stack.yml' is not <input artifact>::<file>",
    ),
    "too few artifacts": (
        lambda d, _: d["stages"][0]["actions"][0].update(outputArtifacts=[]),
        "Action Fetch declares 0 output artifacts which is less than the minimum count (1)",
    ),
    "too many artifacts": (
        lambda d, _: d["stages"][2]["actions"][0].update(inputArtifacts=[{"name": "Code"}]),
        "Action Approve declares 1 input artifacts which is more than the maximum count (0)",
    ),
    "artifact that nobody makes": (
        lambda d, _: deploy(d)["inputArtifacts"].append({"name": "Nothing"}),
        "Input artifact Nothing of action Stack is declared as output artifact by no action",
    ),
    "artifact of an action beside it": (
        lambda d, _: d["stages"][1]["actions"].extend(
            [
                {**code_build("Build", ["Code"]), "outputArtifacts": [{"name": "Built"}]},
                code_build("Use", ["Built"]),
            ]
        ),
        "Input artifact Built of action Use is declared as output artifact only by a later action",
    ),
    "artifact made twice": (
        lambda d, _: deploy(d).update(outputArtifacts=[{"name": "Code"}]),
        "Output artifact Code is declared by more than one action",
    ),
    "namespace that nobody declares": (
        lambda d, _: deploy(d)["configuration"].update(StackName="s-#{Built.Version}"),
        "referencing a namespace that does not exist. StageName=[Deploy], ActionName=[Stack], "
        "ActionConfigurationKey=[StackName], VariableReferenceText=[Built.Version]",
    ),
    "reserved namespace": (
        lambda d, _: deploy(d).update(namespace="codepipeline"),
        "The namespace codepipeline is reserved",
    ),
    "timeout of a deployment": (
        lambda d, _: deploy(d).update(timeoutInMinutes=5),
        "timeoutInMinutes is for manual approvals",
    ),
    "a source in a bucket": (
        lambda d, _: d["stages"][0]["actions"][0]["actionTypeId"].update(provider="S3"),
        "Provider: 'S3', Owner: 'AWS', Version: '1') in action 'Fetch' is not available",
    ),
    "no primary source": (
        lambda d, _: d["stages"][2]["actions"].append(code_build("Build", ["Code", "Code"])),
        "PrimarySource is required when there are several input artifacts",
    ),
    "primary source of another": (
        lambda d, _: d["stages"][2]["actions"].append(
            code_build("Build", ["Code"], PrimarySource="Other")
        ),
        "PrimarySource 'Other' is not one of its input artifacts",
    ),
    "environment that is no JSON": (
        lambda d, _: d["stages"][2]["actions"].append(
            code_build("Build", ["Code"], EnvironmentVariables="A=1")
        ),
        "EnvironmentVariables is not JSON",
    ),
    "environment of another type": (
        lambda d, _: d["stages"][2]["actions"].append(
            code_build(
                "Build",
                ["Code"],
                EnvironmentVariables='[{"name": "A", "value": "1", "type": "TEXT"}]',
            )
        ),
        "has the type 'TEXT'",
    ),
}


@pytest.mark.parametrize("case", ACTIONS)
def test_wrong_action(case: str, account: Any, declare: Any, declaration: dict[str, Any]) -> None:
    change, expected = ACTIONS[case]
    change(declaration, declare)
    code, message = refusal(account, declaration)
    assert code == "InvalidActionDeclarationException"
    assert expected in message


PUSHED = {
    "providerType": "CodeStarSourceConnection",
    "gitConfiguration": {"sourceActionName": "Clone"},
}
V2_ONLY: dict[str, dict[str, Any]] = {
    "triggers": {"triggers": [PUSHED]},
}


@pytest.mark.parametrize("mode", ["QUEUED", "PARALLEL"])
def test_other_modes_are_refused_by_name(
    mode: str, account: Any, declaration: dict[str, Any]
) -> None:
    declaration.update(executionMode=mode)
    code, message = refusal(account, declaration)
    assert code == "InvalidStructureException"
    assert message == f"local_aws does not emulate executionMode {mode}; use SUPERSEDED"


@pytest.mark.parametrize("what", V2_ONLY)
def test_v1_has_no_v2_features(what: str, account: Any, declaration: dict[str, Any]) -> None:
    declaration.update(V2_ONLY[what], pipelineType="V1")
    code, message = refusal(account, declaration)
    assert code == "InvalidStructureException"
    assert message == f"{what} can be used in pipelines of type V2 only"


def connection_source() -> dict[str, Any]:
    return {
        "name": "Clone",
        "actionTypeId": {
            "category": "Source",
            "owner": "AWS",
            "provider": "CodeStarSourceConnection",
            "version": "1",
        },
        "configuration": {
            "ConnectionArn": "arn:aws:codeconnections:us-east-1:123456789012:connection/c",
            "FullRepositoryId": "team/model",
            "BranchName": "main",
        },
        "outputArtifacts": [{"name": "Cloned"}],
    }


TRIGGERS: dict[str, tuple[dict[str, Any], str]] = {
    "pull request": (
        {"pullRequest": [{"branches": {"includes": ["main"]}}]},
        "does not emulate pullRequest",
    ),
    "tags": ({"push": [{"tags": {"includes": ["v*"]}}]}, "does not emulate tags"),
    "a set of letters": (
        {"push": [{"branches": {"includes": ["v[0-9]"]}}]},
        "does not emulate [ ], { } and \\ in patterns: v[0-9]",
    ),
    "nothing": ({"push": [{"branches": {}}]}, "branches needs includes or excludes"),
    "unknown action": ({"sourceActionName": "Other"}, "there is no source action of this name"),
}


@pytest.mark.parametrize("case", TRIGGERS)
def test_wrong_trigger(case: str, account: Any, declaration: dict[str, Any]) -> None:
    git, expected = TRIGGERS[case]
    declaration["stages"][0]["actions"].append(connection_source())
    declaration["triggers"] = [
        {
            "providerType": "CodeStarSourceConnection",
            "gitConfiguration": {"sourceActionName": "Clone", **git},
        }
    ]
    code, message = refusal(account, declaration)
    assert code == "InvalidStructureException"
    assert expected in message


def test_clone_reference_is_refused_by_name(account: Any, declaration: dict[str, Any]) -> None:
    source = connection_source()
    source["configuration"]["OutputArtifactFormat"] = "CODEBUILD_CLONE_REF"
    declaration["stages"][0]["actions"].append(source)
    code, message = refusal(account, declaration)
    assert code == "InvalidActionDeclarationException"
    assert "does not emulate OutputArtifactFormat CODEBUILD_CLONE_REF" in message
