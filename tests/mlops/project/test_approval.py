"""A person's answer to the deployment that waits."""

from __future__ import annotations

import pytest

from mlops.errors import InputError
from mlops.project.approval import answer, describe, find_approval

PIPELINE = "sagemaker-n-i-modeldeploy"
TOKEN = "66666666-7777-8888-9999-000000000000"


@pytest.fixture
def approval(account, answers):
    queue = []
    answers(account, approval="waits")
    stub = account.stubs["codepipeline"]
    # GetPipelineState once more, first: it says which execution waits.
    queue.append(stub._queue[1])
    stub._queue.extendleft(queue)
    return find_approval(account, [PIPELINE])


def test_the_one_that_waits_is_found_and_described(approval):
    assert approval.token == TOKEN
    lines = describe(approval)
    assert lines[0] == f"{PIPELINE}  11111111  DeployStaging/ApproveDeployment"
    assert lines[1:] == ["  housing version 3, median AE 35.2", "  http://mlflow/#/models/housing"]


def test_nothing_waiting_says_where_it_looked(account):
    account.stub("codepipeline").add_response("get_pipeline_state", {"stageStates": []})

    with pytest.raises(InputError, match=f"nothing waits for approval in {PIPELINE}"):
        find_approval(account, [PIPELINE])


@pytest.mark.parametrize(("approve", "status"), [(True, "Approved"), (False, "Rejected")])
def test_the_answer_goes_with_its_token_and_comment(account, approval, approve, status):
    stub = account.stubs["codepipeline"]
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

    answer(account, approval, approve=approve, comment="checked")

    stub.assert_no_pending_responses()


def test_an_answer_that_comes_too_late_says_so(account, approval):
    account.stubs["codepipeline"].add_client_error(
        "put_approval_result",
        "ApprovalAlreadyCompletedException",
        "The approval action has already been approved or rejected.",
    )

    with pytest.raises(InputError, match=r"ApproveDeployment waits no longer: .* already been"):
        answer(account, approval, approve=True, comment="")


def test_a_comment_over_the_limit_is_refused_before_it_is_sent(account, approval):
    with pytest.raises(InputError, match="513 characters; CodePipeline takes 512"):
        answer(account, approval, approve=False, comment="x" * 513)
