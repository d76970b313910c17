from __future__ import annotations

import json
from typing import Any

import pytest

from model_deploy.test.answers import (
    NotStrictJson,
    count_predictions,
    find_difference,
    find_difference_of_answers,
    predictions_of,
    read_answer,
)


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b'{"predictions": [NaN]}', "it holds NaN"),
        (b'{"predictions": [Infinity]}', "it holds Infinity"),
        (b'{"predictions": [-Infinity]}', "it holds -Infinity"),
        (b'{"predictions": [1e400]}', "it holds '1e400', which no double can be"),
        (b'{"predictions": [-1e400]}', "it holds '-1e400', which no double can be"),
        (b'{"predictions": [1], "predictions": [2]}', "an object has 'predictions' twice"),
        (b'{"predictions": [{"a": 1, "b": 2, "a": 1}]}', "an object has 'a' twice"),
        (b'{"predictions": [1]} {}', "Extra data: line 1 column 22 (char 21)"),
        (b'{"predictions": [1]', "Expecting ',' delimiter: line 1 column 20 (char 19)"),
        (b'{"predictions": [1,]}', "Illegal trailing comma"),
        (b"{'predictions': [1]}", "Expecting property name enclosed in double quotes"),
        (b'{"predictions": ["\xff"]}', "it is not UTF-8: 'utf-8' codec can't decode byte 0xff"),
        (b'\xef\xbb\xbf{"predictions": [1]}', "Unexpected UTF-8 BOM"),
        (b"<html>", "Expecting value: line 1 column 1 (char 0)"),
        (b"", "Expecting value: line 1 column 1 (char 0)"),
        (b"[" * 200_000, "recursion"),
        (b'{"predictions": [1' + b"0" * 5000 + b"]}", "integer string conversion"),
    ],
    ids=lambda value: repr(value[:30]),
)
def test_what_is_no_strict_json_is_refused_with_the_reason(body: bytes, reason: str) -> None:
    with pytest.raises(NotStrictJson) as refused:
        read_answer(body)
    told = str(refused.value)
    # The words for a trailing comma are of Python 3.13.
    assert reason in told or (reason == "Illegal trailing comma" and "Expecting value" in told)


@pytest.mark.parametrize(
    "document",
    [
        {"predictions": [1.5, -0.0, 2**60 + 1, "NaN", None, True, "\ud800"]},
        {"predictions": {"low": [[1.0]], "high": [[2.0]]}},
        {"predictions": 1e308},
        {"choices": [{"message": {"content": "ü"}}]},
        [1, 2],
        "text",
        None,
    ],
)
def test_every_other_document_is_read_as_it_is(document: Any) -> None:
    read = read_answer(json.dumps(document).encode())
    assert (read, repr(read)) == (document, repr(document))


def test_predictions_are_the_wrapped_or_the_whole() -> None:
    assert predictions_of({"predictions": [1], "classes": [0, 1]}) == [1]
    assert predictions_of({"choices": []}) == {"choices": []}
    assert predictions_of([1]) == [1]
    assert [count_predictions(each) for each in ({"predictions": [1, 2]}, {"predictions": 3})] == [
        "2 predictions",
        "1 prediction",
    ]
    assert count_predictions({"predictions": []}) == "0 predictions"
    assert count_predictions({"choices": [1, 2]}) == "1 prediction"


_SAME = [
    # Just within: relative 1e-6 of the larger one, absolute 1e-9 near zero.
    ([1.0 + 0.9e-6], [1.0]),
    ([1.0 - 0.9e-6], [1.0]),
    ([-1e12 - 0.9e6], [-1e12]),
    ([0.9e-9], [0.0]),
    ([-0.9e-9], [0.0]),
    ([0], [0.0]),
    ([3], [3.0]),
    ([3.0], [3]),
    ([[1, 2.5], [3, 4]], [[1.0, 2.5], [3.0, 4.0]]),
    ([{"a": 1.0, "label": "x"}], [{"label": "x", "a": 1.0}]),
    ({"low": [1.0], "high": [2.0]}, {"high": [2.0], "low": [1.0]}),
    ([None, True, False, "Aix", ""], [None, True, False, "Aix", ""]),
    ([], []),
    ("one", "one"),
    (2.5, 2.5),
]


@pytest.mark.parametrize(("served", "expected"), _SAME)
def test_equal_predictions_have_no_difference(served: Any, expected: Any) -> None:
    assert find_difference(served, expected, "predictions") == ""
    assert find_difference_of_answers({"predictions": served}, {"predictions": expected}) == ""


