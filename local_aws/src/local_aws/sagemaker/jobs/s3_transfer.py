"""Files between S3 and a job's folders, as SageMaker moves them."""

from __future__ import annotations

import shutil
import tarfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError


class TransferError(Exception):
    """S3 refused, or there is nothing; the message is worth a FailureReason."""


def split_uri(uri: str) -> tuple[str, str]:
    """Bucket and key of an s3:// URI."""
    bucket, _, key = uri.removeprefix("s3://").partition("/")
    return bucket, key


def download_prefix(s3: Any, uri: str, folder: Path) -> int:
    """Fetch every object whose key starts with the URI's (data type S3Prefix); how many.

    What follows the prefix is the path below `folder`; an object that the URI names exactly, or
    that goes on without a slash, keeps its file name. Raises TransferError when there is none.
    """
    bucket, prefix = split_uri(uri)
    folder.mkdir(parents=True, exist_ok=True)
    count = 0
    try:
        for key in _keys(s3, bucket, prefix):
            place = folder / _relative(key, prefix)
            if not place.resolve().is_relative_to(folder.resolve()):
                raise TransferError(f"Data download failed: {key!r} is no path below {uri}")
            place.parent.mkdir(parents=True, exist_ok=True)
            body = s3.get_object(Bucket=bucket, Key=key)["Body"]
            with body, place.open("wb") as file:
                shutil.copyfileobj(body, file, 1 << 20)
            count += 1
    except (ClientError, BotoCoreError) as err:
        raise TransferError(f"Data download failed: {uri}: {err}") from err
    except OSError as err:
        raise TransferError(
            f"Data download failed: {uri}: an object is both a file and a folder: {err}"
        ) from err
    if not count:
        raise TransferError(
            f'Data download failed: No S3 objects found under S3 URL "{uri}". '
            "Check that the bucket exists, that objects exist under that prefix, "
            "and that the role may list and read them."
        )
    return count


def upload_folder(s3: Any, folder: Path, uri: str, kms_key_id: str = "") -> int:
    """Store all files below the folder under the URI; how many. Raises TransferError."""
    bucket, prefix = split_uri(uri)
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    for file in files:
        name = file.relative_to(folder).as_posix()
        key = f"{prefix.rstrip('/')}/{name}" if prefix.strip("/") else name
        _upload(s3, file, bucket, key, kms_key_id)
    return len(files)


def upload_archive(s3: Any, folder: Path, uri: str, scratch: Path, kms_key_id: str = "") -> None:
    """Store the folder's content as the .tar.gz file `uri`. Raises TransferError."""
    bucket, key = split_uri(uri)
    archive = scratch / key.rpartition("/")[2]
    # Level 1: on one machine the size hardly matters, the time does.
    with tarfile.open(archive, "w:gz", compresslevel=1) as tar:
        for entry in sorted(folder.iterdir()):
            tar.add(entry, entry.name)
    _upload(s3, archive, bucket, key, kms_key_id)
    archive.unlink()


def _upload(s3: Any, file: Path, bucket: str, key: str, kms_key_id: str) -> None:
    encryption: Mapping[str, str] = (
        {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": kms_key_id} if kms_key_id else {}
    )
    try:
        with file.open("rb") as body:
            s3.put_object(Bucket=bucket, Key=key, Body=body, **encryption)
    except (ClientError, BotoCoreError) as err:
        raise TransferError(f"Data upload failed: s3://{bucket}/{key}: {err}") from err


def _keys(s3: Any, bucket: str, prefix: str) -> Iterator[str]:
    """Keys of the objects under a prefix, without the empty ones that stand for folders."""
    for page in s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix):
        for entry in page.get("Contents", ()):
            if not entry["Key"].endswith("/"):
                yield entry["Key"]


def _relative(key: str, prefix: str) -> str:
    rest = key[len(prefix) :]
    if prefix.endswith("/") or not prefix or rest.startswith("/"):
        return rest.lstrip("/")
    return key[prefix.rfind("/") + 1 :]
