"""A row as it stands in the table becomes numbers: what every estimator learns from.

    numbers ──────────────────────────────────────────────┐
    booleans ── 1, 0, missing ────────────────────────────┤
    dates ───── days since 1970, where in day, week, year ┼─▶ estimator
    text ────── place in the alphabet, mean target,       │
                one column each for few different values ─┘

Only scikit-learn's classes, and one function of NumPy, are in it.
See docs/decisions/0015-encoders-by-measurement.md.
"""

from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd
from sklearn.compose import ColumnTransformer
from sklearn.model_selection import KFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import (
    FunctionTransformer,
    OneHotEncoder,
    OrdinalEncoder,
    StandardScaler,
    TargetEncoder,
)

# What skops may create beyond its own list when it loads our model; reviewed by hand, and never
# taken from the file, which could ask for anything.
TRUSTED_TYPES: Mapping[str, str] = {
    "numpy.interp": "a pure function of arrays, found by its name; dates and booleans become "
    "numbers by it. It has no state to load, and what the file gives as its arguments is only "
    "interpolated",
}

# Measured by benchmarks/accuracy.py.
_FEW_VALUES = 10
# Each thousand costs half a millisecond of each request.
_MOST_VALUES = 5000
_ROWS_FOR_A_MEAN = 10
# Of more classes no means are taken: each text column would become a column for each class.
_MOST_CLASSES_FOR_MEANS = 10
# While training, each row's text is given the mean target of rows of other folds, so that it can't
# tell its own target.
_FOLDS = 5

# From this ratio of size and extent on, numbers are learned by their distance from the mean.
_FAR = 64

_DAY = 86400e9  # nanoseconds
_MICROSECOND = 1e3
# From 1678 to 2261. NaT is the smallest integer, and so lies before it.
_DATES = 9.2e18
_FIRST_MONDAY = 4 * _DAY  # 1970-01-05

Parts = list[tuple[str, Any, list[str]]]


def encode_columns(features: pd.DataFrame, random_seed: int, classes: int = 0) -> ColumnTransformer:
    """Every column as numbers, each kind by encoders of its own, untrained.

    `features` has what will be learned from: float64 (NaN: missing), datetime64[ns] (NaT), object
    with True, False, None (or bool), object with text and None. A missing value is never an error
    later, nor is a text that it doesn't know: it has no place in the alphabet, is none of the few,
    and has the overall mean target. `classes` is how many the target has; 0: it is a number.
    """
    names: dict[str, list[str]] = {"number": [], "boolean": [], "date": [], "text": []}
    for name in features.columns:
        names[_tell_kind(features[name])].append(name)
    apart = [name for name in names["number"] if _is_far_from_zero(features[name])]
    parts: Parts = [
        ("numbers", "passthrough", [name for name in names["number"] if name not in apart]),
        ("numbers_from_their_mean", StandardScaler(with_std=False), apart),
        ("booleans", _interpolate([0, 1], [0, 1]), names["boolean"]),
        *_encode_dates(features[names["date"]]),
        *_encode_text(features[names["text"]], random_seed, classes),
    ]
    return ColumnTransformer([part for part in parts if part[2]])


def reset_for_serving(columns: ColumnTransformer) -> None:
    """Leave what only training needed behind.

    The folds become a number, so that a server need not trust their type to load the model; and the
    values of text are kept once, as they were learned.
    """
    # ColumnTransformer keeps each part as it was, and a trained copy.
    for _, encoder, _ in (*columns.transformers, *columns.transformers_):
        if isinstance(encoder, TargetEncoder):
            encoder.set_params(cv=_FOLDS)
        if isinstance(encoder, OrdinalEncoder | OneHotEncoder | TargetEncoder):
            encoder.set_params(categories="auto")


def sum_by_column(columns: ColumnTransformer, shares: Sequence[float]) -> "pd.Series[float]":
    """Shares of the encoded columns as shares of the table's own, largest first."""
    encoded = np.asarray(shares, dtype=float)
    sums = pd.Series(0.0, index=columns.feature_names_in_)
    for part, encoder, names in columns.transformers_:
        sources = names
        if isinstance(encoder, OneHotEncoder):
            sources = np.repeat(names, [len(values) for values in encoder.categories_])
        elif isinstance(encoder, TargetEncoder) and encoder.target_type_ == "multiclass":
            sources = np.repeat(names, len(encoder.classes_))
        for name, share in zip(sources, encoded[columns.output_indices_[part]], strict=True):
            sums[name] += share
    return sums.sort_values(ascending=False)


def shift_far_numbers(
    features: pd.DataFrame,
) -> Iterator[tuple[str, "pd.Series[Any]", "pd.Series[Any]"]]:
    """Each column of numbers: its name, the column, and the same as an estimator gets it."""
    for name in features.columns:
        column = features[name]
        if _tell_kind(column) == "number":
            yield name, column, column - column.mean() if _is_far_from_zero(column) else column


def _is_far_from_zero(column: "pd.Series[Any]") -> bool:
    """Whether float32, in which trees compute, has digits for its values only around their mean."""
    extent = column.max() - column.min()
    return bool(column.abs().max() > _FAR * extent)


