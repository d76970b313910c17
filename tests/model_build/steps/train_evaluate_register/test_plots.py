"""The pictures show what they say, without a display, whatever columns and classes are called."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any

import metrics
import numpy as np
import pandas as pd
import pytest
from evaluation import Predictions
from explanations import OTHERS, Explanation
from importances import Importances
from matplotlib.figure import Figure
from plot_style import GRAY, GREEN, RED
from plots import (
    list_figures,
    plot_calibration,
    plot_confusion,
    plot_explanation,
    plot_gate,
    plot_importances,
    plot_predicted,
    plot_residuals,
    plot_roc,
    plot_sizes,
)
from size_curve import SizeCurve

from tests.model_build.steps.train_evaluate_register.recipes import make_data

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


def read_title(figure: Figure) -> list[str]:
    return figure.axes[0].get_title(loc="left").splitlines()


def read_points(figure: Figure) -> np.ndarray[Any, Any]:
    (points,) = figure.axes[0].collections
    return np.asarray(points.get_offsets())


def make_importances(count: int = 3, of: int | None = None, rows: int = 90) -> Importances:
    """Of columns that matter less and less."""
    increases = np.arange(count, 0.0, -1)[:, np.newaxis] + [[-0.5, 0, 0.5]]
    return Importances(
        names=[f"price_$_{at}_$" for at in range(count)],
        increases=increases,
        metric="RMSE",
        rows=rows,
        of_columns=of or count,
    )


CURVE = SizeCurve(
    scores=[(30, [9.0, 7.0]), (75, [6.0, 5.0]), (300, [4.0])],
    constant=11.0,
    metric=metrics.RMSE,
    test_rows=90,
)


def make_explanation(names: Sequence[str], rows: int = 50, of: int | None = None) -> Explanation:
    values = np.random.default_rng(2).normal(0, 1, (rows, len(names)))
    places = (values - values.min(axis=0)) / np.maximum(np.ptp(values, axis=0), 1e-9)
    places[:, -1] = np.nan
    return Explanation(
        names=names,
        values=values,
        places=places,
        what="the prediction",
        of_columns=of or len(names),
    )


def test_predictions_stand_over_what_came_true() -> None:
    actual = pd.Series([1.0, 2.0, 4.0])
    figure = plot_predicted(actual, np.array([1.5, 2.0, 3.0]), "price $a$", {"r2": 0.371})
    (axes,) = figure.axes
    assert read_points(figure).tolist() == [[1, 1.5], [2, 2], [4, 3]]
    (line,) = axes.lines
    assert list(line.get_xdata()) == list(line.get_ydata()) == list(axes.get_xlim())
    assert axes.get_xlim() == axes.get_ylim()
    assert read_title(figure) == ["Predicted against actual price $a$", "3 test rows, R2 0.37"]
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("actual price $a$", "predicted price $a$")
    render(figure)
    assert read_title(plot_predicted(actual, actual.to_numpy(), "price", {})) == [
        "Predicted against actual price",
        "3 test rows",
    ]


def test_residuals_are_actual_less_predicted_and_counted_beside() -> None:
    actual = pd.Series([1.0, 2.0, 4.0, 9.0])
    figure = plot_residuals(actual, np.array([1.5, 2.0, 3.0, 8.0]), "price")
    axes, aside = figure.axes
    assert read_points(figure).tolist() == [[1.5, -0.5], [2, 0], [3, 1], [8, 1]]
    assert list(axes.lines[0].get_ydata()) == [0, 0]
    assert sum(bar.get_width() for bar in aside.patches) == 4
    assert read_title(figure) == [
        "Errors by predicted price",
        "4 test rows, 50% of them predicted too low",
    ]
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("predicted price", "actual less predicted")
    assert aside.get_xlabel() == "test rows"
    render(figure)


@pytest.mark.parametrize("skewed", [False, True])
def test_of_many_rows_all_are_counted_in_cells(skewed: bool) -> None:
    rng = np.random.default_rng(3)
    actual = rng.normal(0, 1, 20_000)
    predicted = actual + rng.normal(0, 0.5, 20_000)
    if skewed:
        actual, predicted = np.exp(12 + actual), np.exp(12 + predicted)
    for figure in (
        plot_predicted(pd.Series(actual), predicted, "price", {}),
        plot_residuals(pd.Series(actual), predicted, "price"),
    ):
        cells = figure.axes[0].collections[0]
        outside = 0
        (told,) = [line for line in read_title(figure) if line.startswith("20,000 test rows")]
        if "lie outside" in told:
            outside = int(told.partition("; ")[2].split()[0].replace(",", ""))
        assert cells.get_array().sum() == 20_000 - outside
        assert outside < 400
        assert figure.axes[-1].get_ylabel() == "test rows in a cell"
        render(figure)


@pytest.mark.parametrize("rows", [89, 5000])
def test_amounts_that_few_large_ones_would_hide_are_logarithmic(rows: int) -> None:
    amounts = np.exp(np.random.default_rng(4).normal(12, 1.5, rows))
    (axes, *_) = plot_predicted(pd.Series(amounts), amounts, "price", {}).axes
    assert axes.get_xscale() == axes.get_yscale() == "log"
    assert axes.get_xlabel() == "actual price (logarithmic)"
    figure = plot_residuals(pd.Series(amounts), amounts / 2, "price")
    assert figure.axes[0].get_xscale() == "log"
    assert figure.axes[0].get_yscale() == "linear"
    render(figure)
    labels = [label.get_text() for label in figure.axes[0].get_xticklabels()]
    assert "100,000" in labels
    (axes,) = plot_predicted(pd.Series(amounts[:50] - 1e3), amounts[:50], "price", {}).axes
    assert axes.get_xscale() == ("linear" if amounts[:50].min() < 1e3 else "log")


def test_few_values_far_out_do_not_hide_the_others_and_are_counted() -> None:
    actual = pd.Series(np.linspace(100, 200, 300))
    actual[7], actual[9] = 1e6, -2e6
    predicted = np.linspace(110, 190, 300)
    figure = plot_predicted(actual, predicted, "price", {})
    low, high = figure.axes[0].get_xlim()
    assert 0 < low < 100
    assert 200 < high < 400
    assert read_title(figure)[1] == "300 test rows; 2 lie outside of the picture"
    assert len(read_points(figure)) == 298
    figure = plot_residuals(actual, predicted, "price")
    assert read_title(figure)[1].endswith("; 2 lie outside of the picture")
    # Of so few all are shown.
    figure = plot_predicted(actual[:12], predicted[:12], "price", {})
    assert len(read_points(figure)) == 12


@pytest.mark.parametrize("rows", [1, 12, 5000])
@pytest.mark.parametrize("value", [0.0, 3.0, -3e9])
def test_predictions_of_one_value_are_drawn(rows: int, value: float) -> None:
    constant = np.full(rows, value)
    for actual in (pd.Series(constant), pd.Series(np.arange(rows, dtype=float))):
        render(plot_predicted(actual, constant, "price", {"r2": 0.0}))
        render(plot_residuals(actual, constant, "price"))


def test_importances_are_means_with_their_spread_under_their_own_names() -> None:
    importances = make_importances(20, of=30)
    figure = plot_importances(importances)
    (axes,) = figure.axes
    labels = [label.get_text() for label in axes.get_yticklabels()]
    assert labels == importances.names[::-1]
    bars, (_, _, (spread,)) = axes.containers[1].patches, axes.containers[0].lines
    assert [bar.get_width() for bar in bars] == list(range(1, 21))
    assert [round(bar.get_y() + bar.get_height() / 2) for bar in bars] == list(range(20))
    deviation = np.std([-0.5, 0, 0.5])
    for at, segment in enumerate(spread.get_segments()):
        assert segment[:, 0].tolist() == pytest.approx([at + 1 - deviation, at + 1 + deviation])
    assert read_title(figure) == [
        "What the model relies on: 20 of 30 columns",
        "each shuffled in 90 test rows",
    ]
    assert axes.get_xlabel() == (
        "RMSE gets worse by\nmean of 3 shuffles, lines: standard deviation"
    )
    render(figure)
    one = plot_importances(make_importances(1, rows=1))
    assert read_title(one) == [
        "What the model relies on: 1 column",
        "each shuffled in 1 test row",
    ]
    render(one)


def test_the_size_curve_goes_through_the_means_of_its_draws() -> None:
    figure = plot_sizes(CURVE)
    points, line, constant = figure.axes[0].lines
    assert list(points.get_xdata()) == [30, 30, 75, 75, 300]
    assert list(points.get_ydata()) == [9, 7, 6, 5, 4]
    assert [list(line.get_xdata()), list(line.get_ydata())] == [[30, 75, 300], [8, 5.5, 4]]
    assert set(constant.get_ydata()) == {11}
    assert list_legend(figure) == ["best constant"]
    assert read_title(figure) == [
        "Would more rows help? RMSE by training rows",
        "on the same 90 test rows",
    ]
    assert figure.axes[0].get_ylabel() == "RMSE: less is better"
    render(figure)


def test_each_row_is_a_point_where_its_value_moved_the_prediction() -> None:
    names = ["size", LONG, OTHERS]
    explanation = make_explanation(names, of=500)
    figure = plot_explanation(explanation)
    axes = figure.axes[0]
    assert [label.get_text() for label in axes.get_yticklabels()][::2] == [OTHERS, "size"]
    shown = [np.asarray(points.get_offsets()) for points in axes.collections]
    # Gray ones and coloured ones of each column, from the last to the first.
    counts = [len(points) for points in shown]
    assert counts == [50, 0, 0, 50, 0, 50]
    assert sorted(shown[5][:, 0]) == pytest.approx(sorted(explanation.values[:, 0]))
    assert (abs(shown[5][:, 1] - 2) < 0.4).all()
    assert read_title(figure) == ["What moved the predictions: 2 of 500 columns", "50 test rows"]
    assert axes.get_xlabel().startswith("SHAP value: moves the prediction by")
    render(figure)
    render(plot_explanation(make_explanation(["size"], rows=1)))


def test_each_axis_of_classes_says_what_it_shows() -> None:
    actual, predicted = draw(["no", "yes"])
    labels = {
        (axes.get_xlabel(), axes.get_ylabel(), axes.get_title(loc="left"))
        for figure in (
            plot_confusion(actual, predicted, ["no", "yes"], {"accuracy": 0.814}),
            plot_roc(actual, predicted, ["no", "yes"]),
            plot_calibration(actual, predicted, ["no", "yes"]),
        )
        for axes in figure.axes
    }
    assert labels == {
        (
            "predicted class",
            "actual class (shade: share of the row)",
            "Actual against predicted class\n300 test rows, accuracy 0.81",
        ),
        (
            "false positive rate",
            "true positive rate",
            "Hits against false alarms (ROC)\n300 test rows",
        ),
        (
            "predicted probability",
            "share that came true",
            "Are the probabilities true? (calibration)\n"
            "300 test rows, at most 10 groups of equal size",
        ),
    }


def test_the_task_decides_which_pictures_there_are_and_what_was_not_measured_has_none() -> None:
    numbers, classes = make_data(), make_data(classes=2)
    extra = {
        "importances": make_importances(),
        "curve": CURVE,
        "explanation": make_explanation(["size"]),
    }
    predicted = Predictions(values=numbers.test.target.to_numpy())
    names = [name for name, _ in list_figures(numbers, predicted, {})]
    assert names == ["predicted_actual.png", "residuals.png"]
    names = [name for name, _ in list_figures(numbers, predicted, {}, **extra)]  # type: ignore[arg-type]
    assert names[2:] == ["feature_importances.png", "size_curve.png", "shap.png"]
    shares = np.full((len(classes.test.target), 2), 0.5)
    predicted = Predictions(values=classes.test.target.to_numpy(), probabilities=shares)
    names = [name for name, _ in list_figures(classes, predicted, {})]
    assert names == ["confusion_matrix.png", "roc_curve.png", "calibration.png"]


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
    figure = plot_confusion(actual, predicted, classes, {})
    labels = figure.axes[0].get_xticklabels()
    assert [label.get_text() for label in labels] == [
        "x" * 20,
        f"{'y' * 9}\N{HORIZONTAL ELLIPSIS}{'y' * 9}",
        "z" * 5,
    ]
    assert {(label.get_rotation(), label.get_ha()) for label in labels} == {(45, "right")}
    across, up = figure.get_size_inches()
    assert (across, up) == (5.5, 4.5)
    figure = plot_confusion(*draw(["zzzzz", "no"]), ["zzzzz", "no"], {})
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
    assert colors == [GRAY, GRAY, GREEN, GREEN]
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
        assert axes.lines[-1].get_color() == RED
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
    confusion = plot_confusion(actual, predicted, classes, {})
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
    figure = plot_confusion(actual, predicted, classes, {})
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
    figure = plot_confusion(actual, predicted, classes, {})
    names = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    assert names == [f"a name so\N{HORIZONTAL ELLIPSIS} number {at}" for at in range(4)]
    assert len(set(list_legend(plot_roc(actual, predicted, classes)))) == 4


def test_of_many_classes_the_most_frequent_are_drawn_and_the_rest_is_told() -> None:
    classes = CLASSES["thirty"]
    of = [*classes, *classes[10:], *classes[22:]]
    actual, predicted = draw(classes, rows=580, of=of)
    figure = plot_confusion(actual, predicted, classes, {})
    names = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    assert names == classes[10:]
    shown = read_counts(figure, 20).sum()
    assert read_title(figure)[1:] == [
        f"{shown} of 580 test rows",
        "the 20 most frequent of 30",
    ]
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
    figure = plot_confusion(actual, predicted, classes, {})
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
    render(plot_confusion(actual, predicted, classes, {}))


def test_a_class_that_training_never_saw_is_counted_as_not_shown() -> None:
    actual, predicted = draw(["a", "b"], rows=50)
    actual.iloc[:4] = "never"
    figure = plot_confusion(actual, predicted, ["a", "b"], {})
    assert read_title(figure)[1] == "46 of 50 test rows"
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
