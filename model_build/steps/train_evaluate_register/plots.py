"""The pictures a person looks at before trusting a model; plot_style.py has their one look."""

import math
import textwrap
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from evaluation import Predictions
from explanations import Explanation
from importances import Importances
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, MaxNLocator, NullFormatter
from plot_style import (
    BLACK,
    BLUE,
    CURVES,
    DASHES,
    GRAY,
    GREEN,
    LONG_NAME,
    RED,
    SCALE,
    SHADES,
    SHORT_NAME,
    UPRIGHT_NAME,
    add_title,
    count,
    make_figure,
    show_name,
    show_names,
    styled,
)
from size_curve import SizeCurve
from sklearn.calibration import calibration_curve
from sklearn.metrics import auc, confusion_matrix, roc_curve
from training_data import TrainingData

# More points than these would cover each other: their density is drawn.
_MOST_POINTS = 2000
# Less than one row in a cell, so that one row isn't white.
_FAINTEST = 0.3
_MOST_CLASSES = 20
_MOST_CURVES = 8
_MOST_GROUPS = 10
_ROWS_OF_A_GROUP = 20
# From this ratio of the largest to the median on, amounts are drawn on logarithmic axes.
_SKEWED = 10
# A range that is that many times the middle 98 % would hide them.
_FAR_OUT = 4
# Of so many rows 98 % are not all.
_ROWS_FOR_A_MIDDLE = 50
_DARK = 0.5
_WRITTEN_OUT = 1e8
# Inches of a digit of 10 points.
_DIGIT = 0.09


def list_figures(
    data: TrainingData,
    predicted: Predictions,
    measured: Mapping[str, float],
    *,
    importances: Importances | None = None,
    curve: SizeCurve | None = None,
    explanation: Explanation | None = None,
) -> Iterator[tuple[str, Figure]]:
    """The pictures that belong to the task, by the names of their files."""
    actual, classes = data.test.target, data.classes
    if classes:
        yield "confusion_matrix.png", plot_confusion(actual, predicted, classes, measured)
        yield "roc_curve.png", plot_roc(actual, predicted, classes)
        yield "calibration.png", plot_calibration(actual, predicted, classes)
    else:
        target = str(data.description["target"])
        yield "predicted_actual.png", plot_predicted(actual, predicted.values, target, measured)
        yield "residuals.png", plot_residuals(actual, predicted.values, target)
    if importances is not None:
        yield "feature_importances.png", plot_importances(importances)
    if curve is not None:
        yield "size_curve.png", plot_sizes(curve)
    if explanation is not None:
        yield "shap.png", plot_explanation(explanation)


@styled
def plot_predicted(
    actual: "pd.Series[Any]",
    predicted: npt.NDArray[np.float64],
    target: str,
    measured: Mapping[str, float],
) -> Figure:
    """Each test row's prediction over what came true; on the line both are the same."""
    name = show_name(target, LONG_NAME)
    truth = np.asarray(actual, dtype=np.float64)
    figure = make_figure(6.5, 6)
    axes = figure.subplots()
    view = _View.of(truth, predicted)
    inside = view.holds(truth) & view.holds(predicted)
    _draw_points(axes, truth[inside], predicted[inside], view, view)
    axes.plot(*[[view.low, view.high]] * 2, color=BLACK, linewidth=1, linestyle=":")
    axes.set_aspect("equal")
    axes.set_xlabel(f"actual {name}{view.remark}")
    axes.set_ylabel(f"predicted {name}{view.remark}")
    r2 = f", R2 {measured['r2']:.2f}" if "r2" in measured else ""
    rows = count(len(truth), len(truth))
    add_title(axes, f"Predicted against actual {name}", f"{rows}{r2}{_tell_outside(inside)}")
    return figure


