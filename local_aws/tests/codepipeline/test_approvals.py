"""Manual approvals: who answers, with which token, and what the pipeline shows of it."""

from __future__ import annotations

import getpass
import json
import uuid
from typing import Any

import pytest
from botocore.exceptions import ClientError

DEVELOPER = f"arn:aws:iam::123456789012:user/{getpass.getuser()}"


@pytest.fixture
def pipeline(account: Any, declare: Any) -> Any:
    """Source, a stage with an approval, another one; its first execution comes to the approval."""
    return account.create(
        account.source_stage(),
        declare.stage("Ask", declare.approval()),
        declare.stage("Last", declare.approval("Again")),
    )


def test_approved_goes_on_and_shows_who_and_why(pipeline: Any, account: Any) -> None:
    execution_id = pipeline.first()
    token = pipeline.asked("Ask", "Approve", execution_id)
    assert "latestExecution" not in pipeline.action("Last", "Again")

    pipeline.answer("Ask", "Approve", token, summary="looks good")
    pipeline.approve("Last", "Again", execution_id)

    assert pipeline.ended(execution_id) == "Succeeded"
    shown = pipeline.latest("Ask", "Approve")
    assert shown["status"] == "Succeeded"
    assert (shown["summary"], shown["lastUpdatedBy"]) == ("looks good", DEVELOPER)
    assert "token" not in shown


def test_rejected_fails_the_execution_and_says_who_and_why(pipeline: Any, account: Any) -> None:
    execution_id = pipeline.first()

    pipeline.reject("Ask", "Approve")

    assert pipeline.ended(execution_id) == "Failed"
    shown = pipeline.latest("Ask", "Approve")
    assert shown["status"] == "Failed"
    assert (shown["summary"], shown["lastUpdatedBy"]) == ("not this one", DEVELOPER)
    assert shown["errorDetails"]["message"] == f"Rejected by {DEVELOPER}: not this one"
    assert pipeline.stage("Ask")["latestExecution"]["status"] == "Failed"
    assert "latestExecution" not in pipeline.stage("Last")
    (_, run) = pipeline.runs(execution_id)
    assert (run["actionName"], run["status"], run["updatedBy"]) == ("Approve", "Failed", DEVELOPER)


def test_answered_token_is_refused(pipeline: Any) -> None:
    token = pipeline.asked("Ask", "Approve")
    pipeline.answer("Ask", "Approve", token)

    with pytest.raises(ClientError, match="ApprovalAlreadyCompletedException"):
        pipeline.answer("Ask", "Approve", token, "Rejected")


@pytest.mark.parametrize(
    ("stage", "action", "error"),
    [
        ("Ask", "Approve", "InvalidApprovalTokenException"),
        ("Ask", "Other", "ActionNotFoundException"),
        ("Other", "Approve", "StageNotFoundException"),
    ],
)
def test_unknown_approval_is_refused(pipeline: Any, stage: str, action: str, error: str) -> None:
    with pytest.raises(ClientError, match=error):
        pipeline.answer(stage, action, str(uuid.uuid4()))


def test_nobody_answers_and_it_expires(account: Any, declare: Any) -> None:
    pipeline = account.create(
        account.source_stage(),
        declare.stage("Ask", declare.approval(timeoutInMinutes=5)),
    )
    token = pipeline.asked("Ask", "Approve")

    assert pipeline.ended(pipeline.first()) == "Failed"
    error = pipeline.latest("Ask", "Approve")["errorDetails"]
    assert error["code"] == "ApprovalExpired"
    assert "within 5 minutes" in error["message"]
    with pytest.raises(ClientError, match="InvalidApprovalTokenException"):
        pipeline.answer("Ask", "Approve", token)


def test_notification_has_the_documented_form(account: Any, declare: Any) -> None:
    own = account.gateway.own
    topic = own.client("sns").create_topic(Name=f"topic-{uuid.uuid4().hex}")["TopicArn"]
    sqs = own.client("sqs")
    queue = sqs.create_queue(QueueName=f"queue-{uuid.uuid4().hex}")["QueueUrl"]
    queue_arn = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])
    own.client("sns").subscribe(
        TopicArn=topic, Protocol="sqs", Endpoint=queue_arn["Attributes"]["QueueArn"]
    )
    configuration = {
        "NotificationArn": topic,
        "CustomData": "version #{Source.CommitId}",
        "ExternalEntityLink": "https://example.com/7",
    }
    approval = declare.approval(configuration=configuration)
    pipeline = account.create(
        account.source_stage(namespace="Source"), declare.stage("Ask", approval)
    )
    token = pipeline.asked("Ask", "Approve")

    (message,) = declare.eventually(lambda: sqs.receive_message(QueueUrl=queue).get("Messages"))
    notice = json.loads(message["Body"])
    document = json.loads(notice["Message"])
    asked = document["approval"]
    assert notice["Subject"].startswith("APPROVAL NEEDED: AWS CodePipeline")
    assert asked["pipelineName"] == pipeline.name
    assert (asked["stageName"], asked["actionName"]) == ("Ask", "Approve")
    assert asked["token"] == token
    assert asked["approvalReviewLink"].endswith(f"/Ask/Approve/approve/{token}")
    assert asked["customData"].startswith("version ")
    assert "#{" not in asked["customData"]
    assert asked["externalEntityLink"] == "https://example.com/7"
    assert document["region"] == "us-east-1"
    assert document["consoleLink"].endswith(f"#/view/{pipeline.name}")
    assert pipeline.action("Ask", "Approve")["entityUrl"] == "https://example.com/7"


def test_topic_that_is_not_there_fails_the_approval(account: Any, declare: Any) -> None:
    topic = "arn:aws:sns:us-east-1:123456789012:nowhere"
    pipeline = account.create(
        account.source_stage(),
        declare.stage("Ask", declare.approval(configuration={"NotificationArn": topic})),
    )

    assert pipeline.ended(pipeline.first()) == "Failed"
    assert topic in pipeline.latest("Ask", "Approve")["errorDetails"]["message"]
