"""CSV and its relatives: from a file as people have it to batches of text columns.

    bytes ─▶ UTF-8 ─▶ separator, header ─▶ batches: each field as text, an empty one missing

Nothing is read as a number here: what a column is follows from the text of all files together.
"""

import codecs
import csv
import gzip
import io
import itertools
import logging
import re
import sys
import zlib
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, cast

import pyarrow as pa
from errors import DataError, enumerate_names
from pyarrow import csv as arrow_csv

logger = logging.getLogger(__name__)

SEPARATORS = (",", ";", "\t", "|")
# What is parsed at a time; no record can be longer.
BLOCK_BYTES = 8 * 2**20

_SAMPLE_RECORDS = 50
_SAMPLE_CHARACTERS = 2**20
# pandas' name for rows that had numbers but no name: what is nameless in a CSV file.
_ROW_NUMBER = re.compile(r"__index_level_\d+__")
_BYTE_ORDER_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
# Windows' Latin-1, which has letters where Latin-1 has control characters; five bytes are free.
_LATIN = ("cp1252", "latin-1")


@dataclass(frozen=True, kw_only=True)
class DelimitedFile:
    """A file in UTF-8 whose separator and names are known."""

    path: Path
    name: str
    separator: str
    columns: tuple[str, ...]
    encoding: str
    has_rows: bool
    # The row whose quoted text looks like rows, as if a quote were missing; 0 if there is none.
    swallowed: int


def open_delimited(path: Path, name: str, source: str, scratch: Path) -> DelimitedFile:
    """Find out how the file is written; a copy in UTF-8 goes to `scratch` where it is not.

    Raises DataError for a file that is empty, damaged, binary or without a header of names.
    """
    where = f"{name} of {source}"
    try:
        utf8_path, encoding = _as_utf8(path, scratch)
    except (OSError, EOFError, zlib.error, UnicodeError) as err:
        raise DataError(f"{where} can't be read as CSV: {str(err).strip()}") from err
    with utf8_path.open("r", encoding="utf-8-sig", newline="") as file:
        sample = file.read(_SAMPLE_CHARACTERS)
    if not sample.strip("\r\n"):
        raise DataError(f"{where} is empty")
    if "\0" in sample:
        raise DataError(f"{where} can't be read as CSV: it holds NUL characters; is it binary?")
    separator = find_separator(sample)
    records = _records(sample, separator)
    header = records[0]
    _refuse_title(header, records[1:], where)
    check_names(header, where)
    swallowed = _check_quotes(utf8_path, separator, where)
    return DelimitedFile(
        path=utf8_path,
        name=name,
        separator=separator,
        columns=tuple(header),
        encoding=encoding,
        has_rows=len(records) > 1 or len(sample) == _SAMPLE_CHARACTERS,
        swallowed=swallowed,
    )


def find_separator(sample: str) -> str:
    """The separator by which header and first records fall into equally many, and most, fields."""

    def rate(separator: str) -> tuple[bool, bool, int]:
        widths = [len(record) for record in _records(sample, separator)]
        width, count = Counter(widths).most_common(1)[0]
        alike = count >= 0.9 * len(widths) and width > 1
        return alike and widths[0] == width, alike, width

    # max keeps the first of equals: the comma.
    return max(SEPARATORS, key=rate)


def read_batches(file: DelimitedFile, source: str) -> Iterator[pa.RecordBatch]:
    """The rows as text, block by block; an empty field is missing. Raises DataError."""
    if not file.has_rows:
        return
    broken: list[str] = []

    def refuse(row: arrow_csv.InvalidRow) -> str:
        which = "a row" if row.number is None else f"row {row.number - 1} below the header"
        broken.append(
            f"{which} has {row.actual_columns} fields, the header {row.expected_columns}: "
            f"{row.text[:80]!r}"
        )
        return "error"

    try:
        reader = arrow_csv.open_csv(
            file.path,
            read_options=arrow_csv.ReadOptions(block_size=BLOCK_BYTES, use_threads=False),
            parse_options=arrow_csv.ParseOptions(
                delimiter=file.separator, newlines_in_values=True, invalid_row_handler=refuse
            ),
            convert_options=arrow_csv.ConvertOptions(
                column_types={name: pa.string() for name in file.columns},
                strings_can_be_null=True,
                null_values=[""],
            ),
        )
        yield from reader
    except (pa.ArrowException, OSError) as err:
        told = broken[0] if broken else str(err).strip()
        advice = (
            "name each column, and put text with separators into quotes"
            if broken
            else "correct it, or write it anew"
        )
        raise DataError(f"{file.name} of {source} can't be read as CSV: {told}; {advice}") from err


