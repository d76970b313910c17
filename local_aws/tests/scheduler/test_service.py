"""Schedules and what they invoke, as a stranger with boto3 meets them. Nobody waits a minute."""

from __future__ import annotations

import datetime
import json
import threading
import time
import uuid

import pytest
from botocore.exceptions import ClientError

from local_aws.errors import AwsError
from local_aws.gateway import Gateway
from local_aws.sagemaker.pipelines.service import PipelineExecutions
from local_aws.scheduler.service import Schedules

OFF = {"Mode": "OFF"}


def _sagemaker(account):
    return {
        "Arn": account.arn("sagemaker", "pipeline/local-build"),
        "SageMakerPipelineParameters": {
            "PipelineParameterList": [{"Name": "Limit", "Value": "66.1"}]
        },
    }


def _in(account, **delta):
    return account.clock.now() + datetime.timedelta(**delta)


def test_a_rate_starts_the_pipeline_at_once_and_then_every_interval(account, elsewhere, until):
    name = account.create_schedule("rate(1 minute)", _sagemaker(account))

    until(lambda: len(elsewhere.calls) == 1)
    account.clock.advance(seconds=59)
    time.sleep(0.2)
    assert len(elsewhere.calls) == 1
    account.clock.advance(seconds=1)
    until(lambda: len(elsewhere.calls) == 2)

    call = elsewhere.calls[-1]
    assert call.params["PipelineName"] == "local-build"
    assert call.params["PipelineParameters"] == [{"Name": "Limit", "Value": "66.1"}]
    role = account.role.rpartition("/")[2]
    assert call.caller_arn == f"arn:aws:sts::123456789012:assumed-role/{role}/scheduler"
    account.scheduler.delete_schedule(Name=name)


def test_a_cron_is_due_in_its_zone(account):
    queue = account.create_queue()
    # The clock starts at noon UTC, or later on the same or a following day.
    tomorrow = (account.clock.now() + datetime.timedelta(days=1)).replace(hour=3, minute=30)
    local = tomorrow + datetime.timedelta(hours=9)  # Tokyo has no daylight saving
    name = account.create_schedule(
        f"cron(30 {local.hour} ? * * *)",
        {"Arn": queue, "Input": '{"at": "<aws.scheduler.scheduled-time>"}'},
        ScheduleExpressionTimezone="Asia/Tokyo",
    )

    account.clock.advance(seconds=(tomorrow - account.clock.now()).total_seconds())

    body = json.loads(account.receive(queue)["Body"])
    assert body == {"at": f"{tomorrow:%Y-%m-%dT%H:%M:00Z}"}
    account.scheduler.delete_schedule(Name=name)


def test_at_is_invoked_once_and_stays(account):
    queue = account.create_queue()
    due = _in(account, hours=1)
    name = account.create_schedule(f"at({due:%Y-%m-%dT%H:%M:%S})", {"Arn": queue})
    assert account.is_silent(queue)

    account.clock.advance(hours=1)
    event = json.loads(account.receive(queue)["Body"])
    account.clock.advance(days=1)

    assert event["source"] == "aws.scheduler"
    assert event["resources"] == [account.arn("scheduler", f"schedule/default/{name}")]
    assert account.is_silent(queue)
    assert account.scheduler.get_schedule(Name=name)["State"] == "ENABLED"


def test_times_that_passed_while_the_machine_slept_are_made_up_for_once(account):
    queue = account.create_queue()
    name = account.create_schedule("rate(1 minute)", {"Arn": queue})
    account.receive(queue)

    account.clock.advance(hours=8)

    assert account.receive(queue)
    assert account.is_silent(queue)
    account.clock.advance(minutes=1)
    assert account.receive(queue)
    account.scheduler.delete_schedule(Name=name)


def test_a_disabled_schedule_is_not_invoked(account):
    queue = account.create_queue()
    name = account.create_schedule("rate(1 minute)", {"Arn": queue}, State="DISABLED")

    account.clock.advance(minutes=2)

    assert account.is_silent(queue)
    account.scheduler.delete_schedule(Name=name)


def test_an_update_replaces_everything_and_starts_counting_anew(account):
    queue = account.create_queue()
    name = account.create_schedule(
        "rate(1 day)",
        {"Arn": queue},
        State="DISABLED",
        Description="before",
        ScheduleExpressionTimezone="Europe/Berlin",
    )
    created = account.scheduler.get_schedule(Name=name)["CreationDate"]
    account.clock.advance(seconds=7)

    account.scheduler.update_schedule(
        Name=name,
        ScheduleExpression="rate(1 hour)",
        FlexibleTimeWindow=OFF,
        Target={"Arn": queue, "RoleArn": account.role},
    )

    schedule = account.scheduler.get_schedule(Name=name)
    assert schedule["State"] == "ENABLED"
    assert schedule["ScheduleExpressionTimezone"] == "UTC"
    assert "Description" not in schedule
    assert schedule["CreationDate"] == created
    assert schedule["LastModificationDate"] > created
    assert account.is_silent(queue)
    account.clock.advance(hours=1)
    assert account.receive(queue)
    account.scheduler.delete_schedule(Name=name)


