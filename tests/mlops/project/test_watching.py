"""An execution as it changes, until it has ended or waits for a person."""

from __future__ import annotations

from datetime import timedelta

import pytest

from mlops.errors import CommandFailed
from mlops.project.executions import ActionRecord
from mlops.project.watching import LogTails, wait_for_execution, watch
from tests.mlops.project.conftest import LATER, queue_log

PIPELINE = "sagemaker-n-i-modeldeploy"
EXECUTION = "11111111-2222-3333-4444-555555555555"
BUILD = ActionRecord(stage="Build", action="B", status="InProgress", log="builds:8c4e")


def test_each_change_is_told_once_until_it_waits_for_approval(account, answers):
    answers(account, build_status="InProgress")
    answers(account, build_status="InProgress")
    answers(account, approval="waits")
    told = []

    record = watch(account, PIPELINE, EXECUTION, told.append)

    assert [(action.action, action.status) for action in told] == [
        ("BuildDeploymentTemplates", "InProgress"),
        ("BuildDeploymentTemplates", "Succeeded"),
        ("ApproveDeployment", "InProgress"),
    ]
    assert record.approval is not None
    account.stubs["codepipeline"].assert_no_pending_responses()


def test_an_ended_execution_is_returned_at_once(account, answers):
    answers(account, status="Superseded")

    assert watch(account, PIPELINE, EXECUTION).status == "Superseded"


@pytest.mark.parametrize(
    ("lines", "summary"),
    [
        (
            [
                "TrainEvaluateRegister  Failed  31 s",
                "error: not registered: the quality gate was not met: RMSE 60.1 is above 50",
                "  the run: http://mlflow/#/runs/1",
                "[Container] 2026/11/22 23:40:50.1 Command did not exit successfully",
            ],
            "not registered: the quality gate was not met: RMSE 60.1 is above 50",
        ),
        (
            ["2026-11-22 23:40:50,101 INFO reading", "2026-11-22 23:40:50,123 ERROR no version 7"],
            "no version 7",
        ),
        (["error: the first", "pip: error: the last"], "the last"),
        (["Traceback (most recent call last):", "KeyError: 'error: 3'"], "KeyError: 'error: 3'"),
        ([], "exit status 2"),
    ],
)
def test_a_failed_build_is_told_with_the_last_error_in_its_log(account, answers, lines, summary):
    answers(account, status="Failed", build_status="Failed")
    queue_log(account, *lines)
    told = []

    record = watch(account, PIPELINE, EXECUTION, told.append)

    assert [action.summary for action in told] == [summary]
    assert record.actions[0].summary == summary


def test_a_build_that_succeeded_is_not_searched_for_errors(account, answers):
    answers(account, status="Succeeded")

    assert watch(account, PIPELINE, EXECUTION).actions[0].summary == "built"
    assert "logs" not in account.stubs


def test_the_error_of_a_build_is_read_once(account, answers):
    answers(account, status="InProgress", build_status="Failed")
    answers(account, status="Failed", build_status="Failed")
    queue_log(account, "error: no such table")

    assert watch(account, PIPELINE, EXECUTION).actions[0].summary == "no such table"


STACK_ID = "arn:aws:cloudformation:us-east-1:123456789012:stack/deploy-staging/1"
STACK_ACTION = ActionRecord(
    stage="DeployStaging",
    action="DeployResourcesStaging",
    provider="CloudFormation",
    status="Failed",
    summary="Stack deploy-staging ended ROLLBACK_COMPLETE.",
    external_id=STACK_ID,
    changed=LATER,
)


def _event(minutes, logical_id, status, reason=""):
    of_stack = logical_id == "deploy-staging"
    return {
        "StackId": STACK_ID,
        "EventId": f"{minutes}-{logical_id}",
        "StackName": "deploy-staging",
        "LogicalResourceId": logical_id,
        "PhysicalResourceId": STACK_ID if of_stack else "",
        "ResourceType": "AWS::CloudFormation::Stack" if of_stack else "AWS::SageMaker::Endpoint",
        "Timestamp": LATER + timedelta(minutes=minutes),
        "ResourceStatus": status,
        "ResourceStatusReason": reason,
    }


def test_a_stack_that_failed_is_told_by_the_first_resource_that_failed_by_itself(account):
    newest_first = [
        _event(9, "Endpoint", "UPDATE_FAILED", "of a later deployment"),
        _event(8, "deploy-staging", "UPDATE_IN_PROGRESS", "User Initiated"),
        _event(0, "deploy-staging", "ROLLBACK_COMPLETE"),
        _event(-1, "deploy-staging", "ROLLBACK_IN_PROGRESS", "The following resource(s) failed"),
        _event(-2, "Alarm", "CREATE_FAILED", "Resource creation cancelled"),
        _event(-2, "Endpoint", "CREATE_FAILED", "did not pass the ping health check"),
        _event(-5, "deploy-staging", "CREATE_IN_PROGRESS", "User Initiated"),
        _event(-9, "Endpoint", "CREATE_FAILED", "of an earlier deployment"),
    ]
    account.stub("cloudformation").add_response(
        "describe_stack_events", {"StackEvents": newest_first}, {"StackName": STACK_ID}
    )

    reason = LogTails(account).reason(STACK_ACTION)

    assert reason == "Endpoint (AWS::SageMaker::Endpoint): did not pass the ping health check"


def test_a_stack_whose_events_may_not_be_read_has_codepipeline_s_own_words(account):
    account.stub("cloudformation").add_client_error("describe_stack_events", "AccessDenied")

    assert LogTails(account).reason(STACK_ACTION) == STACK_ACTION.summary


def test_no_execution_in_time_says_where_to_look(account):
    account.stub("codepipeline").add_response(
        "list_pipeline_executions",
        {"pipelineExecutionSummaries": [{"pipelineExecutionId": EXECUTION}]},
    )

    with pytest.raises(CommandFailed, match=f"no execution of {PIPELINE} started within 0 s"):
        wait_for_execution(account, PIPELINE, EXECUTION, seconds=0)


def test_the_last_line_of_a_build_comes_from_its_stream_without_codebuild_s_prefix(account):
    account.stub("codebuild").add_response(
        "batch_get_builds",
        {"builds": [{"logs": {"groupName": "group", "streamName": "stream"}}]},
        {"ids": ["builds:8c4e"]},
    )
    lines = (
        "[Container] 2026/11/22 23:40:50.853246 Running command make",
        "PrepareData Executing\n",
    )
    for line in lines:
        account.stub("logs").add_response(
            "get_log_events",
            {"events": [{"timestamp": 1, "message": line}]},
            {
                "logGroupName": "group",
                "logStreamName": "stream",
                "limit": 1,
                "startFromHead": False,
            },
        )
    tails = LogTails(account)

    assert tails.last_line(BUILD) == "Running command make"
    assert tails.last_line(BUILD) == "PrepareData Executing"  # the build is asked for only once


def test_a_build_that_has_not_printed_has_no_last_line(account):
    account.stub("codebuild").add_response("batch_get_builds", {"builds": []})

    assert LogTails(account).last_line(BUILD) == ""
    assert LogTails(account).last_line(ActionRecord(stage="Deploy", action="D")) == ""
