"""What a planted program can do while answers are recorded; it needs no MLflow."""

from __future__ import annotations

import json
import os
import pwd
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from model_deploy.recorded_answers import isolation

SOURCE = Path(isolation.__file__)
ALL = {"credentials": True, "network": True, "writes": True, "processes": True}

PLANTED = """\
import json, os, socket, subprocess, sys

def tried(work):
    try:
        return work() or "done"
    except Exception as err:
        return type(err).__name__

home, port, mark = sys.argv[1:]
folder = os.path.dirname(__file__)
seen = {
    "secret": os.environ.get("AWS_SECRET_ACCESS_KEY"),
    "other_secrets": [
        number for number in os.listdir("/proc") if number.isdigit()
        and tried(lambda: b"TOP-SECRET" in open(f"/proc/{number}/environ", "rb").read()) is True
    ],
    "aws_file": tried(lambda: open(os.path.join(home, ".aws", "credentials")).read()),
    "connected": tried(lambda: socket.create_connection(("127.0.0.1", int(port)), 2).close()),
    "wrote_model": tried(lambda: open(os.path.join(folder, "MLmodel"), "w").close()),
    "wrote_home": tried(lambda: open(os.path.join(home, "planted"), "w").close()),
    "wrote_work": tried(lambda: open("planted", "w").close()),
    "wrote_tmp": tried(lambda: open(f"/tmp/{mark}", "w").close()),
    "remounted": subprocess.run(
        ["mount", "-o", "remount,bind,rw", "/"], capture_output=True
    ).returncode,
}
with open("seen.json", "w") as file:
    json.dump(seen, file)
subprocess.Popen(["sleep", mark], start_new_session=True)
"""


# Reads the files of its first argument.
SEES = """\
import json, sys
read = {}
for path in sys.argv[1].splitlines():
    try:
        read[path] = open(path).read()
    except OSError:
        read[path] = ""
with open("seen.json", "w") as file:
    json.dump({"read": read}, file)
"""
PLACES = (
    *(".docker/config.json", ".git-credentials", ".kube/config", ".netrc", ".azure/token"),
    *(".config/gcloud/credentials.db", ".ssh/id_ed25519", ".mlflow/credentials", ".npmrc"),
)


