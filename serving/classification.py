"""The classes of a model that tells them in its MLmodel file, and their probabilities.

metadata:
  classes: [cheap, dear]   texts, booleans or integers, in the order of the model's own classes_

    frame ─▶ predict_proba, once ─▶ predictions (labels), classes, probabilities of each row
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import INTERNAL_ERROR
from mlflow.pyfunc import PyFuncModel

from serving.errors import TableError

_KINDS = (str, bool, int)


class Classifier:
    """Answers with labels and probabilities in place of the model's own predictions."""

    def __init__(self, model: Any, classes: list[Any]) -> None:
        self._classes = classes
        # MLflow's own class again, so that rows and params are checked as before a prediction.
        self._model = PyFuncModel(
            model_meta=model.metadata, model_impl=_Probabilities(model.get_raw_model())
        )

    @classmethod
    def from_model(cls, model: Any) -> Classifier | None:
        """None for a model whose metadata tells no classes.

        Raises TableError naming all that is wrong with them.
        """
        metadata: Mapping[str, Any] = model.metadata.metadata or {}
        if "classes" not in metadata:
            return None
        classes = metadata["classes"]
        try:
            raw = model.get_raw_model()
        except NotImplementedError:
            raw = None
        problems = [*_problems(classes), *_contradictions(classes, raw)]
        if problems:
            raise TableError("the model's classes can not be served: " + "; ".join(problems))
        return cls(model, classes)

    def predict(self, frame: Any, params: Any) -> dict[str, Any]:
        """Labels, classes and probabilities, as JSON has them.

        The label is the class of the largest probability, of equal ones the first: that is what
        predict says of a model that the training step registered.
        """
        probabilities = np.asarray(self._model.predict(frame, params=params), dtype="float64")
        shape = (len(frame), len(self._classes))
        if probabilities.shape != shape:
            raise MlflowException(
                f"the model gives probabilities of shape {probabilities.shape}, not {shape}: one "
                "for each row and class",
                error_code=INTERNAL_ERROR,
            )
        wrong = np.flatnonzero(~np.isfinite(probabilities).all(axis=1))
        if len(wrong):
            raise MlflowException(
                f"row {wrong[0] + 1}: the model gives no probabilities of it, but "
                f"{probabilities[wrong[0]].tolist()}; {len(wrong)} of {len(frame)} rows are so",
                error_code=INTERNAL_ERROR,
            )
        return {
            "predictions": [self._classes[index] for index in probabilities.argmax(axis=1)],
            "classes": self._classes,
            "probabilities": probabilities.tolist(),
        }


class _Probabilities:
    """A model implementation, as MLflow calls it, that predicts probabilities."""

    def __init__(self, raw: Any) -> None:
        self._raw = raw

    def predict(self, frame: Any, params: Any = None) -> Any:  # noqa: ARG002 - MLflow's
        return self._raw.predict_proba(frame)


def _problems(classes: object) -> list[str]:
    if not isinstance(classes, list) or len(classes) < 2:
        return [f"they are {classes!r}, not a list of two or more"]
    if not any(all(type(each) is kind for each in classes) for kind in _KINDS):
        return [f"they are {classes!r}, neither all texts nor all booleans nor all integers"]
    twice = [each for number, each in enumerate(classes) if each in classes[:number]]
    return [f"{twice[0]!r} is there twice"] if twice else []


def _contradictions(classes: object, raw: Any) -> list[str]:
    """What the model itself says otherwise."""
    if not hasattr(raw, "predict_proba"):
        kind = "of another flavour" if raw is None else f"a {type(raw).__name__}"
        return [f"the model ({kind}) has no predict_proba"]
    own = np.asarray(getattr(raw, "classes_", ())).tolist()
    if not isinstance(classes, list):
        return []
    if len(own) != len(classes):
        return [f"they are {len(classes)}, the model knows {len(own)}"]
    moved = own != classes and all(each in classes for each in own)
    return [f"they are in the order {classes!r}, the model has {own!r}"] if moved else []
