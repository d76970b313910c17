from __future__ import annotations

import json

import pytest

from model_deploy.request_limits import (
    RequestLimit,
    RowTooLarge,
    csv_pieces,
    fit_example,
    json_pieces,
)

_SMALL = RequestLimit(size=200, kind="a test")


@pytest.mark.parametrize(
    ("parameters", "size"),
    [
        ({}, 6291456),
        ({"ServerlessMemoryInMB": "0"}, 6291456),
        ({"ServerlessMemoryInMB": "2048"}, 4194304),
    ],
)
def test_limit_is_that_of_the_stage_s_endpoint(parameters: dict[str, str], size: int) -> None:
    assert RequestLimit.of(parameters).size == size


def test_rows_go_into_as_many_requests_as_they_need_in_order() -> None:
    rows = [[n, "é" * n] for n in range(12)]
    pieces = list(json_pieces(["a", "b"], rows, _SMALL))
    assert len(pieces) > 2
    sent = []
    for piece in pieces:
        assert len(piece.body.encode()) <= 180  # a tenth below the limit
        split = json.loads(piece.body)["dataframe_split"]
        assert split["columns"] == ["a", "b"]
        assert (piece.first, piece.count) == (len(sent) + 1, len(split["data"]))
        sent += split["data"]
    assert sent == rows

    records = [f"{n},{'é' * n}" for n in range(12)]
    pieces = list(csv_pieces("a,b", records, _SMALL))
    assert len(pieces) > 1
    assert all(len(piece.body.encode()) <= 180 for piece in pieces)
    assert [line for piece in pieces for line in piece.body.split("\r\n")[1:]] == records
    assert {piece.body.split("\r\n")[0] for piece in pieces} == {"a,b"}


def test_a_row_alone_may_use_the_margin_but_not_more() -> None:
    fits = "x" * 190
    assert [piece.body for piece in csv_pieces("a", ["1", fits, "2"], _SMALL)] == [
        "a\r\n1",
        f"a\r\n{fits}",
        "a\r\n2",
    ]
    with pytest.raises(RowTooLarge) as refused:
        list(csv_pieces("a", ["1", "é" * 100], _SMALL))
    assert str(refused.value) == "row 2 alone is 203 bytes, above the limit of a test, 200 bytes"


def test_example_that_fits_is_left_as_it_is() -> None:
    assert fit_example("{not json", _SMALL) == ("{not json", "")


@pytest.mark.parametrize(
    "payload",
    [
        "x" * 300,
        json.dumps({"inputs": ["x" * 300]}),
        json.dumps({"dataframe_split": {"columns": ["a"], "data": [["x" * 300]]}}),
    ],
)
def test_example_without_rows_to_leave_out_is_not_sent(payload: str) -> None:
    assert fit_example(payload, _SMALL) is None
