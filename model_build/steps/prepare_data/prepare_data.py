"""PrepareData: one table, checked, brought into two kinds of column, and split.

    sklearn:<name> ─┐                                            ┌─▶ train.parquet
    s3://….csv      ├─▶ read ─▶ check ─▶ numbers and text ─▶ split ─▶ test.parquet
    s3://….parquet ─┘                                            └─▶ dataset.json

It is uploaded alone and runs on the libraries of AWS's scikit-learn image. The two kinds of
column, and what becomes of the others, are explained in docs/decisions/0013-columns-of-a-table.md.
"""

import argparse
import csv
import datetime
import decimal
import gzip
import hashlib
import json
import logging
import os
import re
import sys
import tempfile
import warnings
import zlib
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

logger = logging.getLogger("prepare_data")

# Bundled with scikit-learn, so no network is needed; each has one numeric column "target".
BUNDLED = ("breast_cancer", "diabetes", "digits", "iris", "wine")

# Folders that tell which files beside them still count; reading all would read deleted rows.
TABLE_FORMATS: Mapping[str, str] = {"_delta_log": "Delta", ".hoodie": "Hudi"}

FORMATS: Mapping[str, str] = {".csv": "csv", ".csv.gz": "csv", ".parquet": "parquet"}

MINIMUM_ROWS_OF_A_PART = 5

_EPOCH = pd.Timestamp(0).as_unit("us")
_ROW_NUMBER = re.compile(r"__index_level_\d+__")

# SageMaker shows this file's text as the job's ExitMessage, and keeps 1024 characters of it
# (API reference, ProcessingJob: ExitMessage).
MESSAGE_FILE = Path("/opt/ml/output/message")
MESSAGE_LENGTH = 1024


class DataError(Exception):
    """The data can't be used: which data, why, and what to do about it."""


@dataclass(frozen=True, kw_only=True)
class Table:
    """A table with a numeric target; all other columns are float64 or text (object, None)."""

    frame: pd.DataFrame
    target: str
    rows_without_target: int
    dropped_columns: tuple[str, ...]
    dates: tuple[str, ...]


def main(argv: Sequence[str] | None = None) -> int:
    """Write the three files to the output folder; 1, with the cause on record, if that fails."""
    args = build_parser().parse_args(argv)
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(message)s", stream=sys.stderr)
    source = os.environ.get("INPUT_DATA_URI", "").strip()
    target = os.environ.get("TARGET_COLUMN", "")  # as it is: names in tables may have blanks around
    try:
        if not source or not target.strip():
            missing = "TARGET_COLUMN" if source else "INPUT_DATA_URI"
            raise DataError(f"the environment variable {missing} is empty; the pipeline sets it")
        frame = read_table(source)
        table = shape_table(frame, target, source)
        write_parts(table, source, args.output, args.test_size, args.random_seed)
    except Exception as err:  # the last stop: whatever it was, the job must say it
        cause = str(err) if isinstance(err, DataError) else f"{type(err).__name__}: {err}"
        logger.error("%s", cause, exc_info=not isinstance(err, DataError))
        args.message_file.parent.mkdir(parents=True, exist_ok=True)
        args.message_file.write_text(cause[:MESSAGE_LENGTH], encoding="utf-8")
        return 1
    return 0


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description="Check a table and split it. INPUT_DATA_URI and TARGET_COLUMN say which.",
        allow_abbrev=False,
    )
    parser.add_argument(
        "--output", type=Path, required=True, help="folder for the three files (no default)"
    )
    parser.add_argument(
        "--test-size", type=float, default=0.25, help="fraction of rows held out (default: 0.25)"
    )
    parser.add_argument("--random-seed", type=int, default=42, help="of the split (default: 42)")
    parser.add_argument(
        "--message-file",
        type=Path,
        default=MESSAGE_FILE,
        help=f"where the cause of a failure goes (default: {MESSAGE_FILE})",
    )
    return parser


