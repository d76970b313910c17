"""The environment variables of a build: who sets them, and what wins.

    StartBuild's  >  the project's  >  the buildspec's  >  CodeBuild's own

Values from Parameter Store are fetched under the build's role, never printed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from local_aws.codebuild.build_record import BuildRecord
from local_aws.codebuild.buildspec import Buildspec

Client = Callable[[str], Any]


class VariableError(Exception):
    """A value can't be fetched; `code` is the status code of the phase's context."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


def merge(
    projects: Iterable[Mapping[str, Any]], overrides: Iterable[Mapping[str, Any]]
) -> list[Mapping[str, Any]]:
    """The project's variables with StartBuild's in place of those of the same name."""
    named = {variable["name"]: variable for variable in (*projects, *overrides)}
    return list(named.values())


def own_variables(build: BuildRecord, *, source: str, region: str) -> dict[str, str]:
    """CODEBUILD_* and the like, as the user guide lists them ("Environment variables in build
    environments").
    """
    description = build.describe()
    version = description.get("sourceVersion", "")
    location = description["source"].get("location", "")
    return {
        "AWS_DEFAULT_REGION": region,
        "AWS_REGION": region,
        "CI": "true",
        "CODEBUILD_BUILD_ARN": build.arn,
        "CODEBUILD_BUILD_ID": build.id,
        "CODEBUILD_BUILD_IMAGE": description["environment"]["image"],
        "CODEBUILD_BUILD_NUMBER": str(build.number),
        "CODEBUILD_BUILD_SUCCEEDING": "1",
        "CODEBUILD_BUILD_URL": description["logs"].get("deepLink", ""),
        "CODEBUILD_CI": "true",
        "CODEBUILD_INITIATOR": build.initiator,
        "CODEBUILD_KMS_KEY_ID": description.get("encryptionKey", ""),
        "CODEBUILD_LOG_PATH": description["logs"].get("streamName", ""),
        "CODEBUILD_PROJECT_ARN": build.project_arn,
        "CODEBUILD_RESOLVED_SOURCE_VERSION": version,
        "CODEBUILD_SOURCE_REPO_URL": location,
        "CODEBUILD_SOURCE_VERSION": version or (f"arn:aws:s3:::{location}" if location else ""),
        "CODEBUILD_SRC_DIR": source,
        "CODEBUILD_START_TIME": str(int(build.start_time.timestamp() * 1000)),
    }


def resolve(
    buildspec: Buildspec, variables: Iterable[Mapping[str, Any]], client: Client
) -> dict[str, str]:
    """Name -> value of the buildspec's variables and, over them, the project's.

    `client` gives boto3 clients under the build's role. Raises VariableError.
    """
    table: dict[str, tuple[str, str]] = {
        **{name: ("PLAINTEXT", value) for name, value in buildspec.variables.items()},
        **{v["name"]: (v.get("type", "PLAINTEXT"), v["value"]) for v in variables},
    }
    return {
        name: _parameter(value, client) if kind == "PARAMETER_STORE" else value
        for name, (kind, value) in table.items()
    }


def secret_names(variables: Iterable[Mapping[str, Any]]) -> set[str]:
    """The variables whose values are fetched; they are never exported."""
    return {v["name"] for v in variables if v.get("type", "PLAINTEXT") != "PLAINTEXT"}


def _parameter(name: str, client: Client) -> str:
    try:
        # The plural is what CodeBuild calls, and so what service roles allow.
        answer = client("ssm").get_parameters(Names=[name], WithDecryption=True)
    except (ClientError, BotoCoreError) as err:
        raise VariableError("Decrypted Variables Error", str(err)) from err
    if not answer["Parameters"]:
        raise VariableError("Decrypted Variables Error", f"parameter does not exist: {name}")
    return str(answer["Parameters"][0]["Value"])
