"""Rules and what they deliver, as a stranger with boto3 meets them."""

from __future__ import annotations

import json
import logging
import uuid

import pytest
from botocore.exceptions import ClientError

from local_aws.errors import AwsError


def _pattern(source, **detail):
    return json.dumps({"source": [source], **({"detail": detail} if detail else {})})


def _source():
    return f"test.{uuid.uuid4().hex[:8]}"


def test_a_rule_delivers_the_events_that_match_and_no_others(account):
    queue, source = account.create_queue(), _source()
    account.put_rule(
        [{"Id": "queue", "Arn": queue}], EventPattern=_pattern(source, size=[{"numeric": [">", 5]}])
    )

    account.put_event(source, {"size": 1})
    event_id = account.put_event(source, {"size": 9})

    event = json.loads(account.receive(queue)["Body"])
    assert (event["id"], event["source"], event["detail-type"]) == (event_id, source, "Tested")
    assert event["detail"] == {"size": 9}
    assert event["account"] == "123456789012"
    assert account.is_silent(queue)


def test_an_event_of_another_service_reaches_the_rules_through_the_bus(account):
    queue = account.create_queue()
    repository = account.arn("codecommit", f"repository-{uuid.uuid4().hex}")
    account.put_rule(
        [{"Id": "queue", "Arn": queue}],
        EventPattern=json.dumps({"source": ["aws.codecommit"], "resources": [repository]}),
    )

    account.bus.publish(
        "aws.codecommit",
        "CodeCommit Repository State Change",
        resources=[repository],
        detail={"event": "referenceUpdated"},
    )

    assert json.loads(account.receive(queue)["Body"])["detail"] == {"event": "referenceUpdated"}


def test_a_disabled_rule_delivers_nothing_until_it_is_enabled(account):
    queue, source = account.create_queue(), _source()
    name = account.put_rule([{"Id": "queue", "Arn": queue}], EventPattern=_pattern(source))

    account.events.put_rule(Name=name, EventPattern=_pattern(source), State="DISABLED")
    account.put_event(source, {})
    assert account.is_silent(queue)
    assert account.events.describe_rule(Name=name)["State"] == "DISABLED"

    account.events.put_rule(Name=name, EventPattern=_pattern(source))
    account.put_event(source, {"again": True})
    assert json.loads(account.receive(queue)["Body"])["detail"] == {"again": True}


def test_a_pipeline_is_started_under_the_targets_role(account, elsewhere, until):
    source = _source()
    account.put_rule(
        [
            {
                "Id": "pipeline",
                "Arn": account.arn("codepipeline", "nightly"),
                "RoleArn": account.events_role,
            }
        ],
        EventPattern=_pattern(source),
    )

    account.put_event(source, {})

    call = until(lambda: elsewhere.calls and elsewhere.calls[0])
    assert call.params["name"] == "nightly"
    role = account.events_role.rpartition("/")[2]
    assert call.caller_arn == f"arn:aws:sts::123456789012:assumed-role/{role}/events"


def test_a_sagemaker_pipeline_gets_its_parameters(account, elsewhere, until):
    source = _source()
    given = [{"Name": "Limit", "Value": "66.1"}]
    account.put_rule(
        [
            {
                "Id": "pipeline",
                "Arn": account.arn("sagemaker", "pipeline/local-build"),
                "RoleArn": account.events_role,
                "SageMakerPipelineParameters": {"PipelineParameterList": given},
            }
        ],
        EventPattern=_pattern(source),
    )

    account.put_event(source, {})

    params = until(lambda: elsewhere.calls and elsewhere.calls[0]).params
    assert params["PipelineName"] == "local-build"
    assert params["PipelineParameters"] == given


def test_a_build_is_started_with_what_the_input_overrides(account, elsewhere, until):
    source = _source()
    account.put_rule(
        [
            {
                "Id": "build",
                "Arn": account.arn("codebuild", "project/checks"),
                "RoleArn": account.events_role,
                "Input": '{"sourceVersion": "main"}',
            }
        ],
        EventPattern=_pattern(source),
    )

    account.put_event(source, {})

    params = until(lambda: elsewhere.calls and elsewhere.calls[0]).params
    assert (params["projectName"], params["sourceVersion"]) == ("checks", "main")


def test_a_topic_passes_the_event_on_to_its_subscribers(account):
    sns, queue, source = account.own.client("sns"), account.create_queue(), _source()
    topic = sns.create_topic(Name=f"topic-{uuid.uuid4().hex}")["TopicArn"]
    sns.subscribe(
        TopicArn=topic, Protocol="sqs", Endpoint=queue, Attributes={"RawMessageDelivery": "true"}
    )
    account.put_rule(
        [
            {
                "Id": "topic",
                "Arn": topic,
                "InputTransformer": {
                    "InputPathsMap": {"state": "$.detail.state"},
                    "InputTemplate": '"The pipeline has <state>: <aws.events.rule-name>"',
                },
            }
        ],
        EventPattern=_pattern(source),
    )

    account.put_event(source, {"state": "FAILED"})

    assert account.receive(queue)["Body"].startswith('"The pipeline has FAILED: rule-')


