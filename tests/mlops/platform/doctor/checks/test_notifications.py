from __future__ import annotations

from mlops.platform.doctor.checks.notifications import check, judge

_TOPIC = "arn:aws:sns:eu-west-1:123456789012:sagemaker-housing"


def test_a_mail_that_nobody_confirmed_is_told():
    subscriptions = [
        {"Endpoint": "a@example.com", "SubscriptionArn": f"{_TOPIC}:0a"},
        {"Endpoint": "b@example.com", "SubscriptionArn": "PendingConfirmation"},
    ]
    [finding] = judge(_TOPIC, subscriptions)
    assert finding.status == "warning"
    assert finding.message == (
        "b@example.com has not confirmed sagemaker-housing, and is told nothing"
    )
    assert f"aws sns subscribe --topic-arn {_TOPIC}" in finding.remedy


def test_nobody_subscribed_is_told():
    [finding] = judge(_TOPIC, [])
    assert finding.status == "warning"
    assert "nobody is told of what sagemaker-housing tells" in finding.message


def test_the_topics_are_those_of_the_stacks(patient, deploy):
    mail = {"Protocol": "email", "Endpoint": "team@example.com"}
    topic = {"Type": "AWS::SNS::Topic", "Properties": {"Subscription": [mail]}}
    deploy("sagemaker-mlflow-server", {"Resources": {"Alarms": topic}})
    deploy("something-else", {"Resources": {"Topic": {"Type": "AWS::SNS::Topic"}}})
    [finding] = check(patient())
    assert finding.status in ("ok", "warning")  # moto confirms at once
    assert "sagemaker-mlflow-server" in finding.message
    [finding] = check(patient(project="housing"))
    assert (finding.status, finding.message) == (
        "skipped",
        "no topics: no stack of project housing",
    )