def test_a_deleted_schedule_is_invoked_no_more(account):
    queue = account.create_queue()
    name = account.create_schedule("rate(1 minute)", {"Arn": queue})
    account.receive(queue)

    account.scheduler.delete_schedule(Name=name)
    account.clock.advance(minutes=1)

    assert account.is_silent(queue)
    with pytest.raises(ClientError, match=f"Schedule {name} does not exist") as caught:
        account.scheduler.get_schedule(Name=name)
    assert caught.value.response["Error"]["Code"] == "ResourceNotFoundException"
    assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 404


def test_a_schedule_is_shown_as_it_was_given_with_awss_defaults(account):
    queue = account.create_queue()
    name = account.create_schedule(
        "cron(0 3 ? * MON#1 *)",
        {"Arn": queue, "DeadLetterConfig": {"Arn": queue}},
        ScheduleExpressionTimezone="Europe/Berlin",
    )

    schedule = account.scheduler.get_schedule(Name=name)

    assert schedule["Arn"] == account.arn("scheduler", f"schedule/default/{name}")
    assert schedule["GroupName"] == "default"
    assert schedule["ScheduleExpression"] == "cron(0 3 ? * MON#1 *)"
    assert schedule["ActionAfterCompletion"] == "NONE"
    assert schedule["FlexibleTimeWindow"] == OFF
    assert schedule["Target"]["RetryPolicy"] == {
        "MaximumEventAgeInSeconds": 86400,
        "MaximumRetryAttempts": 185,
    }


@pytest.mark.parametrize(
    ("target", "input_document", "called"),
    [
        ("codepipeline", None, {"name": "mine"}),
        (
            "codebuild",
            {"sourceVersion": "main"},
            {"projectName": "checks", "sourceVersion": "main"},
        ),
    ],
)
def test_targets_are_called_with_their_input(
    account, elsewhere, until, target, input_document, called
):
    arn = {
        "codepipeline": account.arn("codepipeline", "mine"),
        "codebuild": account.arn("codebuild", "project/checks"),
    }[target]
    given = {} if input_document is None else {"Input": json.dumps(input_document)}

    name = account.create_schedule("rate(1 day)", {"Arn": arn, **given})

    params = until(lambda: elsewhere.calls and elsewhere.calls[0]).params
    assert {member: params.get(member) for member in called} == called
    account.scheduler.delete_schedule(Name=name)


def test_a_topic_gets_the_input_as_it_is(account):
    sns, queue = account.own.client("sns"), account.create_queue()
    topic = sns.create_topic(Name=f"topic-{uuid.uuid4().hex}")["TopicArn"]
    sns.subscribe(
        TopicArn=topic, Protocol="sqs", Endpoint=queue, Attributes={"RawMessageDelivery": "true"}
    )

    name = account.create_schedule("rate(1 day)", {"Arn": topic, "Input": "Good morning"})

    assert account.receive(queue)["Body"] == "Good morning"
    account.scheduler.delete_schedule(Name=name)


def test_what_became_of_each_invocation_is_in_the_log(account, elsewhere, until):
    name = account.create_schedule("rate(1 minute)", _sagemaker(account))
    until(lambda: len(account.invocations(name)) == 1)

    def refuse():
        raise AwsError("ResourceNotFound", "Pipeline 'local-build' does not exist.")

    elsewhere.refuse = refuse
    due = account.clock.advance(minutes=1)
    first, second = until(lambda: len(account.invocations(name)) == 2 and account.invocations(name))

    assert first["outcome"] == "Succeeded"
    assert first["answer"]["PipelineExecutionArn"].endswith("pipeline/p/e")
    assert first["schedule"] == account.arn("scheduler", f"schedule/default/{name}")
    assert second["outcome"] == "Failed"
    assert second["scheduled"] == f"{due:%Y-%m-%dT%H:%M:%SZ}"
    assert (second["code"], second["reason"]) == (
        "ResourceNotFound",
        "Pipeline 'local-build' does not exist.",
    )
    account.scheduler.delete_schedule(Name=name)


