"""What a CloudFormation action asks for: template, parameters, tags, capabilities, role.

Source: "AWS CloudFormation deploy action reference" in the CodePipeline user guide.
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
    """The parameters that CreateStack and UpdateStack share."""
    configuration = _template_configuration(job)
    request: dict[str, Any] = {
        "StackName": job.get("StackName"),
        **_template(job),
        "Parameters": [
            {"ParameterKey": key, "ParameterValue": _text(value)}
            for key, value in configuration.get("Parameters", {}).items()
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