def read_table(source: str) -> pd.DataFrame:
    """The table behind `sklearn:<name>` or `s3://bucket/key-or-prefix`. Raises DataError."""
    scheme, _, rest = source.partition(":")
    if scheme == "sklearn":
        return _read_bundled(rest)
    bucket, _, key = rest.removeprefix("//").partition("/")
    if scheme != "s3" or not bucket or not key:
        raise DataError(
            f"InputDataUri {source!r} is neither sklearn:<dataset> nor s3://bucket/key; "
            f"bundled datasets: {', '.join(BUNDLED)}"
        )
    with tempfile.TemporaryDirectory() as folder:
        return read_files(_download(bucket, key, Path(folder)), source)


def _read_bundled(name: str) -> pd.DataFrame:
    if name not in BUNDLED:
        raise DataError(f"no bundled dataset {name!r}; there are {', '.join(BUNDLED)}")
    from sklearn import datasets  # heavy, and not needed for S3

    frame: pd.DataFrame = getattr(datasets, f"load_{name}")(as_frame=True).frame
    return frame


def _download(bucket: str, key: str, folder: Path) -> list[Path]:
    """The object `key`, or every object below the prefix `key`, in the order of their keys."""
    import boto3  # heavy, and not needed for bundled data
    from boto3.exceptions import Boto3Error
    from botocore.exceptions import BotoCoreError, ClientError

    source = f"s3://{bucket}/{key}"
    try:
        s3 = boto3.client("s3")
        pages = s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=key)
        found = [item["Key"] for page in pages for item in page.get("Contents", [])]
        one_file = key in found and not key.endswith("/")
        keys = [key] if one_file else _choose_data_keys(found, key, source)
        if not keys:
            raise DataError(f"nothing at {source}; check the address, and that it was uploaded")
        if len(keys) > 1:
            logger.info("%s holds %d files", source, len(keys))
        paths = []
        for number, item in enumerate(keys):
            path = folder / f"{number:06}-{item.rsplit('/', 1)[-1]}"
            s3.download_file(bucket, item, str(path))
            paths.append(path)
    except ClientError as err:
        code = err.response.get("Error", {}).get("Code", "")
        advice = {
            "NoSuchBucket": f"there is no bucket {bucket!r}",
            "AccessDenied": "the pipeline's role may not read it (s3:ListBucket, s3:GetObject)",
            "403": "the pipeline's role may not read it (s3:GetObject)",
        }.get(code, str(err))
        raise DataError(f"can't read {source}: {advice}") from err
    except (BotoCoreError, Boto3Error) as err:
        raise DataError(f"can't read {source}: {err}") from err
    return paths


def _choose_data_keys(found: Iterable[str], prefix: str, source: str) -> list[str]:
    """Files in the folder `prefix`; not what Spark and others leave there (_SUCCESS, _temporary/).

    Raises DataError for a table whose own log says which of its files count, and for one with
    columns that only the folders' names hold.
    """
    folder = prefix.rstrip("/") + "/"
    chosen = []
    for key in found:
        parts = key.removeprefix(folder).split("/")
        kind = next((TABLE_FORMATS[part] for part in parts if part in TABLE_FORMATS), None)
        if key.startswith(folder) and kind:
            raise DataError(f"{source} is a {kind} table; write it as plain Parquet files")
        partition = next((part for part in parts[:-1] if "=" in part), None)
        if key.startswith(folder) and partition:
            raise DataError(
                f"{source} is partitioned (folder {partition!r}): the files lack the column "
                f"{partition.partition('=')[0]!r}; write it into the files, or point at one folder"
            )
        hidden = any(part.startswith(("_", ".")) for part in parts)
        if key.startswith(folder) and not key.endswith("/") and not hidden:
            chosen.append(key)
    return sorted(chosen)


def read_files(paths: Sequence[Path], source: str) -> pd.DataFrame:
    """The files, all CSV or all Parquet with the same columns, as one table. Raises DataError."""
    kinds = {_find_format(path, source) for path in paths}
    if len(kinds) > 1:
        raise DataError(f"{source} mixes CSV and Parquet files; point at one kind")
    read = _read_csv if kinds == {"csv"} else _read_parquet
    frames = [read(path, source) for path in paths]
    columns = list(frames[0].columns)
    for path, frame in zip(paths, frames, strict=True):
        different = set(columns) ^ set(frame.columns)
        if different:
            raise DataError(
                f"the files of {source} differ in columns: {_enumerate(different)} "
                f"(see {_original_name(path)}); make them the same"
            )
    # A file with no rows has no kinds either: it would turn numbers into objects.
    frames = [frame for frame in frames if len(frame)] or frames[:1]
    return pd.concat(frames, ignore_index=True) if len(frames) > 1 else frames[0]


