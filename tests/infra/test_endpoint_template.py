"""model_deploy's endpoint template, rendered for each way of serving and of deploying."""

from __future__ import annotations

import fnmatch
from collections.abc import Callable
from typing import Any

import pytest

from local_aws.cloudformation.parameters import resolve_parameters, typed_parameters
from local_aws.cloudformation.rules import check_rules
from local_aws.errors import AwsError

_TEMPLATE = "endpoint-config-template.yml"
_TOPIC = "arn:aws:sns:eu-west-1:123456789012:alarms"
_ALWAYS = {"Model", "EndpointConfig", "Endpoint"}
_WATCHED = {"DeploymentWaitInSeconds": "600"}
_GRADUAL = {**_WATCHED, "EndpointInstanceCount": "4", "DeploymentStepPercentage": "25"}


@pytest.fixture(scope="module")
def endpoint(render: Callable[..., Any]) -> Callable[..., Any]:
    """endpoint(DeploymentType="CANARY", ...): the template with these parameters."""

    def rendered(**parameters: str) -> Any:
        return render(_TEMPLATE, **parameters)

    return rendered


def _variant(stack: Any) -> Any:
    (variant,) = stack.resources["EndpointConfig"]["ProductionVariants"]
    return variant


def test_the_smallest_user_gets_one_instance_and_nothing_that_costs_besides(
    endpoint: Callable[..., Any],
) -> None:
    stack = endpoint()
    assert set(stack.resources) == _ALWAYS
    assert _variant(stack) == {
        "VariantName": "AllTraffic",
        "ModelName": "Model.ModelName",
        "InitialVariantWeight": 1,
        "InstanceType": "ml.m5.large",
        "InitialInstanceCount": "1",
        "ContainerStartupHealthCheckTimeoutInSeconds": 1200,
    }
    assert set(stack.resources["EndpointConfig"]) == {"ProductionVariants", "Tags"}
    assert set(stack.resources["Endpoint"]) == {"EndpointName", "EndpointConfigName", "Tags"}
    assert set(stack.resources["Model"]) == {"ExecutionRoleArn", "PrimaryContainer", "Tags"}
    assert stack.outputs["EndpointName"] == "Endpoint.EndpointName"


def test_a_serverless_endpoint_has_no_instances(endpoint: Callable[..., Any]) -> None:
    stack = endpoint(ServerlessMemoryInMB="2048", ServerlessMaxConcurrency="7")
    assert _variant(stack) == {
        "VariantName": "AllTraffic",
        "ModelName": "Model.ModelName",
        "InitialVariantWeight": 1,
        "ServerlessConfig": {"MemorySizeInMB": "2048", "MaxConcurrency": "7"},
    }
    warm = endpoint(ServerlessMemoryInMB="2048", ServerlessProvisionedConcurrency="2")
    assert _variant(warm)["ServerlessConfig"]["ProvisionedConcurrency"] == "2"


def test_capture_vpc_and_key_are_where_sagemaker_looks_for_them(
    endpoint: Callable[..., Any],
) -> None:
    key = "arn:aws:kms:eu-west-1:123456789012:key/k"
    stack = endpoint(
        DataCaptureUri="s3://bucket/datacapture",
        DataCapturePercentage="20",
        KmsKeyArn=key,
        SubnetIds="subnet-1,subnet-2",
        SecurityGroupIds="sg-1",
    )
    config = stack.resources["EndpointConfig"]
    assert config["KmsKeyId"] == key
    capture = config["DataCaptureConfig"]
    assert (capture["DestinationS3Uri"], capture["KmsKeyId"]) == ("s3://bucket/datacapture", key)
    assert (capture["EnableCapture"], capture["InitialSamplingPercentage"]) == (True, "20")
    assert [option["CaptureMode"] for option in capture["CaptureOptions"]] == ["Input", "Output"]
    assert stack.resources["Model"]["VpcConfig"] == {
        "Subnets": ["subnet-1", "subnet-2"],
        "SecurityGroupIds": ["sg-1"],
    }


