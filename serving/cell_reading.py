"""One value of a column, as JSON or CSV has it -> as the training step had it.

    number   float, NaN where missing       text  str or None
    boolean  True, False or None            date  datetime without zone, UTC, or None

A reader raises CellError with what is wrong with the value; who calls it knows row and column.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from serving.table import BOOLEAN, DATE, NUMBER, Column, DateFormat, NumberFormat

Reader = Callable[[Any], Any]

# Missing in text of any column but one of text; whoever reads the training data has the same.
MISSING_WORDS = frozenset(
    [
        *("na", "n/a", "#n/a", "#n/a n/a", "#na", "<na>", "nan", "-nan", "null", "none"),
        *("1.#ind", "-1.#ind", "1.#qnan", "-1.#qnan"),
    ]
)

_PLAIN_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)
_SPACES = re.compile(r"\s")
_ISO_DATE = re.compile(
    r"\d{4}-\d{2}-\d{2}([T ]\d{2}:\d{2}(:\d{2}([.,]\d+)?)?(Z|[+-]\d{2}(:?\d{2})?)?)?", re.ASCII
)
# What datetime64[ns] holds, to the day.
_FIRST_DATE, _LAST_DATE = datetime(1677, 9, 22), datetime(2262, 4, 11)
_BOOLEANS = dict.fromkeys(("true", "True", "TRUE"), True) | dict.fromkeys(
    ("false", "False", "FALSE"), False
)
_SHOWN_CHARACTERS = 80


class CellError(Exception):
    """The value is none of the column's kind; the message says so, without row and column."""


class NotJson:
    """A word that Python reads in JSON and JSON does not have: NaN, Infinity, -Infinity."""

    def __init__(self, word: str) -> None:
        self.word = word

    def __repr__(self) -> str:
        return self.word


def json_reader(column: Column) -> Reader:
    """Reads the column's values from parsed JSON; None is never given to it."""
    if column.kind == NUMBER:
        return _number_in_json(column.format)
    if column.kind == BOOLEAN:
        return _boolean_in_json
    if column.kind == DATE:
        return _date_in_json(column.format)
    return _text_in_json


def csv_reader(column: Column) -> Reader:
    """Reads the column's values from a CSV field; gives None for what is missing there."""
    if column.kind == NUMBER:
        return _number_in_csv(column.format)
    if column.kind == BOOLEAN:
        return _boolean_in_csv
    if column.kind == DATE:
        return _date_in_csv(column.format)
    return lambda field: field or None


def what_to_send(column: Column, *, in_json: bool) -> str:
    """The end of a refusal: `send a plain number such as 12.5, or null where it is missing`."""
    quote = '"' if in_json else ""
    send = {
        NUMBER: "a number such as 12.5" if in_json else "a plain number such as 12.5",
        BOOLEAN: "true or false" if in_json else "true or false, True or False, TRUE or FALSE",
        DATE: f"a date in ISO 8601 such as {quote}2024-12-31{quote} or "
        f"{quote}2024-12-31T23:59:00Z{quote}",
    }.get(column.kind, f"text{' in quotes' if in_json else ''}")
    if isinstance(column.format, DateFormat):
        send += f", or a text of the form {column.format.strptime}"
    if isinstance(column.format, NumberFormat):
        send += f", or a text such as {quote}{_example(column.format)}{quote}"
    if not column.gaps:
        return f"send {send}"
    return f"send {send}, or {'null' if in_json else 'nothing'} where it is missing"


def show(value: object) -> str:
    """The value for a message: as JSON or CSV has it, shortened."""
    word = {True: "true", False: "false"}[value] if isinstance(value, bool) else repr(value)
    if len(word) <= _SHOWN_CHARACTERS:
        return word
    return f"{word[:_SHOWN_CHARACTERS]}... ({len(word)} characters)"


def _number_in_json(how: object) -> Reader:
    read_text = _number_in_csv(how) if isinstance(how, NumberFormat) else None

    def read(value: Any) -> float | None:
        if isinstance(value, float) and math.isfinite(value):
            return value
        if isinstance(value, int | float) and not isinstance(value, bool):
            return _finite(value)
        if read_text is not None and isinstance(value, str):
            return read_text(value)  # type: ignore[no-any-return]
        raise CellError("is not a number")

    return read


