from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import yaml

import model_deploy
from model_deploy import build
from model_deploy.test import test as endpoint_test

_FOLDER = Path(model_deploy.__file__).parent
# What AWS's project templates (and ours) give the build and test projects.
_PROJECT_VARIABLES = {
    "ARTIFACT_BUCKET",
    "ARTIFACT_BUCKET_KMS_ID",
    "BUILD_CONFIG",
    "CODEBUILD_SRC_DIR_BuildArtifact",
    "CONTAINER_IMAGE_URI",
    "EXPORT_TEMPLATE_NAME",
    "EXPORT_TEMPLATE_PROD_CONFIG",
    "EXPORT_TEMPLATE_STAGING_CONFIG",
    "EXPORT_TEST_RESULTS",
    "MLFLOW_TRACKING_URI",
    "MODEL_EXECUTION_ROLE_ARN",
    "PIPELINE_EXECUTION_ID",
    "SAGEMAKER_PROJECT_ID",
    "SAGEMAKER_PROJECT_NAME",
}


def _read(name: str) -> dict[str, Any]:
    document: dict[str, Any] = yaml.safe_load((_FOLDER / name).read_text())
    return document


@pytest.mark.parametrize("name", ["buildspec.yml", "test/buildspec.yml"])
def test_variables_are_those_of_the_project_or_its_own(name: str) -> None:
    document = _read(name)
    used = set(re.findall(r"\$\{?([A-Za-z_]+)", yaml.safe_dump(document)))
    assert used <= _PROJECT_VARIABLES | set(document["env"]["variables"])


@pytest.mark.parametrize(
    ("name", "module", "parser"),
    [
        ("buildspec.yml", "model_deploy.build", build.build_parser()),
        ("test/buildspec.yml", "model_deploy.test.test", endpoint_test.build_parser()),
    ],
)
def test_commands_are_accepted_by_the_command_line(name: str, module: str, parser: Any) -> None:
    commands = _read(name)["phases"]["build"]["commands"]
    (command,) = [words for words in map(shlex.split, commands) if module in words]
    assert command[:3] == [".venv/bin/python", "-m", module]
    parser.parse_args(command[3:])


def test_artifacts_are_what_the_commands_export() -> None:
    built = _read("buildspec.yml")["artifacts"]["files"]
    commands = "\n".join(_read("buildspec.yml")["phases"]["build"]["commands"])
    assert all(name in commands for name in built)


@pytest.mark.parametrize("name", ["buildspec.yml", "test/buildspec.yml"])
def test_no_variable_of_the_project_has_a_default_that_would_hide_a_missing_one(name: str) -> None:
    assert not set(_read(name)["env"]["variables"]) & _PROJECT_VARIABLES


@pytest.mark.parametrize(
    ("name", "exported"),
    [
        ("buildspec.yml", ["MODEL_NAME", "MODEL_VERSION", "MODEL_METRICS", "MODEL_URL"]),
        ("test/buildspec.yml", ["TEST_SUMMARY", "TESTED_ENDPOINT"]),
    ],
)
def test_exported_variables_are_sourced_from_the_file_that_the_command_writes(
    name: str, exported: list[str]
) -> None:
    document = _read(name)
    assert document["env"]["exported-variables"] == exported
    build = document["phases"]["build"]
    command, *rest = [*build["commands"], *build.get("finally", [])]
    words = shlex.split(command)
    file = words[words.index("--export-variables") + 1]
    assert rest[0] == f". ./{file}"
