"""What each column is: decided once, from all rows of all files together.

    text of a column ─▶ TextSurvey counts: numbers, dates, booleans, missing words, formats, ...
    all counts       ─▶ a kind (number, boolean, text, date), and how it is written

A kind is given to a column when nearly all of its values are of that kind; the few others are odd
values, and `OddValues` says what becomes of them. The rules are in docs/pipeline.md.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

import cell_formats
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from cell_formats import ISO, NumberFormat
from raw_table import RawTable, as_mask

Kind = Literal["number", "boolean", "text", "date"]

# From this share of a column's values on, the others are odd values rather than another kind.
NEARLY_ALL = 0.9
# From this share on it is told that a text column looks like something else.
MANY = 0.25
# Below this share of values with its marks, a format of numbers is taken for a slip.
CONSISTENT = 0.05
# So many values such as 6.878, beside whole ones and no others, are thousands.
SURE = 30

PLAIN = NumberFormat()


@dataclass(frozen=True, kw_only=True)
class Column:
    """What a column is, and how its text, if the file has text, is to be read."""

    name: str
    kind: Kind
    number_format: NumberFormat = PLAIN
    date_format: str = ISO

    def format_json(self) -> dict[str, object] | None:
        """The format as the model's metadata names it; None for plain numbers and ISO dates."""
        if self.kind == "number" and not self.number_format.is_plain:
            return self.number_format.to_json()
        if self.kind == "date" and self.date_format != ISO:
            return {"strptime": self.date_format}
        return None


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """A column's kind and why; the kind that nearly all values have where not all have it.

    `values` counts those of a column that may have odd ones; `nearly` is set if some of them are
    odd. `why_text` tells of a text column that has numbers or dates; `told` of how a column that is
    written in its own way was read.
    """

    column: Column
    values: int = 0
    nearly: Column | None = None
    why_text: str = ""
    told: str = ""


@dataclass
class TextSurvey:
    """Counts of what a text column's values could be; rows, not distinct values."""

    filled: int = 0
    missing_words: Counter[str] = field(default_factory=Counter)
    booleans: int = 0
    # Plain numbers: whole ones, such as 1.234, and all others.
    whole: int = 0
    small_whole: int = 0  # 1 to 999, which need no separator
    point_and_three: int = 0
    other_plain: int = 0
    leading_zeros: int = 0
    # Whole numbers beyond 2^53, however they are written.
    too_large: int = 0
    # Numbers that are not plain, and dates, by all formats in which they can be read.
    formatted: Counter[frozenset[NumberFormat]] = field(default_factory=Counter)
    dates: Counter[frozenset[str]] = field(default_factory=Counter)
    far_dates: int = 0
    # Written as numbers or dates are, though in no way that is read.
    unread: int = 0

    @property
    def plain(self) -> int:
        """Values that are plain numbers."""
        return self.whole + self.point_and_three + self.other_plain

    @property
    def values(self) -> int:
        """Values that are neither missing nor a word for it."""
        return self.filled - self.missing_words.total()

    def count(self, texts: pa.Array) -> None:
        """Take the values of one batch into account."""
        if not self._count_plain(texts):
            encoded = texts.dictionary_encode()
            codes = encoded.indices.drop_null().to_numpy()
            self._count_distinct(
                encoded.dictionary, np.bincount(codes, minlength=len(encoded.dictionary))
            )

    def _count_plain(self, texts: pa.Array) -> bool:
        """Count a batch with nothing but plain numbers, fast; False if there is more to it."""
        try:
            # A cast that fails takes long, as it words an error for each value: first a few.
            pc.cast(texts.slice(0, 256), pa.float64())
            numbers = pc.cast(texts, pa.float64())
        except pa.ArrowInvalid:
            return False
        if not pc.all(pc.is_finite(numbers), min_count=0).as_py():
            return False
        filled = len(numbers) - numbers.null_count
        if (pc.max(pc.abs(numbers)).as_py() or 0.0) >= cell_formats.LARGEST_EXACT:
            return False  # digits may have been lost: one by one
        whole_rows = _sum(pc.match_substring_regex(texts, cell_formats.WHOLE_NUMBER))
        three = (
            _sum(pc.match_substring_regex(texts, cell_formats.POINT_AND_THREE))
            if whole_rows < filled
            else 0
        )
        if _sum(pc.starts_with(pc.utf8_ltrim(texts, "+-"), "0")):
            self.leading_zeros += _sum(pc.match_substring_regex(texts, cell_formats.LEADING_ZERO))
        if whole_rows:
            self.small_whole += _sum(pc.match_substring_regex(texts, cell_formats.SMALL_WHOLE))
        self.filled += filled
        self.whole += whole_rows
        self.point_and_three += three
        self.other_plain += filled - whole_rows - three
        return True

    def _count_distinct(self, texts: pa.Array, rows: "np.ndarray") -> None:
        """Count distinct texts, each of which stands in so many rows."""
        trimmed = pc.utf8_trim_whitespace(texts)

        def matching(pattern: str) -> "np.ndarray":
            return as_mask(pc.match_substring_regex(trimmed, pattern))

        words = as_mask(cell_formats.find_missing_words(trimmed))
        booleans = as_mask(pc.is_in(trimmed, pa.array(list(cell_formats.BOOLEANS))))
        plain = matching(cell_formats.PLAIN_NUMBER) & ~words
        whole = matching(cell_formats.WHOLE_NUMBER)
        three = matching(cell_formats.POINT_AND_THREE)
        self.filled += int(rows.sum())
        for index in np.flatnonzero(words):
            self.missing_words[trimmed[int(index)].as_py()] += int(rows[index])
        self.booleans += int(rows[booleans].sum())
        self.whole += int(rows[whole].sum())
        self.small_whole += int(rows[matching(cell_formats.SMALL_WHOLE)].sum())
        self.point_and_three += int(rows[three].sum())
        self.other_plain += int(rows[plain & ~whole & ~three].sum())
        self.leading_zeros += int(rows[plain & matching(cell_formats.LEADING_ZERO)].sum())
        for index in np.flatnonzero(matching(cell_formats.LARGE_WHOLE)):
            self.too_large += int(rows[index]) * PLAIN.is_large_whole(trimmed[int(index)].as_py())
        for index in np.flatnonzero(matching(cell_formats.NUMBER_LIKE) & ~plain):
            text = trimmed[int(index)].as_py()
            formats = cell_formats.find_number_formats(text)
            if formats:
                self.formatted[formats] += int(rows[index])
                self.too_large += int(rows[index]) * all(f.is_large_whole(text) for f in formats)
        dates = np.flatnonzero(matching(cell_formats.DATE_LIKE))
        found, far = cell_formats.find_date_formats(
            [trimmed[int(index)].as_py() for index in dates]
        )
        for index, date_formats, is_far in zip(dates, found, far, strict=True):
            if date_formats:
                self.dates[date_formats] += int(rows[index])
                self.far_dates += int(rows[index]) * is_far
        self.unread += int(rows[matching(cell_formats.UNREAD) & ~words].sum())


