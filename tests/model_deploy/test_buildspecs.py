from __future__ import annotations

import re
import shlex
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

import model_deploy
from model_deploy import build, custody, reconcile
from model_deploy.test import test as endpoint_test

_FOLDER = Path(model_deploy.__file__).parent
# What AWS's project templates (and ours) give the build and test projects.
_PROJECT_VARIABLES = {
    "ARTIFACT_BUCKET",
    "ARTIFACT_BUCKET_KMS_ID",
    "BUILD_CONFIG",
    "CODEBUILD_BUILD_SUCCEEDING",
    "CODEBUILD_SRC_DIR_BuildArtifact",
    "CODEBUILD_SRC_DIR_ProdTestArtifact",
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


def _programs(name: str) -> dict[str, list[str]]:
    """Module -> the words of its command, of all phases."""
    phases = _read(name)["phases"].values()
    text = "\n".join(command for phase in phases for command in phase["commands"])
    lines = text.replace("\\\n", " ").splitlines()
    words = [shlex.split(line) for line in lines if ".venv/bin/python -m" in line]
    return {each[2]: each for each in words if each[0] == ".venv/bin/python"}


@pytest.mark.parametrize(
    ("name", "module", "parser"),
    [
        ("buildspec.yml", "model_deploy.build", build.build_parser()),
        ("test/buildspec.yml", "model_deploy.test.test", endpoint_test.build_parser()),
        ("test/buildspec.yml", "model_deploy.custody", custody.build_parser()),
        ("test/buildspec.yml", "model_deploy.reconcile", reconcile.build_parser()),
    ],
)
def test_commands_are_accepted_by_the_command_line(name: str, module: str, parser: Any) -> None:
    command = _programs(name)[module]
    assert command[:3] == [".venv/bin/python", "-m", module]
    words = [word.replace("$UNSETTLED_EXIT_CODE", "4") for word in command[3:]]
    parser.parse_args([word for word in words if word not in ("||", "true")])


@pytest.mark.parametrize(
    ("task", "code", "ends"),
    [("test", 0, 0), ("test", 1, 1), ("test", 4, 4), ("archive", 1, 1), ("reconcile", 4, 4)],
)
def test_an_action_ends_as_the_task_s_command_does(
    tmp_path: Path, task: str, code: int, ends: int
) -> None:
    """The buildspec's own shell lines, with a program that says how it was called."""
    python = tmp_path / ".venv" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text(f'#!/bin/sh\necho "$*" >> called\nexit {code}\n')
    python.chmod(0o755)
    (command,) = _read("test/buildspec.yml")["phases"]["build"]["commands"]
    variables = dict.fromkeys(_PROJECT_VARIABLES, "x") | {"TASK": task, "UNSETTLED_EXIT_CODE": "4"}
    ended = subprocess.run(["bash", "-c", command], cwd=tmp_path, env=variables, check=False)
    assert ended.returncode == ends
    module = {"test": "test.test", "archive": "custody", "reconcile": "reconcile"}[task]
    assert (tmp_path / "called").read_text().startswith(f"-m model_deploy.{module} ")


def test_an_unknown_task_is_told() -> None:
    (command,) = _read("test/buildspec.yml")["phases"]["build"]["commands"]
    ended = subprocess.run(
        ["bash", "-c", command], env={"TASK": "tset"}, capture_output=True, text=True, check=False
    )
    assert ended.returncode == 2
    assert ended.stderr == "TASK is 'tset'; it is test, archive or reconcile\n"


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
        (
            "buildspec.yml",
            [
                *("MODEL_NAME", "MODEL_VERSION", "MODEL_METRICS", "MODEL_URL"),
                *("MODEL_ARCHIVE", "CODE_ON_LOAD"),
            ],
        ),
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
    assert f". ./{file}" in rest[0]
