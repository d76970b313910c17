"""Pipelines as the SDK's upsert() handles them: created, updated, found by ARN, tagged."""

from __future__ import annotations

import json
import uuid
from typing import Any

import pytest
from botocore.exceptions import ClientError

ROLE = "arn:aws:iam::123456789012:role/pipeline"
DEFINITION = json.dumps(
    {
        "Version": "2020-12-01",
        "Steps": [{"Name": "Stop", "Type": "Fail", "Arguments": {"ErrorMessage": "it's over"}}],
    }
)


@pytest.fixture
def sagemaker(gateway: Any) -> Any:
    return gateway.own.client("sagemaker")


@pytest.fixture
def name(sagemaker: Any) -> str:
    name = f"pipeline-{uuid.uuid4().hex[:8]}"
    sagemaker.create_pipeline(
        PipelineName=name,
        PipelineDefinition=DEFINITION,
        RoleArn=ROLE,
        Tags=[{"Key": "team", "Value": "ml"}],
    )
    return name


def error(call: Any, **arguments: Any) -> dict[str, str]:
    with pytest.raises(ClientError) as caught:
        call(**arguments)
    found: dict[str, str] = caught.value.response["Error"]
    return found


def test_pipeline_is_described_by_name_and_by_arn(sagemaker: Any, name: str) -> None:
    by_name = sagemaker.describe_pipeline(PipelineName=name)
    assert by_name["PipelineDefinition"] == DEFINITION
    assert by_name["RoleArn"] == ROLE
    assert "CreatedBy" not in by_name
    by_arn = sagemaker.describe_pipeline(PipelineName=by_name["PipelineArn"])
    assert by_arn["PipelineName"] == name


def test_definition_in_s3_is_kept_to_the_letter(gateway: Any, sagemaker: Any) -> None:
    s3 = gateway.own.client("s3")
    s3.create_bucket(Bucket="pipeline-definitions")
    s3.put_object(Bucket="pipeline-definitions", Key="p.json", Body=DEFINITION.encode())
    location = {"Bucket": "pipeline-definitions", "ObjectKey": "p.json"}
    name = f"pipeline-{uuid.uuid4().hex[:8]}"
    sagemaker.create_pipeline(
        PipelineName=name, PipelineDefinitionS3Location=location, RoleArn=ROLE
    )
    assert sagemaker.describe_pipeline(PipelineName=name)["PipelineDefinition"] == DEFINITION
    missing = {**location, "ObjectKey": "none"}
    found = error(
        sagemaker.update_pipeline, PipelineName=name, PipelineDefinitionS3Location=missing
    )
    assert "Unable to read pipeline definition s3://pipeline-definitions/none" in found["Message"]


def test_name_that_is_taken_is_what_upsert_recognises(sagemaker: Any, name: str) -> None:
    found = error(
        sagemaker.create_pipeline,
        PipelineName=name,
        PipelineDefinition=DEFINITION,
        RoleArn=ROLE,
    )
    assert found["Code"] == "ValidationException"
    assert "must be unique within an AWS account" in found["Message"]


def test_update_changes_what_is_given_and_the_time(sagemaker: Any, name: str) -> None:
    before = sagemaker.describe_pipeline(PipelineName=name)
    sagemaker.update_pipeline(PipelineName=name, PipelineDescription="better")
    after = sagemaker.describe_pipeline(PipelineName=name)
    assert after["PipelineDescription"] == "better"
    assert after["PipelineDefinition"] == DEFINITION
    assert after["CreationTime"] == before["CreationTime"]
    assert after["LastModifiedTime"] > before["LastModifiedTime"]


def test_tag_added_again_replaces_the_old_value(sagemaker: Any, name: str) -> None:
    arn = sagemaker.describe_pipeline(PipelineName=name)["PipelineArn"]
    tags = [{"Key": "team", "Value": "data"}, {"Key": "stage", "Value": "dev"}]
    sagemaker.add_tags(ResourceArn=arn, Tags=tags)
    assert sagemaker.list_tags(ResourceArn=arn)["Tags"] == tags


@pytest.mark.parametrize("definition", ["not json", "{}", '{"Version": "1", "Steps": []}'])
def test_text_that_is_no_definition_is_refused(sagemaker: Any, name: str, definition: str) -> None:
    found = error(sagemaker.update_pipeline, PipelineName=name, PipelineDefinition=definition)
    assert found["Code"] == "ValidationException"
    assert "ipeline definition" in found["Message"]


def test_missing_pipeline_is_resource_not_found(sagemaker: Any) -> None:
    arn = "arn:aws:sagemaker:us-east-1:123456789012:pipeline/none"
    for call in (
        sagemaker.describe_pipeline,
        sagemaker.delete_pipeline,
        sagemaker.start_pipeline_execution,
        sagemaker.list_pipeline_executions,
    ):
        assert error(call, PipelineName="none") == {
            "Code": "ResourceNotFound",
            "Message": f"Pipeline '{arn}' does not exist.",
        }


def test_deleted_pipeline_takes_its_executions_with_it(gateway: Any, sagemaker: Any) -> None:
    trust = {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Effect": "Allow",
                "Principal": {"Service": "sagemaker.amazonaws.com"},
                "Action": "sts:AssumeRole",
            }
        ],
    }
    role = gateway.own.client("iam").create_role(
        RoleName=f"role-{uuid.uuid4().hex[:8]}", AssumeRolePolicyDocument=json.dumps(trust)
    )["Role"]["Arn"]
    name = f"pipeline-{uuid.uuid4().hex[:8]}"
    new = {"PipelineName": name, "PipelineDefinition": DEFINITION, "RoleArn": role}
    sagemaker.create_pipeline(**new)
    sagemaker.start_pipeline_execution(PipelineName=name)
    assert len(_executions(sagemaker, name)) == 1
    assert "LastRunTime" in sagemaker.describe_pipeline(PipelineName=name)
    sagemaker.delete_pipeline(PipelineName=name)
    sagemaker.create_pipeline(**new)
    assert _executions(sagemaker, name) == []


def _executions(sagemaker: Any, name: str) -> list[Any]:
    answer = sagemaker.list_pipeline_executions(PipelineName=name)
    summaries: list[Any] = answer["PipelineExecutionSummaries"]
    return summaries
