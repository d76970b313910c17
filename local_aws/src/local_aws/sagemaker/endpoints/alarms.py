"""The alarms that a deployment names, watched while it bakes.

moto keeps alarms and never evaluates one. Those of one metric that an endpoint has are evaluated
here, from what its servers were asked; any other counts as its state says, which `aws cloudwatch
set-alarm-state` changes.
"""

from __future__ import annotations

import math
import operator
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from local_aws.errors import AwsError
from local_aws.own_aws import OwnAws
from local_aws.sagemaker.endpoints.serving import Serving

_COMPARISONS: Mapping[str, Callable[[float, float], bool]] = {
    "GreaterThanThreshold": operator.gt,
    "GreaterThanOrEqualToThreshold": operator.ge,
    "LessThanThreshold": operator.lt,
    "LessThanOrEqualToThreshold": operator.le,
}
_STATISTICS: Mapping[str, Callable[[Sequence[float]], float]] = {
    "Average": lambda values: sum(values) / len(values),
    "Sum": sum,
    "Minimum": min,
    "Maximum": max,
    "SampleCount": len,
}


class AlarmWatch:
    """Alarms by name, as the model's execution role sees them."""

    def __init__(self, own: OwnAws, names: Sequence[str], servings: Sequence[Serving]) -> None:
        self._names = list(names)
        self._servings = servings
        self._own = own
        self._role_arn = servings[-1].variant.model["ExecutionRoleArn"]

    def require_known(self) -> None:
        """AwsError ValidationException naming the alarms that do not exist."""
        missing = sorted(set(self._names) - {alarm["AlarmName"] for alarm in self._alarms()})
        if missing:
            raise AwsError(
                "ValidationException",
                f"Could not find the alarms of AutoRollbackConfiguration: {', '.join(missing)}",
            )

    def tripped(self) -> str | None:
        """Which alarm is in ALARM, and why; None if none is."""
        for alarm in self._alarms():
            name = alarm["AlarmName"]
            if alarm["StateValue"] == "ALARM":
                return f"alarm {name} is in ALARM: {alarm.get('StateReason', 'no reason given')}"
            reason = self._breach(alarm)
            if reason is not None:
                self._own.client("cloudwatch").set_alarm_state(
                    AlarmName=name, StateValue="ALARM", StateReason=reason
                )
                return f"alarm {name} is in ALARM: {reason}"
        return None

    def _alarms(self) -> list[dict[str, Any]]:
        if not self._names:
            return []
        cloudwatch = self._own.client("cloudwatch", self._role_arn)
        found: list[dict[str, Any]] = cloudwatch.describe_alarms(
            AlarmNames=self._names, AlarmTypes=["MetricAlarm"]
        )["MetricAlarms"]
        return found

    def _breach(self, alarm: Mapping[str, Any]) -> str | None:
        """CloudWatch's words for a threshold that was crossed; its periods end now."""
        servings = [serving for serving in self._servings if _is_of(alarm, serving)]
        if alarm.get("Namespace") != "AWS/SageMaker" or not servings:
            return None
        now, period, threshold = time.monotonic(), alarm["Period"], alarm["Threshold"]
        compare = _COMPARISONS.get(alarm["ComparisonOperator"])
        points: list[float] = []
        for number in range(alarm["EvaluationPeriods"]):
            until = now - number * period
            values: list[float] = []
            for serving in servings:
                found = serving.metrics.values(alarm["MetricName"], until - period, until)
                values += found or []
            point = _statistic(alarm, values)
            if point is not None and compare is not None and compare(point, threshold):
                points.append(point)
        needed = alarm.get("DatapointsToAlarm") or alarm["EvaluationPeriods"]
        if len(points) < needed:
            return None
        shown = ", ".join(f"{point:g}" for point in points)
        return (
            f"Threshold Crossed: {len(points)} of {alarm['EvaluationPeriods']} datapoints "
            f"[{shown}] of {alarm['MetricName']} crossed the threshold ({threshold:g})."
        )


def _is_of(alarm: Mapping[str, Any], serving: Serving) -> bool:
    """Whether the alarm's dimensions mean what that server was asked."""
    variant = serving.variant
    have = {
        "EndpointName": variant.endpoint_name,
        "VariantName": variant.name,
        "EndpointConfigName": variant.config_name,
    }
    wanted = {d["Name"]: d["Value"] for d in alarm.get("Dimensions", [])}
    return "EndpointName" in wanted and wanted.items() <= have.items()


def _statistic(alarm: Mapping[str, Any], values: Sequence[float]) -> float | None:
    """The period's datapoint; None without values, and for a statistic that is not known."""
    if not values:
        return None
    extended = alarm.get("ExtendedStatistic") or ""
    if extended.startswith("p"):
        rank = math.ceil(float(extended[1:]) / 100 * len(values))
        return sorted(values)[max(rank, 1) - 1]
    statistic = _STATISTICS.get(alarm.get("Statistic") or "")
    return None if statistic is None else statistic(values)
