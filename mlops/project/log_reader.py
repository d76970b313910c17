"""Reads CloudWatch Logs for a person: what jobs, endpoints and builds printed."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from local_aws.errors import UsageError

_POLL_SECONDS = 0.5
_BUILDS = "/aws/codebuild/"


def list_logs(logs: Any) -> None:
    """Print each stream with its group, oldest first."""
    streams = sorted(_streams(logs), key=lambda stream: stream[2])
    if not streams:
        print("no job, endpoint or build has printed anything yet")
    for group, stream, created in streams:
        print(f"{created:%H:%M:%S}  {_name_of(group, stream)}  ({group})")


def print_logs(logs: Any, name: str) -> None:
    """Print all streams whose job, endpoint or build starts with `name`.

    Raises UsageError if there is none.
    """
    for group, stream, _ in _matching(logs, name):
        print(f"==> {group} {stream} <==")
        for message in _messages(logs, group, stream):
            print(message)


def follow_logs(logs: Any, name: str) -> None:
    """Print them, and go on with what comes, until Ctrl-C."""
    printed: dict[tuple[str, str], int] = {}
    _matching(logs, name)
    while True:
        for group, stream, _ in _matching(logs, name):
            done = printed.get((group, stream), 0)
            messages = list(_messages(logs, group, stream))
            for message in messages[done:]:
                print(message, flush=True)
            printed[group, stream] = len(messages)
        time.sleep(_POLL_SECONDS)


def _matching(logs: Any, name: str) -> list[tuple[str, str, datetime]]:
    streams = sorted(_streams(logs), key=lambda stream: stream[2])
    found = [
        (group, stream, created)
        for group, stream, created in streams
        if _name_of(group, stream).startswith(name)
    ]
    if not found:
        known = (
            ", ".join(sorted({_name_of(group, stream) for group, stream, _ in streams})) or "none"
        )
        raise UsageError(f"no job, endpoint or build {name!r} has logs; there are: {known}")
    return found


def _name_of(group: str, stream: str) -> str:
    """The job, endpoint or build.

    The stream's name begins with the job's, the group's ends with the endpoint's. A build's id is
    `<CodeBuild project>:<stream>`; where projects share a group, the stream has a prefix, with
    which the group's name is the project's.
    """
    if group.startswith(_BUILDS):
        prefix, _, identifier = stream.rpartition("/")
        return "-".join(filter(None, (group.removeprefix(_BUILDS), prefix))) + f":{identifier}"
    if group.startswith("/aws/sagemaker/Endpoints/"):
        return group.rpartition("/")[2]
    return stream.partition("/")[0]


def _streams(logs: Any) -> Iterator[tuple[str, str, datetime]]:
    for groups in logs.get_paginator("describe_log_groups").paginate():
        for group in groups["logGroups"]:
            name = group["logGroupName"]
            for page in logs.get_paginator("describe_log_streams").paginate(logGroupName=name):
                for stream in page["logStreams"]:
                    created = datetime.fromtimestamp(
                        stream["creationTime"] / 1000, UTC
                    ).astimezone()
                    yield name, stream["logStreamName"], created


def _messages(logs: Any, group: str, stream: str) -> Iterator[str]:
    token: dict[str, str] = {}
    while True:
        page = logs.get_log_events(
            logGroupName=group, logStreamName=stream, startFromHead=True, **token
        )
        for event in page["events"]:
            yield event["message"]
        if not page["events"] or page["nextForwardToken"] == token.get("nextToken"):
            return
        token = {"nextToken": page["nextForwardToken"]}