@pytest.mark.parametrize(
    ("chosen", "expected"),
    [
        ({"Input": '{"fixed": 1}'}, '{"fixed": 1}'),
        ({"InputPath": "$.detail.list[1]"}, '{"a-b": "two"}'),
        ({"InputPath": "$.detail-type"}, '"Tested"'),
        (
            {
                "InputTransformer": {
                    "InputPathsMap": {"all": "$.detail.list[*].a-b", "none": "$.detail.nothing"},
                    "InputTemplate": '{"all": <all>, "text": "all of <all>, <none>.", "id": "<x>"}',
                }
            },
            None,
        ),
    ],
)
def test_a_target_gets_the_input_that_it_is_given(account, chosen, expected):
    queue, source = account.create_queue(), _source()
    if expected is None:
        chosen["InputTransformer"]["InputPathsMap"]["x"] = "$.id"
    account.put_rule([{"Id": "queue", "Arn": queue, **chosen}], EventPattern=_pattern(source))

    event_id = account.put_event(source, {"list": [{"a-b": "one"}, {"a-b": "two"}]})

    body = account.receive(queue)["Body"]
    if expected is None:
        assert json.loads(body) == {
            "all": ["one", "two"],
            "text": 'all of ["one", "two"], .',
            "id": event_id,
        }
    else:
        assert body == expected


def test_a_refused_call_goes_to_the_dead_letter_queue_at_once_and_to_the_log(
    account, elsewhere, caplog
):
    def refuse():
        raise AwsError("PipelineNotFoundException", "Account has no pipeline gone")

    queue, source = account.create_queue(), _source()
    pipeline = account.arn("codepipeline", "gone")
    elsewhere.refuse = refuse
    name = account.put_rule(
        [
            {
                "Id": "pipeline",
                "Arn": pipeline,
                "RoleArn": account.events_role,
                "DeadLetterConfig": {"Arn": queue},
            }
        ],
        EventPattern=_pattern(source),
    )

    with caplog.at_level(logging.ERROR, logger="local_aws.events"):
        account.put_event(source, {"lost": True})
        message = account.receive(queue)

    attributes = {
        name: attribute["StringValue"] for name, attribute in message["MessageAttributes"].items()
    }
    assert json.loads(message["Body"])["detail"] == {"lost": True}
    assert attributes == {
        "RULE_ARN": account.arn("events", f"rule/{name}"),
        "TARGET_ARN": pipeline,
        "ERROR_CODE": "NO_RESOURCE",
        "ERROR_MESSAGE": "Account has no pipeline gone",
        "RETRY_ATTEMPTS": "0",
    }
    assert len(elsewhere.calls) == 1
    assert f"rule {name}: target {pipeline} failed: PipelineNotFoundException" in caplog.text


def test_a_service_that_breaks_down_is_tried_again(account, elsewhere, until):
    def refuse():
        if len(elsewhere.calls) < 4:  # boto3 itself tries each call twice
            raise AwsError("InternalFailure", "not now", 500)

    source, elsewhere.refuse = _source(), refuse
    account.put_rule(
        [
            {
                "Id": "pipeline",
                "Arn": account.arn("codepipeline", "mine"),
                "RoleArn": account.events_role,
            }
        ],
        EventPattern=_pattern(source),
    )

    account.put_event(source, {})

    until(lambda: len(elsewhere.calls) == 4)


def test_retries_end_where_the_retry_policy_says_so(account, elsewhere):
    def refuse():
        raise AwsError("InternalFailure", "never", 500)

    queue, source, elsewhere.refuse = account.create_queue(), _source(), refuse
    account.put_rule(
        [
            {
                "Id": "pipeline",
                "Arn": account.arn("codepipeline", "mine"),
                "RoleArn": account.events_role,
                "DeadLetterConfig": {"Arn": queue},
                "RetryPolicy": {"MaximumRetryAttempts": 1, "MaximumEventAgeInSeconds": 60},
            }
        ],
        EventPattern=_pattern(source),
    )

    account.put_event(source, {})

    attributes = account.receive(queue)["MessageAttributes"]
    assert attributes["RETRY_ATTEMPTS"]["StringValue"] == "1"
    assert attributes["EXHAUSTED_RETRY_CONDITION"]["StringValue"] == "MaximumRetryAttempts"
    assert attributes["ERROR_CODE"]["StringValue"] == "ERROR_FROM_TARGET"