def _find_format(path: Path, source: str) -> str:
    name = path.name.lower()
    for suffix, kind in FORMATS.items():
        if name.endswith(suffix):
            return kind
    raise DataError(
        f"can't tell what {_original_name(path)} of {source} is; "
        f"names must end in {', '.join(FORMATS)}"
    )


def _read_csv(path: Path, source: str) -> pd.DataFrame:
    name = _original_name(path)
    try:
        open_file = gzip.open if path.name.lower().endswith(".gz") else open
        with open_file(path, "rt", encoding="utf-8-sig", newline="") as file:
            # pandas would rename the second of two equal columns in silence.
            header = next(filter(None, csv.reader(file)), [])
        if not header:
            raise DataError(f"{name} of {source} is empty")
        if len(header) == 1 and any(separator in header[0] for separator in ";\t|"):
            raise DataError(
                f"{name} of {source} has the one column {header[0]!r}; write it with commas"
            )
        _check_names(header, f"{name} of {source}")
        with warnings.catch_warnings():
            # Rows with more fields than names: pandas would shift the table, or cut it and warn.
            warnings.simplefilter("error", pd.errors.ParserWarning)
            frame = pd.read_csv(path, encoding="utf-8-sig", low_memory=False, index_col=False)
    except UnicodeDecodeError as err:
        raise DataError(f"{name} of {source} is not UTF-8 text: {err.reason}; convert it") from err
    except pd.errors.ParserWarning as err:
        raise DataError(
            f"{name} of {source} can't be read as CSV: its rows have more fields than the "
            f"{len(header)} names in its first line; name each column, and quote text with commas"
        ) from err
    except (OSError, EOFError, ValueError, csv.Error, zlib.error) as err:
        raise DataError(f"{name} of {source} can't be read as CSV: {str(err).strip()}") from err
    return frame


def _read_parquet(path: Path, source: str) -> pd.DataFrame:
    import pyarrow as pa  # heavy, and not needed for CSV
    import pyarrow.parquet as pq

    try:
        table = pq.ParquetFile(path).read()
        # pandas' name for rows that had numbers but no name: what is nameless in a CSV file.
        names = [_ROW_NUMBER.sub("", name) for name in table.column_names]
        _check_names(names, f"{_original_name(path)} of {source}")
        frame: pd.DataFrame = table.to_pandas(ignore_metadata=True)
    except (OSError, ValueError, pa.ArrowException) as err:
        raise DataError(
            f"{_original_name(path)} of {source} can't be read as Parquet: {err}"
        ) from err
    return frame


def _check_names(names: Sequence[str], where: str) -> None:
    twice = [name for name, count in Counter(names).items() if count > 1 and name.strip()]
    if twice:
        raise DataError(f"{where} has more than one column called {_enumerate(twice)}; rename them")
    nameless = [str(number) for number, name in enumerate(names, 1) if not name.strip()]
    if nameless:
        raise DataError(
            f"{where} has no name for column {', '.join(nameless)}; name it, or if it is "
            "the row number that pandas adds, write with index=False"
        )


def _original_name(path: Path) -> str:
    return path.name.partition("-")[2] or path.name


