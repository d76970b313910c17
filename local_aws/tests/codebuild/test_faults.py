"""Faults of local_aws itself in a build's threads: the build ends, and says so."""

from __future__ import annotations

import threading

import pytest

from local_aws.codebuild import build_run
from local_aws.codebuild.build_record import BuildRecord
from local_aws.codebuild.build_shell import BuildShell
from local_aws.containers.supervision import SupervisedProcess

BUILDSPEC = """
version: 0.2
phases:
  build:
    commands:
      - echo well
"""
CAUSE = "local_aws: KeyError: 'planted'"


def _fault(*_, **__):
    raise KeyError("planted")


@pytest.mark.parametrize(
    ("owner", "name"),
    [(build_run.BuildRun, "_open_log"), (BuildShell, "close"), (BuildRecord, "publish")],
)
def test_a_fault_in_a_builds_thread_ends_it_as_a_fault(account, monkeypatch, owner, name):
    with monkeypatch.context() as planted:
        planted.setattr(owner, name, _fault)
        build = account.run(BUILDSPEC)

    assert build["buildStatus"] == "FAULT"
    contexts = [c for phase in build["phases"] for c in phase.get("contexts", [])]
    assert {"statusCode": "INTERNAL_SERVICE_ERROR", "message": CAUSE} in contexts
    assert account.run(BUILDSPEC)["buildStatus"] == "SUCCEEDED"


def test_a_fault_in_what_waits_for_the_shell_ends_the_build(account, monkeypatch):
    wait = SupervisedProcess.wait

    faults = [KeyError("planted")]

    def planted_wait(process, *arguments):
        if faults and threading.current_thread().name.startswith("end of the shell"):
            raise faults.pop()
        return wait(process, *arguments)

    monkeypatch.setattr(SupervisedProcess, "wait", planted_wait)
    build = account.run(BUILDSPEC.replace("echo well", "sleep 600"))

    assert build["buildStatus"] == "FAULT"
    assert CAUSE in str(build["phases"])
