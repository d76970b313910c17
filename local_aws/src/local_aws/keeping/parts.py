"""A part of the state and its file, replaced as a whole: a reader never sees half of it."""

from __future__ import annotations

import logging
import os
import pickle
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from local_aws.keeping.pickled import dumps, loads

logger = logging.getLogger(__name__)

SUFFIX = ".state"
_JOURNAL_BYTES = 1 << 18


class Part:
    """`take` gives what is to be written. Thread-safe.

    What can't be written, such as on a full disk, fails nobody: it is `due` until it can.
    """

    def __init__(self, path: Path, take: Callable[[], Any]) -> None:
        self.path = path
        self.due = False
        self._take = take
        self._lock = threading.Lock()
        self._asked = threading.Lock()
        self._newest = self._saved = 0
        self._written = b""

    def save(self) -> None:
        """On return the state is on disk as it was when this was called, or later."""
        with self._asked:
            self._newest += 1
            mine = self._newest
        with self._lock:
            if self._saved >= mine and not self.due:
                return  # another call's writing had this in it
            self._saved = self._newest
            self._try(self._replace)

    def _replace(self) -> None:
        state = dumps(self._take())
        if state != self._written:
            replace(self.path, state)
            self._written = state

    def _try(self, write: Callable[[], None]) -> None:
        try:
            write()
        except Exception as err:  # the call that is kept here has been made
            if not self.due:
                logger.error("%s is not kept for now: %s", self.path.stem, err)
                logger.debug("why", exc_info=True)
            self.due = True
        else:
            self.due = False


class JournaledPart(Part):
    """A part that may be large: single changes are added to a journal beside it.

    Each whole writing begins a journal of its own number, so that no journal is read twice, nor one
    that a part of the same name left behind.
    """

    def __init__(self, path: Path, take: Callable[[], Any], number: int | None = None) -> None:
        super().__init__(path, take)
        self._number = time.time_ns() if number is None else number

    def add(self, change: Callable[[], Any]) -> None:
        """Write one more change; `change` gives it as it is now."""
        with self._lock:
            self._try(lambda: self._append(dumps(change())))

    def remove(self) -> None:
        """What it was about is gone."""
        with self._lock:
            self.path.unlink(missing_ok=True)
            self._journal.unlink(missing_ok=True)

    @property
    def _journal(self) -> Path:
        return self.path.with_suffix(f".{self._number}.journal")

    def _append(self, record: bytes) -> None:
        if self.due or not self.path.exists():
            self._replace()
            return
        self._journal.touch(mode=0o600)
        with self._journal.open("ab", buffering=0) as file:
            end = file.tell()
            if file.write(record) < len(record):
                file.truncate(end)
                raise OSError("the disk is full")
        if end > max(_JOURNAL_BYTES, self.path.stat().st_size):
            self._replace()

    def _replace(self) -> None:
        before = self._journal
        replace(self.path, dumps((self._number + 1, self._take())))
        self._number += 1
        before.unlink(missing_ok=True)


def replace(path: Path, content: bytes) -> None:
    """Write a file, or leave it as it was."""
    new = path.with_name(f".{path.name}.new")
    descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
    new.replace(path)


def read(path: Path) -> Any:
    """What a Part wrote last; FileNotFoundError if it never did."""
    return loads(path.read_bytes())


def read_journaled(path: Path) -> tuple[int, Any, Iterator[Any]]:
    """What a JournaledPart wrote last: its number, the state, the changes since."""
    number, state = read(path)
    return number, state, _changes(path.with_suffix(f".{number}.journal"))


def _changes(journal: Path) -> Iterator[Any]:
    if not journal.exists():
        return
    with journal.open("rb") as file:
        while True:
            try:
                yield pickle.load(file)  # noqa: S301
            except (EOFError, pickle.UnpicklingError):  # the end, or half a change: never answered
                return
