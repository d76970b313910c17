"""The classes that are to be told apart, and what is worth knowing of them before training."""

from collections import Counter
from collections.abc import Mapping
from typing import Any

import cell_formats
from findings import Finding

MOST_CLASSES = 100
# With fewer training rows there is hardly anything to learn of a class.
FEW_ROWS = 5
_SHOWN = 5
_SHOWN_CHARACTERS = 60


def enumerate_classes(counts: Mapping[Any, int]) -> str:
    """The first of the classes with their rows, and how many more there are."""
    told = [
        f"{shorten(value)} ({rows} row{'s' * (rows != 1)})"
        for value, rows in list(counts.items())[:_SHOWN]
    ]
    more = len(counts) - len(told)
    return ", ".join(told) + (f" and {more} more" if more > 0 else "")


def shorten(value: Any) -> str:
    """A class as messages have it."""
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    if isinstance(value, str) and len(value) > _SHOWN_CHARACTERS:
        return f"{value[:_SHOWN_CHARACTERS]!r}..."
    return repr(value)


def tell_classes(target: str, train: Mapping[Any, int], test: Mapping[Any, int]) -> list[Finding]:
    """Warnings on classes that may be mistakes, and on those that few rows or none have."""
    every = Counter(train)
    every.update(test)
    few = {value: rows for value, rows in train.items() if rows < FEW_ROWS}
    told = [*_tell_alike(every), *_tell_words(every)]
    if few:
        told.append(f"few training rows to learn a class from: {_enumerate(few)}")
    if unknown := {value: rows for value, rows in test.items() if not train.get(value)}:
        told.append(
            "no training row has these classes of the test rows, so no prediction of them can be "
            f"right: {_enumerate(unknown)}"
        )
    if untested := {value: rows for value, rows in train.items() if not test.get(value)}:
        told.append(
            "no test row has these classes of the training rows, so they are not tested: "
            f"{_enumerate(untested)}"
        )
    return [Finding(column=target, message=message, warning=True) for message in told]


def _tell_alike(counts: Mapping[Any, int]) -> list[str]:
    alike: dict[str, dict[Any, int]] = {}
    for value, rows in counts.items():
        if isinstance(value, str):
            alike.setdefault(value.strip().casefold(), {})[value] = rows
    return [
        f"classes that differ only in case or in blanks around them: {_enumerate(values)}; they "
        "are taken for different ones. Write them the same if they are the same"
        for values in alike.values()
        if len(values) > 1
    ]


def _tell_words(counts: Mapping[Any, int]) -> list[str]:
    words = {
        value: rows
        for value, rows in counts.items()
        if isinstance(value, str) and value.strip().lower() in cell_formats.MISSING_WORDS
    }
    if not words:
        return []
    return [
        f"a word for what is missing is a class here: {_enumerate(words)}. Leave the field empty "
        "if it isn't one: rows without a target are left out"
    ]


def _enumerate(counts: Mapping[Any, int]) -> str:
    return enumerate_classes(dict(sorted(counts.items())))
