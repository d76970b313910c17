"""Before the training: twenty rows go the whole way that the trained model will go.

    build ─▶ fit ─▶ rank ─▶ save ─▶ trusted? installed? ─▶ load ─▶ predict ─▶ as before, and JSON

What an estimator's file lacks is known within seconds, not after the training.
"""

import io
import json
import re
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.metadata import packages_distributions
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import evaluation
import mlflow.pyfunc
import mlflow.sklearn
import numpy as np
import pandas as pd
import registration
import skops.io
from estimators.contract import CLASSIFICATION
from model import Recipe, pin_packages
from sklearn.pipeline import Pipeline
from training_data import TrainingData

ROWS = 20
# All else that modelDeploy takes from an estimator's file are classes, whose names begin with a
# capital letter: a function could do anything with what the file gives it.
_NO_CLASSES = ("collections.defaultdict", "collections.deque", "numpy.dtype", "numpy.interp")
# With two, scikit-learn takes many classes for numbers, and warns.
_ROWS_OF_A_CLASS = 3


class RehearsalError(Exception):
    """The estimator can't go the whole way; the message says where it stopped and what to do."""


def rehearse(recipe: Recipe, data: TrainingData) -> None:
    """Return if a model made by `recipe` can be trained, saved, loaded and asked.

    Raises RehearsalError.
    """
    rows = choose_rows(data)
    step = _Step(recipe.name, len(rows))
    with step("taken", f"its file's `tasks` are {', '.join(recipe.estimator.tasks)}"):
        if recipe.task not in recipe.estimator.tasks:
            raise ValueError(f"it does no {recipe.task}")
    with step("pinned", "`packages` has the names that pip knows; requirements.txt installs them"):
        pin_packages(recipe.packages)
    features, target = data.train.features.iloc[rows], data.train.target.iloc[rows]
    with step("built", f"`request.parameters` has {_list_keywords(recipe)}", when=KeyError):
        # Of all rows, as the real one: which encoders there are follows from them.
        model = recipe.build(data.train.features, data.train.target, rehearsed_with=rows)
    with step("trained", "A parameter that needs more rows has `small`, a value for so few"):
        model.fit(features, target)
        recipe.make_ready(model)
    asked = _add_gaps(features, data)
    gaps = "Values may be missing: NaN in the columns that it gets"
    with step("asked", gaps, when=ValueError):
        before = evaluation.predict(model, asked, recipe.classes)
    with step("ranked", "`rank` gives each encoded column a share of 0 or more, or is None"):
        _check_ranking(recipe, model)
    with step("remarked on", "`remark` gives a list of sentences, or is None"):
        _check_remarks(recipe, features)
    with tempfile.TemporaryDirectory(prefix="rehearsal-") as folder:
        path = Path(folder, "model")
        with step("saved"):
            _check_types(recipe, model)
            saved_as = registration.describe_model(recipe, data)
            mlflow.sklearn.save_model(model, str(path), **saved_as)
        with step("loaded and asked"):
            loaded = mlflow.pyfunc.load_model(str(path))
            served = np.asarray(loaded.predict(asked))
            if not np.array_equal(served, before.values):
                raise ValueError("it answers otherwise than before it was saved")
    with step("written as JSON"):
        json.dumps([evaluation.to_json(value) for value in served], allow_nan=False)