@dataclass(frozen=True)
class Machine:
    """A user's home with credentials, a server on 127.0.0.1, and what connected to it."""

    home: Path
    scratch: Path
    port: int
    mark: str

    def run(
        self, program: str = PLANTED, source: Path = SOURCE, named: Sequence[str] = ()
    ) -> dict[str, Any]:
        work = self.scratch / "work"
        work.mkdir(parents=True)
        planted = self.scratch / "planted.py"
        planted.write_text(program)
        hidden = "\n".join([str(self.home), *named])
        places = [hidden, self.scratch, work, work / "report.json"]
        command = [sys.executable, "-I", "-B", source, *places, planted]
        answer = subprocess.run(
            [*map(str, command), hidden if named else str(self.home), str(self.port), self.mark],
            env={"PATH": os.defpath},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert answer.returncode == 0, answer.stderr
        seen: dict[str, Any] = json.loads((work / "seen.json").read_text())
        seen["kept_from"] = json.loads((work / "report.json").read_text())
        return seen


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    # Not below /tmp, which is another one for the program, so that nothing there could be found.
    home = Path(tempfile.mkdtemp(dir="/var/tmp"))
    (home / ".aws").mkdir()
    (home / ".aws" / "credentials").write_text("TOP-SECRET")
    with socket.create_server(("127.0.0.1", 0)) as server:
        # No other test's sleep has that many seconds.
        mark = f"{1000 + os.getpid()}.{server.getsockname()[1]}"
        yield Machine(home, tmp_path / "scratch", server.getsockname()[1], mark)
    shutil.rmtree(home)


@pytest.fixture
def plainly(tmp_path: Path) -> Path:
    """The program as it is where no way of setting apart is allowed."""
    source = tmp_path / "isolation.py"
    text = SOURCE.read_text()
    assert "next((way for way in WAYS " in text
    source.write_text(text.replace("next((way for way in WAYS ", "next((way for way in () "))
    return source


def namespaces_are_allowed() -> bool:
    command = [
        "unshare",
        "--user",
        "--map-root-user",
        "--net",
        "--mount",
        "--pid",
        "--fork",
        "true",
    ]
    try:
        return subprocess.run(command, capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        return False


def runs(mark: str) -> bool:
    commands = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            commands.append(path.read_bytes())
        except OSError:
            continue
    return any(f"sleep\0{mark}\0".encode() == command for command in commands)


needs_namespaces = pytest.mark.skipif(
    not namespaces_are_allowed(), reason="this machine allows no namespaces"
)


@needs_namespaces
def test_a_planted_program_gets_nothing_and_leaves_nothing(machine: Machine) -> None:
    seen = machine.run()
    assert seen["kept_from"] == ALL
    assert seen["secret"] is None
    assert seen["other_secrets"] == []
    assert seen["aws_file"] == "FileNotFoundError"
    assert seen["connected"] == "OSError"  # Network is unreachable
    assert seen["wrote_model"] == "OSError"  # Read-only file system
    assert seen["wrote_home"] == "OSError"
    assert seen["wrote_work"] == "done"
    assert seen["wrote_tmp"] == "done"
    assert seen["remounted"] != 0
    assert not Path("/tmp", machine.mark).exists()
    assert not (machine.home / "planted").exists()
    assert not runs(machine.mark)


@needs_namespaces
def test_nothing_of_the_home_nor_what_variables_name_can_be_read(machine: Machine) -> None:
    elsewhere = machine.home.parent / f"{machine.home.name}-named"
    files = [machine.home / name for name in (*PLACES, "Documents/notes.txt")]
    for path in (*files, elsewhere / "token"):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("TOP-SECRET")
    (elsewhere / "docker").mkdir()
    (elsewhere / "docker" / "config.json").write_text("TOP-SECRET")
    hidden = isolation.list_hidden(
        {
            "AWS_WEB_IDENTITY_TOKEN_FILE": str(elsewhere / "token"),
            "DOCKER_CONFIG": str(elsewhere / "docker"),
            "AWS_REGION": "eu-central-1",
            "PIP_PREFIX": "/usr",
        }
    )
    assert hidden == [str(elsewhere / "docker"), str(elsewhere / "token")]
    try:
        seen = machine.run(SEES, named=[*map(str, files), *hidden, str(elsewhere / "docker/x")])
        assert set(seen["read"].values()) == {""}
        assert seen["kept_from"] == ALL
    finally:
        shutil.rmtree(elsewhere)


@pytest.mark.parametrize("place", PLACES)
def test_credentials_that_can_be_read_are_never_denied(
    machine: Machine, plainly: Path, place: str
) -> None:
    (machine.home / ".aws" / "credentials").unlink()
    (machine.home / place).parent.mkdir(parents=True, exist_ok=True)
    (machine.home / place).write_text("TOP-SECRET")
    seen = machine.run(SEES, source=plainly)
    assert seen["kept_from"]["credentials"] is False


def test_the_user_s_own_home_is_hidden_where_home_is_another() -> None:
    with tempfile.TemporaryDirectory() as home:
        hidden = isolation.list_hidden({"HOME": home})
    own = os.path.expanduser(f"~{pwd.getpwuid(os.getuid()).pw_name}")  # noqa: PTH111
    assert f"{own}/.aws" in hidden


def test_a_named_file_that_can_be_read_is_never_denied(machine: Machine, plainly: Path) -> None:
    (machine.home / ".aws" / "credentials").unlink()
    (machine.home / "token").write_text("TOP-SECRET")
    seen = machine.run(SEES, source=plainly, named=[str(machine.home / "token")])
    assert seen["kept_from"]["credentials"] is False


def test_where_nothing_can_be_enforced_the_report_says_so(machine: Machine, plainly: Path) -> None:
    seen = machine.run(source=plainly)
    try:
        # What is told is what happened: the planted program got each of these.
        assert seen["kept_from"] == {
            "credentials": False,
            "network": False,
            "writes": False,
            "processes": False,
        }
        assert seen["aws_file"] == "TOP-SECRET"
        assert seen["connected"] == "done"
        assert seen["wrote_home"] == "done"
        # Its variables have none all the same, and what it started has ended.
        assert seen["secret"] is None
        assert not runs(machine.mark)
    finally:
        Path("/tmp", machine.mark).unlink(missing_ok=True)


def test_without_credentials_in_reach_a_plain_process_is_kept_from_them(
    machine: Machine, plainly: Path
) -> None:
    if os.getuid() != 0:
        pytest.skip("other processes of the same user can be read")
    (machine.home / ".aws" / "credentials").unlink()
    seen = machine.run(source=plainly)
    Path("/tmp", machine.mark).unlink(missing_ok=True)
    assert seen["kept_from"]["credentials"] is True
    assert seen["other_secrets"] == []


def test_what_it_started_ends_also_when_it_is_told_to_end(machine: Machine, plainly: Path) -> None:
    program = "import subprocess, sys, time\n" + (
        "subprocess.Popen(['sleep', sys.argv[3]], start_new_session=True)\n"
        "open('started', 'w').close()\ntime.sleep(60)\n"
    )
    for source in (SOURCE, plainly):
        scratch = machine.scratch / source.parent.name
        work = scratch / "work"
        work.mkdir(parents=True)
        (scratch / "planted.py").write_text(program)
        places = [machine.home, scratch, work, work / "report.json", scratch / "planted.py"]
        command = [sys.executable, "-I", "-B", source, *places, machine.home, "1", machine.mark]
        process = subprocess.Popen([str(word) for word in command], start_new_session=True)
        watch = threading.Timer(30, process.kill)
        watch.start()
        while not (work / "started").exists():
            assert process.poll() is None
            time.sleep(0.05)
        assert runs(machine.mark)
        process.terminate()
        process.wait()
        watch.cancel()
        assert not runs(machine.mark)


def test_a_program_s_exit_code_and_signal_come_back(tmp_path: Path) -> None:
    work = tmp_path / "scratch" / "work"
    work.mkdir(parents=True)
    program = tmp_path / "scratch" / "program.py"
    places = [tmp_path, tmp_path / "scratch", work, work / "report.json", program]
    for text, code in (
        ("import sys; sys.exit(7)", 7),
        ("raise ValueError", 1),
        ("import ctypes; ctypes.string_at(0)", 128 + 11),
    ):
        program.write_text(text)
        command = [sys.executable, "-I", "-B", SOURCE, *places]
        answer = subprocess.run([str(word) for word in command], capture_output=True, check=False)
        assert answer.returncode == code, answer.stderr
