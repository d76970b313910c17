"""Metrics are scikit-learn's own; what a model may not answer; what each row adds to the gate's."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any

import evaluation
import numpy as np
import pandas as pd
import pytest
from evaluation import EvaluationError, Predictions, choose_measures, measure, predict, to_json
from metrics import METRICS
from sklearn.metrics import (
    accuracy_score,
    balanced_accuracy_score,
    brier_score_loss,
    log_loss,
    roc_auc_score,
    root_mean_squared_error,
)

CLASSES: dict[str, Sequence[Any]] = {
    "boolean": [False, True],
    "two texts": ["no", "yes"],
    "two numbers": [-1, 4],
    "three texts": ["high", "low", "middle"],
    "three numbers": [0, 1, 2],
    "twelve texts": [f"class {at:02d}" for at in range(12)],
}


def measure_numbers(actual: pd.Series[Any], predicted: Any) -> dict[str, float]:
    measures = choose_measures(pd.Series(np.arange(100.0)), [])
    return measure(actual, Predictions(values=np.asarray(predicted)), [], measures)


def measure_classes(
    actual: pd.Series[Any], predicted: Predictions, classes: Sequence[Any]
) -> dict[str, float]:
    return measure(actual, predicted, classes, choose_measures(make_series(classes), classes))


def make_series(values: Sequence[Any]) -> pd.Series[Any]:
    """As read_training_data gives a target."""
    kind = "object" if isinstance(values[0], str) else None
    return pd.Series(list(values), dtype=kind)


def draw(classes: Sequence[Any], rows: int = 120) -> tuple[pd.Series[Any], Predictions]:
    """Each class in turn, and predictions that are often right."""
    rng = np.random.default_rng(4)
    place = np.arange(rows) % len(classes)
    scores = rng.random((rows, len(classes)))
    scores[np.arange(rows), place] += 0.5
    probabilities = scores / scores.sum(axis=1, keepdims=True)
    values = np.asarray(classes)[probabilities.argmax(axis=1)]
    actual = make_series([classes[at] for at in place])
    return actual, Predictions(values=values, probabilities=probabilities)


def test_metrics_of_known_errors() -> None:
    actual = pd.Series(np.zeros(11))
    metrics = measure_numbers(actual + np.arange(11), np.zeros(11))
    assert metrics["absolute_error_p10"] == pytest.approx(1)
    assert metrics["absolute_error_p50"] == metrics["median_absolute_error"] == pytest.approx(5)
    assert metrics["mean_absolute_error"] == pytest.approx(5)
    assert metrics["absolute_error_p90"] == pytest.approx(9)
    assert metrics["rmse"] == pytest.approx(np.sqrt(35))
    assert metrics["r2"] == pytest.approx(1 - 385 / 110)


def test_perfect_predictions() -> None:
    actual = pd.Series([1.0, 2.0, 4.0])
    metrics = measure_numbers(actual, actual)
    assert metrics["rmse"] == metrics["rmse_middle"] == metrics["median_absolute_error"] == 0
    assert metrics["r2"] == 1


def test_all_metrics_have_their_names_the_gates_first() -> None:
    measured = measure_numbers(pd.Series([1.0, 2.0, 4.0]), np.zeros(3))
    assert set(measured) == {metric.name for metric in METRICS["regression"]}
    assert next(iter(measured)) == "rmse"
    measured = measure_classes(*draw(["a", "b"]), ["a", "b"])
    assert set(measured) == {metric.name for metric in METRICS["classification"]}
    assert next(iter(measured)) == "brier_score"


def test_far_values_count_as_the_bounds_of_the_middle() -> None:
    """Of 0 to 99 these are 9.9 and 89.1."""
    metrics = measure_numbers(pd.Series([1e6, 50.0, -1e6]), np.array([100.0, 40.0, 9.9]))
    assert metrics["rmse_middle"] == pytest.approx(np.sqrt(100 / 3))


def test_a_target_with_one_value_in_its_middle_has_no_second_measure() -> None:
    train = pd.Series([0.0] * 95 + [1e6] * 5)
    assert [each.metric.name for each in choose_measures(train, [])] == ["rmse"]


def test_one_test_row_has_no_r2() -> None:
    with pytest.warns(UserWarning, match="R\\^2 score is not well-defined"):
        assert "r2" not in measure_numbers(pd.Series([3.0]), np.array([2.0]))


@pytest.mark.parametrize("kind", CLASSES)
def test_metrics_of_classes_are_scikit_learns(kind: str) -> None:
    classes = CLASSES[kind]
    actual, predicted = draw(classes)
    scores = predicted.probabilities
    assert scores is not None
    one = scores[:, 1] if len(classes) == 2 else scores
    brier = {"pos_label": classes[1]} if len(classes) == 2 else {"labels": classes}
    assert measure_classes(actual, predicted, classes) == {
        "brier_score": pytest.approx(brier_score_loss(actual, one, **brier)),
        "accuracy": pytest.approx(accuracy_score(actual, predicted.values)),
        "balanced_accuracy": pytest.approx(balanced_accuracy_score(actual, predicted.values)),
        "log_loss": pytest.approx(log_loss(actual, scores, labels=classes)),
        "roc_auc": pytest.approx(roc_auc_score(actual, one, multi_class="ovr", labels=classes)),
    }


@pytest.mark.parametrize("kind", CLASSES)
def test_a_class_that_training_never_saw_is_a_whole_error(kind: str) -> None:
    """As if it had a column of its own, with probabilities of 0."""
    classes = CLASSES[kind]
    actual, predicted = draw(classes)
    unseen = {"boolean": True, "two numbers": 9, "three numbers": 9}.get(kind, "never")
    if kind == "boolean":
        classes = [False]
        predicted = Predictions(values=np.zeros(120, bool), probabilities=np.ones((120, 1)))
    actual = actual.copy()
    actual.iloc[:6] = unseen
    measured = measure_classes(actual, predicted, classes)
    assert measured["accuracy"] == pytest.approx(accuracy_score(actual, predicted.values))
    assert predicted.probabilities is not None
    wider = np.column_stack([predicted.probabilities, np.zeros(120)])
    came_true = np.asarray(actual)[:, None] == np.asarray([*classes, unseen], dtype=object)
    half = 2 if len(classes) == 2 else 1
    assert measured["brier_score"] == pytest.approx(
        ((wider - came_true) ** 2).sum(axis=1).mean() / half
    )
    assert "log_loss" not in measured
    assert "roc_auc" not in measured


@pytest.mark.parametrize("kind", CLASSES)
def test_a_test_part_of_one_class_has_no_roc_auc(kind: str) -> None:
    classes = CLASSES[kind]
    actual, predicted = draw(classes)
    actual = make_series([classes[0]] * len(actual))
    measured = measure_classes(actual, predicted, classes)
    assert "roc_auc" not in measured
    assert measured["balanced_accuracy"] == pytest.approx(measured["accuracy"])
    assert measured["log_loss"] == pytest.approx(
        log_loss(actual, predicted.probabilities, labels=classes)
    )


@pytest.mark.parametrize("kind", CLASSES)
def test_one_class_that_is_always_predicted_is_no_warning(kind: str) -> None:
    classes = CLASSES[kind]
    actual = make_series([classes[1]] * 9)
    probabilities = np.tile(np.eye(len(classes))[1], (9, 1))
    predicted = Predictions(values=np.asarray(classes)[[1] * 9], probabilities=probabilities)
    measured = measure_classes(actual, predicted, classes)
    assert measured["accuracy"] == measured["balanced_accuracy"] == 1
    assert measured["brier_score"] == 0


@pytest.mark.parametrize("kind", ["three texts", "three numbers", "twelve texts"])
def test_a_class_without_a_test_row_leaves_out_what_it_makes_undefined(kind: str) -> None:
    classes = CLASSES[kind]
    actual, predicted = draw(classes)
    actual = make_series([classes[at % (len(classes) - 1)] for at in range(len(actual))])
    measured = measure_classes(actual, predicted, classes)
    assert "roc_auc" not in measured
    assert set(measured) == {"brier_score", "accuracy", "balanced_accuracy", "log_loss"}


@pytest.mark.parametrize("kind", CLASSES)
def test_the_mean_of_the_rows_is_the_metric(kind: str) -> None:
    classes = CLASSES[kind]
    actual, predicted = draw(classes)
    measured = measure_classes(actual, predicted, classes)
    for each in choose_measures(actual, classes):
        losses = each.losses(actual, predicted)
        assert losses.shape == (len(actual),)
        assert (losses >= 0).all()
        assert each.summarise(losses.mean(keepdims=True))[0] == pytest.approx(
            measured[each.metric.name]
        )
        assert each.value(actual, predicted) == pytest.approx(measured[each.metric.name])


def test_the_mean_of_the_rows_of_numbers_is_the_metric() -> None:
    rng = np.random.default_rng(1)
    actual = pd.Series(rng.normal(50, 40, 80))
    predicted = Predictions(values=rng.normal(50, 40, 80))
    whole, middle = choose_measures(pd.Series(np.arange(100.0)), [])
    assert whole.value(actual, predicted) == pytest.approx(
        root_mean_squared_error(actual, predicted.values)
    )
    clipped = actual.clip(9.9, 89.1), np.clip(predicted.values, 9.9, 89.1)
    assert middle.value(actual, predicted) == pytest.approx(root_mean_squared_error(*clipped))


def test_the_constant_of_numbers_is_the_best_one() -> None:
    """The training rows' mean; of those drawn into the middle, theirs."""
    train = pd.Series(np.arange(100.0) ** 2)
    for each in choose_measures(train, []):
        best = each.value(train, each.constant)
        for other in (0.99, 1.01):
            shifted = Predictions(values=each.constant.values * other)
            assert each.value(train, shifted) > best
    whole, _ = choose_measures(train, [])
    assert whole.constant.values.tolist() == [train.mean()]


