"""A model's tar.gz, unpacked: files and folders only, never outside of their folder.

tarfile's own filters do this from Python 3.11.4 on; Debian 12 has 3.11.2.
"""

from __future__ import annotations

import shutil
import tarfile
import zlib
from pathlib import Path, PurePosixPath
from typing import IO


class ArchiveError(Exception):
    """The archive can't be unpacked, or holds what it should not."""


def unpack(archive: IO[bytes], folder: Path) -> None:
    """Put the archive's members below `folder`, while it is read. ArchiveError for a bad one."""
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with tarfile.open(fileobj=archive, mode="r|gz") as opened:
            for member in opened:
                _check(member)
                _write(opened, member, folder / member.name)
    except (tarfile.TarError, OSError, EOFError, zlib.error, ValueError) as err:
        raise ArchiveError(str(err)) from err


def _check(member: tarfile.TarInfo) -> None:
    path = PurePosixPath(member.name)
    if path.is_absolute() or ".." in path.parts:
        raise ValueError(f"member {member.name!r} lies outside of the archive")
    if not (member.isfile() or member.isdir()):
        raise ValueError(f"member {member.name!r} is a link or a device")


def _write(archive: tarfile.TarFile, member: tarfile.TarInfo, place: Path) -> None:
    if member.isdir():
        place.mkdir(parents=True, exist_ok=True)
        return
    place.parent.mkdir(parents=True, exist_ok=True)
    content = archive.extractfile(member)
    assert content is not None, "a file has content"
    with place.open("wb") as file:
        shutil.copyfileobj(content, file)
    place.chmod(0o755 if member.mode & 0o100 else 0o644)
