"""A schedule, checked as CreateSchedule and UpdateSchedule check it, and when it is due."""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from local_aws.errors import AwsError
from local_aws.events.targets import SCHEDULER, check_target
from local_aws.own_aws import OwnAws
from local_aws.scheduler.cron import ExpressionError
from local_aws.scheduler.expressions import Expression, parse_expression

_DEFAULTS: Mapping[str, Any] = {
    "ScheduleExpressionTimezone": "UTC",
    "State": "ENABLED",
    "ActionAfterCompletion": "NONE",
}
_DEFAULT_RETRIES = {"MaximumEventAgeInSeconds": 86400, "MaximumRetryAttempts": 185}
DEFAULT_GROUP = "default"


@dataclass(frozen=True, kw_only=True)
class Schedule:
    """What the caller said, with AWS's defaults."""

    name: str
    arn: str
    given: Mapping[str, Any]
    expression: Expression
    created: datetime.datetime
    modified: datetime.datetime

    @property
    def target(self) -> Mapping[str, Any]:
        target: Mapping[str, Any] = self.given["Target"]
        return target

    def next_after(self, moment: datetime.datetime) -> datetime.datetime | None:
        """When it is due next, whatever its state."""
        return self.expression.next_after(moment, first=self.modified)

    def describe(self) -> dict[str, Any]:
        """As GetSchedule shows it."""
        return {
            **self.given,
            "Arn": self.arn,
            "Name": self.name,
            "GroupName": DEFAULT_GROUP,
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
    name = params["Name"]
    given = {**_DEFAULTS, **params}
    for member in ("StartDate", "EndDate"):
        if member in given:
            raise _not_here(member)
    if given["ActionAfterCompletion"] != "NONE":
        raise _not_here(f"ActionAfterCompletion {given['ActionAfterCompletion']}")
    for member in ("Name", "GroupName", "ClientToken"):
        given.pop(member, None)
    expression = _expression(given)
    if given["FlexibleTimeWindow"]["Mode"] != "OFF":
        raise _not_here(f"FlexibleTimeWindow {given['FlexibleTimeWindow']['Mode']}")
    check_target(own, given["Target"])
    _require_role(own, given["Target"]["RoleArn"])
    given["Target"] = {
        **given["Target"],
        "RetryPolicy": {**_DEFAULT_RETRIES, **given["Target"].get("RetryPolicy", {})},
    }
    return Schedule(
        name=name,
        arn=own.arn("scheduler", f"schedule/{DEFAULT_GROUP}/{name}"),
        given=given,
        expression=expression,
        created=created or now,
        modified=now,
    )


def require_default_group(name: str | None) -> None:
    """Raise ResourceNotFoundException for any other group than the one that each account has."""
    if name not in (None, DEFAULT_GROUP):
        raise AwsError(
            "ResourceNotFoundException",
            f"Schedule group {name} does not exist; local_aws has the group {DEFAULT_GROUP} only.",
            404,
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


def _not_here(what: str) -> AwsError:
    return AwsError("ValidationException", f"local_aws does not support {what} of a schedule")


def _require_role(own: OwnAws, role_arn: str) -> None:
    try:
        own.client("sts", role_arn, principal=SCHEDULER)
    except AwsError as err:
        raise AwsError(
            "ValidationException",
            "The execution role you provide must allow AWS EventBridge Scheduler to assume the "
            f"role. {err.message}",
        ) from err
