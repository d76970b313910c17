"""The table's own columns become the same numbers in training and serving."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
import skops.io
from columns import encode_columns
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import RandomForestRegressor
from sklearn.metrics import root_mean_squared_error
from sklearn.model_selection import KFold
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import OneHotEncoder, TargetEncoder

from tests.model_build.steps.train_evaluate_register import recipes
from tests.model_build.steps.train_evaluate_register.recipes import (
    make_features,
    make_recipe,
    make_target,
)


def train(features: pd.DataFrame, target: pd.Series[Any]) -> Pipeline:
    return recipes.train(make_recipe(), features, target)


@pytest.fixture(scope="module")
def features() -> pd.DataFrame:
    return make_features()


@pytest.fixture(scope="module")
def model(features: pd.DataFrame) -> Pipeline:
    return train(features, make_target(features))


@pytest.fixture
def row(features: pd.DataFrame) -> pd.DataFrame:
    """One row without a gap."""
    return features.dropna().head(1)


def encode(features: pd.DataFrame, *parts: str) -> list[list[float]]:
    """What the named parts make of the rows, a list each."""
    columns = encode_columns(features, random_seed=3).fit(features, np.arange(len(features)))
    made = columns.transform(features)
    return [made[:, columns.output_indices_[part]].ravel().tolist() for part in parts]


def test_every_kind_is_learned_from(features: pd.DataFrame, model: Pipeline) -> None:
    shares = make_recipe().rank_columns(model)
    assert shares is not None
    assert shares.index[0] == "city"
    assert shares[["size", "garden", "sold"]].min() > 0.002
    assert root_mean_squared_error(make_target(features), model.predict(features)) < 200


def test_missing_text_is_a_value_of_its_own(model: Pipeline, row: pd.DataFrame) -> None:
    known = row.assign(city="Bern")
    unknown = row.assign(city=pd.Series([None], dtype=object, index=row.index))
    assert model.predict(unknown)[0] - model.predict(known)[0] > 2000


def test_missing_boolean_is_a_value_of_its_own() -> None:
    column = pd.Series([True, False, None] * 40, dtype=object)
    features = pd.DataFrame({"garden": column})
    model = train(features, column.map({True: 1.0, False: 2.0}).fillna(5).astype(float))
    asked = pd.DataFrame({"garden": pd.Series([None, False, True], dtype=object)})
    np.testing.assert_allclose(model.predict(asked), [5, 2, 1], atol=0.1)


def test_dates_become_days_and_where_they_are_in_day_week_and_year() -> None:
    dates = ["2024-01-01 00:00:00", "1969-12-28 06:30:00", "2024-07-03 23:59:59.999999", None]
    features = pd.DataFrame({"sold": pd.to_datetime(pd.Series(dates), format="ISO8601")})
    moments, hours, weekdays, months = encode(
        features, "moments", "hour_of_day", "day_of_week", "month_of_year"
    )
    days = np.array([19723, -3.7291667, 19907.99999999, np.nan])
    assert moments == pytest.approx(list(days - np.nanmean(days)), nan_ok=True)
    assert hours == pytest.approx([0, 6.5, 24, np.nan], nan_ok=True)
    assert weekdays == pytest.approx([0, 6.2708333, 3, np.nan], nan_ok=True)  # Monday is 0
    assert months == pytest.approx([1, 12 + 27.2708333 / 31, 7 + 3 / 31, np.nan], nan_ok=True)


@pytest.mark.parametrize("start", [1_700_000_000, 2**30, 2**50, -(2**40)])
def test_numbers_far_from_zero_are_told_apart(start: int) -> None:
    rows = np.arange(300)
    features = pd.DataFrame({"second": start + rows.astype(float)})
    model = train(features, pd.Series(rows * 10.0))
    predicted = model.predict(features)
    assert len(np.unique(predicted)) > 60
    np.testing.assert_allclose(predicted, rows * 10.0, atol=100)


def test_moments_of_one_day_are_told_apart() -> None:
    rows = np.arange(600)
    features = pd.DataFrame({"at": pd.Timestamp("2026-11-29 10:00") + pd.to_timedelta(rows, "s")})
    predicted = train(features, pd.Series(rows * 1.0)).predict(features)
    assert len(np.unique(predicted)) > 100


def test_every_midnight_is_the_start_of_its_day() -> None:
    midnights = pd.Series(pd.date_range("1901-01-01", "2099-12-31", freq="D"))
    dates = pd.concat([midnights, midnights + pd.Timedelta(hours=1)], ignore_index=True)
    hours, weekdays, months = encode(
        pd.DataFrame({"sold": dates}), "hour_of_day", "day_of_week", "month_of_year"
    )
    assert hours == pytest.approx([0.0] * len(midnights) + [1.0] * len(midnights))
    np.testing.assert_array_equal(np.floor(weekdays), dates.dt.dayofweek)
    np.testing.assert_array_equal(np.floor(months), dates.dt.month)


def test_dates_of_one_year_without_times_have_no_parts_that_say_nothing() -> None:
    dates = pd.date_range("2024-01-01", "2024-12-01", freq="W")
    features = pd.DataFrame({"sold": pd.Series(dates)})
    columns = encode_columns(features, random_seed=3)
    assert [part for part, _, _ in columns.transformers] == ["days"]


@pytest.mark.parametrize("column", ["size", "garden", "city", "sex", "id", "sold"])
def test_column_without_a_value_in_a_request_is_predicted(
    model: Pipeline, row: pd.DataFrame, column: str
) -> None:
    empty = pd.Series([None], dtype=object, index=row.index).astype(row[column].dtype)
    assert np.isfinite(model.predict(row.assign(**{column: empty}))).all()


def test_row_of_gaps_only_is_predicted(model: Pipeline, row: pd.DataFrame) -> None:
    gaps = row.apply(lambda column: pd.Series([None], dtype=object).astype(column.dtype))
    assert np.isfinite(model.predict(gaps)).all()


def test_unseen_text_is_like_most_rows(model: Pipeline, row: pd.DataFrame) -> None:
    """No place in the alphabet, none of the few, the mean target."""
    prices = {
        city: model.predict(row.assign(city=city))[0] for city in ("Bern", "Basel", "Genf", "Zug")
    }
    assert prices["Zug"] < 6000  # a missing city adds 5000
    assert np.isfinite(prices["Zug"])


def test_boolean_column_may_come_without_gaps(model: Pipeline, row: pd.DataFrame) -> None:
    """MLflow makes bool of a request's column without null, object of one with it."""
    without, with_gaps = (
        row.assign(garden=[True]),
        row.assign(garden=pd.Series([True], dtype=object, index=row.index)),
    )
    assert without["garden"].dtype == bool
    np.testing.assert_array_equal(model.predict(without), model.predict(with_gaps))


