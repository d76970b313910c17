from __future__ import annotations

from typing import Any

import pytest

from model_deploy.test.endpoint import Endpoint
from model_deploy.test.endpoint_check import check_refusals, compare_predictions

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
