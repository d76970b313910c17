"""Where images and layers are kept: one folder for all that a person runs, each thing in it named
by a digest of what it was made from."""

from __future__ import annotations

import os
from pathlib import Path

from local_aws.errors import LocalAwsError

VARIABLE = "LOCAL_AWS_CACHE_DIR"


class CacheError(LocalAwsError):
    """The folder cannot be made."""


def default_cache_dir() -> Path:
    """$LOCAL_AWS_CACHE_DIR, else local-aws in $XDG_CACHE_HOME, else ~/.cache/local-aws."""
    named = os.environ.get(VARIABLE)
    if named:
        return Path(named).absolute()
    # A relative path is none: XDG Base Directory Specification.
    caches = Path(os.environ.get("XDG_CACHE_HOME", ""))
    return (caches if caches.is_absolute() else Path.home() / ".cache") / "local-aws"


def make_cache_dir(folder: Path) -> None:
    """Raises CacheError where it cannot be."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as err:
        raise CacheError(
            f"images and layers cannot be kept in {folder}: {err.strerror}. "
            f"Name another folder in {VARIABLE}."
        ) from err
