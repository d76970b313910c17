"""What a project and StartBuild may ask for here; the rest is refused by name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from local_aws.codebuild.image import check_image
from local_aws.codebuild.sources import split_location
from local_aws.codebuild.variables import merge
from local_aws.errors import AwsError

DEFAULTS: Mapping[str, Any] = {"timeoutInMinutes": 60, "queuedTimeoutInMinutes": 480}
_SOURCE_TYPES = ("S3", "CODEPIPELINE", "NO_SOURCE")
# Members that are honoured, or whose effect nobody can see here.
_PROJECT = frozenset(
    {"name", "description", "source", "secondarySources", "sourceVersion", "artifacts"}
    | {"cache", "environment", "serviceRole", "timeoutInMinutes"}
    | {"queuedTimeoutInMinutes", "encryptionKey", "tags", "vpcConfig", "logsConfig"}
    | {"concurrentBuildLimit", "secondarySourceVersions"}
)
_ENVIRONMENT = frozenset(
    {"type", "image", "computeType", "environmentVariables", "imagePullCredentialsType"}
)
_SOURCE = frozenset({"type", "location", "buildspec", "sourceIdentifier"})
_ARTIFACTS = frozenset({"type", "location", "path", "name", "packaging", "encryptionDisabled"})
_START = frozenset(
    {"projectName", "sourceVersion", "sourceTypeOverride", "sourceLocationOverride"}
    | {"secondarySourcesOverride", "secondarySourcesVersionOverride", "artifactsOverride"}
    | {"environmentVariablesOverride", "buildspecOverride"}
    | {"environmentTypeOverride", "imageOverride", "computeTypeOverride", "cacheOverride"}
    | {"serviceRoleOverride", "timeoutInMinutesOverride", "queuedTimeoutInMinutesOverride"}
    | {"encryptionKeyOverride", "logsConfigOverride"}
    | {"imagePullCredentialsTypeOverride"}
)
_OVERRIDES_OF_PROJECT = {
    "secondarySourcesOverride": "secondarySources",
    "secondarySourcesVersionOverride": "secondarySourceVersions",
    "artifactsOverride": "artifacts",
    "cacheOverride": "cache",
    "serviceRoleOverride": "serviceRole",
    "timeoutInMinutesOverride": "timeoutInMinutes",
    "queuedTimeoutInMinutesOverride": "queuedTimeoutInMinutes",
    "encryptionKeyOverride": "encryptionKey",
    "logsConfigOverride": "logsConfig",
    "sourceVersion": "sourceVersion",
}
_OVERRIDES_OF_SOURCE = {
    "sourceTypeOverride": "type",
    "sourceLocationOverride": "location",
    "buildspecOverride": "buildspec",
}
_OVERRIDES_OF_ENVIRONMENT = {
    "environmentTypeOverride": "type",
    "imageOverride": "image",
    "computeTypeOverride": "computeType",
    "imagePullCredentialsTypeOverride": "imagePullCredentialsType",
}


def check_project(project: Mapping[str, Any], operation: str) -> None:
    """Raise AwsError unless builds of the project can run here."""
    _refuse(project, _PROJECT, operation)
    _refuse(project["environment"], _ENVIRONMENT, f"{operation}: environment")
    for variable in project["environment"].get("environmentVariables", ()):
        if variable.get("type", "PLAINTEXT") not in ("PLAINTEXT", "PARAMETER_STORE"):
            raise _not_here(operation, f"variables of the type {variable['type']}")
    check_image(project["environment"]["image"], project["environment"]["type"])
    if project.get("logsConfig", {}).get("s3Logs", {}).get("status") == "ENABLED":
        raise _not_here(operation, "logsConfig.s3Logs")
    _check_sources(project, operation)
    if project["artifacts"]["type"] == "S3":
        if not project["artifacts"].get("location"):
            raise invalid("Invalid artifacts: location must not be null for type S3")
        _refuse(project["artifacts"], _ARTIFACTS, f"{operation}: artifacts")
        if project["artifacts"].get("packaging") != "ZIP":
            raise _not_here(operation, "artifacts without packaging ZIP")
    pipeline = {project["source"]["type"], project["artifacts"]["type"]} - {"NO_ARTIFACTS"}
    if operation != "StartBuild" and "CODEPIPELINE" in pipeline and len(pipeline) > 1:
        raise invalid("CODEPIPELINE must be the type of both source and artifacts, or of neither")


def overridden(project: Mapping[str, Any], start: Mapping[str, Any]) -> dict[str, Any]:
    """The project as this StartBuild wants it. Raises AwsError for what can't run here."""
    _refuse(start, _START, "StartBuild")
    request = {**DEFAULTS, **project}
    request |= {
        name: start[override]
        for override, name in _OVERRIDES_OF_PROJECT.items()
        if override in start
    }
    request["source"] = _override(project["source"], start, _OVERRIDES_OF_SOURCE)
    environment = _override(project["environment"], start, _OVERRIDES_OF_ENVIRONMENT)
    environment["environmentVariables"] = merge(
        project["environment"].get("environmentVariables", ()),
        start.get("environmentVariablesOverride", ()),
    )
    request["environment"] = environment
    check_project(request, "StartBuild")
    if request["source"]["type"] == "CODEPIPELINE":
        raise invalid("Project source type CODEPIPELINE needs sourceTypeOverride to start a build")
    return request


def invalid(message: str) -> AwsError:
    """CodeBuild's answer to a wrong request."""
    return AwsError("InvalidInputException", message)


def _check_sources(project: Mapping[str, Any], operation: str) -> None:
    for source in (project["source"], *project.get("secondarySources", ())):
        kind = source["type"]
        if kind not in _SOURCE_TYPES:
            raise _not_here(operation, f"source type {kind} (it has {', '.join(_SOURCE_TYPES)})")
        _refuse(source, _SOURCE, f"{operation}: source")
        if kind == "S3" and not all(split_location(source.get("location", ""))):
            raise invalid("Invalid project source: location must be a valid S3 source: bucket/key")
        if source is not project["source"] and not source.get("sourceIdentifier"):
            raise invalid("Invalid secondary source: sourceIdentifier must not be null")
    if project["source"]["type"] == "NO_SOURCE" and "\n" not in project["source"].get(
        "buildspec", ""
    ):
        raise invalid("Invalid project source: type NO_SOURCE needs a buildspec in the project")


def _override(
    base: Mapping[str, Any], start: Mapping[str, Any], names: Mapping[str, str]
) -> dict[str, Any]:
    return {
        **base,
        **{name: start[override] for override, name in names.items() if override in start},
    }


def _refuse(given: Mapping[str, Any], known: frozenset[str], where: str) -> None:
    """Raise AwsError for a member that asks for something (not empty, not off) unknown here."""
    refused = sorted(
        name
        for name, value in given.items()
        if name not in known and value and value not in ({"fetchSubmodules": False}, "NONE", -1)
    )
    if refused:
        raise _not_here(where, ", ".join(refused))


def _not_here(where: str, what: str) -> AwsError:
    return invalid(
        f"local_aws does not emulate, for {where}: {what}. Leave it out here, or run this on AWS."
    )
