"""Any AWS call as the target of a schedule: `arn:aws:scheduler:::aws-sdk:<service>:<apiAction>`.

Source: EventBridge Scheduler user guide, "Using universal targets", with its list of the read-only
actions that it does not call.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from botocore.exceptions import UnknownServiceError
from botocore.model import ListShape, MapShape, OperationModel, Shape, StructureShape

from local_aws.errors import AwsError
from local_aws.own_aws import OwnAws

_ARN = re.compile(r"arn:aws:scheduler:::aws-sdk:([A-Za-z0-9-]+):([A-Za-z0-9]+)")
# Where Scheduler says something else than boto3.
_BOTO3_NAMES = {"eventbridge": "events", "cloudwatchlogs": "logs", "sfn": "stepfunctions"}
_READ_ONLY = re.compile(
    "(get|describe|list|poll|receive|search|scan|query|select|read|lookup|discover|validate|"
    "batchGet|batchDescribe|batchRead|transactGet|adminGet|adminList|testMigration|retrieve|"
    "testConnection|translateDocument|isAuthorized|invokeModel)(?![a-z])"
)


def is_universal(arn: str) -> bool:
    """Whether the ARN has the form of a universal target."""
    return _ARN.fullmatch(arn) is not None


def universal_operation(own: OwnAws, arn: str) -> tuple[str, str]:
    """(service, operation) as boto3 names them. Raises ValidationException, which names them."""
    match = _ARN.fullmatch(arn)
    if match is None:
        raise AwsError("ValidationException", f"Provided Arn {arn} is not in correct format.")
    service = _BOTO3_NAMES.get(match[1], match[1])
    action = match[2]
    if _READ_ONLY.match(action):
        raise AwsError(
            "ValidationException", f"{arn}: EventBridge Scheduler calls no read-only actions"
        )
    try:
        operations = own.client(service).meta.service_model.operation_names
    except UnknownServiceError as err:
        raise AwsError("ValidationException", f"{arn}: there is no service {match[1]}") from err
    for operation in operations:
        if operation[0].lower() + operation[1:] == action:
            return service, str(operation)
    raise AwsError("ValidationException", f"{arn}: {match[1]} has no action {action}")


def call_universal(client: Any, operation: str, document: Mapping[str, Any]) -> Mapping[str, Any]:
    """The answer to the call, whose parameters are the document."""
    model: OperationModel = client.meta.service_model.operation_model(operation)
    methods = {api: method for method, api in client.meta.method_to_api_mapping.items()}
    arguments = _as_modelled(document, model.input_shape)
    answer: Mapping[str, Any] = getattr(client, methods[operation])(**arguments)
    return answer


def _as_modelled(value: Any, shape: Shape | None) -> Any:
    """The value with its members spelled as boto3 spells them.

    Scheduler wants PascalCase whatever the service, boto3 what the service's model says.
    """
    if isinstance(shape, StructureShape) and isinstance(value, dict):
        spelled = {name.lower(): name for name in shape.members}
        named = {spelled.get(name.lower(), name): each for name, each in value.items()}
        return {name: _as_modelled(each, shape.members.get(name)) for name, each in named.items()}
    if isinstance(shape, ListShape) and isinstance(value, list):
        return [_as_modelled(each, shape.member) for each in value]
    if isinstance(shape, MapShape) and isinstance(value, dict):
        return {name: _as_modelled(each, shape.value) for name, each in value.items()}
    return value
