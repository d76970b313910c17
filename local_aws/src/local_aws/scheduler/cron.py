"""AWS's dialect of cron: minute, hour, day of month, month, day of week, year.

croniter does the arithmetic; this module translates to its dialect: days of the week from 0, the
last Friday is `L5` instead of `6L`, `?` is `*`, and each other field is written out as a list.

Source: EventBridge Scheduler user guide, "Schedule types", and EventBridge user guide, "Cron
expressions".
"""

from __future__ import annotations

import calendar
import re
from dataclasses import dataclass
from datetime import datetime, timedelta

from croniter import CroniterBadDateError, croniter

_MONTHS = {
    "JAN": 1,
    "FEB": 2,
    "MAR": 3,
    "APR": 4,
    "MAY": 5,
    "JUN": 6,
    "JUL": 7,
    "AUG": 8,
    "SEP": 9,
    "OCT": 10,
    "NOV": 11,
    "DEC": 12,
}
_DAYS = {"SUN": 1, "MON": 2, "TUE": 3, "WED": 4, "THU": 5, "FRI": 6, "SAT": 7}


class ExpressionError(ValueError):
    """The expression is not one that AWS takes; the message is the reason."""


@dataclass(frozen=True)
class _Field:
    name: str
    least: int
    most: int
    names: dict[str, int]
    choices: str


_MINUTE = _Field("minutes", 0, 59, {}, "0-59")
_HOUR = _Field("hours", 0, 23, {}, "0-23")
_DAY_OF_MONTH = _Field("day-of-month", 1, 31, {}, "1-31, L and W after a day, alone")
_MONTH = _Field("month", 1, 12, _MONTHS, "1-12, JAN-DEC")
_DAY_OF_WEEK = _Field("day-of-week", 1, 7, _DAYS, "1-7, SUN-SAT, L and # after a day, alone")
_YEAR = _Field("year", 1970, 2199, {}, "1970-2199")


@dataclass(frozen=True)
class Cron:
    """A cron expression; times are local and without a zone."""

    fields: str  # minute, hour, day, month, day of week, as croniter reads them
    years: tuple[int, ...]
    day_of_nearest_weekday: int | None

    def next_after(self, moment: datetime) -> datetime | None:
        """The first time after `moment`; None if there is none."""
        while True:
            try:
                found: datetime = croniter(self.fields, moment).get_next(datetime)
            except CroniterBadDateError:
                return None
            later = [year for year in self.years if year >= found.year]
            if not later:
                return None
            if later[0] != found.year:
                moment = datetime(later[0], 1, 1) - timedelta(seconds=1)
            elif self._has_its_day(found):
                return found
            else:
                moment = found

    def _has_its_day(self, found: datetime) -> bool:
        """Whether the month has the day of `31W`: croniter takes the last one where it has not."""
        day = self.day_of_nearest_weekday
        return day is None or day <= calendar.monthrange(found.year, found.month)[1]


def parse_cron(text: str) -> Cron:
    """The six fields between the brackets of `cron(...)`. Raises ExpressionError."""
    fields = text.upper().split()
    if len(fields) != 6:
        raise ExpressionError(
            f"cron needs 6 fields (minutes hours day-of-month month day-of-week year), "
            f"not {len(fields)}"
        )
    minute, hour, day, month, weekday, year = fields
    if (day == "?") == (weekday == "?"):
        raise ExpressionError("one of day-of-month and day-of-week, and only one, must be ?")
    nearest = re.fullmatch(r"(\d+)W", day)
    if nearest and not 1 <= int(nearest[1]) <= 31:
        raise ExpressionError(f"day-of-month {day}: W needs a day from 1 to 31")
    translated = (
        _listed(minute, _MINUTE),
        _listed(hour, _HOUR),
        day if day == "L" or nearest else _listed(day.replace("?", "*"), _DAY_OF_MONTH),
        _listed(month, _MONTH),
        _day_of_week(weekday),
    )
    return Cron(
        fields=" ".join(translated),
        years=tuple(_values(year, _YEAR)),
        day_of_nearest_weekday=int(nearest[1]) if nearest else None,
    )


def _day_of_week(text: str) -> str:
    if text in ("?", "*"):
        return "*"
    if text == "L":  # the last day of the week is Saturday
        return "6"
    if text.endswith("L"):
        return f"L{_number(text[:-1], _DAY_OF_WEEK) - 1}"
    if "#" in text:
        day, _, which = text.partition("#")
        if which not in ("1", "2", "3", "4", "5"):
            raise ExpressionError(f"day-of-week {text}: # needs a number from 1 to 5 after it")
        return f"{_number(day, _DAY_OF_WEEK) - 1}#{which}"
    return ",".join(str(day - 1) for day in _values(text, _DAY_OF_WEEK))


def _listed(text: str, field: _Field) -> str:
    return "*" if text == "*" else ",".join(map(str, _values(text, field)))


def _values(text: str, field: _Field) -> list[int]:
    """All values that `*`, `5`, `1-5`, `0/15`, `10-20/2` or a list of them stand for."""
    values: set[int] = set()
    for part in text.split(","):
        span, slash, step_text = part.partition("/")
        step = 1
        if slash:
            if not re.fullmatch(r"[0-9]+", step_text) or int(step_text) == 0:
                raise ExpressionError(f"{field.name} {part}: a step is a number above 0")
            step = int(step_text)
        if span == "*":
            first, last = field.least, field.most
        elif "-" in span:
            low, _, high = span.partition("-")
            first, last = _number(low, field), _number(high, field)
            if first > last:
                raise ExpressionError(f"{field.name} {part}: the range runs backwards")
        else:
            first = _number(span, field)
            last = field.most if slash else first
        values.update(range(first, last + 1, step))
    return sorted(values)


def _number(text: str, field: _Field) -> int:
    if text in field.names:
        return field.names[text]
    if re.fullmatch(r"[0-9]+", text) and field.least <= int(text) <= field.most:
        return int(text)
    raise ExpressionError(f"{field.name} {text or '(empty)'} is none of {field.choices}")
