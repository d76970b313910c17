"""One thread that sleeps until the next thing is due."""

from __future__ import annotations

import datetime
import logging
import threading
from collections.abc import Callable

from local_aws.clock import Clock
from local_aws.workers import start_lasting

logger = logging.getLogger(__name__)

Action = Callable[[datetime.datetime], None]

# Waiting counts a clock that stands still while a laptop sleeps: look at the time of day again.
_LONGEST_WAIT_SECONDS = 60.0


class Timer:
    """Calls actions when they are due, one after the other, in a thread of its own.

    The thread starts with the first thing to wait for. Actions must be quick.
    """

    def __init__(self, name: str, clock: Clock) -> None:
        self._name = name
        self._clock = clock
        self._condition = threading.Condition()
        self._entries: dict[str, tuple[datetime.datetime, Action]] = {}
        self._closing = threading.Event()
        self._thread: threading.Thread | None = None

    def set(self, key: str, due: datetime.datetime, action: Action) -> None:
        """Call `action(due)` then. Replaces what `key` waited for."""
        with self._condition:
            if self._closing.is_set():
                return
            self._entries[key] = (due, action)
            if self._thread is None:
                self._thread = start_lasting(self._name, self._run, self._closing)
            self._condition.notify_all()

    def cancel(self, key: str) -> None:
        """Nothing is due for `key` any more."""
        with self._condition:
            self._entries.pop(key, None)
            self._condition.notify_all()

    def close(self) -> None:
        """End the thread; an action that runs is waited for."""
        with self._condition:
            self._closing.set()
            self._condition.notify_all()
            thread = self._thread
        if thread is not None:
            thread.join()

    def _run(self) -> None:
        while (taken := self._take()) is not None:
            due, action = taken
            try:
                action(due)
            except Exception:  # the thread serves all others too
                logger.exception("what was due at %s failed", due)

    def _take(self) -> tuple[datetime.datetime, Action] | None:
        """The next entry once it is due; None when closed."""
        with self._condition:
            while not self._closing.is_set():
                if not self._entries:
                    self._clock.wait(self._condition, None)
                    continue
                key = min(self._entries, key=lambda name: self._entries[name][0])
                remaining = (self._entries[key][0] - self._clock.now()).total_seconds()
                if remaining <= 0:
                    return self._entries.pop(key)
                self._clock.wait(self._condition, min(remaining, _LONGEST_WAIT_SECONDS))
        return None
