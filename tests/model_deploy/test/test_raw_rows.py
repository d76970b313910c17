from __future__ import annotations

import json
from typing import Any

import pytest

from model_deploy.raw_rows import MalformedRawRows, RawRows
from model_deploy.request_limits import RequestLimit
from model_deploy.test.endpoint import Endpoint
from model_deploy.test.raw_rows import check_raw_rows, first_row

_LIMIT = RequestLimit(size=1000, kind="a test")
_RAW: dict[str, Any] = {
    "version": 1,
    "columns": ["a", "b,\nc"],
    "rows": [[1, "x"], [2**60 + 1, None]],
    "csv": ["1,x", "1152921504606846977,"],
    "predictions": [1.0, 2.0],
}


@pytest.fixture
def endpoint(sagemaker: Any) -> Endpoint:
    import boto3

    return Endpoint(name="e", sagemaker=None, runtime=boto3.client("sagemaker-runtime"))


def _check(endpoint: Endpoint, limit: RequestLimit = _LIMIT, **changes: Any) -> list[Any]:
    checks = check_raw_rows(endpoint, {**_RAW, **changes}, limit)
    return [(check.status, check.detail) for check in checks]


def test_rows_are_sent_as_they_were_in_both_forms(endpoint: Endpoint, sagemaker: Any) -> None:
    sent = {}

    def answer(body: bytes) -> tuple[int, bytes]:
        sent[sagemaker.content_type] = body.decode()
        return 200, b'{"predictions": [1.0, 2.0000001]}'

    sagemaker.answer = answer
    passed = ("passed", "2 rows equal (relative tolerance 1e-06), 1 request")
    assert _check(endpoint) == [passed, passed]
    assert sent == {
        "application/json": '{"dataframe_split": {"columns": ["a", "b,\\nc"], "data": '
        '[[1, "x"], [1152921504606846977, null]]}}',
        "text/csv": 'a,"b,\nc"\r\n1,x\r\n1152921504606846977,',
    }


def test_a_difference_names_row_served_and_expected(endpoint: Endpoint, sagemaker: Any) -> None:
    sagemaker.answer = lambda _: (200, b'{"predictions": [1.0, 2.5]}')
    assert _check(endpoint)[0] == ("failed", "row 2: 2.5 served, 2.0 expected; 1 of 2 rows differ")
    assert _check(endpoint, predictions=["no", True])[1] == (
        "failed",
        "row 1: 1.0 served, 'no' expected; 2 of 2 rows differ",
    )


def test_rows_keep_their_numbers_over_several_requests(endpoint: Endpoint, sagemaker: Any) -> None:
    rows = 60
    predictions = [float(n) for n in range(rows)]

    def answer(body: bytes) -> tuple[int, bytes]:
        split = json.loads(body)["dataframe_split"]
        served = [row[0] + (0.5 if row[0] == 57 else 0) for row in split["data"]]
        return 200, json.dumps({"predictions": served}).encode()

    sagemaker.answer = answer
    (status, detail), _ = _check(
        endpoint,
        rows=[[n, "x" * 50] for n in range(rows)],
        csv=[f"{n},{'x' * 50}" for n in range(rows)],
        predictions=predictions,
    )
    assert (status, detail) == ("failed", "row 58: 57.5 served, 57.0 expected; 1 of 60 rows differ")


def test_refused_rows_and_missing_predictions_fail(endpoint: Endpoint, sagemaker: Any) -> None:
    sagemaker.answer = lambda _: (400, b'{"message": "row 1, column \'a\': no"}')
    for status, detail in _check(endpoint):
        assert status == "failed"
        assert detail.startswith("rows 1 to 2 in one request: An error occurred (ModelError)")
    sagemaker.answer = lambda _: (200, b'{"predictions": [1.0]}')
    assert _check(endpoint)[0] == (
        "failed",
        "rows 1 to 2 in one request: 1 predictions served, 2 expected",
    )
    sagemaker.answer = lambda _: (200, b'{"predictions": {"a": 1}}')
    assert _check(endpoint)[1][1].endswith("no list of predictions served, 2 expected")


