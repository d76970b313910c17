"""The model: raw columns in, one number out."""

import pandas as pd
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import RandomForestRegressor
from sklearn.model_selection import KFold
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import TargetEncoder

# While training, each row's text is encoded by rows of other folds, so that it can't tell its own
# target.
_FOLDS = 5


def build_model(
    features: pd.DataFrame, *, n_estimators: int, min_samples_leaf: int, random_seed: int
) -> Pipeline:
    """An untrained forest that takes numbers as they are and text by what it says of the target.

    Missing numbers go where the forest learns to send them. A text column becomes one number, so
    neither a column of a thousand different values nor a value never seen is a problem.
    See docs/decisions/0013-columns-of-a-table.md.
    """
    text = [name for name in features.columns if features[name].dtype == object]
    numbers = [name for name in features.columns if name not in text]
    folds = KFold(_FOLDS, shuffle=True, random_state=random_seed)
    encode = ColumnTransformer(
        [
            ("numbers", "passthrough", numbers),
            ("text", TargetEncoder(target_type="continuous", cv=folds), text),
        ],
        verbose_feature_names_out=False,
    )
    forest = RandomForestRegressor(
        n_estimators=n_estimators,
        min_samples_leaf=min_samples_leaf,
        random_state=random_seed,
        n_jobs=-1,
    )
    return Pipeline([("columns", encode), ("forest", forest)])


def reset_for_serving(model: Pipeline) -> None:
    """Leave what only training needed behind.

    One thread for each prediction: setting up workers takes longer than one row does. And the
    folds become a number, so that a server need not trust their type to load the model.
    """
    model.set_params(forest__n_jobs=None, columns__text__cv=_FOLDS)
    # ColumnTransformer trains a copy of each part; without text columns there is none.
    trained = model.named_steps["columns"].named_transformers_.get("text")
    if isinstance(trained, TargetEncoder):
        trained.set_params(cv=_FOLDS)


def rank_columns(model: Pipeline) -> "pd.Series[float]":
    """Each column's share (they add up to 1) in what the forest learned, largest first."""
    names = model.named_steps["columns"].get_feature_names_out()
    shares = pd.Series(model.named_steps["forest"].feature_importances_, index=names)
    return shares.sort_values(ascending=False)