@styled
def plot_residuals(
    actual: "pd.Series[Any]", predicted: npt.NDArray[np.float64], target: str
) -> Figure:
    """Each test row's actual value less its prediction, over the prediction; and how often."""
    name = show_name(target, LONG_NAME)
    residuals = np.asarray(actual, dtype=np.float64) - predicted
    figure = make_figure(8, 5)
    axes, aside = figure.subplots(1, 2, sharey=True, width_ratios=(4, 1))
    across, up = _View.of(predicted), _View.of(residuals, logarithmic=False)
    inside = across.holds(predicted) & up.holds(residuals)
    _draw_points(axes, predicted[inside], residuals[inside], across, up, bar_beside=aside)
    bins = int(np.clip(np.sqrt(len(residuals)), 5, 40))
    aside.hist(
        residuals[inside], bins=bins, range=(up.low, up.high), orientation="horizontal", color=BLUE
    )
    for each in (axes, aside):
        each.axhline(0, color=BLACK, linewidth=1, linestyle=":")
    axes.set_xlabel(f"predicted {name}{across.remark}")
    axes.set_ylabel("actual less predicted")
    aside.set_xlabel("test rows")
    aside.xaxis.set_major_locator(MaxNLocator(2, integer=True))
    aside.xaxis.set_major_formatter(_write_number)
    rows = count(len(residuals), len(residuals))
    above = np.mean(residuals > 0)
    add_title(
        axes,
        f"Errors by predicted {name}",
        f"{rows}, {above:.0%} of them predicted too low{_tell_outside(inside)}",
    )
    return figure


@styled
def plot_importances(importances: Importances) -> Figure:
    """How much worse the metric gets when a column's values are shuffled, with the spread."""
    names = show_names(importances.names, LONG_NAME)[::-1]
    increases = importances.increases[::-1]
    figure = make_figure(_make_room(names), 1.8 + 0.3 * len(names))
    axes = figure.subplots()
    axes.barh(
        range(len(names)),
        increases.mean(axis=1),
        xerr=increases.std(axis=1),
        color=BLUE,
        error_kw={"ecolor": BLACK, "elinewidth": 1.2, "capsize": 3},
    )
    axes.axvline(0, color=BLACK, linewidth=1)
    axes.grid(visible=False, axis="y")
    axes.set_yticks(range(len(names)), names)
    axes.set_ylim(-0.6, len(names) - 0.4)
    axes.set_xlabel(
        f"{importances.metric} gets worse by\n"
        f"mean of {increases.shape[1]} shuffles, lines: standard deviation"
    )
    columns = count(len(names), importances.of_columns, "column")
    add_title(
        axes,
        f"What the model relies on: {columns}",
        f"each shuffled in {count(importances.rows, importances.rows)}",
    )
    return figure


@styled
def plot_sizes(curve: SizeCurve) -> Figure:
    """The metric by how many rows were learned from; each draw is a point, the line their means."""
    figure = make_figure(7, 4.5)
    axes = figure.subplots()
    sizes = [rows for rows, _ in curve.scores]
    axes.plot(
        [rows for rows, scores in curve.scores for _ in scores],
        [score for _, scores in curve.scores for score in scores],
        "o",
        color=BLUE,
        alpha=0.5,
    )
    axes.plot(sizes, [float(np.mean(scores)) for _, scores in curve.scores], color=BLUE)
    axes.axhline(curve.constant, color=GRAY, linestyle="--", label="best constant")
    axes.set_xlim(0, sizes[-1] * 1.05)
    axes.margins(y=0.1)
    axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
    axes.xaxis.set_major_formatter(_write_number)
    better = "more" if curve.metric.greater_is_better else "less"
    axes.set_xlabel("training rows")
    axes.set_ylabel(f"{curve.metric.label}: {better} is better")
    axes.legend(loc="best")
    label = curve.metric.label
    add_title(
        axes,
        f"Would more rows help? {label[:1].upper()}{label[1:]} by training rows",
        f"on the same {count(curve.test_rows, curve.test_rows)}",
    )
    return figure


@styled
def plot_explanation(explanation: Explanation) -> Figure:
    """A point for each row: how far its value of the column moved the prediction."""
    names = show_names(explanation.names, LONG_NAME)
    figure = make_figure(_make_room(names) + 0.8, 2 + 0.38 * len(names))
    axes = figure.subplots()
    for place, at in enumerate(reversed(range(len(names)))):
        values, shades = explanation.values[:, at], explanation.places[:, at]
        heights = place + _spread(values)
        plain = np.isnan(shades)
        axes.scatter(values[plain], heights[plain], s=14, color=GRAY, linewidths=0)
        points = axes.scatter(
            values[~plain],
            heights[~plain],
            s=14,
            c=shades[~plain],
            cmap=SCALE,
            vmin=0,
            vmax=1,
            linewidths=0,
        )
    axes.axvline(0, color=BLACK, linewidth=1)
    axes.set_yticks(range(len(names)), names[::-1])
    axes.set_ylim(-0.6, len(names) - 0.4)
    axes.set_xlabel(
        f"SHAP value: moves {show_name(explanation.what, LONG_NAME)} by\n"
        "colour: the column's value; gray: text, missing"
    )
    bar = figure.colorbar(points, ax=axes, ticks=[0, 1], aspect=30)
    bar.ax.set_yticklabels(["small", "large"])
    bar.outline.set_visible(False)
    columns = count(explanation.own_columns, explanation.of_columns, "column")
    rows = count(len(explanation.values), len(explanation.values))
    add_title(axes, f"What moved the predictions: {columns}", rows)
    return figure