_CLASSES: dict[str, Any] = {
    "predictions": ["no", "yes"],
    "classes": ["no", "yes"],
    "probabilities": [[0.75, 0.25], [1e-3, 0.999]],
}


def _serve(sagemaker: Any, **changes: Any) -> None:
    sagemaker.answer = lambda _: (200, json.dumps({**_CLASSES, **changes}).encode())


def test_labels_and_probabilities_are_compared(endpoint: Endpoint, sagemaker: Any) -> None:
    _serve(sagemaker, probabilities=[[0.75, 0.25], [1e-3 + 1e-10, 0.999]])
    detail = "2 rows equal in label and probabilities (relative tolerance 1e-06), 1 request"
    assert _check(endpoint, **_CLASSES) == [("passed", detail)] * 2


def test_labels_without_probabilities_fail_unless_none_were_recorded(
    endpoint: Endpoint, sagemaker: Any
) -> None:
    _serve(sagemaker, classes=None, probabilities=None)
    refused = (
        "failed",
        "rows 1 to 2 in one request: no probabilities served, though the model gave them when it "
        "was trained",
    )
    assert _check(endpoint, **_CLASSES) == [refused, refused]
    assert _check(endpoint, predictions=["no", "yes"])[0][0] == "passed"


def test_classes_in_another_order_fail_even_with_the_same_numbers(
    endpoint: Endpoint, sagemaker: Any
) -> None:
    _serve(sagemaker, classes=["yes", "no"])
    assert _check(endpoint, **_CLASSES)[0] == (
        "failed",
        "rows 1 to 2 in one request: the classes ['yes', 'no'] served, ['no', 'yes'] expected",
    )


def test_classes_of_another_kind_fail(endpoint: Endpoint, sagemaker: Any) -> None:
    _serve(sagemaker, predictions=[0, 1], classes=[0, 1])
    told = {"predictions": [False, True], "classes": [False, True]}
    assert _check(endpoint, **{**_CLASSES, **told})[1] == (
        "failed",
        "rows 1 to 2 in one request: the classes [0, 1] served, [False, True] expected",
    )


@pytest.mark.parametrize(
    ("served", "difference"),
    [
        (
            {"predictions": ["yes", "yes"]},
            "row 1: label 'yes' served, 'no' expected; 1 of 2 rows differ",
        ),
        (
            {"probabilities": [[0.75, 0.25], [0.002, 0.998]]},
            "row 2, probability of 'no': 0.002 served, 0.001 expected; 1 of 2 rows differ",
        ),
        (
            {"probabilities": [[0.25, 0.75], [0.999, 1e-3]]},
            "row 1, probability of 'no': 0.25 served, 0.75 expected; 2 of 2 rows differ",
        ),
        (
            {"probabilities": [[0.75], [1e-3, 0.999]]},
            "row 1: probabilities [0.75] served, [0.75, 0.25] expected; 1 of 2 rows differ",
        ),
        (
            {"probabilities": [0.75, 0.999]},
            "row 1: probabilities 0.75 served, [0.75, 0.25] expected; 2 of 2 rows differ",
        ),
        (
            {"probabilities": [[0.75, 0.25]]},
            "rows 1 to 2 in one request: 1 probabilities served, 2 expected",
        ),
        (
            {"probabilities": 0.75},
            "rows 1 to 2 in one request: no list of probabilities served, 2 expected",
        ),
    ],
)
def test_a_difference_of_label_or_probability_fails(
    endpoint: Endpoint, sagemaker: Any, served: dict[str, Any], difference: str
) -> None:
    _serve(sagemaker, **served)
    assert _check(endpoint, **_CLASSES) == [("failed", difference)] * 2


