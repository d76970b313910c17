"""What a classifier with a table answers: labels, classes, probabilities."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from mlflow.pyfunc import PyFuncModel, scoring_server

from serving.errors import TableError
from serving.server import TableServer

Ask = Callable[..., tuple[int, Any]]
Save = Callable[..., pd.DataFrame]

# By kind and number of classes; as metadata has them, sorted as scikit-learn sorts.
_CLASSES: dict[str, list[Any]] = {
    "two texts": ["no", "yes"],
    "five texts": ["1", "10", "2", 'a, "b"', "é"],
    "booleans": [False, True],
    "two integers": [0, 1],
    "five integers": [-1, 0, 3, 7, 1000],
}


def _load(folder: Path) -> Any:
    import mlflow.pyfunc

    return mlflow.pyfunc.load_model(str(folder))


@pytest.fixture
def model(classifier: Any) -> Any:
    return _load(classifier.folder)


def _json_of(rows: pd.DataFrame) -> bytes:
    data = [[None if pd.isna(size) else size, town] for size, town in rows.itertuples(index=False)]
    return json.dumps({"dataframe_split": {"columns": ["size", "town"], "data": data}}).encode()


def _serve(model: Any) -> TableServer:
    return TableServer(model, scoring_server.init(model))


@pytest.mark.parametrize("classes", _CLASSES.values(), ids=_CLASSES)
def test_labels_and_probabilities_are_the_model_s_own_in_both_forms(
    tmp_path: Path, ask: Ask, save_classifier: Save, classes: list[Any]
) -> None:
    rows = save_classifier(tmp_path / "model", classes)
    model = _load(tmp_path / "model")
    app = _serve(model)
    raw = model.get_raw_model()
    csv = rows.to_csv(index=False).encode()
    for body, content_type in ((_json_of(rows), "application/json"), (csv, "text/csv")):
        status, answer = ask(app, body, content_type)
        assert status == 200, answer
        assert list(answer) == ["predictions", "classes", "probabilities"]
        assert answer["classes"] == classes
        kind = type(classes[0])
        assert {type(value) for value in answer["predictions"] + answer["classes"]} == {kind}
        assert answer["predictions"] == raw.predict(rows).tolist()
        assert len(set(answer["predictions"])) > 1
        np.testing.assert_allclose(answer["probabilities"], raw.predict_proba(rows), rtol=1e-12)


def test_the_model_is_asked_once_with_the_frame_of_the_request(
    model: Any, ask: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    raw = model.get_raw_model()
    asked = []

    def predict_proba(frame: pd.DataFrame) -> Any:
        asked.append(frame)
        return np.full((len(frame), 2), 0.5)

    monkeypatch.setattr(raw, "predict_proba", predict_proba)
    monkeypatch.setattr(raw, "predict", None)
    status, answer = ask(_serve(model), b"town,size\nBern,1\nBern,NA", "text/csv")
    assert (status, answer["predictions"]) == (200, ["no", "no"])
    (frame,) = asked
    assert list(frame.columns) == ["size", "town"]
    assert frame["size"].dtype == "float64"


def test_a_request_with_params_is_answered(model: Any, ask: Ask) -> None:
    body = b'{"inputs": {"size": 1, "town": "Bern"}, "params": {"quantile": 0.9}}'
    status, answer = ask(_serve(model), body)
    assert (status, list(answer)) == (200, ["predictions", "classes", "probabilities"])


def test_what_does_not_fit_the_signature_is_refused_as_mlflow_does(
    tmp_path: Path, ask: Ask, save_classifier: Save
) -> None:
    """A table that lets through what the signature does not."""
    columns = [
        {"name": "size", "kind": "text", "gaps": True},
        {"name": "town", "kind": "text", "gaps": False},
    ]
    table = {"version": 1, "columns": columns}
    save_classifier(tmp_path / "model", ["no", "yes"], table=table)
    model = _load(tmp_path / "model")
    body = b'{"inputs": {"size": "x", "town": "Bern"}}'
    ours = ask(_serve(model), body)
    regression = TableServer(_WithoutClasses(model), scoring_server.init(model))
    assert ours == ask(regression, body)
    assert (ours[0], ours[1]["error_code"]) == (400, "INVALID_PARAMETER_VALUE")
    assert "Failed to enforce schema" in ours[1]["message"]


class _WithoutClasses:
    """The same model, answered as any other."""

    def __init__(self, model: Any) -> None:
        metadata = {k: v for k, v in model.metadata.metadata.items() if k != "classes"}
        self.metadata = type("M", (), {"metadata": metadata})()
        self.predict = model.predict


def test_a_crash_of_the_model_is_answered_as_without_classes(
    model: Any, ask: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    def crash(_: Any) -> None:
        raise ZeroDivisionError("no trees")

    monkeypatch.setattr(model.get_raw_model(), "predict_proba", crash)
    monkeypatch.setattr(model.get_raw_model(), "predict", crash)
    body = b'{"inputs": {"size": 1, "town": "Bern"}}'
    ours = ask(_serve(model), body)
    theirs = ask(TableServer(_WithoutClasses(model), scoring_server.init(model)), body)
    assert ours[0] == theirs[0] == 500
    assert ours[1]["message"].startswith("ZeroDivisionError: no trees. ")
    assert ours[1] == theirs[1]


@pytest.mark.parametrize(
    ("probabilities", "message"),
    [
        (
            [[0.5, 0.5], [np.nan, np.nan]],
            "row 2: the model gives no probabilities of it, but [nan, nan]; 1 of 2 rows are so",
        ),
        (
            [[np.inf, 0], [0, np.nan]],
            "row 1: the model gives no probabilities of it, but [inf, 0.0]; 2 of 2 rows are so",
        ),
        (
            [[1.0], [1.0]],
            "the model gives probabilities of shape (2, 1), not (2, 2): one for each row and class",
        ),
        (
            [[0.5, 0.5]],
            "the model gives probabilities of shape (1, 2), not (2, 2): one for each row and class",
        ),
    ],
)
def test_what_are_no_probabilities_is_an_error_and_never_an_answer(
    model: Any,
    ask: Ask,
    monkeypatch: pytest.MonkeyPatch,
    probabilities: list[list[float]],
    message: str,
) -> None:
    monkeypatch.setattr(model.get_raw_model(), "predict_proba", lambda _: np.array(probabilities))
    status, answer = ask(_serve(model), b"size,town\n1,Bern\n2,Bern", "text/csv")
    assert (status, answer["error_code"]) == (500, "INTERNAL_ERROR")
    assert answer["message"].startswith(f"{message}. Failed to predict data '")
    assert answer["message"].endswith(f"\nError: {message}")


@pytest.mark.parametrize(
    ("classes", "problem"),
    [
        (None, "they are None, not a list of two or more; "),
        ("no,yes", "they are 'no,yes', not a list of two or more"),
        ([], "they are [], not a list of two or more; they are 0, the model knows 2"),
        (["yes"], "they are ['yes'], not a list of two or more; they are 1, the model knows 2"),
        ([0.0, 1.0], "they are [0.0, 1.0], neither all texts nor all booleans nor all integers"),
        (["0", 1], "they are ['0', 1], neither all texts nor all booleans nor all integers"),
        ([0, True], "they are [0, True], neither all texts nor all booleans nor all integers"),
        (["no", "no"], "'no' is there twice"),
        (["a", "b", "c"], "they are 3, the model knows 2"),
        (["yes", "no"], "they are in the order ['yes', 'no'], the model has ['no', 'yes']"),
    ],
)
def test_classes_that_are_not_understood_are_not_served(
    model: Any, classes: Any, problem: str
) -> None:
    model.metadata.metadata["classes"] = classes
    with pytest.raises(TableError) as refused:
        TableServer(model, scoring_server.init(model))
    message = f"the model's classes can not be served: {problem}"
    assert str(refused.value) == message.removesuffix("; ")


def test_classes_of_a_model_without_probabilities_are_not_served(
    model: Any, table_model: Any
) -> None:
    regression = table_model.load()
    regression.metadata.metadata["classes"] = ["no", "yes"]
    with pytest.raises(TableError) as refused:
        TableServer(regression, scoring_server.init(regression))
    assert str(refused.value) == (
        "the model's classes can not be served: the model (a Pipeline) has no predict_proba"
    )


def test_classes_of_a_model_of_another_flavour_are_not_served(model: Any) -> None:
    class Other:
        """A model implementation that wraps no scikit-learn model."""

        def predict(self, _: Any) -> list[str]:
            return ["no"]

    other = PyFuncModel(model_meta=model.metadata, model_impl=Other())
    with pytest.raises(TableError, match=r"the model \(of another flavour\) has no predict_proba"):
        TableServer(other, scoring_server.init(other))


def test_a_classifier_without_a_table_is_mlflow_s(model: Any, ask: Ask) -> None:
    del model.metadata.metadata["table"]
    status, answer = ask(_serve(model), b'{"inputs": [{"size": 1.0, "town": "Bern"}]}')
    assert (status, list(answer)) == (200, ["predictions"])
