"""README's commands, typed as they stand there into shells on a terminal, in a fresh copy."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tests.end_to_end.shell import BIN_DIR, PROJECT_DIR
from tests.end_to_end.typed import (
    copy_tree,
    missing_lines,
    read_blocks,
    reader,
    section,
    shell,
)

pytestmark = pytest.mark.e2e

README = (PROJECT_DIR / "README.md").read_text()


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return copy_tree(tmp_path_factory.mktemp("readme") / "sagemaker-mlflow")


@pytest.mark.timeout(600)
def test_make_demo_prints_what_readme_shows_and_stays_until_ctrl_c(copy: Path) -> None:
    assert "**`make demo`**" in README
    with shell(copy) as terminal:
        # Without making the environment anew, which is the one of this tree.
        terminal.start("make --old-file .venv/.installed demo")
        terminal.read_until("mlops logs\n")
        assert (copy / ".local/running.json").exists()
        terminal.interrupt()
        assert terminal.type("true") == 0
    shown = [each.body for each in read_blocks(section(README, "Two commands"))]
    (shown_demo,) = [body for body in shown if " 1. up: " in body]
    # Of two lines only the kind is the same each time.
    varying = ("      Deploy sklearn", "  .venv/bin/mlops invoke")
    lines = [line for line in shown_demo.splitlines() if not line.startswith(varying)]
    # The copy's .venv leads to that of this tree.
    printed = terminal.text().replace(str(BIN_DIR), ".venv/bin")
    assert not missing_lines("\n".join(lines), printed)
    assert all(f"\n{line}" in printed for line in varying)
    assert (copy / ".local/demo.json").is_file()
    assert not (copy / ".local/running.json").exists()


@pytest.fixture(scope="module")
def own_data(copy: Path) -> Path:
    """The table of which README speaks."""
    random = np.random.default_rng(3)
    rooms = random.integers(1, 8, 400)
    area = random.normal(80, 25, 400).clip(15).round(1)
    price = (900 * area + 12_000 * rooms + random.normal(0, 8_000, 400)).round(2)
    frame = pd.DataFrame({"rooms": rooms, "area": area, "price": price})
    frame.to_csv(copy / "prices.csv", index=False)
    return copy


@pytest.mark.timeout(600)
def test_own_data_goes_to_prod_by_the_commands_that_stand_there(own_data: Path) -> None:
    first, *rest = read_blocks(section(README, "Your own data"))
    clone, folder, up = first.lines
    assert clone.split()[:2] == ["git", "clone"]
    assert folder == f"cd {own_data.name}"
    with reader(own_data, begin=own_data.parent) as person:
        person.type(up)  # the copy is the clone
        person.follow(rest)
        shown = person.type("mlops status")
        assert "next: mlops invoke housing-prod" in shown
    assert re.search(r"housing-prod +InService +prices +1 +Production +champion", shown)


def test_own_data_needs_fewer_than_ten_commands() -> None:
    typed = [
        line
        for block in read_blocks(section(README, "Your own data"))
        for line in block.lines
        if block.kind == "sh"
    ]
    assert len(typed) < 10
    assert any(line.startswith("mlops invoke housing-prod") for line in typed)
