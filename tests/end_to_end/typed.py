"""A document's blocks, typed as they stand there into shells on a terminal, in a fresh copy.

sh       a command a line; `# exit code 4` behind one says how it ends
text     what the block before printed, numbers and names with digits aside; a line that ends with
         ` ...` is the beginning of one, and a line `...` stands for others
python   a file: the line before the block names it in backquotes and ends with a colon
"""

from __future__ import annotations

import contextlib
import os
import pty
import re
import select
import shlex
import shutil
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil

from tests.end_to_end.shell import BIN_DIR, PROJECT_DIR, clean_environment

# What a person answers to the questions of the commands.
ANSWERS = {b"Type yes to go on: ": b"yes\n", b"[y/N] ": b"y\n"}
SECONDS = 240
# AWS and MLflow of this machine, until Ctrl-C: they have a terminal of their own.
SERVERS = ("make up", "local-aws up")
NOT_RUN = "Not run on AWS"
_VARYING = re.compile(r"[\w.:+-]*\d[\w.:+-]*")


@dataclass(frozen=True, kw_only=True)
class Block:
    """A fenced block; `kind` is what stands behind the fence, `before` the paragraph above it."""

    kind: str
    body: str
    before: str

    @property
    def lines(self) -> list[str]:
        """The commands: one a line, or several lines that `\\` or a quote joins."""
        found: list[str] = []
        for line in self.body.replace("\\\n", " ").splitlines():
            if found and found[-1].count("'") % 2:
                found[-1] += f"\n{line}"
            elif line.strip():
                found.append(line)
        return found

    @property
    def path(self) -> str:
        """Where a file's text belongs."""
        named = re.search(r"`([^`\s]+)`:$", self.before)
        assert named, f"no `path`: before\n{self.body}"
        return named[1]

    @property
    def runs_here(self) -> bool:
        """It is for a laptop, too."""
        return NOT_RUN not in self.before


def read_blocks(text: str) -> list[Block]:
    """The blocks of a document or of a part of it, in order."""
    found = re.finditer(r"^```(\w*)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    return [
        Block(kind=match[1], body=match[2], before=_paragraph_before(text, match.start()))
        for match in found
    ]


def section(text: str, heading: str) -> str:
    """What stands below a heading of the second level."""
    assert f"## {heading}\n" in text, heading
    return text.partition(f"## {heading}\n")[2].partition("\n## ")[0]


def _paragraph_before(text: str, position: int) -> str:
    return text[:position].rstrip().rpartition("\n\n")[2]


def copy_tree(folder: Path) -> Path:
    """The files of this tree with their times, and its environment: what a clone has."""
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


def _environment() -> dict[str, str]:
    """As of somebody who has activated no environment."""
    environment = clean_environment()
    folders = [
        folder
        for folder in environment["PATH"].split(os.pathsep)
        if Path(folder).resolve() != BIN_DIR.resolve()
    ]
    return {**environment, "PATH": os.pathsep.join(folders)}


class Shell:
    """bash on a terminal of its own."""

    def __init__(self, folder: Path) -> None:
        self.said = b""
        # No prompt, no echo of what is typed: what is left is what the commands print.
        self._terminal, slave = pty.openpty()
        self._process = subprocess.Popen(
            ["bash", "--norc", "--noprofile"],
            cwd=folder,
            env={**_environment(), "PS1": "", "PS2": "", "TERM": "dumb", "COLUMNS": "200"},
            stdin=slave,
            stdout=slave,
            stderr=slave,
            start_new_session=True,
        )
        os.close(slave)
        self.type("stty -echo; bind 'set enable-bracketed-paste off' 2>/dev/null")

    def type(self, line: str, seconds: float = SECONDS) -> int:
        """Type it, answer what is asked; its exit code."""
        mark = f"done-{time.monotonic_ns()}"
        # In one line: what is typed ahead would be taken for the answer to a question.
        self.start(f"eval {shlex.quote(line)}; echo {mark}=$?")
        begun = len(self.said)
        deadline = time.monotonic() + seconds
        pattern = re.compile(rf"^{mark}=(\d+)".encode(), re.MULTILINE)
        while not (ended := pattern.search(self.said, begun)):
            assert time.monotonic() < deadline, f"{line}\n{self.text(begun)}"
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
        """Take what was printed; half a second at most."""
        readable, _, _ = select.select([self._terminal], [], [], 0.5)
        with contextlib.suppress(OSError):
            if readable:
                self.said += os.read(self._terminal, 65_536).replace(b"\r\n", b"\n")

    def read_until(self, ending: str, seconds: float = SECONDS) -> None:
        """Take what is printed, up to what is said at the end."""
        deadline = time.monotonic() + seconds
        while ending not in self.text():
            assert time.monotonic() < deadline, self.text()
            self.read()

    def interrupt(self) -> None:
        """Type Ctrl-C."""
        os.write(self._terminal, b"\x03")

    def text(self, begun: int = 0) -> str:
        """What was printed since."""
        return self.said[begun:].decode(errors="replace")

    def end(self) -> None:
        """Close the terminal, and with it what was typed into it."""
        children = psutil.Process(self._process.pid).children(recursive=True)
        self._process.kill()
        self._process.wait()
        os.close(self._terminal)
        _, alive = psutil.wait_procs(children, timeout=20)
        for child in alive:
            child.kill()
        assert not alive, f"left behind: {alive}"


