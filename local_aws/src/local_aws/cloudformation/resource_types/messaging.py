"""SNS topics with their subscriptions and policies, and SQS queues."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from botocore.exceptions import ClientError

from local_aws.cloudformation.intrinsics import as_text
from local_aws.cloudformation.resource_types.calls import call, call_unless_gone, is_gone
from local_aws.cloudformation.resource_types.described import (
    AttachedPolicy,
    DescribedType,
    changed,
)
from local_aws.cloudformation.resource_types.resource_type import (
    Physical,
    Provisioner,
    ProvisioningError,
    ResourceType,
)
from local_aws.cloudformation.resource_types.tags import retag, tags_in

_TOPIC_ATTRIBUTES = (
    *("DisplayName", "KmsMasterKeyId", "SignatureVersion", "TracingConfig", "ArchivePolicy"),
    *("FifoTopic", "ContentBasedDeduplication", "FifoThroughputScope"),
)
# What an attribute of a queue is when the template says nothing of it.
_QUEUE_DEFAULTS = {
    "ContentBasedDeduplication": "false",
    "DeduplicationScope": "queue",
    "DelaySeconds": "0",
    "FifoThroughputLimit": "perQueue",
    "KmsDataKeyReusePeriodSeconds": "300",
    "KmsMasterKeyId": "",
    "MaximumMessageSize": "262144",
    "MessageRetentionPeriod": "345600",
    "ReceiveMessageWaitTimeSeconds": "0",
    "RedriveAllowPolicy": "",
    "RedrivePolicy": "",
    "SqsManagedSseEnabled": "true",
    "VisibilityTimeout": "30",
}


@dataclass(frozen=True, kw_only=True)
class _Topic(DescribedType):
    """A topic with the subscriptions that stand in it."""

    def create(self, by: Provisioner, properties: Mapping[str, Any], name: str) -> Physical:
        suffix = ".fifo" if properties.get("FifoTopic") else ""
        chosen = self.custom_name(properties) or name + suffix
        arn = by.own.arn("sns", chosen)
        sns = by.client("sns")
        look = by.onlooker("sns")
        _require_absent(self.type, chosen, lambda: look.get_topic_attributes(TopicArn=arn))
        parameters = {"Name": chosen, "Attributes": _attributes(properties, _TOPIC_ATTRIBUTES)}
        answer = call(sns, "CreateTopic", {**parameters, "Tags": tags_in(properties) or None})
        return Physical(answer["TopicArn"], {"TopicArn": answer["TopicArn"], "TopicName": chosen})

    def update(
        self, by: Provisioner, physical: Physical, old: Mapping[str, Any], new: Mapping[str, Any]
    ) -> None:
        sns = by.client("sns")
        had, wanted = (_attributes(p, _TOPIC_ATTRIBUTES) for p in (old, new))
        for name in sorted(changed(had, wanted)):
            value = wanted.get(name, "")
            sns.set_topic_attributes(TopicArn=physical.id, AttributeName=name, AttributeValue=value)
        if "Tags" in changed(old, new):
            retag(sns, physical.id, tags_in(old), tags_in(new))
        self.arrange(by, physical, old, new)

    def arrange(
        self, by: Provisioner, physical: Physical, old: Mapping[str, Any], new: Mapping[str, Any]
    ) -> None:
        sns = by.client("sns")
        had, wanted = (
            {(s["Protocol"], s["Endpoint"]) for s in p.get("Subscription", [])} for p in (old, new)
        )
        for protocol, endpoint in sorted(wanted - had):
            sns.subscribe(TopicArn=physical.id, Protocol=protocol, Endpoint=endpoint)
        if had - wanted:
            pages = sns.get_paginator("list_subscriptions_by_topic").paginate(TopicArn=physical.id)
            for subscription in (s for page in pages for s in page["Subscriptions"]):
                if (subscription["Protocol"], subscription["Endpoint"]) in had - wanted:
                    arn = subscription["SubscriptionArn"]
                    call_unless_gone(sns, "Unsubscribe", {"SubscriptionArn": arn})

    def delete(self, by: Provisioner, physical: Physical, properties: Mapping[str, Any]) -> None:
        self.arrange(by, physical, properties, {})
        call_unless_gone(by.client("sns"), "DeleteTopic", {"TopicArn": physical.id})


@dataclass(frozen=True, kw_only=True)
class _Queue(DescribedType):
    """A queue; Ref gives its URL."""

    def create(self, by: Provisioner, properties: Mapping[str, Any], name: str) -> Physical:
        suffix = ".fifo" if properties.get("FifoQueue") else ""
        chosen = self.custom_name(properties) or name + suffix
        sqs = by.client("sqs")
        look = by.onlooker("sqs")
        _require_absent(self.type, chosen, lambda: look.get_queue_url(QueueName=chosen))
        attributes = _attributes(properties, ("FifoQueue", *_QUEUE_DEFAULTS))
        parameters = {
            "QueueName": chosen,
            "Attributes": attributes,
            "Tags": tags_in(properties) or None,
        }
        url = call(sqs, "CreateQueue", parameters)["QueueUrl"]
        return Physical(
            url, {"Arn": by.own.arn("sqs", chosen), "QueueName": chosen, "QueueUrl": url}
        )

    def update(
        self, by: Provisioner, physical: Physical, old: Mapping[str, Any], new: Mapping[str, Any]
    ) -> None:
        sqs = by.client("sqs")
        had, wanted = (_attributes(p, tuple(_QUEUE_DEFAULTS)) for p in (old, new))
        differing = {n: wanted.get(n, _QUEUE_DEFAULTS[n]) for n in sorted(changed(had, wanted))}
        if differing:
            sqs.set_queue_attributes(QueueUrl=physical.id, Attributes=differing)
        if "Tags" in changed(old, new):
            retag(sqs, physical.id, tags_in(old), tags_in(new))

    def delete(self, by: Provisioner, physical: Physical, properties: Mapping[str, Any]) -> None:  # noqa: ARG002
        call_unless_gone(by.client("sqs"), "DeleteQueue", {"QueueUrl": physical.id})


@dataclass(frozen=True, kw_only=True)
class _TopicPolicy(AttachedPolicy):
    """A policy put on topics; taken away, they have SNS's default one again."""

    def arrange(
        self,
        by: Provisioner,
        physical: Physical,  # noqa: ARG002
        old: Mapping[str, Any],
        new: Mapping[str, Any],
    ) -> None:
        for arn in sorted(set(old.get("Topics", [])) - set(new.get("Topics", []))):
            self._set(by, arn, _default_topic_policy(by, arn))
        for arn in new.get("Topics", []):
            self._set(by, arn, new["PolicyDocument"])

    def _set(self, by: Provisioner, arn: str, policy: Mapping[str, Any]) -> None:
        parameters = {"TopicArn": arn, "AttributeName": "Policy", "AttributeValue": policy}
        call_unless_gone(by.client("sns"), "SetTopicAttributes", parameters)


