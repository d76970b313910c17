"""Stacks brought to a template and parameters through change sets."""

from __future__ import annotations

import json
import uuid

import pytest

from mlops.errors import DeploymentFailed
from mlops.account import Account
from mlops.project.stack_change import StackChange, change_stack

TEMPLATE = json.dumps(
    {
        "Parameters": {
            "Bucket": {"Type": "String"},
            "Comment": {"Type": "String", "Default": "none"},
        },
        "Resources": {
            "Model": {
                "Type": "AWS::SageMaker::Model",
                "Properties": {
                    "ExecutionRoleArn": {"Ref": "Bucket"},
                    "PrimaryContainer": {
                        "Image": "123456789012.dkr.ecr.us-east-1.amazonaws.com/stand-in:1",
                        "Environment": {"COMMENT": {"Ref": "Comment"}},
                    },
                },
            }
        },
        "Outputs": {"Comment": {"Value": {"Ref": "Comment"}}},
    }
)


@pytest.fixture
def account(serving_account):
    return Account(serving_account.gateway.own.credentials_environment(None))


def _change(role_arn, template=TEMPLATE, **parameters):
    return StackChange(
        stack_name=f"s-{uuid.uuid4().hex[:8]}",
        template=template,
        parameters={"Bucket": role_arn, **parameters},
        tags={"team": "ml"},
    )


def test_created_then_nothing_to_do_then_one_parameter_changes(account, serving_account):
    change = _change(serving_account.role_arn)
    begun, events = [], []

    made = change_stack(account, change, serving_account.bucket, begun.append, events.append)

    assert made.changed
    assert made.outputs == {"Comment": "none"}
    assert begun == [1]
    assert ("Model", "CREATE_COMPLETE") in [(e.logical_id, e.status) for e in events]

    assert not change_stack(account, change, serving_account.bucket).changed

    only = StackChange(stack_name=change.stack_name, parameters={"Comment": "new"})
    updated = change_stack(account, only, serving_account.bucket)

    assert updated.changed
    assert updated.outputs == {"Comment": "new"}
    stack = serving_account.cloudformation.describe_stacks(StackName=change.stack_name)["Stacks"][0]
    assert stack["Tags"] == [{"Key": "team", "Value": "ml"}]


def test_a_template_over_the_limit_goes_through_s3(account, serving_account):
    document = json.loads(TEMPLATE)
    document["Metadata"] = {"Long": "x" * 60_000}

    outcome = change_stack(
        account,
        _change(serving_account.role_arn, json.dumps(document)),
        serving_account.bucket,
    )

    assert outcome.outputs == {"Comment": "none"}


def test_a_rollback_tells_the_reason_and_does_not_block_the_next(account, serving_account):
    document = json.loads(TEMPLATE)
    document["Resources"]["Endpoint"] = {
        "Type": "AWS::SageMaker::Endpoint",
        "Properties": {"EndpointConfigName": "there-is-none"},
    }
    bad = _change(serving_account.role_arn, json.dumps(document))

    with pytest.raises(DeploymentFailed, match=f"stack {bad.stack_name} ended") as caught:
        change_stack(account, bad, serving_account.bucket)

    assert "Endpoint: " in str(caught.value)
    assert "there-is-none" in str(caught.value)
    good = StackChange(
        stack_name=bad.stack_name, template=TEMPLATE, parameters=bad.parameters, tags={}
    )
    assert change_stack(account, good, serving_account.bucket).changed
