"""Where the table lies: `sklearn:<name>`, or one file or a prefix of files on S3.

s3://bucket/prefix ──list──▶ the keys that are data ──download──▶ files, with ETag and folders
"""

import logging
import urllib.parse
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from errors import DataError, enumerate_names

logger = logging.getLogger(__name__)

# Bundled with scikit-learn, so no network is needed; each has a column "target".
BUNDLED = ("breast_cancer", "diabetes", "digits", "iris", "wine")

# Folders that tell which files beside them still count; reading all would read deleted rows.
TABLE_FORMATS: Mapping[str, str] = {"_delta_log": "Delta", ".hoodie": "Hudi"}

# What Hive writes for a partition whose value is missing.
_HIVE_MISSING = "__HIVE_DEFAULT_PARTITION__"


@dataclass(frozen=True, kw_only=True)
class SourceFile:
    """One downloaded file: its name for messages, and what its folders say of its rows."""

    path: Path
    name: str
    partition: Mapping[str, str | None] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class DataObject:
    """An S3 object as it was when it was read."""

    uri: str
    etag: str
    size_bytes: int


def read_bundled(name: str) -> pd.DataFrame:
    """The table that scikit-learn brings along. Raises DataError."""
    if name not in BUNDLED:
        raise DataError(f"no bundled dataset {name!r}; there are {', '.join(BUNDLED)}")
    from sklearn import datasets  # heavy, and not needed for S3

    loaded = getattr(datasets, f"load_{name}")(as_frame=True)
    frame: pd.DataFrame = loaded.frame
    if "target_names" in loaded:
        # Categories, so that nobody takes the classes' numbers for amounts; by name, if they have
        # one: those of the digits are numbers.
        names = {number: _plain(label) for number, label in enumerate(loaded.target_names)}
        frame["target"] = frame["target"].map(names).astype("category")
    return frame


def _plain(label: Any) -> str | int:
    return int(label) if isinstance(label, np.integer) else str(label)


def split_address(source: str) -> tuple[str, str]:
    """Bucket and key of `s3://bucket/key`. Raises DataError for any other address."""
    scheme, _, rest = source.partition(":")
    bucket, _, key = rest.removeprefix("//").partition("/")
    if scheme != "s3" or not bucket or not key:
        raise DataError(
            f"InputDataUri {source!r} is neither sklearn:<dataset> nor s3://bucket/key; "
            f"bundled datasets: {', '.join(BUNDLED)}"
        )
    return bucket, key


def download(source: str, folder: Path) -> tuple[list[SourceFile], list[DataObject]]:
    """The object, or every data file below the prefix, in the order of their keys.

    Raises DataError when there is nothing, S3 refuses, or the files are no plain table.
    """
    import boto3  # heavy, and not needed for bundled data
    from boto3.exceptions import Boto3Error
    from botocore.exceptions import BotoCoreError, ClientError

    bucket, key = split_address(source)
    try:
        s3 = boto3.client("s3")
        pages = s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=key)
        found = {item["Key"]: item for page in pages for item in page.get("Contents", [])}
        one_file = key in found and not key.endswith("/")
        keys = [key] if one_file else choose_data_keys(found, key, source)
        if not keys:
            raise DataError(f"nothing at {source}; check the address, and that it was uploaded")
        if len(keys) > 1:
            logger.info("%s holds %d files", source, len(keys))
        passed_over = [item for item in found if not one_file and _looks_like_data(item, keys)]
        if passed_over:
            names = enumerate_names([_below(item, key) for item in passed_over])
            logger.warning("passed over, because their names begin with _ or .: %s", names)
        files = []
        for number, item in enumerate(keys):
            path = folder / f"{number:06}-{item.rsplit('/', 1)[-1]}"
            s3.download_file(bucket, item, str(path))
            files.append(
                SourceFile(
                    path=path,
                    name=item.rsplit("/", 1)[-1] if one_file else _below(item, key),
                    partition={} if one_file else read_partition(item, key),
                )
            )
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
    _refuse_different_partitions(files, source)
    return files, [_describe_object(bucket, found[item]) for item in keys]


def choose_data_keys(found: Iterable[str], prefix: str, source: str) -> list[str]:
    """Files in the folder `prefix`; not what Spark and others leave there (_SUCCESS, _temporary/).

    Raises DataError for a table whose own log says which of its files count.
    """
    folder = prefix.rstrip("/") + "/"
    chosen = []
    for key in found:
        parts = key.removeprefix(folder).split("/")
        kind = next((TABLE_FORMATS[part] for part in parts if part in TABLE_FORMATS), None)
        if key.startswith(folder) and kind:
            raise DataError(f"{source} is a {kind} table; write it as plain Parquet files")
        hidden = any(part.startswith(("_", ".")) for part in parts)
        if key.startswith(folder) and not key.endswith("/") and not hidden:
            chosen.append(key)
    return sorted(chosen)


def read_partition(key: str, prefix: str) -> dict[str, str | None]:
    """What the folders below `prefix` say: `city=Bern/` is the column city with the text Bern."""
    values: dict[str, str | None] = {}
    for part in _below(key, prefix).split("/")[:-1]:
        name, equals, value = part.partition("=")
        if equals:
            text = urllib.parse.unquote(value)
            values[urllib.parse.unquote(name)] = None if text in ("", _HIVE_MISSING) else text
    return values


def _looks_like_data(key: str, chosen: list[str]) -> bool:
    name = key.rsplit("/", 1)[-1]
    hidden = name.startswith(("_", ".")) and key not in chosen
    return hidden and name.lower().removesuffix(".gz").endswith((".csv", ".tsv", ".parquet"))


def _below(key: str, prefix: str) -> str:
    return key.removeprefix(prefix.rstrip("/") + "/")


def _refuse_different_partitions(files: list[SourceFile], source: str) -> None:
    first = files[0]
    for file in files:
        different = set(first.partition) ^ set(file.partition)
        if different:
            raise DataError(
                f"the folders of {source} differ in the columns they name: "
                f"{enumerate_names(different)} (see {first.name} and {file.name}); "
                "make them the same"
            )


def _describe_object(bucket: str, item: Mapping[str, Any]) -> DataObject:
    return DataObject(
        uri=f"s3://{bucket}/{item['Key']}",
        etag=str(item.get("ETag", "")).strip('"'),
        size_bytes=int(item.get("Size", 0)),
    )
