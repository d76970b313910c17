"""Stacks deployed as CodePipeline's CloudFormation action does."""

from __future__ import annotations

import json
import uuid
from pathlib import Path

import pytest
from botocore.exceptions import ClientError

from local_aws.demo.stack_deployment import deploy_stack
from local_aws.errors import DeploymentFailed

TEMPLATE = Path(__file__).parents[3] / "model_deploy/endpoint-config-template.yml"


@pytest.fixture
def configuration(serving_account, tmp_path):
    """Writes a TemplateConfiguration file for the archive of that URL."""
    project = f"p{uuid.uuid4().hex[:8]}"

    def write(url):
        path = tmp_path / "staging-config-export.json"
        parameters = {
            "SageMakerProjectName": project,
            "StageName": "staging",
            "ModelExecutionRoleArn": serving_account.role_arn,
            "ModelDataLocation": url,
            "ContainerImageURI": serving_account.image_uri,
        }
        tags = {"mlflow:model-version": "1"}
        path.write_text(json.dumps({"Parameters": parameters, "Tags": tags}))
        return path

    return write


def test_created_then_updated_then_left_alone(serving_account, configuration):
    name, events = f"stack-{uuid.uuid4().hex[:8]}", []
    first = configuration(serving_account.put_archive("one"))

    outputs = deploy_stack(serving_account.cloudformation, name, TEMPLATE, first, events.append)

    assert outputs["EndpointName"].endswith("-staging")
    assert "Endpoint CREATE_COMPLETE" in events
    events.clear()
    second = configuration(serving_account.put_archive("two"))
    deploy_stack(serving_account.cloudformation, name, TEMPLATE, second, events.append)
    assert "Endpoint UPDATE_COMPLETE" in events
    assert not [event for event in events if "CREATE_COMPLETE" in event]
    events.clear()
    assert (
        deploy_stack(serving_account.cloudformation, name, TEMPLATE, second, events.append)[
            "EndpointName"
        ]
        == outputs["EndpointName"]
    )
    assert events == []
    stack = serving_account.cloudformation.describe_stacks(StackName=name)["Stacks"][0]
    assert {"Key": "mlflow:model-version", "Value": "1"} in stack["Tags"]


def test_a_failed_creation_tells_the_cause_and_does_not_block_the_next(
    serving_account, configuration
):
    name, events = f"stack-{uuid.uuid4().hex[:8]}", []
    bad = configuration(serving_account.put_archive("bad", mode="crash"))

    with pytest.raises(DeploymentFailed, match=f"stack {name} ended ROLLBACK_COMPLETE: ") as caught:
        deploy_stack(serving_account.cloudformation, name, TEMPLATE, bad)
    assert "the forest has no trees" in str(caught.value)

    good = configuration(serving_account.put_archive("good"))
    deploy_stack(serving_account.cloudformation, name, TEMPLATE, good, events.append)
    assert events[0].startswith("deleting the stack, whose creation had failed")
    assert "Endpoint CREATE_COMPLETE" in events


def test_a_refused_request_is_raised_as_it_is(serving_account, configuration):
    path = configuration("not-an-archive")

    with pytest.raises(ClientError, match="ModelDataLocation"):
        deploy_stack(serving_account.cloudformation, "refused", TEMPLATE, path)
