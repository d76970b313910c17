"""What a CloudFormation action asks for: template, parameters, tags, capabilities, role.

Source: "AWS CloudFormation deploy action reference" and "Using parameter override functions" in the
user guides of CodePipeline and CloudFormation.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from botocore.exceptions import ClientError

from local_aws.codepipeline.actions.action import ActionFailed, ActionJob
from local_aws.codepipeline.artifacts import ArtifactError

_BODY_LIMIT_BYTES = 51_200
_CONFIGURATION_KEYS = {"Parameters", "Tags", "StackPolicy"}


def stack_request(job: ActionJob) -> dict[str, Any]:
    """The parameters that CreateStack, UpdateStack and CreateChangeSet share."""
    configuration = _template_configuration(job)
    parameters = {**configuration.get("Parameters", {}), **_overrides(job)}
    request: dict[str, Any] = {
        "StackName": job.get("StackName"),
        **_template(job),
        "Parameters": [
            {"ParameterKey": key, "ParameterValue": _text(value)}
            for key, value in parameters.items()
        ],
        "Tags": [
            {"Key": key, "Value": _text(value)}
            for key, value in configuration.get("Tags", {}).items()
        ],
    }
    if job.get("Capabilities"):
        request["Capabilities"] = [name.strip() for name in job.get("Capabilities").split(",")]
    if job.get("RoleArn"):
        request["RoleARN"] = job.get("RoleArn")
    return request


def _template(job: ActionJob) -> dict[str, str]:
    """The body; a large one by its URL, from the artifact store."""
    body = _read(job, job.get("TemplatePath"))
    if len(body.encode()) <= _BODY_LIMIT_BYTES:
        return {"TemplateBody": body}
    location = job.store.put("template", body.encode())
    return {"TemplateURL": f"{job.own.url}/{location.bucket}/{location.key}"}


def _template_configuration(job: ActionJob) -> Mapping[str, Any]:
    reference = job.get("TemplateConfiguration")
    if not reference:
        return {}
    document = _json(_read(job, reference), f"TemplateConfiguration {reference}")
    if not set(document) <= _CONFIGURATION_KEYS:
        raise _wrong(
            f"TemplateConfiguration {reference} has unknown keys: "
            f"{', '.join(sorted(set(document) - _CONFIGURATION_KEYS))}"
        )
    if "StackPolicy" in document:
        raise _wrong(f"local_aws does not emulate StackPolicy, which {reference} holds")
    for key in ("Parameters", "Tags"):
        if not isinstance(document.get(key, {}), dict):
            raise _wrong(f"{key} in TemplateConfiguration {reference} is not an object")
    return document


def _overrides(job: ActionJob) -> dict[str, Any]:
    if not job.get("ParameterOverrides"):
        return {}
    document = _json(job.get("ParameterOverrides"), "ParameterOverrides")
    return {key: _override(job, value) for key, value in document.items()}


def _override(job: ActionJob, value: Any) -> Any:
    if not isinstance(value, dict):
        return value
    match value:
        case {"Fn::GetParam": [artifact, file, key]}:
            document = _json(_read(job, f"{artifact}::{file}"), f"{artifact}::{file}")
            if key not in document:
                raise _wrong(f"{artifact}::{file} has no key {key!r}, which Fn::GetParam asks for")
            return document[key]
        case {"Fn::GetArtifactAtt": [artifact, attribute]} if artifact in job.inputs:
            place = job.inputs[artifact]
            attributes = {
                "BucketName": place.bucket,
                "ObjectKey": place.key,
                "URL": f"{job.own.url}/{place.bucket}/{place.key}",
            }
            if attribute in attributes:
                return attributes[attribute]
    raise _wrong(f"ParameterOverrides: {json.dumps(value)} is no function that can be evaluated")


def _read(job: ActionJob, reference: str) -> str:
    try:
        return job.store.read_file(job.inputs, reference)
    except (ArtifactError, ClientError) as err:
        raise _wrong(str(err)) from err


def _json(text: str, what: str) -> dict[str, Any]:
    try:
        document = json.loads(text)
    except ValueError as err:
        raise _wrong(f"{what} is not JSON: {err}") from err
    if not isinstance(document, dict):
        raise _wrong(f"{what} is not a JSON object")
    return document


def _text(value: Any) -> str:
    if isinstance(value, list):
        return ",".join(map(str, value))
    return str(value).lower() if isinstance(value, bool) else str(value)


def _wrong(message: str) -> ActionFailed:
    return ActionFailed(message, "ConfigurationError")
