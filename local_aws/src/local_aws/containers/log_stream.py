"""What a process prints, from its log file to CloudWatch Logs while it runs; both are bounded.

A file that a server fills keeps its newest lines, as a stream does (log_events): the oldest go, and
a line says so.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

logger = logging.getLogger(__name__)

# PutLogEvents takes at most 10,000 events of 256 KiB and 1 MiB together, 26 bytes added to each.
MOST_EVENTS = 10_000
MOST_BATCH_BYTES = 1_000_000
MOST_EVENT_BYTES = 250_000
EVENT_OVERHEAD_BYTES = 26
# Of a file that is longer, the newest are left; of what comes faster than it is sent, too.
MOST_FILE_BYTES = 16 << 20
KEPT_BYTES = 8 << 20
MOST_UNSENT_BYTES = 2 << 20


class LogStream:
    """The CloudWatch Logs stream of one log file. Never raises: logs don't fail a job."""

    def __init__(self, logs: Any, group: str, stream: str, path: Path) -> None:
        self._logs = logs
        self._names = {"logGroupName": group, "logStreamName": stream}
        self._path = path
        self._position = 0
        self._open = False
        self._refused = False

    def send(self, *, to_the_end: bool = False) -> None:
        """Send the lines written since the last call, `to_the_end` also an unfinished one."""
        if not self._path.exists():
            return
        size = self._path.stat().st_size
        if not self._refused:
            self._send_new(size, to_the_end=to_the_end)
        if size > MOST_FILE_BYTES and not to_the_end:
            self._position = max(0, self._position - keep_newest(self._path))

    def _send_new(self, size: int, *, to_the_end: bool) -> None:
        left_out = max(0, size - self._position - MOST_UNSENT_BYTES)
        with self._path.open("rb") as file:
            file.seek(self._position + left_out)
            written = file.read(MOST_UNSENT_BYTES)
        if not to_the_end and len(written) < MOST_UNSENT_BYTES:
            written = written[: written.rfind(b"\n") + 1]
        if not written:
            return
        said = f"local_aws left out {left_out} bytes here\n".encode() if left_out else b""
        try:
            self._create()
            for batch in _batches(said + written):
                self._logs.put_log_events(**self._names, logEvents=batch)
        except (ClientError, BotoCoreError) as err:
            self._refused = True
            logger.warning("no CloudWatch Logs for %s: %s", self._names["logStreamName"], err)
        self._position += left_out + len(written)

    def _create(self) -> None:
        if self._open:
            return
        group = {"logGroupName": self._names["logGroupName"]}
        for create, names in (
            (self._logs.create_log_group, group),
            (self._logs.create_log_stream, self._names),
        ):
            try:
                create(**names)
            except ClientError as err:
                if err.response["Error"]["Code"] != "ResourceAlreadyExistsException":
                    raise
        self._open = True


def keep_newest(path: Path) -> int:
    """Leave the file's newest lines, and a line that says so; by how much it is shorter now.

    Who has it open goes on appending. What is printed in the same moment may be lost.
    """
    with path.open("r+b") as file:
        size = file.seek(0, os.SEEK_END)
        gone = max(0, size - KEPT_BYTES)
        file.seek(gone)
        tail = file.read()
        tail = tail[tail.find(b"\n") + 1 :]
        file.truncate(0)
    with path.open("ab") as file:
        file.write(f"local_aws dropped what stood before: {gone} bytes\n".encode() + tail)
        return size - file.tell()


def _batches(written: bytes) -> Iterator[Sequence[Mapping[str, Any]]]:
    now = int(time.time() * 1000)
    batch: list[Mapping[str, Any]] = []
    size = 0
    for line in written.split(b"\n"):
        for start in range(0, len(line), MOST_EVENT_BYTES):
            message = line[start : start + MOST_EVENT_BYTES].decode(errors="replace")
            cost = len(message.encode()) + EVENT_OVERHEAD_BYTES
            if batch and (size + cost > MOST_BATCH_BYTES or len(batch) == MOST_EVENTS):
                yield batch
                batch, size = [], 0
            batch.append({"timestamp": now, "message": message})
            size += cost
    if batch:
        yield batch
