"""The tutorials' commands, typed as they stand there, and what they show, compared."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.end_to_end.shell import PROJECT_DIR
from tests.end_to_end.typed import copy_tree, missing_lines, read_blocks, reader

pytestmark = pytest.mark.e2e

TUTORIALS = {
    "data-scientist": (PROJECT_DIR / "docs/tutorial-data-scientist.md").read_text(),
    "platform-engineer": (PROJECT_DIR / "docs/tutorial-platform-engineer.md").read_text(),
}


@pytest.mark.timeout(900)
@pytest.mark.parametrize("text", TUTORIALS.values(), ids=TUTORIALS)
def test_a_tutorial_does_what_it_says(text: str, tmp_path: Path) -> None:
    with reader(copy_tree(tmp_path / "copy")) as person:
        person.follow(read_blocks(text))
    assert len(person.typed) > 10


def test_a_line_that_was_not_printed_is_found() -> None:
    printed = "a 12.5 MB  file\nerror: no column 'prise' to predict\n"
    assert missing_lines("a 3 MB file\n...\nerror: no column ...\n", printed) == []
    assert missing_lines("a 3 GB file\nerror: no column\n", printed) == [
        "a 3 GB file",
        "error: no column",
    ]


def test_blocks_are_read_with_their_kind_and_the_line_before() -> None:
    text = "Save\n`a.py`:\n\n```python\nx = 1\n```\n\n```sh\none \\\n  two 'a\nb'\n\nthree\n```\n"
    file, commands = read_blocks(text)
    assert (file.kind, file.path, file.body) == ("python", "a.py", "x = 1\n")
    assert commands.lines == ["one    two 'a\nb'", "three"]


def test_what_only_aws_can_show_is_not_typed() -> None:
    (block,) = read_blocks("Not run on AWS:\n\n```sh\nmlops platform deploy --size team\n```\n")
    assert not block.runs_here
