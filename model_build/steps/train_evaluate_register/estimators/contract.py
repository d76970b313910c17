"""What a file in this folder says of its estimator.

Nothing here or at the top of such a file may import more than Python has: the pipeline is compiled
where no estimator is installed, and takes its parameters from these files.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    import pandas as pd

Task = Literal["regression", "classification"]
Number = int | float

REGRESSION: Task = "regression"
CLASSIFICATION: Task = "classification"

# Between the words of MaxRowsPerTree and of NEstimators.
_NEW_WORD = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")


class EstimatorError(Exception):
    """An estimator's file, or a choice among them, is wrong; the message says what to do."""


@dataclass(frozen=True, kw_only=True)
class Parameter:
    """A number that the pipeline has a parameter for: its name there, as in `MaxRowsPerTree`.

    A default of Python's int makes it whole numbers only. `small` is what the rehearsal takes
    instead where the parameter costs time.
    """

    name: str
    default: Number
    low: Number
    high: Number
    meaning: str
    small: Number | None = None

    @property
    def keyword(self) -> str:
        """As `build` gets it: `max_rows_per_tree`."""
        return _NEW_WORD.sub("_", self.name).lower()

    @property
    def flag(self) -> str:
        """As the training job gets it: `max-rows-per-tree`."""
        return self.keyword.replace("_", "-")

    @property
    def expected(self) -> str:
        """What a value should be, for messages: `a whole number from 1 to 10000`."""
        what = "a whole number" if isinstance(self.default, int) else "a number"
        return f"{what} from {_write(self.low)} to {_write(self.high)}"


def _write(number: Number) -> str:
    """1000000, not 1e+06."""
    return str(int(number)) if number == int(number) else f"{number:g}"


@dataclass(frozen=True, kw_only=True)
class BuildRequest:
    """What an estimator is built for. `parameters` has the file's own, by keyword.

    `rows` is how many it will learn from, `class_rows` how many of each class; none for numbers.
    """

    task: Task
    parameters: Mapping[str, Any]
    random_seed: int
    rows: int
    class_rows: Sequence[int] = ()


@dataclass(frozen=True, kw_only=True)
class Estimator:
    """One estimator: `ESTIMATOR = Estimator(...)` in a file named as the estimator is.

    build          an untrained scikit-learn estimator: fit and predict; for classes also
                   predict_proba and classes_, and predict gives the most probable class. It gets
                   float64 columns, NaN where a value is missing
    trusted_types  what skops must create beyond its own list to load the trained model, each with
                   the reason why that is harmless: read what loading it does
    packages       what loading and predicting import besides numpy, pandas, scikit-learn and skops
    rank           how much was learned from each column, 0 or more, in the order of the columns;
                   None where the estimator can't tell
    when_serving   parameters of the estimator that are set once it has learned
    remark         sentences on what it can't do with these features
    """

    build: Callable[[BuildRequest], Any]
    parameters: Sequence[Parameter] = ()
    trusted_types: Mapping[str, str] = field(default_factory=dict)
    packages: Sequence[str] = ()
    rank: Callable[[Any], Sequence[float]] | None = None
    when_serving: Mapping[str, Any] = field(default_factory=dict)
    remark: "Callable[[pd.DataFrame], Sequence[str]] | None" = None
    tasks: Sequence[Task] = (REGRESSION, CLASSIFICATION)
