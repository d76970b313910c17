"""The pictures are drawn without a display, and whatever columns and classes are called."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import pytest
from evaluation import Predictions
from matplotlib.figure import Figure
from plots import (
    plot_calibration,
    plot_confusion,
    plot_gate,
    plot_importances,
    plot_residuals,
    plot_roc,
)

LONG = "a name so long that neither the side of a picture nor its legend has room for it, number"
CLASSES: dict[str, Sequence[Any]] = {
    "two": ["no", "yes"],
    "boolean": [False, True],
    "numbers": [-1, 3, 70],
    "three": ["$cheap$", "$$mid_range^2$", "two\nlines"],
    "thirty": [f"class {at:02d}" for at in range(30)],
    "long": [f"{LONG} {at}" for at in range(4)],
}


def draw(
    classes: Sequence[Any], rows: int = 300, of: Sequence[Any] | None = None
) -> tuple[pd.Series[Any], Predictions]:
    """Test rows `of` some of the classes in turn, and predictions that are often right."""
    rng = np.random.default_rng(4)
    place = np.array([list(classes).index(value) for value in of or classes])
    place = place[np.arange(rows) % len(place)]
    scores = rng.random((rows, len(classes)))
    scores[np.arange(rows), place] += 0.5
    probabilities = scores / scores.sum(axis=1, keepdims=True)
    actual = pd.Series(
        [classes[at] for at in place], dtype="object" if isinstance(classes[0], str) else None
    )
    values = np.asarray(classes)[probabilities.argmax(axis=1)]
    return actual, Predictions(values=values, probabilities=probabilities)


def render(figure: Figure) -> None:
    image = io.BytesIO()
    figure.savefig(image, format="png")
    assert image.getvalue().startswith(b"\x89PNG")


def list_legend(figure: Figure) -> list[str]:
    legend = figure.axes[0].get_legend()
    return [] if legend is None else [text.get_text() for text in legend.get_texts()]


def read_counts(figure: Figure, classes: int) -> np.ndarray[Any, Any]:
    counts = [int(text.get_text()) for text in figure.axes[0].texts]
    return np.array(counts).reshape(classes, classes)


def test_residuals_of_many_rows_stay_readable() -> None:
    actual = pd.Series(np.arange(20_000.0))
    figure = plot_residuals(actual, actual.to_numpy() + 1)
    points = figure.axes[0].collections[0].get_offsets()
    assert len(points) == 5000
    assert (np.asarray(points)[:, 1] == -1).all()
    assert list(np.asarray(points)[:3, 0]) == [1, 5, 9]
    assert figure.axes[0].get_title() == "Residuals of 5000 test rows"
    assert list(figure.axes[0].lines[0].get_ydata()) == [0, 0]
    few = plot_residuals(actual[:7], actual.to_numpy()[:7])
    assert len(few.axes[0].collections[0].get_offsets()) == 7
    render(few)


def test_importances_show_the_largest_under_their_own_names() -> None:
    shares = pd.Series(np.arange(30.0, 0, -1), index=[f"price_$_{n}_$" for n in range(30)])
    figure = plot_importances(shares)
    labels = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    assert labels[-1] == "price_$_0_$"
    assert len(labels) == 20
    bars = figure.axes[0].patches
    assert [bar.get_width() for bar in bars] == list(range(11, 31))
    assert [round(bar.get_y() + bar.get_height() / 2) for bar in bars] == list(range(20))
    assert figure.axes[0].get_title() == "Importance of 20 of 30 columns"
    render(figure)


def test_each_axis_says_what_it_shows() -> None:
    actual, predicted = draw(["no", "yes"])
    numbers = np.arange(9.0)
    labels = {
        (axes.get_xlabel(), axes.get_ylabel(), axes.get_title())
        for figure in (
            plot_residuals(pd.Series(numbers), numbers),
            plot_importances(pd.Series([1.0], index=["size"])),
            plot_confusion(actual, predicted, ["no", "yes"]),
            plot_roc(actual, predicted, ["no", "yes"]),
            plot_calibration(actual, predicted, ["no", "yes"]),
        )
        for axes in figure.axes
    }
    assert labels == {
        ("predicted", "actual - predicted", "Residuals of 9 test rows"),
        ("share in what was learned", "", "Importance of 1 of 1 columns"),
        ("predicted", "actual", "300 test rows by class"),
        ("false positive rate", "true positive rate", "ROC of 300 test rows"),
        ("predicted probability", "share that came true", "Calibration on 300 test rows"),
    }


def test_curves_are_those_of_the_predictions_beside_those_of_chance() -> None:
    actual = pd.Series(["no", "yes"] * 20)
    probabilities = np.tile([[0.8, 0.2], [0.4, 0.6]], (20, 1))
    predicted = Predictions(values=actual.to_numpy(), probabilities=probabilities)
    chance, roc = plot_roc(actual, predicted, ["no", "yes"]).axes[0].lines
    assert [list(chance.get_xdata()), list(chance.get_ydata())] == [[0, 1], [0, 1]]
    assert [list(roc.get_xdata()), list(roc.get_ydata())] == [[0, 0, 1], [0, 1, 1]]
    chance, calibration = plot_calibration(actual, predicted, ["no", "yes"]).axes[0].lines
    assert [list(chance.get_xdata()), list(chance.get_ydata())] == [[0, 1], [0, 1]]
    assert list(calibration.get_xdata()) == pytest.approx([0.2, 0.6])
    assert list(calibration.get_ydata()) == [0, 1]


def test_names_up_to_the_longest_that_has_room_are_whole() -> None:
    classes = ["x" * 20, "y" * 21, "z" * 5]
    actual, predicted = draw(classes)
    figure = plot_confusion(actual, predicted, classes)
    labels = figure.axes[0].get_xticklabels()
    assert [label.get_text() for label in labels] == [
        "x" * 20,
        f"{'y' * 9}\N{HORIZONTAL ELLIPSIS}{'y' * 9}",
        "z" * 5,
    ]
    assert {(label.get_rotation(), label.get_ha()) for label in labels} == {(45, "right")}
    across, up = figure.get_size_inches()
    assert (across, up) == (5.5, 4.5)
    figure = plot_confusion(*draw(["zzzzz", "no"]), ["zzzzz", "no"])
    labels = figure.axes[0].get_xticklabels()
    assert {(label.get_rotation(), label.get_ha()) for label in labels} == {(0, "center")}


def make_gate_report(**facts: Any) -> dict[str, Any]:
    """What the gate hands over of one metric."""
    measure = {
        "metric": {"label": "RMSE", "greater_is_better": False},
        "baseline": {"low": 8.0, "value": 9.0, "high": 10.0},
        "champion": None,
        "new": {"low": 4.0, "value": 5.25, "high": 6.0},
    }
    return {
        "verdict": "passed",
        "summary": "better than 'the mean' and the champion",
        "reason": "worse",
        "measures": [measure],
        "baseline": "constant 'mean' of all",
        "champion": {"version": None},
        "rows": 77,
        **facts,
    }


def test_the_gates_picture_shows_what_was_compared() -> None:
    figure = plot_gate(make_gate_report())
    (axes,) = figure.axes
    assert figure.get_suptitle() == "Registered: better than 'the mean' and the champion"
    assert axes.get_xlabel() == "RMSE: less is better\n77 test rows, 95 % intervals"
    names = [label.get_text() for label in axes.get_yticklabels()]
    assert names == ["constant 'mean'\nof all", "new"]
    assert [text.get_text() for text in axes.texts] == ["9", "5.25"]
    assert [list(line.get_xdata()) for line in axes.lines] == [[8, 10], [9], [4, 6], [5.25]]
    assert [list(line.get_ydata()) for line in axes.lines] == [[0, 0], [0], [1, 1], [1]]
    colors = [line.get_color() for line in axes.lines]
    assert colors == ["tab:gray", "tab:gray", "tab:green", "tab:green"]
    render(figure)


def test_the_gates_picture_says_why_a_model_is_not_registered() -> None:
    measure = {
        **make_gate_report()["measures"][0],
        "metric": {"label": "accuracy", "greater_is_better": True},
        "champion": {"low": 1.0, "value": 2.0, "high": 3.0},
    }
    figure = plot_gate(
        make_gate_report(verdict="failed", measures=[measure] * 2, champion={"version": "12"})
    )
    assert figure.get_suptitle() == "Not registered: worse"
    for axes in figure.axes:
        assert axes.lines[-1].get_color() == "tab:red"
        assert axes.get_xlabel().startswith("accuracy: more is better\n")
    names = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    assert names == ["constant 'mean'\nof all", "champion, version 12", "new"]
    assert len(figure.axes) == 2
    (nothing,) = plot_gate(make_gate_report(measures=[])).axes
    assert not nothing.axison


@pytest.mark.parametrize("kind", CLASSES)
def test_each_class_is_drawn_whatever_it_is_called(kind: str) -> None:
    classes = CLASSES[kind]
    actual, predicted = draw(classes)
    confusion = plot_confusion(actual, predicted, classes)
    counts = read_counts(confusion, min(len(classes), 20))
    if len(classes) <= 20:
        for row, value in enumerate(classes):
            for column, other in enumerate(classes):
                both = (actual == value).to_numpy() & (predicted.values == other)
                assert counts[row, column] == both.sum()
    roc = plot_roc(actual, predicted, classes)
    calibration = plot_calibration(actual, predicted, classes)
    curves = 1 if len(classes) == 2 else min(len(classes), 8)
    assert len(list_legend(roc)) == len(list_legend(calibration)) == curves
    for figure in (confusion, roc, calibration):
        render(figure)


def test_names_are_shown_as_they_are_but_in_one_line() -> None:
    classes = CLASSES["three"]
    actual, predicted = draw(classes)
    figure = plot_confusion(actual, predicted, classes)
    names = ["$cheap$", "$$mid_range^2$", "two lines"]
    assert [label.get_text() for label in figure.axes[0].get_xticklabels()] == names
    assert [label.get_text() for label in figure.axes[0].get_yticklabels()] == names
    assert list_legend(plot_calibration(actual, predicted, classes)) == names
    texts = plot_roc(actual, predicted, classes).axes[0].get_legend().get_texts()
    assert [text.get_text().partition(" (AUC")[0] for text in texts] == names
    assert not any(text.get_parse_math() for text in texts)


def test_long_names_that_differ_at_their_ends_stay_apart() -> None:
    classes = CLASSES["long"]
    actual, predicted = draw(classes)
    figure = plot_confusion(actual, predicted, classes)
    names = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    assert names == [f"a name so\N{HORIZONTAL ELLIPSIS} number {at}" for at in range(4)]
    assert len(set(list_legend(plot_roc(actual, predicted, classes)))) == 4


def test_of_many_classes_the_most_frequent_are_drawn_and_the_rest_is_told() -> None:
    classes = CLASSES["thirty"]
    of = [*classes, *classes[10:], *classes[22:]]
    actual, predicted = draw(classes, rows=580, of=of)
    figure = plot_confusion(actual, predicted, classes)
    names = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    assert names == classes[10:]
    shown = read_counts(figure, 20).sum()
    assert figure.axes[0].get_title() == (
        f"{shown} of 580 test rows by class\nthe 20 most frequent of 30"
    )
    assert list_legend(plot_calibration(actual, predicted, classes)) == classes[22:]


def test_curves_of_two_classes_are_those_of_the_second() -> None:
    actual, predicted = draw(["no", "yes"])
    assert predicted.probabilities is not None
    (legend,) = list_legend(plot_roc(actual, predicted, ["no", "yes"]))
    perfect = np.column_stack([actual == "no", actual == "yes"]).astype(float)
    assert legend.startswith("yes (AUC 0.")
    right = Predictions(values=actual.to_numpy(), probabilities=perfect)
    assert list_legend(plot_roc(actual, right, ["no", "yes"])) == ["yes (AUC 1.000)"]


@pytest.mark.parametrize("kind", ["numbers", "three", "thirty"])
def test_a_class_without_a_test_row_has_a_row_of_zeros_and_no_curve(kind: str) -> None:
    classes = CLASSES[kind]
    actual, predicted = draw(classes, of=classes[:2])
    figure = plot_confusion(actual, predicted, classes)
    assert (read_counts(figure, min(len(classes), 20))[2:] == 0).all()
    assert len(list_legend(plot_roc(actual, predicted, classes))) == 2
    assert len(list_legend(plot_calibration(actual, predicted, classes))) == 2
    render(figure)


@pytest.mark.parametrize("kind", ["two", "boolean", "three"])
def test_test_rows_of_one_class_leave_a_sentence_instead_of_curves(kind: str) -> None:
    classes = CLASSES[kind]
    actual, predicted = draw(classes, of=classes[:1])
    for figure in (
        plot_roc(actual, predicted, classes),
        plot_calibration(actual, predicted, classes),
    ):
        assert [text.get_text() for text in figure.axes[0].texts] == [
            "all test rows are of one class"
        ]
        render(figure)
    render(plot_confusion(actual, predicted, classes))


def test_a_class_that_training_never_saw_is_counted_as_not_shown() -> None:
    actual, predicted = draw(["a", "b"], rows=50)
    actual.iloc[:4] = "never"
    figure = plot_confusion(actual, predicted, ["a", "b"])
    assert figure.axes[0].get_title() == "46 of 50 test rows by class"
    render(plot_roc(actual, predicted, ["a", "b"]))
    render(plot_calibration(actual, predicted, ["a", "b"]))


@pytest.mark.parametrize(("rows", "groups"), [(7, 2), (60, 3), (300, 10), (5000, 10)])
def test_calibration_has_groups_of_some_rows(rows: int, groups: int) -> None:
    actual, predicted = draw(["no", "yes"], rows=rows)
    axes = plot_calibration(actual, predicted, ["no", "yes"]).axes[0]
    assert len(axes.lines[1].get_xdata()) == groups


def test_small_probabilities_of_many_classes_fill_the_calibrations_picture() -> None:
    classes = CLASSES["thirty"]
    actual, predicted = draw(classes, rows=3000)
    axes = plot_calibration(actual, predicted, classes).axes[0]
    assert axes.get_xlim() == axes.get_ylim()
    assert axes.get_ylim()[1] < 0.3
    actual, predicted = draw(["no", "yes"], rows=3000)
    assert plot_calibration(actual, predicted, ["no", "yes"]).axes[0].get_ylim()[1] > 1
