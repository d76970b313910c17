"""What is to be predicted, an amount or a class: follows from the target's values and from `Task`.

    boolean ─────────────────────────────────────────▶ classes
    text ──── is it spoiled numbers or dates? refuse ─▶ classes
    number ── the source has it as categories ────────▶ classes
           ── few whole values: refuse, it may be either
           ── any other ──────────────────────────────▶ an amount

That is under `auto`. A table is refused rather than taken for what it may not be: a regression on
class numbers looks splendid and is worth nothing.
"""

import enum
from collections import Counter
from dataclasses import dataclass, field
from typing import Any, Literal

import cell_formats
import conversion
import pyarrow as pa
import pyarrow.compute as pc
from cell_formats import LARGEST_EXACT
from classes import MOST_CLASSES, enumerate_classes, shorten
from column_kinds import Column, Survey, TextSurvey, Verdict
from errors import DataError
from findings import OddValues
from raw_table import RawTable, as_mask

Task = Literal["regression", "classification"]

# Up to here whole numbers may be classes, if each stands in so many rows on average.
FEW_VALUES = 20
ROWS_OF_A_CLASS = 3
# From this share of numbers on, text may be a column of numbers that was spoiled.
_SOME_NUMBERS = 0.05
# Different cells of the target are counted up to here.
_MOST_COUNTED = 1000

_BOOLEAN = f"^(?:{'|'.join(cell_formats.BOOLEANS)})$"


class TaskChoice(enum.Enum):
    """The parameter Task."""

    AUTO = "auto"
    REGRESSION = "regression"
    CLASSIFICATION = "classification"

    @classmethod
    def read(cls, text: str) -> "TaskChoice":
        """From the parameter Task. Raises DataError."""
        try:
            return cls(text.strip())
        except ValueError:
            choices = ", ".join(choice.value for choice in cls)
            raise DataError(f"Task is {text!r}; give one of {choices}") from None


@dataclass
class RawCounts:
    """How many rows have which of a column's cells, before it is known what they are.

    It counts no further once there are too many, which is what `complete` tells.
    """

    complete: bool = True
    _counts: Counter[Any] = field(default_factory=Counter)
    _type: pa.DataType | None = None

    def count(self, values: pa.Array) -> None:
        """Take a batch's values into account."""
        if not self.complete:
            return
        self._type = values.type
        counted = values.drop_null().value_counts().slice(0, _MOST_COUNTED + 1)
        for value, rows in zip(
            counted.field("values").to_pylist(), counted.field("counts").to_pylist(), strict=True
        ):
            self._counts[value] += rows
        self.complete = len(self._counts) <= _MOST_COUNTED

    def read(self, column: Column) -> Counter[Any]:
        """The same by what the cells are; without the missing ones."""
        converted = conversion.convert(pa.array(list(self._counts), self._type), column)
        counts: Counter[Any] = Counter()
        for value, rows in zip(converted.to_pylist(), self._counts.values(), strict=True):
            if value is not None:
                counts[value] += rows
        return counts


@dataclass(frozen=True, kw_only=True)
class Target:
    """What is known of the column that is to be predicted, once its kind is decided.

    `values` counts the rows of each value, all of them if `complete`.
    """

    table: RawTable
    column: Column
    verdict: Verdict
    survey: Survey
    odd_values: OddValues | None
    values: Counter[Any]
    complete: bool

    @property
    def where(self) -> str:
        """For messages."""
        return f"the target {self.column.name!r} in {self.table.source}"

    def tell_number(self) -> str:
        """How many different values there are."""
        if not self.complete:
            return f"over {_MOST_COUNTED} different values"
        return f"{len(self.values)} different values in {self.values.total()} rows"

    def tell_examples(self) -> str:
        """The most frequent values, with their rows if they are known."""
        if self.complete:
            return enumerate_classes(dict(self.values.most_common()))
        return ", ".join(shorten(value) for value in list(self.values)[:5])


def choose_task(choice: TaskChoice, target: Target) -> Task:
    """What the target is to be, by the parameter and its values. Raises DataError."""
    kind = target.column.kind
    if kind == "date":
        raise DataError(
            f"{target.where} is a date; only numbers and classes can be predicted. Set the "
            "parameter TargetColumn"
        )
    if kind == "boolean" and choice is TaskChoice.REGRESSION:
        raise DataError(
            f"{target.where} is true or false, and Task is regression, which predicts numbers: "
            "write 1 and 0, or set the parameter Task=classification"
        )
    if kind == "text":
        _check_text(choice, target)
    if target.complete and len(target.values) == 1:
        raise DataError(
            f"{target.where} is the same in every row, so there is nothing to learn. Set the "
            "parameter TargetColumn"
        )
    if kind == "number" and not _has_numbered_classes(choice, target):
        return "regression"
    _check_classes(choice, target)
    return "classification"


