"""A schedule, checked as CreateSchedule and UpdateSchedule check it, and when it is due."""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from local_aws.errors import AwsError
from local_aws.events.cron import ExpressionError
from local_aws.events.expressions import Expression, parse_expression
from local_aws.events.schedule_groups import DEFAULT_GROUP
from local_aws.events.targets import SCHEDULER, check_target
from local_aws.events.timer import as_utc
from local_aws.own_aws import OwnAws

_DEFAULTS: Mapping[str, Any] = {
    "ScheduleExpressionTimezone": "UTC",
    "State": "ENABLED",
    "ActionAfterCompletion": "NONE",
}
_DEFAULT_RETRIES = {"MaximumEventAgeInSeconds": 86400, "MaximumRetryAttempts": 185}
_OLDEST_START = datetime.timedelta(minutes=5)


@dataclass(frozen=True, kw_only=True)
class Schedule:
    """What the caller said, with AWS's defaults."""

    name: str
    group: str
    arn: str
    given: Mapping[str, Any]
    expression: Expression
    created: datetime.datetime
    modified: datetime.datetime

    @property
    def key(self) -> tuple[str, str]:
        return self.group, self.name

    @property
    def target(self) -> Mapping[str, Any]:
        target: Mapping[str, Any] = self.given["Target"]
        return target

    @property
    def deletes_itself(self) -> bool:
        """Whether it goes away after its last invocation."""
        return bool(self.given["ActionAfterCompletion"] == "DELETE")

    def next_after(self, moment: datetime.datetime) -> datetime.datetime | None:
        """When it is due next, within StartDate and EndDate and whatever its state."""
        start, end = self.given.get("StartDate"), self.given.get("EndDate")
        if not self.expression.recurs:  # one-time schedules ignore both
            start = end = None
        if start is not None and moment < start:
            moment = start - datetime.timedelta(microseconds=1)
        due = self.expression.next_after(moment, first=start or self.modified)
        return None if due is None or (end is not None and due > end) else due

    def describe(self) -> dict[str, Any]:
        """As GetSchedule shows it."""
        return {
            **self.given,
            "Arn": self.arn,
            "Name": self.name,
            "GroupName": self.group,
            "CreationDate": self.created,
            "LastModificationDate": self.modified,
        }

    def summary(self) -> dict[str, Any]:
        """As ListSchedules shows it."""
        shown = self.describe()
        members = ("Arn", "Name", "GroupName", "State", "CreationDate", "LastModificationDate")
        return {**{name: shown[name] for name in members}, "Target": {"Arn": self.target["Arn"]}}


def read_schedule(
    own: OwnAws,
    params: Mapping[str, Any],
    now: datetime.datetime,
    created: datetime.datetime | None = None,
) -> Schedule:
    """The schedule that the call asks for. Raises ValidationException."""
    name, group = params["Name"], params.get("GroupName", DEFAULT_GROUP)
    given = {**_DEFAULTS, **params}
    for member in ("Name", "GroupName", "ClientToken"):
        given.pop(member, None)
    for member in {"StartDate", "EndDate"} & given.keys():
        given[member] = as_utc(given[member])
    expression = _expression(given)
    _check_dates(given, now)
    _check_window(given["FlexibleTimeWindow"])
    check_target(own, given["Target"], SCHEDULER)
    _require_role(own, given["Target"]["RoleArn"])
    given["Target"] = {
        **given["Target"],
        "RetryPolicy": {**_DEFAULT_RETRIES, **given["Target"].get("RetryPolicy", {})},
    }
    return Schedule(
        name=name,
        group=group,
        arn=own.arn("scheduler", f"schedule/{group}/{name}"),
        given=given,
        expression=expression,
        created=created or now,
        modified=now,
    )


def _expression(given: Mapping[str, Any]) -> Expression:
    zone_name, text = given["ScheduleExpressionTimezone"], given["ScheduleExpression"]
    try:
        zone = ZoneInfo(zone_name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as err:
        raise AwsError(
            "ValidationException",
            f"Provided ScheduleExpressionTimezone {zone_name} is invalid. Name a zone of the IANA "
            "database, such as Europe/Berlin",
        ) from err
    try:
        return parse_expression(text, zone)
    except ExpressionError as err:
        raise AwsError("ValidationException", f"Invalid Schedule Expression {text}. {err}") from err


def _check_dates(given: Mapping[str, Any], now: datetime.datetime) -> None:
    start, end = given.get("StartDate"), given.get("EndDate")
    if start is not None and start < now - _OLDEST_START:
        raise AwsError(
            "ValidationException",
            "The StartDate you specify cannot be earlier than 5 minutes ago.",
        )
    if end is not None and end < now:
        raise AwsError("ValidationException", "The EndDate you specify must be in the future.")
    if start is not None and end is not None and end <= start:
        raise AwsError(
            "ValidationException", "The EndDate you specify must come after the StartDate."
        )


def _check_window(window: Mapping[str, Any]) -> None:
    minutes = window.get("MaximumWindowInMinutes")
    if window["Mode"] == "FLEXIBLE" and minutes is None:
        raise AwsError(
            "ValidationException",
            "MaximumWindowInMinutes must be from 1 to 1440 when FlexibleTimeWindow Mode is "
            "FLEXIBLE.",
        )
    if window["Mode"] == "OFF" and minutes is not None:
        raise AwsError(
            "ValidationException",
            "MaximumWindowInMinutes must not be specified when FlexibleTimeWindow Mode is OFF.",
        )


def _require_role(own: OwnAws, role_arn: str) -> None:
    try:
        own.client("sts", role_arn, principal=SCHEDULER)
    except AwsError as err:
        raise AwsError(
            "ValidationException",
            "The execution role you provide must allow AWS EventBridge Scheduler to assume the "
            f"role. {err.message}",
        ) from err
