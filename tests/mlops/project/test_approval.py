"""A person's answer to the deployment that waits."""

from __future__ import annotations

import pytest

from local_aws.errors import UsageError
from mlops.project.approval import answer, describe, find_approval

PIPELINE = "sagemaker-n-i-modeldeploy"
TOKEN = "66666666-7777-8888-9999-000000000000"


@pytest.fixture
def approval(clients, answers):
    queue = []
    answers(clients, approval="waits")
    stub = clients.stubs["codepipeline"]
    # GetPipelineState once more, first: it says which execution waits.
    queue.append(stub._queue[1])
    stub._queue.extendleft(queue)
    return find_approval(clients, [PIPELINE])


def test_the_one_that_waits_is_found_and_described(approval):
    assert approval.token == TOKEN
    lines = describe(approval)
    assert lines[0] == f"{PIPELINE}  11111111  DeployStaging/ApproveDeployment"
    assert lines[1:] == ["  housing version 3, median AE 35.2", "  http://mlflow/#/models/housing"]


def test_nothing_waiting_says_where_it_looked(clients):
    clients.stub("codepipeline").add_response("get_pipeline_state", {"stageStates": []})

    with pytest.raises(UsageError, match=f"nothing waits for approval in {PIPELINE}"):
        find_approval(clients, [PIPELINE])


@pytest.mark.parametrize(("approve", "status"), [(True, "Approved"), (False, "Rejected")])
def test_the_answer_goes_with_its_token_and_comment(clients, approval, approve, status):
    stub = clients.stubs["codepipeline"]
    stub.add_response(
        "put_approval_result",
        {},
        {
            "pipelineName": PIPELINE,
            "stageName": "DeployStaging",
            "actionName": "ApproveDeployment",
            "token": TOKEN,
            "result": {"status": status, "summary": "checked"},
        },
    )

    answer(clients, approval, approve=approve, comment="checked")

    stub.assert_no_pending_responses()


def test_an_answer_that_comes_too_late_says_so(clients, approval):
    clients.stubs["codepipeline"].add_client_error(
        "put_approval_result",
        "ApprovalAlreadyCompletedException",
        "The approval action has already been approved or rejected.",
    )

    with pytest.raises(UsageError, match=r"ApproveDeployment waits no longer: .* already been"):
        answer(clients, approval, approve=True, comment="")


def test_a_comment_over_the_limit_is_refused_before_it_is_sent(clients, approval):
    with pytest.raises(UsageError, match="513 characters; CodePipeline takes 512"):
        answer(clients, approval, approve=False, comment="x" * 513)
