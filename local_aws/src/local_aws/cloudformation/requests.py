"""What CloudFormation requests share: the template they bring, and what they may not ask for."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from botocore.exceptions import ClientError

from local_aws.cloudformation.template import (
    BODY_LIMIT_BYTES,
    S3_LIMIT_BYTES,
    Template,
    parse_template,
)
from local_aws.errors import AwsError
from local_aws.own_aws import OwnAws

# Parameters that would change what happens, and that nothing here acts on.
_UNSUPPORTED = (
    *("NotificationARNs", "ResourceTypes", "ResourcesToImport", "RollbackConfiguration"),
    *("StackPolicyBody", "StackPolicyDuringUpdateBody", "StackPolicyDuringUpdateURL"),
    *("StackPolicyURL", "TimeoutInMinutes", "RetainExceptOnCreate", "ImportExistingResources"),
    *("IncludeNestedStacks", "StackSetName", "DeploymentConfig", "DeploymentMode", "CallAs"),
    *("DisableRollback", "OnFailure", "OnStackFailure"),
)
_STACK_NAME = re.compile(r"[a-zA-Z][-a-zA-Z0-9]{0,127}")
_VIRTUAL_HOST = re.compile(r"(?P<bucket>.+?)\.s3[.-](?:[\w-]+\.)?amazonaws\.com")


def refuse_unsupported(params: Mapping[str, Any], *also: str) -> None:
    """Raise AwsError ValidationError naming a parameter that this engine doesn't act on."""
    for name in (*_UNSUPPORTED, *also):
        if params.get(name):
            raise AwsError("ValidationError", f"local_aws does not support the parameter {name}")


def require_stack_name(name: str) -> None:
    """Raise AwsError ValidationError unless `name` may be a stack's."""
    if not _STACK_NAME.fullmatch(name):
        raise AwsError(
            "ValidationError",
            f"1 validation error detected: Value '{name}' at 'stackName' failed to satisfy "
            "constraint: Member must satisfy regular expression pattern: [a-zA-Z][-a-zA-Z0-9]* "
            "and have length less than or equal to 128",
        )


def template_of(
    params: Mapping[str, Any], own: OwnAws, previous: Template | None = None
) -> Template:
    """The request's template: TemplateBody, TemplateURL (S3), or the previous one."""
    if params.get("UsePreviousTemplate"):
        if previous is None:
            raise AwsError("ValidationError", "UsePreviousTemplate: there is no previous template")
        return previous
    body, url = params.get("TemplateBody"), params.get("TemplateURL")
    if (body is None) == (url is None):
        raise AwsError("ValidationError", "Either Template URL or Template Body must be specified.")
    if body is None:
        return parse_template(_from_s3(str(url), own))
    if len(body.encode()) > BODY_LIMIT_BYTES:
        raise AwsError(
            "ValidationError",
            f"1 validation error detected: Value of {len(body.encode())} bytes at 'templateBody' "
            "failed to satisfy constraint: "
            f"Member must have length less than or equal to {BODY_LIMIT_BYTES}",
        )
    return parse_template(body)


def tags_of(params: Mapping[str, Any], previous: Mapping[str, str]) -> dict[str, str]:
    """The request's tags; the previous ones where it says nothing of tags."""
    if params.get("Tags") is None:
        return dict(previous)
    tags = {tag["Key"]: tag["Value"] for tag in params["Tags"]}
    reserved = sorted(key for key in tags if key.lower().startswith("aws:"))
    if reserved:
        raise AwsError(
            "ValidationError",
            f"Tag key {reserved[0]}: aws: prefixed tag keys are reserved for system use",
        )
    return tags


def _from_s3(url: str, own: OwnAws) -> str:
    bucket, key, version = _s3_location(url, own)
    extra = {"VersionId": version} if version else {}
    try:
        body: bytes = own.client("s3").get_object(Bucket=bucket, Key=key, **extra)["Body"].read()
    except ClientError as err:
        raise AwsError(
            "ValidationError", f"S3 error: {err.response['Error']['Message']} ({url})"
        ) from err
    if len(body) > S3_LIMIT_BYTES:
        raise AwsError(
            "ValidationError", f"Template may not exceed {S3_LIMIT_BYTES} bytes in size."
        )
    return body.decode()


def _s3_location(url: str, own: OwnAws) -> tuple[str, str, str | None]:
    parts = urlsplit(url)
    path = unquote(parts.path.lstrip("/"))
    version = parse_qs(parts.query).get("versionId", [None])[0]
    host = parts.netloc
    virtual = _VIRTUAL_HOST.fullmatch(host)
    if virtual:
        bucket, key = virtual["bucket"], path
    elif host == urlsplit(own.url).netloc or re.fullmatch(
        r"s3[.-](?:[\w-]+\.)?amazonaws\.com", host
    ):
        bucket, _, key = path.partition("/")
    else:
        bucket, key = "", ""
    if not bucket or not key:
        raise AwsError("ValidationError", f"TemplateURL must be a supported URL: {url}")
    return bucket, key, version
