"""The model takes raw columns: text, missing values, values it never saw."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import skops.io
from forest import build_model, rank_columns, reset_for_serving
from registration import TRUSTED_TYPES
from sklearn.pipeline import Pipeline
from training_data import Part, TrainingDataError, read_training_data


def trained(part: Part, seed: int = 3) -> Pipeline:
    model = build_model(part.features, n_estimators=10, min_samples_leaf=2, random_seed=seed)
    model.fit(part.features, part.target)
    reset_for_serving(model)
    return model


@pytest.fixture(scope="module")
def train(prepared: Path) -> Part:
    return read_training_data(prepared, "price").train


def test_same_seed_same_model(train: Part) -> None:
    first, second, other = trained(train), trained(train), trained(train, seed=4)
    np.testing.assert_array_equal(first.predict(train.features), second.predict(train.features))
    assert not np.array_equal(first.predict(train.features), other.predict(train.features))


def test_missing_text_is_a_value_of_its_own(train: Part) -> None:
    known = train.features.head(1).assign(city="Bern")
    unknown = known.assign(city=pd.Series([None], dtype=object, index=known.index))
    model = trained(train)
    assert model.predict(unknown)[0] - model.predict(known)[0] > 2000


def test_unseen_text_and_missing_numbers_are_predicted(train: Part) -> None:
    row = train.features.head(1).assign(city="Zug", size=np.nan, rooms=np.nan)
    assert np.isfinite(trained(train).predict(row)).all()


def test_serving_uses_one_thread(train: Part) -> None:
    assert trained(train).named_steps["forest"].n_jobs is None


def test_every_column_has_its_share(train: Part) -> None:
    shares = rank_columns(trained(train))
    assert set(shares.index) == set(train.features.columns)
    assert shares.sum() == pytest.approx(1)
    assert shares.is_monotonic_decreasing
    assert shares.index[0] == "city"


def test_saved_model_asks_for_no_more_than_the_reviewed_types(train: Part) -> None:
    for part in (train, Part(features=train.features[["size", "rooms"]], target=train.target)):
        saved = skops.io.dumps(trained(part))
        assert set(skops.io.get_untrusted_types(data=saved)) <= set(TRUSTED_TYPES)
    text_only = Part(features=train.features[["city"]], target=train.target)
    assert set(skops.io.get_untrusted_types(data=skops.io.dumps(trained(text_only)))) <= set(
        TRUSTED_TYPES
    )


def test_folder_without_the_files_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TrainingDataError, match="does not hold the three files"):
        read_training_data(tmp_path, "price")


def test_other_target_than_prepared_is_refused(prepared: Path) -> None:
    with pytest.raises(TrainingDataError, match="no target column 'cost'; TARGET_COLUMN"):
        read_training_data(prepared, "cost")
