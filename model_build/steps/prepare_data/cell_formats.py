"""How people write numbers and dates in text files, and what each way means.

    "1,234.50"  ─▶ thousands ",", decimal "."        "12 %" ─▶ affix "%"
    "31.12.2024" ─▶ %d.%m.%Y                          "2024-12-31T10:00Z" ─▶ ISO 8601

A plain number has digits, a point and an exponent, if any. Each function takes *distinct* texts, so
that a million equal ones cost as much as one.
"""

import datetime
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

# What pandas reads as missing in a column of numbers, here in any case. The server has the same.
MISSING_WORDS = frozenset(
    [
        *("", "na", "n/a", "#n/a", "#n/a n/a", "#na", "<na>", "nan", "-nan", "null", "none"),
        *("1.#ind", "-1.#ind", "1.#qnan", "-1.#qnan"),
    ]
)
_MISSING_ARRAY = pa.array(sorted(MISSING_WORDS))
BOOLEANS: Mapping[str, bool] = {
    "true": True,
    "True": True,
    "TRUE": True,
    "false": False,
    "False": False,
    "FALSE": False,
}

# In the syntax of RE2, which Arrow uses; the texts have no blanks around them.
PLAIN_NUMBER = r"^[+-]?(?:(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?|(?i:inf|infinity))$"
WHOLE_NUMBER = r"^[+-]?\d+$"
POINT_AND_THREE = r"^[+-]?[1-9]\d{0,2}\.\d{3}$"  # 1.234: a decimal point, or of thousands?
LEADING_ZERO = r"^[+-]?0\d"
# What may be a number in another format, or a date: worth a closer look.
NUMBER_LIKE = (
    r"^[+-]?\s*(?:[%$€£¥₹]|[A-Z]{3}|Fr\.|R\$|kr)?\s*[+-]?[\d.,'\x{2019}\s\x{a0}\x{202f}]*\d(?:[eE][+-]?\d+)?\s*"
    r"(?:[%$€£¥₹]|[A-Z]{3}|Fr\.|R\$|kr)?$"
)
DATE_LIKE = r"^\d{1,4}[./-]\d{1,2}[./-]\d{1,4}"
SMALL_WHOLE = r"^[+-]?[1-9]\d{0,2}$"
LARGE_WHOLE = r"^[+-]?[1-9]\d{15,}(?:\.0*)?$"  # perhaps beyond 2^53
# Written as numbers or dates are, though in no way that is read: (123), 31 Dec 2024, 9:30 pm.
UNREAD = (
    r"^[^\pL]*\d[^\pL]*(?i:am|pm|a\.m\.|p\.m\.)?$"
    r"|^\d{1,2}[ ./-][A-Z][a-z]{2,8}[ ,./-]+\d{2,4}"
    r"|^\d{4}-\d{2}-\d{2}[Tt ]|^\d{8}T\d{4,6}Z?$|^[+-]?\d[\d.,]*[eE][+-]?\d+$"
)
# Doubles hold every whole number up to here.
LARGEST_EXACT = 2**53

_TYPOGRAPHIC = "\u2019"  # the apostrophe that word processors put
_AFFIX = r"[%$€£¥₹]|CHF|USD|EUR|GBP|JPY|CNY|INR|CAD|AUD|SEK|NOK|DKK|PLN|CZK|BRL|Fr\.|R\$|kr"
_WITH_AFFIX = re.compile(
    rf"(?P<sign>[+-]?)\s*(?P<before>{_AFFIX})?\s*"
    rf"(?P<number>[+-]?[\d.,'{_TYPOGRAPHIC}\s]*\d(?:[eE][+-]?\d+)?)\s*(?P<after>{_AFFIX})?"
)
_SPACES = re.compile(r"\s")


@dataclass(frozen=True, kw_only=True)
class NumberFormat:
    """A way to write numbers: separator of thousands (may be ""), decimal mark, and an affix."""

    thousands: str = ""
    decimal: str = "."
    affix: str = ""

    @property
    def is_plain(self) -> bool:
        """float() reads it."""
        return self == NumberFormat()

    def to_json(self) -> dict[str, object]:
        """As the model's metadata names it."""
        return {
            "thousands": self.thousands,
            "decimal": self.decimal,
            "affixes": [self.affix] if self.affix else [],
        }

    def read(self, text: str) -> float | None:
        """The number that `text` is in this format, None if it is none."""
        taken = _take_apart(text)
        style = self.thousands, self.decimal
        if taken is not None and taken[0] == self.affix and style in _find_styles(taken[1]):
            plain = taken[1].replace(self.thousands, "") if self.thousands else taken[1]
            return float(plain.replace(self.decimal, "."))
        # .5 or 1e-05 among 1,234.5
        if not self.affix and self.decimal == "." and _PLAIN.fullmatch(text.strip()):
            return float(text)
        return None

    def is_large_whole(self, text: str) -> bool:
        """Whether `text` is a whole number beyond 2^53 in this format."""
        taken = _take_apart(text)
        if taken is None:
            return False
        plain = taken[1].replace(self.thousands, "") if self.thousands else taken[1]
        whole, _, fraction = plain.lstrip("+-").partition(self.decimal)
        return whole.isdecimal() and int(whole) > LARGEST_EXACT and not fraction.strip("0")

    def describe(self) -> str:
        """In words, for a person."""
        parts = [f"thousands {self.thousands!r}"] if self.thousands else []
        if self.decimal != ".":
            parts.append(f"decimal mark {self.decimal!r}")
        if self.affix:
            parts.append(f"{self.affix!r}")
        return ", ".join(parts)


