"""Model folder -> reproducible model.tar.gz -> S3, under its own digest.

    folder ──write_archive──▶ model.tar.gz, SHA-256 ──upload_archive──▶
        s3://<bucket>/<prefix>/<model name, encoded>/<sha256>/model.tar.gz

The same files give the same bytes (with the same zlib), whatever folder, time or user they come
from. SageMaker unpacks the archive into /opt/ml/model, so MLmodel is at its root.
"""

from __future__ import annotations

import base64
import gzip
import hashlib
import logging
import os
import stat
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from model_deploy.errors import ArchiveConflict, ArchiveRefused, AwsError, ConfigError
from model_deploy.model_name import encode

logger = logging.getLogger(__name__)

ARCHIVE_NAME = "model.tar.gz"
# One PUT, so that S3 checks the whole object's digest and refuses to overwrite.
_LARGEST_PUT_BYTES = 5 * 1024**3
# S3's keys have as many bytes, SageMaker's ModelDataUrl as many characters.
_LONGEST_ADDRESS = 1024


@dataclass(frozen=True, kw_only=True)
class ModelArchive:
    """A written archive: where it is, the SHA-256 of its bytes (hex), its size."""

    path: Path
    sha256: str
    size_bytes: int


@dataclass(frozen=True, kw_only=True)
class ArchiveStore:
    """Where archives go: a bucket, a key prefix (may be empty) and, optionally, a KMS key."""

    bucket: str
    prefix: str
    kms_key_id: str = ""

    def key(self, model_name: str, sha256: str) -> str:
        """The object's key: it names the model for people and the content for machines."""
        parts = (self.prefix.strip("/"), encode(model_name), sha256, ARCHIVE_NAME)
        return "/".join(part for part in parts if part)

    def uri(self, model_name: str, sha256: str) -> str:
        """`s3://` address of the archive with that digest.

        Raises ConfigError where S3 has no key, or SageMaker no address, of that length.
        """
        key = self.key(model_name, sha256)
        uri = f"s3://{self.bucket}/{key}"
        longest = max(len(key.encode()), len(uri))
        if longest > _LONGEST_ADDRESS:
            told = f"--archive-prefix and the model's name make an address of {longest} characters"
            raise ConfigError("the command line", [f"{told}; {_LONGEST_ADDRESS} are possible"])
        return uri


def write_archive(model_folder: Path, archive_path: Path) -> ModelArchive:
    """Pack `model_folder` into `archive_path`; memory stays constant, a failure leaves no file.

    Raises ArchiveRefused naming every link, special file or unusable name (SageMaker refuses them,
    or they would mean something else there), and a missing MLmodel.
    """
    members = _members(model_folder)
    archive_path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = archive_path.with_name(f".{archive_path.name}.{os.getpid()}.tmp")
    try:
        with unfinished.open("wb") as file:
            hashing = _HashingWriter(file)
            # No name and no time in the gzip header: they would change the digest.
            with (
                gzip.GzipFile(
                    filename="", mode="wb", compresslevel=6, fileobj=hashing, mtime=0
                ) as zipped,
                tarfile.open(fileobj=zipped, mode="w", format=tarfile.GNU_FORMAT) as archive,
            ):
                for name, path in members:
                    _add(archive, name, path)
        unfinished.replace(archive_path)
    finally:
        unfinished.unlink(missing_ok=True)
    return ModelArchive(
        path=archive_path, sha256=hashing.sha256.hexdigest(), size_bytes=hashing.size_bytes
    )


def upload_archive(s3: Any, archive: ModelArchive, store: ArchiveStore, model_name: str) -> str:
    """The archive's `s3://` address, once it is there; an object that is there is never replaced.

    Raises AwsError when S3 refuses or can not be reached, ArchiveConflict when other content lies
    at the address.
    """
    from botocore.exceptions import BotoCoreError, ClientError

    uri = store.uri(model_name, archive.sha256)
    if archive.size_bytes > _LARGEST_PUT_BYTES:
        raise ArchiveRefused(
            str(archive.path), [f"{archive.size_bytes} bytes; at most {_LARGEST_PUT_BYTES} can go"]
        )
    try:
        if _is_there(s3, archive, store, model_name):
            logger.info("%s is there already", uri)
            return uri
        logger.info("uploading %.1f MB to %s", archive.size_bytes / 1e6, uri)
        _put(s3, archive, store, model_name)
    except ClientError as err:
        if err.response.get("ResponseMetadata", {}).get("HTTPStatusCode") == 412:
            # Somebody wrote the same digest a moment ago, or we may not read what is there.
            logger.info("%s is there already", uri)
            return uri
        raise AwsError(_upload_refused(uri, store, err)) from err
    except BotoCoreError as err:
        raise AwsError(_upload_refused(uri, store, err)) from err
    return uri


