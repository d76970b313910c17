"""Raw rows on the endpoint: does it answer them as the model did offline?

    plan's raw_rows ─▶ RawRows ─┬─▶ requests in JSON ─▶ endpoint ─▶ as offline?
                                └─▶ requests in CSV  ─▶ endpoint ─▶ as offline?

The training step predicts from the rows that it prepared, the endpoint gets the untouched ones: a
difference means that the endpoint does not read a table as the training step did. Of a classifier
the labels are compared exactly, and the probabilities as other numbers are.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from model_deploy.endpoint_test_plan import Case
from model_deploy.raw_rows import MalformedRawRows, RawRows, count_entries
from model_deploy.request_limits import Piece, RequestLimit, RowTooLarge
from model_deploy.test.answers import RELATIVE_TOLERANCE, are_same, find_difference
from model_deploy.test.endpoint import CSV, JSON, Answer, Endpoint
from model_deploy.test.endpoint_check import Check, failed, passed

NAME_JSON = "answers raw rows as JSON as offline"
NAME_CSV = "answers raw rows as CSV as offline"


def check_raw_rows(endpoint: Endpoint, document: Any, limit: RequestLimit) -> list[Check]:
    """Two checks, of JSON and of CSV, with what raw_rows.json holds."""
    try:
        raw = RawRows.from_document(document)
    except MalformedRawRows as err:
        return [failed(name, str(err)) for name in (NAME_JSON, NAME_CSV)]
    return [
        _check(NAME_JSON, endpoint, raw, raw.json_requests(limit), JSON),
        _check(NAME_CSV, endpoint, raw, raw.csv_requests(limit), CSV),
    ]


def first_row(document: Mapping[str, Any], limit: RequestLimit) -> Case | None:
    """A request with the first of the rows; None where there is none that could be sent."""
    try:
        pieces = RawRows.from_document({**document, **_first_entries(document)})
        return Case(name="the first raw row", body=next(pieces.json_requests(limit)).body)
    except (MalformedRawRows, RowTooLarge):
        return None


def _first_entries(document: Mapping[str, Any]) -> dict[str, Any]:
    names = ("rows", "csv", "predictions", "probabilities")
    return {k: document[k][:1] for k in names if isinstance(document.get(k), list)}


def _check(
    name: str, endpoint: Endpoint, raw: RawRows, pieces: Iterator[Piece], content_type: str
) -> Check:
    labels: list[Any] = []
    probabilities: list[Any] = []
    requests = 0
    try:
        for piece in pieces:
            requests += 1
            answer = endpoint.invoke(piece.body, content_type)
            problem = answer.error or _lack(answer, raw, piece.count)
            if problem:
                last = piece.first + piece.count - 1
                return failed(name, f"rows {piece.first} to {last} in one request: {problem}")
            labels += answer.predictions
            probabilities += answer.probabilities or []
    except RowTooLarge as err:
        return failed(name, f"{err}; SageMaker would not take it, nor from anybody else")
    differences = list(_differences(labels, probabilities, raw))
    if differences:
        return failed(name, f"{differences[0]}; {len(differences)} of {len(labels)} rows differ")
    what = "" if raw.probabilities is None else " in label and probabilities"
    return passed(
        name,
        f"{_count(len(labels), 'row')} equal{what} (relative tolerance {RELATIVE_TOLERANCE:g}), "
        f"{_count(requests, 'request')}",
    )


def _lack(answer: Answer, raw: RawRows, rows: int) -> str:
    """What an answer must hold and does not, before anything in it is compared."""
    if not isinstance(answer.predictions, list) or len(answer.predictions) != rows:
        return f"{count_entries(answer.predictions)} predictions served, {rows} expected"
    if raw.probabilities is None or raw.classes is None:
        return ""
    if answer.probabilities is None or answer.classes is None:
        return "no probabilities served, though the model gave them when it was trained"
    classes = answer.classes
    if not isinstance(classes, list) or find_difference(classes, raw.classes, "classes"):
        return f"the classes {classes!r} served, {raw.classes!r} expected"
    if not isinstance(answer.probabilities, list) or len(answer.probabilities) != rows:
        return f"{count_entries(answer.probabilities)} probabilities served, {rows} expected"
    return ""


def _differences(
    predictions: Sequence[Any], probabilities: Sequence[Any], raw: RawRows
) -> Iterator[str]:
    """A sentence for each row that differs."""
    for index, expected in enumerate(raw.predictions):
        where, served = f"row {index + 1}", predictions[index]
        if raw.probabilities is None or raw.classes is None:
            difference = find_difference(served, expected, where)
        elif are_same(served, expected):
            difference = _difference_of_probabilities(
                probabilities[index], raw.probabilities[index], raw.classes, where
            )
        else:
            difference = f"{where}: label {served!r} served, {expected!r} expected"
        if difference:
            yield difference


def _difference_of_probabilities(
    served: Any, expected: Sequence[float], classes: Sequence[Any], where: str
) -> str:
    if not isinstance(served, list) or len(served) != len(expected):
        return f"{where}: probabilities {served!r} served, {expected!r} expected"
    found = (
        find_difference(one, other, f"{where}, probability of {label!r}")
        for one, other, label in zip(served, expected, classes, strict=True)
    )
    return next((difference for difference in found if difference), "")


def _count(number: int, thing: str) -> str:
    return f"{number} {thing}{'' if number == 1 else 's'}"
