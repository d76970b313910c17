"""README's commands, typed as they stand there into shells on a terminal, in a fresh copy."""

from __future__ import annotations

import contextlib
import os
import pty
import re
import shlex
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tests.end_to_end.shell import BIN_DIR, PROJECT_DIR, clean_environment

pytestmark = pytest.mark.e2e

README = (PROJECT_DIR / "README.md").read_text()
# What a person answers to the questions of the commands.
ANSWERS = {b"Type yes to go on: ": b"yes\n", b"[y/N] ": b"y\n"}
SECONDS = 240


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The files of this tree with their times, and its environment."""
    folder = tmp_path_factory.mktemp("readme") / "copy"
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=PROJECT_DIR,
        capture_output=True,
        text=True,
        check=True,
    )
    for name in listed.stdout.splitlines():
        if (PROJECT_DIR / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(PROJECT_DIR / name, folder / name, follow_symlinks=False)
    (folder / ".venv").symlink_to(BIN_DIR.parent)
    return folder


class Shell:
    """bash on a terminal of its own."""

    def __init__(self, folder: Path) -> None:
        self.said = b""
        # No prompt, no echo of what is typed: what is left is what the commands print.
        self._terminal, slave = pty.openpty()
        self._process = subprocess.Popen(
            ["bash", "--norc", "--noprofile"],
            cwd=folder,
            env={**clean_environment(), "PS1": "", "PS2": "", "TERM": "dumb", "COLUMNS": "200"},
            stdin=slave,
            stdout=slave,
            stderr=slave,
            start_new_session=True,
        )
        os.close(slave)
        self.type("stty -echo; bind 'set enable-bracketed-paste off' 2>/dev/null")

    def type(self, line: str) -> int:
        """Type it, answer what is asked; its exit code."""
        mark = f"done-{time.monotonic_ns()}"
        # In one line: what is typed ahead would be taken for the answer to a question.
        self.start(f"eval {shlex.quote(line)}; echo {mark}=$?")
        begun = len(self.said)
        deadline = time.monotonic() + SECONDS
        pattern = re.compile(rf"^{mark}=(\d+)".encode(), re.MULTILINE)
        while not (ended := pattern.search(self.said, begun)):
            assert time.monotonic() < deadline, self.text(begun)
            self.read()
            for question, answer in ANSWERS.items():
                if self.said.endswith(question):
                    os.write(self._terminal, answer)
                    self.said += b"\n"
        return int(ended[1])

    def start(self, line: str) -> None:
        """Type it, wait for nothing."""
        os.write(self._terminal, f"{line}\n".encode())

    def read(self) -> None:
        with contextlib.suppress(OSError):
            self.said += os.read(self._terminal, 65_536).replace(b"\r\n", b"\n")

    def text(self, begun: int = 0) -> str:
        return self.said[begun:].decode(errors="replace")

    def end(self) -> None:
        self._process.kill()
        self._process.wait()
        os.close(self._terminal)


@contextlib.contextmanager
def shell(folder: Path) -> Iterator[Shell]:
    opened = Shell(folder)
    try:
        yield opened
    finally:
        opened.end()


def blocks(heading: str) -> list[str]:
    section = README.partition(f"## {heading}\n")[2].partition("\n## ")[0]
    return re.findall(r"^```\n(.*?)^```", section, re.MULTILINE | re.DOTALL)


def test_make_demo_ends_as_readme_shows(copy: Path) -> None:
    assert "**`make demo`**" in README
    done = subprocess.run(
        # Without making the environment anew, which is the one of this tree.
        ["make", "--old-file", ".venv/.installed", "demo"],
        cwd=copy,
        env=clean_environment(),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=SECONDS,
    )
    assert done.returncode == 0, done.stderr
    # Its lines, but for what differs from run to run.
    varying = re.compile(r"\b[0-9a-f]{7,}\b\.*|\d+(\.\d+)?")
    told = {varying.sub("#", line) for line in done.stderr.splitlines()}
    (shown,) = [block for block in blocks("Two commands") if " 1. up: " in block]
    for line in shown.splitlines():
        if not line.startswith(("all of it", "      Deploy sklearn")):
            assert varying.sub("#", line) in told, line
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


def test_your_own_data_goes_to_prod_by_the_commands_that_stand_there(own_data: Path) -> None:
    (block,) = blocks("Your own data, your own change")
    lines = [line for line in block.replace("\\\n", " ").splitlines() if line.strip()]
    path, up, *rest = lines
    assert shlex.split(up, comments=True) == ["local-aws", "up"]
    with shell(own_data) as first, shell(own_data) as second:
        assert first.type(path) == 0
        first.start(up)
        deadline = time.monotonic() + SECONDS
        while b"# In another terminal" not in first.said:
            assert time.monotonic() < deadline, first.text()
            first.read()
        while not (own_data / ".local/running.json").exists():
            assert time.monotonic() < deadline, first.text()
            time.sleep(0.2)
        try:
            second.type(path)
            for line in rest:
                begun = len(second.said)
                assert second.type(line) == 0, f"{line}\n{second.text(begun)}"
            shown = second.text(begun)
            assert re.search(r"housing-prod +InService +prices +1 +Production +champion", shown)
        finally:
            second.type("local-aws down")
    assert not (own_data / ".local/running.json").exists()
