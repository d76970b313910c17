from __future__ import annotations

import json
from typing import Any

import pytest

from model_deploy.test.endpoint import Endpoint
from model_deploy.test.raw_rows import MalformedRawRows, RawRows, check_raw_rows
from model_deploy.test.request_limits import RequestLimit

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
    checks = check_raw_rows(endpoint, json.dumps({**_RAW, **changes}).encode(), limit)
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
        (b"{", "raw_rows.json of the model's run is not JSON: "),
        (b"\xff", "raw_rows.json of the model's run is not JSON: "),
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
    ],
)
def test_a_malformed_file_is_told_with_all_that_is_wrong(content: bytes, message: str) -> None:
    with pytest.raises(MalformedRawRows) as refused:
        RawRows.from_json(content)
    assert message in str(refused.value)
