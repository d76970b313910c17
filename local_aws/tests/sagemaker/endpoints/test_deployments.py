"""From one version to the next on a live endpoint: canary, linear, alarms that take it back."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import ClientError

_TWO = {"InstanceType": "ml.m5.large", "InitialInstanceCount": 2}
_HALF = {"Type": "CAPACITY_PERCENT", "Value": 50}
# Seconds: no wait ends by itself while a test looks at it. SageMaker takes no more.
_LONG = 3600


class Fleet:
    """An endpoint of two instances, and what it is asked."""

    def __init__(self, account: Any, version: str = "old") -> None:
        self.account = account
        self.config = self.new_config(version)
        self.name = account.create_endpoint(self.config)

    def new_config(self, version: str, mode: str = "", **config: Any) -> str:
        url = self.account.put_archive(version, mode=mode)
        name: str = self.account.create_config(url, variant=_TWO, **config)
        return name

    def update(
        self, config: str, kind: str, final: int, alarms: tuple[str, ...] = (), **routing: Any
    ) -> None:
        rollback = {"Alarms": [{"AlarmName": name} for name in alarms]} if alarms else {}
        self.account.sagemaker.update_endpoint(
            EndpointName=self.name,
            EndpointConfigName=config,
            DeploymentConfig={
                "BlueGreenUpdatePolicy": {
                    "TrafficRoutingConfiguration": {
                        "Type": kind,
                        "WaitIntervalInSeconds": 0,
                        **routing,
                    },
                    "TerminationWaitInSeconds": final,
                },
                "AutoRollbackConfiguration": rollback,
            },
        )

    def served(self) -> str:
        """The version that answers one request, or the error of the one that fails."""
        try:
            answer = self.account.runtime.invoke_endpoint(EndpointName=self.name, Body=b"x")
        except ClientError as err:
            return str(err.response["Error"]["Code"])
        return str(json.loads(answer["Body"].read())["name"])

    def describe(self) -> dict[str, Any]:
        described: dict[str, Any] = self.account.sagemaker.describe_endpoint(EndpointName=self.name)
        return described

    def stage(self) -> str:
        """What is said of the new fleet."""
        pending = self.describe().get("PendingDeploymentSummary", {})
        for variant in pending.get("ProductionVariants", []):
            return str(variant["VariantStatus"][0].get("StatusMessage", ""))
        return ""

    def put_alarm(self, config: str) -> str:
        """An alarm on the errors of one configuration."""
        name = f"alarm-{uuid.uuid4().hex[:12]}"
        self.cloudwatch.put_metric_alarm(
            AlarmName=name,
            Namespace="AWS/SageMaker",
            MetricName="Invocation5XXErrors",
            Dimensions=[
                {"Name": "EndpointName", "Value": self.name},
                {"Name": "VariantName", "Value": "AllTraffic"},
                {"Name": "EndpointConfigName", "Value": config},
            ],
            Statistic="Average",
            Period=60,
            EvaluationPeriods=1,
            ComparisonOperator="GreaterThanThreshold",
            Threshold=0.05,
            TreatMissingData="notBreaching",
        )
        return name

    @property
    def cloudwatch(self) -> Any:
        return self.account.gateway.own.client("cloudwatch")


@pytest.fixture(scope="module")
def fleet(serving_account: Any) -> Fleet:
    """One endpoint; each test begins with what the test before left in service."""
    return Fleet(serving_account)


def test_a_canary_gets_its_part_of_the_requests_and_then_all(
    fleet: Fleet, until: Callable[..., Any]
) -> None:
    before = fleet.served()
    config = fleet.new_config("canary")
    alarm = fleet.put_alarm(config)
    fleet.update(config, "CANARY", _LONG, (alarm,), WaitIntervalInSeconds=_LONG, CanarySize=_HALF)

    assert until(fleet.stage) == "50% of the traffic"
    during = [fleet.served() for _ in range(40)]
    assert {before, "canary"} == set(during)
    assert fleet.describe()["EndpointConfigName"] != config
    fleet.account.clock.skip(_LONG)
    assert until(lambda: fleet.stage() == "100% of the traffic")
    assert {fleet.served() for _ in range(10)} == {"canary"}
    assert fleet.describe()["EndpointConfigName"] != config
    fleet.account.clock.skip(_LONG)

    endpoint = fleet.account.settled(fleet.name)
    assert (endpoint["EndpointStatus"], endpoint["EndpointConfigName"]) == ("InService", config)
    assert "FailureReason" not in endpoint
    (told,) = fleet.cloudwatch.describe_alarms(AlarmNames=[alarm])["MetricAlarms"]
    assert told["StateValue"] == "OK"


def test_errors_of_the_canary_trip_the_alarm_and_all_traffic_goes_back(
    fleet: Fleet, until: Callable[..., Any]
) -> None:
    before, old = fleet.served(), fleet.describe()["EndpointConfigName"]
    config = fleet.new_config("bad", mode="failing")
    alarm = fleet.put_alarm(config)
    fleet.update(config, "CANARY", 0, (alarm,), WaitIntervalInSeconds=_LONG, CanarySize=_HALF)
    assert until(lambda: fleet.served() == "ModelError")

    endpoint = fleet.account.settled(fleet.name)
    assert (endpoint["EndpointStatus"], endpoint["EndpointConfigName"]) == ("InService", old)
    assert endpoint["FailureReason"].startswith(
        f"Rolled back with 50% of the traffic on {config}: alarm {alarm} is in ALARM: Threshold "
        "Crossed: 1 of 1 datapoints [1] of Invocation5XXErrors crossed the threshold (0.05)."
    )
    (told,) = fleet.cloudwatch.describe_alarms(AlarmNames=[alarm])["MetricAlarms"]
    assert told["StateValue"] == "ALARM"
    assert "Threshold Crossed" in told["StateReason"]
    assert {fleet.served() for _ in range(10)} == {before}


def test_linear_traffic_moves_in_equal_steps(fleet: Fleet, until: Callable[..., Any]) -> None:
    config = fleet.new_config("linear")
    step = {"Type": "CAPACITY_PERCENT", "Value": 40}
    fleet.update(config, "LINEAR", _LONG, WaitIntervalInSeconds=_LONG, LinearStepSize=step)

    seen: list[str] = []
    for _ in range(3):
        seen.append(until(lambda: (stage := fleet.stage()) not in seen and stage))
        fleet.account.clock.skip(_LONG)
    assert seen == ["40% of the traffic", "80% of the traffic", "100% of the traffic"]
    assert fleet.account.settled(fleet.name)["EndpointConfigName"] == config
    assert fleet.served() == "linear"


def test_an_alarm_in_the_final_wait_brings_the_old_fleet_back(
    fleet: Fleet, until: Callable[..., Any]
) -> None:
    before = fleet.served()
    config = fleet.new_config("late")
    alarm = fleet.put_alarm(config)
    fleet.update(config, "ALL_AT_ONCE", _LONG, (alarm,))
    assert until(lambda: fleet.served() == "late")
    fleet.cloudwatch.set_alarm_state(
        AlarmName=alarm, StateValue="ALARM", StateReason="a person said so"
    )

    endpoint = fleet.account.settled(fleet.name)
    assert endpoint["FailureReason"] == (
        f"Rolled back with 100% of the traffic on {config}: alarm {alarm} is in ALARM: "
        "a person said so"
    )
    assert fleet.served() == before


def test_an_alarm_that_does_not_exist_is_refused_by_name(fleet: Fleet) -> None:
    config = fleet.new_config("unwatched")
    with pytest.raises(ClientError, match=r"alarms of AutoRollbackConfiguration: nothing$"):
        fleet.update(config, "ALL_AT_ONCE", 1, ("nothing",))
    assert fleet.describe()["EndpointStatus"] == "InService"


def test_a_variant_that_scales_keeps_its_type_and_its_size(fleet: Fleet) -> None:
    scaling = fleet.account.gateway.own.client("application-autoscaling")
    place = {
        "ServiceNamespace": "sagemaker",
        "ScalableDimension": "sagemaker:variant:DesiredInstanceCount",
        "ResourceId": f"endpoint/{fleet.name}/variant/AllTraffic",
    }
    scaling.register_scalable_target(**place, MinCapacity=1, MaxCapacity=4)
    url = fleet.account.put_archive("scaled")
    other = {"InstanceType": "ml.c6i.large", "InitialInstanceCount": 1}
    update = {"EndpointName": fleet.name, "RetainAllVariantProperties": True}
    sagemaker = fleet.account.sagemaker
    with pytest.raises(ClientError, match="cannot change while it is a scalable target"):
        sagemaker.update_endpoint(
            **update, EndpointConfigName=fleet.account.create_config(url, variant=other)
        )
    one = {"InstanceType": "ml.m5.large", "InitialInstanceCount": 1}
    config = fleet.account.create_config(url, variant=one)
    sagemaker.update_endpoint(**update, EndpointConfigName=config)
    (variant,) = fleet.account.settled(fleet.name)["ProductionVariants"]
    assert variant["CurrentInstanceCount"] == 2
    serverless = {"ServerlessConfig": {"MemorySizeInMB": 1024, "MaxConcurrency": 1}}
    with pytest.raises(ClientError, match="from instances to serverless"):
        sagemaker.update_endpoint(
            EndpointName=fleet.name,
            EndpointConfigName=fleet.account.create_config(url, variant=serverless),
        )


def test_deleting_an_endpoint_in_the_middle_of_a_shift_ends_both_fleets_and_its_scaling(
    fleet: Fleet, until: Callable[..., Any], caplog: pytest.LogCaptureFixture
) -> None:
    config = fleet.new_config("unfinished", KmsKeyId="key-1")
    fleet.update(config, "CANARY", 0, WaitIntervalInSeconds=_LONG, CanarySize=_HALF)
    assert until(fleet.stage) == "50% of the traffic"
    said = "2 instances (one process serves); KmsKeyId of the volumes (files on this machine)"
    told = [m for m in caplog.messages if "local_aws leaves out" in m]
    assert told == [f"endpoint {fleet.name}: local_aws leaves out: {said}"]
    logs = fleet.account.gateway.own.client("logs")
    group = f"/aws/sagemaker/Endpoints/{fleet.name}"

    def logged() -> bool:
        events = logs.filter_log_events(logGroupName=group)["events"]
        return f"local_aws leaves out: {said}" in [event["message"] for event in events]

    assert until(logged)
    fleet.account.sagemaker.delete_endpoint(EndpointName=fleet.name)

    listed = fleet.account.sagemaker.list_endpoints
    assert until(lambda: not listed(NameContains=fleet.name)["Endpoints"])
    scaling = fleet.account.gateway.own.client("application-autoscaling")
    targets = scaling.describe_scalable_targets(ServiceNamespace="sagemaker")["ScalableTargets"]
    assert [t for t in targets if fleet.name in t["ResourceId"]] == []
