"""How executions move: order, supersession, queues, transitions, stops."""

from __future__ import annotations

from typing import Any

import pytest
from botocore.exceptions import ClientError


def waiting_pipeline(account: Any, declare: Any, **members: Any) -> Any:
    """A stage that waits for an approval, and one behind it."""
    return account.create(
        account.source_stage(),
        declare.stage("Ask", declare.approval()),
        declare.stage("Last", declare.approval("Again")),
        **members,
    )


def broken_source(account: Any, name: str = "Broken", **members: Any) -> dict[str, Any]:
    """A source action whose object isn't there."""
    (declared,) = account.source_stage("nothing.zip")["actions"]
    return {**declared, "name": name, "outputArtifacts": [{"name": name}], **members}


def test_creation_starts_an_execution_that_runs_to_its_end(account: Any, declare: Any) -> None:
    pipeline = account.create(
        account.source_stage(), declare.stage("Ask", declare.approval()), pipelineType="V1"
    )
    pipeline.approve("Ask", "Approve")

    execution_id = pipeline.first()
    assert pipeline.ended(execution_id) == "Succeeded"
    execution = pipeline.execution(execution_id)
    assert execution["trigger"]["triggerType"] == "CreatePipeline"
    assert execution["executionMode"] == "SUPERSEDED"
    assert execution["executionType"] == "STANDARD"
    assert [run["actionName"] for run in pipeline.runs(execution_id)] == ["Fetch", "Approve"]
    assert pipeline.states("Pipeline", execution_id) == ["STARTED", "SUCCEEDED"]
    assert pipeline.states("Stage", execution_id) == [
        "Source STARTED",
        "Source SUCCEEDED",
        "Ask STARTED",
        "Ask SUCCEEDED",
    ]
    assert pipeline.states("Action", execution_id) == [
        "Fetch STARTED",
        "Fetch SUCCEEDED",
        "Approve STARTED",
        "Approve SUCCEEDED",
    ]


def test_newer_execution_supersedes_the_one_that_waits_not_the_one_inside(
    account: Any, declare: Any
) -> None:
    pipeline = waiting_pipeline(account, declare)
    inside = pipeline.first()
    pipeline.asked("Ask", "Approve", inside)
    older = pipeline.start()
    pipeline.waits_before("Ask", older)
    newer = pipeline.start()
    pipeline.waits_before("Ask", newer)

    assert pipeline.status(older) == "Superseded"
    assert pipeline.status(inside) == "InProgress"
    assert pipeline.stage("Ask")["latestExecution"]["pipelineExecutionId"] == inside
    pipeline.reject("Ask", "Approve", inside)
    pipeline.approve("Ask", "Approve", newer)
    pipeline.approve("Last", "Again", newer)
    assert pipeline.ended(newer) == "Succeeded"
    assert pipeline.status(inside) == "Failed"
    assert pipeline.states("Pipeline", older) == ["STARTED", "SUPERSEDED"]


def test_failing_action_stops_what_comes_later(account: Any, declare: Any) -> None:
    source = account.source_stage()
    source["actions"] += [
        broken_source(account),
        broken_source(account, "Late", runOrder=2),
    ]
    pipeline = account.create(source, declare.stage("Ask", declare.approval()))
    execution_id = pipeline.first()

    assert pipeline.ended(execution_id) == "Failed"
    runs = {run["actionName"]: run["status"] for run in pipeline.runs(execution_id)}
    assert runs == {"Fetch": "Succeeded", "Broken": "Failed"}
    error = pipeline.latest("Source", "Broken")["errorDetails"]
    assert error["code"] == "ConfigurationError"
    assert "nothing.zip" in error["message"]
    assert pipeline.states("Stage", execution_id) == ["Source STARTED", "Source FAILED"]
    assert pipeline.states("Pipeline", execution_id) == ["STARTED", "FAILED"]


def test_actions_of_one_run_order_run_side_by_side(account: Any, declare: Any) -> None:
    pipeline = account.create(
        account.source_stage(),
        declare.stage(
            "Ask",
            declare.approval("One"),
            declare.approval("Two"),
            declare.approval("After", runOrder=2),
        ),
    )
    pipeline.asked("Ask", "Two")
    pipeline.asked("Ask", "One")
    assert pipeline.latest("Ask", "After") == {}

    pipeline.approve("Ask", "Two")
    pipeline.approve("Ask", "One")
    pipeline.approve("Ask", "After")
    assert pipeline.ended(pipeline.first()) == "Succeeded"