@styled
def plot_confusion(
    actual: "pd.Series[Any]",
    predicted: Predictions,
    classes: Sequence[Any],
    measured: Mapping[str, float],
) -> Figure:
    """Test rows by their class and the predicted one; the 20 most frequent classes."""
    shown = _choose_frequent(actual, classes, _MOST_CLASSES)
    counts = confusion_matrix(
        [str(value) for value in actual],
        [str(value) for value in predicted.values],
        labels=[str(value) for value in shown],
    )
    size = 3 + 0.5 * len(shown)
    figure = make_figure(size + 1, size)
    axes = figure.subplots()
    of_row = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    axes.imshow(of_row, cmap=SHADES, vmin=0, vmax=1)
    axes.grid(visible=False)
    for (row, column), rows in np.ndenumerate(counts):
        axes.text(
            *(column, row, str(rows)),
            ha="center",
            va="center",
            color="white" if of_row[row, column] > _DARK else BLACK,
            fontsize=10 if len(str(counts.max())) * _DIGIT < (size - 1) / len(shown) else 7,
        )
    names = show_names(shown, SHORT_NAME)
    upright = max(map(len, names)) <= UPRIGHT_NAME
    axes.set_xticks(
        range(len(shown)),
        names,
        rotation=0 if upright else 45,
        ha="center" if upright else "right",
        rotation_mode=None if upright else "anchor",
    )
    axes.set_yticks(range(len(shown)), names)
    axes.set_xlabel("predicted class")
    axes.set_ylabel("actual class (shade: share of the row)")
    accuracy = f", accuracy {measured['accuracy']:.2f}" if "accuracy" in measured else ""
    some = "" if len(shown) == len(classes) else f"the {len(shown)} most frequent of {len(classes)}"
    add_title(
        axes,
        "Actual against predicted class",
        f"{count(counts.sum(), len(actual))}{accuracy}",
        some,
    )
    return figure


@styled
def plot_roc(actual: "pd.Series[Any]", predicted: Predictions, classes: Sequence[Any]) -> Figure:
    """Hits over false alarms; of more than two classes a curve for each against all others."""
    figure, axes = _square("false positive rate", "true positive rate")
    axes.plot([0, 1], [0, 1], color=BLACK, linewidth=1, linestyle=":")
    for style, (name, came_true, probabilities) in _list_curves(actual, predicted, classes):
        false_alarms, hits, _ = roc_curve(came_true, probabilities)
        axes.plot(false_alarms, hits, **style, label=f"{name} (AUC {auc(false_alarms, hits):.3f})")
    axes.set_aspect("equal")
    _add_legend(axes, "lower right")
    add_title(axes, "Hits against false alarms (ROC)", _tell_curves(actual, classes))
    return figure


