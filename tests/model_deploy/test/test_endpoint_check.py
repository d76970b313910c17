from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from model_deploy.test.endpoint import Endpoint
from model_deploy.test.endpoint_check import (
    check_input_example,
    check_refusals,
    compare_predictions,
    predict_offline,
)

_NAN = float("nan")


@pytest.mark.parametrize(
    ("served", "expected"),
    [
        ([1.0, 2.0], [1.0 + 5e-7, 2.0]),
        ([[1, 2.5], [3, 4]], [[1.0, 2.5], [3.0, 4.0]]),
        ([{"a": 1.0, "label": "x"}], [{"label": "x", "a": 1.0}]),
        ([None, True, "Aix"], [None, True, "Aix"]),
        ([_NAN], [_NAN]),
        ([0.0], [1e-12]),
        ([1, 0], [1.0, 0.0]),
        ([True, False], [True, False]),
        ("one", "one"),
    ],
)
def test_equal_predictions_pass(served: Any, expected: Any) -> None:
    assert compare_predictions("c", served, expected).status == "passed"


@pytest.mark.parametrize(
    ("served", "expected", "difference"),
    [
        ([1.0], [1.00001], "predictions[0]: 1.0 served, 1.00001 expected"),
        ([1.0], [1.0, 2.0], "predictions: 1 served, 2 expected"),
        ([{"a": 1}], [{"b": 1}], "predictions[0]: keys ['a'] served, ['b'] expected"),
        ([{"a": [1, 2]}], [{"a": [1, 3]}], "predictions[0].a[1]: 2 served, 3 expected"),
        ([True], [1.0], "predictions[0]: True served, 1.0 expected"),
        ([False], [0], "predictions[0]: False served, 0 expected"),
        ([10**7], [10**7 + 1], "predictions[0]: 10000000 served, 10000001 expected"),
        ([None], [_NAN], "predictions[0]: None served, nan expected"),
        (["Aix"], ["Bor"], "predictions[0]: 'Aix' served, 'Bor' expected"),
    ],
)
def test_the_first_difference_is_named(served: Any, expected: Any, difference: str) -> None:
    check = compare_predictions("c", served, expected)
    assert (check.status, check.detail) == ("failed", difference)


def test_wrong_columns_are_not_sent_where_the_signature_requires_none(sagemaker: Any) -> None:
    import boto3

    endpoint = Endpoint(name="e", sagemaker=None, runtime=boto3.client("sagemaker-runtime"))
    payload = '{"dataframe_split": {"columns": ["rooms", "town"], "data": [[1.0, "Aix"]]}}'
    optional = [{"type": "double", "name": "rooms", "required": False}]
    checks = check_refusals(endpoint, payload, optional)
    assert [(check.name, check.status, check.detail) for check in checks] == [
        ("refuses what is not JSON", "passed", "HTTP 400"),
        ("refuses wrong columns", "skipped", "the signature requires no named column"),
    ]


def test_an_answer_without_predictions_is_an_error(sagemaker: Any) -> None:
    import boto3

    endpoint = Endpoint(name="e", sagemaker=None, runtime=boto3.client("sagemaker-runtime"))
    sagemaker.answer = lambda _: (200, b"<html>")
    assert endpoint.invoke("{}").error == "the answer holds no \"predictions\": '<html>'"


def test_an_answer_has_classes_and_probabilities_where_they_are_served(sagemaker: Any) -> None:
    import boto3

    endpoint = Endpoint(name="e", sagemaker=None, runtime=boto3.client("sagemaker-runtime"))
    sagemaker.answer = lambda _: (
        200,
        b'{"predictions": [true], "classes": [false, true], "probabilities": [[0.25, 0.75]]}',
    )
    answer = endpoint.invoke("{}")
    assert (answer.predictions, answer.classes) == ([True], [False, True])
    assert answer.probabilities == [[0.25, 0.75]]
    assert answer.error == ""


@pytest.mark.parametrize("predictions", [["no"], [False], [0]])
def test_an_input_example_that_is_answered_with_labels_passes(
    sagemaker: Any, predictions: list[Any]
) -> None:
    import boto3

    endpoint = Endpoint(name="e", sagemaker=None, runtime=boto3.client("sagemaker-runtime"))
    sagemaker.answer = lambda _: (200, json.dumps({"predictions": predictions}).encode())
    check, served = check_input_example(endpoint, "{}")
    assert (check.status, check.detail) == ("passed", "1 prediction answered")
    assert served == predictions


@pytest.mark.parametrize(
    "labels", [["no", "yes", "no"], [False, True, False], [0, 7, 0], [0.0, 7.0, 0.0]]
)
def test_labels_predicted_offline_are_as_json_has_them(tmp_path: Path, labels: list[Any]) -> None:
    import mlflow.sklearn
    import numpy as np
    from mlflow.models import infer_signature
    from sklearn.tree import DecisionTreeClassifier

    rows = pd.DataFrame({"a": [1.0, 2.0, 3.0]})
    target = np.array(labels, dtype=object if isinstance(labels[0], str) else None)
    model = DecisionTreeClassifier().fit(rows, target)
    mlflow.sklearn.save_model(
        model,
        tmp_path / "model",
        signature=infer_signature(rows),
        pip_requirements=["scikit-learn", "skops"],
        skops_trusted_types=["sklearn.tree._tree.Tree", "numpy.dtype"],
    )
    payload = json.dumps({"dataframe_split": {"columns": ["a"], "data": [[1.0], [2.0], [3.0]]}})
    offline = predict_offline(tmp_path / "model", payload)
    assert compare_predictions("c", labels, offline).status == "passed"
    other = [labels[1], *labels[1:]]
    assert compare_predictions("c", other, offline).detail == (
        f"predictions[0]: {labels[1]!r} served, {labels[0]!r} expected"
    )