def test_putting_a_rule_again_replaces_it_and_keeps_its_targets(account):
    queue, source = account.create_queue(), _source()
    name = account.put_rule(
        [{"Id": "queue", "Arn": queue}],
        EventPattern=_pattern("test.before"),
        Description="before",
        Tags=[{"Key": "team", "Value": "ml"}],
    )

    account.events.put_rule(Name=name, EventPattern=_pattern(source))

    described = account.events.describe_rule(Name=name)
    assert described["EventPattern"] == _pattern(source)
    assert described["EventBusName"] == "default"
    assert "Description" not in described
    account.put_event(source, {})
    assert account.receive(queue)
    tags = account.events.list_tags_for_resource(ResourceARN=described["Arn"])["Tags"]
    assert tags == [{"Key": "team", "Value": "ml"}]


def test_a_rule_with_targets_can_not_be_deleted(account):
    queue = account.create_queue()
    name = account.put_rule([{"Id": "queue", "Arn": queue}], EventPattern=_pattern("test.x"))

    with pytest.raises(ClientError, match="Rule can't be deleted since it has targets"):
        account.events.delete_rule(Name=name)

    account.events.remove_targets(Rule=name, Ids=["queue"])
    account.events.delete_rule(Name=name)
    account.events.delete_rule(Name=name)  # there is no rule any more: no error
    with pytest.raises(ClientError, match=f"Rule {name} does not exist on EventBus default"):
        account.events.describe_rule(Name=name)


def test_removing_a_target_that_is_not_there_is_a_failed_entry(account):
    name = account.put_rule(
        [{"Id": "queue", "Arn": account.create_queue()}], EventPattern=_pattern("test.x")
    )

    answer = account.events.remove_targets(Rule=name, Ids=["queue", "other"])

    assert answer["FailedEntryCount"] == 1
    assert answer["FailedEntries"][0]["TargetId"] == "other"


def test_targets_are_listed_in_pages(account):
    queues = [account.create_queue() for _ in range(3)]
    name = account.put_rule(
        [{"Id": str(number), "Arn": queue} for number, queue in enumerate(queues)],
        EventPattern=_pattern("test.x"),
    )

    first = account.events.list_targets_by_rule(Rule=name, Limit=2)
    rest = account.events.list_targets_by_rule(Rule=name, NextToken=first["NextToken"])

    assert [target["Arn"] for target in first["Targets"]] == queues[:2]
    assert [target["Arn"] for target in rest["Targets"]] == queues[2:]


def test_tags_of_a_rule_are_added_changed_and_taken_away(account):
    arn = account.events.put_rule(Name=f"t-{uuid.uuid4().hex}", EventPattern=_pattern("test.x"))[
        "RuleArn"
    ]

    account.events.tag_resource(
        ResourceARN=arn, Tags=[{"Key": "a", "Value": "1"}, {"Key": "b", "Value": "2"}]
    )
    account.events.tag_resource(ResourceARN=arn, Tags=[{"Key": "a", "Value": "3"}])
    account.events.untag_resource(ResourceARN=arn, TagKeys=["b"])

    assert account.events.list_tags_for_resource(ResourceARN=arn)["Tags"] == [
        {"Key": "a", "Value": "3"}
    ]


def test_the_default_bus_is_the_only_one(account):
    bus = account.arn("events", "event-bus/default")

    name = account.events.put_rule(
        Name=f"t-{uuid.uuid4().hex}", EventBusName=bus, EventPattern=_pattern("test.x")
    )["RuleArn"].rpartition("/")[2]
    assert account.events.describe_rule(Name=name)["EventBusName"] == "default"
    with pytest.raises(ClientError, match="Event bus mine does not exist"):
        account.events.put_rule(Name="x", EventBusName="mine", EventPattern=_pattern("test.x"))


@pytest.mark.parametrize("operation", ["CreateEventBus", "PutEvents", "ListEventBuses"])
def test_what_nobody_uses_is_refused_by_name(account, operation):
    arguments = {"CreateEventBus": {"Name": "mine"}, "PutEvents": {"Entries": [{}]}}

    with pytest.raises(ClientError, match=f"local_aws does not support events:{operation}"):
        account.events._make_api_call(operation, arguments.get(operation, {}))