@styled
def plot_calibration(
    actual: "pd.Series[Any]", predicted: Predictions, classes: Sequence[Any]
) -> Figure:
    """How often what was given a probability came true, in at most ten groups of equal size."""
    figure, axes = _square("predicted probability", "share that came true")
    axes.plot([0, 1], [0, 1], color=BLACK, linewidth=1, linestyle=":")
    # Of fewer rows the share that came true is mostly chance.
    groups = min(_MOST_GROUPS, max(2, len(actual) // _ROWS_OF_A_GROUP))
    most = 0.0
    for style, (name, came_true, probabilities) in _list_curves(actual, predicted, classes):
        shares, means = calibration_curve(
            came_true, np.clip(probabilities, 0, 1), n_bins=groups, strategy="quantile"
        )
        axes.plot(means, shares, **style, marker="o", markersize=5, label=name)
        most = max(most, *means, *shares)
    # Of many classes each is improbable.
    bounds = (-0.05 * (most or 1), 1.05 * (most or 1))
    axes.set(xlim=bounds, ylim=bounds)
    axes.set_aspect("equal")
    _add_legend(axes, "best")
    add_title(
        axes,
        "Are the probabilities true? (calibration)",
        f"{_tell_curves(actual, classes)}, at most {groups} groups of equal size",
    )
    return figure


@styled
def plot_gate(report: Mapping[str, Any]) -> Figure:
    """The gate's report at a glance: new, champion and constant, each with its 95 % interval.

    A panel for each of the two metrics.
    """
    passed = report["verdict"] == "passed"
    measures = report["measures"]
    figure = make_figure(9, 4)
    reason = report["summary"] if passed else report["reason"]
    verdict = f"{'Registered' if passed else 'Not registered'}: {reason}"
    figure.suptitle("\n".join(textwrap.wrap(verdict, 100)), x=0.02, ha="left")
    panels = figure.subplots(1, max(len(measures), 1), squeeze=False, sharey=True)[0]
    for axes, measure in zip(panels, measures, strict=False):
        _draw_measure(axes, measure, report, GREEN if passed else RED)
    if not measures:
        panels[0].set_axis_off()
    return figure


def _draw_measure(
    axes: Any, measure: Mapping[str, Any], report: Mapping[str, Any], color: str
) -> None:
    names = {
        report["baseline"].replace("' ", "'\n"): measure["baseline"],
        f"champion, version {report['champion']['version']}": measure["champion"],
        "new": measure["new"],
    }
    shown = [(name, bar) for name, bar in names.items() if bar]
    for place, (name, bar) in enumerate(shown):
        chosen = color if name == "new" else GRAY
        axes.plot([bar["low"], bar["high"]], [place, place], color=chosen, linewidth=5, alpha=0.4)
        axes.plot(bar["value"], place, "o", color=chosen)
        axes.annotate(
            f"{bar['value']:.4g}",
            (bar["value"], place),
            (0, 9),
            textcoords="offset points",
            ha="center",
        )
    axes.set_yticks(range(len(shown)), [name for name, _ in shown])
    axes.set_ylim(-0.5, len(shown) - 0.3)
    axes.grid(visible=False, axis="y")
    axes.margins(x=0.15)
    better = "more" if measure["metric"]["greater_is_better"] else "less"
    axes.set_xlabel(
        f"{measure['metric']['label']}: {better} is better\n"
        f"{report['rows']} test rows, 95 % intervals"
    )


class _View:
    """The part of an axis that is drawn, such that few far values don't hide all others."""

    def __init__(self, low: float, high: float, *, logarithmic: bool) -> None:
        self.low, self.high, self.logarithmic = low, high, logarithmic
        self.remark = " (logarithmic)" if logarithmic else ""

    @classmethod
    def of(cls, *several: npt.NDArray[np.float64], logarithmic: bool | None = None) -> "_View":
        """Of all values together."""
        values = np.concatenate(several)
        if logarithmic is None:
            logarithmic = bool(values.min() > 0 and values.max() > _SKEWED * np.median(values))
        if logarithmic:
            low, high = float(values.min()), float(values.max())
            return cls(low / 1.1, high * 1.1, logarithmic=True)
        low, high = _choose_bounds(several)
        edge = 0.05 * (high - low) or 0.05 * abs(high) or 1.0
        return cls(low - edge, high + edge, logarithmic=False)

    def holds(self, values: npt.NDArray[np.float64]) -> npt.NDArray[np.bool_]:
        inside: npt.NDArray[np.bool_] = (values >= self.low) & (values <= self.high)
        return inside

    @property
    def extent(self) -> tuple[float, float]:
        """As hexbin wants it."""
        return (
            (math.log10(self.low), math.log10(self.high))
            if self.logarithmic
            else (self.low, self.high)
        )

    def apply(self, set_scale: Callable[..., Any], axis: Any) -> None:
        if self.logarithmic:
            set_scale("log")
            wide = self.high / self.low > 100
            axis.set_major_locator(LogLocator(subs=(1.0,) if wide else (1.0, 2.0, 5.0)))
            axis.set_minor_formatter(NullFormatter())
        axis.set_major_formatter(_write_number)


def _choose_bounds(several: Sequence[npt.NDArray[np.float64]]) -> tuple[float, float]:
    """All, or where few of many are far out the middle of each."""
    low = min(float(values.min()) for values in several)
    high = max(float(values.max()) for values in several)
    if len(several[0]) < _ROWS_FOR_A_MIDDLE:
        return low, high
    middles = [np.quantile(values, (0.01, 0.99)) for values in several]
    start, end = min(float(m[0]) for m in middles), max(float(m[1]) for m in middles)
    if high - low <= _FAR_OUT * (end - start) or end == start:
        return low, high
    return max(low, start - (end - start) / 2), min(high, end + (end - start) / 2)


def _draw_points(
    axes: Any,
    across: npt.NDArray[np.float64],
    up: npt.NDArray[np.float64],
    view_across: _View,
    view_up: _View,
    *,
    bar_beside: Any = None,
) -> None:
    """Points, or where there are too many to see each, how many there are in each cell."""
    if len(across) <= _MOST_POINTS:
        alpha = 0.6 if len(across) <= 500 else 0.35
        axes.scatter(across, up, s=16, alpha=alpha, color=BLUE, linewidths=0)
    else:
        cells = axes.hexbin(
            across,
            up,
            gridsize=45,
            bins="log",
            mincnt=1,
            cmap=SHADES,
            vmin=_FAINTEST,
            linewidths=0.1,
            extent=(*view_across.extent, *view_up.extent),
            xscale="log" if view_across.logarithmic else "linear",
            yscale="log" if view_up.logarithmic else "linear",
        )
        bar = axes.figure.colorbar(cells, ax=bar_beside or axes, aspect=40, pad=0.02)
        bar.ax.set_ylim(1, None)
        bar.ax.yaxis.set_major_formatter(_write_number)
        bar.ax.yaxis.set_minor_formatter(NullFormatter())
        bar.set_label("test rows in a cell")
        bar.outline.set_visible(False)
    view_across.apply(axes.set_xscale, axes.xaxis)
    view_up.apply(axes.set_yscale, axes.yaxis)
    axes.set_xlim(view_across.low, view_across.high)
    axes.set_ylim(view_up.low, view_up.high)


def _tell_outside(inside: npt.NDArray[np.bool_]) -> str:
    outside = int((~inside).sum())
    return f"; {outside:,} lie outside of the picture" if outside else ""


def _spread(values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Heights around 0 such that points of about the same value do not cover each other."""
    extent = float(np.ptp(values)) or 1.0
    cells = np.round((values - values.min()) / extent * 60).astype(int)
    counts = np.bincount(cells)
    heights = np.zeros(len(values))
    for cell in np.flatnonzero(counts > 1):
        members = np.flatnonzero(cells == cell)
        reach = 0.35 * counts[cell] / counts.max()
        heights[members] = np.linspace(-reach, reach, len(members))
    return heights


def _make_room(names: Sequence[str]) -> float:
    """Inches of a figure whose axes have about six, beside these names."""
    return 6.5 + 0.075 * max(map(len, names))


def _write_number(value: float, _place: object = None) -> str:
    """2,500,000; and 3e+09."""
    return f"{value:,.10g}" if abs(value) < _WRITTEN_OUT else f"{value:.10g}"


def _square(across: str, up: str) -> tuple[Figure, Any]:
    figure = make_figure(6, 6)
    axes = figure.subplots()
    axes.set_xlabel(across)
    axes.set_ylabel(up)
    return figure, axes


def _add_legend(axes: Any, place: str) -> None:
    if axes.get_legend_handles_labels()[0]:
        axes.legend(loc=place)
        return
    axes.text(0.95, 0.05, "all test rows are of one class", ha="right", transform=axes.transAxes)


def _tell_curves(actual: "pd.Series[Any]", classes: Sequence[Any]) -> str:
    rows = count(len(actual), len(actual))
    if len(classes) == 2:
        return rows
    some = "" if len(classes) <= _MOST_CURVES else f" ({_MOST_CURVES} of {len(classes)} shown)"
    return f"{rows}, each class against all others{some}"


def _list_curves(
    actual: "pd.Series[Any]", predicted: Predictions, classes: Sequence[Any]
) -> Iterator[tuple[dict[str, Any], tuple[str, npt.NDArray[np.bool_], npt.NDArray[np.float64]]]]:
    """A curve's look; the class's name, whether it came true in each row, and its probability.

    Of two classes only the second; none that all rows have, or no row.
    """
    assert predicted.probabilities is not None, "classes have them"
    chosen = classes[1:] if len(classes) == 2 else _choose_frequent(actual, classes, _MOST_CURVES)
    for at, value in enumerate(chosen):
        came_true = np.asarray(actual == value)
        if 0 < came_true.sum() < len(actual):
            style = {"color": CURVES[at], "linestyle": DASHES[at % len(DASHES)]}
            place = list(classes).index(value)
            name = show_name(value, LONG_NAME)
            yield style, (name, came_true, predicted.probabilities[:, place])


def _choose_frequent(actual: "pd.Series[Any]", classes: Sequence[Any], most: int) -> list[Any]:
    """The classes most frequent in the test rows, in the order of classes."""
    counts = actual.value_counts()
    frequent = sorted(classes, key=lambda value: -counts.get(value, 0))[:most]
    return [value for value in classes if value in frequent]
