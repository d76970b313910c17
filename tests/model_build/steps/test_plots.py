"""The pictures are drawn without a display, and whatever the columns are called."""

import io

import numpy as np
import pandas as pd
from plots import plot_importances, plot_residuals


def test_residuals_of_many_rows_stay_readable() -> None:
    actual = pd.Series(np.arange(20_000.0))
    figure = plot_residuals(actual, actual.to_numpy() + 1)
    points = figure.axes[0].collections[0].get_offsets()
    assert len(points) == 5000
    assert (np.asarray(points)[:, 1] == -1).all()


def test_importances_show_the_largest_under_their_own_names() -> None:
    shares = pd.Series(np.arange(30.0, 0, -1), index=[f"price_$_{n}_$" for n in range(30)])
    figure = plot_importances(shares)
    labels = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    assert labels[-1] == "price_$_0_$"
    assert len(labels) == 20
    image = io.BytesIO()
    figure.savefig(image, format="png")
    assert image.getvalue().startswith(b"\x89PNG")
