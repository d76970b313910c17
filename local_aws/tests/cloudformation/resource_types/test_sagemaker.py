"""SageMaker pipelines in stacks; models and endpoints are in test_endpoint_template.py."""

from __future__ import annotations

import json
from typing import Any

import pytest
from botocore.exceptions import ClientError


def definition(reason: str) -> dict[str, str]:
    step = {"Name": "Stop", "Type": "Fail", "Arguments": {"ErrorMessage": reason}}
    body = {"Version": "2020-12-01", "Metadata": {}, "Parameters": [], "Steps": [step]}
    return {"PipelineDefinitionBody": json.dumps(body)}


def test_a_pipeline_is_made_changed_in_place_and_deleted(account: Any) -> None:
    properties: dict[str, Any] = {
        "PipelineName": {"Fn::Sub": "${AWS::StackName}-training"},
        "PipelineDescription": "first",
        "RoleArn": account.create_role("sagemaker.amazonaws.com"),
        "PipelineDefinition": definition("one"),
    }
    stack = account.stack(
        {"Pipeline": {"Type": "AWS::SageMaker::Pipeline", "Properties": properties}}
    )
    assert stack.create(Tags=[{"Key": "team", "Value": "ml"}]) == "CREATE_COMPLETE", stack.reasons()
    sagemaker, name = account.client("sagemaker"), f"{stack.name}-training"
    assert stack.ids()["Pipeline"] == name

    def made() -> Any:
        return sagemaker.describe_pipeline(PipelineName=name)

    assert "one" in made()["PipelineDefinition"]
    arn = made()["PipelineArn"]
    tags = [{"Key": "team", "Value": "ml"}]
    assert sagemaker.list_tags(ResourceArn=arn)["Tags"] == tags

    properties["PipelineDefinition"] = definition("two")
    assert stack.update(Tags=[{"Key": "team", "Value": "ops"}]) == "UPDATE_COMPLETE"
    assert "two" in made()["PipelineDefinition"]
    assert (made()["PipelineArn"], made()["PipelineDescription"]) == (arn, "first")
    tags = [{"Key": "team", "Value": "ops"}]
    assert sagemaker.list_tags(ResourceArn=arn)["Tags"] == tags

    assert stack.delete() == "DELETE_COMPLETE", stack.reasons()
    with pytest.raises(ClientError, match="ResourceNotFound"):
        made()