def check_names(names: Sequence[str], where: str) -> None:
    """Raise DataError for columns without a name, or with the same one."""
    names = [_ROW_NUMBER.sub("", name) for name in names]
    twice = {name for name, count in Counter(names).items() if count > 1 and name.strip()}
    if twice:
        raise DataError(
            f"{where} has more than one column called {enumerate_names(twice)}; rename them"
        )
    nameless = [str(number) for number, name in enumerate(names, 1) if not name.strip()]
    if nameless:
        raise DataError(
            f"{where} has no name for column {', '.join(nameless)}; name it, or if it is "
            "the row number that pandas adds, write with index=False"
        )


def _as_utf8(path: Path, scratch: Path) -> tuple[Path, str]:
    """The file itself if it is UTF-8 already, else a copy; and the encoding that it had."""
    zipped = path.name.lower().endswith(".gz")
    with _open(path, zipped) as file:
        start = file.read(4)
    encoding = next((name for mark, name in _BYTE_ORDER_MARKS if start.startswith(mark)), "")
    if not encoding and start[:1] != b"\0" and start[1:2] == b"\0":
        encoding = "utf-16-le"  # without its mark, as some exports are
    if encoding not in ("", "utf-8-sig"):
        return _transcode(path, zipped, encoding, scratch), encoding
    try:
        if zipped:
            return _transcode(path, zipped, "utf-8-sig", scratch), "utf-8"
        _decode(path, zipped, "utf-8")
        return path, "utf-8"
    except UnicodeDecodeError:
        if encoding:
            raise
    for latin in _LATIN:
        try:
            return _transcode(path, zipped, latin, scratch), latin
        except UnicodeDecodeError:
            continue
    raise AssertionError("Latin-1 has a character for each byte")


def _transcode(path: Path, zipped: bool, encoding: str, scratch: Path) -> Path:
    copy = scratch / f"{path.name}.utf8"
    with _open(path, zipped) as file, copy.open("w", encoding="utf-8", newline="") as out:
        for text in codecs.iterdecode(_pieces(file), encoding):
            out.write(text)
    return copy


def _decode(path: Path, zipped: bool, encoding: str) -> None:
    with _open(path, zipped) as file:
        for _ in codecs.iterdecode(_pieces(file), encoding):
            pass


def _open(path: Path, zipped: bool) -> IO[bytes]:
    return cast(IO[bytes], gzip.open(path, "rb")) if zipped else path.open("rb")


def _pieces(file: IO[bytes]) -> Iterator[bytes]:
    return iter(lambda: file.read(2**20), b"")


def _records(sample: str, separator: str) -> list[list[str]]:
    """The first records, without blank lines; of a cut sample not the last, which may be cut."""
    csv.field_size_limit(sys.maxsize)  # the module's own limit is 131,072 characters
    lines = io.StringIO(sample, newline="")
    parsed = filter(None, csv.reader(lines, delimiter=separator))
    records = list(itertools.islice(parsed, _SAMPLE_RECORDS))
    return records if len(records) == 1 or len(sample) < _SAMPLE_CHARACTERS else records[:-1]


def _check_quotes(path: Path, separator: str, where: str) -> int:
    """The row whose quoted text looks like rows; 0 if there is none. Raises DataError.

    A quote that is never closed would make one field of all rows that follow. Arrow's reader is
    lenient here, so a file with quotes is read once more by Python's, strictly.
    """
    with path.open("rb") as binary:
        if not any(b'"' in piece for piece in _pieces(binary)):
            return 0
    rows = swallowed = 0
    with path.open("r", encoding="utf-8-sig", newline="") as file:
        try:
            for record in csv.reader(file, delimiter=separator, strict=True):
                rows += bool(record)
                if not swallowed and _holds_rows(record, separator):
                    swallowed = rows - 1
        except csv.Error as err:
            raise DataError(
                f"{where} has a broken quote in or after row {max(rows, 1)} below the header "
                f"({err}); close each quote, and write one inside a field twice"
            ) from err
    return swallowed


def _holds_rows(record: Sequence[str], separator: str) -> bool:
    """Whether most lines of a text, but for its first and last, have as many fields as a row."""
    for cell in record:
        lines = cell.splitlines()[1:-1] if "\n" in cell else []
        alike = sum(line.count(separator) == len(record) - 1 for line in lines)
        if alike > len(lines) / 2 and len(record) > 1:
            return True
    return False


def _refuse_title(header: Sequence[str], rows: Sequence[Sequence[str]], where: str) -> None:
    """A line such as "Sales 2024" above the real header would name one column of many."""
    filled = [name for name in header if name.strip()]
    width = Counter(len(row) for row in rows).most_common(1)[0][0] if rows else 0
    padded = len(header) == width and len(filled) == 1 and width > 2
    if rows and width > 1 and (len(header) == 1 or padded):
        raise DataError(
            f"the first line of {where} names one column ({filled[0] if filled else ''!r}), but "
            f"its rows have {width} fields: it looks like a title above the header; remove it"
        )