@pytest.mark.parametrize(
    ("rule", "code", "message"),
    [
        ({}, "ValidationException", "EventPattern or ScheduleExpression must be specified"),
        ({"EventPattern": "{"}, "InvalidEventPatternException", "Reason: Invalid JSON"),
        (
            {"EventPattern": '{"source": [{"sounds-like": "x"}]}'},
            "InvalidEventPatternException",
            "Unrecognized match type sounds-like",
        ),
        (
            {"ScheduleExpression": "rate(5 minutes)"},
            "ValidationException",
            "local_aws does not support ScheduleExpression of a rule",
        ),
        (
            {
                "EventPattern": '{"source": ["x"]}',
                "State": "ENABLED_WITH_ALL_CLOUDTRAIL_MANAGEMENT_EVENTS",
            },
            "ValidationException",
            "ENABLED_WITH_ALL_CLOUDTRAIL_MANAGEMENT_EVENTS",
        ),
        (
            {"EventPattern": '{"source": ["x"]}', "Name": "a b"},
            "ValidationException",
            "'a b' at 'name' failed to satisfy",
        ),
    ],
)
def test_rules_that_aws_refuses_are_refused(account, rule, code, message):
    with pytest.raises(ClientError, match=message) as caught:
        account.events.put_rule(**{"Name": "refused", **rule})

    assert caught.value.response["Error"]["Code"] == code


PIPELINE = "arn:aws:codepipeline:us-east-1:123456789012:mine"
QUEUE = "arn:aws:sqs:us-east-1:123456789012:mine"


@pytest.mark.parametrize(
    ("target", "message"),
    [
        (
            {"Arn": "arn:aws:lambda:us-east-1:123456789012:function:f"},
            "local_aws does not support the target arn:aws:lambda:.*:function:f",
        ),
        (
            {"Arn": "arn:aws:sqs:eu-west-1:123456789012:mine"},
            "does not support the target arn:aws:sqs:eu-west-1",
        ),
        ({"Arn": "arn:aws:scheduler:::aws-sdk:sns:publish"}, "does not support the target"),
        ({"Arn": PIPELINE}, f"RoleArn is required for target {PIPELINE}"),
        (
            {"Arn": PIPELINE, "RoleArn": "arn:aws:iam::123456789012:role/nobody"},
            "Provided role '.*nobody' cannot be assumed by principal 'events.amazonaws.com'",
        ),
        ({"Arn": QUEUE, "HttpParameters": {}}, "local_aws does not support HttpParameters"),
        ({"Arn": QUEUE, "Input": "text"}, "JSON syntax error in input for target"),
        ({"Arn": QUEUE, "Input": "1", "InputPath": "$.detail"}, "Only one of Input, InputPath"),
        ({"Arn": QUEUE, "InputPath": "detail"}, "Invalid JSONPath 'detail'"),
        ({"Arn": QUEUE, "InputPath": "$.detail["}, "Invalid JSONPath"),
        (
            {"Arn": QUEUE, "InputTransformer": {"InputTemplate": '"<what>"'}},
            "Placeholder what is not in InputPathsMap",
        ),
        (
            {"Arn": QUEUE, "DeadLetterConfig": {"Arn": f"{QUEUE}.fifo"}},
            "mine.fifo is not a standard queue",
        ),
        (
            {"Arn": QUEUE, "SageMakerPipelineParameters": {}},
            "SageMakerPipelineParameters is not for the target",
        ),
        ({"Arn": QUEUE, "Id": "a b"}, "'a b' at 'targets.1.member.id' failed to satisfy"),
    ],
)
def test_targets_that_can_not_be_called_are_refused_by_name(account, target, message):
    name = account.put_rule([{"Id": "q", "Arn": QUEUE}], EventPattern=_pattern("test.x"))

    with pytest.raises(ClientError, match=message) as caught:
        account.events.put_targets(Rule=name, Targets=[{"Id": "refused", **target}])

    assert caught.value.response["Error"]["Code"] == "ValidationException"
    assert len(account.events.list_targets_by_rule(Rule=name)["Targets"]) == 1


def test_a_role_that_trusts_another_service_is_refused(account):
    name = account.put_rule([{"Id": "q", "Arn": QUEUE}], EventPattern=_pattern("test.x"))

    with pytest.raises(ClientError, match="cannot be assumed by principal"):
        account.events.put_targets(
            Rule=name, Targets=[{"Id": "p", "Arn": PIPELINE, "RoleArn": account.role}]
        )


def test_a_sixth_target_is_over_the_limit(account):
    targets = [{"Id": f"q{number}", "Arn": QUEUE} for number in range(5)]
    name = account.put_rule(targets, EventPattern=_pattern("test.x"))

    with pytest.raises(ClientError) as caught:
        account.events.put_targets(Rule=name, Targets=[{"Id": "q5", "Arn": QUEUE}])

    assert caught.value.response["Error"]["Code"] == "LimitExceededException"


def test_an_input_path_without_a_value_is_a_failed_delivery(account):
    queue, source = account.create_queue(), _source()
    account.put_rule(
        [
            {
                "Id": "q",
                "Arn": account.create_queue(),
                "InputPath": "$.detail.absent",
                "DeadLetterConfig": {"Arn": queue},
            }
        ],
        EventPattern=_pattern(source),
    )

    account.put_event(source, {})

    attributes = account.receive(queue)["MessageAttributes"]
    assert attributes["ERROR_CODE"]["StringValue"] == "INVALID_JSON"
