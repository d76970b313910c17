"""The log of one build: a file, and from there CloudWatch Logs while the build runs."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from local_aws.containers.log_stream import LogStream

ENABLED = "ENABLED"


class BuildLog:
    """Lines of CodeBuild's own, as AWS writes them, among what the commands print."""

    def __init__(self, path: Path, stream: LogStream | None) -> None:
        self.path = path
        self._stream = stream
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()

    def write(self, text: str) -> None:
        """Add a line of CodeBuild's own."""
        moment = datetime.now(UTC)
        with self.path.open("ab") as file:
            file.write(f"[Container] {moment:%Y/%m/%d %H:%M:%S.%f} {text}\n".encode())

    def send(self) -> None:
        """Send whole lines that are new."""
        if self._stream is not None:
            self._stream.send()

    def close(self) -> None:
        """Send the rest."""
        if self._stream is not None:
            self._stream.send(to_the_end=True)


def log_names(project: Mapping[str, Any], build_uuid: str) -> tuple[str, str] | None:
    """Group and stream by the project's logsConfig; None where CloudWatch Logs are off."""
    config = project.get("logsConfig", {}).get("cloudWatchLogs", {"status": ENABLED})
    if config["status"] != ENABLED:
        return None
    group = config.get("groupName") or f"/aws/codebuild/{project['name']}"
    prefix = config.get("streamName", "")
    return group, f"{prefix}/{build_uuid}" if prefix else build_uuid