def choose_rows(data: TrainingData) -> list[int]:
    """Positions of about twenty training rows, and of some with gaps, which may be few.

    Of each class at least three, if there are; of numbers from the smallest to the largest, since
    equal ones say nothing to some estimators.
    """
    target = data.train.target
    if data.task == CLASSIFICATION:
        of_each = max(_ROWS_OF_A_CLASS, -(-ROWS // len(data.classes)))
        places = pd.Series(range(len(target)), index=target.to_numpy())
        chosen = places.groupby(level=0).head(of_each).tolist()
    else:
        steps = np.linspace(0, len(target) - 1, min(ROWS, len(target))).astype(int)
        chosen = target.to_numpy().argsort(kind="stable")[steps].tolist()
    return sorted({*chosen, *_find_gaps(data.train.features)})


def _add_gaps(features: pd.DataFrame, data: TrainingData) -> pd.DataFrame:
    """The rows, and their first one again without a value in each column that may lack one.

    The only gaps of a column may be in the test part, or in a request.
    """
    gaps = [column["name"] for column in data.columns if column["gaps"]]
    if not gaps:
        return features
    empty = features.head(1).copy()
    for name in gaps:
        empty[name] = pd.Series([None], index=empty.index, dtype=object).astype(
            features[name].dtype
        )
    return pd.concat([features, empty])


def _find_gaps(features: pd.DataFrame) -> list[int]:
    """The first row with a gap of each column, of twenty columns that have one."""
    gaps = features.isna().to_numpy()
    first: list[int] = gaps[:, gaps.any(axis=0)].argmax(axis=0)[:ROWS].tolist()
    return first


class _Step:
    """Names what was tried in the message of whatever goes wrong there."""

    def __init__(self, name: str, rows: int) -> None:
        self._name = name
        self._rows = rows

    @contextmanager
    def __call__(
        self, what: str, advice: str = "", when: type[Exception] = Exception
    ) -> Iterator[None]:
        """The advice is given to errors of the kind `when`."""
        try:
            yield
        except Exception as err:
            if not isinstance(err, when):
                advice = ""
            told = str(err) if type(err) is ValueError else f"{type(err).__name__}: {err}"
            file = f"estimators/{self._name.replace('-', '_')}.py"
            raise RehearsalError(
                f"{file}: its model can't be {what}, tried with {self._rows} rows before the "
                f"training: {told}{advice and f'. {advice}'}"
            ) from err


def _list_keywords(recipe: Recipe) -> str:
    keywords = [parameter.keyword for parameter in recipe.estimator.parameters]
    return ", ".join(keywords) or "nothing: the file declares no `parameters`"


def _check_ranking(recipe: Recipe, model: Pipeline) -> None:
    if recipe.estimator.rank is None:
        return
    shares = np.asarray(recipe.estimator.rank(model.named_steps["estimator"]), dtype=np.float64)
    columns = len(model.named_steps["columns"].get_feature_names_out())
    if shares.shape != (columns,):
        raise ValueError(f"it gives {shares.size} shares of {columns} encoded columns")
    wrong = shares[~(np.isfinite(shares) & (shares >= 0))]
    if len(wrong):
        raise ValueError(f"it gives {wrong[0]:g}")
    recipe.rank_columns(model)


def _check_remarks(recipe: Recipe, features: pd.DataFrame) -> None:
    if recipe.estimator.remark is None:
        return
    told = recipe.estimator.remark(features)
    if isinstance(told, str) or not all(isinstance(sentence, str) for sentence in told):
        raise ValueError(f"it gives {told!r}")


def _check_types(recipe: Recipe, model: Pipeline) -> None:
    """Raise ValueError for a type that is not trusted, or whose package no server would have."""
    content = skops.io.dumps(model)
    unknown = sorted(set(skops.io.get_untrusted_types(data=content)) - set(recipe.trusted_types))
    if unknown:
        raise ValueError(
            f"nobody reviewed {', '.join(unknown)}. Read what loading them does, and add each to "
            "`trusted_types` with the reason why it is harmless"
        )
    functions = [name for name in recipe.trusted_types if not _is_class(name)]
    if functions:
        raise ValueError(
            f"{', '.join(functions)} in `trusted_types` is no class, and no deployment takes a "
            "function's word from here. Build the model without it"
        )
    installed_by = packages_distributions()
    wanted = {_normalise(name) for name in recipe.packages}
    modules = _list_modules(content)
    own = sorted(modules & {path.stem for path in Path(__file__).parent.iterdir()})
    if own:
        raise ValueError(
            f"the model holds objects of the training step's own module {own[0]}, which no server "
            "would have. Build it of the classes of packages that pip installs"
        )
    for module in sorted(modules):
        names = [_normalise(name) for name in installed_by.get(module, [])]
        if names and not wanted & set(names):
            raise ValueError(
                f"the model holds objects of the package {names[0]}, which no server would have. "
                f'Add "{names[0]}" to `packages`'
            )


def _is_class(name: str) -> bool:
    return name in _NO_CLASSES or name.rpartition(".")[2].lstrip("_")[:1].isupper()


def _list_modules(content: bytes) -> set[str]:
    """The top modules of all that is in the file."""
    with ZipFile(io.BytesIO(content)) as archive:
        schema = json.loads(archive.read("schema.json"))
    found: set[str] = set()
    _collect_modules(schema, found)
    return found


def _collect_modules(node: Any, found: set[str]) -> None:
    if isinstance(node, Mapping):
        if isinstance(node.get("__module__"), str):
            found.add(node["__module__"].partition(".")[0])
        for child in node.values():
            _collect_modules(child, found)
    elif isinstance(node, Sequence) and not isinstance(node, str):
        for child in node:
            _collect_modules(child, found)


def _normalise(name: str) -> str:
    """As pip compares names."""
    return re.sub(r"[-_.]+", "-", name).lower()
