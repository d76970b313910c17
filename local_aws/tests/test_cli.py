"""The command line, where it ends before anything starts."""

from __future__ import annotations

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
