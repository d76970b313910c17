"""The project's console scripts, run as a person types them."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from rich.console import Console

from local_aws.demo.commands import Commands
from local_aws.demo.narration import Narrator
from local_aws.errors import CommandFailed, UsageError

PROJECT_DIR = Path(__file__).parents[3]


@pytest.fixture
def step():
    with Narrator(Console(file=io.StringIO())).step("testing") as running:
        yield running


def test_each_command_s_output_is_kept_in_a_file_of_its_own(tmp_path, step):
    commands = Commands({}, PROJECT_DIR, tmp_path)

    commands.run(step, "build-deployment", "--help")
    commands.run(step, "run-pipeline", "--help")

    logs = {path.name: path.read_text() for path in tmp_path.iterdir()}
    assert set(logs) == {"01-build-deployment.log", "02-run-pipeline.log"}
    assert "--model-version" in logs["01-build-deployment.log"]


def test_a_failing_command_is_told_with_its_exit_code_and_last_lines(tmp_path, step):
    commands = Commands({}, PROJECT_DIR, tmp_path)

    with pytest.raises(CommandFailed, match="build-deployment ended with exit code 2") as caught:
        commands.run(step, "build-deployment", "--nonsense")

    assert caught.value.exit_code == 2
    assert "--nonsense" in str(caught.value)
    assert "01-build-deployment.log" in str(caught.value)


def test_the_environment_given_wins_over_the_developer_s(tmp_path, step, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9/developer")
    commands = Commands({"MLFLOW_TRACKING_URI": "ftp://ours"}, PROJECT_DIR, tmp_path)

    with pytest.raises(CommandFailed) as caught:
        commands.run(step, "run-pipeline", "--kwargs", "{}")

    assert "developer" not in str(caught.value)


def test_outside_the_project_it_says_where_to_go(tmp_path):
    with pytest.raises(UsageError, match=r"holds no model_deploy/staging-config.json. Run this in"):
        Commands({}, tmp_path, tmp_path / "logs")
    assert not (tmp_path / "logs").exists()