def _tell_kind(column: "pd.Series[Any]") -> str:
    if pd.api.types.is_datetime64_dtype(column):
        return "date"
    if pd.api.types.infer_dtype(column, skipna=True) == "boolean":
        return "boolean"
    return "text" if column.dtype == object else "number"


def _encode_dates(dates: pd.DataFrame) -> Iterator[tuple[str, Any, list[str]]]:
    """Days since 1970; and what of day, week and year the trees couldn't read off that.

    A part that is the same for all rows, or follows from the days, is left out.
    """
    columns = {name: dates[name].dropna() for name in dates.columns}
    of_day = [name for name, dated in columns.items() if (dated != dated.dt.normalize()).any()]
    of_week = [name for name, dated in columns.items() if dated.dt.dayofweek.nunique() > 1]
    of_year = [name for name, dated in columns.items() if (dated.max() - dated.min()).days > 366]
    # Nanoseconds go in. 0 is one of the points, so that midnights come out exact.
    points = [-_DATES, 0, _DATES]
    days = _interpolate(points, [at / _DAY for at in points], left=np.nan)
    yield "days", days, [name for name in columns if name not in of_day]
    # float32 has three minutes to a day of today; around the table's own days it has less than one
    # second.
    yield "moments", make_pipeline(days, StandardScaler(with_std=False)), of_day
    # Leap years make a calendar of four years: from 1901 to 2099 each month starts on its day.
    months = np.arange("1970-01", "1974-02", dtype="datetime64[M]").astype("datetime64[ns]")
    month_starts = months.astype(np.int64).tolist()
    for part, names, starts, values, climb in (
        ("hour_of_day", of_day, [0, _DAY], [0], 24),
        ("day_of_week", of_week, [_FIRST_MONDAY, _FIRST_MONDAY + 7 * _DAY], [0], 7),
        ("month_of_year", of_year, month_starts, 4 * list(range(1, 13)), 1),
    ):
        cycle = _repeat(starts, values, climb)
        yield part, make_pipeline(_interpolate(points, points, left=np.nan), cycle), names


def _encode_text(
    text: pd.DataFrame, random_seed: int, classes: int
) -> Iterator[tuple[str, Any, list[str]]]:
    """Several views of each column: trees take the one that tells them most at each split."""
    values = {name: _choose_values(text[name]) for name in text.columns}
    few = [name for name in values if 2 < len(values[name]) <= _FEW_VALUES]
    # A mean of hardly any rows is noise that trees would learn by heart.
    means = range(2, len(text) // _ROWS_FOR_A_MEAN + 1)
    often = [name for name in values if len(values[name]) in means]
    folds = KFold(_FOLDS, shuffle=True, random_state=random_seed)
    alphabet = OrdinalEncoder(
        categories=list(values.values()),
        handle_unknown="use_encoded_value",
        unknown_value=np.nan,
    )
    each = OneHotEncoder(
        categories=[values[name] for name in few], handle_unknown="ignore", sparse_output=False
    )
    target_type = {0: "continuous", 2: "binary"}.get(classes, "multiclass")
    mean_target = TargetEncoder(
        categories=[values[name] for name in often], target_type=target_type, cv=folds
    )
    yield "alphabet", alphabet, list(values)
    yield "each", each, few
    yield "mean_target", mean_target, often if classes <= _MOST_CLASSES_FOR_MEANS else []


def _choose_values(column: "pd.Series[Any]") -> list[str | None]:
    """The values worth knowing, in the alphabet's order; None, the missing one, is the last.

    Of very many only the most frequent, and none that is in one row only, since it tells next to
    nothing of others. Of a large table's identifier a single value is left, and thus no influence.
    """
    counts = column.value_counts().sort_index()
    if len(counts) > _MOST_VALUES:
        counts = counts.sort_values(ascending=False, kind="stable")
        again = int((counts > 1).sum())
        counts = counts.head(min(max(again, 1), _MOST_VALUES)).sort_index()
    values: list[str | None] = list(counts.index)
    return [*values, None] if column.hasnans else values


def _repeat(starts: Sequence[float], values: Sequence[float], climb: float) -> FunctionTransformer:
    """From each start to the next one the value climbs in a straight line, from its own.

    The last start is where it all begins again.
    """
    points: list[float] = []
    reached: list[float] = []
    for (start, end), value in zip(pairwise(starts), values, strict=True):
        share = 1 - _MICROSECOND / (end - start)
        points += [start, end - _MICROSECOND]
        reached += [value, value + climb * share]
    return _interpolate(points, reached, period=float(starts[-1] - starts[0]))


def _interpolate(
    points: Sequence[float], values: Sequence[float], **options: float
) -> FunctionTransformer:
    """numpy.interp: straight lines between points. It turns None and NaN into NaN."""
    arguments = {"xp": [float(x) for x in points], "fp": [float(y) for y in values], **options}
    return FunctionTransformer(np.interp, kw_args=arguments, feature_names_out="one-to-one")
