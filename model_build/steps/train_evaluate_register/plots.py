"""The pictures a person looks at before trusting a model."""

import textwrap
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from evaluation import Predictions
from matplotlib.figure import Figure
from sklearn.calibration import calibration_curve
from sklearn.metrics import auc, confusion_matrix, roc_curve
from training_data import TrainingData

_MOST_POINTS = 5000
_MOST_COLUMNS = 20
_MOST_CLASSES = 20
_MOST_CURVES = 8
_MOST_GROUPS = 10
_ROWS_OF_A_GROUP = 20
# Characters of names: of a column or a curve, of a class at the side, of one that needs no slant.
_LONG_NAME, _SHORT_NAME, _UPRIGHT_NAME = 40, 20, 5
_GOOD, _BAD, _PLAIN = "tab:green", "tab:red", "tab:gray"


def list_figures(
    data: TrainingData, predicted: Predictions, shares: "pd.Series[float] | None"
) -> Iterator[tuple[str, Figure]]:
    """The pictures that belong to the task, by the names of their files."""
    actual, classes = data.test.target, data.classes
    if classes:
        yield "confusion_matrix.png", plot_confusion(actual, predicted, classes)
        yield "roc_curve.png", plot_roc(actual, predicted, classes)
        yield "calibration.png", plot_calibration(actual, predicted, classes)
    else:
        yield "residuals.png", plot_residuals(actual, predicted.values)
    if shares is not None:
        yield "feature_importances.png", plot_importances(shares)


