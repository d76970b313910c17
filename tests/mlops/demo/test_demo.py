"""What the demo says when it has told its story; the story itself is end_to_end/test_demo.py's."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import pytest

from mlops.demo import demo

REPORT = {"prediction": {"inputs": [{"age": 0.038, "it's": "a"}, {"age": 1.0}]}}


@pytest.mark.parametrize(
    ("state_dir", "stays", "first", "second"),
    [
        (Path(".local"), True, "until Ctrl-C. In another terminal:", 'eval "$(local-aws env)"'),
        (Path("a b"), True, "until Ctrl-C", """eval "$(local-aws env --state-dir 'a b')\""""),
        # In an AWS that somebody else started, whose environment the shell has.
        (None, True, "until Ctrl-C. In another terminal:", "mlops status"),
        (None, False, "Everything stays up. Go on with:", "mlops status"),
    ],
)
def test_what_is_alive_comes_with_the_commands_to_look_at_it(state_dir, stays, first, second):
    lines = demo._next_lines(REPORT, state_dir, stays=stays)

    assert first in lines[0]
    assert lines[1].strip() == second
    (invoke,) = (line for line in lines if "invoke" in line)
    words = shlex.split(invoke)
    assert words[:4] == ["mlops", "invoke", "local-prod", "--data"]
    assert json.loads(words[4]) == {"dataframe_records": [{"age": 0.038, "it's": "a"}]}


def test_what_has_ended_is_said_with_how_to_have_it():
    said = "\n".join(demo._ENDED)
    assert "has ended" in said
    assert not re.search("https?://", said)
    assert "`mlops demo --yes`" in said


def test_a_file_is_named_from_here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert str(demo._shown(tmp_path / ".local" / "demo.json")) == ".local/demo.json"
    assert demo._shown(Path("/else/demo.json")) == Path("/else/demo.json")
