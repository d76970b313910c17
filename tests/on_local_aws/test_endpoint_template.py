"""A model, deployed and replaced with the project's own endpoint template."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError, WaiterError

TEMPLATE = Path(__file__).parents[2] / "model_deploy/endpoint-config-template.yml"


class EndpointStack:
    """The stack of one stage, as a deploy pipeline drives it."""

    def __init__(self, account: Any, project: str) -> None:
        self.account = account
        self.cloudformation = account.cloudformation
        self.project = project
        self.name = f"sagemaker-{project}-deploy-staging"
        self.endpoint_name = f"{project}-staging"

    def deploy(self, url: str, version: str, **parameters: str) -> None:
        values = {
            "SageMakerProjectName": self.project,
            "StageName": "staging",
            "ModelExecutionRoleArn": self.account.role_arn,
            "ModelDataLocation": url,
            "ContainerImageURI": self.account.image_uri,
            **parameters,
        }
        request = {
            "StackName": self.name,
            "TemplateBody": TEMPLATE.read_text(),
            "Parameters": [
                {"ParameterKey": key, "ParameterValue": value} for key, value in values.items()
            ],
            "Tags": [{"Key": "mlflow:model-version", "Value": version}],
        }
        try:
            self.cloudformation.describe_stacks(StackName=self.name)
        except ClientError:
            self.cloudformation.create_stack(**request)
        else:
            self.cloudformation.update_stack(**request)

    def wait(self, waiter: str) -> None:
        settings = {"Delay": 1, "MaxAttempts": 90}
        self.cloudformation.get_waiter(waiter).wait(StackName=self.name, WaiterConfig=settings)

    def physical_ids(self) -> dict[str, str]:
        listed = self.cloudformation.list_stack_resources(StackName=self.name)
        return {
            resource["LogicalResourceId"]: resource["PhysicalResourceId"]
            for resource in listed["StackResourceSummaries"]
        }

    def events(self) -> list[tuple[str, str]]:
        listed = self.cloudformation.describe_stack_events(StackName=self.name)["StackEvents"]
        return [(e["LogicalResourceId"], e["ResourceStatus"]) for e in reversed(listed)]

    def status(self) -> str:
        described = self.cloudformation.describe_stacks(StackName=self.name)
        return str(described["Stacks"][0]["StackStatus"])

    def served(self) -> str:
        answer = self.account.runtime.invoke_endpoint(EndpointName=self.endpoint_name, Body=b"x")
        return str(json.loads(answer["Body"].read())["name"])

    def predict(self, rows: list[list[float]]) -> Any:
        answer = self.account.runtime.invoke_endpoint(
            EndpointName=self.endpoint_name,
            Body=json.dumps({"inputs": rows}),
            ContentType="application/json",
        )
        return json.loads(answer["Body"].read())["predictions"]


def test_a_new_version_replaces_model_and_configuration_and_updates_the_endpoint(
    serving_account: Any,
) -> None:
    stack = EndpointStack(serving_account, "replaced")
    sagemaker = serving_account.sagemaker
    stack.deploy(serving_account.put_archive("one"), "1")
    stack.wait("stack_create_complete")
    before = stack.physical_ids()
    endpoint = sagemaker.describe_endpoint(EndpointName="replaced-staging")
    assert stack.served() == "one"
    assert {"Key": "mlflow:model-version", "Value": "1"} in _tags(serving_account, endpoint)

    stack.deploy(serving_account.put_archive("two"), "2")
    stack.wait("stack_update_complete")
    after = stack.physical_ids()

    assert stack.served() == "two"
    assert after["Endpoint"] == before["Endpoint"]
    assert after["Model"] != before["Model"]
    assert after["EndpointConfig"] != before["EndpointConfig"]
    outputs = stack.cloudformation.describe_stacks(StackName=stack.name)["Stacks"][0]["Outputs"]
    values = {output["OutputKey"]: output["OutputValue"] for output in outputs}
    assert after["Model"].endswith(f"/{values['ModelName']}")
    endpoint = sagemaker.describe_endpoint(EndpointName="replaced-staging")
    assert endpoint["EndpointConfigName"] == values["EndpointConfigName"]
    assert {"Key": "mlflow:model-version", "Value": "2"} in _tags(serving_account, endpoint)
    with pytest.raises(ClientError, match="Could not find model"):
        sagemaker.describe_model(ModelName=before["Model"].rpartition("/")[2])
    events = stack.events()
    cleanup = events.index((stack.name, "UPDATE_COMPLETE_CLEANUP_IN_PROGRESS"))
    assert events.index(("Endpoint", "UPDATE_COMPLETE")) < cleanup
    assert events[cleanup + 1 :] == [
        ("EndpointConfig", "DELETE_IN_PROGRESS"),
        ("EndpointConfig", "DELETE_COMPLETE"),
        ("Model", "DELETE_IN_PROGRESS"),
        ("Model", "DELETE_COMPLETE"),
        (stack.name, "UPDATE_COMPLETE"),
    ]


def test_a_version_that_cannot_be_served_is_rolled_back(serving_account: Any) -> None:
    stack = EndpointStack(serving_account, "rolledback")
    stack.deploy(serving_account.put_archive("good"), "1")
    stack.wait("stack_create_complete")
    before = stack.physical_ids()

    stack.deploy(serving_account.put_archive("bad", mode="crash"), "2")
    stack.wait("stack_rollback_complete")

    assert stack.served() == "good"
    assert stack.physical_ids() == before
    assert stack.status() == "UPDATE_ROLLBACK_COMPLETE"
    description = stack.cloudformation.describe_stacks(StackName=stack.name)["Stacks"][0]
    assert description["Tags"] == [{"Key": "mlflow:model-version", "Value": "1"}]
    endpoint = serving_account.sagemaker.describe_endpoint(EndpointName=stack.endpoint_name)
    assert {"Key": "mlflow:model-version", "Value": "1"} in _tags(serving_account, endpoint)
    models = serving_account.sagemaker.list_models(NameContains="rolledback")["Models"]
    assert [model["ModelArn"] for model in models] == [before["Model"]]

    stack.deploy(serving_account.put_archive("better"), "3")
    stack.wait("stack_update_complete")
    assert stack.served() == "better"


def test_a_first_version_that_cannot_be_served_leaves_nothing(
    serving_account: Any, until: Callable[..., Any]
) -> None:
    stack = EndpointStack(serving_account, "firstfails")
    stack.deploy(serving_account.put_archive("bad", mode="crash"), "1")
    with pytest.raises(WaiterError):
        stack.wait("stack_create_complete")

    assert until(lambda: stack.status() == "ROLLBACK_COMPLETE")
    sagemaker = serving_account.sagemaker
    assert sagemaker.list_endpoints(NameContains="firstfails")["Endpoints"] == []
    assert sagemaker.list_endpoint_configs(NameContains="firstfails")["EndpointConfigs"] == []
    assert sagemaker.list_models(NameContains="firstfails")["Models"] == []
    with pytest.raises(ClientError, match="is in ROLLBACK_COMPLETE state and can not be updated"):
        stack.deploy(serving_account.put_archive("good"), "2")

    stack.cloudformation.delete_stack(StackName=stack.name)
    stack.wait("stack_delete_complete")


def test_deleting_the_stack_ends_the_endpoint(serving_account: Any) -> None:
    stack = EndpointStack(serving_account, "deleted")
    stack.deploy(serving_account.put_archive("bye"), "1", ServerlessMemoryInMB="2048")
    stack.wait("stack_create_complete")
    stack_id = stack.cloudformation.describe_stacks(StackName=stack.name)["Stacks"][0]["StackId"]

    stack.cloudformation.delete_stack(StackName=stack.name)
    stack.wait("stack_delete_complete")

    with pytest.raises(ClientError, match="not found"):
        stack.served()
    with pytest.raises(ClientError, match="does not exist"):
        stack.cloudformation.describe_stacks(StackName=stack.name)
    (description,) = stack.cloudformation.describe_stacks(StackName=stack_id)["Stacks"]
    assert description["StackStatus"] == "DELETE_COMPLETE"


def test_a_linear_deployment_that_fails_is_taken_back_with_its_alarms(
    serving_account: Any, until: Callable[..., Any]
) -> None:
    stack = EndpointStack(serving_account, "watched")
    cloudwatch = serving_account.gateway.own.client("cloudwatch")
    everything = {
        "EndpointInstanceCount": "2",
        "EndpointMaxInstanceCount": "4",
        "DeploymentType": "LINEAR",
        "DeploymentWaitInSeconds": "60",
        "AlarmTopicArn": "arn:aws:sns:us-east-1:123456789012:alarms",
        "SubnetIds": "subnet-1",
        "SecurityGroupIds": "sg-1",
        "KmsKeyArn": "arn:aws:kms:us-east-1:123456789012:key/k",
        "DataCaptureUri": f"s3://{serving_account.bucket}/captured",
    }
    stack.deploy(serving_account.put_archive("good"), "1", **everything)
    stack.wait("stack_create_complete")
    before = stack.physical_ids()
    assert before["Failing"].startswith(f"{stack.name}-failing-{stack.name[:10]}")
    events = stack.cloudformation.describe_stack_events(StackName=stack.name)["StackEvents"]
    told = {
        event["LogicalResourceId"]: event["ResourceStatusReason"]
        for event in events
        if "leaves out" in event.get("ResourceStatusReason", "")
    }
    assert told == {
        "Endpoint": "local_aws leaves out: 2 instances (one process serves); KmsKeyId of the "
        "volumes (files on this machine); KmsKeyId of captured data (moto's S3 encrypts nothing); "
        "VpcConfig (the process uses this machine's network)",
        "Failing": "local_aws leaves out: AlarmActions (nobody is told)",
        "Slow": "local_aws leaves out: AlarmActions (nobody is told)",
        "Instances": "local_aws leaves out: scaling from 2 to 4 (one process serves)",
    }

    stack.deploy(serving_account.put_archive("bad", mode="failing"), "2", **everything)

    def failed() -> bool:
        try:
            return stack.served() != "good"
        except ClientError as err:
            return err.response["Error"]["Code"] == "ModelError"

    assert until(failed)
    stack.wait("stack_rollback_complete")
    assert {stack.served() for _ in range(5)} == {"good"}
    assert stack.physical_ids() == before
    events = stack.cloudformation.describe_stack_events(StackName=stack.name)["StackEvents"]
    (reason,) = [
        e["ResourceStatusReason"] for e in events if e["ResourceStatus"] == "UPDATE_FAILED"
    ]
    assert "Rolled back with 50% of the traffic" in reason
    assert f"alarm {stack.name}-failing-" in reason
    kept = cloudwatch.describe_alarms(AlarmNamePrefix=stack.name)["MetricAlarms"]
    assert {alarm["AlarmName"] for alarm in kept} == {before["Failing"], before["Slow"]}

    stack.cloudformation.delete_stack(StackName=stack.name)
    stack.wait("stack_delete_complete")
    assert cloudwatch.describe_alarms(AlarmNamePrefix=stack.name)["MetricAlarms"] == []


def test_contradictions_are_refused_before_anything_is_made(serving_account: Any) -> None:
    stack = EndpointStack(serving_account, "contradictory")
    with pytest.raises(ClientError, match="need an EndpointInstanceCount of at least 2"):
        stack.deploy("s3://b/m.tar.gz", "1", DeploymentType="CANARY", DeploymentWaitInSeconds="9")
    with pytest.raises(ClientError, match="does not exist"):
        stack.status()


# MLflow's own imports: pydantic models of chat agents, typed Any.
@pytest.mark.filterwarnings("ignore:.*Any type hint is inferred as AnyType:UserWarning")
def _tags(account: Any, endpoint: dict[str, Any]) -> list[dict[str, str]]:
    tags: list[dict[str, str]] = account.sagemaker.list_tags(ResourceArn=endpoint["EndpointArn"])[
        "Tags"
    ]
    return tags
