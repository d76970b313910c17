"""The limits that a person may set for a metric."""

from __future__ import annotations

import re

import pytest
from metrics import ALL, METRICS, Limit, read_limits


def test_limits_are_read_in_their_order_and_spaces_are_allowed() -> None:
    assert read_limits(" median_absolute_error<=60 ,r2  >=  -0.4") == [
        Limit(metric="median_absolute_error", maximum=60.0),
        Limit(metric="r2", minimum=-0.4),
    ]


def test_a_metric_may_have_one_limit_on_each_side() -> None:
    assert read_limits("r2>=0.4,r2<=0.99") == [Limit(metric="r2", minimum=0.4, maximum=0.99)]


def test_none_is_no_limit() -> None:
    assert read_limits("none") == read_limits(" none ") == []


def test_the_best_value_that_a_metric_can_have_is_a_limit() -> None:
    assert read_limits("accuracy>=1") == [Limit(metric="accuracy", minimum=1.0)]
    assert read_limits("rmse<=0,r2>=1,r2<=1") == [
        Limit(metric="rmse", maximum=0.0),
        Limit(metric="r2", minimum=1.0, maximum=1.0),
    ]
    # Of what is never reached, only the way that nothing can meet is refused.
    assert read_limits("r2<=2,rmse>=-1,r2>=-3") == [
        Limit(metric="r2", minimum=-3.0, maximum=2.0),
        Limit(metric="rmse", minimum=-1.0),
    ]


def test_each_metric_can_have_a_limit() -> None:
    for task, metrics in METRICS.items():
        for metric in metrics:
            assert read_limits(f"{metric.name}<=1e3", task) == [
                Limit(metric=metric.name, maximum=1000.0)
            ]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("rmse<5", "'rmse<5' is no limit; write name<=number or name>=number, "),
        ("rmse=<5", "'rmse=<5' is no limit; "),
        ("rmse<=5,", "'' is no limit; "),
        ("", "'' is no limit; "),
        ("none,rmse<=5", "'none' is no limit; "),
        ("mae<=5", f"there is no metric 'mae'; there are {', '.join(ALL)}"),
        ("rmse<=five", "the limit of rmse, 'five', is no finite number"),
        ("rmse<=inf", "the limit of rmse, 'inf', is no finite number"),
        ("rmse<=nan", "the limit of rmse, 'nan', is no finite number"),
        ("rmse<=5,rmse<=6", "rmse has two limits with <=; give one"),
        ("r2>=0.9,r2<=0.4", "r2 can't be at least 0.9 and at most 0.4"),
        ("accuracy>=95", "accuracy is 1 at most, so 95 can't be reached"),
        ("rmse<=-1", "rmse is 0 at least, so -1 can't be reached"),
        ("r2>=0.4,accuracy>=0.5", "no task has all of r2, accuracy"),
    ],
)
def test_what_is_no_limit_is_refused_in_words(text: str, problem: str) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(problem)}"):
        read_limits(text)


def test_a_metric_of_the_other_task_is_refused_where_the_task_is_known() -> None:
    with pytest.raises(ValueError, match=r"^r2 is no metric of classification, which has brier_s"):
        read_limits("r2>=0.4", "classification")
    with pytest.raises(ValueError, match=r"^accuracy is no metric of regression, which has rmse, "):
        read_limits("accuracy>=0.4", "regression")
