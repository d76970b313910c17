"""Alarms, scalable targets and their policies in stacks."""

from __future__ import annotations

from typing import Any

_DIMENSION = "sagemaker:variant:DesiredInstanceCount"


def _alarm(**properties: Any) -> dict[str, Any]:
    return {
        "Type": "AWS::CloudWatch::Alarm",
        "Properties": {
            "Namespace": "AWS/SageMaker",
            "MetricName": "ModelLatency",
            "Dimensions": [{"Name": "EndpointName", "Value": "housing-prod"}],
            "ExtendedStatistic": "p95",
            "Period": "60",
            "EvaluationPeriods": 3,
            "DatapointsToAlarm": 2,
            "ComparisonOperator": "GreaterThanThreshold",
            "Threshold": {"Fn::Sub": "250000"},
            "TreatMissingData": "notBreaching",
            **properties,
        },
    }


def _ends(stack: Any, logical_id: str) -> list[tuple[str, str]]:
    """Status and reason of the events that end something for the resource."""
    return [
        (event["ResourceStatus"], event.get("ResourceStatusReason", ""))
        for event in stack.events()
        if event["LogicalResourceId"] == logical_id
        and event["ResourceStatus"].endswith("_COMPLETE")
    ]


def test_an_alarm_is_made_changed_in_place_and_deleted(account: Any) -> None:
    stack = account.stack(
        {"Slow": _alarm()}, Outputs={"Arn": {"Value": {"Fn::GetAtt": "Slow.Arn"}}}
    )
    assert stack.create(Tags=[{"Key": "team", "Value": "ml"}]) == "CREATE_COMPLETE", stack.reasons()
    cloudwatch, name = account.client("cloudwatch"), stack.ids()["Slow"]
    (made,) = cloudwatch.describe_alarms(AlarmNames=[name])["MetricAlarms"]
    assert (made["Threshold"], made["Period"], made["DatapointsToAlarm"]) == (250000.0, 60, 2)
    assert (made["ExtendedStatistic"], made["TreatMissingData"]) == ("p95", "notBreaching")
    assert made["AlarmArn"] == stack.outputs()["Arn"]
    tags = cloudwatch.list_tags_for_resource(ResourceARN=made["AlarmArn"])["Tags"]
    assert tags == [{"Key": "team", "Value": "ml"}]

    topic = f"arn:aws:sns:us-east-1:{account.own.account}:alarms"
    stack.resources["Slow"] = _alarm(Threshold=9, AlarmActions=[topic])
    assert stack.update(Tags=[{"Key": "team", "Value": "ops"}]) == "UPDATE_COMPLETE"
    assert stack.ids()["Slow"] == name
    (changed,) = cloudwatch.describe_alarms(AlarmNames=[name])["MetricAlarms"]
    assert (changed["Threshold"], changed["AlarmActions"]) == (9.0, [topic])
    tags = cloudwatch.list_tags_for_resource(ResourceARN=made["AlarmArn"])["Tags"]
    assert tags == [{"Key": "team", "Value": "ops"}]
    assert _ends(stack, "Slow") == [
        ("CREATE_COMPLETE", ""),
        ("UPDATE_COMPLETE", "local_aws leaves out: AlarmActions (nobody is told)"),
    ]

    assert stack.delete() == "DELETE_COMPLETE"
    assert cloudwatch.describe_alarms(AlarmNames=[name])["MetricAlarms"] == []


def test_an_alarm_that_others_made_is_not_changed(account: Any) -> None:
    cloudwatch = account.client("cloudwatch")
    cloudwatch.put_metric_alarm(
        AlarmName="theirs", EvaluationPeriods=1, ComparisonOperator="LessThanThreshold"
    )
    stack = account.stack({"Slow": _alarm(AlarmName="theirs")})
    assert stack.create() == "ROLLBACK_COMPLETE"
    assert "theirs already exists" in stack.reasons()
    (theirs,) = cloudwatch.describe_alarms(AlarmNames=["theirs"])["MetricAlarms"]
    assert theirs["ComparisonOperator"] == "LessThanThreshold"


def test_a_target_and_its_policy_are_kept_changed_and_deleted(account: Any) -> None:
    target = {
        "ServiceNamespace": "sagemaker",
        "ScalableDimension": _DIMENSION,
        "ResourceId": "endpoint/housing-prod/variant/AllTraffic",
        "MinCapacity": "2",
        "MaxCapacity": 6,
    }
    tracking = {
        "TargetValue": "600",
        "PredefinedMetricSpecification": {
            "PredefinedMetricType": "SageMakerVariantInvocationsPerInstance"
        },
    }
    policy = {
        "PolicyName": "invocations",
        "PolicyType": "TargetTrackingScaling",
        "ScalingTargetId": {"Ref": "Target"},
        "TargetTrackingScalingPolicyConfiguration": tracking,
    }
    stack = account.stack(
        {
            "Target": {
                "Type": "AWS::ApplicationAutoScaling::ScalableTarget",
                "Properties": target,
            },
            "Policy": {"Type": "AWS::ApplicationAutoScaling::ScalingPolicy", "Properties": policy},
        }
    )
    assert stack.create() == "CREATE_COMPLETE", stack.reasons()
    assert stack.ids()["Target"] == f"{target['ResourceId']}|{_DIMENSION}|sagemaker"
    scaling = account.client("application-autoscaling")

    def described() -> tuple[Any, Any]:
        mine = {"ServiceNamespace": "sagemaker"}
        targets = scaling.describe_scalable_targets(**mine, ResourceIds=[target["ResourceId"]])[
            "ScalableTargets"
        ]
        policies = scaling.describe_scaling_policies(**mine, ResourceId=target["ResourceId"])
        return targets, policies["ScalingPolicies"]

    (made,), (followed,) = described()
    assert (made["MinCapacity"], made["MaxCapacity"]) == (2, 6)
    assert followed["TargetTrackingScalingPolicyConfiguration"]["TargetValue"] == 600
    said = "local_aws leaves out: scaling from 2 to 6 (one process serves)"
    assert _ends(stack, "Target") == [("CREATE_COMPLETE", said)]

    target["MaxCapacity"], tracking["TargetValue"] = 8, 900
    assert stack.update(Tags=[{"Key": "a", "Value": "b"}]) == "UPDATE_COMPLETE", stack.reasons()
    (made,), (followed,) = described()
    assert made["MaxCapacity"] == 8
    assert followed["TargetTrackingScalingPolicyConfiguration"]["TargetValue"] == 900

    scaling.deregister_scalable_target(
        **{key: target[key] for key in ("ServiceNamespace", "ScalableDimension", "ResourceId")}
    )
    assert stack.delete() == "DELETE_COMPLETE", stack.reasons()
    assert described() == ([], [])
