"""How good the predictions are: the metrics, and what each row adds to the one that counts."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import metrics
import numpy as np
import numpy.typing as npt
import pandas as pd
from estimators.contract import CLASSIFICATION, Task
from sklearn.metrics import (
    accuracy_score,
    balanced_accuracy_score,
    log_loss,
    mean_absolute_error,
    r2_score,
    roc_auc_score,
    root_mean_squared_error,
)

PERCENTILES = (10, 50, 90)

Floats = npt.NDArray[np.float64]


class EvaluationError(Exception):
    """The model's answers can't be measured."""


@dataclass(frozen=True, kw_only=True)
class Predictions:
    """A value for each row; for classes also the probability of each, shape (rows, classes)."""

    values: npt.NDArray[Any]
    probabilities: Floats | None = None


def predict(model: Any, features: pd.DataFrame, classes: Sequence[Any]) -> Predictions:
    """What a scikit-learn model says of the rows; `classes` is empty for a regression.

    Raises EvaluationError if a value is not finite, or the class is not the most probable one: an
    endpoint names the class by its probability.
    """
    if not classes:
        values = np.asarray(model.predict(features), dtype=np.float64)
        if values.shape != (len(features),) or not np.isfinite(values).all():
            raise EvaluationError("the model does not predict one finite number for each row")
        return Predictions(values=values)
    probabilities = np.asarray(model.predict_proba(features), dtype=np.float64)
    if list(model.classes_) != list(classes):
        raise EvaluationError(
            f"the model knows the classes {list(model.classes_)}, the training rows have {classes}"
        )
    if not np.isfinite(probabilities).all():
        raise EvaluationError("the model gives probabilities that are no finite numbers")
    most_probable = model.classes_[probabilities.argmax(axis=1)]
    if not np.array_equal(most_probable, model.predict(features)):
        raise EvaluationError("the model predicts another class than the most probable one")
    return Predictions(values=most_probable, probabilities=probabilities)


def predict_constant(
    train: "pd.Series[Any]", rows: int, classes: Sequence[Any]
) -> tuple[Predictions, str]:
    """What one would say knowing nothing of a row: the constant best in the gate's metric.

    That is the training rows' mean for RMSE, and the shares of their classes for the Brier score.
    Also what it is called.
    """
    if not classes:
        values = np.full(rows, float(train.mean()))
        return Predictions(values=values), "the training rows' mean"
    shares = train.value_counts(normalize=True).reindex(list(classes), fill_value=0).to_numpy()
    values = np.full(rows, classes[int(shares.argmax())], dtype=np.asarray(classes).dtype)
    return (
        Predictions(values=values, probabilities=np.tile(shares, (rows, 1))),
        "the training rows' class shares",
    )


def measure(
    task: Task, actual: "pd.Series[Any]", predicted: Predictions, classes: Sequence[Any]
) -> dict[str, float]:
    """The metrics of the task by name; one that is not defined on these rows is left out."""
    if task == CLASSIFICATION:
        measured = _measure_classes(actual, predicted, classes)
    else:
        measured = _measure_numbers(actual, predicted.values)
    return {name: value for name, value in measured.items() if np.isfinite(value)}


def measure_rows(
    actual: "pd.Series[Any]", predicted: Predictions, classes: Sequence[Any]
) -> Floats:
    """What each row adds to the gate's metric, the first of its task: smaller is better.

    A regression's squared errors; for classes the squared differences between probabilities and
    what came true, summed (of two classes half of it, as the Brier score is usually given).
    """
    if predicted.probabilities is None:
        errors: Floats = (np.asarray(actual, dtype=np.float64) - predicted.values) ** 2
        return errors
    came_true = np.asarray(actual)[:, np.newaxis] == np.asarray(classes)
    squares = (predicted.probabilities - came_true) ** 2
    # A class that training never saw has no column: its probability was 0.
    never_seen = ~came_true.any(axis=1)
    losses: Floats = squares.sum(axis=1) + never_seen
    return losses / 2 if len(classes) == 2 else losses


def summarise_rows(task: Task) -> Callable[[Floats], Floats]:
    """How the mean of measure_rows becomes the gate's metric."""
    if task == CLASSIFICATION:
        return lambda mean: mean
    return np.sqrt


def format_metric_lines(measured: Mapping[str, float]) -> str:
    """A line for each metric, as SageMaker looks for them in the job's log."""
    return "\n".join(
        metrics.LINE.format(name=name, value=value) for name, value in measured.items()
    )


def to_json(value: Any) -> Any:
    """A predicted value as JSON has it: a number, a truth value or a text."""
    return value.item() if isinstance(value, np.generic) else value


def _measure_numbers(actual: "pd.Series[Any]", predicted: Floats) -> dict[str, float]:
    errors = np.abs(np.asarray(actual) - predicted)
    percentiles = {
        f"absolute_error_p{percent}": float(np.percentile(errors, percent))
        for percent in PERCENTILES
    }
    return {
        "rmse": float(root_mean_squared_error(actual, predicted)),
        "r2": float(r2_score(actual, predicted)),
        "mean_absolute_error": float(mean_absolute_error(actual, predicted)),
        "median_absolute_error": percentiles["absolute_error_p50"],
        **percentiles,
    }


def _measure_classes(
    actual: "pd.Series[Any]", predicted: Predictions, classes: Sequence[Any]
) -> dict[str, float]:
    probabilities = predicted.probabilities
    assert probabilities is not None, "classes have them"
    measured = {
        "brier_score": float(measure_rows(actual, predicted, classes).mean()),
        "accuracy": float(accuracy_score(actual, predicted.values)),
        "balanced_accuracy": _balanced_accuracy(actual, predicted.values),
    }
    # Neither is defined where a class is in one part only.
    with suppress(ValueError):
        measured["log_loss"] = float(log_loss(actual, probabilities, labels=list(classes)))
    with suppress(ValueError):
        scores = probabilities[:, 1] if len(classes) == 2 else probabilities
        measured["roc_auc"] = float(
            roc_auc_score(actual, scores, multi_class="ovr", labels=list(classes))
        )
    return measured


def _balanced_accuracy(actual: "pd.Series[Any]", predicted: npt.NDArray[Any]) -> float:
    """The mean share of each class's own rows that were found."""
    import warnings

    with warnings.catch_warnings():
        # That a predicted class has no row in the test part changes nothing of the mean.
        warnings.filterwarnings("ignore", message="y_pred contains classes not in y_true")
        return float(balanced_accuracy_score(actual, predicted))
