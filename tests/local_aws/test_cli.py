"""The command line, where it ends before anything starts."""

from __future__ import annotations

import pytest

from local_aws.cli import main


@pytest.mark.parametrize(
    "arguments",
    [
        ["env"],
        ["status"],
        ["logs"],
        ["invoke", "e", "--data", "{}"],
        ["release", "--model-name", "m", "--yes"],
        ["deploy"],
        ["push", "build"],
        ["pipeline", "deploy"],
        ["approve"],
        ["reject", "--comment", "no"],
        ["schedule", "rate(1 day)"],
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


@pytest.mark.parametrize("command", ["demo", "release --model-name m"])
def test_without_a_terminal_approval_needs_yes(command, tmp_path, capsys):
    assert main([*command.split(), "--state-dir", str(tmp_path)]) == 2

    assert "Pass --yes to approve" in capsys.readouterr().err


def test_demo_outside_the_project_says_where_to_run_it(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)

    assert main(["demo", "--yes", "--exit", "--state-dir", "state"]) == 2

    assert "Run this in the project's root folder" in capsys.readouterr().err
    assert not (tmp_path / "state").exists()


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["nonsense"],
        ["invoke", "e"],
        ["up", "--por", "1"],
        ["push"],
        ["push", "prod"],
        ["pipeline", "--follow", "--once"],
        ["reject"],
    ],
)
def test_wrong_arguments_exit_with_2(arguments):
    with pytest.raises(SystemExit) as caught:
        main(arguments)

    assert caught.value.code == 2


def test_each_command_has_a_help_text(capsys):
    servers = ("up", "env", "status", "logs", "invoke", "down", "release", "demo")
    project = ("deploy", "push", "pipeline", "approve", "reject", "schedule")
    for command in (*servers, *project):
        with pytest.raises(SystemExit) as caught:
            main([command, "--help"])
        assert caught.value.code == 0
        assert "--state-dir" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["reject", "--comment", " "], "--comment is empty"),
        (["deploy", "--parameter", "Branch"], "'Branch' is not of the form NAME=VALUE"),
        (["schedule", "--off", "rate(1 day)"], "--off goes with neither"),
    ],
)
def test_wrong_values_are_told_before_anything_is_asked(arguments, message, tmp_path, capsys):
    assert main([*arguments, "--state-dir", str(tmp_path)]) == 2

    assert message in capsys.readouterr().err
