from __future__ import annotations

from typing import Any

import pytest

from local_aws.errors import AwsError
from local_aws.sagemaker.endpoints.traffic_shifting import Step, TrafficShift

_FOUR: dict[str, Any] = {"InstanceType": "ml.m5.large", "InitialInstanceCount": 4}


def _config(kind: str, wait: int = 3, final: int = 2, **routing: Any) -> dict[str, Any]:
    return {
        "BlueGreenUpdatePolicy": {
            "TrafficRoutingConfiguration": {
                "Type": kind,
                "WaitIntervalInSeconds": wait,
                **routing,
            },
            "TerminationWaitInSeconds": final,
            "MaximumExecutionTimeoutInSeconds": 600,
        },
        "AutoRollbackConfiguration": {"Alarms": [{"AlarmName": "failing"}]},
    }


def _percent(value: int) -> dict[str, Any]:
    return {"Type": "CAPACITY_PERCENT", "Value": value}


@pytest.mark.parametrize(
    ("config", "steps"),
    [
        (None, [(1.0, 0)]),
        (_config("ALL_AT_ONCE", wait=0), [(1.0, 2)]),
        (_config("CANARY", CanarySize=_percent(20)), [(0.2, 3), (1.0, 2)]),
        (
            _config("CANARY", CanarySize={"Type": "INSTANCE_COUNT", "Value": 1}),
            [(0.25, 3), (1.0, 2)],
        ),
        (_config("LINEAR", LinearStepSize=_percent(40)), [(0.4, 3), (0.8, 3), (1.0, 2)]),
        (_config("LINEAR", LinearStepSize=_percent(50)), [(0.5, 3), (1.0, 2)]),
        (
            _config("LINEAR", LinearStepSize=_percent(10)),
            [*((share / 10, 3) for share in range(1, 10)), (1.0, 2)],
        ),
    ],
)
def test_traffic_moves_in_the_steps_that_were_asked_for(
    config: Any, steps: list[tuple[float, float]]
) -> None:
    shift = TrafficShift.of(config, _FOUR)
    assert [(step.share, step.bake_seconds) for step in shift.steps] == steps
    assert shift.alarms == (("failing",) if config else ())
    assert isinstance(shift.steps[0], Step)


@pytest.mark.parametrize(
    ("config", "variant", "problem"),
    [
        (_config("CANARY"), _FOUR, "Traffic routing CANARY needs CanarySize"),
        (
            _config("LINEAR", CanarySize=_percent(20)),
            _FOUR,
            "CanarySize does not belong to traffic routing LINEAR",
        ),
        (
            _config("CANARY", CanarySize=_percent(50)),
            {"InstanceType": "ml.m5.large", "InitialInstanceCount": 1},
            "Traffic routing CANARY needs 2 instances at least; there is 1",
        ),
        (
            _config("CANARY", CanarySize=_percent(60)),
            _FOUR,
            "CanarySize is 60% of the instances; at most 50 % are allowed",
        ),
        (
            _config("LINEAR", LinearStepSize=_percent(5)),
            _FOUR,
            "LinearStepSize is 5% of the instances; 10 % to 50 % are allowed",
        ),
        (
            _config("CANARY", CanarySize=_percent(20)),
            {"ServerlessConfig": {"MemorySizeInMB": 1024, "MaxConcurrency": 1}},
            "Serverless endpoints do not support traffic routing CANARY",
        ),
        (
            _config("CANARY", wait=599, CanarySize=_percent(20)),
            _FOUR,
            "MaximumExecutionTimeoutInSeconds 600 is less than all waits together, 601 s",
        ),
        (
            {"RollingUpdatePolicy": {"x": 1}},
            _FOUR,
            "local_aws does not support RollingUpdatePolicy",
        ),
    ],
)
def test_deployments_that_sagemaker_rules_out_are_refused(
    config: Any, variant: dict[str, Any], problem: str
) -> None:
    with pytest.raises(AwsError) as caught:
        TrafficShift.of(config, variant)
    assert str(caught.value) == problem
