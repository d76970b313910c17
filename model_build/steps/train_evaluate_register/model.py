"""The model: the table's columns as numbers, then the estimator that was chosen.

row ─▶ columns (columns.py) ─▶ estimator (estimators/<name>.py) ─▶ a number, or a class
"""

import importlib.metadata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import columns
import pandas as pd
from estimators.contract import BuildRequest, Estimator, Number, Parameter, Task
from sklearn.pipeline import Pipeline

# What loading and predicting import besides MLflow, whatever the estimator is.
_PACKAGES = ("numpy", "pandas", "scikit-learn", "skops")


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """What the model is made by. `parameters` are the estimator's own, by name."""

    name: str
    estimator: Estimator
    task: Task
    classes: Sequence[Any]
    parameters: Mapping[str, Number]
    random_seed: int

    @property
    def trusted_types(self) -> dict[str, str]:
        """What skops may create to load the model, and why that is harmless."""
        return {**columns.TRUSTED_TYPES, **self.estimator.trusted_types}

    @property
    def packages(self) -> list[str]:
        """What a server has to install besides MLflow."""
        return sorted({*_PACKAGES, *self.estimator.packages})

    def build(
        self,
        features: pd.DataFrame,
        target: "pd.Series[Any]",
        *,
        rehearsed_with: Sequence[int] | None = None,
    ) -> Pipeline:
        """Untrained, for features as columns.encode_columns takes them.

        `rehearsed_with`, the positions of the few rows that it will be trained with, makes it
        quick: parameters that cost time have the value for that. The encoders are those of all.
        """
        small = rehearsed_with is not None
        learned = target if rehearsed_with is None else target.iloc[list(rehearsed_with)]
        request = BuildRequest(
            task=self.task,
            parameters={
                parameter.keyword: self._choose(parameter, small)
                for parameter in self.estimator.parameters
            },
            random_seed=self.random_seed,
            rows=len(learned),
            class_rows=learned.value_counts().tolist() if self.classes else [],
        )
        encoded = columns.encode_columns(features, self.random_seed, len(self.classes))
        return Pipeline([("columns", encoded), ("estimator", self.estimator.build(request))])

    def _choose(self, parameter: Parameter, small: bool) -> Number:
        value = self.parameters[parameter.name]
        return value if parameter.small is None or not small else min(value, parameter.small)

    def make_ready(self, model: Pipeline) -> None:
        """Leave behind what only training needed."""
        columns.reset_for_serving(model.named_steps["columns"])
        model.named_steps["estimator"].set_params(**self.estimator.when_serving)

    def rank_columns(self, model: Pipeline) -> "pd.Series[float] | None":
        """Each table column's share in what was learned, largest first; they add up to 1.

        None if the estimator can't tell. Where nothing was learned all are 0.
        """
        if self.estimator.rank is None:
            return None
        shares = self.estimator.rank(model.named_steps["estimator"])
        sums = columns.sum_by_column(model.named_steps["columns"], shares)
        return sums / sums.sum() if sums.sum() > 0 else sums


def pin_packages(packages: Sequence[str]) -> list[str]:
    """The versions in use here, as lines of a requirements.txt."""
    return [f"{name}=={importlib.metadata.version(name)}" for name in packages]
