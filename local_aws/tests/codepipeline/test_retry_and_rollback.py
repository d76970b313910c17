"""Retries and rollbacks of stages, asked for by people and by the stage's onFailure."""

from __future__ import annotations

from typing import Any

import pytest
from botocore.exceptions import ClientError


def two_approvals(account: Any, declare: Any, **members: Any) -> Any:
    """A stage with two approvals, one after the other."""
    return account.create(
        account.source_stage(namespace="Source"),
        declare.stage(
            "Ask", declare.approval("One"), declare.approval("Two", runOrder=2), **members
        ),
    )


def retry(pipeline: Any, execution_id: str, mode: str, stage: str = "Ask") -> None:
    pipeline.client.retry_stage_execution(
        pipelineName=pipeline.name,
        stageName=stage,
        pipelineExecutionId=execution_id,
        retryMode=mode,
    )


def roll_back(pipeline: Any, target: str, stage: str = "Ask") -> str:
    answer = pipeline.client.rollback_stage(
        pipelineName=pipeline.name, stageName=stage, targetPipelineExecutionId=target
    )
    return str(answer["pipelineExecutionId"])


def approve_both(pipeline: Any, execution_id: str) -> None:
    pipeline.approve("Ask", "One", execution_id)
    pipeline.approve("Ask", "Two", execution_id)


def test_retry_runs_failed_actions_only(account: Any, declare: Any) -> None:
    pipeline = two_approvals(account, declare)
    execution_id = pipeline.first()
    pipeline.approve("Ask", "One")
    pipeline.reject("Ask", "Two")
    assert pipeline.ended(execution_id) == "Failed"

    retry(pipeline, execution_id, "FAILED_ACTIONS")
    pipeline.approve("Ask", "Two")

    assert pipeline.ended(execution_id) == "Succeeded"
    names = [run["actionName"] for run in pipeline.runs(execution_id)]
    assert names == ["Fetch", "One", "Two", "Two"]
    assert pipeline.states("Pipeline", execution_id) == [
        "STARTED",
        "FAILED",
        "RESUMED",
        "SUCCEEDED",
    ]
    metadata = pipeline.stage("Ask")["retryStageMetadata"]
    assert metadata["manualStageRetryAttempt"] == 1
    latest = pipeline.client.list_action_executions(
        pipelineName=pipeline.name,
        filter={
            "latestInPipelineExecution": {
                "pipelineExecutionId": execution_id,
                "startTimeRange": "Latest",
            }
        },
    )["actionExecutionDetails"]
    assert [run["actionName"] for run in latest] == ["Two", "One", "Fetch"]


def test_retry_of_all_actions_runs_the_succeeded_ones_again(account: Any, declare: Any) -> None:
    pipeline = two_approvals(account, declare)
    execution_id = pipeline.first()
    pipeline.approve("Ask", "One")
    pipeline.reject("Ask", "Two")
    pipeline.ended(execution_id)

    retry(pipeline, execution_id, "ALL_ACTIONS")
    approve_both(pipeline, execution_id)

    assert pipeline.ended(execution_id) == "Succeeded"
    names = [run["actionName"] for run in pipeline.runs(execution_id)]
    assert names == ["Fetch", "One", "Two", "One", "Two"]


def test_abandoned_stage_can_be_retried(account: Any, declare: Any) -> None:
    pipeline = two_approvals(account, declare)
    execution_id = pipeline.first()
    pipeline.asked("Ask", "One")
    pipeline.client.stop_pipeline_execution(
        pipelineName=pipeline.name, pipelineExecutionId=execution_id, abandon=True
    )

    retry(pipeline, execution_id, "FAILED_ACTIONS")
    approve_both(pipeline, execution_id)

    assert pipeline.ended(execution_id) == "Succeeded"


def test_retry_is_refused_where_nothing_failed_or_a_newer_one_came(
    account: Any, declare: Any
) -> None:
    pipeline = two_approvals(account, declare)
    failed = pipeline.first()
    with pytest.raises(ClientError, match="StageNotRetryableException"):
        retry(pipeline, failed, "FAILED_ACTIONS")
    pipeline.reject("Ask", "One")
    pipeline.ended(failed)
    pipeline.asked("Ask", "One", pipeline.start())

    with pytest.raises(ClientError, match="NotLatestPipelineExecutionException"):
        retry(pipeline, failed, "FAILED_ACTIONS")
    with pytest.raises(ClientError, match="StageNotFoundException"):
        retry(pipeline, failed, "FAILED_ACTIONS", stage="Other")