def shape_table(frame: pd.DataFrame, target: str, source: str) -> Table:
    """The table with every column as numbers or text, and a usable target. Raises DataError."""
    if frame.empty:
        raise DataError(f"{source} has no rows")
    if target not in frame.columns:
        raise DataError(
            f"{source} has no column {target!r} to predict; it has {_enumerate(frame.columns)}. "
            "Set the parameter TargetColumn"
        )
    columns: dict[str, pd.Series[Any]] = {}
    dropped: list[str] = []
    dates: list[str] = []
    wanted = read_target(frame[target], target, source)
    for name in frame.columns:
        if name == target:
            continue
        column = frame[name]
        if column.isna().all():
            dropped.append(name)
            continue
        columns[name], is_date = convert_column(column, name, source)
        if is_date:
            dates.append(name)
    if dropped:
        logger.warning("left out, because every value is missing: %s", ", ".join(dropped))
    if not columns:
        raise DataError(f"{source} has no column but {target!r} to predict from")
    shaped = pd.DataFrame({**columns, target: wanted})
    known = shaped[target].notna()
    missing = int((~known).sum())
    if missing:
        logger.warning("left out: %d rows whose target %r is missing", missing, target)
    return Table(
        frame=shaped[known].reset_index(drop=True),
        target=target,
        rows_without_target=missing,
        dropped_columns=tuple(dropped),
        dates=tuple(dates),
    )


def read_target(column: "pd.Series[Any]", name: str, source: str) -> "pd.Series[Any]":
    """The target as float64. Raises DataError when it is text, empty, infinite or constant."""
    if column.isna().all():
        raise DataError(f"every value of the target {name!r} in {source} is missing")
    converted, is_date = convert_column(column, name, source)
    if is_date:
        raise DataError(f"the target {name!r} in {source} is a date; only numbers can be predicted")
    if converted.dtype == object:
        unreadable = int(pd.to_numeric(converted, errors="coerce").isna().sum())
        unreadable -= int(converted.isna().sum())
        raise DataError(
            f"the target {name!r} in {source} is not numeric: {unreadable} of "
            f"{int(converted.notna().sum())} values are no numbers. "
            "Correct them, or set the parameter TargetColumn"
        )
    if converted.nunique() == 1:
        raise DataError(f"the target {name!r} in {source} is the same in every row")
    return converted


def convert_column(
    column: "pd.Series[Any]", name: str, source: str
) -> tuple["pd.Series[Any]", bool]:
    """The column as float64, or as text with None for missing; and whether it was a date.

    Numbers and booleans become float64, because only that holds a missing value; dates become
    days since 1970-01-01 UTC. Raises DataError for anything else, and for infinite numbers.
    """
    if isinstance(column.dtype, pd.CategoricalDtype):
        column = column.astype(object)
    if isinstance(column.dtype, pd.PeriodDtype | pd.IntervalDtype):
        raise DataError(f"column {name!r} in {source} holds {column.dtype}; make it text or number")
    if pd.api.types.is_timedelta64_dtype(column.dtype):
        return column.dt.total_seconds(), False
    if pd.api.types.is_datetime64_any_dtype(column.dtype):
        return _count_days(column), True
    if pd.api.types.is_numeric_dtype(column.dtype):  # booleans and nullable kinds included
        return _check_finite(column.astype("float64"), name, source), False
    return _convert_objects(column, name, source)


def _convert_objects(
    column: "pd.Series[Any]", name: str, source: str
) -> tuple["pd.Series[Any]", bool]:
    kinds = {type(value) for value in column.dropna()}
    if all(issubclass(kind, (bool, int, float, decimal.Decimal, np.number)) for kind in kinds):
        return _check_finite(column.astype("float64"), name, source), False
    if all(issubclass(kind, datetime.date) for kind in kinds):
        return column.map(_count_days_of, na_action="ignore").astype("float64"), True
    if all(issubclass(kind, (str, bool, int, float)) for kind in kinds):
        present = column.notna()
        return column.astype(str).astype(object).where(present, None), False
    others = _enumerate(kind.__name__ for kind in kinds)
    raise DataError(
        f"column {name!r} in {source} holds {others}; only numbers, text, booleans and dates "
        "can be used. Leave it out or flatten it"
    )


def _count_days(column: "pd.Series[Any]") -> "pd.Series[Any]":
    # In microseconds, for 9999-12-31, which many write for "no end": nanoseconds end in 2262.
    in_utc = column.dt.tz_convert("UTC").dt.tz_localize(None) if column.dt.tz else column
    days: pd.Series[Any] = (in_utc.dt.as_unit("us") - _EPOCH).dt.total_seconds() / 86_400
    return days


