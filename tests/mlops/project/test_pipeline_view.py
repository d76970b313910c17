"""What `mlops pipeline` shows of an execution."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from datetime import timedelta

import pytest
from rich.console import Console

from mlops.project.executions import ActionRecord, Approval, ExecutionRecord
from mlops.project.pipeline_view import (
    _Usual,
    as_json,
    change_lines,
    exit_code,
    render,
    show_pipelines,
)
from tests.mlops.project.conftest import EXECUTION, LATER, PIPELINE, START, queue_log

BUILD = ActionRecord(
    stage="Build",
    action="BuildDeploymentTemplates",
    provider="CodeBuild",
    status="InProgress",
    seconds=12.34,
    external_id="builds:8c4e",
    log="builds:8c4e",
)
DEPLOY = ActionRecord(stage="DeployStaging", action="DeployResourcesStaging")
ASKED = ActionRecord(
    stage="DeployStaging", action="ApproveDeployment", provider="Manual", status="InProgress"
)
RUNNING = ExecutionRecord(
    pipeline="modeldeploy",
    execution_id="11111111-2222",
    status="InProgress",
    status_summary="",
    trigger="event by push",
    commit="abcdef0123456789",
    message="Deploy version 3 [urgent]",
    actions=(BUILD, DEPLOY),
    approval=None,
)
WAITING = replace(
    RUNNING,
    actions=(replace(BUILD, status="Succeeded"), ASKED),
    approval=Approval(
        pipeline="modeldeploy",
        stage="DeployStaging",
        action="ApproveDeployment",
        execution_id="11111111-2222",
        token="secret-token",
        message="housing version 3",
        link="http://mlflow/models/3",
    ),
)


def _screen(record, last_line=lambda _: ""):
    text = io.StringIO()
    Console(file=text, width=160, color_system=None).print(render([record], last_line))
    return text.getvalue()


def test_the_screen_shows_each_action_and_what_a_running_one_printed_last():
    screen = _screen(RUNNING, lambda action: f"packaging for {action.action}")

    assert 'modeldeploy  11111111  InProgress  event by push  commit abcdef01 "Deploy ver' in screen
    assert "▶ BuildDeploymentTemplates" in screen
    assert "12.3 s" in screen
    assert "packaging for BuildDeploymentTemplates" in screen
    assert "packaging for DeployResourcesStaging" not in screen


def test_what_runs_is_told_with_the_time_that_it_took_when_it_last_succeeded(account):
    details = [
        _detail("Failed", START, LATER),
        _detail("Succeeded", START, LATER),
        _detail("Succeeded", START, LATER + timedelta(hours=1)),
    ]
    account.stub("codepipeline").add_response(
        "list_action_executions",
        {"actionExecutionDetails": details},
        {"pipelineName": "modeldeploy", "maxResults": 100},
    )
    usual = _Usual(account).seconds

    lines = change_lines(None, RUNNING, usual)
    text = io.StringIO()
    console = Console(file=text, width=200, color_system=None)
    console.print(render([RUNNING], lambda _: "", usual))

    assert "Build/BuildDeploymentTemplates InProgress of about 90 s, as last time" in lines[1]
    assert "12.3 s of about 90 s, as last time" in text.getvalue()
    # Never done before: nothing is made up.
    never = replace(RUNNING, actions=(replace(BUILD, action="Other"),))
    assert "about" not in "".join(change_lines(None, never, usual))
    assert "about" not in "".join(change_lines(None, WAITING, usual))


def _detail(status, start, end):
    return {
        "stageName": "Build",
        "actionName": "BuildDeploymentTemplates",
        "status": status,
        "startTime": start,
        "lastUpdateTime": end,
    }


def test_the_screen_says_what_waits_and_how_to_answer():
    screen = _screen(WAITING)

    assert "waits for approval" in screen
    assert "housing version 3" in screen
    assert "http://mlflow/models/3" in screen
    assert "mlops approve" in screen


def test_a_failed_action_is_shown_with_the_way_to_its_log():
    failed = replace(BUILD, status="Failed", summary="exit status 2")

    assert "exit status 2  (`mlops logs builds:8c4e`)" in _screen(
        replace(RUNNING, status="Failed", actions=(failed,))
    )


@pytest.mark.parametrize("terminal", [True, False])
def test_a_missed_gate_is_named_on_a_terminal_and_in_a_pipe(account, answers, terminal):
    account.stub("codepipeline").add_response(
        "list_pipeline_executions",
        {"pipelineExecutionSummaries": [{"pipelineExecutionId": EXECUTION}]},
    )
    answers(account, status="Failed", build_status="Failed")
    queue_log(account, "error: not registered: the quality gate was not met: too far off")
    text = io.StringIO()
    console = Console(file=text, width=200, color_system=None, force_terminal=terminal)

    (record,) = show_pipelines(account, [PIPELINE], console, follow=True)

    assert record.actions[0].summary.startswith("not registered: the quality gate was not met: ")
    assert "not registered: the quality gate was not met: too far off" in text.getvalue()
    assert "exit status 2" not in text.getvalue()


def test_lines_come_only_for_what_changed():
    first = change_lines(None, RUNNING)
    assert len(first) == 2  # the execution, its running action; not the one that has not started
    later = replace(RUNNING, actions=(replace(BUILD, seconds=20.0), DEPLOY))
    assert change_lines(RUNNING, later) == []

    done = replace(RUNNING, actions=(replace(BUILD, status="Succeeded", summary="ok"), DEPLOY))
    (line,) = change_lines(RUNNING, done)

    assert "Build/BuildDeploymentTemplates Succeeded 12.3 s: ok" in line


def test_lines_tell_a_waiting_approval_once_and_the_end():
    lines = change_lines(RUNNING, WAITING)
    assert any("ApproveDeployment waits for you: housing version 3" in line for line in lines)
    assert change_lines(WAITING, WAITING) == []

    ended = replace(WAITING, approval=None, status="Superseded", status_summary="by 2222")

    assert change_lines(WAITING, ended)[-1].endswith("modeldeploy 11111111 Superseded (by 2222)")


@pytest.mark.parametrize(
    ("status", "code"), [("Succeeded", 0), ("InProgress", 0), ("Failed", 1), ("Superseded", 1)]
)
def test_the_exit_code_says_how_it_went(status, code):
    assert (
        exit_code([replace(RUNNING, status="Succeeded"), replace(RUNNING, status=status)]) == code
    )


def test_json_holds_everything_but_the_token():
    text = json.dumps(as_json(WAITING))

    assert "secret-token" not in text
    assert json.loads(text)["approval"]["message"] == "housing version 3"
    assert json.loads(text)["actions"][0]["seconds"] == 12.34