def test_rows_are_predicted_one_by_one_as_together(features: pd.DataFrame, model: Pipeline) -> None:
    some = features.head(20)
    one_by_one = [model.predict(some.iloc[[at]])[0] for at in range(len(some))]
    np.testing.assert_array_equal(model.predict(some), one_by_one)


def test_columns_without_a_value_in_training_are_harmless() -> None:
    features = pd.DataFrame(
        {
            "size": np.arange(40.0),
            "text": pd.Series([None] * 40, dtype=object),
            "number": np.full(40, np.nan),
            "date": pd.Series([pd.NaT] * 40, dtype="datetime64[ns]"),
        }
    )
    model = train(features, features["size"])
    asked = features.head(1).assign(text="now there is one", date=pd.Timestamp("2024-01-01"))
    np.testing.assert_array_equal(model.predict(asked), model.predict(features.head(1)))


def test_large_identifier_leaves_nothing_in_the_model() -> None:
    rows = 6000
    features = pd.DataFrame({"id": pd.Series([f"house-{at}" for at in range(rows)])})
    target = pd.Series(np.arange(rows) % 7, dtype=float)
    model = train(features, target)
    assert len(skops.io.dumps(model)) < 1_000_000
    assert np.ptp(model.predict(features)) < 0.1
    named = features.assign(size=target)
    shares = make_recipe().rank_columns(train(named, target))
    assert shares is not None
    assert shares["id"] == pytest.approx(0, abs=0.001)


