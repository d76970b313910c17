"""How good the predictions are: the metrics, and what each row adds to those that count."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import metrics
import numpy as np
import numpy.typing as npt
import pandas as pd
from metrics import Metric
from sklearn.metrics import (
    log_loss,
    mean_absolute_error,
    r2_score,
    roc_auc_score,
)

PERCENTILES = (10, 50, 90)
MIDDLE = (0.1, 0.9)
# Of probabilities in float32; no more than scikit-learn's ROC AUC allows.
_ROUNDING = 1e-5

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

    Raises EvaluationError if a value is not finite, probabilities do not add up to 1, or the class
    is not the most probable one: an endpoint names the class by its probability.
    """
    if not classes:
        values = np.asarray(model.predict(features), dtype=np.float64)
        if values.shape != (len(features),) or not np.isfinite(values).all():
            raise EvaluationError("the model does not predict one finite number for each row")
        return Predictions(values=values)
    if not hasattr(model, "predict_proba"):
        raise EvaluationError(
            "the model has no predict_proba, so it gives classes no probability; take an estimator "
            "or a setting that has it, or CalibratedClassifierCV around it"
        )
    probabilities = np.asarray(model.predict_proba(features), dtype=np.float64)
    known = np.asarray(model.classes_).tolist()
    if known != list(classes):
        raise EvaluationError(
            f"the model knows the classes {known}, the training rows have {list(classes)}"
        )
    if not np.isfinite(probabilities).all():
        raise EvaluationError("the model gives probabilities that are no finite numbers")
    if probabilities.shape != (len(features), len(classes)):
        raise EvaluationError("the model does not give each row a probability for each class")
    if (probabilities < 0).any() or (abs(probabilities.sum(axis=1) - 1) > _ROUNDING).any():
        raise EvaluationError("the model gives probabilities that do not add up to 1 in each row")
    most_probable = model.classes_[probabilities.argmax(axis=1)]
    if not np.array_equal(most_probable, model.predict(features)):
        raise EvaluationError("the model predicts another class than the most probable one")
    return Predictions(values=most_probable, probabilities=probabilities)


@dataclass(frozen=True, kw_only=True)
class Measure:
    """A metric that the gate compares: what each row adds to it, and how the mean becomes it.

    `losses` takes actual targets and predictions, and is smaller where the row is better predicted.
    `constant` is what one would predict of any row knowing nothing but the training targets: the
    best of all constants by this metric, as one row.
    """

    metric: Metric
    losses: Callable[["pd.Series[Any]", Predictions], Floats]
    summarise: Callable[[Floats], Floats]
    constant: Predictions

    def value(self, actual: "pd.Series[Any]", predicted: Predictions) -> float:
        """The metric of these rows."""
        return float(self.summarise(self.losses(actual, predicted).mean(keepdims=True))[0])


def choose_measures(train: "pd.Series[Any]", classes: Sequence[Any]) -> list[Measure]:
    """What the gate compares: RMSE twice, or Brier score and accuracy.

    Of numbers the second counts actual and predicted values beyond the training targets' 10 % and
    90 % quantiles as these: where few rows are far larger than all others, they alone make RMSE.
    """
    return _measures_of_classes(train, classes) if classes else _measures_of_numbers(train)


def describe_constant(classes: Sequence[Any]) -> str:
    """What is known by the best constant."""
    return "the training rows' class shares" if classes else "the training rows' mean"


def _measures_of_numbers(train: "pd.Series[Any]") -> list[Measure]:
    low, high = (float(bound) for bound in np.quantile(train, MIDDLE))
    found = [
        Measure(
            metric=metrics.RMSE,
            losses=_squared_errors,
            summarise=np.sqrt,
            constant=Predictions(values=np.array([train.mean()])),
        )
    ]
    if low < high:

        def within(actual: "pd.Series[Any]", predicted: Predictions) -> Floats:
            drawn_in = Predictions(values=np.clip(predicted.values, low, high))
            return _squared_errors(actual.clip(low, high), drawn_in)

        middle = Predictions(values=np.array([train.clip(low, high).mean()]))
        found.append(
            Measure(metric=metrics.RMSE_MIDDLE, losses=within, summarise=np.sqrt, constant=middle)
        )
    return found


def _measures_of_classes(train: "pd.Series[Any]", classes: Sequence[Any]) -> list[Measure]:
    counts = train.value_counts().reindex(list(classes), fill_value=0).to_numpy()
    shares: Floats = counts / counts.sum(dtype=np.float64)
    most_frequent = np.asarray(classes)[[int(shares.argmax())]]
    constant = Predictions(values=most_frequent, probabilities=shares[np.newaxis, :])
    return [
        Measure(
            metric=metrics.BRIER_SCORE,
            losses=lambda actual, predicted: _squared_surprises(actual, predicted, classes),
            summarise=lambda mean: mean,
            constant=constant,
        ),
        Measure(
            metric=metrics.ACCURACY,
            losses=_count_wrong,
            summarise=lambda mean: 1 - mean,
            constant=constant,
        ),
    ]


def _count_wrong(actual: "pd.Series[Any]", predicted: Predictions) -> Floats:
    wrong: Floats = (np.asarray(actual) != predicted.values).astype(np.float64)
    return wrong


def _squared_errors(actual: "pd.Series[Any]", predicted: Predictions) -> Floats:
    errors: Floats = (np.asarray(actual, dtype=np.float64) - predicted.values) ** 2
    return errors


def _squared_surprises(
    actual: "pd.Series[Any]", predicted: Predictions, classes: Sequence[Any]
) -> Floats:
    """Squared differences between probabilities and what came true, summed over the classes.

    Of two classes half of it, as the Brier score is usually given.
    """
    assert predicted.probabilities is not None, "classes have them"
    came_true = np.asarray(actual)[:, np.newaxis] == np.asarray(classes)
    squares = (predicted.probabilities - came_true) ** 2
    # A class that training never saw has no column: its probability was 0.
    never_seen = ~came_true.any(axis=1)
    losses: Floats = squares.sum(axis=1) + never_seen
    return losses / 2 if len(classes) == 2 else losses


def measure(
    actual: "pd.Series[Any]",
    predicted: Predictions,
    classes: Sequence[Any],
    measures: Sequence[Measure],
) -> dict[str, float]:
    """All metrics by name, the gate's first; one that is not defined on these rows is left out."""
    measured = {each.metric.name: each.value(actual, predicted) for each in measures}
    if classes:
        measured |= _measure_classes(actual, predicted, classes)
    else:
        measured |= _measure_numbers(actual, predicted.values)
    return {name: value for name, value in measured.items() if np.isfinite(value)}


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
    measured = {"balanced_accuracy": _balanced_accuracy(actual, predicted.values)}
    # Neither is defined for a class that is in one part only: log loss not for one that training
    # never saw, ROC AUC not for one that no test row has either.
    tested, known = set(actual), set(classes)
    if tested <= known and len(classes) > 1:
        measured["log_loss"] = float(log_loss(actual, probabilities, labels=list(classes)))
    if tested == known and len(classes) > 1:
        scores = probabilities[:, 1] if len(classes) == 2 else probabilities
        measured["roc_auc"] = float(
            roc_auc_score(actual, scores, multi_class="ovr", labels=list(classes))
        )
    return measured


def _balanced_accuracy(actual: "pd.Series[Any]", predicted: npt.NDArray[Any]) -> float:
    """The mean share of each class's own rows that were found.

    As scikit-learn's, which warns of classes that are in one of both only.
    """
    right = pd.Series(np.asarray(actual) == predicted)
    return float(right.groupby(np.asarray(actual)).mean().mean())
