"""A build's sources: zip archives in S3, unpacked."""

from __future__ import annotations

import shutil
import zipfile
from pathlib import Path
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError


class SourceError(Exception):
    """A source can't be had; the message is that of the phase DOWNLOAD_SOURCE."""


def split_location(location: str) -> tuple[str, str]:
    """Bucket and key of a location: `bucket/key`, with or without `arn:aws:s3:::` or `s3://`."""
    path = location.removeprefix("arn:aws:s3:::").removeprefix("s3://")
    bucket, _, key = path.partition("/")
    return bucket, key


def download_source(s3: Any, location: str, folder: Path) -> None:
    """Unpack the zip archive at `location` into the folder.

    Permissions are kept. Raises SourceError.
    """
    bucket, key = split_location(location)
    folder.mkdir(parents=True)
    try:
        archive = folder.with_name(f"{folder.name}.zip")
        body = s3.get_object(Bucket=bucket, Key=key)["Body"]
        with body, archive.open("wb") as file:
            shutil.copyfileobj(body, file, 1 << 20)
    except ClientError as err:
        error = err.response["Error"]
        raise SourceError(f"{error['Code']}: {error['Message']} ({location})") from err
    except BotoCoreError as err:
        raise SourceError(f"could not read {location}: {err}") from err
    try:
        _unpack(archive, folder)
    except zipfile.BadZipFile as err:
        raise SourceError(f"{location} is not a zip archive: {err}") from err
    except OSError as err:
        raise SourceError(f"{location} cannot be unpacked: {err}") from err
    archive.unlink()


def _unpack(archive: Path, folder: Path) -> None:
    """Links come last, so that nothing is written through them, and may not lead outside."""
    links = []
    with zipfile.ZipFile(archive) as source:
        for member in source.infolist():
            mode = member.external_attr >> 16
            if mode & 0o170000 == 0o120000:
                links.append((member.filename, source.read(member).decode()))
                continue
            place = Path(source.extract(member, folder))  # never outside of the folder
            if mode and not member.is_dir():
                place.chmod(mode & 0o777 | 0o600)
    places = [folder / name for name, _ in links]
    for place, (name, target) in zip(places, links, strict=True):
        if not _is_inside(place.parent, folder):
            raise SourceError(f"its member {name!r} lies outside of the source")
        place.parent.mkdir(parents=True, exist_ok=True)
        place.symlink_to(target)
    for place, (name, target) in zip(places, links, strict=True):
        if not _is_inside(place, folder):
            raise SourceError(f"its member {name!r} is a link that leads outside: {target}")


def _is_inside(place: Path, folder: Path) -> bool:
    try:
        return place.resolve().is_relative_to(folder.resolve())
    except (OSError, RuntimeError):  # links in a circle
        return False