@pytest.mark.parametrize(
    ("served", "expected", "difference"),
    [
        # Just outside.
        ([1.0 + 1.1e-6], [1.0], "predictions[0]: 1.0000011 served, 1.0 expected"),
        ([1.0 - 1.1e-6], [1.0], "predictions[0]: 0.9999989 served, 1.0 expected"),
        ([1.1e-9], [0.0], "predictions[0]: 1.1e-09 served, 0.0 expected"),
        ([5.0, 1.0], [1.0, 5.0], "predictions[0]: 5.0 served, 1.0 expected"),
        ([1.0], [1.0, 2.0], "predictions: 1 served, 2 expected"),
        ([1.0, 2.0], [1.0], "predictions: 2 served, 1 expected"),
        ([], [1.0], "predictions: 0 served, 1 expected"),
        ([[1.0], [2.0]], [1.0, 2.0], "predictions[0]: [1.0] served, 1.0 expected"),
        ([{"a": 1}], [{"b": 1}], "predictions[0]: keys ['a'] served, ['b'] expected"),
        ([{"a": 1, "b": 2}], [{"a": 1}], "predictions[0]: keys ['a', 'b'] served, ['a'] expected"),
        ([{"a": 1}], [{"a": 1, "b": 2}], "predictions[0]: keys ['a'] served, ['a', 'b'] expected"),
        # Two columns swapped.
        (
            [{"low": 9.0, "high": 1.0}],
            [{"low": 1.0, "high": 9.0}],
            "predictions[0].low: 9.0 served, 1.0 expected",
        ),
        ([{"a": [1, 2]}], [{"a": [1, 3]}], "predictions[0].a[1]: 2 served, 3 expected"),
        ({"a": [1.0]}, {"a": [2.0]}, "predictions.a[0]: 1.0 served, 2.0 expected"),
        ({"a": 1.0}, [1.0], "predictions: {'a': 1.0} served, [1.0] expected"),
        ([True], [1.0], "predictions[0]: True served, 1.0 expected"),
        ([True], [1], "predictions[0]: True served, 1 expected"),
        ([0], [False], "predictions[0]: 0 served, False expected"),
        ([False], [None], "predictions[0]: False served, None expected"),
        ([10**7], [10**7 + 1], "predictions[0]: 10000000 served, 10000001 expected"),
        (
            [float(2**53)],
            [2**53 + 1],
            "predictions[0]: 9007199254740992.0 served, 9007199254740993 expected",
        ),
        ([1.0000001], [1], "predictions[0]: 1.0000001 served, 1 expected"),
        ([None], [1.0], "predictions[0]: None served, 1.0 expected"),
        ([1.0], [None], "predictions[0]: 1.0 served, None expected"),
        (["1.0"], [1.0], "predictions[0]: '1.0' served, 1.0 expected"),
        (["Aix"], ["aix"], "predictions[0]: 'Aix' served, 'aix' expected"),
        ([float("inf")], [float("inf")], "predictions[0]: inf served, inf expected"),
        ([float("nan")], [float("nan")], "predictions[0]: nan served, nan expected"),
        ([10**400], [1.0], f"predictions[0]: 1{'0' * 159}... (401 characters) served, 1.0 expect"),
    ],
)
def test_the_first_difference_is_named(served: Any, expected: Any, difference: str) -> None:
    found = find_difference_of_answers({"predictions": served}, {"predictions": expected})
    assert found.startswith(difference)
    if not difference.endswith("expect"):
        assert found == difference


def test_classes_and_probabilities_count_only_where_they_are_recorded() -> None:
    labels = {"predictions": ["no"]}
    told = {**labels, "classes": ["no", "yes"], "probabilities": [[0.75, 0.25]]}
    assert find_difference_of_answers(told, labels) == ""
    assert find_difference_of_answers(told, told) == ""
    assert find_difference_of_answers(labels, told) == (
        "the answer: keys ['predictions'] served, ['classes', 'predictions', 'probabilities'] "
        "expected"
    )
    other = {**told, "probabilities": [[0.5, 0.5]]}
    assert find_difference_of_answers(other, told) == (
        "probabilities[0][0]: 0.5 served, 0.75 expected"
    )
    assert find_difference_of_answers({**labels, "warning": 1}, labels) == (
        "the answer: keys ['predictions', 'warning'] served, ['predictions'] expected"
    )


def _chat(content: str = "hello", **changes: Any) -> dict[str, Any]:
    choice = {"index": 0, "message": {"role": "assistant", "content": content}}
    return {
        "object": "chat.completion",
        "created": 1,
        "id": "a",
        "model": "m",
        "choices": [choice],
        **changes,
    }


def test_an_unwrapped_answer_is_compared_but_for_its_time_and_identifier() -> None:
    assert find_difference_of_answers(_chat(created=2, id="b"), _chat()) == ""
    assert find_difference_of_answers(_chat("bye"), _chat()) == (
        "choices[0].message.content: 'bye' served, 'hello' expected"
    )
    assert find_difference_of_answers(_chat(created="now"), _chat()) == (
        "created: 'now' served, 1 expected"
    )
    assert find_difference_of_answers(_chat(model="other"), _chat()) == (
        "model: 'other' served, 'm' expected"
    )
    without = {name: value for name, value in _chat().items() if name != "created"}
    assert "the answer: keys" in find_difference_of_answers(without, _chat())
    # Not the protocol's answer: a time of the model's own is compared.
    assert find_difference_of_answers({"created": 2}, {"created": 1}) == (
        "created: 2 served, 1 expected"
    )


def test_wrapped_and_unwrapped_differ() -> None:
    assert find_difference_of_answers({"predictions": "x"}, "x") == (
        "the answer: {'predictions': 'x'} served, 'x' expected"
    )
    assert "keys" in find_difference_of_answers({"predictions": "x"}, {"content": "x"})
