"""Artifacts: zips in the pipeline's artifact store, passed from action to action."""

from __future__ import annotations

import io
import secrets
import string
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from botocore.exceptions import ClientError

_ALPHABET = string.ascii_letters + string.digits


class ArtifactError(Exception):
    """An artifact, or a file in it, is not there."""


@dataclass(frozen=True)
class ArtifactLocation:
    """Where an artifact lies in S3."""

    bucket: str
    key: str

    def described(self, name: str) -> dict[str, Any]:
        """As ListActionExecutions shows it."""
        return {"name": name, "s3location": {"bucket": self.bucket, "key": self.key}}


@dataclass(frozen=True, kw_only=True)
class ArtifactStore:
    """The store of one pipeline as one action uses it: `s3` is a client under the action's role."""

    s3: Any
    bucket: str
    pipeline_name: str
    kms_key: str | None = None

    def new_location(self, artifact: str) -> ArtifactLocation:
        """A place for a new artifact, named as CodePipeline names them."""
        suffix = "".join(secrets.choice(_ALPHABET) for _ in range(7))
        return ArtifactLocation(self.bucket, f"{self.pipeline_name[:20]}/{artifact[:10]}/{suffix}")

    def put(self, artifact: str, body: bytes) -> ArtifactLocation:
        """Keep a zip; returns where."""
        location = self.new_location(artifact)
        encryption: dict[str, str] = {}
        if self.kms_key:
            encryption = {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": self.kms_key}
        self.s3.put_object(
            Bucket=location.bucket,
            Key=location.key,
            Body=body,
            ContentType="application/zip",
            **encryption,
        )
        return location

    def exists(self, location: ArtifactLocation) -> bool:
        """Whether something lies there."""
        try:
            self.s3.head_object(Bucket=location.bucket, Key=location.key)
        except ClientError as err:
            if err.response["ResponseMetadata"]["HTTPStatusCode"] != 404:
                raise
            return False
        return True

    def read_file(self, artifacts: Mapping[str, ArtifactLocation], reference: str) -> str:
        """The text of `artifact::path/in/zip`; raises ArtifactError."""
        artifact, separator, path = reference.partition("::")
        if not separator or artifact not in artifacts:
            inputs = ", ".join(artifacts) or "none"
            raise ArtifactError(
                f"{reference!r} names no file of an input artifact of this action "
                f"(artifact::file); its input artifacts: {inputs}"
            )
        location = artifacts[artifact]
        body = self.s3.get_object(Bucket=location.bucket, Key=location.key)["Body"].read()
        with zipfile.ZipFile(io.BytesIO(body)) as archive:
            try:
                return archive.read(path).decode()
            except KeyError as err:
                names = ", ".join(sorted(archive.namelist())[:20])
                raise ArtifactError(
                    f"File [{path}] does not exist in artifact [{artifact}]; it holds: {names}"
                ) from err


def zip_of_folder(folder: Path) -> bytes:
    """A zip of all files below `folder` except .git, with their modes.

    A link becomes a text file that holds its target, as in CodePipeline's format CODE_ZIP.
    """
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted(folder.rglob("*")):
            relative = path.relative_to(folder)
            if relative.parts[0] == ".git" or (path.is_dir() and not path.is_symlink()):
                continue
            if path.is_symlink():
                archive.writestr(relative.as_posix(), str(path.readlink()))
                continue
            member = zipfile.ZipInfo.from_file(path, relative.as_posix(), strict_timestamps=False)
            member.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(member, path.read_bytes())
    return buffer.getvalue()
