"""The metrics, named in one place: what they are called, and which way is better.

It imports nothing: the pipeline's definition, which is compiled elsewhere, reads it too.
"""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Metric:
    """`name` is the key in MLflow and in MetricLimits, `label` is for people."""

    name: str
    label: str
    greater_is_better: bool


def _better_low(name: str, label: str) -> Metric:
    return Metric(name=name, label=label, greater_is_better=False)


def _better_high(name: str, label: str) -> Metric:
    return Metric(name=name, label=label, greater_is_better=True)


RMSE = _better_low("rmse", "RMSE")
BRIER_SCORE = _better_low("brier_score", "Brier score")

# The first of each is what the gate compares; the second is told beside it.
METRICS = {
    "regression": (
        RMSE,
        _better_high("r2", "R2"),
        _better_low("mean_absolute_error", "mean absolute error"),
        _better_low("median_absolute_error", "median absolute error"),
        _better_low("absolute_error_p10", "absolute error, 10th percentile"),
        _better_low("absolute_error_p50", "absolute error, 50th percentile"),
        _better_low("absolute_error_p90", "absolute error, 90th percentile"),
    ),
    "classification": (
        BRIER_SCORE,
        _better_high("accuracy", "accuracy"),
        _better_high("balanced_accuracy", "balanced accuracy"),
        _better_low("log_loss", "log loss"),
        _better_high("roc_auc", "ROC AUC"),
    ),
}

ALL = {metric.name: metric for metrics in METRICS.values() for metric in metrics}

# A line of the job's log for each metric, and the expression by which SageMaker finds its value.
LINE = "metric {name} = {value:.10g}"
EXPRESSION = r"metric {name} = ([0-9.eE+-]+)"


@dataclass(frozen=True, kw_only=True)
class Limit:
    """What a metric must be at least, at most, or both."""

    metric: str
    minimum: float | None = None
    maximum: float | None = None


def read_limits(text: str) -> list[Limit]:
    """Replaced by the other branch."""
    limits = []
    for part in text.split(",") if text != "none" else []:
        name, sign, value = part.partition("<=" if "<=" in part else ">=")
        kind = "maximum" if sign == "<=" else "minimum"
        limits.append(Limit(**{"metric": name.strip(), kind: float(value)}))  # type: ignore[arg-type]
    return limits
