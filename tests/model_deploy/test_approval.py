from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import boto3
import pytest
from botocore.stub import Stubber

from model_deploy.approval import Approval, find_approval

_WHO = "arn:aws:iam::111122223333:user/ana"
_WHEN = datetime(2026, 11, 30, 9, 30, tzinfo=UTC)
_PIPELINE = "sagemaker-shop-p-1-modeldeploy"


def _run(category: str, status: str = "Succeeded", **members: Any) -> dict[str, Any]:
    return {
        "pipelineExecutionId": "11111111-aaaa",
        "actionName": category,
        "status": status,
        "lastUpdateTime": _WHEN,
        "input": {
            "actionTypeId": {
                "category": category,
                "owner": "AWS",
                "provider": "Manual",
                "version": "1",
            }
        },
        **members,
    }


def _approved(status: str = "Succeeded") -> dict[str, Any]:
    result = {"executionResult": {"externalExecutionSummary": "numbers look right"}}
    return _run("Approval", status, updatedBy=_WHO, output=result)


def _client() -> Any:
    return boto3.client(
        "codepipeline",
        region_name="eu-west-1",
        aws_access_key_id="nobody",
        aws_secret_access_key="nothing",
    )


def _ask(
    runs: list[dict[str, Any]], execution_id: str = "exec-2", rolled_back_to: str = ""
) -> Approval:
    """Against botocore's own model of requests and answers."""
    client = _client()
    execution: dict[str, Any] = {"pipelineExecutionId": execution_id}
    if rolled_back_to:
        execution["rollbackMetadata"] = {"rollbackTargetPipelineExecutionId": rolled_back_to}
    with Stubber(client) as stub:
        stub.add_response(
            "get_pipeline_execution",
            {"pipelineExecution": execution},
            {"pipelineName": _PIPELINE, "pipelineExecutionId": execution_id},
        )
        stub.add_response(
            "list_action_executions",
            {"actionExecutionDetails": runs},
            {
                "pipelineName": _PIPELINE,
                "filter": {"pipelineExecutionId": rolled_back_to or execution_id},
            },
        )
        return find_approval(client, f"codepipeline/{_PIPELINE}", execution_id)


def test_who_when_and_with_which_words() -> None:
    found = _ask([_run("Build"), _approved(), _run("Source")])
    assert found == Approval(
        approved_by=_WHO, approved_at="2026-11-30T09:30:00+00:00", comment="numbers look right"
    )


def test_of_a_rollback_it_is_the_approval_of_what_is_deployed_again() -> None:
    found = _ask([_approved()], rolled_back_to="exec-1")
    assert found.approved_by == _WHO
    assert found.comment == "rolled back to execution exec-1. numbers look right"
    assert found.rolled_back_to == "exec-1"


def test_of_a_rollback_to_what_nobody_approved_only_that_is_said() -> None:
    told = Approval(comment="rolled back to execution exec-1.", rolled_back_to="exec-1")
    assert _ask([_run("Build")], rolled_back_to="exec-1") == told
    nobody = {"output": {}, "updatedBy": ""}
    assert _ask([{**_approved(), **nobody}], rolled_back_to="exec-1") == replace(
        told, approved_at="2026-11-30T09:30:00+00:00"
    )


def test_the_newest_approval_that_succeeded_counts() -> None:
    older = {**_approved(), "updatedBy": "arn:aws:iam::111122223333:user/bo"}
    assert _ask([_approved("Failed"), _approved(), older]).approved_by == _WHO
    bare = {key: value for key, value in _approved().items() if key not in ("output", "updatedBy")}
    assert _ask([{"status": "Succeeded"}, bare]) == Approval(
        approved_at="2026-11-30T09:30:00+00:00"
    )


@pytest.mark.parametrize("status", ["Failed", "InProgress"])
def test_an_approval_that_did_not_succeed_is_none(status: str) -> None:
    assert _ask([_approved(status)]) == Approval()


@pytest.mark.parametrize(
    ("initiator", "execution_id"), [("ana", "exec-1"), ("codepipeline/p", ""), ("", "")]
)
def test_a_test_that_no_pipeline_started_asks_nobody(initiator: str, execution_id: str) -> None:
    assert find_approval(None, initiator, execution_id) == Approval()


def test_a_refusal_is_told_and_stops_nothing(caplog: pytest.LogCaptureFixture) -> None:
    client = _client()
    with Stubber(client) as stub:
        stub.add_client_error("get_pipeline_execution", "AccessDeniedException", "not you")
        found = find_approval(client, f"codepipeline/{_PIPELINE}", "exec-1")
    assert found.approved_by == ""
    assert "not you" in found.comment
    assert "who approved is not known" in caplog.text