def test_labels_that_are_large_integers_are_compared_exactly(
    endpoint: Endpoint, sagemaker: Any
) -> None:
    told = {"predictions": [10**7, 10**7 + 1], "classes": [10**7, 10**7 + 1]}
    _serve(sagemaker, **{**told, "predictions": [10**7 + 1, 10**7 + 1]})
    assert _check(endpoint, **{**_CLASSES, **told})[0] == (
        "failed",
        "row 1: label 10000001 served, 10000000 expected; 1 of 2 rows differ",
    )


def test_probabilities_stay_with_their_rows_over_several_requests(
    endpoint: Endpoint, sagemaker: Any
) -> None:
    rows = 60

    def shares(number: int) -> list[float]:
        return [number / 100, 1 - number / 100]

    def answer(body: bytes) -> tuple[int, bytes]:
        split = json.loads(body)["dataframe_split"]
        numbers = [row[0] for row in split["data"]]
        served = {
            "predictions": ["yes"] * len(numbers),
            "classes": ["no", "yes"],
            "probabilities": [shares(n + 1 if n == 57 else n) for n in numbers],
        }
        return 200, json.dumps(served).encode()

    sagemaker.answer = answer
    (status, detail), _ = _check(
        endpoint,
        rows=[[n, "x" * 50] for n in range(rows)],
        csv=[f"{n},{'x' * 50}" for n in range(rows)],
        predictions=["yes"] * rows,
        classes=["no", "yes"],
        probabilities=[shares(n) for n in range(rows)],
    )
    assert (status, detail) == (
        "failed",
        "row 58, probability of 'no': 0.58 served, 0.57 expected; 1 of 60 rows differ",
    )


def test_a_row_above_the_limit_fails_with_size_and_limit(endpoint: Endpoint) -> None:
    rows = [[1, "x"], [2, "x" * 2000]]
    assert _check(endpoint, rows=rows, csv=["1,x", f"2,{'x' * 2000}"]) == [
        (
            "failed",
            f"row 2 alone is {size:,} bytes, above the limit of a test, 1,000 bytes; SageMaker "
            "would not take it, nor from anybody else",
        )
        for size in (2067, 2012)
    ]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"[]", "is malformed: its version is None, this test reads version 1"),
        (b'{"version": 2}', "is malformed: its version is 2, this test reads version 1"),
        (
            b'{"version": 1}',
            'is malformed: "columns" is not a list of names; "rows" is not a list of rows, or '
            "has none",
        ),
        (
            b'{"version": 1, "columns": ["a"], "rows": [[1, 2]], "csv": [1], "predictions": []}',
            'is malformed: row 1 has 2 values for 1 columns; "csv" is not a list of texts; '
            '"predictions" has 0 entries for 1 rows',
        ),
        (
            b'{"version": 1, "columns": ["a"], "rows": [[1]], "csv": [], "predictions": null}',
            'is malformed: "csv" has 0 entries for 1 rows; "predictions" has no list of entries '
            "for 1 rows",
        ),
        *(
            (
                b'{"version": 1, "columns": ["a"], "rows": [[1]], "csv": ["1"], "predictions": '
                + predictions
                + b"}",
                'is malformed: "predictions" holds a number that is not finite',
            )
            for predictions in (b"[NaN]", b"[Infinity]", b"[[1, NaN]]", b'[{"a": -Infinity}]')
        ),
        (
            b'{"version": 1, "columns": 5, "rows": [[1]], "csv": ["1"], "predictions": [1]}',
            'is malformed: "columns" is not a list of names',
        ),
        *(
            (
                b'{"version": 1, "columns": ["a"], "rows": [[1]], "csv": ["1"], "predictions": '
                b'["x"], ' + told + b"}",
                f"is malformed: {message}",
            )
            for told, message in (
                *(
                    (
                        b'"classes": ' + classes + b', "probabilities": [[0.5, 0.5]]',
                        '"classes" is not a list of two or more texts, booleans or integers',
                    )
                    for classes in (
                        b"null",
                        b"{}",
                        b'["x"]',
                        b'["x", 1]',
                        b"[0, true]",
                        b"[0.5, 1]",
                    )
                ),
                (b'"classes": ["x", "y"]', '"probabilities" has no list of entries for 1 rows'),
                (
                    b'"classes": ["x", "y"], "probabilities": []',
                    '"probabilities" has 0 entries for 1 rows',
                ),
                *(
                    (
                        b'"classes": ["x", "y"], "probabilities": [' + row + b"]",
                        'row 1 of "probabilities" is not a number for each of the classes',
                    )
                    for row in (b"0.5", b"[0.5]", b'[0.5, "x"]', b"[true, 0.5]", b"[NaN, 0.5]")
                ),
                *(
                    (
                        b'"classes": ["x", "y"], "probabilities": [' + row + b"]",
                        f'row 1 of "probabilities" {message}',
                    )
                    for row, message in (
                        (b"[1" + b"0" * 400 + b", 0]", "has a number that is not between 0 and 1"),
                        (b"[Infinity, 0]", "has a number that is not between 0 and 1"),
                        (b"[1.2, -0.2]", "has a number that is not between 0 and 1"),
                        (b"[0.5, 0.4]", "adds up to 0.9 and not to 1"),
                    )
                ),
                *(
                    (
                        b'"classes": ' + classes + b', "probabilities": [[0.5, 0.5]]',
                        'entry 1 of "predictions" is none of the classes',
                    )
                    for classes in (b'["y", "z"]', b"[0, 1]", b"[true, false]")
                ),
                (
                    b'"classes": ["x", "x"], "probabilities": [[0.5, 0.5]]',
                    '"classes" has one of them twice',
                ),
            )
        ),
    ],
)
def test_a_malformed_file_is_told_with_all_that_is_wrong(content: bytes, message: str) -> None:
    with pytest.raises(MalformedRawRows) as refused:
        RawRows.from_document(json.loads(content))
    assert message in str(refused.value)


