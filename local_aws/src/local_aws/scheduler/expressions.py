"""Schedule expressions: `rate(5 minutes)`, `cron(0 3 ? * MON *)`, `at(2027-01-31T08:00:00)`.

Source: EventBridge Scheduler user guide, "Schedule types", with its rules for daylight saving: a
local time that the change skips is not invoked, one that comes twice is invoked once.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Protocol
from zoneinfo import ZoneInfo

from local_aws.scheduler.cron import Cron, ExpressionError, parse_cron

_RATE = re.compile(r"rate\(([0-9]+) (minute|hour|day)(s?)\)")
_CRON = re.compile(r"cron\((.+)\)")
_AT = re.compile(r"at\((\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2})\)")


class Expression(Protocol):
    """When something is due."""

    def next_after(self, moment: datetime, *, first: datetime) -> datetime | None:
        """The first time after `moment`, in UTC; None if there is none.

        A rate counts from `first`, which is its first time.
        """


def parse_expression(text: str, zone: ZoneInfo | None = None) -> Expression:
    """The expression, its times in `zone` (None: UTC). Raises ExpressionError with the reason."""
    zone = zone or ZoneInfo("UTC")
    if rate := _RATE.fullmatch(text):
        value, unit, plural = int(rate[1]), rate[2], bool(rate[3])
        if value == 0:
            raise ExpressionError("the value of a rate is above 0")
        if plural != (value != 1):
            right = unit if value == 1 else f"{unit}s"
            raise ExpressionError(f"the unit after {value} is {right}")
        return _Rate(timedelta(**{f"{unit}s": value}))
    if cron := _CRON.fullmatch(text):
        return _ZonedCron(parse_cron(cron[1]), zone)
    if at := _AT.fullmatch(text):
        try:
            local = datetime.fromisoformat(at[1])
        except ValueError as err:
            raise ExpressionError(str(err)) from err
        return _At(local.replace(tzinfo=zone).astimezone(UTC))
    raise ExpressionError(
        "it is none of rate(value unit), cron(minutes hours day-of-month month day-of-week year) "
        "and at(yyyy-mm-ddThh:mm:ss)"
    )


@dataclass(frozen=True)
class _Rate:
    interval: timedelta

    def next_after(self, moment: datetime, *, first: datetime) -> datetime | None:
        if moment < first:
            return first
        return first + ((moment - first) // self.interval + 1) * self.interval


@dataclass(frozen=True)
class _ZonedCron:
    cron: Cron
    zone: ZoneInfo

    def next_after(self, moment: datetime, *, first: datetime) -> datetime | None:  # noqa: ARG002
        local = moment.astimezone(self.zone).replace(tzinfo=None)
        while (candidate := self.cron.next_after(local)) is not None:
            due = candidate.replace(tzinfo=self.zone).astimezone(UTC)
            exists = due.astimezone(self.zone).replace(tzinfo=None) == candidate
            if exists and due > moment:
                return due
            local = candidate
        return None


@dataclass(frozen=True)
class _At:
    due: datetime

    def next_after(self, moment: datetime, *, first: datetime) -> datetime | None:  # noqa: ARG002
        return self.due if self.due > moment else None
