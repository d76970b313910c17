"""Text files that are written whole: all of them, or none."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from model_deploy.errors import ConfigError


def write_all_or_none(texts: Mapping[Path, str]) -> None:
    """Write every text before the first takes its file's place; folders are made as needed.

    Raises ConfigError, with nothing changed, when one can not be written.
    """
    unfinished: dict[Path, Path] = {}
    try:
        for path, text in texts.items():
            if path.is_dir():
                raise IsADirectoryError(f"{path} is a folder")
            path.parent.mkdir(parents=True, exist_ok=True)
            temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
            unfinished[path] = temporary
            temporary.write_text(text, encoding="utf-8")
        for path, temporary in unfinished.items():
            temporary.replace(path)
    except OSError as err:
        for temporary in unfinished.values():
            temporary.unlink(missing_ok=True)
        listed = ", ".join(str(path) for path in texts)
        raise ConfigError(listed, [f"it can not be written: {err}"]) from err
