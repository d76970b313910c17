"""A random forest of scikit-learn: the default."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from .contract import REGRESSION, BuildRequest, Estimator, Parameter

if TYPE_CHECKING:
    import pandas as pd

# float32, in which trees compute, has each whole number up to here.
_LARGEST_APART = 2**24


def build(request: BuildRequest) -> Any:
    """Each tree draws `max_rows_per_tree` rows (with replacement); 0: as many as there are."""
    from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor

    kind = RandomForestRegressor if request.task == REGRESSION else RandomForestClassifier
    most_rows = request.parameters["max_rows_per_tree"]
    return kind(
        n_estimators=request.parameters["n_estimators"],
        min_samples_leaf=request.parameters["min_samples_leaf"],
        max_samples=most_rows if 0 < most_rows < request.rows else None,
        random_state=request.random_seed,
        n_jobs=-1,
    )


def rank(forest: Any) -> Sequence[float]:
    """Each column's reduction of impurity."""
    shares: Sequence[float] = forest.feature_importances_
    return shares


def find_merged(features: "pd.DataFrame") -> list[str]:
    """A sentence for each column whose whole numbers trees can't tell apart: in float32, above
    2^24, neighbours are one.
    """
    from columns import shift_far_numbers

    told = []
    for name, column, shifted in shift_far_numbers(features):
        if not column.abs().max() > _LARGEST_APART:
            continue
        values, apart = column.nunique(), shifted.astype("float32").nunique()
        if apart < values and (column.dropna() % 1 == 0).all():
            told.append(
                f"column {name!r}: {values} different numbers are {apart} for the forest, which "
                "computes in float32; if they are names, write them as text"
            )
    return told


ESTIMATOR = Estimator(
    build=build,
    parameters=(
        Parameter(name="NEstimators", default=100, low=1, high=10_000, meaning="trees", small=5),
        Parameter(
            name="MinSamplesLeaf",
            default=3,
            low=1,
            high=1_000_000,
            meaning="rows in a leaf, at least",
        ),
        Parameter(
            name="MaxRowsPerTree",
            default=100_000,
            low=0,
            high=10**9,
            meaning="rows that a tree learns from, at most; 0: as many as there are",
        ),
    ),
    trusted_types={
        "sklearn.tree._tree.Tree": "the nodes of one tree: arrays of numbers, and a __setstate__ "
        "in Cython that checks their layout; it imports and calls nothing",
    },
    rank=rank,
    # Setting up workers takes longer than predicting one row does.
    when_serving={"n_jobs": None},
    remark=find_merged,
)
