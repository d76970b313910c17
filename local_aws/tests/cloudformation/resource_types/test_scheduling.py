"""EventBridge rules and schedules in stacks."""

from __future__ import annotations

import json
from typing import Any

import pytest
from botocore.exceptions import ClientError


def rule(account: Any, **properties: Any) -> dict[str, Any]:
    return {
        "Type": "AWS::Events::Rule",
        "Properties": {
            "Name": {"Ref": "AWS::StackName"},
            "EventPattern": {"source": ["aws.codecommit"], "detail": {"count": [1, True]}},
            **properties,
        },
    }


def test_a_rule_has_its_pattern_and_targets_and_changes_in_place(account: Any) -> None:
    topic = {"Ref": "Topic"}
    stack = account.stack(
        {
            "Topic": {"Type": "AWS::SNS::Topic"},
            "Rule": rule(
                account,
                Targets=[
                    {"Id": "one", "Arn": topic},
                    {
                        "Id": "two",
                        "Arn": topic,
                        "InputTransformer": {
                            "InputPathsMap": {"source": "$.source"},
                            "InputTemplate": '"<source> spoke"',
                        },
                    },
                ],
            ),
        },
        Outputs={"Arn": {"Value": {"Fn::GetAtt": "Rule.Arn"}}},
    )
    assert stack.create(Tags=[{"Key": "team", "Value": "ml"}]) == "CREATE_COMPLETE", stack.reasons()
    events, name = account.client("events"), stack.name
    assert stack.ids()["Rule"] == name

    made = events.describe_rule(Name=name)
    assert (made["Arn"], made["State"]) == (stack.outputs()["Arn"], "ENABLED")
    pattern = {"source": ["aws.codecommit"], "detail": {"count": [1, True]}}
    assert json.loads(made["EventPattern"]) == pattern
    tags = events.list_tags_for_resource(ResourceARN=made["Arn"])["Tags"]
    assert tags == [{"Key": "team", "Value": "ml"}]
    targets = {t["Id"]: t for t in events.list_targets_by_rule(Rule=name)["Targets"]}
    assert set(targets) == {"one", "two"}
    assert targets["two"]["InputTransformer"]["InputPathsMap"] == {"source": "$.source"}

    stack.resources["Rule"] = rule(
        account, State="DISABLED", Targets=[{"Id": "one", "Arn": topic, "Input": '"x"'}]
    )
    assert stack.update() == "UPDATE_COMPLETE", stack.reasons()
    assert events.describe_rule(Name=name)["State"] == "DISABLED"
    (target,) = events.list_targets_by_rule(Rule=name)["Targets"]
    assert (target["Id"], target["Input"]) == ("one", '"x"')

    assert stack.delete() == "DELETE_COMPLETE", stack.reasons()
    with pytest.raises(ClientError, match="ResourceNotFound"):
        events.describe_rule(Name=name)


def test_a_rule_that_others_made_is_not_changed(account: Any) -> None:
    stack = account.stack({"Rule": rule(account)})
    account.client("events").put_rule(Name=stack.name, EventPattern='{"source": ["mine"]}')

    assert stack.create() == "ROLLBACK_COMPLETE"
    assert f"{stack.name} already exists" in stack.reasons()
    kept = account.client("events").describe_rule(Name=stack.name)
    assert json.loads(kept["EventPattern"]) == {"source": ["mine"]}


def schedule(account: Any, expression: str, **properties: Any) -> dict[str, Any]:
    return {
        "Type": "AWS::Scheduler::Schedule",
        "Properties": {
            "ScheduleExpression": expression,
            "ScheduleExpressionTimezone": "Europe/Berlin",
            "FlexibleTimeWindow": {"Mode": "OFF"},
            "Target": {
                "Arn": "arn:aws:sagemaker:us-east-1:123456789012:pipeline/local-build",
                "RoleArn": account.create_role("scheduler.amazonaws.com"),
                "RetryPolicy": {"MaximumRetryAttempts": "3", "MaximumEventAgeInSeconds": 3600},
                "SageMakerPipelineParameters": {
                    "PipelineParameterList": [{"Name": "Seed", "Value": "7"}]
                },
            },
            **properties,
        },
    }


def test_a_schedule_is_made_changed_in_place_and_deleted(account: Any) -> None:
    stack = account.stack(
        {"Nightly": schedule(account, "cron(0 3 ? * MON *)")},
        Outputs={"Arn": {"Value": {"Fn::GetAtt": "Nightly.Arn"}}},
    )
    assert stack.create() == "CREATE_COMPLETE", stack.reasons()
    scheduler, name = account.client("scheduler"), stack.ids()["Nightly"]
    made = scheduler.get_schedule(Name=name)
    assert made["Arn"] == stack.outputs()["Arn"]
    assert made["ScheduleExpressionTimezone"] == "Europe/Berlin"
    assert made["Target"]["RetryPolicy"]["MaximumRetryAttempts"] == 3
    parameters = made["Target"]["SageMakerPipelineParameters"]["PipelineParameterList"]
    assert parameters == [{"Name": "Seed", "Value": "7"}]

    stack.resources["Nightly"] = schedule(account, "cron(0 4 ? * TUE *)", State="DISABLED")
    assert stack.update() == "UPDATE_COMPLETE", stack.reasons()
    made = scheduler.get_schedule(Name=name)
    assert (made["ScheduleExpression"], made["State"]) == ("cron(0 4 ? * TUE *)", "DISABLED")

    assert stack.delete() == "DELETE_COMPLETE", stack.reasons()
    with pytest.raises(ClientError, match="ResourceNotFound"):
        scheduler.get_schedule(Name=name)


def test_an_expression_that_the_scheduler_refuses_fails_the_stack(account: Any) -> None:
    stack = account.stack({"Nightly": schedule(account, "cron(often)")})

    assert stack.create() == "ROLLBACK_COMPLETE"
    assert "HandlerErrorCode: ValidationException" in stack.reasons()
