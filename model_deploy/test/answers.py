"""An endpoint's answer as MLflow's scoring protocol has it: read strictly, and compared.

    body ─▶ read_answer ─▶ document ─▶ find_difference from the recorded document

A body is `{"predictions": ...}` with a list, records of a table, lists by name or a single value; a
request in the form of a chat is answered without that wrapping.
"""

from __future__ import annotations

import contextlib
import json
import math
from collections.abc import Mapping
from typing import Any

RELATIVE_TOLERANCE = 1e-6
ABSOLUTE_TOLERANCE = 1e-9

_PREDICTIONS = "predictions"
# What this project's server says besides, of a classifier; a recording may be of MLflow's own.
_ADDED = ("classes", "probabilities")
# What an unwrapped answer says of its own making, under its `object`: each time another thing
# (mlflow.types.llm.ChatCompletionResponse, mlflow.types.responses).
_OF_THE_MAKING = ("created", "created_at", "id")
_SHOWN_CHARACTERS = 160


class NotStrictJson(ValueError):
    """The text is no JSON as RFC 8259 has it; the message says why."""


def read_answer(body: bytes | str) -> Any:
    """The document. Raises NotStrictJson.

    NaN, Infinity and numbers too large for a double are refused, as JSON has none; so are a name
    that an object has twice, of which readers take the one or the other, and text after the end.
    """
    try:
        text = body.decode() if isinstance(body, bytes) else body
    except UnicodeDecodeError as err:
        raise NotStrictJson(f"it is not UTF-8: {err}") from err
    try:
        return json.loads(
            text,
            parse_constant=_refuse_constant,
            parse_float=_finite,
            object_pairs_hook=_without_repetition,
        )
    except NotStrictJson:
        raise
    except (ValueError, RecursionError) as err:
        raise NotStrictJson(str(err)) from err


def predictions_of(document: Any) -> Any:
    """What was predicted: the wrapped predictions, or the whole of an unwrapped answer."""
    if isinstance(document, dict) and _PREDICTIONS in document:
        return document[_PREDICTIONS]
    return document


def count_predictions(document: Any) -> str:
    """`2 predictions`: the entries of a list, or one of anything else."""
    predictions = predictions_of(document)
    count = len(predictions) if isinstance(predictions, list) else 1
    return f"{count} prediction{'' if count == 1 else 's'}"


def find_difference_of_answers(served: Any, expected: Any) -> str:
    """The first difference of two documents, or an empty string.

    Classes and probabilities that were not recorded are not compared: they are with the raw rows.
    Of an unwrapped answer's time and identifier only the kind is.
    """
    if isinstance(served, dict) and isinstance(expected, dict):
        if _PREDICTIONS in expected:
            served = {k: v for k, v in served.items() if k in expected or k not in _ADDED}
        elif isinstance(expected.get("object"), str):
            served = _without_making(served, expected)
    return find_difference(served, expected, "")


def find_difference(served: Any, expected: Any, where: str) -> str:
    """The first place where the two differ, or an empty string.

    A recorded integer, which may be a label, is compared exactly; another number within a relative
    1e-6 (or 1e-9 near zero). Tables are compared by the names of their columns.
    """
    if isinstance(expected, list) and isinstance(served, list):
        if len(served) != len(expected):
            return f"{_named(where)}: {len(served)} served, {len(expected)} expected"
        pairs = (
            find_difference(one, other, f"{where}[{index}]")
            for index, (one, other) in enumerate(zip(served, expected, strict=True))
        )
        return next((difference for difference in pairs if difference), "")
    if isinstance(expected, dict) and isinstance(served, dict):
        if set(served) != set(expected):
            return f"{_named(where)}: keys {sorted(served)} served, {sorted(expected)} expected"
        pairs = (
            find_difference(served[key], expected[key], f"{where}.{key}" if where else key)
            for key in expected
        )
        return next((difference for difference in pairs if difference), "")
    if _is_number(served) and type(expected) is float:
        # An integer may be too large for a float: then they differ.
        with contextlib.suppress(OverflowError):
            if _close(float(served), expected):
                return ""
    elif are_same(served, expected):
        return ""
    return f"{_named(where)}: {_shown(served)} served, {_shown(expected)} expected"


def are_same(served: object, expected: object) -> bool:
    """Whether both are one value: no tolerance, and true is not 1."""
    return isinstance(served, bool) == isinstance(expected, bool) and served == expected


def _refuse_constant(word: str) -> Any:
    raise NotStrictJson(f"it holds {word}")


def _finite(digits: str) -> float:
    number = float(digits)
    if math.isinf(number):
        raise NotStrictJson(f"it holds {_shown(digits)}, which no double can be")
    return number


def _without_repetition(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    document = dict(pairs)
    if len(document) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise NotStrictJson(f"an object has {_shown(twice)} twice")
    return document


def _without_making(served: Mapping[str, Any], expected: Mapping[str, Any]) -> dict[str, Any]:
    """The served answer with the recorded time and identifier, where both are of one kind."""
    same = {
        name: expected[name]
        for name in _OF_THE_MAKING
        if name in expected and name in served and type(served[name]) is type(expected[name])
    }
    return {**served, **same}


def _close(served: float, expected: float) -> bool:
    # isclose says that an infinity is close to itself; none is an answer.
    return math.isfinite(expected) and math.isclose(
        served, expected, rel_tol=RELATIVE_TOLERANCE, abs_tol=ABSOLUTE_TOLERANCE
    )


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _named(where: str) -> str:
    return where or "the answer"


def _shown(value: object) -> str:
    text = repr(value)
    if len(text) <= _SHOWN_CHARACTERS:
        return text
    return f"{text[:_SHOWN_CHARACTERS]}... ({len(text)} characters)"
