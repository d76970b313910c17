"""What happens in this AWS, told to whoever listens: pushes, state changes of pipelines and builds.

A service publishes; EventBridge's rules and CodePipeline's triggers listen.
"""

from __future__ import annotations

import logging
import threading
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from local_aws.own_aws import OwnAws

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Event:
    """One event; `document` has the form in which EventBridge matches and delivers it."""

    document: Mapping[str, Any]


Listener = Callable[[Event], None]


class EventBus:
    """Listeners are called in the publisher's thread: they hand over and return. Thread-safe."""

    def __init__(self, own: OwnAws) -> None:
        self._own = own
        self._lock = threading.Lock()
        self._listeners: list[Listener] = []

    def subscribe(self, listener: Listener) -> None:
        """Call `listener` with each event that is published from now on."""
        with self._lock:
            self._listeners.append(listener)

    def publish(
        self,
        source: str,
        detail_type: str,
        *,
        resources: Sequence[str] = (),
        detail: Mapping[str, Any],
    ) -> Event:
        """Tell all listeners. Never raises: whatever happened has happened.

        The envelope is that of the EventBridge user guide, "Events".
        """
        event = Event(
            {
                "version": "0",
                "id": str(uuid.uuid4()),
                "detail-type": detail_type,
                "source": source,
                "account": self._own.account,
                "time": f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}",
                "region": self._own.region,
                "resources": list(resources),
                "detail": dict(detail),
            }
        )
        with self._lock:
            listeners = list(self._listeners)
        for listener in listeners:
            try:
                listener(event)
            except Exception:  # one listener's mistake is no reason to fail what has happened
                logger.exception("a listener failed on %s from %s", detail_type, source)
        return event
