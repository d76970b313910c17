"""SSM parameters and log groups in stacks."""

from __future__ import annotations

from typing import Any

import pytest
from botocore.exceptions import ClientError


def test_a_parameter_is_put_and_overwritten(account: Any) -> None:
    properties: dict[str, Any] = {"Type": "String", "Value": "one", "Tags": {"own": "1"}}
    stack = account.stack(
        {"Parameter": {"Type": "AWS::SSM::Parameter", "Properties": properties}},
        Outputs={"Value": {"Value": {"Fn::GetAtt": "Parameter.Value"}}},
    )
    assert stack.create(Tags=[{"Key": "team", "Value": "ml"}]) == "CREATE_COMPLETE", stack.reasons()
    ssm, name = account.client("ssm"), stack.ids()["Parameter"]
    assert stack.outputs()["Value"] == "one"
    assert ssm.get_parameter(Name=name)["Parameter"]["Value"] == "one"
    tags = ssm.list_tags_for_resource(ResourceType="Parameter", ResourceId=name)["TagList"]
    assert {t["Key"]: t["Value"] for t in tags} == {"own": "1", "team": "ml"}

    properties.update(Value="two", Tags={"own": "2"})
    assert stack.update(Tags=[]) == "UPDATE_COMPLETE", stack.reasons()
    parameter = ssm.get_parameter(Name=name)["Parameter"]
    assert (parameter["Value"], parameter["Version"]) == ("two", 2)
    tags = ssm.list_tags_for_resource(ResourceType="Parameter", ResourceId=name)["TagList"]
    assert {t["Key"]: t["Value"] for t in tags} == {"own": "2"}
    assert stack.outputs()["Value"] == "two"

    assert stack.delete() == "DELETE_COMPLETE"
    with pytest.raises(ClientError, match="ParameterNotFound"):
        ssm.get_parameter(Name=name)


def test_a_log_group_keeps_its_logs_for_the_days_it_says(account: Any) -> None:
    properties: dict[str, Any] = {"RetentionInDays": "14"}
    stack = account.stack(
        {"Logs": {"Type": "AWS::Logs::LogGroup", "Properties": properties}},
        Outputs={"Arn": {"Value": {"Fn::GetAtt": "Logs.Arn"}}},
    )
    assert stack.create(Tags=[{"Key": "team", "Value": "ml"}]) == "CREATE_COMPLETE", stack.reasons()
    logs, name = account.client("logs"), stack.ids()["Logs"]

    def group() -> Any:
        (found,) = logs.describe_log_groups(logGroupNamePrefix=name)["logGroups"]
        return found

    assert group()["retentionInDays"] == 14
    assert stack.outputs()["Arn"].endswith(f":log-group:{name}:*")
    assert logs.list_tags_log_group(logGroupName=name)["tags"] == {"team": "ml"}

    properties["RetentionInDays"] = 30
    assert stack.update(Tags=[{"Key": "team", "Value": "ops"}]) == "UPDATE_COMPLETE"
    assert group()["retentionInDays"] == 30
    assert logs.list_tags_log_group(logGroupName=name)["tags"] == {"team": "ops"}

    del properties["RetentionInDays"]
    assert stack.update() == "UPDATE_COMPLETE"
    assert "retentionInDays" not in group()
    assert stack.ids()["Logs"] == name

    assert stack.delete() == "DELETE_COMPLETE"
    assert logs.describe_log_groups(logGroupNamePrefix=name)["logGroups"] == []
