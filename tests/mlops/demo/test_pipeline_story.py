"""One execution of a pipeline, told action by action."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from mlops.demo.narration import Narrator
from mlops.demo.pipeline_story import execution_report, tell_execution
from mlops.errors import CommandFailed, NotApproved
from tests.mlops.project.conftest import (
    EXECUTION,
    PIPELINE,
    TOKEN,
    StubbedAccount,
    queue_execution,
    queue_log,
)


@pytest.fixture
def account():
    return StubbedAccount()


def _tell(account, approve=lambda _: False):
    text = io.StringIO()
    narrator = Narrator(Console(file=text, width=300, color_system=None))
    try:
        tell_execution(account, narrator, "CD", PIPELINE, EXECUTION, approve)
    finally:
        account.told = text.getvalue()
    return account.told


@pytest.mark.parametrize(("says", "status"), [(True, "Approved"), (False, "Rejected")])
def test_the_approval_shows_its_message_and_sends_what_the_person_says(account, says, status):
    queue_execution(account, approval="waits")
    account.stubs["codepipeline"].add_response(
        "put_approval_result",
        {},
        {
            "pipelineName": PIPELINE,
            "stageName": "DeployStaging",
            "actionName": "ApproveDeployment",
            "token": TOKEN,
            "result": {"status": status, "summary": "answered in mlops demo"},
        },
    )
    queue_execution(account, approval="approved", status="Succeeded")

    if says:
        told = _tell(account, lambda _: True)
        assert "DeployStaging/ApproveDeployment Succeeded (90.0 s)" in told
    else:
        with pytest.raises(NotApproved, match="Prod and the stage Production are as they were"):
            _tell(account)
    assert "housing version 3, median AE 35.2" in account.told
    assert "http://mlflow/#/models/housing" in account.told


@pytest.mark.parametrize(
    "printed",
    ["no such model", "error: not registered: the quality gate was not met: too far off"],
)
def test_a_failed_action_is_told_with_its_reason_and_its_log_s_last_lines(account, printed):
    lines = ["[Container] 2026/11/22 23:40:50.1 Running command make", printed]
    queue_execution(account, status="Failed", build_status="Failed")
    queue_log(account, *lines)
    queue_log(account, *lines)

    with pytest.raises(CommandFailed) as caught:
        _tell(account)

    reason = printed.removeprefix("error: ")
    assert str(caught.value) == (
        f"{PIPELINE} ended Failed: Build/BuildDeploymentTemplates: {reason}"
        f"\n    Running command make\n    {printed}"
    )
    assert f"Build/BuildDeploymentTemplates Failed (90.0 s): {reason}" in account.told


def test_the_report_holds_each_action_with_its_seconds(account):
    queue_execution(account)

    report = execution_report(account, PIPELINE, EXECUTION)

    assert report["name"] == PIPELINE
    assert report["commit"] == "abcdef0123456789"
    assert report["actions"] == [
        {
            "stage": "Build",
            "name": "BuildDeploymentTemplates",
            "status": "Succeeded",
            "seconds": 90.0,
        },
        {
            "stage": "DeployStaging",
            "name": "ApproveDeployment",
            "status": "NotStarted",
            "seconds": None,
        },
    ]
