"""AWS requests decoded, answers encoded, by botocore's service models.

decode(request) -> Call              which operation, with which parameters, validated
encode(call, result) -> RawResponse  the answer in the call's protocol
encode_error(...)   -> RawResponse   an AwsError in the same protocol

The parsers and serializers are moto's (moto.core.parse, moto.core.serialize): it brings one for
each AWS protocol but smithy-rpc-v2-cbor, which no botocore prefers.
"""

from __future__ import annotations

import functools
import json
import re
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from xml.sax.saxutils import escape

from moto.core.model import OperationModel, ServiceModel
from moto.core.parse import PROTOCOL_PARSERS
from moto.core.request import Request
from moto.core.serialize import get_serializer_class
from moto.core.utils import get_service_model

from local_aws.errors import AwsError
from local_aws.request_checks import check_request
from local_aws.rest_routes import find_route

# Services that write XML whether or not a form asks them; S3 does too, in a shape of its own.
_XML_SERVICES = frozenset({"cloudformation", "cloudfront", "iam", "route53", "sts"})
_INVOKE = re.compile(r"^/endpoints/(?P<EndpointName>[^/]+)/invocations$")
# REST services of which local_aws executes something.
_REST_SERVICES = frozenset({"scheduler"})


@dataclass(frozen=True)
class Call:
    """One AWS API call.

    Decoded: `service` and `operation` as boto3 names them, `params` typed by the model;
    `caller_arn` is the user or the assumed role that signed it.
    """

    service: str
    operation: str
    params: dict[str, Any]
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    caller_arn: str = ""


@dataclass(frozen=True)
class RawResponse:
    """An HTTP answer that is already encoded."""

    status: int
    headers: dict[str, str]
    body: bytes


def operation_of(request: Request, signed_for: str) -> tuple[str, str]:
    """(service, operation) as boto3 names them, from the signing name.

    The operation is empty for REST services such as S3.
    """
    if signed_for == "sagemaker" and _INVOKE.match(request.path):
        return "sagemaker-runtime", "InvokeEndpoint"
    target = request.headers.get("X-Amz-Target", "")
    if target:
        return signed_for, target.rsplit(".", 1)[-1]
    if signed_for in _REST_SERVICES:
        route = find_route(signed_for, request.method, _raw_path(request))
        return signed_for, route.operation if route else ""
    if signed_for != "s3":
        request.get_data(cache=True)  # keeps the body, which reading the form would use up
        return signed_for, request.values.get("Action", "")
    return signed_for, ""


def speaks_json(service: str, request: Request) -> bool:
    """Whether the service answers in JSON. Query sends a form; all but a few others read JSON."""
    return service not in {"s3", "ec2", *_XML_SERVICES} and not _is_query(request)


def _is_query(request: Request) -> bool:
    return str(request.mimetype) == "application/x-www-form-urlencoded"


def decode(request: Request, service: str, operation: str, caller_arn: str) -> Call:
    """The call with its parameters.

    Raises AwsError for an unknown operation or invalid parameters.
    """
    model = _operation_model(service, operation)
    values = {
        "method": request.method,
        "values": request.values,
        "headers": request.headers,
        "body": request.get_data(),
        "url_path": request.path,
        "url_params": _path_parameters(request, service),
    }
    params = PROTOCOL_PARSERS[_protocol(model)](model).parse(values)
    if service != "sagemaker-runtime":  # its body is the payload itself, nothing to validate
        check_request(model, params)
    return Call(
        service=service,
        operation=operation,
        params=params,
        body=request.get_data(),
        headers=dict(request.headers),
        caller_arn=caller_arn,
    )


def encode(call: Call, result: Mapping[str, Any] | None) -> RawResponse:
    """The answer in the call's protocol.

    Members that the service model doesn't know are left out.
    """
    model = _operation_model(call.service, call.operation)
    serializer = get_serializer_class(call.service, _protocol(model))(model)
    answer = serializer.serialize(dict(result or {}))
    body = answer["body"]
    return RawResponse(
        status=answer["status_code"],
        headers={**answer["headers"], "x-amzn-RequestId": str(uuid.uuid4())},
        body=body.encode() if isinstance(body, str) else body,
    )


def encode_error(service: str, error: AwsError, request: Request) -> RawResponse:
    """The error as the service's protocol writes it.

    So that botocore raises ClientError with its code. The request shows the protocol of services
    that are not supported: query sends a form, everything else but a few reads JSON.
    """
    request_id = str(uuid.uuid4())
    if service == "ec2":
        text = (
            f"<Response><Errors><Error><Code>{escape(error.code)}</Code>"
            f"<Message>{escape(error.message)}</Message></Error></Errors>"
            f"<RequestID>{request_id}</RequestID></Response>"
        )
        return RawResponse(error.status, {"Content-Type": "text/xml"}, text.encode())
    if service in _XML_SERVICES or (service != "s3" and _is_query(request)):
        kind = "Sender" if error.status < 500 else "Receiver"
        text = (
            f"<ErrorResponse><Error><Type>{kind}</Type><Code>{escape(error.code)}</Code>"
            f"<Message>{escape(error.message)}</Message></Error>"
            f"<RequestId>{request_id}</RequestId></ErrorResponse>"
        )
        return RawResponse(error.status, {"Content-Type": "text/xml"}, text.encode())
    if service == "s3":
        text = (
            f"<Error><Code>{escape(error.code)}</Code><Message>{escape(error.message)}</Message>"
            f"<RequestId>{request_id}</RequestId></Error>"
        )
        return RawResponse(error.status, {"Content-Type": "application/xml"}, text.encode())
    headers = {
        "Content-Type": "application/x-amz-json-1.1",
        "x-amzn-ErrorType": error.code,
        "x-amzn-RequestId": request_id,
    }
    document = {"__type": error.code, "message": error.message}
    return RawResponse(error.status, headers, json.dumps(document).encode())


@functools.cache
def _service_model(service: str) -> ServiceModel:
    return get_service_model("cloudwatch" if service == "monitoring" else service)


def _operation_model(service: str, operation: str) -> OperationModel:
    model = _service_model(service)
    if operation not in model.operation_names:
        raise AwsError("UnknownOperationException", f"{service} has no operation {operation!r}")
    return model.operation_model(operation)


def _protocol(model: OperationModel) -> str:
    return str(model.service_model.resolved_protocol)


def _raw_path(request: Request) -> str:
    """The path as it was sent: a parameter may hold an escaped slash, as ARNs do."""
    return str(request.environ.get("RAW_URI", request.path)).partition("?")[0]


def _path_parameters(request: Request, service: str) -> dict[str, str]:
    if service in _REST_SERVICES:
        route = find_route(service, request.method, _raw_path(request))
        return route.path_parameters if route else {}
    match = _INVOKE.match(request.path)
    return match.groupdict() if match else {}
