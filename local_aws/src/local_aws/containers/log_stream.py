"""What a job prints, from its log file to CloudWatch Logs while it runs."""

from __future__ import annotations

import logging
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
        if self._refused or not self._path.exists():
            return
        with self._path.open("rb") as file:
            file.seek(self._position)
            written = file.read()
        if not to_the_end:
            written = written[: written.rfind(b"\n") + 1]
        if not written:
            return
        try:
            self._create()
            for batch in _batches(written):
                self._logs.put_log_events(**self._names, logEvents=batch)
        except (ClientError, BotoCoreError) as err:
            self._refused = True
            logger.warning("no CloudWatch Logs for %s: %s", self._names["logStreamName"], err)
        self._position += len(written)

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
