"""Time as a value that can be passed in, so that waiting an hour can be tested in a moment."""

from __future__ import annotations

import datetime
import threading
from typing import Protocol


class Clock(Protocol):
    """The time of day, and a wait that an event can end."""

    def now(self) -> datetime.datetime:
        """The current time in UTC."""

    def wait(self, event: threading.Event, seconds: float) -> bool:
        """Wait until `event` is set (True) or `seconds` have passed (False)."""


class SystemClock:
    """The machine's clock."""

    def now(self) -> datetime.datetime:
        return datetime.datetime.now(datetime.UTC)

    def wait(self, event: threading.Event, seconds: float) -> bool:
        return event.wait(seconds)
