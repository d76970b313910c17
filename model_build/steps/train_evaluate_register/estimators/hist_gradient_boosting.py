"""Gradient boosting of scikit-learn over histograms: trees that correct each other."""

from typing import Any

from .contract import REGRESSION, BuildRequest, Estimator, Parameter


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
        early_stopping=True,
        random_state=request.random_seed,
    )


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
