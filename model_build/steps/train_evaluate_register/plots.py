"""The two pictures a person looks at before trusting a model."""

from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from matplotlib.figure import Figure

_MOST_POINTS = 5000
_MOST_COLUMNS = 20


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
    """The share of each column in what the forest learned; the 20 largest."""
    shown = shares.head(_MOST_COLUMNS)[::-1]
    figure = Figure(figsize=(7, 1.2 + 0.3 * len(shown)), layout="constrained")
    axes = figure.subplots()
    # parse_math is off: a column called "price_$_per_$" is a name, not a formula.
    axes.barh(range(len(shown)), shown.to_numpy())
    axes.set_yticks(range(len(shown)), [str(name)[:40] for name in shown.index], parse_math=False)
    axes.set_xlabel("share of the impurity reduction")
    axes.set_title(f"Importance of {len(shown)} of {len(shares)} columns")
    return figure
