"""CloudFormation actions on real stacks: modes, parameters, outputs, failures."""

from __future__ import annotations

import json
import uuid
from typing import Any

import pytest


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


def test_nothing_to_update_is_a_success(account: Any, declare: Any, stack_name: str) -> None:
    pipeline = account.create(
        source(account), declare.stage("Deploy", account.deploy("Stack", stack_name, **WITH_CONFIG))
    )
    assert pipeline.ended(pipeline.first()) == "Succeeded"

    assert pipeline.ended(pipeline.start()) == "Succeeded"
    assert describe(account, stack_name)["StackStatus"] == "CREATE_COMPLETE"


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


@pytest.mark.parametrize(
    ("configuration", "expected"),
    [
        ({"TemplatePath": "Code::other.yml"}, "File [other.yml] does not exist in artifact [Code]"),
        ({"TemplateConfiguration": "Code::stack.yml"}, "Code::stack.yml is not JSON"),
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