def _members(folder: Path) -> list[tuple[str, Path]]:
    if not folder.is_dir():
        raise ArchiveRefused(str(folder), ["there is no such folder"])
    problems: list[str] = []
    members: list[tuple[str, Path]] = []
    for path in _walk(folder):
        name = path.relative_to(folder).as_posix()
        problem = _name_problem(name) or _kind_problem(path)
        if problem:
            problems.append(f"{name!r} {problem}")
        else:
            members.append((name, path))
    if not (folder / "MLmodel").is_file():
        problems.append("there is no MLmodel file at its root: it is not an MLflow model")
    if problems:
        raise ArchiveRefused(str(folder), problems)
    return members


def _walk(folder: Path) -> Iterator[Path]:
    """Everything below, in an order that depends on the names alone; links are not followed."""
    for entry in sorted(folder.iterdir(), key=lambda path: os.fsencode(path.name)):
        yield entry
        if entry.is_dir() and not entry.is_symlink():
            yield from _walk(entry)


def _name_problem(name: str) -> str:
    if any(ord(character) < 32 or 0xD800 <= ord(character) <= 0xDFFF for character in name):
        return "has a name with control characters or bytes that are not UTF-8; rename it"
    if "\\" in name:
        return "has a backslash in its name; rename it"
    return ""


def _kind_problem(path: Path) -> str:
    mode = path.lstat().st_mode
    if stat.S_ISLNK(mode):
        return "is a link; put the file itself there"
    if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
        return "is neither a file nor a folder; remove it"
    return ""


def _add(archive: tarfile.TarFile, name: str, path: Path) -> None:
    member = tarfile.TarInfo(name)
    member.mtime = 0
    member.uid = member.gid = 0
    member.uname = member.gname = ""
    if path.is_dir():
        member.type = tarfile.DIRTYPE
        member.mode = 0o755
        archive.addfile(member)
        return
    member.mode = 0o644
    with path.open("rb") as file:
        member.size = os.fstat(file.fileno()).st_size
        archive.addfile(member, file)


class _HashingWriter:
    """Passes bytes on to a file, and knows their digest and number."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self.sha256 = hashlib.sha256()
        self.size_bytes = 0

    def write(self, data: bytes) -> int:
        self.sha256.update(data)
        self.size_bytes += len(data)
        return self._file.write(data)

    def flush(self) -> None:
        self._file.flush()


def _is_there(s3: Any, archive: ModelArchive, store: ArchiveStore, model_name: str) -> bool:
    from botocore.exceptions import ClientError

    key = store.key(model_name, archive.sha256)
    try:
        head = s3.head_object(Bucket=store.bucket, Key=key, ChecksumMode="ENABLED")
    except ClientError as err:
        # Without s3:ListBucket a missing object is a 403; the upload itself then decides.
        if err.response.get("ResponseMetadata", {}).get("HTTPStatusCode") in (403, 404):
            return False
        raise
    checksum = head.get("ChecksumSHA256")
    same_content = checksum is None or checksum == _checksum(archive)
    if head["ContentLength"] != archive.size_bytes or not same_content:
        raise ArchiveConflict(
            f"{store.uri(model_name, archive.sha256)} holds something else: "
            f"{head['ContentLength']} bytes, where the archive has {archive.size_bytes}. "
            "Archives are never overwritten; find out who wrote it, delete it, and build again."
        )
    return True


def _put(s3: Any, archive: ModelArchive, store: ArchiveStore, model_name: str) -> None:
    encryption = (
        {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": store.kms_key_id}
        if store.kms_key_id
        else {}
    )
    with archive.path.open("rb") as body:
        s3.put_object(
            Bucket=store.bucket,
            Key=store.key(model_name, archive.sha256),
            Body=body,
            ContentLength=archive.size_bytes,
            ContentType="application/gzip",
            ChecksumSHA256=_checksum(archive),
            IfNoneMatch="*",
            **encryption,
        )


def _checksum(archive: ModelArchive) -> str:
    return base64.b64encode(bytes.fromhex(archive.sha256)).decode()


def _upload_refused(uri: str, store: ArchiveStore, err: Exception) -> str:
    needs = "s3:PutObject and s3:GetObject on it"
    if store.kms_key_id:
        needs += f" and kms:GenerateDataKey on {store.kms_key_id}"
    return (
        f"could not upload the archive to {uri}: {err}. "
        f"Check that bucket {store.bucket!r} exists and that the build's role has {needs}. "
        "Nothing was written."
    )