def test_only_the_most_frequent_of_very_many_values_are_known() -> None:
    """Each known value costs time in each request."""
    often = [f"street {at:05d}" for at in range(7000)] * 2 + ["Ring"] * 3
    rarely = [f"alley {at}" for at in range(10)]
    features = pd.DataFrame({"street": pd.Series([*often, *rarely], dtype=object)})
    model = train(features, pd.Series(np.arange(len(features)), dtype=float))
    (known,) = model.named_steps["columns"].named_transformers_["alphabet"].categories_
    assert len(known) == 5000
    assert "Ring" in known
    assert not set(rarely) & set(known)


def encode_means_only(features: pd.DataFrame) -> ColumnTransformer:
    """The plant: each category has one mean per fold in training, and another when serving."""
    text = [name for name in features.columns if features[name].dtype == object]
    folds = KFold(5, shuffle=True, random_state=3)
    return ColumnTransformer(
        [("means", TargetEncoder(target_type="continuous", cv=folds), text)],
        remainder="passthrough",
    )


def encode_one_hot(features: pd.DataFrame) -> ColumnTransformer:
    text = [name for name in features.columns if features[name].dtype == object]
    return ColumnTransformer(
        [("each", OneHotEncoder(sparse_output=False), text)], remainder="passthrough"
    )


def measure_error(encoder: ColumnTransformer, features: pd.DataFrame, target: Any) -> float:
    half = len(features) // 2
    forest = RandomForestRegressor(30, min_samples_leaf=3, random_state=3)
    model = Pipeline([("columns", encoder), ("forest", forest)])
    model.fit(features[:half], target[:half])
    return float(root_mean_squared_error(target[half:], model.predict(features[half:])))


def test_encoder_that_differs_between_training_and_serving_is_caught() -> None:
    """A table like plotnine's diamonds: prices depend closely on size, and a little on grades."""
    rng = np.random.default_rng(8)
    rows = 4000
    carat = rng.choice([0.3, 0.5, 0.7, 1, 1.5, 2], rows) + rng.gamma(1, 0.02, rows)
    features = pd.DataFrame({"carat": carat})
    target = 4000 * carat**1.7
    for name, count in {"cut": 5, "color": 7, "clarity": 8}.items():
        grade = rng.integers(0, count, rows)
        features[name] = pd.Series([f"{name}{at}" for at in grade], dtype=object)
        target *= 1 + 0.02 * rng.permutation(count)[grade]
    one_hot = measure_error(encode_one_hot(features), features, target)
    ours = measure_error(encode_columns(features[: rows // 2], random_seed=3), features, target)
    planted = measure_error(encode_means_only(features), features, target)
    assert ours < 1.03 * one_hot
    assert planted > 1.1 * one_hot


@pytest.mark.parametrize(("classes", "of_each_text"), [(2, 1), (3, 3), (10, 10), (11, 0)])
def test_text_has_a_mean_for_each_class_unless_they_are_many(
    features: pd.DataFrame, classes: int, of_each_text: int
) -> None:
    """Of two classes the second's share says all."""
    target = recipes.make_classes(features, "text", classes)
    columns = encode_columns(features, random_seed=3, classes=classes).fit(features, target)
    place = columns.output_indices_.get("mean_target", slice(0, 0))
    assert place.stop - place.start == 2 * of_each_text  # city, sex; each id is in one row


def test_whole_numbers_that_are_classes_have_no_mean() -> None:
    """By itself scikit-learn would take 0 and 3 for two classes, 0, 3 and 7 for numbers or not."""
    features = pd.DataFrame({"city": ["Bern", "Basel", "Bern", "Genf"] * 25})
    target = pd.Series([0, 3, 0, 7] * 25)
    columns = encode_columns(features, random_seed=3, classes=3)
    columns.fit(features, target)
    means = columns.named_transformers_["mean_target"]
    assert means.target_type_ == "multiclass"
    assert list(means.classes_) == [0, 3, 7]
