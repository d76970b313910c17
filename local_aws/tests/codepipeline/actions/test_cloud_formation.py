"""CloudFormation actions on real stacks: modes, parameters, outputs, failures."""

from __future__ import annotations

import json
import uuid
from typing import Any

import pytest
from botocore.exceptions import ClientError


@pytest.fixture
def stack_name() -> str:
    return f"stack-{uuid.uuid4().hex[:12]}"


def config(account: Any, **parameters: str) -> str:
    """A template configuration file."""
    given = {"Role": account.model_role_arn, **parameters}
    return json.dumps({"Parameters": given, "Tags": {"team": "ml"}})


def source(account: Any, **parameters: str) -> dict[str, Any]:
    key = account.put_source(
        stack__yml=account.template(), stack__json=config(account, **parameters)
    )
    return account.source_stage(key)  # type: ignore[no-any-return]


def describe(account: Any, stack_name: str) -> dict[str, Any]:
    return account.cloudformation.describe_stacks(StackName=stack_name)["Stacks"][0]  # type: ignore[no-any-return]


def outputs(account: Any, stack_name: str) -> dict[str, str]:
    described = describe(account, stack_name)["Outputs"]
    return {output["OutputKey"]: output["OutputValue"] for output in described}


WITH_CONFIG = {"TemplateConfiguration": "Code::stack.json"}


def test_stack_is_created_with_configuration_tags_and_role(
    account: Any, declare: Any, stack_name: str
) -> None:
    action = account.deploy("Stack", stack_name, ActionMode="REPLACE_ON_FAILURE", **WITH_CONFIG)
    action |= {"namespace": "Deployed"}
    ask = declare.approval(configuration={"CustomData": "#{Deployed.Color} #{Deployed.ModelName}"})
    pipeline = account.create(
        source(account, Color="blue"), declare.stage("Deploy", action), declare.stage("Ask", ask)
    )
    pipeline.approve("Ask", "Approve")

    assert pipeline.ended(pipeline.first()) == "Succeeded"
    stack = describe(account, stack_name)
    assert stack["StackStatus"] == "CREATE_COMPLETE"
    assert stack["RoleARN"] == account.stack_role_arn
    assert stack["Tags"] == [{"Key": "team", "Value": "ml"}]
    given = outputs(account, stack_name)
    assert given["Color"] == "blue"
    run = pipeline.runs(pipeline.first())[-1]
    told = run["input"]["resolvedConfiguration"]["CustomData"]
    assert told == f"blue {given['ModelName']}"
    shown = pipeline.latest("Deploy", "Stack")
    assert shown["externalExecutionId"] == stack["StackId"]
    assert stack["StackId"] in shown["externalExecutionUrl"]


def test_overrides_count_more_and_nothing_to_update_is_a_success(
    account: Any, declare: Any, stack_name: str
) -> None:
    overrides = json.dumps(
        {
            "Color": {"Fn::GetParam": ["Code", "colors.json", "prod"]},
            "Role": account.model_role_arn,
        }
    )
    key = account.put_source(stack__yml=account.template(), colors__json='{"prod": "green"}')
    pipeline = account.create(
        account.source_stage(key),
        declare.stage("Deploy", account.deploy("Stack", stack_name, ParameterOverrides=overrides)),
    )
    assert pipeline.ended(pipeline.first()) == "Succeeded"
    assert outputs(account, stack_name)["Color"] == "green"

    assert pipeline.ended(pipeline.start()) == "Succeeded"
    assert describe(account, stack_name)["StackStatus"] == "CREATE_COMPLETE"


def test_outputs_are_written_to_a_file_of_the_output_artifact(
    account: Any, declare: Any, stack_name: str
) -> None:
    action = account.deploy("Stack", stack_name, OutputFileName="outputs.json", **WITH_CONFIG)
    action["outputArtifacts"] = [{"name": "Outputs"}]
    pipeline = account.create(source(account), declare.stage("Deploy", action))

    assert pipeline.ended(pipeline.first()) == "Succeeded"
    (artifact,) = pipeline.runs(pipeline.first())[-1]["output"]["outputArtifacts"]
    place = artifact["s3location"]
    assert place["bucket"] == account.store
    assert place["key"].startswith(f"{pipeline.name[:20]}/Outputs/")
    with account.read_artifact(artifact) as archive:
        written = json.loads(archive.read("outputs.json"))
    assert written == outputs(account, stack_name)


