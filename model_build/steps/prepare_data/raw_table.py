"""The table as its files have it, in batches that can be read as often as needed.

    delimited text ─┐
    Parquet ────────┼─▶ RawTable ─▶ RawBatch: text columns, whose kind is to be found out, and
    a data frame ───┘                         typed columns, whose file says what they are

Memory: one batch at a time, whatever the table's size.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import delimited_text
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from errors import DataError, enumerate_names
from table_source import SourceFile

_ROWS_OF_A_BATCH = 65_536
_SUFFIXES: Mapping[str, str] = {
    ".csv": "text",
    ".tsv": "text",
    ".txt": "text",
    ".csv.gz": "text",
    ".tsv.gz": "text",
    ".txt.gz": "text",
    ".parquet": "parquet",
    ".pq": "parquet",
}
_TIMESTAMP = pa.timestamp("us")


@dataclass(frozen=True, kw_only=True)
class RawBatch:
    """Some rows in a row of one file; `first_row` counts from 1 below the header."""

    columns: pa.Table
    file: str
    first_row: int

    def array(self, name: str) -> pa.Array:
        """One column's values."""
        return self.columns.column(name).combine_chunks()

    def arrays(self) -> dict[str, pa.Array]:
        """All columns, by name."""
        return {name: self.array(name) for name in self.columns.column_names}


@dataclass(frozen=True, kw_only=True)
class RawTable:
    """Names and types of a table's columns, and the way to its rows.

    `text_columns` are those whose kind must be read off their text; all others are of one of the
    types string, bool, int64, uint64, double, decimal, timestamp[us] (UTC), date32.
    `categories` are those that the source itself has as categories, of whatever type.
    `remarks` are worth telling of how the files were read; true with those that may be a mistake.
    """

    source: str
    columns: tuple[str, ...]
    text_columns: frozenset[str]
    categories: frozenset[str]
    separator: str
    remarks: tuple[tuple[str, bool], ...]
    read: Callable[[], Iterator[RawBatch]]


def open_frame(frame: pd.DataFrame, source: str) -> RawTable:
    """A table that is in memory already."""
    columns = pa.Table.from_pandas(frame, preserve_index=False)
    return _typed_table(
        [(source, columns.schema, lambda: iter(columns.to_batches(_ROWS_OF_A_BATCH)), {})], source
    )


def open_files(files: Sequence[SourceFile], source: str, scratch: Path) -> RawTable:
    """The files, all delimited text or all Parquet, with the same columns. Raises DataError."""
    kinds = {_find_kind(file, source) for file in files}
    if len(kinds) > 1:
        raise DataError(f"{source} mixes text and Parquet files; point at one kind")
    return (_open_text if kinds == {"text"} else _open_parquet)(files, source, scratch)


def as_mask(values: pa.Array | pa.ChunkedArray) -> "np.ndarray":
    """Booleans as NumPy has them; what is missing is false."""
    mask: np.ndarray = np.asarray(pc.fill_null(values, False))
    return mask


def _find_kind(file: SourceFile, source: str) -> str:
    name = file.path.name.lower()
    for suffix, kind in _SUFFIXES.items():
        if name.endswith(suffix):
            return kind
    raise DataError(
        f"can't tell what {file.name} of {source} is; names must end in {', '.join(_SUFFIXES)}"
    )


