"""How good the predictions are, and whether that is good enough."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from sklearn.dummy import DummyRegressor
from sklearn.metrics import r2_score, root_mean_squared_error

PERCENTILES = (10, 50, 90)

# SageMaker finds the metric in the job's log by this line: model_build.pipeline has the expression.
METRIC_LINE = "median_absolute_error: {value:.10g}"


@dataclass(frozen=True, kw_only=True)
class Gate:
    """The limit on the median absolute error, and where it came from."""

    limit: float
    origin: str

    def find_reason(self, error: float) -> str | None:
        """Why a model with this error may not be registered; None if it may."""
        if error <= self.limit:
            return None
        return f"median absolute error {error:.6g} is above {self.limit:.6g}, {self.origin}"


def measure(actual: "pd.Series[Any]", predicted: npt.NDArray[np.float64]) -> dict[str, float]:
    """The metrics of the test rows, in the target's unit but for `r2`."""
    errors = np.abs(np.asarray(actual) - predicted)
    percentiles = {
        f"absolute_error_p{percent}": float(np.percentile(errors, percent))
        for percent in PERCENTILES
    }
    return {
        **percentiles,
        "median_absolute_error": percentiles["absolute_error_p50"],
        "rmse": float(root_mean_squared_error(actual, predicted)),
        "r2": float(r2_score(actual, predicted)),
    }


def measure_baseline(train: "pd.Series[Any]", test: "pd.Series[Any]") -> float:
    """The median absolute error of always predicting the training rows' median."""
    nothing = np.zeros((len(train), 1))
    baseline = DummyRegressor(strategy="median").fit(nothing, train)
    predicted = baseline.predict(np.zeros((len(test), 1)))
    return float(np.median(np.abs(np.asarray(test) - predicted)))


def choose_gate(max_median_absolute_error: float, baseline: float) -> Gate:
    """The limit that was asked for; with 0, the baseline's own error.

    A fixed default would mean nothing for another table, whose target has another unit.
    See docs/decisions/0010-limit-without-a-number.md.
    """
    if max_median_absolute_error > 0 and math.isfinite(max_median_absolute_error):
        return Gate(limit=max_median_absolute_error, origin="the limit MaxMedianAbsoluteError")
    return Gate(limit=baseline, origin="the error of always predicting the training median")


def format_metric_line(metrics: Mapping[str, float]) -> str:
    return METRIC_LINE.format(value=metrics["median_absolute_error"])
