"""The metrics, the baseline and the gate."""

import numpy as np
import pandas as pd
import pytest
from evaluation import choose_gate, measure, measure_baseline


def test_metrics_of_known_errors() -> None:
    actual = pd.Series(np.zeros(11))
    metrics = measure(actual + np.arange(11), np.zeros(11))
    assert metrics["absolute_error_p10"] == pytest.approx(1)
    assert metrics["absolute_error_p50"] == metrics["median_absolute_error"] == pytest.approx(5)
    assert metrics["absolute_error_p90"] == pytest.approx(9)
    assert metrics["rmse"] == pytest.approx(np.sqrt(35))
    assert metrics["r2"] == pytest.approx(1 - 385 / 110)


def test_perfect_predictions() -> None:
    actual = pd.Series([1.0, 2.0, 4.0])
    metrics = measure(actual, actual.to_numpy())
    assert metrics["rmse"] == metrics["median_absolute_error"] == 0
    assert metrics["r2"] == 1


def test_baseline_predicts_the_training_median() -> None:
    # The mean of the training rows is 25.75; their median is 2.
    assert measure_baseline(pd.Series([1.0, 2, 2, 98]), pd.Series([0.0, 5, 12])) == 3


def test_without_a_limit_the_baseline_is_the_limit() -> None:
    gate = choose_gate(0.0, baseline=3.0)
    assert gate.limit == 3.0
    assert gate.find_reason(3.0) is None
    assert gate.find_reason(3.25) == (
        "median absolute error 3.25 is above 3, the error of always predicting the training median"
    )


def test_a_limit_that_was_asked_for_holds_even_if_the_baseline_is_lower() -> None:
    gate = choose_gate(5.0, baseline=3.0)
    assert gate.find_reason(4.0) is None
    assert gate.find_reason(6.0) == (
        "median absolute error 6 is above 5, the limit MaxMedianAbsoluteError"
    )


def test_an_error_that_is_no_number_never_passes() -> None:
    assert choose_gate(5.0, baseline=3.0).find_reason(float("nan")) is not None