@dataclass
class TypedSurvey:
    """The same for a column whose file says what it is."""

    kind: pa.DataType
    filled: int = 0
    too_large: int = 0

    def count(self, values: pa.Array) -> None:
        """Take the values of one batch into account."""
        self.filled += len(values) - values.null_count
        if pa.types.is_integer(self.kind) or pa.types.is_decimal(self.kind):
            limit = cell_formats.LARGEST_EXACT
            ends = pc.min_max(values).as_py()
            if max(ends["max"] or 0, -(ends["min"] or 0)) > limit:
                self.too_large += sum(
                    abs(value) > limit and value == int(value)
                    for value in values.drop_null().to_pylist()
                )


Survey = TextSurvey | TypedSurvey


def survey(table: RawTable, schema: pa.Schema) -> dict[str, Survey]:
    """A fresh survey for each column, to be fed with each batch."""
    types = {name: schema.field(name).type for name in table.columns}
    return {
        name: TextSurvey() if pa.types.is_string(kind) else TypedSurvey(kind)
        for name, kind in types.items()
    }


def decide(name: str, seen: Survey, table: RawTable) -> Verdict | None:
    """What the column is; None if it holds no value."""
    if seen.filled == 0:
        return None
    if isinstance(seen, TypedSurvey):
        return _decide_typed(name, seen)
    verdict = _decide_text(name, seen, table.separator)
    if name in table.text_columns:
        return verdict
    # A Parquet file says itself that it is text; that it looks like something else is told.
    looks = verdict.nearly or verdict.column
    why = f"the file has it as text, though its values are {looks.kind}s; write them as such"
    return Verdict(
        column=Column(name=name, kind="text"),
        why_text=why if looks.kind != "text" else verdict.why_text,
    )


def _decide_typed(name: str, seen: TypedSurvey) -> Verdict:
    kind = seen.kind
    if pa.types.is_boolean(kind):
        return Verdict(column=Column(name=name, kind="boolean"))
    if pa.types.is_date(kind) or pa.types.is_timestamp(kind):
        return Verdict(column=Column(name=name, kind="date"), values=seen.filled)
    if seen.too_large:
        return Verdict(column=Column(name=name, kind="text"), why_text=_too_large(seen))
    return Verdict(column=Column(name=name, kind="number"))


