"""How large a request may be, and what is sent instead of a larger one.

SageMaker's limits for a request's body: 6 MB, of a serverless endpoint 4 MB ("Amazon SageMaker AI
endpoints and quotas", InvokeEndpoint's Body; "Serverless Inference": maximum request size).
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

_MB = 1024 * 1024
# Pieces stay below the limit by this much: nobody says what AWS counts besides the body.
_SHARE = 0.9


class RowTooLarge(Exception):
    """A single row is above the limit; the message names it with its size and the limit."""


@dataclass(frozen=True, kw_only=True)
class RequestLimit:
    """The most bytes of a request's body, and of which kind of endpoint that is true."""

    size: int
    kind: str

    @classmethod
    def of(cls, parameters: Mapping[str, str]) -> RequestLimit:
        """The limit of the endpoint that a stage's configuration makes."""
        if parameters.get("ServerlessMemoryInMB", "0") not in ("", "0"):
            return cls(size=4 * _MB, kind="a serverless endpoint")
        return cls(size=6 * _MB, kind="an endpoint on instances")

    def __str__(self) -> str:
        return f"the limit of {self.kind}, {self.size:,} bytes"


@dataclass(frozen=True, kw_only=True)
class Piece:
    """A request with some of the rows: `first` is the number of its first, from 1."""

    first: int
    count: int
    body: str


def json_pieces(
    columns: Sequence[str], rows: Sequence[Sequence[object]], limit: RequestLimit
) -> Iterator[Piece]:
    """Requests in MLflow's form dataframe_split, in order. Raises RowTooLarge."""
    head = f'{{"dataframe_split": {{"columns": {json.dumps(columns)}, "data": ['
    return _pieces([json.dumps(row) for row in rows], (head, ", ", "]}}"), limit)


def csv_pieces(header: str, records: Sequence[str], limit: RequestLimit) -> Iterator[Piece]:
    """Requests in CSV, each with the header line. Raises RowTooLarge."""
    return _pieces(records, (f"{header}\r\n", "\r\n", ""), limit)


def fit_example(payload: str, limit: RequestLimit) -> tuple[str, str] | None:
    """The input example in as many of its rows as fit, and which they are if these are not all.

    None where not even one fits, or where the example has no rows that could be left out.
    """
    size = len(payload.encode())
    if size <= limit.size:
        return payload, ""
    try:
        split = json.loads(payload)["dataframe_split"]
        piece = next(json_pieces(split["columns"], split["data"], limit))
    except (ValueError, KeyError, TypeError, StopIteration, RowTooLarge):
        return None
    of_all = f"its first {piece.count} of {len(split['data'])} rows"
    return piece.body, f"{of_all}, as all are {size:,} bytes, above {limit}"


def _pieces(
    records: Sequence[str], around: tuple[str, str, str], limit: RequestLimit
) -> Iterator[Piece]:
    head, between, tail = around
    frame_size = len(head.encode()) + len(tail.encode())
    taken: list[str] = []
    size, first = frame_size, 1
    for number, record in enumerate(records, 1):
        alone = frame_size + len(record.encode())
        if alone > limit.size:
            raise RowTooLarge(f"row {number} alone is {alone:,} bytes, above {limit}")
        added = len(record.encode()) + len(between)
        if taken and size + added > limit.size * _SHARE:
            yield Piece(first=first, count=len(taken), body=head + between.join(taken) + tail)
            taken, size, first = [], frame_size, number
        taken.append(record)
        size += added
    if taken:
        yield Piece(first=first, count=len(taken), body=head + between.join(taken) + tail)
