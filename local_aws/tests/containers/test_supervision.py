"""Commands under supervision: real processes, real signals."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path

import psutil
import pytest

from local_aws.containers.supervision import StartError, SupervisedProcess, start_supervised

PATH = {"PATH": os.defpath}
# Starts a grandchild that leaves its group and session, then lets it write its process id to FILE.
DAEMONISE = """
import os, sys, time
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        open(sys.argv[1] + ".new", "w").write(str(os.getpid()))
        os.rename(sys.argv[1] + ".new", sys.argv[1])
        time.sleep(60)
    os._exit(0)
os.wait()
"""


def start(folder: Path, argv: Sequence[str], **more: float) -> SupervisedProcess:
    return start_supervised(
        argv,
        environment=PATH,
        cwd=folder,
        log_path=folder / "log",
        limit_seconds=more.get("limit_seconds"),
    )


def python(program: str, *arguments: str) -> list[str]:
    return [sys.executable, "-c", program, *arguments]


def number_in(file: Path) -> int:
    """The process id that appears in the file."""
    deadline = time.monotonic() + 10
    while not file.exists():
        assert time.monotonic() < deadline, f"{file} did not appear"
        time.sleep(0.02)
    return int(file.read_text())


def wait_until_gone(*pids: int) -> None:
    deadline = time.monotonic() + 10
    while any(psutil.pid_exists(pid) for pid in pids):
        assert time.monotonic() < deadline, f"still there: {pids}"
        time.sleep(0.02)


def test_exit_code_and_output_come_back(tmp_path: Path) -> None:
    process = start(tmp_path, ["sh", "-c", "echo out; echo err >&2; exit 7"])
    assert process.wait() == 7
    assert process.poll() == 7
    assert not process.timed_out
    assert process.log_path.read_text() == "out\nerr\n"


def test_command_gets_exactly_the_given_environment_and_folder(tmp_path: Path) -> None:
    process = start_supervised(
        ["/usr/bin/env"], environment={"ONLY": "this"}, cwd=tmp_path, log_path=tmp_path / "log"
    )
    assert process.wait() == 0
    assert process.log_path.read_text() == "ONLY=this\n"
    where = start(tmp_path, ["pwd", "-P"])
    assert where.wait() == 0
    assert where.log_path.read_text().splitlines()[-1] == str(tmp_path.resolve())


def test_death_by_a_signal_is_128_plus_its_number(tmp_path: Path) -> None:
    assert start(tmp_path, ["sh", "-c", "kill -SEGV $$"]).wait() == 128 + signal.SIGSEGV


def test_program_that_cannot_be_executed_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(StartError, match=r"could not start /no/such/program: .*No such file"):
        start(tmp_path, ["/no/such/program"])


def test_waiting_too_long_says_so_and_leaves_the_command_running(tmp_path: Path) -> None:
    process = start(tmp_path, ["sleep", "60"])
    with pytest.raises(TimeoutError, match=f"process {process.pid} still runs after 0.1 s"):
        process.wait(0.1)
    assert process.poll() is None
    process.stop()
    assert process.poll() == 128 + signal.SIGTERM


def test_time_limit_ends_the_command(tmp_path: Path) -> None:
    process = start(tmp_path, ["sleep", "60"], limit_seconds=0.2)
    assert process.wait(10) == 128 + signal.SIGTERM
    assert process.timed_out
    wait_until_gone(process.pid)


def test_stop_kills_a_command_that_ignores_sigterm(tmp_path: Path) -> None:
    ignores = "trap '' TERM; echo ready; while :; do sleep 0.1; done"
    process = start(tmp_path, ["sh", "-c", ignores])
    while "ready" not in process.log_path.read_text():
        time.sleep(0.02)
    process.stop(grace_seconds=0.2)
    assert process.poll() == 128 + signal.SIGKILL


def test_second_stop_shortens_the_grace_period(tmp_path: Path) -> None:
    ignores = "trap '' TERM; echo ready; while :; do sleep 0.1; done"
    process = start(tmp_path, ["sh", "-c", ignores])
    while "ready" not in process.log_path.read_text():
        time.sleep(0.02)
    patient = threading.Thread(target=process.stop, args=(60,))
    patient.start()
    time.sleep(0.1)
    process.stop(grace_seconds=0.1)
    patient.join(10)
    assert not patient.is_alive()


def test_command_may_clean_up_when_stopped(tmp_path: Path) -> None:
    cleans_up = "trap 'echo cleaned; exit 3' TERM; echo ready; while :; do sleep 0.1; done"
    process = start(tmp_path, ["sh", "-c", cleans_up])
    while "ready" not in process.log_path.read_text():
        time.sleep(0.02)
    process.stop()
    assert process.poll() == 3
    assert process.log_path.read_text().endswith("cleaned\n")


def test_program_below_a_shell_that_dies_at_once_may_clean_up_when_stopped(tmp_path: Path) -> None:
    cleans_up = (
        "trap 'sleep 0.3; echo cleaned; exit 3' TERM; echo ready; while :; do sleep 0.1; done"
    )
    process = start(tmp_path, ["sh", "-c", 'sh -c "$1"; echo after', "sh", cleans_up])
    while "ready" not in process.log_path.read_text():
        time.sleep(0.02)
    begun = time.monotonic()
    process.stop(grace_seconds=10)
    assert process.log_path.read_text().endswith("cleaned\n")
    assert time.monotonic() - begun < 5


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux hands daemons to the supervisor")
def test_daemon_left_behind_by_a_command_that_ended_is_killed(tmp_path: Path) -> None:
    process = start(tmp_path, python(DAEMONISE, str(tmp_path / "pid")))
    assert process.wait(20) == 0
    if (tmp_path / "pid").exists():
        wait_until_gone(number_in(tmp_path / "pid"))


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux hands daemons to the supervisor")
def test_parent_killed_by_sigkill_takes_child_and_daemon_along(tmp_path: Path) -> None:
    program = f"""
import sys, time
from pathlib import Path
from local_aws.containers.supervision import start_supervised
folder = Path({str(tmp_path)!r})
start_supervised(
    [sys.executable, "-c", {DAEMONISE + "time.sleep(60)"!r}, str(folder / "daemon")],
    environment={PATH!r}, cwd=folder, log_path=folder / "log",
)
print(1, flush=True)
time.sleep(60)
"""
    repository = Path(__file__).parents[3]
    with subprocess.Popen(python(program), cwd=repository, stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        parent.stdout.readline()
        daemon = number_in(tmp_path / "daemon")
        below = psutil.Process(parent.pid).children(recursive=True)
        assert {daemon} < {process.pid for process in below}
        parent.kill()
    wait_until_gone(*(process.pid for process in below))


def test_command_outlives_the_thread_that_started_it(tmp_path: Path) -> None:
    started: list[SupervisedProcess] = []
    thread = threading.Thread(target=lambda: started.append(start(tmp_path, ["sleep", "60"])))
    thread.start()
    thread.join()
    time.sleep(0.2)
    assert started[0].poll() is None
    started[0].stop()


def test_ctrl_c_at_the_terminal_does_not_reach_the_command(tmp_path: Path) -> None:
    process = start(tmp_path, ["sleep", "60"])
    assert os.getpgid(process.pid) != os.getpgrp()
    assert os.getsid(process.pid) != os.getsid(0)
    process.stop()