def _count_days_of(value: datetime.date) -> float:
    if not isinstance(value, datetime.datetime):
        return float(value.toordinal() - datetime.date(1970, 1, 1).toordinal())
    aware = value if value.tzinfo else value.replace(tzinfo=datetime.UTC)
    return (aware - datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)) / datetime.timedelta(days=1)


def _check_finite(column: "pd.Series[Any]", name: str, source: str) -> "pd.Series[Any]":
    # scikit-learn's trees compute in float32, where larger numbers are infinite.
    too_large = int((column.abs() > np.finfo(np.float32).max).sum())
    if too_large:
        raise DataError(
            f"column {name!r} in {source} has {too_large} infinite values, or values beyond "
            "3.4e38, which no tree can hold; replace them, or leave them empty"
        )
    return column


def write_parts(table: Table, source: str, output: Path, test_size: float, seed: int) -> None:
    """train.parquet, test.parquet and dataset.json; each is complete or not there at all."""
    from sklearn.model_selection import train_test_split  # heavy: only once the data is good

    rows = len(table.frame)
    test_rows = int(np.ceil(rows * test_size))
    if min(test_rows, rows - test_rows) < MINIMUM_ROWS_OF_A_PART:
        raise DataError(
            f"{source} has {rows} usable rows: {rows - test_rows} to train and {test_rows} to "
            f"test with TestSize {test_size}; each needs at least {MINIMUM_ROWS_OF_A_PART}"
        )
    train, test = train_test_split(table.frame, test_size=test_rows, random_state=seed)
    # A column with no value in the training part can teach nothing, nor get a type.
    empty = [name for name in train.columns if train[name].isna().all()]
    if empty:
        logger.warning("left out, no value in the training part: %s", ", ".join(empty))
        train, test = train.drop(columns=empty), test.drop(columns=empty)
    if list(train.columns) == [table.target]:
        raise DataError(f"{source} has no column but {table.target!r} to predict from")
    description = {
        "source": source,
        "digest": digest_of(table.frame),
        "target": table.target,
        "rows": rows,
        "train_rows": len(train),
        "test_rows": len(test),
        "rows_without_target": table.rows_without_target,
        "columns": [
            _describe_column(train[name], table) for name in train.columns if name != table.target
        ],
        "dropped_columns": [*table.dropped_columns, *empty],
        "test_size": test_size,
        "random_seed": seed,
    }
    output.mkdir(parents=True, exist_ok=True)
    _write(output / "train.parquet", lambda path: train.to_parquet(path, index=False))
    _write(output / "test.parquet", lambda path: test.to_parquet(path, index=False))
    text = json.dumps(description, indent=2, sort_keys=True) + "\n"
    _write(output / "dataset.json", lambda path: path.write_text(text, encoding="utf-8"))
    logger.info("%s: %d rows to train, %d to test", source, len(train), len(test))


def digest_of(frame: pd.DataFrame) -> str:
    """A digest of names, order and values: equal for equal tables, however they were stored."""
    digest = hashlib.sha256(json.dumps(list(frame.columns)).encode())
    digest.update(pd.util.hash_pandas_object(frame, index=False).to_numpy().tobytes())
    return f"sha256:{digest.hexdigest()}"


def _describe_column(column: "pd.Series[Any]", table: Table) -> dict[str, Any]:
    kind = "text" if column.dtype == object else "number"
    return {
        "name": column.name,
        "kind": "date" if column.name in table.dates else kind,
        "missing_in_training": int(column.isna().sum()),
        "distinct_in_training": int(column.nunique()),
    }


def _write(path: Path, write: Callable[[Path], object]) -> None:
    temporary = path.with_name(f".{path.name}.part")
    write(temporary)
    temporary.replace(path)


def _enumerate(names: Iterable[Any], limit: int = 20) -> str:
    listed = sorted(str(name) for name in names)
    more = f" and {len(listed) - limit} more" if len(listed) > limit else ""
    return ", ".join(repr(name) for name in listed[:limit]) + more


if __name__ == "__main__":
    sys.exit(main())