@contextlib.contextmanager
def shell(folder: Path) -> Iterator[Shell]:
    """One that ends with the block."""
    opened = Shell(folder)
    try:
        yield opened
    finally:
        opened.end()


class Reader:
    """A person with a document and two terminals in one folder."""

    def __init__(self, folder: Path, begin: Path) -> None:
        self._folder = folder
        self._servers = Shell(folder)
        self._shell = Shell(begin)
        self.typed: list[str] = []

    def follow(self, blocks: list[Block]) -> None:
        """Do what the blocks say, in order; AssertionError with what was printed instead."""
        printed = ""
        for block in blocks:
            if block.kind == "python":
                (self._folder / block.path).write_text(block.body)
            elif block.kind == "text":
                assert not (missing := missing_lines(block.body, printed)), (missing, printed)
            elif block.kind == "sh" and block.runs_here:
                printed = "".join(self.type(line) for line in block.lines)

    def type(self, line: str) -> str:
        """Type a line into the terminal it belongs to; what it printed."""
        self.typed.append(line)
        command = " ".join(shlex.split(line, comments=True))
        if command in SERVERS:
            return self._serve(command)
        expected = re.search(r"# exit code (\d+)", line)
        begun = len(self._shell.said)
        code = self._shell.type(line)
        said = self._shell.text(begun)
        assert code == int(expected[1] if expected else 0), f"{line}\n{said}"
        return re.sub(r"^done-\d+=\d+$", "", said, flags=re.MULTILINE)

    def _serve(self, command: str) -> str:
        # Without making the environment anew, which is the one of this tree.
        begin, _, target = command.partition("make ")
        self._servers.start(f"make --old-file .venv/.installed {target}" if target else begin)
        deadline = time.monotonic() + SECONDS
        running = self._folder / ".local/running.json"
        while not running.exists():
            assert time.monotonic() < deadline, self._servers.text()
            self._servers.read()
        return self._servers.text()

    def end(self) -> None:
        """Ctrl-C, and nothing of it is left."""
        try:
            subprocess.run([BIN_DIR / "local-aws", "down", "--quiet"], cwd=self._folder, check=True)
            assert not (self._folder / ".local/running.json").exists()
        finally:
            self._shell.end()
            self._servers.end()


@contextlib.contextmanager
def reader(folder: Path, begin: Path | None = None) -> Iterator[Reader]:
    """In the folder, or where else it begins; servers and terminals end with the block."""
    person = Reader(folder, begin or folder)
    try:
        yield person
    finally:
        person.end()


def missing_lines(shown: str, printed: str) -> list[str]:
    """The lines that a document shows and that were not printed."""
    told = [_constant(line) for line in printed.splitlines()]
    return [
        line
        for line in shown.splitlines()
        if line.strip() not in ("", "...") and not any(_shows(line, each) for each in told)
    ]


def _shows(line: str, told: str) -> bool:
    beginning = line.removesuffix(" ...")
    if beginning != line:
        return told.startswith(_constant(beginning))
    return told == _constant(line)


def _constant(line: str) -> str:
    """The line without what differs from run to run, and from width to width."""
    return " ".join(_VARYING.sub("#", line).split())
