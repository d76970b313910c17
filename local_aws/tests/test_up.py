"""`local-aws up` and the commands beside it, as processes: races, proxies, a full disk."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from local_aws.remote import client_of
from local_aws.state import StateFolder

DEAD_PROXY = "http://127.0.0.1:9"
PROXIES = dict.fromkeys(("HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "ALL_PROXY"), DEAD_PROXY)

Start = Callable[..., "subprocess.Popen[str]"]


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "local_aws.cli", *arguments]


def run(folder: Path, *arguments: str, **more) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command(*arguments, "--state-dir", str(folder)),
        text=True,
        timeout=60,
        check=False,
        **{"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **more},
    )


@pytest.fixture
def start() -> Iterator[Start]:
    started: list[subprocess.Popen[str]] = []

    def start(folder: Path, *arguments: str, **environment: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            command("up", "--no-mlflow", "--state-dir", str(folder), *arguments),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, **environment},
        )
        started.append(process)
        return process

    yield start
    for process in started:
        process.terminate()
        process.communicate(timeout=30)


def until_announced(folder: Path) -> dict[str, str]:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        running = StateFolder(folder).running()
        if running is not None:
            return running.environment
        time.sleep(0.05)
    raise AssertionError("nothing was announced")


def test_of_two_up_at_once_one_serves_and_the_other_says_who(start, tmp_path):
    both = [start(tmp_path / "state"), start(tmp_path / "state")]
    until_announced(tmp_path / "state")
    while all(process.poll() is None for process in both):
        time.sleep(0.05)

    (loser,) = [process for process in both if process.poll() is not None]
    (winner,) = [process for process in both if process.poll() is None]
    assert loser.returncode == 2
    assert f"process {winner.pid}" in loser.communicate()[1]
    assert run(tmp_path / "state", "status").stdout.startswith("AWS ")


def test_down_ends_one_that_is_still_starting_and_only_that(start, tmp_path):
    state = StateFolder(tmp_path)
    process = start(tmp_path)
    while state.holder() is None:
        time.sleep(0.01)

    ended = run(tmp_path, "down")
    assert ended.stdout == f"ended process {process.pid}\n"
    process.wait(30)
    after = start(tmp_path)
    until_announced(tmp_path)
    assert after.poll() is None


def test_a_killed_up_leaves_the_folder_to_the_next(start, tmp_path):
    killed = start(tmp_path)
    until_announced(tmp_path)
    killed.send_signal(signal.SIGKILL)
    killed.wait(30)

    assert run(tmp_path, "down").stdout.startswith("nothing runs")
    start(tmp_path)
    until_announced(tmp_path)
    assert (tmp_path / "previous" / "api-calls.jsonl").exists()


def test_it_ends_with_the_program_that_started_it_however_that_ends(tmp_path):
    """The other end of its standard input is closed by kill -9 too."""
    starter = (
        "import subprocess, sys\n"
        "one = subprocess.Popen(sys.argv[1:], stdin=subprocess.PIPE, start_new_session=True)\n"
        "print(one.pid, flush=True)\n"
        "one.wait()\n"
    )
    up = command("up", "--no-mlflow", "--end-with-stdin", "--state-dir", str(tmp_path / "state"))
    program = subprocess.Popen(
        [sys.executable, "-c", starter, *up], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    assert program.stdout is not None
    process = psutil.Process(int(program.stdout.readline()))
    until_announced(tmp_path / "state")

    program.kill()
    program.wait()
    program.stdout.close()

    psutil.wait_procs([process], 30)
    assert not process.is_running()
    assert StateFolder(tmp_path / "state").running() is None


def test_no_command_goes_through_a_proxy_nor_by_another_account(start, tmp_path):
    before = {**os.environ, **PROXIES, "AWS_PROFILE": "absent", "AWS_ENDPOINT_URL_S3": DEAD_PROXY}
    start(tmp_path, **PROXIES, AWS_PROFILE="absent")
    until_announced(tmp_path)

    status = run(tmp_path, "status", env=before)
    assert (status.returncode, status.stderr) == (0, "")
    lines = run(tmp_path, "env", env=before).stdout
    listed = subprocess.run(
        ["sh", "-ec", f'eval "$LINES"; {Path(sys.executable).with_name("aws")} s3 ls'],
        env={**before, "LINES": lines},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert "local-123456789012" in listed.stdout, listed.stderr


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
def test_an_answer_that_cannot_be_written_is_one_clear_error(start, tmp_path):
    start(tmp_path)
    until_announced(tmp_path)

    for name in ("status", "env"):
        with Path("/dev/full").open("w") as full:
            answer = run(tmp_path, name, stdout=full)
        assert answer.returncode == 1
        assert answer.stderr == "error: [Errno 28] No space left on device\n"
        closed = run(tmp_path, name, stdout=None, preexec_fn=lambda: os.close(1))
        assert closed.returncode == 1
        assert closed.stderr.startswith("error: standard output is closed")


def test_status_says_how_many_executions_it_does_not_show(start, tmp_path):
    start(tmp_path)
    environment = until_announced(tmp_path)
    sagemaker = client_of(environment, "sagemaker")
    account, definition = (
        "123456789012",
        json.dumps(
            {
                "Version": "2020-12-01",
                "Steps": [
                    {"Name": "End", "Type": "Fail", "Arguments": {"ErrorMessage": "it is over"}}
                ],
            }
        ),
    )
    sagemaker.create_pipeline(
        PipelineName="nightly",
        ClientRequestToken="t" * 32,
        RoleArn=f"arn:aws:iam::{account}:role/local-execution",
        PipelineDefinition=definition,
    )
    for number in range(130):
        sagemaker.start_pipeline_execution(
            PipelineName="nightly", ClientRequestToken=f"{number:032}"
        )

    shown = run(tmp_path, "status", env={**os.environ, "COLUMNS": "200"}).stdout
    assert shown.count("nightly") == 20 + 2  # the rest's name and command
    assert "nightly: 110 older ones" in shown