def _number_in_csv(how: object) -> Reader:
    read_formatted = _formatted_number(how) if isinstance(how, NumberFormat) else None

    def read(field: str) -> float | None:
        text = field.strip()
        if not text:
            return None
        if read_formatted is not None:
            number = read_formatted(text)
            if number is not None:
                return _finite(number)
        if _PLAIN_NUMBER.fullmatch(text):
            return _finite(text)
        if text.lower() in MISSING_WORDS:
            return None
        raise CellError("is not a number")

    return read


def _formatted_number(how: NumberFormat) -> Callable[[str], str | None]:
    """The plain number that a text in the table's way of writing says, or None."""
    groups = rf"\d{{1,3}}(?:{re.escape(how.thousands)}\d{{3}})+|" if how.thousands else ""
    decimal = re.escape(how.decimal)
    written = re.compile(
        rf"([+-]?)((?:{groups}\d+)(?:{decimal}\d*)?|{decimal}\d+)([eE][+-]?\d+)?", re.ASCII
    )

    def read(text: str) -> str | None:
        # Any space as a blank, and the apostrophe that word processors put as a plain one.
        text = _SPACES.sub(" ", text).replace("\u2019", "'")
        sign = ""
        if how.affixes and text[0] in "+-":  # -$5: the sign stands before the currency
            sign, text = text[0], text[1:]
        found = written.fullmatch(sign + _without_affixes(text, how.affixes))
        if found is None:
            return None
        number = found[2].replace(how.thousands, "") if how.thousands else found[2]
        return f"{found[1]}{number.replace(how.decimal, '.')}{found[3] or ''}"

    return read


def _without_affixes(text: str, affixes: tuple[str, ...]) -> str:
    text, before = text.strip(), None
    while text != before:
        before = text
        for affix in affixes:
            text = text.removeprefix(affix).removesuffix(affix).strip()
    return text


def _finite(value: float | int | str) -> float:
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if math.isinf(number):
        raise CellError("is larger than a number can be")
    return number


def _example(how: NumberFormat) -> str:
    affix = how.affixes[0] if how.affixes else ""
    return f"1{how.thousands}234{how.decimal}5{affix}"


def _boolean_in_json(value: Any) -> bool:
    if isinstance(value, bool):
        return value
    raise CellError("is not true or false")


def _boolean_in_csv(field: str) -> bool | None:
    text = field.strip()
    if not _is_said(text):
        return None
    if text in _BOOLEANS:
        return _BOOLEANS[text]
    raise CellError("is not true or false")


def _text_in_json(value: Any) -> str | None:
    if isinstance(value, str):
        return value or None
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    raise CellError("is not text")


def _date_in_json(how: object) -> Reader:
    read_text = _date_in_csv(how)

    def read(value: Any) -> datetime | None:
        if isinstance(value, str) and _is_said(value):
            return read_text(value)  # type: ignore[no-any-return]
        if isinstance(value, int | float) and not isinstance(value, bool):
            raise CellError("is a number, which may be seconds, milliseconds or days")
        raise CellError("is not a date")

    return read


def _date_in_csv(how: object) -> Reader:
    written = how.strptime if isinstance(how, DateFormat) else None

    def read(field: str) -> datetime | None:
        text = field.strip()
        if not _is_said(text):
            return None
        moment = None if written is None else _formatted_date(text, written)
        if moment is None:
            moment = _iso_date(text)
        if moment.tzinfo is not None:
            moment = _to_utc(moment)
        if not _FIRST_DATE <= moment < _LAST_DATE:
            raise CellError("lies outside of the years 1678 to 2262")
        return moment

    return read


def _is_said(text: str) -> bool:
    """Whether the text is more than blanks or a word for missing."""
    return bool(text.strip()) and text.strip().lower() not in MISSING_WORDS


def _formatted_date(text: str, written: str) -> datetime | None:
    try:
        return datetime.strptime(text, written)
    except ValueError:
        return None


def _iso_date(text: str) -> datetime:
    if not _ISO_DATE.fullmatch(text):
        raise CellError("is not a date")
    try:
        return datetime.fromisoformat(text)
    except ValueError as err:
        raise CellError(f"is not a date ({err})") from err


def _to_utc(moment: datetime) -> datetime:
    try:
        return moment.astimezone(UTC).replace(tzinfo=None)
    except OverflowError as err:
        raise CellError("lies outside of the years 1678 to 2262") from err
