"""Gradient boosting of scikit-learn over histograms: trees that correct each other."""

import math
from typing import Any

from .contract import REGRESSION, BuildRequest, Estimator, Parameter

_HELD_OUT = 0.1


def build(request: BuildRequest) -> Any:
    """A tenth of the rows tells when further trees don't help any more."""
    from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor

    kind = (
        HistGradientBoostingRegressor
        if request.task == REGRESSION
        else HistGradientBoostingClassifier
    )
    return kind(
        max_iter=request.parameters["boosting_rounds"],
        learning_rate=request.parameters["learning_rate"],
        max_leaf_nodes=request.parameters["max_leaf_nodes"],
        # Of small noisy tables more trees would learn the noise by heart (german, OJ of
        # benchmarks/accuracy.py: a loss of 14 and 22 % more), and be sure of it.
        early_stopping=_can_hold_out(request),
        validation_fraction=_HELD_OUT,
        random_state=request.random_seed,
    )


def _can_hold_out(request: BuildRequest) -> bool:
    """Of classes, scikit-learn holds out a row of each, and leaves one to learn from."""
    if not request.class_rows:
        return True
    held_out = math.ceil(_HELD_OUT * request.rows)
    return min(request.class_rows) >= 2 and held_out >= len(request.class_rows)


def rank(boosting: Any) -> Any:
    """The gain of all splits by each column."""
    import numpy as np

    gains = np.zeros(boosting.n_features_in_)
    for trees in boosting._predictors:
        for tree in trees:
            inner = tree.nodes[tree.nodes["is_leaf"] == 0]
            np.add.at(gains, inner["feature_idx"].astype(int), inner["gain"])
    return gains


ESTIMATOR = Estimator(
    build=build,
    parameters=(
        Parameter(
            name="BoostingRounds",
            default=100,
            low=1,
            high=10_000,
            meaning="trees, one after the other, at most",
            small=3,
        ),
        Parameter(
            name="LearningRate",
            default=0.1,
            low=0.0001,
            high=1.0,
            meaning="how much of each tree's correction counts",
        ),
        Parameter(
            name="MaxLeafNodes", default=31, low=2, high=10_000, meaning="leaves of a tree, at most"
        ),
    ),
    trusted_types={
        "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor": "arrays of "
        "numbers, which are read and never called",
    },
    rank=rank,
)
