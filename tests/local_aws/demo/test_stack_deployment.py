"""Stacks deployed as CodePipeline's CloudFormation action does."""

from __future__ import annotations

import json
import uuid
from pathlib import Path

import pytest
from botocore.exceptions import ClientError

from local_aws.demo.stack_deployment import deploy_stack, read_settings, restore_stack
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


def test_what_was_deployed_before_can_be_restored(serving_account, configuration):
    name = f"stack-{uuid.uuid4().hex[:8]}"
    assert read_settings(serving_account.cloudformation, name) is None
    first, second = (serving_account.put_archive(archive) for archive in ("first", "second"))
    outputs = deploy_stack(
        serving_account.cloudformation, name, TEMPLATE, configuration(first), lambda _: None
    )
    before = read_settings(serving_account.cloudformation, name)
    deploy_stack(serving_account.cloudformation, name, TEMPLATE, configuration(second))

    restore_stack(serving_account.cloudformation, name, before)

    endpoint = outputs["EndpointName"]
    answer = serving_account.runtime.invoke_endpoint(EndpointName=endpoint, Body=b"x")
    assert json.loads(answer["Body"].read())["name"] == "first"
    assert read_settings(serving_account.cloudformation, name) == before


def test_a_stack_that_never_came_up_has_nothing_to_restore(serving_account, configuration):
    name = f"stack-{uuid.uuid4().hex[:8]}"
    bad = configuration(serving_account.put_archive("bad", mode="crash"))
    with pytest.raises(DeploymentFailed):
        deploy_stack(serving_account.cloudformation, name, TEMPLATE, bad)

    assert read_settings(serving_account.cloudformation, name) is None