def _open_text(files: Sequence[SourceFile], source: str, scratch: Path) -> RawTable:
    opened = [
        delimited_text.open_delimited(file.path, file.name, source, scratch) for file in files
    ]
    for file in opened:
        _refuse_other_columns(opened[0].columns, file.columns, file.name, source)
    columns = (*opened[0].columns, *files[0].partition)
    _refuse_doubled_partition(opened[0].columns, files[0], source)
    encodings = {file.encoding: file.name for file in opened if file.encoding != "utf-8"}
    remarks = [
        (f"{name} is not UTF-8; it was read as {encoding}", not encoding.startswith("utf"))
        for encoding, name in encodings.items()
    ]
    remarks += [
        (
            f"row {file.swallowed} of {file.name} has a text that looks like rows of the table; "
            "is there a quote too many?",
            True,
        )
        for file in opened
        if file.swallowed
    ]
    separators = sorted({file.separator for file in opened} - {","})
    if separators:
        remarks.append((f"fields are separated by {', '.join(map(repr, separators))}", False))

    def read() -> Iterator[RawBatch]:
        for file, described in zip(opened, files, strict=True):
            row = 1
            for batch in delimited_text.read_batches(file, source):
                whole = _with_partition(pa.table(batch), described.partition).select(columns)
                yield RawBatch(columns=whole, file=file.name, first_row=row)
                row += len(batch)

    return RawTable(
        source=source,
        columns=columns,
        text_columns=frozenset(columns),
        categories=frozenset(),
        separator=opened[0].separator,
        remarks=tuple(remarks),
        read=read,
    )


def _open_parquet(files: Sequence[SourceFile], source: str, _scratch: Path) -> RawTable:
    opened = []
    for file in files:
        try:
            schema = pq.ParquetFile(file.path).schema_arrow
        except (OSError, ValueError, pa.ArrowException) as err:
            raise DataError(f"{file.name} of {source} can't be read as Parquet: {err}") from err
        delimited_text.check_names(schema.names, f"{file.name} of {source}")
        _refuse_doubled_partition(schema.names, file, source)
        opened.append((file.name, schema, _parquet_reader(file, source), file.partition))
    return _typed_table(opened, source)


def _parquet_reader(file: SourceFile, source: str) -> Callable[[], Iterator[pa.RecordBatch]]:
    def read() -> Iterator[pa.RecordBatch]:
        try:
            with pq.ParquetFile(file.path) as parquet:
                yield from parquet.iter_batches(batch_size=_ROWS_OF_A_BATCH)
        except (OSError, ValueError, pa.ArrowException) as err:
            raise DataError(f"{file.name} of {source} can't be read as Parquet: {err}") from err

    return read


_TypedFile = tuple[str, pa.Schema, Callable[[], Iterator[pa.RecordBatch]], Mapping[str, str | None]]


def _typed_table(files: Sequence[_TypedFile], source: str) -> RawTable:
    """Files that know their columns' types; the same column has one type in all of them."""
    names = list(files[0][1].names)
    for name, schema, _, _ in files:
        _refuse_other_columns(names, schema.names, name, source)
    types = {column: _common_type(column, files, source) for column in names}
    partition = tuple(files[0][3])

    def read() -> Iterator[RawBatch]:
        for name, _, batches, folders in files:
            row = 1
            for batch in batches():
                arrays = [
                    _convert(batch.column(column), types[column], f"{column!r} of {name}")
                    for column in names
                ]
                whole = _with_partition(pa.table(arrays, names=names), folders)
                yield RawBatch(columns=whole, file=name, first_row=row)
                row += len(batch)

    return RawTable(
        source=source,
        columns=(*names, *partition),
        text_columns=frozenset(partition),
        categories=frozenset.intersection(*(_find_categories(file[1]) for file in files)),
        separator=",",
        remarks=(),
        read=read,
    )


def _find_categories(schema: pa.Schema) -> frozenset[str]:
    """Columns that are dictionaries, or that pandas, of whose numbers Parquet keeps no dictionary,
    noted as categories.
    """
    try:
        noted = {
            column["name"]
            for column in schema.pandas_metadata["columns"]
            if column["pandas_type"] == "categorical"
        }
    except (KeyError, TypeError, ValueError):
        noted = set()  # another program wrote it
    return frozenset(
        field.name for field in schema if pa.types.is_dictionary(field.type) or field.name in noted
    )


