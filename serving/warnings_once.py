"""Each warning is printed once, whatever becomes of the process's warning filters.

scikit-learn resets these filters around each tree of a forest and puts them back afterwards; they
belong to the process, so with requests side by side the list ends up empty. From then on Python's
own "once per place" no longer holds, and each tree of each request would print a line.
"""

from __future__ import annotations

import sys
import threading
import warnings
from typing import Any, TextIO

_MOST = 1_000


def print_each_once() -> None:
    """Print a warning when it first comes: the same words from the same place, never again.

    After 1,000 different ones nothing more is printed, and the last line says so.
    """
    lock = threading.Lock()
    seen: set[tuple[str, int, type, str]] = set()

    def show(  # as `warnings.showwarning`, which warnings.catch_warnings puts back as it was
        message: Warning | str,
        category: type[Warning],
        filename: str,
        lineno: int,
        file: TextIO | None = None,
        line: str | None = None,
    ) -> None:
        told = (filename, lineno, category, str(message))
        with lock:
            if told in seen or len(seen) > _MOST:
                return
            seen.add(told)
            last = len(seen) > _MOST
        text = "no further warnings are printed\n" if last else None
        _write(text or warnings.formatwarning(message, category, filename, lineno, line), file)

    warnings.showwarning = show


def _write(text: str, file: Any) -> None:
    try:
        (file or sys.stderr).write(text)
    except OSError:  # nobody reads it: a prediction is worth more
        return