def test_a_failed_invocation_goes_to_the_dead_letter_queue(account, elsewhere):
    def refuse():
        raise AwsError("ResourceNotFound", "Pipeline 'local-build' does not exist.")

    queue, elsewhere.refuse = account.create_queue(), refuse
    target = {**_sagemaker(account), "DeadLetterConfig": {"Arn": queue}, "Input": '{"a": 1}'}
    name = account.create_schedule("rate(1 day)", target)

    message = account.receive(queue)

    attributes = {
        name: attribute["StringValue"] for name, attribute in message["MessageAttributes"].items()
    }
    assert message["Body"] == '{"a": 1}'
    assert attributes["SCHEDULE_ARN"] == account.arn("scheduler", f"schedule/default/{name}")
    assert attributes["TARGET_ARN"] == target["Arn"]
    assert attributes["ERROR_CODE"] == "ResourceNotFound"
    assert attributes["ERROR_MESSAGE"] == "Pipeline 'local-build' does not exist."
    assert attributes["RETRY_ATTEMPTS"] == "0"
    account.scheduler.delete_schedule(Name=name)


QUEUE = "arn:aws:sqs:us-east-1:123456789012:mine"


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        (
            {"ScheduleExpression": "rate(5 minute)"},
            r"Invalid Schedule Expression rate\(5 minute\)\. the unit after 5 is minutes",
        ),
        (
            {"ScheduleExpression": "cron(0 3 * * *)"},
            r"Invalid Schedule Expression cron\(0 3 \* \* \*\)\. cron needs 6 fields",
        ),
        (
            {"ScheduleExpressionTimezone": "Europe/Nowhere"},
            "ScheduleExpressionTimezone Europe/Nowhere is invalid",
        ),
        ({"ScheduleExpressionTimezone": "../etc/passwd"}, "ScheduleExpressionTimezone"),
        (
            {"StartDate": datetime.datetime(2040, 1, 1, tzinfo=datetime.UTC)},
            "local_aws does not support StartDate of a schedule",
        ),
        ({"FlexibleTimeWindow": {"Mode": "FLEXIBLE"}}, "does not support FlexibleTimeWindow FLEX"),
        ({"FlexibleTimeWindow": {"Mode": "SOMETIMES"}}, "SOMETIMES"),
        ({"State": "ASLEEP"}, "ASLEEP"),
        ({"ActionAfterCompletion": "DELETE"}, "does not support ActionAfterCompletion DELETE"),
        ({"Name": "a b"}, "'a b' at 'name' failed to satisfy constraint"),
    ],
)
def test_schedules_that_aws_refuses_are_refused(account, changed, message):
    given = {
        "Name": f"refused-{uuid.uuid4().hex}",
        "ScheduleExpression": "rate(1 day)",
        "FlexibleTimeWindow": OFF,
        "Target": {"Arn": QUEUE, "RoleArn": account.role},
        **changed,
    }
    with pytest.raises(ClientError, match=message) as caught:
        account.scheduler.create_schedule(**given)

    assert caught.value.response["Error"]["Code"] == "ValidationException"
    assert not account.scheduler.list_schedules(NamePrefix="refused")["Schedules"]


@pytest.mark.parametrize(
    ("target", "message"),
    [
        (
            {"RoleArn": "arn:aws:iam::123456789012:role/nobody"},
            "The execution role you provide must allow AWS EventBridge Scheduler to assume the "
            "role. Role .*nobody does not exist",
        ),
        (
            {"Arn": "arn:aws:lambda:us-east-1:123456789012:function:f"},
            "local_aws does not support the target arn:aws:lambda",
        ),
        (
            {"Arn": "arn:aws:scheduler:::aws-sdk:sagemaker:startPipelineExecution"},
            "local_aws does not support the target arn:aws:scheduler",
        ),
        (
            {"Arn": "arn:aws:logs:us-east-1:123456789012:log-group:mine"},
            "local_aws does not support the target arn:aws:logs",
        ),
        (
            {"EcsParameters": {"TaskDefinitionArn": "x"}},
            "local_aws does not support EcsParameters",
        ),
        (
            {"DeadLetterConfig": {"Arn": f"{QUEUE}.fifo"}},
            "mine.fifo' at 'target.deadLetterConfig.arn' failed to satisfy",
        ),
    ],
)
def test_targets_that_can_not_be_invoked_are_refused_by_name(account, target, message):
    with pytest.raises(ClientError, match=message) as caught:
        account.create_schedule("rate(1 day)", {"Arn": QUEUE, **target})

    assert caught.value.response["Error"]["Code"] == "ValidationException"


def test_a_role_that_trusts_another_service_is_refused(account):
    with pytest.raises(ClientError, match="must allow AWS EventBridge Scheduler to assume"):
        account.create_schedule("rate(1 day)", {"Arn": QUEUE, "RoleArn": account.events_role})