def _common_type(column: str, files: Sequence[_TypedFile], source: str) -> pa.DataType:
    """The type that holds what each file has in this column. Raises DataError if there is none."""
    found: dict[pa.DataType, str] = {}
    for name, schema, _, _ in files:
        found.setdefault(_plain_type(schema.field(column).type, column, source), name)
    found.pop(pa.null(), None)
    if not found:
        return pa.string()
    if len(found) == 1:
        return next(iter(found))
    if all(_is_number(kind) for kind in found):
        # Whole numbers and decimals of several kinds: one that holds them all, exactly.
        exact = not any(pa.types.is_floating(kind) for kind in found)
        scale = max(kind.scale if pa.types.is_decimal(kind) else 0 for kind in found)
        return pa.decimal128(38, scale) if exact else pa.float64()
    if all(pa.types.is_integer(kind) or pa.types.is_string(kind) for kind in found):
        return pa.string()
    if all(pa.types.is_date(kind) or pa.types.is_timestamp(kind) for kind in found):
        return _TIMESTAMP
    listed = " and ".join(f"{kind} in {name}" for kind, name in found.items())
    raise DataError(
        f"the files of {source} differ in the kind of column {column!r}: {listed}; "
        "write them the same"
    )


def _plain_type(kind: pa.DataType, column: str, source: str) -> pa.DataType:
    """One of the few types that the rest of this step knows. Raises DataError for any other."""
    if pa.types.is_dictionary(kind):
        return _plain_type(kind.value_type, column, source)
    if pa.types.is_boolean(kind) or pa.types.is_null(kind) or pa.types.is_decimal(kind):
        return kind
    if pa.types.is_unsigned_integer(kind):
        return pa.uint64() if kind == pa.uint64() else pa.int64()
    if pa.types.is_integer(kind):
        return pa.int64()
    if pa.types.is_floating(kind) or pa.types.is_duration(kind):
        return pa.float64()
    if pa.types.is_string(kind) or pa.types.is_large_string(kind) or kind == pa.string_view():
        return pa.string()
    if pa.types.is_date(kind):
        return pa.date32()
    if pa.types.is_timestamp(kind):
        return _TIMESTAMP
    raise DataError(
        f"column {column!r} in {source} holds {kind}; only numbers, text, booleans and dates "
        "can be used. Leave it out or flatten it"
    )


def _is_number(kind: pa.DataType) -> bool:
    return bool(
        pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind)
    )


def _convert(array: pa.Array, kind: pa.DataType, where: str) -> pa.Array:
    """The array as `kind`; no number as null, empty text as null, durations in seconds."""
    if pa.types.is_dictionary(array.type):
        array = array.dictionary_decode()
    try:
        if pa.types.is_duration(array.type):
            array = pc.divide(pc.cast(pc.cast(array, pa.duration("us")), pa.int64()), 1e6)
        elif pa.types.is_timestamp(array.type):
            # Finer than microseconds is cut; a zone is only how the moment is written.
            array = pc.cast(array, _TIMESTAMP, safe=False)
        array = pc.cast(array, kind)
    except pa.ArrowException as err:
        raise DataError(
            f"column {where} holds {array.type} that {kind}, the column's type in all files "
            f"together, can't hold ({err}); write the column with the same type in each file"
        ) from err
    if pa.types.is_floating(kind):
        return pc.if_else(pc.is_nan(array), pa.scalar(None, kind), array)
    if pa.types.is_string(kind):
        return pc.if_else(pc.equal(array, ""), pa.scalar(None, kind), array)
    return array


def _with_partition(table: pa.Table, folders: Mapping[str, str | None]) -> pa.Table:
    for name, value in folders.items():
        table = table.append_column(name, pa.array([value] * len(table), pa.string()))
    return table


def _refuse_other_columns(
    expected: Sequence[str], found: Sequence[str], name: str, source: str
) -> None:
    different = set(expected) ^ set(found)
    if different:
        raise DataError(
            f"the files of {source} differ in columns: {enumerate_names(different)} "
            f"(see {name}); make them the same"
        )


def _refuse_doubled_partition(columns: Sequence[str], file: SourceFile, source: str) -> None:
    both = set(columns) & set(file.partition)
    if both:
        raise DataError(
            f"both the folders and the files of {source} hold the column {enumerate_names(both)} "
            f"(see {file.name}); rename one"
        )