@pytest.mark.parametrize(
    ("kind", "routing"),
    [
        ("ALL_AT_ONCE", {"WaitIntervalInSeconds": 0}),
        (
            "CANARY",
            {
                "WaitIntervalInSeconds": "600",
                "CanarySize": {"Type": "CAPACITY_PERCENT", "Value": "25"},
            },
        ),
        (
            "LINEAR",
            {
                "WaitIntervalInSeconds": "600",
                "LinearStepSize": {"Type": "CAPACITY_PERCENT", "Value": "25"},
            },
        ),
    ],
)
def test_each_way_to_deploy_is_watched_by_both_alarms(
    endpoint: Callable[..., Any], kind: str, routing: dict[str, Any]
) -> None:
    stack = endpoint(**_GRADUAL, DeploymentType=kind)
    config = stack.resources["Endpoint"]["DeploymentConfig"]
    policy = config["BlueGreenUpdatePolicy"]
    assert policy["TrafficRoutingConfiguration"] == {"Type": kind, **routing}
    assert policy["TerminationWaitInSeconds"] == "600"
    assert config["AutoRollbackConfiguration"]["Alarms"] == [
        {"AlarmName": "Failing"},
        {"AlarmName": "Slow"},
    ]
    assert set(stack.resources) == _ALWAYS | {"Failing", "Slow"}


def test_alarms_are_of_one_version_and_named_after_stack_and_configuration(
    endpoint: Callable[..., Any],
) -> None:
    stack = endpoint(**_WATCHED, LatencyThresholdInMs="250")
    failing, slow = stack.resources["Failing"], stack.resources["Slow"]
    assert failing["AlarmName"] == "project-failing-EndpointConfig.EndpointConfigName"
    assert slow["AlarmName"] == "project-slow-EndpointConfig.EndpointConfigName"
    for alarm in (failing, slow):
        assert {d["Name"]: d["Value"] for d in alarm["Dimensions"]} == {
            "EndpointName": "housing-prod",
            "VariantName": "AllTraffic",
            "EndpointConfigName": "EndpointConfig.EndpointConfigName",
        }
        assert alarm["TreatMissingData"] == "notBreaching"
        assert "AlarmActions" not in alarm
    assert (failing["MetricName"], failing["Statistic"]) == ("Invocation5XXErrors", "Average")
    assert (slow["MetricName"], slow["ExtendedStatistic"]) == ("ModelLatency", "p95")
    assert slow["Threshold"] == "250000"


@pytest.mark.parametrize("serverless", ["0", "1024"])
def test_a_topic_alone_makes_alarms_that_tell_it(
    endpoint: Callable[..., Any], serverless: str
) -> None:
    stack = endpoint(AlarmTopicArn=_TOPIC, ServerlessMemoryInMB=serverless)
    assert stack.resources["Failing"]["AlarmActions"] == [_TOPIC]
    assert stack.resources["Slow"]["AlarmActions"] == [_TOPIC]
    assert "DeploymentConfig" not in stack.resources["Endpoint"]


def test_a_fleet_that_scales_keeps_its_size_over_a_deployment(endpoint: Callable[..., Any]) -> None:
    stack = endpoint(
        EndpointInstanceCount="2", EndpointMaxInstanceCount="6", InvocationsPerInstance="900"
    )
    assert stack.resources["Endpoint"]["RetainAllVariantProperties"] is True
    assert stack.resources["Instances"] == {
        "ServiceNamespace": "sagemaker",
        "ScalableDimension": "sagemaker:variant:DesiredInstanceCount",
        "ResourceId": "endpoint/Endpoint.EndpointName/variant/AllTraffic",
        "MinCapacity": "2",
        "MaxCapacity": "6",
    }
    policy = stack.resources["InstancesPolicy"]
    tracking = policy["TargetTrackingScalingPolicyConfiguration"]
    assert (policy["PolicyType"], tracking["TargetValue"]) == ("TargetTrackingScaling", "900")
    assert tracking["PredefinedMetricSpecification"] == {
        "PredefinedMetricType": "SageMakerVariantInvocationsPerInstance"
    }


@pytest.mark.parametrize("most", ["0", "3"])
def test_a_fleet_of_fixed_size_is_what_its_configuration_says(
    endpoint: Callable[..., Any], most: str
) -> None:
    stack = endpoint(EndpointInstanceCount="3", EndpointMaxInstanceCount=most)
    assert set(stack.resources) == _ALWAYS
    assert "RetainAllVariantProperties" not in stack.resources["Endpoint"]


_VPC = {"SubnetIds": "subnet-1", "SecurityGroupIds": "sg-1"}


