"""When schedules are due, by AWS's documented examples and by the calendar."""

from __future__ import annotations

import datetime
from itertools import islice
from zoneinfo import ZoneInfo

import pytest

from local_aws.scheduler.cron import ExpressionError
from local_aws.scheduler.expressions import parse_expression

MONDAY = datetime.datetime(2026, 11, 2, 12, 0, tzinfo=datetime.UTC)


def _times(expression, count, after=MONDAY, zone="UTC"):
    """The next times, in the zone, to the minute."""
    parsed = parse_expression(expression, ZoneInfo(zone))

    def forward():
        moment = after
        while (moment := parsed.next_after(moment, first=after)) is not None:
            yield f"{moment.astimezone(ZoneInfo(zone)):%Y-%m-%d %H:%M}"

    return list(islice(forward(), count))


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("cron(0 3 ? * MON#1 *)", ["2026-12-07 03:00", "2027-01-04 03:00", "2027-02-01 03:00"]),
        ("cron(0 3 ? * 2#1 *)", ["2026-12-07 03:00", "2027-01-04 03:00", "2027-02-01 03:00"]),
        ("cron(0 18 ? * MON-FRI *)", ["2026-11-02 18:00", "2026-11-03 18:00", "2026-11-04 18:00"]),
        ("cron(0/5 8-17 L * ? *)", ["2026-11-30 08:00", "2026-11-30 08:05", "2026-11-30 08:10"]),
        ("cron(0 10 * * ? *)", ["2026-11-03 10:00", "2026-11-04 10:00", "2026-11-05 10:00"]),
        ("cron(15 12 * * ? *)", ["2026-11-02 12:15", "2026-11-03 12:15", "2026-11-04 12:15"]),
        ("cron(0 8 1 * ? *)", ["2026-12-01 08:00", "2027-01-01 08:00", "2027-02-01 08:00"]),
        ("cron(0/10 * ? * MON-FRI *)", ["2026-11-02 12:10", "2026-11-02 12:20"]),
        ("cron(15 10 ? * 6L 2026-2027)", ["2026-11-27 10:15", "2026-12-25 10:15"]),
        ("cron(0 9 ? * FRIL *)", ["2026-11-27 09:00", "2026-12-25 09:00", "2027-01-29 09:00"]),
        ("cron(0 9 ? * L *)", ["2026-11-07 09:00", "2026-11-14 09:00"]),
        ("cron(0 9 15W * ? *)", ["2026-11-16 09:00", "2026-12-15 09:00", "2027-01-15 09:00"]),
        ("cron(0 9 1W * ? *)", ["2026-12-01 09:00", "2027-01-01 09:00", "2027-02-01 09:00"]),
        ("cron(0 9 31W * ? *)", ["2026-12-31 09:00", "2027-01-29 09:00", "2027-03-31 09:00"]),
        ("cron(0 0 29 2 ? *)", ["2028-02-29 00:00", "2032-02-29 00:00", "2036-02-29 00:00"]),
        ("cron(0 0 L 2 ? *)", ["2027-02-28 00:00", "2028-02-29 00:00"]),
        ("cron(0 0 29 2 ? 2096-2104)", ["2096-02-29 00:00", "2104-02-29 00:00"]),
        ("cron(0 0 1 JAN,jul ? *)", ["2027-01-01 00:00", "2027-07-01 00:00"]),
        ("cron(0 0 ? 1-12/6 1,7 2027/2)", ["2027-01-02 00:00", "2027-01-03 00:00"]),
        ("cron(0-15/5,50 12 2 11 ? 2026)", ["2026-11-02 12:05", "2026-11-02 12:10"]),
        ("rate(1 minute)", ["2026-11-02 12:01", "2026-11-02 12:02"]),
        ("rate(90 minutes)", ["2026-11-02 13:30", "2026-11-02 15:00"]),
        ("rate(1 hour)", ["2026-11-02 13:00", "2026-11-02 14:00"]),
        ("rate(5 days)", ["2026-11-07 12:00", "2026-11-12 12:00"]),
    ],
)
def test_next_times(expression, expected):
    assert _times(expression, len(expected)) == expected


def test_a_weekly_training_keeps_its_local_hour_when_the_clocks_change():
    times = _times(
        "cron(0 6 ? * SUN *)", 3, MONDAY - datetime.timedelta(days=16), "America/New_York"
    )
    in_utc = parse_expression("cron(0 6 ? * SUN *)", ZoneInfo("America/New_York"))

    assert times == ["2026-10-18 06:00", "2026-10-25 06:00", "2026-11-01 06:00"]
    assert in_utc.next_after(MONDAY, first=MONDAY).hour == 11
    assert in_utc.next_after(MONDAY - datetime.timedelta(days=10), first=MONDAY).hour == 10


def test_a_local_time_that_spring_skips_is_not_invoked():
    before = datetime.datetime(2027, 3, 26, 12, 0, tzinfo=datetime.UTC)

    assert _times("cron(30 2 * * ? *)", 3, before, "Europe/Berlin") == [
        "2027-03-27 02:30",
        "2027-03-29 02:30",
        "2027-03-30 02:30",
    ]