# (thousands, decimal mark); a blank stands for every kind of space.
STYLES: tuple[tuple[str, str], ...] = (
    ("", "."),
    (",", "."),
    (".", ","),
    ("", ","),
    ("'", "."),
    (" ", "."),
    (" ", ","),
)
_STYLE_PATTERNS = {
    (thousands, decimal): re.compile(
        # Thousands begin with another digit than 0, and so does any number but 0 itself.
        rf"[+-]?(?:(?:0|[1-9]\d*|[1-9]\d{{0,2}}(?:{re.escape(thousands)}\d{{3}})+)"
        rf"(?:{re.escape(decimal)}\d+)?|{re.escape(decimal)}\d+)(?:[eE][+-]?\d+)?"
        if thousands
        else rf"[+-]?(?:(?:0|[1-9]\d*)(?:{re.escape(decimal)}\d+)?|{re.escape(decimal)}\d+)"
        r"(?:[eE][+-]?\d+)?"
    )
    for thousands, decimal in STYLES
}

_PLAIN = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?", re.ASCII)

# Formats of dates besides ISO 8601, each also with a time behind it.
_DAY_FORMATS = ("%d.%m.%Y", "%d/%m/%Y", "%m/%d/%Y", "%Y/%m/%d", "%d-%m-%Y", "%m-%d-%Y", "%Y.%m.%d")
_TIME_FORMATS = ("", " %H:%M", " %H:%M:%S")
_ISO_DATE = re.compile(
    r"\d{4}-\d{2}-\d{2}"
    r"(?P<time>[T ]\d{2}:\d{2}(?::\d{2}(?:[.,]\d+)?)?(?P<zone>Z|[+-]\d{2}(?::?\d{2})?)?)?"
)
_OTHER_DATE = re.compile(
    r"\d{1,4}([./-])\d{1,2}\1\d{1,4}(?P<time> \d{1,2}:\d{2}(?P<seconds>:\d{2})?)?"
)

ISO = "ISO 8601"


def find_missing_words(texts: pa.Array | pa.ChunkedArray) -> pa.Array | pa.ChunkedArray:
    """A mask of the texts that are a word such as NA."""
    words = pc.is_in(pc.utf8_lower(pc.utf8_trim_whitespace(texts)), _MISSING_ARRAY)
    return pc.fill_null(words, False)


def find_number_formats(text: str) -> frozenset[NumberFormat]:
    """Every format in which `text` is a number; empty if there is none. No plain exponents."""
    taken = _take_apart(text)
    if taken is None:
        return frozenset()
    affix, number = taken
    return frozenset(
        NumberFormat(thousands=thousands, decimal=decimal, affix=affix)
        for thousands, decimal in _find_styles(number)
    )


def parse_dates(texts: Sequence[str], date_format: str) -> pd.Series:
    """datetime64[ns] in UTC without zone; NaT for what is no such date or beyond 1677 to 2262."""
    series = pd.Series(list(texts), dtype=object).str.strip()
    if date_format == ISO:
        # pandas gives a date without a zone that of the one before it, so each gets one.
        zoned = series.map(_with_zone)
        parsed = pd.to_datetime(zoned, format="ISO8601", errors="coerce", utc=True)
        return parsed.dt.tz_localize(None).astype("datetime64[ns]")
    return pd.to_datetime(series, format=date_format, errors="coerce").astype("datetime64[ns]")


def find_date_formats(texts: Sequence[str]) -> tuple[list[frozenset[str]], list[bool]]:
    """For each text the formats in which it is a date, `ISO` among them; and whether it is a date
    beyond those that datetime64[ns] holds, such as 9999-12-31.
    """
    found: list[set[str]] = [set() for _ in texts]
    far = [False] * len(texts)
    candidates: dict[str, list[int]] = {}
    for index, text in enumerate(texts):
        if _ISO_DATE.fullmatch(text.strip()):
            candidates.setdefault(ISO, []).append(index)
        elif match := _OTHER_DATE.fullmatch(text.strip()):
            time = _TIME_FORMATS[bool(match["time"]) + bool(match["seconds"])]
            for day in _DAY_FORMATS:
                if day[2] == match[1]:
                    candidates.setdefault(day + time, []).append(index)
    for date_format, indices in candidates.items():
        parsed = parse_dates([texts[index] for index in indices], date_format)
        for index, good in zip(indices, parsed.notna(), strict=True):
            if not good and _is_far(texts[index].strip(), date_format):
                far[index] = good = True
            if good:
                found[index].add(date_format)
    return [frozenset(formats) for formats in found], far


def _with_zone(text: str) -> str | None:
    match = _ISO_DATE.fullmatch(text)
    if match is None:
        return None
    if match["zone"]:
        return text
    return f"{text}Z" if match["time"] else f"{text}T00:00Z"


def _is_far(text: str, date_format: str) -> bool:
    """Whether Python, whose dates go from 1 to 9999, can read what pandas could not."""
    try:
        if date_format == ISO:
            datetime.datetime.fromisoformat(text)
        else:
            datetime.datetime.strptime(text, date_format)
    except ValueError:
        return False
    return True


def _take_apart(text: str) -> tuple[str, str] | None:
    """Affix ("" for none) and number, with any space as a blank and any apostrophe as '."""
    match = _WITH_AFFIX.fullmatch(text.strip())
    if match is None or (match["before"] and match["after"]):
        return None
    number = _SPACES.sub(" ", match["sign"] + match["number"]).replace(_TYPOGRAPHIC, "'")
    return match["before"] or match["after"] or "", number


def _find_styles(number: str) -> list[tuple[str, str]]:
    return [style for style, pattern in _STYLE_PATTERNS.items() if pattern.fullmatch(number)]
