"""InvokeEndpoint: the request to the model server, its answer or AWS's error to the caller."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping

import urllib3

from local_aws.aws_protocol import Call, RawResponse
from local_aws.errors import AwsError
from local_aws.own_aws import OwnAws
from local_aws.sagemaker.endpoints.serving import Serving

# AWS's limits for a request's body.
LIMIT_BYTES = 6 * 1024 * 1024
SERVERLESS_LIMIT_BYTES = 4 * 1024 * 1024

_UNSUPPORTED = (
    *("TargetModel", "TargetContainerHostname", "InferenceComponentName", "EnableExplanations"),
    *("SessionId", "PrefixAwareId"),
)
# Parameters of the call, and the headers that the container sees.
_HEADERS = {
    "ContentType": "Content-Type",
    "Accept": "Accept",
    "CustomAttributes": "X-Amzn-SageMaker-Custom-Attributes",
    "InferenceId": "X-Amzn-SageMaker-Inference-Id",
}
_CUSTOM_ATTRIBUTES = "X-Amzn-SageMaker-Custom-Attributes"


def check_invocation(call: Call, serving: Serving) -> None:
    """Raise AwsError for what the endpoint would not even pass on."""
    for name in _UNSUPPORTED:
        if call.params.get(name):
            raise AwsError("ValidationError", f"local_aws does not support {name}")
    variant = call.params.get("TargetVariant", serving.variant.name)
    if variant != serving.variant.name:
        raise AwsError(
            "ValidationError",
            f"Variant {variant} not found for Endpoint {serving.variant.endpoint_name}.",
        )
    serverless = "ServerlessConfig" in serving.variant.definition
    limit = SERVERLESS_LIMIT_BYTES if serverless else LIMIT_BYTES
    if len(call.body) > limit:
        raise AwsError("413", f"HTTP content length exceeded {limit} bytes.", 413)


def invoke(own: OwnAws, call: Call, serving: Serving) -> RawResponse:
    """The model's answer, or ModelError (HTTP 424) with the model server's own."""
    headers = {name: call.params[key] for key, name in _HEADERS.items() if call.params.get(key)}
    if not serving.healthy:
        raise _restarting(serving)
    started, status = time.monotonic(), 0
    try:
        answer = serving.invoke(call.body, headers)
        status = answer.status
    except urllib3.exceptions.ReadTimeoutError:
        waiting = (
            "Your invocation timed out while waiting for a response from container primary. "
            "Review the latency metrics for each container in Amazon CloudWatch, resolve the "
            "issue, and try again."
        )
        return _model_error(own, serving, 0, waiting)
    except urllib3.exceptions.HTTPError as err:
        return _model_error(own, serving, 0, f"no answer from the model server: {err}")
    finally:
        serving.metrics.add(time.monotonic() - started, status)
    if answer.status >= 400:
        return _model_error(own, serving, answer.status, answer.data.decode(errors="replace"))
    if len(answer.data) > LIMIT_BYTES:
        text = f"Response payload size {len(answer.data)} exceeds {LIMIT_BYTES} bytes"
        return _model_error(own, serving, answer.status, text)
    return RawResponse(200, _answer_headers(serving, answer.headers), answer.data)


def _answer_headers(serving: Serving, headers: Mapping[str, str]) -> dict[str, str]:
    passed = {
        "Content-Type": headers.get("Content-Type", "application/octet-stream"),
        "x-Amzn-Invoked-Production-Variant": serving.variant.name,
    }
    if _CUSTOM_ATTRIBUTES in headers:
        passed[_CUSTOM_ATTRIBUTES] = headers[_CUSTOM_ATTRIBUTES]
    return passed


def _restarting(serving: Serving) -> AwsError:
    return AwsError(
        "ServiceUnavailable",
        f"The model server of endpoint {serving.variant.endpoint_name} ended and is being "
        f"restarted; its log: {serving.log_path}",
        503,
    )


def _model_error(own: OwnAws, serving: Serving, status: int, original: str) -> RawResponse:
    side = "client" if 400 <= status < 500 else "server"
    group = f"/aws/sagemaker/Endpoints/{serving.variant.endpoint_name}"
    document = {
        "ErrorCode": "CLIENT_ERROR_FROM_MODEL"
        if side == "client"
        else "INTERNAL_FAILURE_FROM_MODEL",
        "LogStreamArn": serving.log_stream_arn,
        "Message": (
            f'Received {side} error ({status}) from primary with message "{original}". See '
            f"{group} in account {own.account} (local-aws logs {serving.variant.endpoint_name}) "
            "for more information."
        ),
        "OriginalMessage": original,
        "OriginalStatusCode": status,
    }
    headers = {"Content-Type": "application/json", "x-amzn-ErrorType": "ModelError"}
    return RawResponse(424, headers, json.dumps(document).encode())