def _attributes(properties: Mapping[str, Any], names: tuple[str, ...]) -> dict[str, str]:
    """The properties as the services keep them: everything is text."""
    return {
        name: json.dumps(properties[name])
        if isinstance(properties[name], (Mapping, list))
        else as_text(properties[name])
        for name in names
        if name in properties
    }


def _require_absent(kind: str, name: str, look: Any) -> None:
    """Creating is idempotent in these APIs, but a stack must not take over what others made."""
    try:
        look()
    except ClientError as err:
        if is_gone(err):
            return
        raise
    raise ProvisioningError(
        f"Resource of type '{kind}' with identifier '{name}' already exists. "
        "(HandlerErrorCode: AlreadyExists)"
    )


def _default_topic_policy(by: Provisioner, arn: str) -> dict[str, Any]:
    actions = (
        *("GetTopicAttributes", "SetTopicAttributes", "AddPermission", "RemovePermission"),
        *("DeleteTopic", "Subscribe", "ListSubscriptionsByTopic", "Publish"),
    )
    return {
        "Version": "2008-10-17",
        "Id": "__default_policy_ID",
        "Statement": [
            {
                "Sid": "__default_statement_ID",
                "Effect": "Allow",
                "Principal": {"AWS": "*"},
                "Action": [f"SNS:{action}" for action in actions],
                "Resource": arn,
                "Condition": {"StringEquals": {"AWS:SourceOwner": by.own.account}},
            }
        ],
    }


TYPES: tuple[ResourceType, ...] = (
    _Topic(
        type="AWS::SNS::Topic",
        named_by="TopicName",
        attributes=frozenset({"TopicArn", "TopicName"}),
        refused=frozenset({"DataProtectionPolicy", "DeliveryStatusLogging", "MaximumMessageSize"}),
    ),
    _TopicPolicy(type="AWS::SNS::TopicPolicy", attributes=frozenset({"Id"})),
    _Queue(
        type="AWS::SQS::Queue",
        named_by="QueueName",
        attributes=frozenset({"Arn", "QueueName", "QueueUrl"}),
    ),
)