def _check_text(choice: TaskChoice, target: Target) -> None:
    """Raises DataError for text that is to be a number, or looks as if it were meant to be one."""
    if choice is TaskChoice.CLASSIFICATION:
        return
    regression = choice is TaskChoice.REGRESSION
    why = _find_spoiled(target)
    if not why:
        if not regression:
            return
        why = "none of its values looks like a number"
    asked_for = ", and Task is regression" if regression else ""
    raise DataError(
        f"{target.where} is not numeric but text{asked_for}: {why}. Correct it, or set the "
        "parameter Task=classification if its values are classes, or the parameter TargetColumn"
    )


def _find_spoiled(target: Target) -> str:
    """Why text looks as if it were meant to be numbers, dates or booleans; "" if it doesn't."""
    seen, verdict, odd = target.survey, target.verdict, target.odd_values
    if odd:
        meant = (verdict.nearly or verdict.column).kind
        return f"{odd.count} of {verdict.values} values are no {meant}s, {odd}"
    if not isinstance(seen, TextSurvey):
        return verdict.why_text
    if not seen.values:
        return "all of its values are words for what is missing"
    numbers = seen.plain + seen.formatted.total()
    if verdict.why_text:
        why = verdict.why_text
    elif numbers and numbers >= _SOME_NUMBERS * seen.values:
        why = f"{numbers} of {seen.values} values are numbers"
    else:
        return ""
    if 0 < seen.plain + seen.booleans < seen.values:
        why += f"; of the others, {_find_others(target, seen)}"
    return why


def _find_others(target: Target, seen: TextSurvey) -> OddValues:
    """The values that are not what others of the column are: numbers, or true and false."""
    usual = cell_formats.PLAIN_NUMBER if seen.plain else _BOOLEAN
    found = OddValues()
    for batch in target.table.read():
        texts = batch.array(target.column.name)
        trimmed = pc.utf8_trim_whitespace(texts)
        like = pc.or_(
            pc.match_substring_regex(trimmed, usual), cell_formats.find_missing_words(texts)
        )
        found.add(texts, as_mask(pc.invert(like)), batch)
    return found


def _has_numbered_classes(choice: TaskChoice, target: Target) -> bool:
    """Whether numbers are classes. Raises DataError where that is asked for and can't be, or
    nobody can tell.
    """
    whole = all(value.is_integer() and abs(value) <= LARGEST_EXACT for value in target.values)
    if choice is TaskChoice.CLASSIFICATION:
        if not whole:
            _refuse_fractions(target)
        return True
    if choice is TaskChoice.REGRESSION or not whole:
        return False
    if target.column.name in target.table.categories:
        return True
    few = target.complete and len(target.values) <= FEW_VALUES
    if few and target.values.total() >= ROWS_OF_A_CLASS * len(target.values):
        raise DataError(
            f"{target.where} has {target.tell_number()}, all of them whole numbers, so that they "
            f"may be classes or amounts: {target.tell_examples()}. Set the parameter "
            "Task=classification or Task=regression"
        )
    return False


def _refuse_fractions(target: Target) -> None:
    found = OddValues()
    for batch in target.table.read():
        values = batch.array(target.column.name)
        numbers = conversion.convert(values, target.column)
        held = pc.less_equal(pc.abs(numbers), float(LARGEST_EXACT))
        whole = pc.and_(held, pc.equal(numbers, pc.floor(numbers)))
        found.add(values, as_mask(pc.invert(whole)), batch)
    raise DataError(
        f"{target.where} can't be classes: {found.count} of its numbers are not whole, or beyond "
        f"2^53, {found}. Correct them, or set the parameter Task=regression"
    )


def _check_classes(choice: TaskChoice, target: Target) -> None:
    """Raises DataError for values that are too many, or too rare, to be classes."""
    number = target.column.kind == "number"
    if not target.complete or len(target.values) > MOST_CLASSES:
        instead = "Task=regression or TargetColumn" if number else "TargetColumn"
        raise DataError(
            f"{target.where} has {target.tell_number()}, and that is no set of classes, which has "
            f"2 to {MOST_CLASSES}: {target.tell_examples()}. Set the parameter {instead}"
        )
    few_rows = target.values.total() < ROWS_OF_A_CLASS * len(target.values)
    if few_rows and choice is TaskChoice.AUTO and not number:
        raise DataError(
            f"{target.where} has {target.tell_number()}, as names have rather than classes: "
            f"{target.tell_examples()}. Set the parameter TargetColumn, or Task=classification if "
            "they are classes"
        )
