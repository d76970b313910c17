"""Build and test with CodeBuild.

The input artifacts are the build's sources, its artifact the output artifact, its exported
variables the action's. Source: "AWS CodeBuild build and test action reference" in the user guide.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from botocore.exceptions import ClientError

from local_aws.codepipeline.actions.action import (
    ActionAbandoned,
    ActionFailed,
    ActionJob,
    Outcome,
)
from local_aws.codepipeline.artifacts import ArtifactLocation
from local_aws.codepipeline.definition import Action

_ENVIRONMENT_TYPES = ("PLAINTEXT", "PARAMETER_STORE")


@dataclass(frozen=True)
class CodeBuild:
    """Build/CodeBuild and Test/CodeBuild."""

    required: frozenset[str] = frozenset({"ProjectName"})
    optional: frozenset[str] = frozenset({"PrimarySource", "EnvironmentVariables"})
    inputs: tuple[int, int] = (1, 5)
    outputs: tuple[int, int] = (0, 1)

    def problems(self, action: Action) -> list[str]:
        problems = []
        primary = action.configuration.get("PrimarySource")
        if len(action.inputs) > 1 and not primary:
            problems.append("PrimarySource is required when there are several input artifacts")
        if primary and primary not in action.inputs:
            problems.append(f"PrimarySource {primary!r} is not one of its input artifacts")
        text = action.configuration.get("EnvironmentVariables")
        if text:
            try:
                _environment(text)
            except ValueError as err:
                problems.append(f"EnvironmentVariables {err}")
        return problems

    def run(self, job: ActionJob) -> Outcome:
        """Start the build, and follow it to its end."""
        target = {name: job.store.new_location(name) for name in job.action.outputs}
        code_build = job.client("codebuild")
        try:
            build = code_build.start_build(**_request(job, target))["build"]
        except ClientError as err:
            error = err.response["Error"]
            raise ActionFailed(
                f"Error calling startBuild: {error['Message']} (Error Code: {error['Code']})",
                "ConfigurationError",
            ) from err
        build_id = build["id"]
        job.report(external_id=build_id)
        try:
            build = _finished(job, code_build, build_id)
        except ActionAbandoned:
            code_build.stop_build(id=build_id)
            raise
        if build["buildStatus"] != "SUCCEEDED":
            raise ActionFailed(_failure(build))
        return Outcome(
            artifacts={name: place for name, place in target.items() if job.store.exists(place)},
            variables={
                variable["name"]: variable["value"]
                for variable in build.get("exportedEnvironmentVariables", [])
            },
        )


def _request(job: ActionJob, target: Mapping[str, ArtifactLocation]) -> dict[str, Any]:
    primary = job.get("PrimarySource") or job.action.inputs[0]
    source = job.inputs[primary]
    environment = _environment(job.get("EnvironmentVariables") or "[]")
    environment.append(
        {
            "name": "CODEBUILD_INITIATOR",
            "value": f"codepipeline/{job.pipeline_name}",
            "type": "PLAINTEXT",
        }
    )
    request: dict[str, Any] = {
        "projectName": job.get("ProjectName"),
        "sourceTypeOverride": "S3",
        "sourceLocationOverride": f"{source.bucket}/{source.key}",
        "secondarySourcesOverride": [
            {
                "type": "S3",
                "location": f"{job.inputs[name].bucket}/{job.inputs[name].key}",
                "sourceIdentifier": name,
            }
            for name in job.action.inputs
            if name != primary
        ],
        "artifactsOverride": {"type": "NO_ARTIFACTS"},
        "environmentVariablesOverride": environment,
    }
    if job.revisions.get(primary):
        request["sourceVersion"] = job.revisions[primary]
    for place in target.values():
        request["artifactsOverride"] = {
            "type": "S3",
            "location": place.bucket,
            "path": "",
            "name": place.key,
            "packaging": "ZIP",
            "namespaceType": "NONE",
        }
    return request


def _finished(job: ActionJob, code_build: Any, build_id: str) -> dict[str, Any]:
    shown = ""
    while True:
        build: dict[str, Any] = code_build.batch_get_builds(ids=[build_id])["builds"][0]
        logs = build.get("logs", {})
        if logs.get("deepLink") and logs["deepLink"] != shown:
            shown = logs["deepLink"]
            job.report(external_url=shown, log_stream_arn=logs.get("cloudWatchLogsArn", ""))
        if build.get("buildComplete"):
            return build
        job.pause()


def _failure(build: Mapping[str, Any]) -> str:
    """CodePipeline's sentence about a failed build, with its first failed phase and its log."""
    text = f"Build terminated with state: {build['buildStatus']}"
    failed = ("FAILED", "FAULT", "TIMED_OUT", "CLIENT_ERROR")
    for phase in build.get("phases", []):
        if phase.get("phaseStatus") in failed:
            text += f". Phase: {phase['phaseType']}"
            for context in phase.get("contexts", [])[:1]:
                text += f", Code: {context.get('statusCode')}, Message: {context.get('message')}"
            break
    logs = build.get("logs", {})
    if logs.get("groupName"):
        text += f". Log: {logs['groupName']}, stream {logs.get('streamName')}"
    return text


def _environment(text: str) -> list[dict[str, str]]:
    """EnvironmentVariables as StartBuild takes them; raises ValueError that says what is wrong."""
    try:
        variables = json.loads(text)
    except ValueError as err:
        raise ValueError(f"is not JSON: {err}") from err
    if not isinstance(variables, list) or not all(isinstance(v, dict) for v in variables):
        raise ValueError("is not a list of objects with name, value and type")
    for variable in variables:
        if not {"name", "value"} <= set(variable) <= {"name", "value", "type"}:
            raise ValueError(f"has an entry with other keys than name, value, type: {variable}")
        if variable.get("type", "PLAINTEXT") not in _ENVIRONMENT_TYPES:
            raise ValueError(
                f"has the type {variable['type']!r}; types: {', '.join(_ENVIRONMENT_TYPES)}"
            )
    return [{"type": "PLAINTEXT", **variable} for variable in variables]
