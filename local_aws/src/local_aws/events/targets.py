"""Which ARNs can be a target of rules and schedules, and the AWS call that each of them means."""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from botocore.exceptions import ClientError

from local_aws.errors import AwsError
from local_aws.own_aws import OwnAws

EVENTS = "events.amazonaws.com"
SCHEDULER = "scheduler.amazonaws.com"

# Members of a target that configure targets which local_aws does not have.
_OTHER_PARAMETERS = frozenset(
    {
        "AppSyncParameters",
        "BatchParameters",
        "EcsParameters",
        "EventBridgeParameters",
        "EventBridgePutEventsV2Parameters",
        "EventBridgePutRawEventsParameters",
        "HttpParameters",
        "KinesisParameters",
        "RedshiftDataParameters",
        "RunCommandParameters",
    }
)


@dataclass(frozen=True, kw_only=True)
class Invocation:
    """A target to be called, on behalf of `principal`.

    `chosen` says that a person wrote the payload; otherwise it is the event as it came, which
    services that need no payload ignore.
    """

    arn: str
    role_arn: str | None
    principal: str
    payload: str
    chosen: bool
    settings: Mapping[str, Any] = field(default_factory=dict)


def check_target(own: OwnAws, target: Mapping[str, Any]) -> None:
    """Raise ValidationException for a target that local_aws or AWS does not take."""
    arn = target["Arn"]
    if _kind_of(own, arn).needs_role and "RoleArn" not in target:
        raise AwsError("ValidationException", f"RoleArn is required for target {arn}.")
    for member in sorted(_OTHER_PARAMETERS & target.keys()):
        raise AwsError("ValidationException", f"local_aws does not support {member} ({arn})")
    for member, service in (("SageMakerPipelineParameters", "sagemaker"), ("SqsParameters", "sqs")):
        if member in target and f":{service}:" not in arn:
            raise AwsError("ValidationException", f"{member} is not for the target {arn}")
    dead_letters = target.get("DeadLetterConfig", {}).get("Arn")
    if dead_letters is not None and (
        not _pattern(own, r"sqs:{region}:{account}:[\w-]+").fullmatch(dead_letters)
    ):
        raise AwsError(
            "ValidationException",
            f"DeadLetterConfig: {dead_letters} is not a standard queue of this account and region",
        )


def call_target(own: OwnAws, invocation: Invocation) -> Mapping[str, Any]:
    """What AWS answered to the call. Raises what boto3 raises, or AwsError."""
    kind = _kind_of(own, invocation.arn)
    answer = kind.call(_client(own, kind.service, invocation), invocation)
    return {name: value for name, value in answer.items() if name != "ResponseMetadata"}


def send_to_queue(own: OwnAws, queue_arn: str, body: str, attributes: Mapping[str, str]) -> None:
    """A message with attributes to an SQS queue."""
    sqs = own.client("sqs")
    sqs.send_message(
        QueueUrl=_queue_url(sqs, queue_arn),
        MessageBody=body,
        MessageAttributes={
            name: {"DataType": "String", "StringValue": value or "-"}
            for name, value in attributes.items()
        },
    )


@dataclass(frozen=True)
class _Kind:
    service: str
    resource: str
    needs_role: bool
    call: Callable[[Any, Invocation], Mapping[str, Any]]


def _kind_of(own: OwnAws, arn: str) -> _Kind:
    for kind in _KINDS:
        if _pattern(own, kind.resource).fullmatch(arn):
            return kind
    raise AwsError(
        "ValidationException",
        f"local_aws does not support the target {arn}. It supports, of account {own.account} and "
        f"region {own.region}: CodePipeline and SageMaker pipelines, CodeBuild projects, SNS "
        "topics, SQS queues.",
    )


def _pattern(own: OwnAws, resource: str) -> re.Pattern[str]:
    return re.compile("arn:aws:" + resource.format(region=own.region, account=own.account))


def _start_code_pipeline(client: Any, invocation: Invocation) -> Mapping[str, Any]:
    answer: Mapping[str, Any] = client.start_pipeline_execution(
        name=invocation.arn.rpartition(":")[2], clientRequestToken=str(uuid.uuid4())
    )
    return answer


def _start_sagemaker_pipeline(client: Any, invocation: Invocation) -> Mapping[str, Any]:
    parameters = invocation.settings.get("SageMakerPipelineParameters", {})
    answer: Mapping[str, Any] = client.start_pipeline_execution(
        PipelineName=invocation.arn.rpartition("/")[2],
        PipelineParameters=parameters.get("PipelineParameterList", []),
        ClientRequestToken=str(uuid.uuid4()),
    )
    return answer


def _start_build(client: Any, invocation: Invocation) -> Mapping[str, Any]:
    overrides = _object(invocation) if invocation.chosen else {}
    answer = client.start_build(
        **{**overrides, "projectName": invocation.arn.rpartition("/")[2]},
    )
    return {"id": answer["build"]["id"]}


def _publish(client: Any, invocation: Invocation) -> Mapping[str, Any]:
    answer: Mapping[str, Any] = client.publish(TopicArn=invocation.arn, Message=invocation.payload)
    return answer


def _send_message(client: Any, invocation: Invocation) -> Mapping[str, Any]:
    answer: Mapping[str, Any] = client.send_message(
        QueueUrl=_queue_url(client, invocation.arn),
        MessageBody=invocation.payload,
        **invocation.settings.get("SqsParameters", {}),
    )
    return answer


def _client(own: OwnAws, service: str, invocation: Invocation) -> Any:
    try:
        return own.client(service, invocation.role_arn, principal=invocation.principal)
    except AwsError as err:
        raise AwsError("FAILED_TO_ASSUME_ROLE", err.message) from err


def _object(invocation: Invocation) -> dict[str, Any]:
    try:
        document = json.loads(invocation.payload)
    except ValueError as err:
        raise AwsError("INVALID_JSON", f"the input is no JSON: {err}") from err
    if not isinstance(document, dict):
        raise AwsError("INVALID_JSON", "the input is no JSON object")
    return document


def _queue_url(client: Any, queue_arn: str) -> str:
    return str(client.get_queue_url(QueueName=queue_arn.rpartition(":")[2])["QueueUrl"])


_KINDS = (
    _Kind("codepipeline", r"codepipeline:{region}:{account}:[\w.@-]+", True, _start_code_pipeline),
    _Kind(
        "sagemaker",
        r"sagemaker:{region}:{account}:pipeline/[\w-]+",
        True,
        _start_sagemaker_pipeline,
    ),
    _Kind("codebuild", r"codebuild:{region}:{account}:project/[\w-]+", True, _start_build),
    _Kind("sns", r"sns:{region}:{account}:[\w.-]+", False, _publish),
    _Kind("sqs", r"sqs:{region}:{account}:[\w.-]+", False, _send_message),
)


def error_of(error: Exception) -> tuple[str, str]:
    """(code, message) of what a call raised."""
    if isinstance(error, ClientError):
        answer = error.response["Error"]
        return str(answer["Code"]), str(answer["Message"])
    if isinstance(error, AwsError):
        return error.code, error.message
    return type(error).__name__, str(error)
