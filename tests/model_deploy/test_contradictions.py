from __future__ import annotations

from pathlib import Path

import pytest

import model_deploy
from model_deploy.contradictions import EXECUTION_TIMEOUT_SECONDS, find_contradictions
from model_deploy.stage_config import StageConfig, find_problems, read_template_parameters

_TEMPLATE = Path(model_deploy.__file__).with_name("endpoint-config-template.yml")
_DECLARED = read_template_parameters(_TEMPLATE)


def _found(**settings: str) -> list[str]:
    defaults = {name: parameter.default for name, parameter in _DECLARED.items()}
    return find_contradictions({**defaults, **settings})


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"EndpointInstanceCount": "2", "EndpointMaxInstanceCount": "2"},
        {"EndpointMaxInstanceCount": "4"},
        {"DeploymentWaitInSeconds": "600"},
        {
            "EndpointInstanceCount": "2",
            "DeploymentType": "CANARY",
            "DeploymentWaitInSeconds": "3600",
        },
        {
            "EndpointInstanceCount": "10",
            "DeploymentType": "LINEAR",
            "DeploymentStepPercentage": "10",
            "DeploymentWaitInSeconds": "1200",
        },
        {"ServerlessMemoryInMB": "2048", "AlarmTopicArn": "arn:aws:sns:eu-west-1:1:t"},
        {"ServerlessMemoryInMB": "2048", "ServerlessProvisionedConcurrency": "5"},
        {"SubnetIds": "subnet-1", "SecurityGroupIds": "sg-1"},
        {
            "EndpointInstanceCount": "2",
            "DeploymentType": "CANARY",
            "DeploymentWaitInSeconds": "6300",
        },
        {
            "EndpointInstanceCount": "2",
            "DeploymentType": "LINEAR",
            "DeploymentStepPercentage": "30",
            "DeploymentWaitInSeconds": "3150",
        },
    ],
)
def test_settings_that_agree_are_let_through(settings: dict[str, str]) -> None:
    assert _found(**settings) == []


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        (
            {"DeploymentType": "CANARY", "DeploymentWaitInSeconds": "600"},
            "DeploymentType is CANARY, which moves part of the instances, but "
            "EndpointInstanceCount is 1; it needs 2 at least",
        ),
        (
            {"DeploymentType": "LINEAR", "EndpointInstanceCount": "2"},
            "DeploymentType is LINEAR, but DeploymentWaitInSeconds is 0: nothing would watch the "
            "steps. 600 is a good start",
        ),
        (
            {
                "DeploymentType": "LINEAR",
                "EndpointInstanceCount": "2",
                "DeploymentStepPercentage": "15",
                "DeploymentWaitInSeconds": "1801",
            },
            "LINEAR in steps of 15 % with DeploymentWaitInSeconds 1801 waits for 12607 s in all; "
            "12600 are possible",
        ),
        (
            {
                "DeploymentType": "CANARY",
                "EndpointInstanceCount": "2",
                "DeploymentStepPercentage": "10",
                "DeploymentWaitInSeconds": "6301",
            },
            "CANARY in steps of 10 % with DeploymentWaitInSeconds 6301 waits for 12602 s in all; "
            "12600 are possible",
        ),
        (
            {"EndpointInstanceCount": "3", "EndpointMaxInstanceCount": "2"},
            "EndpointMaxInstanceCount is 2, less than EndpointInstanceCount, 3; 0 turns scaling "
            "off",
        ),
        (
            {"ServerlessProvisionedConcurrency": "1"},
            "ServerlessProvisionedConcurrency is 1, but nothing is serverless; set "
            "ServerlessMemoryInMB, or leave it out",
        ),
        (
            {"ServerlessMemoryInMB": "1024", "ServerlessProvisionedConcurrency": "6"},
            "ServerlessProvisionedConcurrency is 6; it can be at most ServerlessMaxConcurrency, 5",
        ),
        (
            {"SecurityGroupIds": "sg-1"},
            "SubnetIds and SecurityGroupIds go together; give both or neither",
        ),
    ],
)
def test_settings_that_exclude_each_other_are_named(settings: dict[str, str], problem: str) -> None:
    assert _found(**settings) == [problem]


def test_everything_that_needs_instances_is_refused_of_a_serverless_endpoint_at_once() -> None:
    config = StageConfig(
        source="prod-config.json",
        stage="prod",
        parameters={
            "ServerlessMemoryInMB": "2048",
            "DeploymentType": "CANARY",
            "DeploymentWaitInSeconds": "600",
            "EndpointInstanceCount": "2",
            "EndpointMaxInstanceCount": "4",
            "DataCaptureUri": "s3://bucket/datacapture",
            "KmsKeyArn": "arn:aws:kms:eu-west-1:111122223333:key/k",
            "SubnetIds": "subnet-1",
            "SecurityGroupIds": "sg-1",
            "ModelExecutionRoleArn": "arn:aws:iam::123456789012:role/model",
            "ContainerImageURI": "image",
        },
        tags={},
    ).extended({}, {"SageMakerProjectName": "shop", "ModelDataLocation": "s3://b/m.tar.gz"}, {})
    serverless = "but ServerlessMemoryInMB makes the endpoint serverless"
    assert find_problems(config, _DECLARED, "t") == [
        f"DeploymentType is 'CANARY', {serverless}: SageMaker shifts its traffic all at once",
        f"DeploymentWaitInSeconds is '600', {serverless}: no alarm watches its deployment",
        f"EndpointMaxInstanceCount is '4', {serverless}: it has no instances to scale",
        f"DataCaptureUri is 's3://bucket/datacapture', {serverless}: it captures no data",
        "KmsKeyArn is 'arn:aws:kms:eu-west-1:111122223333:key/k', "
        f"{serverless}: it has no volume to encrypt",
        f"SubnetIds is 'subnet-1', {serverless}: it can be in no VPC",
    ]


def test_what_is_no_number_is_left_to_the_check_of_values() -> None:
    assert _found(EndpointInstanceCount="two", EndpointMaxInstanceCount="4") == []


def test_the_templates_timeout_is_the_one_that_waits_are_measured_by() -> None:
    text = _TEMPLATE.read_text()
    assert f"MaximumExecutionTimeoutInSeconds: {EXECUTION_TIMEOUT_SECONDS}\n" in text
