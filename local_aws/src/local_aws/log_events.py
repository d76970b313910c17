"""The events of CloudWatch Logs lie on disk, a file for each stream, which moto takes for its list.

A stream keeps its newest 4 MiB; a line at its beginning says how many are gone. So neither memory
nor disk grows with what a server prints.
"""

from __future__ import annotations

import json
import tempfile
import threading
import uuid
import weakref
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from moto.logs.models import LogEvent, LogStream

MOST_STREAM_BYTES = 4 << 20


class EventFolder:
    """Where this process's streams are; moto keeps one account for a process."""

    def __init__(self) -> None:
        self._path: Path | None = None

    def use(self, path: Path) -> None:
        """New streams go there."""
        path.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._path = path

    def new(self) -> Path:
        """The path of a stream's file."""
        if self._path is None:  # moto without a gateway
            self._path = Path(tempfile.mkdtemp(prefix="local-aws-log-events-"))
        return self._path / f"{uuid.uuid4().hex}.jsonl"


LOG_EVENTS = EventFolder()


class StoredEvents:
    """One stream's events, oldest first. Thread-safe."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._count = self._size = self._gone = 0
        self.first: int | None = None
        self.last: int | None = None
        # How far the places of events have moved, as the tokens of GetLogEvents count them.
        self.moved = 0

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[LogEvent]:
        with self._lock:
            lines = self._lines()
        return (_event(line) for line in lines)

    def __iadd__(self, events: Iterable[LogEvent]) -> StoredEvents:
        lines = [_line(event) for event in events]
        if not lines:
            return self
        with self._lock:
            with self._path.open("ab") as file:
                file.writelines(lines)
            self._take_in(lines)
            if self._size > MOST_STREAM_BYTES:
                self._drop_oldest()
        return self

    def forget(self) -> None:
        """The stream is gone."""
        self._path.unlink(missing_ok=True)

    def _take_in(self, lines: list[bytes]) -> None:
        self._count += len(lines)
        self._size += sum(map(len, lines))
        times = [json.loads(line)[0] for line in lines]
        self.first = min([*times, *([] if self.first is None else [self.first])], default=None)
        self.last = max([*times, *([] if self.last is None else [self.last])], default=None)

    def _drop_oldest(self) -> None:
        lines, kept, size = self._lines(), 0, 0
        for line in reversed(lines):
            size += len(line)
            if kept and size > MOST_STREAM_BYTES // 2:
                break
            kept += 1
        gone, lines = len(lines) - kept, lines[-kept:]
        # The line that says so, of the last time, is among those that go, and counts for none.
        self._gone += gone - bool(self._gone)
        told = f"local_aws dropped the {self._gone} oldest lines: a stream keeps its newest 4 MiB"
        lines.insert(0, _line(LogEvent(_event(lines[0]).ingestion_time, _told(lines[0], told))))
        written = self._path.with_suffix(".new")
        written.write_bytes(b"".join(lines))
        written.replace(self._path)
        self.moved += gone - 1
        self._count = self._size = 0
        self.first = self.last = None
        self._take_in(lines)

    def _lines(self) -> list[bytes]:
        return self._path.read_bytes().splitlines(keepends=True) if self._path.exists() else []


def _told(line: bytes, text: str) -> dict[str, Any]:
    return {"timestamp": json.loads(line)[0], "message": text}


def _line(event: LogEvent) -> bytes:
    fields = [event.timestamp, event.ingestion_time, event.event_id, event.message]
    return json.dumps(fields).encode() + b"\n"


def _event(line: bytes) -> LogEvent:
    event = LogEvent.__new__(LogEvent)
    event.timestamp, event.ingestion_time, event.event_id, event.message = json.loads(line)
    return event


def _events(stream: LogStream) -> StoredEvents:
    stored: StoredEvents = stream.__dict__["stored_events"]
    return stored


def _set_events(stream: LogStream, events: Iterable[LogEvent]) -> None:
    if isinstance(events, StoredEvents):  # after +=
        return
    stored = StoredEvents(LOG_EVENTS.new())
    stored += events
    stream.__dict__["stored_events"] = stored
    weakref.finalize(stream, stored.forget)


def _update(stream: LogStream) -> None:
    stored = _events(stream)
    stream.first_event_timestamp, stream.last_event_timestamp = stored.first, stored.last


def _get_log_events(
    of_moto: Callable[..., Any],
) -> Callable[..., tuple[list[Any], str | None, str | None]]:
    def get(
        stream: LogStream, start: Any, end: Any, limit: Any, token: str | None, from_head: Any
    ) -> tuple[list[Any], str | None, str | None]:
        """A token counts the events that are gone too, so that a reader goes on where it was."""
        moved = 0 if start or end else _events(stream).moved
        page, back, forward = of_moto(stream, start, end, limit, _add(token, -moved), from_head)
        return page, _add(back, moved), _add(forward, moved)

    return get


def _add(token: str | None, number: int) -> str | None:
    if not number or token is None or not token[2:].isdigit():
        return token
    return f"{token[:2]}{int(token[2:]) + number:056d}"


LogStream.events = property(_events, _set_events)
LogStream._update = _update
LogStream.get_log_events = _get_log_events(LogStream.get_log_events)