@pytest.mark.parametrize(
    ("parameters", "broken"),
    [
        ({**_WATCHED, "DeploymentType": "CANARY"}, ["EndpointInstanceCount of at least 2"]),
        (
            {"EndpointInstanceCount": "2", "DeploymentType": "LINEAR"},
            ["need a DeploymentWaitInSeconds"],
        ),
        (
            {
                **_VPC,
                **_WATCHED,
                "ServerlessMemoryInMB": "1024",
                "EndpointMaxInstanceCount": "2",
                "DataCaptureUri": "s3://bucket/x",
                "KmsKeyArn": "arn:aws:kms:eu-west-1:1:key/k",
            },
            [
                "takes no DeploymentWaitInSeconds",
                "no instances to scale",
                "captures no data",
                "no volume to encrypt",
                "is in no VPC",
            ],
        ),
        ({"ServerlessProvisionedConcurrency": "1"}, ["needs ServerlessMemoryInMB"]),
        ({"SubnetIds": "subnet-1"}, ["go together"]),
        ({"SecurityGroupIds": "sg-1"}, ["go together"]),
    ],
)
def test_contradictions_are_refused_all_at_once(
    endpoint: Callable[..., Any], parameters: dict[str, str], broken: list[str]
) -> None:
    with pytest.raises(AwsError) as caught:
        _check_rules(endpoint, parameters)
    described = str(caught.value).split("; ")
    assert len(described) == len(broken), described
    for part, description in zip(broken, described, strict=True):
        assert part in description


@pytest.mark.parametrize(
    "parameters",
    [
        {},
        _VPC,
        {**_GRADUAL, "DeploymentType": "LINEAR"},
        {"ServerlessMemoryInMB": "2048", "ServerlessProvisionedConcurrency": "2"},
    ],
)
def test_what_agrees_breaks_no_rule(
    endpoint: Callable[..., Any], parameters: dict[str, str]
) -> None:
    _check_rules(endpoint, parameters)


def _check_rules(endpoint: Callable[..., Any], given: dict[str, str]) -> None:
    template = endpoint().template
    required = {
        name: "x" for name, declared in template.parameters.items() if "Default" not in declared
    }
    required |= {
        "StageName": "prod",
        "ModelExecutionRoleArn": "arn:aws:iam::123456789012:role/model",
        "ModelDataLocation": "s3://bucket/model.tar.gz",
    }
    texts = resolve_parameters(template.parameters, {**required, **given})
    typed = typed_parameters(template.parameters, texts, lambda name: name)
    check_rules(template, typed, {})


# What CloudFormation's handlers can do and the template asks for nothing of.
_UNASKED = {
    "cloudwatch:GetMetricData",  # predictive scaling
    "application-autoscaling:DeleteScheduledAction",
    "application-autoscaling:PutScheduledAction",
    "lambda:DeleteProvisionedConcurrencyConfig",
    "lambda:GetProvisionedConcurrencyConfig",
    "lambda:PutProvisionedConcurrencyConfig",
}


def test_the_deployment_role_has_what_the_handlers_of_each_resource_type_call(
    endpoint: Callable[..., Any], project: Any
) -> None:
    """AWS's published schemas say which permissions creating, changing and deleting takes."""
    from local_aws.cloudformation.resource_types.described import schema_of

    needed = {
        permission
        for resource in endpoint().template.resources.values()
        for handler in ("create", "read", "update", "delete")
        for permission in schema_of(resource.type)["handlers"][handler]["permissions"]
    }
    granted: set[str] = set()
    for policy in project.resources["CloudFormationRole"]["Policies"]:
        for statement in policy["PolicyDocument"]["Statement"]:
            actions = statement["Action"]
            granted |= set(actions if isinstance(actions, list) else [actions])
    assert needed - granted == _UNASKED
    # And what those calls ask for in turn, by the services' guides.
    assert granted - needed == {"kms:CreateGrant", "sagemaker:UpdateEndpointWeightsAndCapacities"}


def test_alarms_have_the_names_that_the_roles_may_touch(
    endpoint: Callable[..., Any], project: Any
) -> None:
    pipeline = project.resources["ModelDeployPipeline"]
    (stack_name,) = {
        action["Configuration"]["StackName"]
        for stage in pipeline["Stages"]
        for action in stage["Actions"]
        if action["Configuration"].get("StackName", "").endswith("-prod")
    }
    alarm = endpoint(**_WATCHED).resources["Failing"]["AlarmName"]
    assert alarm.startswith("project-failing-")  # the stack is called project here
    for role in ("CloudFormationRole", "ModelRole"):
        patterns = [
            resource
            for policy in project.resources[role]["Policies"]
            for statement in policy["PolicyDocument"]["Statement"]
            if "cloudwatch:DescribeAlarms" in statement["Action"]
            for resource in _listed(statement["Resource"])
        ]
        arn = f"arn:aws:cloudwatch:eu-west-1:123456789012:alarm:{stack_name}-failing-x"
        assert any(fnmatch.fnmatchcase(arn, pattern) for pattern in patterns), role


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]