def test_a_local_time_that_autumn_repeats_is_invoked_once():
    before = datetime.datetime(2026, 10, 24, 12, 0, tzinfo=datetime.UTC)

    assert _times("cron(30 2 * * ? *)", 3, before, "Europe/Berlin") == [
        "2026-10-25 02:30",
        "2026-10-26 02:30",
        "2026-10-27 02:30",
    ]


def test_in_the_repeated_hour_itself_nothing_is_due_before_it_is_over():
    second_time = datetime.datetime(2026, 10, 25, 1, 10, tzinfo=datetime.UTC)  # 02:10, again

    assert _times("cron(0/15 * * * ? *)", 2, second_time, "Europe/Berlin") == [
        "2026-10-25 03:00",
        "2026-10-25 03:15",
    ]


def test_a_rate_is_an_interval_whatever_the_clocks_do():
    before = datetime.datetime(2026, 10, 24, 12, 0, tzinfo=datetime.UTC)

    assert _times("rate(1 day)", 2, before, "Europe/Berlin") == [
        "2026-10-25 13:00",
        "2026-10-26 13:00",
    ]


def test_at_is_due_once_in_its_zone():
    after_noon_in_tokyo = parse_expression("at(2026-11-03T12:30:15)", ZoneInfo("Asia/Tokyo"))

    due = after_noon_in_tokyo.next_after(MONDAY, first=MONDAY)

    assert due == datetime.datetime(2026, 11, 3, 3, 30, 15, tzinfo=datetime.UTC)
    assert after_noon_in_tokyo.next_after(due, first=MONDAY) is None


@pytest.mark.parametrize(
    "expression", ["cron(0 0 1 1 ? 2020)", "cron(0 0 31 2 ? *)", "at(2020-01-01T00:00:00)"]
)
def test_what_never_comes_again_has_no_next_time(expression):
    assert _times(expression, 1) == []


@pytest.mark.parametrize(
    ("expression", "reason"),
    [
        ("rate(5 minute)", "the unit after 5 is minutes"),
        ("rate(1 hours)", "the unit after 1 is hour"),
        ("rate(0 minutes)", "the value of a rate is above 0"),
        ("rate(5 seconds)", "it is none of rate"),
        ("rate(5minutes)", "it is none of rate"),
        ("rate(-5 minutes)", "it is none of rate"),
        ("every 5 minutes", "it is none of rate"),
        ("0 3 * * *", "it is none of rate"),
        ("cron(0 3 * * *)", "cron needs 6 fields .* not 5"),
        ("cron(0 3 * * * *)", "one of day-of-month and day-of-week, and only one, must be"),
        ("cron(0 3 ? * ? *)", "one of day-of-month and day-of-week, and only one, must be"),
        ("cron(0 3 1 * MON *)", "one of day-of-month and day-of-week, and only one, must be"),
        ("cron(60 3 * * ? *)", "minutes 60 is none of 0-59"),
        ("cron(0 24 * * ? *)", "hours 24 is none of 0-23"),
        ("cron(0 3 32 * ? *)", "day-of-month 32 is none of 1-31"),
        ("cron(0 3 1 13 ? *)", "month 13 is none of 1-12, JAN-DEC"),
        ("cron(0 3 ? * 0 *)", "day-of-week 0 is none of 1-7, SUN-SAT"),
        ("cron(0 3 ? * 8 *)", "day-of-week 8 is none of 1-7"),
        ("cron(0 3 ? * MON#6 *)", "# needs a number from 1 to 5"),
        ("cron(0 3 ? * MON-FRI#2 *)", "day-of-week MON-FRI is none of"),
        ("cron(0 3 ? * FRI-MON *)", "day-of-week FRI-MON: the range runs backwards"),
        ("cron(0 3 LW * ? *)", "day-of-month LW is none of .* W after a day"),
        ("cron(0 3 L-3 * ? *)", "day-of-month L is none of .* alone"),
        ("cron(0 3 15W,20 * ? *)", "day-of-month 15W is none of .* alone"),
        ("cron(0 3 0W * ? *)", "W needs a day from 1 to 31"),
        ("cron(0/0 3 * * ? *)", "a step is a number above 0"),
        ("cron(0/x 3 * * ? *)", "a step is a number above 0"),
        ("cron(0, 3 * * ? *)", r"minutes \(empty\) is none of"),
        ("cron(0 3 * * ? 1969)", "year 1969 is none of 1970-2199"),
        ("cron(@daily)", "cron needs 6 fields"),
        ("at(2026-11-02)", "it is none of rate"),
        ("at(2026-02-30T00:00:00)", "day is out of range|day of month|must be in range"),
        ("at(2026-11-02T12:00:00Z)", "it is none of rate"),
    ],
)
def test_what_aws_does_not_take_is_refused_with_the_reason(expression, reason):
    with pytest.raises(ExpressionError, match=reason):
        parse_expression(expression)
