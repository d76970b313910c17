"""The table that a model was trained on: columns with their kind, as the MLmodel file tells it.

metadata:
  table:
    version: 1
    columns:
    - {name: size, kind: number, gaps: true, format: {thousands: ",", decimal: ".", affixes: []}}
    - {name: sold, kind: date, gaps: false, format: {strptime: "%d.%m.%Y"}}
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from serving.errors import TableError

NUMBER = "number"
BOOLEAN = "boolean"
TEXT = "text"
DATE = "date"
KINDS = (NUMBER, BOOLEAN, TEXT, DATE)

_VERSION = 1


@dataclass(frozen=True, kw_only=True)
class NumberFormat:
    """How the table writes numbers: 1,234.50 or 1.234,50 %."""

    thousands: str = ""
    decimal: str = "."
    affixes: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class DateFormat:
    """How the table writes dates, in the words of datetime.strptime."""

    strptime: str


@dataclass(frozen=True, kw_only=True)
class Column:
    """A column; `gaps` says whether a value may be missing, `format` is None for plain values."""

    name: str
    kind: str
    gaps: bool
    format: NumberFormat | DateFormat | None = None


@dataclass(frozen=True)
class Table:
    """The columns that the model was trained on, in their order."""

    columns: tuple[Column, ...]

    @classmethod
    def from_metadata(cls, metadata: Mapping[str, Any] | None) -> Table | None:
        """The table in a model's metadata; None for a model without one.

        Raises TableError naming all that this server doesn't understand.
        """
        if not metadata or "table" not in metadata:
            return None
        table = metadata["table"]
        if not isinstance(table, Mapping) or table.get("version") != _VERSION:
            version = table.get("version") if isinstance(table, Mapping) else table
            raise TableError(
                f"the model's table is of version {version!r}, this server reads version "
                f"{_VERSION}; serve the model with the image that belongs to it"
            )
        problems: list[str] = []
        columns = [_column(entry, problems) for entry in table.get("columns") or []]
        names = [column.name for column in columns]
        problems += [f"{name!r} is there twice" for name in sorted(_twice(names))]
        if not columns:
            problems.append("it has no columns")
        if problems:
            raise TableError("the model's table can not be read: " + "; ".join(problems))
        return cls(tuple(columns))


def _column(entry: object, problems: list[str]) -> Column:
    values = entry if isinstance(entry, Mapping) else {}
    name, kind, gaps = values.get("name"), values.get("kind"), values.get("gaps")
    if not isinstance(name, str):
        problems.append(f"a column's name is {name!r}")
    if kind not in KINDS:
        problems.append(f"{name!r} is of kind {kind!r}; there are {', '.join(KINDS)}")
    if not isinstance(gaps, bool):
        problems.append(f"{name!r} has {gaps!r} for gaps, which is true or false")
    told = values.get("format")
    how = None
    if told is not None:
        try:
            how = _format(kind, told)
        except (TypeError, ValueError) as err:
            problems.append(f"{name!r} has the format {told!r}: {err}")
    return Column(name=str(name), kind=str(kind), gaps=bool(gaps), format=how)


def _format(kind: object, told: Any) -> NumberFormat | DateFormat:
    if kind == DATE:
        dates = DateFormat(**told)
        if not isinstance(dates.strptime, str) or "%" not in dates.strptime:
            raise ValueError("strptime is a text such as %d.%m.%Y")
        return dates
    if kind != NUMBER:
        raise ValueError("only numbers and dates have one")
    numbers = NumberFormat(**{**told, "affixes": tuple(told.get("affixes", ()))})
    if numbers.thousands not in ("", ",", ".", "'", " ") or numbers.decimal not in (".", ","):
        raise ValueError("thousands is one of , . ' or a blank, decimal is . or ,")
    if numbers.thousands == numbers.decimal:
        raise ValueError("thousands and decimal are the same")
    if not all(isinstance(affix, str) and affix.strip() for affix in numbers.affixes):
        raise ValueError("affixes are texts")
    return numbers


def _twice(names: list[str]) -> set[str]:
    return {name for name, count in Counter(names).items() if count > 1}