def plot_residuals(actual: "pd.Series[Any]", predicted: npt.NDArray[np.float64]) -> Figure:
    """Actual minus predicted over predicted, for at most 5000 test rows."""
    step = max(1, len(predicted) // _MOST_POINTS)
    shown = predicted[::step]
    figure = Figure(figsize=(7, 5), layout="constrained")
    axes = figure.subplots()
    axes.scatter(shown, np.asarray(actual)[::step] - shown, s=12, alpha=0.5)
    axes.axhline(0, color="black", linewidth=1)
    axes.set_xlabel("predicted")
    axes.set_ylabel("actual - predicted")
    axes.set_title(f"Residuals of {len(shown)} test rows")
    return figure


def plot_importances(shares: "pd.Series[float]") -> Figure:
    """The share of each column in what was learned; the 20 largest."""
    shown = shares.head(_MOST_COLUMNS)[::-1]
    figure = Figure(figsize=(7, 1.2 + 0.3 * len(shown)), layout="constrained")
    axes = figure.subplots()
    # parse_math is off: a column called "price_$_per_$" is a name, not a formula.
    axes.barh(range(len(shown)), shown.to_numpy())
    axes.set_yticks(
        range(len(shown)), [_shorten(name, _LONG_NAME) for name in shown.index], parse_math=False
    )
    axes.set_xlabel("share in what was learned")
    axes.set_title(f"Importance of {len(shown)} of {len(shares)} columns")
    return figure


def plot_confusion(
    actual: "pd.Series[Any]", predicted: Predictions, classes: Sequence[Any]
) -> Figure:
    """Test rows by their class and the predicted one; the 20 most frequent classes."""
    shown = _choose_frequent(actual, classes, _MOST_CLASSES)
    counts = confusion_matrix(
        [str(value) for value in actual],
        [str(value) for value in predicted.values],
        labels=[str(value) for value in shown],
    )
    size = 3 + 0.5 * len(shown)
    figure = Figure(figsize=(size + 1, size), layout="constrained")
    axes = figure.subplots()
    of_row = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    axes.imshow(of_row, cmap="Blues", vmin=0, vmax=1)
    for (row, column), count in np.ndenumerate(counts):
        color = "white" if of_row[row, column] > 0.5 else "black"
        axes.text(column, row, str(count), ha="center", va="center", color=color)
    names = [_shorten(value, _SHORT_NAME) for value in shown]
    upright = max(map(len, names)) <= _UPRIGHT_NAME
    axes.set_xticks(
        range(len(shown)),
        names,
        parse_math=False,
        rotation=0 if upright else 45,
        ha="center" if upright else "right",
    )
    axes.set_yticks(range(len(shown)), names, parse_math=False)
    axes.set_xlabel("predicted")
    axes.set_ylabel("actual")
    of_all = (
        "" if len(shown) == len(classes) else f"\nthe {len(shown)} most frequent of {len(classes)}"
    )
    axes.set_title(f"{_count(counts.sum(), actual)} by class{of_all}")
    return figure


def plot_roc(actual: "pd.Series[Any]", predicted: Predictions, classes: Sequence[Any]) -> Figure:
    """Hits over false alarms; of more than two classes a curve for each against all others."""
    figure, axes = _square("false positive rate", "true positive rate")
    axes.plot([0, 1], [0, 1], color="black", linewidth=1, linestyle=":")
    for name, came_true, probabilities in _list_curves(actual, predicted, classes):
        false_alarms, hits, _ = roc_curve(came_true, probabilities)
        axes.plot(false_alarms, hits, label=f"{name} (AUC {auc(false_alarms, hits):.3f})")
    _add_legend(axes, "lower right")
    axes.set_title(f"ROC of {len(actual)} test rows")
    return figure


def plot_calibration(
    actual: "pd.Series[Any]", predicted: Predictions, classes: Sequence[Any]
) -> Figure:
    """How often what was given a probability came true, in at most ten groups of equal size."""
    figure, axes = _square("predicted probability", "share that came true")
    axes.plot([0, 1], [0, 1], color="black", linewidth=1, linestyle=":")
    # Of fewer rows the share that came true is mostly chance.
    groups = min(_MOST_GROUPS, max(2, len(actual) // _ROWS_OF_A_GROUP))
    most = 0.0
    for name, came_true, probabilities in _list_curves(actual, predicted, classes):
        shares, means = calibration_curve(
            came_true, np.clip(probabilities, 0, 1), n_bins=groups, strategy="quantile"
        )
        axes.plot(means, shares, marker="o", label=name)
        most = max(most, *means, *shares)
    # Of many classes each is improbable.
    bounds = (-0.05 * (most or 1), 1.05 * (most or 1))
    axes.set(xlim=bounds, ylim=bounds)
    _add_legend(axes, "best")
    axes.set_title(f"Calibration on {len(actual)} test rows")
    return figure


def plot_gate(report: Mapping[str, Any]) -> Figure:
    """The gate's report at a glance: new, champion and constant, each with its 95 % interval.

    A panel for each of the two metrics.
    """
    passed = report["verdict"] == "passed"
    measures = report["measures"]
    figure = Figure(figsize=(9, 4), layout="constrained")
    reason = report["summary"] if passed else report["reason"]
    verdict = f"{'Registered' if passed else 'Not registered'}: {reason}"
    told = figure.suptitle("\n".join(textwrap.wrap(verdict, 100)), x=0.02, ha="left", fontsize=10)
    told.set_parse_math(False)
    panels = figure.subplots(1, max(len(measures), 1), squeeze=False, sharey=True)[0]
    for axes, measure in zip(panels, measures, strict=False):
        _draw_measure(axes, measure, report, _GOOD if passed else _BAD)
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
        chosen = color if name == "new" else _PLAIN
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
    axes.margins(x=0.15)
    better = "more" if measure["metric"]["greater_is_better"] else "less"
    axes.set_xlabel(
        f"{measure['metric']['label']}: {better} is better\n"
        f"{report['rows']} test rows, 95 % intervals"
    )


def _square(across: str, up: str) -> tuple[Figure, Any]:
    figure = Figure(figsize=(6, 5.5), layout="constrained")
    axes = figure.subplots()
    axes.set_xlabel(across)
    axes.set_ylabel(up)
    return figure, axes


def _add_legend(axes: Any, place: str) -> None:
    if not axes.get_legend_handles_labels()[0]:
        axes.text(
            0.95, 0.05, "all test rows are of one class", ha="right", transform=axes.transAxes
        )
        return
    for text in axes.legend(loc=place).get_texts():
        text.set_parse_math(False)


def _list_curves(
    actual: "pd.Series[Any]", predicted: Predictions, classes: Sequence[Any]
) -> list[tuple[str, npt.NDArray[np.bool_], npt.NDArray[np.float64]]]:
    """A class's name, whether it came true in each row, and its probability.

    Of two classes only the second; none that all rows have, or no row.
    """
    assert predicted.probabilities is not None, "classes have them"
    chosen = classes[1:] if len(classes) == 2 else _choose_frequent(actual, classes, _MOST_CURVES)
    curves = []
    for value in chosen:
        came_true = np.asarray(actual == value)
        if 0 < came_true.sum() < len(actual):
            place = list(classes).index(value)
            curves.append(
                (_shorten(value, _LONG_NAME), came_true, predicted.probabilities[:, place])
            )
    return curves


def _choose_frequent(actual: "pd.Series[Any]", classes: Sequence[Any], most: int) -> list[Any]:
    """The classes most frequent in the test rows, in the order of classes."""
    counts = actual.value_counts()
    frequent = sorted(classes, key=lambda value: -counts.get(value, 0))[:most]
    return [value for value in classes if value in frequent]


def _shorten(name: Any, most: int) -> str:
    """In one line, without its middle if it is long: many names differ only at their ends."""
    text = " ".join(str(name).split())
    half = (most - 1) // 2
    return text if len(text) <= most else f"{text[:half]}\N{HORIZONTAL ELLIPSIS}{text[-half:]}"


def _count(shown: int, actual: "pd.Series[Any]") -> str:
    of_all = "" if shown == len(actual) else f" of {len(actual)}"
    return f"{shown}{of_all} test rows"