def test_a_name_can_be_used_once_and_a_token_for_one_schedule(account):
    given = {
        "Name": f"once-{uuid.uuid4().hex}",
        "ScheduleExpression": "rate(1 day)",
        "FlexibleTimeWindow": OFF,
        "Target": {"Arn": account.create_queue(), "RoleArn": account.role},
        "State": "DISABLED",
    }
    token = uuid.uuid4().hex
    first = account.scheduler.create_schedule(**given, ClientToken=token)

    assert (
        account.scheduler.create_schedule(**given, ClientToken=token)["ScheduleArn"]
        == (first["ScheduleArn"])
    )
    with pytest.raises(ClientError, match="already exists") as caught:
        account.scheduler.create_schedule(**given)
    assert caught.value.response["Error"]["Code"] == "ConflictException"
    account.scheduler.delete_schedule(Name=given["Name"])
    account.scheduler.create_schedule(**given, ClientToken=token)
    assert account.scheduler.get_schedule(Name=given["Name"])["State"] == "DISABLED"


def test_there_is_one_group(account):
    with pytest.raises(ClientError, match="Schedule group team does not exist"):
        account.create_schedule("rate(1 day)", {"Arn": QUEUE}, GroupName="team")
    with pytest.raises(ClientError, match="scheduler:CreateScheduleGroup"):
        account.scheduler.create_schedule_group(Name="team")


def test_schedules_are_listed_in_pages_and_by_state(account):
    prefix = f"paged-{uuid.uuid4().hex[:6]}"
    for number in range(3):
        account.scheduler.create_schedule(
            Name=f"{prefix}-{number}",
            ScheduleExpression="cron(0 3 1 1 ? 2090)",
            FlexibleTimeWindow=OFF,
            State="DISABLED" if number == 0 else "ENABLED",
            Target={"Arn": QUEUE, "RoleArn": account.role},
        )

    first = account.scheduler.list_schedules(NamePrefix=prefix, MaxResults=2)
    rest = account.scheduler.list_schedules(NamePrefix=prefix, NextToken=first["NextToken"])
    enabled = account.scheduler.list_schedules(NamePrefix=prefix, State="ENABLED")

    assert [each["Name"] for each in first["Schedules"]] == [f"{prefix}-0", f"{prefix}-1"]
    assert [each["Name"] for each in rest["Schedules"]] == [f"{prefix}-2"]
    assert [each["Name"] for each in enabled["Schedules"]] == [f"{prefix}-1", f"{prefix}-2"]


def test_the_aws_command_line_makes_and_shows_schedules(account):
    name = f"cli-{uuid.uuid4().hex}"
    target = json.dumps({"Arn": account.create_queue(), "RoleArn": account.role})

    account.aws(
        "scheduler",
        "create-schedule",
        f"--name={name}",
        "--schedule-expression=cron(0 3 ? * MON#1 *)",
        "--flexible-time-window=Mode=OFF",
        f"--target={target}",
    )
    shown = json.loads(account.aws("scheduler", "get-schedule", f"--name={name}"))

    assert shown["ScheduleExpression"] == "cron(0 3 ? * MON#1 *)"


def test_on_the_machines_clock_a_real_pipeline_is_started_and_close_ends_all_threads(
    tmp_path, until
):
    threads_before = threading.active_count()
    gateway = Gateway(tmp_path, lambda own: [PipelineExecutions(own), Schedules(own)]).start()
    iam = gateway.own.client("iam")
    roles = {}
    for principal in ("sagemaker", "scheduler"):
        policy = {"Statement": [{"Principal": {"Service": f"{principal}.amazonaws.com"}}]}
        roles[principal] = iam.create_role(
            RoleName=f"{principal}-{uuid.uuid4().hex}", AssumeRolePolicyDocument=json.dumps(policy)
        )["Role"]["Arn"]
    sagemaker, name = gateway.own.client("sagemaker"), f"p-{uuid.uuid4().hex}"
    definition = {"Version": "2020-12-01", "Parameters": [], "Steps": [
        {"Name": "Stop", "Type": "Fail", "Arguments": {"ErrorMessage": "on purpose"}}
    ]}  # fmt: skip
    arn = sagemaker.create_pipeline(
        PipelineName=name,
        PipelineDefinition=json.dumps(definition),
        ClientRequestToken="t" * 32,
        RoleArn=roles["sagemaker"],
    )["PipelineArn"]
    due = datetime.datetime.now(datetime.UTC) + datetime.timedelta(seconds=2)
    gateway.own.client("scheduler").create_schedule(
        Name="soon",
        ScheduleExpression=f"at({due:%Y-%m-%dT%H:%M:%S})",
        FlexibleTimeWindow=OFF,
        Target={"Arn": arn, "RoleArn": roles["scheduler"]},
    )

    until(
        lambda: sagemaker.list_pipeline_executions(PipelineName=name)["PipelineExecutionSummaries"]
    )
    began = time.monotonic()
    gateway.close()

    assert time.monotonic() - began < 3
    assert threading.active_count() <= threads_before
