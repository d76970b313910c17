from __future__ import annotations

import importlib
import inspect
import os
import subprocess
import sys
from pathlib import Path

import pytest

PROJECT_DIR = Path(__file__).parents[2]
TEXT = "look with `mlops status --json` (not `ls -l`), `mlops`, mlops status: $(mlops project env)"


PLACES = ["mlops.hints", "local_aws.hints", "model_build.command_line", "model_deploy.command_line"]


@pytest.fixture(params=PLACES)
def as_typed(request):
    return importlib.import_module(request.param).as_typed


@pytest.fixture
def environment(tmp_path, monkeypatch):
    """An environment in the current folder that is not active; its path."""
    programs = tmp_path / ".venv" / "bin"
    programs.mkdir(parents=True)
    for name in ("python", "mlops"):
        (programs / name).write_text("#!/bin/sh\n")
        (programs / name).chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(programs / "python"))
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    monkeypatch.chdir(tmp_path)
    return programs


def test_a_command_that_the_shell_does_not_find_has_its_path(as_typed, environment):
    assert as_typed(TEXT) == (
        "look with `.venv/bin/mlops status --json` (not `ls -l`), `mlops`, mlops status: "
        "$(.venv/bin/mlops project env)"
    )
    assert as_typed("mlops approve --yes") == ".venv/bin/mlops approve --yes"
    assert as_typed("mlops is a word") != "mlops is a word", "a text that begins so is a command"


def test_an_active_environment_s_commands_are_named(as_typed, environment, monkeypatch):
    monkeypatch.setenv("PATH", f"{environment}:/usr/bin:/bin")
    assert as_typed(TEXT) == TEXT


def test_another_program_of_that_name_is_not_meant(as_typed, environment, tmp_path, monkeypatch):
    other = tmp_path / "other"
    other.mkdir()
    (other / "mlops").write_text("#!/bin/sh\n")
    (other / "mlops").chmod(0o755)
    monkeypatch.setenv("PATH", f"{other}:{environment}")
    assert as_typed("`mlops status --json`") == "`.venv/bin/mlops status --json`"


def test_any_aws_cli_will_do(as_typed, environment, tmp_path, monkeypatch):
    (environment / "aws").touch()
    assert as_typed("aws s3 ls") == ".venv/bin/aws s3 ls"
    other = tmp_path / "other"
    other.mkdir()
    (other / "aws").write_text("#!/bin/sh\n")
    (other / "aws").chmod(0o755)
    monkeypatch.setenv("PATH", str(other))
    assert as_typed("aws s3 ls") == "aws s3 ls"


@pytest.mark.parametrize(
    ("folder", "typed"),
    [
        ("sub/folder", "../../.venv/bin/mlops approve --yes"),
        (".venv/bin", "./mlops approve --yes"),
    ],
)
def test_the_path_is_the_shorter_one(as_typed, environment, tmp_path, monkeypatch, folder, typed):
    (tmp_path / folder).mkdir(parents=True, exist_ok=True)
    monkeypatch.chdir(tmp_path / folder)
    assert as_typed("mlops approve --yes") == typed


def test_far_away_and_with_a_space_it_is_quoted(as_typed, environment, tmp_path, monkeypatch):
    moved = tmp_path / "a b"
    (tmp_path / ".venv").rename(moved)
    monkeypatch.setattr(sys, "executable", str(moved / "bin" / "python"))
    assert as_typed("mlops approve --yes") == "'a b/bin/mlops' approve --yes"
    monkeypatch.chdir("/usr/share")
    assert as_typed("mlops approve --yes") == f"'{moved}/bin/mlops' approve --yes"


def test_a_build_s_log_has_names(as_typed, environment, monkeypatch):
    monkeypatch.setenv("CODEBUILD_BUILD_ID", "a:b")
    assert as_typed(TEXT) == TEXT


def test_each_place_has_the_same():
    """None may import another, and the units' files are counted."""
    modules = [importlib.import_module(name) for name in PLACES]
    for name in ("as_typed", "_path_of"):
        assert len({inspect.getsource(getattr(module, name)) for module in modules}) == 1, name
    assert len({(module._FIRST_WORD, module._ANY) for module in modules}) == 1


@pytest.mark.parametrize(
    "set_up",
    [
        "from model_build.command_line import set_up_logging; set_up_logging()",
        "from model_deploy.command_line import set_up_process; set_up_process('INFO')",
    ],
)
def test_the_units_logs_have_commands_as_typed(set_up):
    log = "logging.getLogger('x').error('try `mlops %s`', 'status -h')"
    done = subprocess.run(
        [sys.executable, "-c", f"import logging; {set_up}; {log}"],
        env={"PATH": "/usr/bin:/bin", "PYTHONPATH": os.environ.get("PYTHONPATH", "")},
        capture_output=True,
        text=True,
        cwd=PROJECT_DIR,
    )
    assert "try `.venv/bin/mlops status -h`" in done.stderr, done.stderr


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["mlops"], 0, "next: `.venv/bin/mlops demo`, on this machine"),
        (["mlops", "env", "--help"], 2, "invalid choice"),
        (["mlops", "project", "--help"], 0, 'eval "$(.venv/bin/mlops project env)"'),
        (["mlops", "status"], 3, "run `.venv/bin/aws configure`"),
        (["mlops", "platform", "doctor", "--only", "credentials"], 1, "`.venv/bin/aws configure`"),
        (["local_aws.cli", "--help"], 0, 'eval "$(.venv/bin/local-aws env)"'),
        (["local_aws.cli", "status", "--state-dir", "none"], 2, "`.venv/bin/local-aws up`"),
    ],
)
def test_what_is_said_in_a_shell_without_the_environment(words, code, said, tmp_path):
    """As after `git clone` and `make install`."""
    (tmp_path / ".venv").symlink_to(Path(sys.executable).parents[1])
    done = subprocess.run(
        [tmp_path / ".venv/bin/python", "-m", *words],
        env={
            "PATH": "/usr/bin:/bin",
            "PYTHONPATH": f"{PROJECT_DIR / 'local_aws/src'}:{PROJECT_DIR}",
            "AWS_CONFIG_FILE": os.devnull,
            "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
            "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_REGION": "us-east-1",
        },
        capture_output=True,
        text=True,
        cwd=tmp_path,
    )
    told = " ".join((done.stdout + done.stderr).split())
    assert done.returncode == code, told
    assert said in told, told


def test_tests_see_names():
    assert os.environ["PATH"].split(":")[0] == str(Path(sys.executable).parent)
