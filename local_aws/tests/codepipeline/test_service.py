"""Operations on pipelines, their starts, their tags."""

from __future__ import annotations

import threading
import uuid
from typing import Any

import pytest
from botocore.exceptions import ClientError

from local_aws.codecommit.service import Repositories
from local_aws.codepipeline.service import CodePipelines
from local_aws.event_bus import EventBus
from local_aws.gateway import Gateway


def asking(account: Any, declare: Any, **members: Any) -> Any:
    return account.create(
        account.source_stage(), declare.stage("Ask", declare.approval()), **members
    )


def test_pipeline_is_described_as_it_was_given(account: Any, declare: Any) -> None:
    pipeline = asking(account, declare)

    answer = pipeline.client.get_pipeline(name=pipeline.name)

    described = answer["pipeline"]
    assert {k: described[k] for k in pipeline.declaration if k != "stages"} == {
        k: v for k, v in pipeline.declaration.items() if k != "stages"
    }
    assert [stage["name"] for stage in described["stages"]] == ["Source", "Ask"]
    assert (described["version"], described["executionMode"]) == (1, "SUPERSEDED")
    arn = f"arn:aws:codepipeline:us-east-1:123456789012:{pipeline.name}"
    assert answer["metadata"]["pipelineArn"] == arn
    # What GetPipeline gives is good for UpdatePipeline.
    assert pipeline.client.update_pipeline(pipeline=described)["pipeline"]["version"] == 2
    with pytest.raises(ClientError, match="PipelineVersionNotFoundException"):
        pipeline.client.get_pipeline(name=pipeline.name, version=1)


def test_name_is_taken_until_the_pipeline_is_deleted(account: Any, declare: Any) -> None:
    pipeline = asking(account, declare)
    with pytest.raises(ClientError, match="PipelineNameInUseException"):
        pipeline.client.create_pipeline(pipeline=pipeline.declaration)

    pipeline.client.delete_pipeline(name=pipeline.name)
    pipeline.client.delete_pipeline(name=pipeline.name)

    with pytest.raises(ClientError, match="PipelineNotFoundException"):
        pipeline.client.get_pipeline_state(name=pipeline.name)
    assert pipeline.client.create_pipeline(pipeline=pipeline.declaration)["pipeline"]
    assert len(pipeline.executions()) == 1


def test_pipelines_are_listed_in_pages(account: Any, declare: Any) -> None:
    names = {asking(account, declare).name for _ in range(3)}

    pages = list(
        account.codepipeline.get_paginator("list_pipelines").paginate(
            PaginationConfig={"PageSize": 2}
        )
    )

    listed = [summary["name"] for page in pages for summary in page["pipelines"]]
    assert names <= set(listed)
    assert listed == sorted(set(listed))
    assert len(pages) > 1
    with pytest.raises(ClientError, match="InvalidNextTokenException"):
        account.codepipeline.list_pipelines(nextToken="nonsense")


def test_tags(account: Any, declare: Any) -> None:
    declaration = account.declaration(
        account.source_stage(), declare.stage("Ask", declare.approval())
    )
    client = account.codepipeline
    client.create_pipeline(pipeline=declaration, tags=[{"key": "team", "value": "ml"}])
    arn = f"arn:aws:codepipeline:us-east-1:123456789012:{declaration['name']}"

    client.tag_resource(resourceArn=arn, tags=[{"key": "stage", "value": "dev"}])
    client.untag_resource(resourceArn=arn, tagKeys=["team"])

    tags = client.list_tags_for_resource(resourceArn=arn)["tags"]
    assert tags == [{"key": "stage", "value": "dev"}]
    with pytest.raises(ClientError, match="ResourceNotFoundException"):
        client.list_tags_for_resource(resourceArn=arn + "x")


def test_one_token_starts_one_execution(account: Any, declare: Any) -> None:
    pipeline = asking(account, declare)
    token = str(uuid.uuid4())

    assert pipeline.start(clientRequestToken=token) == pipeline.start(clientRequestToken=token)
    assert len(pipeline.executions()) == 2
    trigger = pipeline.executions()[1]["trigger"]
    assert trigger["triggerType"] == "StartPipelineExecution"
    assert trigger["triggerDetail"].startswith("arn:aws:iam::123456789012:user/")


def test_rule_of_eventbridge_shows_as_trigger(account: Any, declare: Any) -> None:
    pipeline = asking(account, declare)
    role = account.create_role("events.amazonaws.com")
    client = account.gateway.own.client("codepipeline", role, principal="events.amazonaws.com")

    execution_id = client.start_pipeline_execution(name=pipeline.name)["pipelineExecutionId"]

    assert pipeline.execution(execution_id)["trigger"]["triggerType"] == "CloudWatchEvent"


def test_executions_that_succeeded_in_a_stage_are_listed(account: Any, declare: Any) -> None:
    pipeline = asking(account, declare)
    pipeline.approve("Ask", "Approve")
    good = pipeline.first()
    pipeline.ended(good)
    bad = pipeline.start()
    pipeline.reject("Ask", "Approve", bad)
    pipeline.ended(bad)

    def succeeded_in(stage: str) -> list[str]:
        answer = pipeline.client.list_pipeline_executions(
            pipelineName=pipeline.name, filter={"succeededInStage": {"stageName": stage}}
        )
        return [e["pipelineExecutionId"] for e in answer["pipelineExecutionSummaries"]]

    assert succeeded_in("Ask") == [good]
    assert succeeded_in("Source") == [bad, good]


def test_what_is_not_there_is_named(account: Any, declare: Any) -> None:
    pipeline = asking(account, declare)
    nobody = str(uuid.uuid4())
    with pytest.raises(ClientError, match="PipelineExecutionNotFoundException"):
        pipeline.execution(nobody)
    with pytest.raises(ClientError, match="StageNotFoundException"):
        pipeline.client.enable_stage_transition(
            pipelineName=pipeline.name, stageName="Other", transitionType="Inbound"
        )
    with pytest.raises(ClientError, match="PipelineNotFoundException"):
        pipeline.client.start_pipeline_execution(name="other")


def test_other_operations_are_refused_by_name(account: Any) -> None:
    with pytest.raises(ClientError, match="local_aws does not support codepipeline:ListWebhooks"):
        account.codepipeline.list_webhooks()


def test_close_leaves_nothing_running(tmp_path: Any, declare: Any, account: Any) -> None:
    services: list[CodePipelines] = []

    def start(own: Any) -> list[Any]:
        bus = EventBus(own)
        services.append(CodePipelines(own, bus))
        return [*services, Repositories(own, bus)]

    gateway = Gateway(tmp_path, start).start()
    other = type(account)(gateway, EventBus(gateway.own))
    pipeline = asking(other, declare)
    pipeline.asked("Ask", "Approve")

    gateway.close()

    left = [thread.name for thread in threading.enumerate() if pipeline.name in thread.name]
    assert left == []
