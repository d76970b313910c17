"""CONTRIBUTING's table "Where does it stand": each path is there and holds the name beside it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

PROJECT_DIR = Path(__file__).parents[2]
# Each has one home, and so a row that begins with its name.
THINGS = [
    "a metric",
    "a dataset source",
    "an estimator",
    "a pipeline parameter",
    "a stage beside staging and prod",
    "the approval's time limit",
    "an instance type of the jobs",
    "an instance type of an endpoint",
    "an IAM right",
    "the region",
    "a command",
    "an emulated operation",
]
_PATH = re.compile(r"`((?:[\w.-]+/)+[\w.-]*)`(?:: ((?:`[^`]+`(?:, (?!`[\w.-]+/))?)+))?")


def _rows() -> dict[str, str]:
    """Thing -> the rest of its row."""
    text = (PROJECT_DIR / "CONTRIBUTING.md").read_text()
    section = text.partition("\n## Where does it stand\n")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| ([^|]+) \| (.+) \|$", section, re.MULTILINE)
    return {thing: rest for thing, rest in rows if thing != "thing"}


def find_faults(row: str, root: Path) -> list[str]:
    """What a row names and is not there: paths, and names in them."""
    faults = []
    for path, names in _PATH.findall(row):
        file = root / path
        if not file.exists():
            faults.append(path)
        elif names:
            text = file.read_text()
            faults += [
                f"{path}: {name}"
                for name in re.findall(r"`([^`]+)`", names)
                if not _holds(text, name)
            ]
    return faults


def _holds(text: str, name: str) -> bool:
    """Whether the name is defined there, or a key, or a text in quotes; a mention is not enough."""
    word = re.escape(name)
    return bool(
        re.search(
            rf"\b(?:def|class) {word}\b|^[\s\"'-]*{word}[\"']?\s*[:=]|[\"']{word}[\"']"
            rf"|\bName: {word}\b|\${word}\b",
            text,
            re.MULTILINE,
        )
    )


@pytest.mark.parametrize("thing", THINGS)
def test_each_thing_has_one_row(thing):
    assert len([each for each in _rows() if each.startswith(thing)]) == 1


@pytest.mark.parametrize("thing", _rows())
def test_what_a_row_names_is_there(thing):
    row = _rows()[thing]
    assert _PATH.findall(row)
    assert find_faults(row, PROJECT_DIR) == []


def test_a_path_or_a_name_that_is_gone_is_found(tmp_path):
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder/a.py").write_text("def here(): ...\n# gone was here\nHOME = 1\n")
    row = "`folder/a.py`: `here`, `HOME`, `gone`; `folder/b.py`: `here` | [told](x.md)"

    assert find_faults(row, tmp_path) == ["folder/a.py: gone", "folder/b.py"]