def test_closed_transition_holds_executions_until_it_opens(account: Any, declare: Any) -> None:
    pipeline = waiting_pipeline(account, declare)
    pipeline.client.disable_stage_transition(
        pipelineName=pipeline.name, stageName="Ask", transitionType="Outbound", reason="freeze"
    )
    pipeline.approve("Ask", "Approve")
    pipeline.waits_before("Last", pipeline.first())

    transition = pipeline.stage("Last")["inboundTransitionState"]
    assert (transition["enabled"], transition["disabledReason"]) == (False, "freeze")
    assert transition["lastChangedBy"].startswith("arn:aws:iam::")
    assert pipeline.status(pipeline.first()) == "InProgress"
    pipeline.client.enable_stage_transition(
        pipelineName=pipeline.name, stageName="Last", transitionType="Inbound"
    )
    pipeline.approve("Last", "Again")
    assert pipeline.ended(pipeline.first()) == "Succeeded"


def stop(pipeline: Any, execution_id: str, **members: Any) -> None:
    pipeline.client.stop_pipeline_execution(
        pipelineName=pipeline.name, pipelineExecutionId=execution_id, **members
    )


def test_stop_and_wait_lets_the_running_action_end(account: Any, declare: Any) -> None:
    pipeline = waiting_pipeline(account, declare)
    execution_id = pipeline.first()
    pipeline.asked("Ask", "Approve")

    stop(pipeline, execution_id, reason="wrong commit")
    assert pipeline.status(execution_id) == "Stopping"
    assert pipeline.stage("Ask")["latestExecution"]["status"] == "Stopping"
    with pytest.raises(ClientError, match="DuplicatedStopRequestException"):
        stop(pipeline, execution_id)
    pipeline.approve("Ask", "Approve")

    assert pipeline.ended(execution_id) == "Stopped"
    assert pipeline.latest("Ask", "Approve")["status"] == "Succeeded"
    assert pipeline.executions()[0]["stopTrigger"] == {"reason": "wrong commit"}
    assert pipeline.states("Pipeline", execution_id) == ["STARTED", "STOPPING", "STOPPED"]
    with pytest.raises(ClientError, match="PipelineExecutionNotStoppableException"):
        stop(pipeline, execution_id)


def test_abandoned_execution_gives_way_at_once(account: Any, declare: Any) -> None:
    pipeline = waiting_pipeline(account, declare)
    abandoned = pipeline.first()
    token = pipeline.asked("Ask", "Approve", abandoned)
    newer = pipeline.start()
    pipeline.waits_before("Ask", newer)

    stop(pipeline, abandoned)
    stop(pipeline, abandoned, abandon=True)

    assert pipeline.status(abandoned) == "Stopped"
    assert pipeline.runs(abandoned)[-1]["status"] == "Abandoned"
    with pytest.raises(ClientError, match="InvalidApprovalTokenException"):
        pipeline.answer("Ask", "Approve", token)
    pipeline.asked("Ask", "Approve", newer)


def test_execution_that_waits_is_stopped_at_once(account: Any, declare: Any) -> None:
    pipeline = waiting_pipeline(account, declare)
    pipeline.asked("Ask", "Approve")
    waiting = pipeline.start()
    pipeline.waits_before("Ask", waiting)

    stop(pipeline, waiting)

    assert pipeline.status(waiting) == "Stopped"
    assert pipeline.stage("Ask")["inboundExecutions"] == []


def test_update_cancels_what_ran_of_the_old_version(account: Any, declare: Any) -> None:
    pipeline = waiting_pipeline(account, declare)
    inside = pipeline.first()
    pipeline.asked("Ask", "Approve", inside)
    waiting = pipeline.start()
    pipeline.waits_before("Ask", waiting)

    answer = pipeline.client.update_pipeline(pipeline=pipeline.declaration)
    pipeline.approve("Ask", "Approve", inside)

    assert answer["pipeline"]["version"] == 2
    assert pipeline.status(waiting) == "Cancelled"
    assert pipeline.ended(inside) == "Cancelled"
    assert pipeline.execution(pipeline.start())["pipelineVersion"] == 2
