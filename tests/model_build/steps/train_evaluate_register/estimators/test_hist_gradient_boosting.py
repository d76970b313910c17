"""What boosting alone does: it stops early where rows can be held out, and ranks by gain."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
import pytest
from estimators.contract import BuildRequest
from estimators.hist_gradient_boosting import build, rank


def request(class_rows: Sequence[int], rows: int = 200, boosting_rounds: int = 100) -> BuildRequest:
    return BuildRequest(
        task="classification" if class_rows else "regression",
        parameters={
            "boosting_rounds": boosting_rounds,
            "learning_rate": 0.1,
            "max_leaf_nodes": 31,
        },
        random_seed=3,
        rows=sum(class_rows) or rows,
        class_rows=class_rows,
    )


@pytest.mark.parametrize(
    ("class_rows", "stops_early"),
    [
        ([], True),
        ([100, 100], True),
        ([18, 2], True),
        ([199, 1], False),  # a row is held out of each class, and none would be left
        ([7, 7, 6], False),  # two rows are held out, of three classes
        ([67, 67, 66], True),
        ([17] * 12, True),
        ([9] * 10, False),
        ([10] * 10, True),
        ([2] * 60, False),
    ],
)
def test_it_stops_early_where_a_row_of_each_class_can_be_held_out(
    class_rows: Sequence[int], stops_early: bool
) -> None:
    boosting = build(request(class_rows))
    assert boosting.early_stopping is stops_early
    rows = sum(class_rows) or 200
    features = np.random.default_rng(1).normal(size=(rows, 2))
    target = np.repeat(np.arange(len(class_rows)), class_rows) if class_rows else features[:, 0]
    boosting.set_params(max_iter=2).fit(features, target)


def test_noise_is_not_boosted_to_the_end() -> None:
    rng = np.random.default_rng(2)
    boosting = build(request([], rows=300, boosting_rounds=10_000))
    boosting.fit(rng.normal(size=(300, 3)), rng.normal(size=300))
    assert boosting.n_iter_ < 200


def test_columns_are_ranked_by_what_their_splits_gained() -> None:
    rng = np.random.default_rng(2)
    features = rng.normal(size=(400, 3))
    for target in (5 * features[:, 1] + features[:, 2], pd.cut(features[:, 1], 3, labels=False)):
        kinds = np.unique(target, return_counts=True)[1].tolist() if len(set(target)) == 3 else []
        gains = rank(build(request(kinds, rows=400)).fit(features, target))
        assert gains.shape == (3,)
        assert gains.argmax() == 1
        assert (gains >= 0).all()
    constant = build(request([], rows=400)).fit(features, np.ones(400))
    assert rank(constant).tolist() == [0, 0, 0]
