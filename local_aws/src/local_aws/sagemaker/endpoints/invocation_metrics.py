"""What one model server was asked lately, as SageMaker's metrics count it."""

from __future__ import annotations

import collections
import threading
import time
from dataclasses import dataclass

# More than any alarm looks at here; the oldest are forgotten first.
_KEPT = 100_000


@dataclass(frozen=True)
class _Invocation:
    ended: float
    seconds: float
    status: int

    @property
    def failed(self) -> bool:
        """The model's fault: an error of the server, or no answer."""
        return self.status == 0 or self.status >= 500


class InvocationMetrics:
    """Safe to use from any thread; times are those of time.monotonic()."""

    def __init__(self) -> None:
        self._invocations: collections.deque[_Invocation] = collections.deque(maxlen=_KEPT)
        self._lock = threading.Lock()

    def add(self, seconds: float, status: int) -> None:
        """Count an invocation: the container's HTTP status, 0 if it gave none."""
        with self._lock:
            self._invocations.append(_Invocation(time.monotonic(), seconds, status))

    def values(self, metric: str, since: float, until: float) -> list[float] | None:
        """One value for each invocation that ended in between; None for an unknown metric."""
        with self._lock:
            found = [i for i in self._invocations if since < i.ended <= until]
        if metric == "ModelLatency":
            return [invocation.seconds * 1e6 for invocation in found]
        if metric == "Invocations":
            return [1.0 for _ in found]
        if metric == "Invocation4XXErrors":
            return [float(400 <= invocation.status < 500) for invocation in found]
        if metric == "Invocation5XXErrors":
            return [float(invocation.failed) for invocation in found]
        return None
