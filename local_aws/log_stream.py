"""A process's log file, copied to a CloudWatch log stream as it grows."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

_BATCH_LINES = 1000
_LINE_LIMIT_BYTES = 200_000


class LogStream:
    """One file and one stream; `ship` is called from one thread at a time."""

    def __init__(self, logs: Any, group: str, stream: str, path: Path) -> None:
        self.group = group
        self.stream = stream
        self._logs = logs
        self._path = path
        self._offset = 0
        self._exists = False

    def ship(self, *, rest: bool = False) -> None:
        """Send the lines that came since the last call; with `rest`, an unfinished one too."""
        if not self._path.exists():
            return
        with self._path.open("rb") as file:
            file.seek(self._offset)
            data = file.read()
        end = len(data) if rest else data.rfind(b"\n") + 1
        if not end:
            return
        self._offset += end
        lines = [line for line in data[:end].split(b"\n") if line.strip()]
        self._create()
        timestamp = int(time.time() * 1000)
        for first in range(0, len(lines), _BATCH_LINES):
            events = [
                {"timestamp": timestamp, "message": _text(line)}
                for line in lines[first : first + _BATCH_LINES]
            ]
            self._logs.put_log_events(
                logGroupName=self.group, logStreamName=self.stream, logEvents=events
            )

    def _create(self) -> None:
        if self._exists:
            return
        for create, names in (
            (self._logs.create_log_group, {"logGroupName": self.group}),
            (
                self._logs.create_log_stream,
                {"logGroupName": self.group, "logStreamName": self.stream},
            ),
        ):
            try:
                create(**names)
            except self._logs.exceptions.ResourceAlreadyExistsException:
                continue
        self._exists = True


def last_lines(path: Path, limit: int) -> str:
    """The end of a log in at most `limit` characters, whole lines where they fit."""
    if not path.exists():
        return ""
    text = path.read_text(errors="replace").strip()
    if len(text) <= limit:
        return text
    end = text[-limit:]
    return end.partition("\n")[2] or end


def _text(line: bytes) -> str:
    return line[:_LINE_LIMIT_BYTES].decode(errors="replace").rstrip("\r")