def _decide_text(name: str, seen: TextSurvey, separator: str) -> Verdict:
    text = Column(name=name, kind="text")
    values = seen.values
    if values == 0:
        return Verdict(column=text)
    if seen.booleans == values:
        return Verdict(column=Column(name=name, kind="boolean"))
    number_format, numbers = _choose_number_format(seen, separator)
    date_formats, dates = _choose_date_formats(seen)
    if numbers >= max(dates, NEARLY_ALL * values):
        if seen.leading_zeros:
            zeros = f"{seen.leading_zeros} of its numbers begin with a zero, as codes do"
            return Verdict(column=text, why_text=zeros)
        whole = max(seen.whole + seen.formatted.total(), seen.too_large)
        if seen.too_large and whole >= MANY * values:
            return Verdict(column=text, why_text=_too_large(seen))
        found = Column(name=name, kind="number", number_format=number_format)
        told = _tell_number_format(seen, number_format)
        return _with_odd(found, text, values, values - numbers, told)
    if dates >= NEARLY_ALL * values:
        if len(date_formats) > 1:
            either = " or ".join(sorted(date_formats))
            return Verdict(column=text, why_text=f"its dates can be read as {either}; write ISO")
        found = Column(name=name, kind="date", date_format=date_formats[0])
        told = "" if date_formats[0] == ISO else f"its dates are written as {date_formats[0]}"
        return _with_odd(found, text, values, values - dates + seen.far_dates, told)
    return Verdict(column=text, why_text=_tell_text(seen, numbers, dates))


def _tell_text(seen: TextSurvey, numbers: int, dates: int) -> str:
    """What else many of the values of a text column look like; "" if nothing."""
    values = seen.values
    if seen.plain + seen.formatted.total() >= NEARLY_ALL * values:
        return "its numbers are not all written in the same way"
    if seen.dates.total() >= NEARLY_ALL * values:
        return "its dates are not all written in the same way"
    for count, what in (
        (numbers, "numbers"),
        (dates, "dates"),
        (seen.booleans, "true or false"),
    ):
        if count >= MANY * values:
            return f"only {count} of {values} values are {what}"
    if seen.unread >= NEARLY_ALL * values:
        return "its values look like numbers, dates or codes, in a way that is not read"
    return ""


def _with_odd(found: Column, text: Column, values: int, odd: int, told: str) -> Verdict:
    if odd:
        return Verdict(column=text, values=values, nearly=found, told=told)
    return Verdict(column=found, told=told)


def _choose_number_format(seen: TextSurvey, separator: str) -> tuple[NumberFormat, int]:
    """The format that most values have, and how many have it."""
    # 850, 6.878 and 15.127: fractions would not all have three digits, or none.
    only_three = seen.point_and_three + seen.small_whole == seen.values
    both = seen.point_and_three >= SURE and seen.small_whole >= (1 - NEARLY_ALL) * seen.values
    if only_three and both and separator == ";":
        return NumberFormat(thousands=".", decimal=","), seen.plain
    if seen.plain == seen.values or not seen.formatted:
        return PLAIN, seen.plain
    marked: Counter[NumberFormat] = Counter()
    for formats, rows in seen.formatted.items():
        for number_format in formats:
            marked[number_format] += rows
    fitting = {
        number_format: rows + _count_fitting_plain(seen, number_format)
        for number_format, rows in marked.items()
        if rows >= CONSISTENT * seen.values
    }

    def rate(number_format: NumberFormat) -> tuple[int, bool, bool, bool]:
        # 1,234 alone may be either; where fields are separated by ; the comma is a decimal mark.
        return (
            fitting[number_format],
            number_format.thousands == "" and number_format.decimal == ".",
            (number_format.decimal == ",") == (separator == ";"),
            number_format.thousands == "",
        )

    best = max(fitting, key=rate, default=PLAIN)
    if best is PLAIN or (fitting[best] < seen.values and seen.plain >= NEARLY_ALL * seen.values):
        return PLAIN, seen.plain
    return best, fitting[best]


def _count_fitting_plain(seen: TextSurvey, number_format: NumberFormat) -> int:
    """How many of the plain numbers can stand in a column of that format."""
    if number_format.affix:
        return 0
    if number_format.decimal == ".":
        return seen.plain
    return seen.whole + (seen.point_and_three if number_format.thousands == "." else 0)


def _choose_date_formats(seen: TextSurvey) -> tuple[Sequence[str], int]:
    """The formats in which most values are dates (more than one if equally many), and how many."""
    fitting: Counter[str] = Counter()
    for formats, rows in seen.dates.items():
        for date_format in formats:
            fitting[date_format] += rows
    if not fitting:
        return (), 0
    most = max(fitting.values())
    return sorted(name for name, rows in fitting.items() if rows == most), most


def _tell_number_format(seen: TextSurvey, number_format: NumberFormat) -> str:
    if not number_format.is_plain:
        return f"its numbers are written with {number_format.describe()}"
    if seen.point_and_three and seen.other_plain == 0:
        return (
            "no value has other than three digits after its point; they were read as decimals. "
            "Where the point separates thousands, write the numbers without it"
        )
    return ""


def _too_large(seen: Survey) -> str:
    return f"{seen.too_large} of its whole numbers are beyond 2^53, where numbers lose digits"


def _sum(mask: pa.Array) -> int:
    return int(pc.sum(pc.cast(mask, pa.int64())).as_py() or 0)
