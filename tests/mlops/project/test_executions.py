"""What an execution has done so far, read from CodePipeline's answers."""

from __future__ import annotations

import pytest

from mlops.project.executions import newest_execution_id, read_execution, waiting_approvals

PIPELINE = "sagemaker-n-i-modeldeploy"
EXECUTION = "11111111-2222-3333-4444-555555555555"


def test_each_action_has_its_state_time_and_log_in_the_pipeline_s_order(account, answers):
    answers(account)

    record = read_execution(account, PIPELINE, EXECUTION)

    build, approval = record.actions
    assert (build.stage, build.action) == ("Build", "BuildDeploymentTemplates")
    assert (build.status, build.seconds, build.summary) == ("Succeeded", 90.0, "built")
    assert build.log == build.external_id == "builds:8c4e"
    assert (approval.action, approval.status, approval.seconds) == (
        "ApproveDeployment",
        "NotStarted",
        None,
    )
    assert (record.commit, record.message) == ("abcdef0123456789", "Deploy version 3")
    assert record.trigger == "event by modeldeploy-push"
    assert not record.ended
    assert not record.at_rest


def test_a_failed_action_is_told_by_its_error(account, answers):
    answers(account, status="Failed", build_status="Failed")

    record = read_execution(account, PIPELINE, EXECUTION)

    assert record.actions[0].summary == "exit status 2"
    assert record.ended


def test_a_waiting_approval_is_shown_with_its_variables_resolved(account, answers):
    answers(account, approval="waits")

    record = read_execution(account, PIPELINE, EXECUTION)

    assert record.at_rest
    assert not record.ended
    assert record.approval.message == "housing version 3, median AE 35.2"
    assert record.approval.link == "http://mlflow/#/models/housing"
    assert record.approval.token == "66666666-7777-8888-9999-000000000000"


def test_an_answered_approval_waits_no_longer(account, answers):
    answers(account, approval="approved")

    assert read_execution(account, PIPELINE, EXECUTION).approval is None


def test_a_git_connection_s_revision_tells_the_commit_message(account, answers):
    answers(account)
    queue = account.stubs["codepipeline"]._queue
    revision = queue[0]["response"][1]["pipelineExecution"]["artifactRevisions"][0]
    revision["revisionSummary"] = '{"ProviderType": "GitHub", "CommitMessage": "Deploy 4"}'

    assert read_execution(account, PIPELINE, EXECUTION).message == "Deploy 4"


@pytest.mark.parametrize(
    ("trigger", "text"),
    [
        (
            {
                "triggerType": "CloudWatchEvent",
                "triggerDetail": "arn:aws:sts::1:assumed-role/project-events/events",
            },
            "event",
        ),
        (
            {"triggerType": "StartPipelineExecution", "triggerDetail": "arn:aws:iam::1:user/ada"},
            "started by ada",
        ),
        ({"triggerType": "WebhookV2"}, "push"),
    ],
)
def test_the_trigger_is_told_in_words(account, answers, trigger, text):
    answers(account)
    account.stubs["codepipeline"]._queue[0]["response"][1]["pipelineExecution"]["trigger"] = trigger

    assert read_execution(account, PIPELINE, EXECUTION).trigger == text


def test_a_pipeline_that_never_ran_has_no_execution(account):
    account.stub("codepipeline").add_response(
        "list_pipeline_executions",
        {"pipelineExecutionSummaries": []},
        {"pipelineName": PIPELINE, "maxResults": 1},
    )

    assert newest_execution_id(account, PIPELINE) is None


def test_no_approval_waits_where_no_action_has_a_token(account):
    account.stub("codepipeline").add_response("get_pipeline_state", {"stageStates": []})

    assert waiting_approvals(account, PIPELINE) == []
