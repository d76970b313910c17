"""What a build keeps: files chosen by patterns, as a zip archive in S3."""

# Path.glob knows neither absolute patterns nor a way to leave hidden files in.
# ruff: noqa: PTH207

from __future__ import annotations

import glob
import hashlib
import re
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from local_aws.codebuild.buildspec import Artifact
from local_aws.codebuild.sources import split_location

_VARIABLE = re.compile(r"\$(?:\{(?P<braced>\w+)\}|(?P<plain>\w+))")


class ArtifactError(Exception):
    """There is nothing to keep, or S3 refused; the message is that of UPLOAD_ARTIFACTS."""


def expand(text: str, variables: Mapping[str, str]) -> str:
    """The text with $NAME and ${NAME} replaced; a variable that is not there is empty."""
    return _VARIABLE.sub(lambda m: variables.get(m["braced"] or m["plain"], ""), text)


def find_files(
    artifact: Artifact, source: Path, variables: Mapping[str, str]
) -> Mapping[str, Path]:
    """Name in the artifact -> file. Raises ArtifactError if folder or a pattern finds nothing."""
    directory = expand(artifact.base_directory, variables) or "."
    bases = [Path(name) for name in sorted(glob.glob(str(source / directory)))]
    bases = [base for base in bases if base.is_dir()]
    if not bases:
        raise ArtifactError(f"no matching base directory path found for {directory}")
    found: dict[str, Path] = {}
    for base in bases:
        for pattern in artifact.files:
            wanted = expand(pattern, variables)
            files = _matches(base, wanted)
            if not files:
                raise ArtifactError(
                    f"no matching artifact paths found: {wanted or pattern} in {directory}"
                )
            for file in files:
                found[file.relative_to(base).as_posix()] = file
    return found


def upload(
    s3: Any,
    files: Mapping[str, Path],
    *,
    settings: Mapping[str, Any],
    default_name: str,
    kms_key: str,
    scratch: Path,
) -> dict[str, Any]:
    """Store the files where the project's artifact `settings` say.

    The answer is the build's member `artifacts`. Raises ArtifactError.
    """
    bucket, prefix = split_location(settings["location"])
    parts = [prefix, settings.get("path", ""), settings.get("name") or default_name]
    key = "/".join(part.strip("/") for part in parts if part.strip("/"))
    encryption: Mapping[str, str] = {}
    if kms_key and not settings.get("encryptionDisabled"):
        encryption = {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": kms_key}
    archive = scratch / "artifact.zip"
    _pack(files, archive)
    content = archive.read_bytes()
    archive.unlink()
    try:
        s3.put_object(Bucket=bucket, Key=key, Body=content, **encryption)
    except (ClientError, BotoCoreError) as err:
        raise ArtifactError(f"Error in UPLOAD_ARTIFACTS to s3://{bucket}/{key}: {err}") from err
    return {
        "location": f"arn:aws:s3:::{bucket}/{key}",
        "encryptionDisabled": bool(settings.get("encryptionDisabled", False)),
        "sha256sum": hashlib.sha256(content).hexdigest(),
        "md5sum": hashlib.md5(content, usedforsecurity=False).hexdigest(),
    }


def _matches(base: Path, pattern: str) -> Sequence[Path]:
    """Files, not folders, below `base`; `**` is any depth, and hidden files count."""
    if pattern.startswith("/"):
        raise ArtifactError(f"local_aws does not support absolute artifact paths: {pattern}")
    found = glob.glob(pattern, root_dir=base, recursive=True, include_hidden=True)
    return [base / name for name in sorted(found) if (base / name).is_file()]


def _pack(files: Mapping[str, Path], archive: Path) -> None:
    # Some files may be older than zip archives can say.
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED, strict_timestamps=False) as target:
        for name, file in files.items():
            target.write(file, name)
