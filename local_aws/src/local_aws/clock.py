"""Time as a value that can be passed in, so that waiting an hour can be tested in a moment."""

from __future__ import annotations

import datetime
from typing import Protocol


class Waited(Protocol):
    """An event, or a condition that the caller holds."""

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until it is set or notified (True) or `timeout` seconds have passed (False)."""


class Clock(Protocol):
    """The time of day, and a wait that somebody may end."""

    def now(self) -> datetime.datetime:
        """The current time in UTC."""

    def wait(self, waited: Waited, seconds: float | None) -> bool:
        """Wait as `waited` does, by this clock."""


class SystemClock:
    """The machine's clock."""

    def now(self) -> datetime.datetime:
        return datetime.datetime.now(datetime.UTC)

    def wait(self, waited: Waited, seconds: float | None) -> bool:
        return waited.wait(seconds)