def test_retry_is_refused_when_the_stage_was_changed(account: Any, declare: Any) -> None:
    pipeline = two_approvals(account, declare)
    execution_id = pipeline.first()
    pipeline.reject("Ask", "One")
    pipeline.ended(execution_id)
    pipeline.declaration["stages"][1]["actions"].pop()
    pipeline.client.update_pipeline(pipeline=pipeline.declaration)

    with pytest.raises(ClientError, match="was changed since"):
        retry(pipeline, execution_id, "FAILED_ACTIONS")


def test_rollback_runs_the_stage_with_what_the_target_had(account: Any, declare: Any) -> None:
    key = account.put_source(readme__md="old")
    pipeline = account.create(
        account.source_stage(key, namespace="Source"),
        declare.stage("Ask", declare.approval(configuration={"CustomData": "#{Source.CommitId}"})),
        declare.stage("Last", declare.approval("Again")),
    )
    old = pipeline.first()
    pipeline.approve("Ask", "Approve", old)
    pipeline.approve("Last", "Again", old)
    pipeline.ended(old)
    account.put_revision(key, readme__md="new")
    newer = pipeline.start()
    pipeline.approve("Ask", "Approve", newer)
    pipeline.asked("Last", "Again", newer)

    rollback = roll_back(pipeline, old)
    pipeline.approve("Ask", "Approve", rollback)

    assert pipeline.ended(rollback) == "Succeeded"
    execution = pipeline.execution(rollback)
    assert execution["executionType"] == "ROLLBACK"
    assert execution["rollbackMetadata"] == {"rollbackTargetPipelineExecutionId": old}
    assert execution["trigger"]["triggerType"] == "ManualRollback"
    (run,) = pipeline.runs(rollback)
    configured = run["input"]["resolvedConfiguration"]["CustomData"]
    versions = [pipeline.runs(e)[0]["output"]["outputVariables"]["CommitId"] for e in (old, newer)]
    assert [configured == version for version in versions] == [True, False]
    assert execution["artifactRevisions"][0]["revisionId"] == versions[0]
    assert pipeline.status(newer) == "InProgress"


def test_rollback_is_refused_with_the_reason(account: Any, declare: Any) -> None:
    pipeline = two_approvals(account, declare)
    first = pipeline.first()
    pipeline.asked("Ask", "One")
    with pytest.raises(ClientError, match=r"UnableToRollbackStageException.*in progress"):
        roll_back(pipeline, first)
    pipeline.reject("Ask", "One")
    pipeline.ended(first)

    with pytest.raises(ClientError, match="did not succeed in it"):
        roll_back(pipeline, first)
    with pytest.raises(ClientError, match="it is the source stage"):
        roll_back(pipeline, first, stage="Source")
    with pytest.raises(ClientError, match="PipelineExecutionNotFoundException"):
        roll_back(pipeline, "00000000-0000-0000-0000-000000000000")


def test_failed_stage_goes_back_to_its_last_success(account: Any, declare: Any) -> None:
    pipeline = two_approvals(account, declare, onFailure={"result": "ROLLBACK"})
    good = pipeline.first()
    approve_both(pipeline, good)
    pipeline.ended(good)

    bad = pipeline.start()
    pipeline.approve("Ask", "One", bad)
    pipeline.reject("Ask", "Two", bad)

    assert pipeline.ended(bad) == "Failed"
    rollback = pipeline.executions()[-1]
    assert rollback["executionType"] == "ROLLBACK"
    assert rollback["rollbackMetadata"] == {"rollbackTargetPipelineExecutionId": good}
    assert rollback["trigger"] == {"triggerType": "AutomatedRollback", "triggerDetail": bad}
    # A rollback that fails too is not rolled back again.
    pipeline.reject("Ask", "One", rollback["pipelineExecutionId"])
    assert pipeline.ended(rollback["pipelineExecutionId"]) == "Failed"
    assert len(pipeline.executions()) == 3


def test_stage_that_never_succeeded_is_not_rolled_back(account: Any, declare: Any) -> None:
    pipeline = two_approvals(account, declare, onFailure={"result": "ROLLBACK"})
    pipeline.reject("Ask", "One")

    assert pipeline.ended(pipeline.first()) == "Failed"
    assert len(pipeline.executions()) == 1