@pytest.mark.parametrize("kind", CLASSES)
def test_the_constant_of_classes_is_their_shares_in_training(kind: str) -> None:
    classes = CLASSES[kind]
    # Also of a class that no training row has.
    train = make_series([classes[0]] * 10 + [classes[1]] * 30)
    brier, accuracy = choose_measures(train, classes)
    for each in (brier, accuracy):
        assert each.constant.probabilities is not None
        shares = [0.25, 0.75] + [0.0] * (len(classes) - 2)
        assert each.constant.probabilities.tolist() == [shares]
        assert each.constant.values.tolist() == [classes[1]]
    assert accuracy.value(train, accuracy.constant) == 0.75
    squares = 0.25 * 0.75**2 + 0.75 * 0.25**2
    assert brier.value(train, brier.constant) == pytest.approx(
        squares if len(classes) == 2 else 2 * squares
    )


class Answers:
    """A model that says what it is told to."""

    def __init__(self, classes: Sequence[Any], probabilities: Any, values: Any = None) -> None:
        self.classes_ = np.asarray(classes)
        self._probabilities = np.asarray(probabilities)
        self._values = values

    def predict_proba(self, features: pd.DataFrame) -> Any:
        return self._probabilities

    def predict(self, features: pd.DataFrame) -> Any:
        if self._values is not None:
            return self._values
        return self.classes_[self._probabilities.argmax(axis=1)]


