"""The log of one build: a file, and from there CloudWatch Logs while the build runs."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from local_aws.containers.log_stream import (
    MOST_FILE_BYTES,
    MOST_UNSENT_BYTES,
    LogStream,
    keep_newest,
)

logger = logging.getLogger(__name__)

ENABLED = "ENABLED"


class BuildLog:
    """Lines of CodeBuild's own, as AWS writes them, among what the commands print.

    Commands print to the file `output_path`, from where it is copied, secrets hidden; of what they
    print faster than that, the newest. Used by the build's thread only.
    """

    def __init__(self, path: Path, output_path: Path, stream: LogStream | None) -> None:
        self.path = path
        self.output_path = output_path
        self._stream = stream
        self._position = 0
        self._secrets: list[bytes] = []
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()

    def hide(self, secrets: Iterable[str]) -> None:
        """Show these values as `***` from now on, as AWS does, if they are within one line."""
        found = {secret.strip().encode() for secret in secrets} - {b""}
        self._secrets = sorted(found, key=len, reverse=True)

    def write(self, text: str) -> None:
        """Add a line of CodeBuild's own, after all that the commands printed."""
        self._copy(to_the_end=True)
        moment = datetime.now(UTC)
        self._append(f"[Container] {moment:%Y/%m/%d %H:%M:%S.%f} {text}\n".encode())

    def send(self) -> None:
        """Send whole lines that are new."""
        self._copy()
        if self._stream is not None:
            self._stream.send()
        elif self.path.stat().st_size > MOST_FILE_BYTES:
            keep_newest(self.path)

    def close(self) -> None:
        """Send the rest."""
        self._copy(to_the_end=True)
        if self._stream is not None:
            self._stream.send(to_the_end=True)

    def _copy(self, *, to_the_end: bool = False) -> None:
        if not self.output_path.exists():
            return
        size = self.output_path.stat().st_size
        left_out = max(0, size - self._position - MOST_UNSENT_BYTES)
        with self.output_path.open("rb") as file:
            file.seek(self._position + left_out)
            printed = file.read(MOST_UNSENT_BYTES)
        if left_out:  # whole lines only: a half one might show half of a secret
            left_out += printed.find(b"\n") + 1
            printed = printed[printed.find(b"\n") + 1 :]
        if not to_the_end:
            printed = printed[: printed.rfind(b"\n") + 1]
        self._position += left_out + len(printed)
        if size > MOST_FILE_BYTES:  # its commands go on at the beginning
            os.truncate(self.output_path, 0)
            self._position = 0
        if left_out:
            printed = f"local_aws left out {left_out} bytes here\n".encode() + printed
        if printed and not printed.endswith(b"\n"):
            printed += b"\n"
        self._append(printed)

    def _append(self, written: bytes) -> None:
        for secret in self._secrets:
            written = written.replace(secret, b"***")
        try:
            with self.path.open("ab") as file:
                file.write(written)
        except OSError as err:  # a full disk: the build's own commands tell it, if they meet it
            logger.warning("lines are missing in %s: %s", self.path, err)


def log_names(project: Mapping[str, Any], build_uuid: str) -> tuple[str, str] | None:
    """Group and stream by the project's logsConfig; None where CloudWatch Logs are off."""
    config = project.get("logsConfig", {}).get("cloudWatchLogs", {"status": ENABLED})
    if config["status"] != ENABLED:
        return None
    group = config.get("groupName") or f"/aws/codebuild/{project['name']}"
    prefix = config.get("streamName", "")
    return group, f"{prefix}/{build_uuid}" if prefix else build_uuid
