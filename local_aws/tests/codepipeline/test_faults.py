"""Faults of local_aws itself in a pipeline's threads: the execution fails, the next one runs."""

from __future__ import annotations

from typing import Any

import pytest

from local_aws.codepipeline import action_run
from local_aws.codepipeline.stage_run import StageRun
from local_aws.codepipeline.state_changes import StateChanges

CAUSE = "local_aws: KeyError: 'planted'"


def _fault(*_: Any, **__: Any) -> None:
    raise KeyError("planted")


def test_a_fault_in_an_action_fails_it_and_its_execution(
    account: Any, declare: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as planted:
        planted.setattr(action_run, "_inputs", _fault)
        pipeline = account.create(account.source_stage(), declare.stage("Ask", declare.approval()))
        assert pipeline.ended(pipeline.first()) == "Failed"

    details = pipeline.latest("Source", "Fetch")["errorDetails"]
    assert details == {"code": "InternalError", "message": CAUSE}


@pytest.mark.parametrize("place", ["before its actions", "after them"])
def test_a_fault_in_a_stages_own_thread_fails_the_execution_and_frees_the_stage(
    account: Any, declare: Any, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    tell = StateChanges.stage

    def planted_tell(changes: StateChanges, execution: Any, name: str, state: str) -> None:
        if (name, state) == ("Source", "SUCCEEDED"):
            _fault()
        tell(changes, execution, name, state)

    with monkeypatch.context() as planted:
        if place == "before its actions":
            planted.setattr(StageRun, "_begin", _fault)
        else:
            planted.setattr(StateChanges, "stage", planted_tell)
        pipeline = account.create(account.source_stage(), declare.stage("Ask", declare.approval()))
        first = pipeline.first()
        assert pipeline.ended(first) == "Failed"

    assert pipeline.execution(first)["statusSummary"] == CAUSE
    assert pipeline.stage("Source")["latestExecution"]["status"] == "Failed"
    second = pipeline.start()
    pipeline.approve("Ask", "Approve", second)
    assert pipeline.ended(second) == "Succeeded"