TWO_ROWS = pd.DataFrame({"size": [1.0, 2.0]})


def test_the_class_is_the_most_probable_one_and_the_first_of_equals() -> None:
    predicted = predict(Answers(["a", "b"], [[0.5, 0.5], [0.2, 0.8]]), TWO_ROWS, ["a", "b"])
    assert predicted.values.tolist() == ["a", "b"]


def test_probabilities_of_float32_add_up_nearly() -> None:
    thirds = np.full((2, 3), 1 / 3, dtype=np.float32) + np.float32(1e-6)
    assert predict(Answers([1, 2, 3], thirds), TWO_ROWS, [1, 2, 3]).values.tolist() == [1, 1]


@pytest.mark.parametrize(
    ("model", "told"),
    [
        (
            Answers(["a", "c"], [[0.5, 0.5], [0.2, 0.8]]),
            "the model knows the classes ['a', 'c'], the training rows have ['a', 'b']",
        ),
        (
            Answers(["a", "b"], [[0.5, np.nan], [0.2, 0.8]]),
            "the model gives probabilities that are no finite numbers",
        ),
        (
            Answers(["a", "b"], [[0.5, 0.5]]),
            "the model does not give each row a probability for each class",
        ),
        (
            Answers(["a", "b"], [0.5, 0.8]),
            "the model does not give each row a probability for each class",
        ),
        (
            Answers(["a", "b"], [[0.5, 0.4], [0.2, 0.8]]),
            "the model gives probabilities that do not add up to 1 in each row",
        ),
        (
            Answers(["a", "b"], [[1.5, -0.5], [0.2, 0.8]]),
            "the model gives probabilities that do not add up to 1 in each row",
        ),
        (
            Answers(["a", "b"], [[0.5, 0.5], [0.2, 0.8]], np.array(["a", "a"])),
            "the model predicts another class than the most probable one",
        ),
    ],
)
def test_answers_that_are_no_classes_are_refused(model: Answers, told: str) -> None:
    with pytest.raises(EvaluationError, match=f"^{re.escape(told)}$"):
        predict(model, TWO_ROWS, ["a", "b"])


@pytest.mark.parametrize(
    "values", [[1.0], [1.0, np.nan], [1.0, np.inf], [[1.0], [2.0]], [[1.0, 2.0]]]
)
def test_answers_that_are_not_a_number_for_each_row_are_refused(values: Any) -> None:
    with pytest.raises(EvaluationError, match=r"^the model does not predict one finite number"):
        predict(Answers([], [], np.array(values)), TWO_ROWS, [])


@pytest.mark.parametrize(
    ("values", "told"),
    [
        (np.array([1.5]), 1.5),
        (np.array([3], dtype="int64"), 3),
        (np.array([2.5], dtype="float32"), 2.5),
        (np.array([True]), True),
        (np.array(["Zürich"]), "Zürich"),
        (np.array(["yes"], dtype=object), "yes"),
    ],
)
def test_a_predicted_value_is_jsons(values: Any, told: Any) -> None:
    value = to_json(values[0])
    assert value == told
    assert type(value) is type(told)
    assert json.loads(json.dumps(value)) == told


def test_lines_of_the_log_are_one_for_each_metric() -> None:
    assert evaluation.format_metric_lines({"rmse": 12345678.9012, "r2": -0.5}) == (
        "metric rmse = 12345678.9\nmetric r2 = -0.5"
    )
