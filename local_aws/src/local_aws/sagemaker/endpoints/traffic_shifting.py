"""From one fleet to the next: which part of the traffic goes to the new one, and for how long.

ALL_AT_ONCE  100 % ─ final wait
CANARY       a part ─ wait ─▶ 100 % ─ final wait
LINEAR       a part ─ wait ─▶ two parts ─ wait ─▶ ... 100 % ─ final wait

As "Blue/Green Deployments" in SageMaker's guide describes it. The waits are those of the request.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from local_aws.errors import AwsError


@dataclass(frozen=True)
class Step:
    """`share` of the requests, from 0 to 1, goes to the new fleet while the alarms are watched."""

    share: float
    bake_seconds: float


@dataclass(frozen=True)
class TrafficShift:
    """The steps of one deployment, the last with a share of 1, and the alarms that end it."""

    steps: tuple[Step, ...] = (Step(1.0, 0.0),)
    alarms: tuple[str, ...] = ()

    @classmethod
    def of(cls, config: Mapping[str, Any] | None, variant: Mapping[str, Any]) -> TrafficShift:
        """What a DeploymentConfig asks for, of a production variant as its configuration has it.

        AwsError ValidationException for what SageMaker's API reference rules out.
        """
        if not config:
            return cls()
        if config.get("RollingUpdatePolicy"):
            raise _refusal("local_aws does not support RollingUpdatePolicy")
        policy = config.get("BlueGreenUpdatePolicy", {})
        routing = policy.get("TrafficRoutingConfiguration", {"Type": "ALL_AT_ONCE"})
        wait = float(routing.get("WaitIntervalInSeconds", 0))
        shares = _shares(routing, variant)
        steps = [Step(share, wait) for share in shares]
        steps.append(Step(1.0, float(policy.get("TerminationWaitInSeconds", 0))))
        waits = sum(step.bake_seconds for step in steps)
        timeout = policy.get("MaximumExecutionTimeoutInSeconds")
        if timeout is not None and waits > timeout:
            raise _refusal(
                f"MaximumExecutionTimeoutInSeconds {timeout} is less than all waits together, "
                f"{waits:.0f} s"
            )
        alarms = config.get("AutoRollbackConfiguration", {}).get("Alarms", [])
        return cls(tuple(steps), tuple(alarm["AlarmName"] for alarm in alarms))


def _shares(routing: Mapping[str, Any], variant: Mapping[str, Any]) -> list[float]:
    """The shares before the last one."""
    kind = routing["Type"]
    sizes = {"CANARY": "CanarySize", "LINEAR": "LinearStepSize"}
    for other in set(sizes.values()) - {sizes.get(kind)}:
        if other in routing:
            raise _refusal(f"{other} does not belong to traffic routing {kind}")
    if kind == "ALL_AT_ONCE":
        return []
    if "ServerlessConfig" in variant:
        raise _refusal(f"Serverless endpoints do not support traffic routing {kind}")
    if sizes[kind] not in routing:
        raise _refusal(f"Traffic routing {kind} needs {sizes[kind]}")
    size, count = routing[sizes[kind]], variant["InitialInstanceCount"]
    if count < 2:
        raise _refusal(f"Traffic routing {kind} needs 2 instances at least; there is {count}")
    share = size["Value"] / (count if size["Type"] == "INSTANCE_COUNT" else 100)
    least = 0.1 if kind == "LINEAR" else 0.0
    if not least <= share <= 0.5:
        raise _refusal(
            f"{sizes[kind]} is {share:.0%} of the instances; "
            f"{'10 % to 50 %' if kind == 'LINEAR' else 'at most 50 %'} are allowed"
        )
    if kind == "CANARY":
        return [share]
    # Rounded: three steps of a third are all, and so no step of their own.
    return [round(share * n, 9) for n in range(1, 10) if round(share * n, 9) < 1.0]


def _refusal(text: str) -> AwsError:
    return AwsError("ValidationException", text)