def test_failed_stack_is_named_with_its_resources_and_replaced_next_time(
    account: Any, declare: Any, stack_name: str
) -> None:
    role = account.create_role("nobody.amazonaws.com")
    key = account.put_source(stack__yml=account.template(), stack__json=config(account, Role=role))
    action = account.deploy("Stack", stack_name, ActionMode="REPLACE_ON_FAILURE", **WITH_CONFIG)
    pipeline = account.create(account.source_stage(key), declare.stage("Deploy", action))

    assert pipeline.ended(pipeline.first()) == "Failed"
    message = pipeline.latest("Deploy", "Stack")["errorDetails"]["message"]
    assert message.startswith(f"Stack {stack_name} ended ROLLBACK_COMPLETE. Failed resources: ")
    assert "Model: " in message
    assert role in message
    failed = describe(account, stack_name)["StackId"]

    account.put_revision(key, stack__yml=account.template(), stack__json=config(account))
    assert pipeline.ended(pipeline.start()) == "Succeeded"
    stack = describe(account, stack_name)
    assert stack["StackStatus"] == "CREATE_COMPLETE"
    assert stack["StackId"] != failed


def test_change_set_is_made_and_executed_later(account: Any, declare: Any, stack_name: str) -> None:
    prepare = account.deploy(
        "Prepare", stack_name, ActionMode="CHANGE_SET_REPLACE", ChangeSetName="next", **WITH_CONFIG
    )
    execute = {
        **account.deploy("Execute", stack_name, ActionMode="CHANGE_SET_EXECUTE"),
        "runOrder": 3,
        "inputArtifacts": [],
    }
    execute["configuration"] = {
        "ActionMode": "CHANGE_SET_EXECUTE",
        "StackName": stack_name,
        "ChangeSetName": "next",
    }
    pipeline = account.create(
        source(account),
        declare.stage("Deploy", prepare, declare.approval(runOrder=2), execute),
    )
    pipeline.asked("Deploy", "Approve")
    assert describe(account, stack_name)["StackStatus"] == "REVIEW_IN_PROGRESS"
    pipeline.approve("Deploy", "Approve")
    assert pipeline.ended(pipeline.first()) == "Succeeded"
    assert describe(account, stack_name)["StackStatus"] == "CREATE_COMPLETE"

    # The same once more: a set without changes is made, and executing it does nothing.
    again = pipeline.start()
    pipeline.approve("Deploy", "Approve", again)
    assert pipeline.ended(again) == "Succeeded"
    assert describe(account, stack_name)["StackStatus"] == "CREATE_COMPLETE"


def test_stack_is_deleted(account: Any, declare: Any, stack_name: str) -> None:
    deploy = account.deploy("Stack", stack_name, **WITH_CONFIG)
    delete = account.deploy("Delete", stack_name, ActionMode="DELETE_ONLY")
    del delete["configuration"]["TemplatePath"]
    pipeline = account.create(
        source(account), declare.stage("Deploy", deploy), declare.stage("Clean", delete)
    )

    assert pipeline.ended(pipeline.first()) == "Succeeded"
    with pytest.raises(ClientError, match="does not exist"):
        describe(account, stack_name)
    assert pipeline.latest("Clean", "Delete")["summary"] == f"Stack {stack_name} is gone"


@pytest.mark.parametrize(
    ("configuration", "expected"),
    [
        ({"TemplatePath": "Code::other.yml"}, "File [other.yml] does not exist in artifact [Code]"),
        ({"TemplateConfiguration": "Code::stack.yml"}, "Code::stack.yml is not JSON"),
        ({"ParameterOverrides": '{"Color": {"Ref": "X"}}'}, "is no function that can be evaluated"),
        ({"RoleArn": "arn:aws:iam::123456789012:role/nobody"}, "role/nobody"),
    ],
)
def test_mistake_in_the_configuration_fails_the_action(
    account: Any, declare: Any, stack_name: str, configuration: dict[str, str], expected: str
) -> None:
    action = account.deploy("Stack", stack_name, **{**WITH_CONFIG, **configuration})
    pipeline = account.create(source(account), declare.stage("Deploy", action))

    assert pipeline.ended(pipeline.first()) == "Failed"
    assert expected in pipeline.latest("Deploy", "Stack")["errorDetails"]["message"]
