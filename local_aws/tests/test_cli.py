"""The command line, where it ends before anything starts."""

from __future__ import annotations

import importlib.metadata
import re
import signal

import pytest

from local_aws.cli import main


@pytest.mark.parametrize(
    "arguments",
    [
        ["env"],
        ["status"],
    ],
)
def test_without_a_running_local_aws_it_says_how_to_start_one(arguments, tmp_path, capsys):
    assert main([*arguments, "--state-dir", str(tmp_path)]) == 2

    message = capsys.readouterr().err
    assert message.startswith("error: no local_aws runs in ")
    assert "local-aws up" in message


def test_down_of_nothing_is_done(tmp_path, capsys):
    assert main(["down", "--state-dir", str(tmp_path)]) == 0
    assert "nothing runs" in capsys.readouterr().out
    assert main(["down", "--quiet", "--state-dir", str(tmp_path)]) == 0
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["nonsense"],
        ["up", "--por", "1"],
    ],
)
def test_wrong_arguments_exit_with_2(arguments):
    with pytest.raises(SystemExit) as caught:
        main(arguments)

    assert caught.value.code == 2


def test_each_command_has_a_help_text(capsys):
    for command in ("up", "env", "status", "down"):
        with pytest.raises(SystemExit) as caught:
            main([command, "--help"])
        assert caught.value.code == 0
        assert "--state-dir" in capsys.readouterr().out


def test_it_tells_its_version(capsys):
    with pytest.raises(SystemExit) as ended:
        main(["--version"])
    assert ended.value.code == 0
    assert re.fullmatch(r"local-aws \d+\.\d+\.\d+\n", capsys.readouterr().out)


@pytest.fixture
def no_mlflow(monkeypatch):
    """MLflow is not installed."""
    version = importlib.metadata.version

    def without(name):
        if name == "mlflow":
            raise importlib.metadata.PackageNotFoundError(name)
        return version(name)

    monkeypatch.setattr(importlib.metadata, "version", without)


def test_mlflow_that_is_asked_for_and_not_installed_is_an_error(no_mlflow, tmp_path, capsys):
    assert main(["up", "--mlflow", "--state-dir", str(tmp_path / "state")]) == 2
    assert capsys.readouterr().err == (
        "error: MLflow is not installed: `pip install 'local-aws[mlflow]'` brings it\n"
    )
    assert not (tmp_path / "state").exists()


def test_aws_comes_alone_where_mlflow_is_not_installed(no_mlflow, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(signal, "pause", lambda: None)
    assert main(["up", "--state-dir", str(tmp_path / "state")]) == 0
    told = capsys.readouterr()
    assert told.err.splitlines()[0] == (
        "MLflow is not installed, so AWS comes alone; `pip install 'local-aws[mlflow]'` brings it"
    )
    assert re.search(r"^# AWS at http://127\.0\.0\.1:\d+\.$", told.out, re.MULTILINE)
    assert "MLFLOW_TRACKING_URI" not in told.out
