"""Topics, queues, their policies and subscriptions in stacks."""

from __future__ import annotations

import json
from typing import Any

import pytest
from botocore.exceptions import ClientError


def allow(resource: Any, action: str) -> dict[str, Any]:
    statement = {
        "Effect": "Allow",
        "Principal": {"Service": "events.amazonaws.com"},
        "Action": action,
        "Resource": resource,
    }
    return {"Version": "2012-10-17", "Statement": [statement]}


def test_a_topic_has_its_subscriptions_and_policy(account: Any) -> None:
    topic: dict[str, Any] = {
        "DisplayName": "news",
        "Subscription": [
            {"Protocol": "email", "Endpoint": "a@example.com"},
            {"Protocol": "email", "Endpoint": "b@example.com"},
        ],
    }
    stack = account.stack(
        {
            "Topic": {"Type": "AWS::SNS::Topic", "Properties": topic},
            "Policy": {
                "Type": "AWS::SNS::TopicPolicy",
                "Properties": {
                    "Topics": [{"Ref": "Topic"}],
                    "PolicyDocument": allow({"Ref": "Topic"}, "sns:Publish"),
                },
            },
        },
        Outputs={"Name": {"Value": {"Fn::GetAtt": "Topic.TopicName"}}},
    )
    assert stack.create(Tags=[{"Key": "team", "Value": "ml"}]) == "CREATE_COMPLETE", stack.reasons()
    sns, arn = account.client("sns"), stack.ids()["Topic"]
    assert arn.endswith(f":{stack.outputs()['Name']}")

    def endpoints() -> set[str]:
        found = sns.list_subscriptions_by_topic(TopicArn=arn)["Subscriptions"]
        return {subscription["Endpoint"] for subscription in found}

    attributes = sns.get_topic_attributes(TopicArn=arn)["Attributes"]
    assert attributes["DisplayName"] == "news"
    assert json.loads(attributes["Policy"])["Statement"][0]["Resource"] == arn
    assert endpoints() == {"a@example.com", "b@example.com"}
    tags = sns.list_tags_for_resource(ResourceArn=arn)["Tags"]
    assert tags == [{"Key": "team", "Value": "ml"}]

    topic.update(DisplayName="other", Subscription=topic["Subscription"][1:])
    del stack.resources["Policy"]
    assert stack.update(Tags=[{"Key": "team", "Value": "ops"}]) == "UPDATE_COMPLETE"
    assert stack.ids()["Topic"] == arn
    attributes = sns.get_topic_attributes(TopicArn=arn)["Attributes"]
    assert attributes["DisplayName"] == "other"
    assert json.loads(attributes["Policy"])["Id"] == "__default_policy_ID"
    assert endpoints() == {"b@example.com"}
    tags = sns.list_tags_for_resource(ResourceArn=arn)["Tags"]
    assert tags == [{"Key": "team", "Value": "ops"}]

    assert stack.delete() == "DELETE_COMPLETE", stack.reasons()
    with pytest.raises(ClientError, match="NotFound"):
        sns.get_topic_attributes(TopicArn=arn)


def test_a_queue_subscribed_to_a_topic_receives(account: Any) -> None:
    stack = account.stack(
        {
            "Topic": {
                "Type": "AWS::SNS::Topic",
                "Properties": {
                    "Subscription": [
                        {"Protocol": "sqs", "Endpoint": {"Fn::GetAtt": "Queue.Arn"}},
                    ]
                },
            },
            "Dead": {"Type": "AWS::SQS::Queue"},
            "Queue": {
                "Type": "AWS::SQS::Queue",
                "Properties": {
                    "VisibilityTimeout": "60",
                    "MessageRetentionPeriod": 3600,
                    "RedrivePolicy": {
                        "deadLetterTargetArn": {"Fn::GetAtt": "Dead.Arn"},
                        "maxReceiveCount": 3,
                    },
                },
            },
        }
    )
    assert stack.create(Tags=[{"Key": "team", "Value": "ml"}]) == "CREATE_COMPLETE", stack.reasons()
    sns, sqs, ids = account.client("sns"), account.client("sqs"), stack.ids()
    sns.publish(TopicArn=ids["Topic"], Message="hello")
    (message,) = sqs.receive_message(QueueUrl=ids["Queue"])["Messages"]
    assert json.loads(message["Body"])["Message"] == "hello"

    def attributes() -> Any:
        names = ["All"]
        return sqs.get_queue_attributes(QueueUrl=ids["Queue"], AttributeNames=names)["Attributes"]

    made = attributes()
    assert (made["VisibilityTimeout"], made["MessageRetentionPeriod"]) == ("60", "3600")
    assert json.loads(made["RedrivePolicy"])["maxReceiveCount"] in (3, "3")
    assert sqs.list_queue_tags(QueueUrl=ids["Queue"])["Tags"] == {"team": "ml"}

    properties = stack.resources["Queue"]["Properties"]
    del properties["VisibilityTimeout"]
    properties["DelaySeconds"] = 5
    assert stack.update() == "UPDATE_COMPLETE", stack.reasons()
    assert stack.ids() == ids
    made = attributes()
    assert (made["VisibilityTimeout"], made["DelaySeconds"]) == ("30", "5")

    assert stack.delete() == "DELETE_COMPLETE", stack.reasons()
    with pytest.raises(ClientError, match="NonExistentQueue"):
        attributes()


@pytest.mark.parametrize(
    ("kind", "named_by", "name"),
    [
        ("AWS::SNS::Topic", "TopicName", "taken-topic"),
        ("AWS::SQS::Queue", "QueueName", "taken-queue"),
    ],
)
def test_what_others_made_is_not_taken_over(
    account: Any, kind: str, named_by: str, name: str
) -> None:
    account.client("sns").create_topic(Name="taken-topic")
    account.client("sqs").create_queue(QueueName="taken-queue")
    stack = account.stack({"Thing": {"Type": kind, "Properties": {named_by: name}}})

    assert stack.create() == "ROLLBACK_COMPLETE"
    assert f"Resource of type '{kind}' with identifier '{name}' already exists" in stack.reasons()
    assert account.client("sqs").get_queue_url(QueueName="taken-queue")
