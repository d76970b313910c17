"""Whether anybody is told when something fails."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from mlops.platform.doctor.finding import Finding, ok, skipped, warning
from mlops.platform.doctor.patient import Patient
from mlops.platform.stacks import IMAGES, MLFLOW


def check(patient: Patient) -> Iterator[Finding]:
    """Someone is subscribed to each topic, and has confirmed the mail from SNS."""
    stacks = [project.stack.name for project in patient.projects()]
    if not patient.choices.project:
        known = patient.account.stacks()
        stacks = [kind.name for kind in (IMAGES, MLFLOW) if kind.name in known] + stacks
    topics = [
        resource.physical_id
        for stack in stacks
        for resource in patient.account.resources(stack)
        if resource.kind == "AWS::SNS::Topic"
    ]
    if not topics:
        yield skipped(f"no topics: {patient.no_projects()}")
    pages = patient.account.client("sns").get_paginator("list_subscriptions_by_topic")
    for topic in topics:
        subscriptions = [
            subscription
            for page in pages.paginate(TopicArn=topic)
            for subscription in page["Subscriptions"]
        ]
        yield from judge(topic, subscriptions)


def judge(topic: str, subscriptions: Sequence[Mapping[str, str]]) -> list[Finding]:
    """What the subscriptions of a topic ask for."""
    name = topic.rpartition(":")[2]

    def subscribe(address: str) -> str:
        return (
            f"aws sns subscribe --topic-arn {topic} --protocol email "
            f"--notification-endpoint {address}"
        )

    if not subscriptions:
        return [warning(f"nobody is told of what {name} tells", subscribe("team@example.com"))]
    pending = [
        subscription["Endpoint"]
        for subscription in subscriptions
        if subscription["SubscriptionArn"] in ("PendingConfirmation", "Deleted")
    ]
    if pending:
        return [
            warning(
                f"{endpoint} has not confirmed {name}, and is told nothing",
                f"open the mail of no-reply@sns.amazonaws.com there; another one: "
                f"`{subscribe(endpoint)}`",
            )
            for endpoint in pending
        ]
    return [ok(f"{name}: {len(subscriptions)} confirmed")]
