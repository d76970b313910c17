"""Where images and layers are kept: one folder for all that a person runs, each thing in it named
by a digest of what it was made from."""

from __future__ import annotations

import os
from pathlib import Path

VARIABLE = "LOCAL_AWS_CACHE_DIR"


def default_cache_dir() -> Path:
    """$LOCAL_AWS_CACHE_DIR, else local-aws in $XDG_CACHE_HOME, else ~/.cache/local-aws."""
    named = os.environ.get(VARIABLE)
    if named:
        return Path(named).absolute()
    # A relative path is none: XDG Base Directory Specification.
    caches = Path(os.environ.get("XDG_CACHE_HOME", ""))
    return (caches if caches.is_absolute() else Path.home() / ".cache") / "local-aws"
