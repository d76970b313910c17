"""Dynamic references: values that a template takes from Parameter Store and Secrets Manager.

    {{resolve:ssm:/name}}  {{resolve:ssm:/name:3}}        plain text, looked up with the plan
    {{resolve:secretsmanager:id:SecretString:key}}        looked up for each call, shown nowhere

Forms: CloudFormation user guide, "Get values stored in other services using dynamic references".
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from botocore.exceptions import ClientError

from local_aws.cloudformation.resource_types.resource_type import Provisioner
from local_aws.errors import AwsError
from local_aws.secret_value import read_secret

_REFERENCE = re.compile(r"\{\{resolve:(?P<service>[a-z-]+):(?P<rest>[^{}]+)\}\}")
_SECRET_PARTS = 5  # id, SecretString, key, stage, version
_ARN_PARTS = 7  # an ARN has colons of its own


def with_parameters(by: Provisioner, values: Any) -> Any:
    """`values` with what Parameter Store holds; references to secrets stay.

    AwsError ValidationError for one that is not there, or of a kind that no type here takes.
    """
    return _replaced(values, lambda service, rest: _parameter(by, service, rest))


def with_secrets(by: Provisioner, values: Mapping[str, Any]) -> dict[str, Any]:
    """`values` with what Secrets Manager holds."""
    return dict(_replaced(values, lambda service, rest: _secret(by, service, rest)))


def _replaced(values: Any, resolve: Callable[[str, str], str | None]) -> Any:
    if isinstance(values, Mapping):
        return {key: _replaced(value, resolve) for key, value in values.items()}
    if isinstance(values, list):
        return [_replaced(value, resolve) for value in values]
    if not isinstance(values, str) or "{{resolve:" not in values:
        return values

    def replacement(match: re.Match[str]) -> str:
        found = resolve(match["service"], match["rest"])
        return match[0] if found is None else found

    return _REFERENCE.sub(replacement, values)


def _parameter(by: Provisioner, service: str, rest: str) -> str | None:
    if service == "secretsmanager" or "$" in rest:  # not known before the resources exist
        return None
    if service != "ssm":
        raise AwsError(
            "ValidationError", f"local_aws does not support dynamic references to {service}"
        )
    ssm = by.client("ssm")
    try:
        parameter = ssm.get_parameter(Name=rest)["Parameter"]
    except ClientError as err:
        raise AwsError(
            "ValidationError",
            f"Parameters: [{rest}] cannot be found: {err.response['Error']['Message']}",
        ) from err
    if parameter["Type"] == "SecureString":
        raise AwsError(
            "ValidationError",
            f"Non-secure ssm prefix was used for secure parameters: [{rest}]",
        )
    return str(parameter["Value"])


def _secret(by: Provisioner, service: str, rest: str) -> str | None:
    if service != "secretsmanager":
        return None
    parts = rest.split(":")
    if rest.startswith("arn:"):
        parts = [":".join(parts[:_ARN_PARTS]), *parts[_ARN_PARTS:]]
    parts += [""] * (_SECRET_PARTS - len(parts))
    name, kind, key, stage, version = parts[:_SECRET_PARTS]
    if kind not in ("", "SecretString"):
        raise AwsError("ValidationError", f"The dynamic reference {rest} must name SecretString")
    client = by.client("secretsmanager")
    try:
        return read_secret(client, name, key=key, stage=stage, version=version)
    except ClientError as err:
        raise AwsError(
            "ValidationError",
            f"Secrets Manager can't find the secret of {rest}: {err.response['Error']['Message']}",
        ) from err
    except LookupError as err:
        raise AwsError(
            "ValidationError", f"Could not find a value associated with JSONKey {key} in {name}"
        ) from err
