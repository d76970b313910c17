"""An execution as it changes, until it has ended or waits for a person."""

from __future__ import annotations

import pytest

from local_aws.errors import CommandFailed
from local_aws.project.executions import ActionRecord
from local_aws.project.watching import LogTails, wait_for_execution, watch

PIPELINE = "sagemaker-n-i-modeldeploy"
EXECUTION = "11111111-2222-3333-4444-555555555555"
BUILD = ActionRecord(stage="Build", action="B", status="InProgress", log="builds:8c4e")


def test_each_change_is_told_once_until_it_waits_for_approval(clients, answers):
    answers(clients, build_status="InProgress")
    answers(clients, build_status="InProgress")
    answers(clients, approval="waits")
    told = []

    record = watch(clients, PIPELINE, EXECUTION, told.append)

    assert [(action.action, action.status) for action in told] == [
        ("BuildDeploymentTemplates", "InProgress"),
        ("BuildDeploymentTemplates", "Succeeded"),
        ("ApproveDeployment", "InProgress"),
    ]
    assert record.approval is not None
    clients.stubs["codepipeline"].assert_no_pending_responses()


def test_an_ended_execution_is_returned_at_once(clients, answers):
    answers(clients, status="Superseded")

    assert watch(clients, PIPELINE, EXECUTION).status == "Superseded"


def test_no_execution_in_time_says_where_to_look(clients):
    clients.stub("codepipeline").add_response(
        "list_pipeline_executions",
        {"pipelineExecutionSummaries": [{"pipelineExecutionId": EXECUTION}]},
    )

    with pytest.raises(CommandFailed, match=f"no execution of {PIPELINE} started within 0 s"):
        wait_for_execution(clients, PIPELINE, EXECUTION, seconds=0)


def test_the_last_line_of_a_build_comes_from_its_stream_without_codebuild_s_prefix(clients):
    clients.stub("codebuild").add_response(
        "batch_get_builds",
        {"builds": [{"logs": {"groupName": "group", "streamName": "stream"}}]},
        {"ids": ["builds:8c4e"]},
    )
    lines = (
        "[Container] 2026/11/22 23:40:50.853246 Running command make",
        "PrepareData Executing\n",
    )
    for line in lines:
        clients.stub("logs").add_response(
            "get_log_events",
            {"events": [{"timestamp": 1, "message": line}]},
            {
                "logGroupName": "group",
                "logStreamName": "stream",
                "limit": 1,
                "startFromHead": False,
            },
        )
    tails = LogTails(clients)

    assert tails.last_line(BUILD) == "Running command make"
    assert tails.last_line(BUILD) == "PrepareData Executing"  # the build is asked for only once


def test_a_build_that_has_not_printed_has_no_last_line(clients):
    clients.stub("codebuild").add_response("batch_get_builds", {"builds": []})

    assert LogTails(clients).last_line(BUILD) == ""
    assert LogTails(clients).last_line(ActionRecord(stage="Deploy", action="D")) == ""
