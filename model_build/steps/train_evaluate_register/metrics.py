"""The metrics, named in one place: what they are called, which way is better, how a limit is said.

It imports nothing but Python's own: the pipeline's definition, which is compiled elsewhere, reads
it too.
"""

import math
import re
from dataclasses import dataclass, replace


@dataclass(frozen=True, kw_only=True)
class Metric:
    """`name` is the key in MLflow and in MetricLimits, `label` is for people.

    A metric of which more is better is 1 at most, one of which less is better is never below 0.
    """

    name: str
    label: str
    greater_is_better: bool


def _better_low(name: str, label: str) -> Metric:
    return Metric(name=name, label=label, greater_is_better=False)


def _better_high(name: str, label: str) -> Metric:
    return Metric(name=name, label=label, greater_is_better=True)


RMSE = _better_low("rmse", "RMSE")
R2 = _better_high("r2", "R2")
RMSE_MIDDLE = _better_low("rmse_middle", "RMSE of the middle 80 %")
BRIER_SCORE = _better_low("brier_score", "Brier score")
ACCURACY = _better_high("accuracy", "accuracy")

# The first two of each are what the gate compares, the first of all is the one that is told.
METRICS = {
    "regression": (
        RMSE,
        RMSE_MIDDLE,
        R2,
        _better_low("mean_absolute_error", "mean absolute error"),
        _better_low("median_absolute_error", "median absolute error"),
        _better_low("absolute_error_p10", "absolute error, 10th percentile"),
        _better_low("absolute_error_p50", "absolute error, 50th percentile"),
        _better_low("absolute_error_p90", "absolute error, 90th percentile"),
    ),
    "classification": (
        BRIER_SCORE,
        ACCURACY,
        _better_high("balanced_accuracy", "balanced accuracy"),
        _better_low("log_loss", "log loss"),
        _better_high("roc_auc", "ROC AUC"),
    ),
}

ALL = {metric.name: metric for metrics in METRICS.values() for metric in metrics}

# A line of the job's log for each metric, and the expression by which SageMaker finds its value.
LINE = "metric {name} = {value:.10g}"
EXPRESSION = r"metric {name} = ([0-9.eE+-]+)"

NO_LIMITS = "none"
_LIMIT = re.compile(r"(\w+)\s*(<=|>=)\s*(\S+)")


@dataclass(frozen=True, kw_only=True)
class Limit:
    """What one metric must reach; None on a side without a bound."""

    metric: str
    minimum: float | None = None
    maximum: float | None = None


def read_limits(text: str, task: str | None = None) -> list[Limit]:
    """The limits of `median_absolute_error<=60, r2>=0.4`, one for each metric, in that order.

    Raises ValueError, for people, also for a metric that `task` doesn't have.
    """
    limits: dict[str, Limit] = {}
    if text.strip() == NO_LIMITS:
        return []
    for part in text.split(","):
        found = _LIMIT.fullmatch(part.strip())
        if found is None:
            raise ValueError(
                f"{part.strip()!r} is no limit; write name<=number or name>=number, with commas "
                f"between several, or {NO_LIMITS}"
            )
        name, sign, number = found.groups()
        _check_name(name, task)
        bound = _read_bound(number, name)
        limit = limits.get(name, Limit(metric=name))
        if (limit.maximum if sign == "<=" else limit.minimum) is not None:
            raise ValueError(f"{name} has two limits with {sign}; give one")
        limit = replace(limit, maximum=bound) if sign == "<=" else replace(limit, minimum=bound)
        _check_order(limit)
        _check_reachable(limit)
        limits[name] = limit
    if not any(limits.keys() <= {metric.name for metric in known} for known in METRICS.values()):
        raise ValueError(f"no task has all of {', '.join(limits)}")
    return list(limits.values())


def _check_reachable(limit: Limit) -> None:
    metric = ALL[limit.metric]
    if metric.greater_is_better and limit.minimum is not None and limit.minimum > 1:
        raise ValueError(f"{limit.metric} is 1 at most, so {limit.minimum:g} can't be reached")
    if not metric.greater_is_better and limit.maximum is not None and limit.maximum < 0:
        raise ValueError(f"{limit.metric} is 0 at least, so {limit.maximum:g} can't be reached")


def _check_name(name: str, task: str | None) -> None:
    if name not in ALL:
        raise ValueError(f"there is no metric {name!r}; there are {', '.join(ALL)}")
    if task is not None and name not in (metric.name for metric in METRICS[task]):
        names = ", ".join(metric.name for metric in METRICS[task])
        raise ValueError(f"{name} is no metric of {task}, which has {names}")


def _read_bound(text: str, name: str) -> float:
    try:
        bound = float(text)
    except ValueError:
        bound = math.nan
    if not math.isfinite(bound):
        raise ValueError(f"the limit of {name}, {text!r}, is no finite number")
    return bound


def _check_order(limit: Limit) -> None:
    if limit.minimum is None or limit.maximum is None or limit.minimum <= limit.maximum:
        return
    raise ValueError(
        f"{limit.metric} can't be at least {limit.minimum:g} and at most {limit.maximum:g}"
    )
