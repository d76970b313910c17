"""Time limits, the queue, and builds that are stopped; a minute takes a third of a second here."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import pytest

SLEEP = """
version: 0.2
env:
  exported-variables: [NEVER]
phases:
  build:
    commands:
      - {command}
  post_build:
    commands:
      - echo never
"""


@pytest.fixture(scope="module")
def hasty(tmp_path_factory, make_account: Callable[..., Iterator]) -> Iterator:
    """An account that runs one build at a time."""
    folder = tmp_path_factory.mktemp("hasty")
    yield from make_account(folder, minute_seconds=0.3, most_at_once=1)


def test_a_build_over_its_limit_is_timed_out_with_all_its_processes(hasty, phase, tmp_path):
    spec = SLEEP.format(command=f"(sleep 3; echo alive >{tmp_path}/alive) & sleep 60")
    started = time.monotonic()
    build = hasty.run(spec, timeoutInMinutes=5)

    assert time.monotonic() - started < 10
    assert build["buildStatus"] == "TIMED_OUT"
    assert phase(build, "BUILD")["phaseStatus"] == "TIMED_OUT"
    assert phase(build, "BUILD")["contexts"][0]["statusCode"] == "BUILD_TIMED_OUT"
    assert "never" not in hasty.log(build).splitlines()
    time.sleep(max(0.0, started + 4 - time.monotonic()))
    assert not (tmp_path / "alive").exists()


def test_stop_build_ends_the_process_tree_and_answers_when_it_is_gone(hasty, phase, tmp_path):
    spec = SLEEP.format(command=f"touch {tmp_path}/started; sleep 60")
    name = hasty.create_project(spec, timeoutInMinutes=480)
    build_id = hasty.start(name)
    while not (tmp_path / "started").exists():
        time.sleep(0.05)

    build = hasty.codebuild.stop_build(id=build_id)["build"]

    assert build["buildStatus"] == "STOPPED"
    assert build["buildComplete"] is True
    assert phase(build, "BUILD")["phaseStatus"] == "STOPPED"
    assert "never" not in hasty.log(build).splitlines()
    again = hasty.codebuild.stop_build(id=build_id)["build"]
    assert again["endTime"] == build["endTime"]


def test_a_build_that_waits_too_long_in_the_queue_is_timed_out(hasty, phase):
    running = hasty.start(
        hasty.create_project(SLEEP.format(command="sleep 60"), timeoutInMinutes=480)
    )
    waiting = hasty.run(SLEEP.format(command="true"), queuedTimeoutInMinutes=5)
    hasty.codebuild.stop_build(id=running)

    assert waiting["buildStatus"] == "TIMED_OUT"
    assert phase(waiting, "QUEUED")["phaseStatus"] == "TIMED_OUT"
    assert [entry["phaseType"] for entry in waiting["phases"]] == [
        *("SUBMITTED", "QUEUED", "COMPLETED"),
    ]


def test_a_build_is_stopped_while_it_waits_in_the_queue(hasty, phase):
    running = hasty.start(
        hasty.create_project(SLEEP.format(command="sleep 60"), timeoutInMinutes=480)
    )
    waiting = hasty.start(hasty.create_project(SLEEP.format(command="true")))

    build = hasty.codebuild.stop_build(id=waiting)["build"]
    hasty.codebuild.stop_build(id=running)

    assert build["buildStatus"] == "STOPPED"
    assert phase(build, "QUEUED")["phaseStatus"] == "STOPPED"


def test_closing_ends_what_runs(tmp_path, make_account):
    accounts = make_account(tmp_path / "state")
    account = next(accounts)
    spec = SLEEP.format(
        command=f"touch {tmp_path}/started; (sleep 4; touch {tmp_path}/alive) & sleep 60"
    )
    account.start(account.create_project(spec))
    while not (tmp_path / "started").exists():
        time.sleep(0.05)

    started = time.monotonic()
    next(accounts, None)

    assert time.monotonic() - started < 4
    assert not (tmp_path / "alive").exists()
    assert [p.suffix for p in (tmp_path / "state/builds").glob("*/*")] == [".log"]