def test_labels_are_classes_with_their_types() -> None:
    told = {"predictions": [True, 1], "classes": [1, 2], "probabilities": [[1, 0], [0.9995, 0]]}
    with pytest.raises(MalformedRawRows, match='entry 1 of "predictions" is none'):
        RawRows.from_document({**_RAW, **told})
    told["predictions"] = ["x", "y"]
    with pytest.raises(MalformedRawRows) as refused:
        RawRows.from_document({**_RAW, **told})
    assert str(refused.value).count("is none of the classes") == 1
    told["predictions"] = [2, 1]
    assert RawRows.from_document({**_RAW, **told}).classes == [1, 2]


@pytest.mark.parametrize(
    "answer", [b"[" * 200_000, b'{"predictions": [1.0, 1' + b"0" * 400 + b"]}", b'["predictions"]']
)
def test_an_answer_of_nonsense_fails_and_raises_nothing(
    endpoint: Endpoint, sagemaker: Any, answer: bytes
) -> None:
    sagemaker.answer = lambda _: (200, answer)
    assert [status for status, _ in _check(endpoint)] == ["failed", "failed"]


def test_an_answer_with_nan_fails_and_says_so(endpoint: Endpoint, sagemaker: Any) -> None:
    sagemaker.answer = lambda _: (200, b'{"predictions": [1.0, NaN]}')
    for status, detail in _check(endpoint):
        assert (status, detail) == (
            "failed",
            "rows 1 to 2 in one request: the answer is no JSON: it holds NaN; it begins "
            "'{\"predictions\": [1.0, NaN]}'",
        )


def test_the_first_row_is_a_request_of_its_own() -> None:
    case = first_row(_RAW, _LIMIT)
    assert case is not None
    assert (case.name, case.content_type) == ("the first raw row", "application/json")
    assert json.loads(case.body) == {
        "dataframe_split": {"columns": ["a", "b,\nc"], "data": [[1, "x"]]}
    }
    classifier = {**_RAW, **_CLASSES}
    assert first_row(classifier, _LIMIT) == case
    assert first_row({"version": 1}, _LIMIT) is None
    assert first_row(_RAW, RequestLimit(size=10, kind="a test")) is None
