"""Reads CloudWatch Logs for a person: what a project's jobs, builds and endpoints printed."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from mlops.errors import InputError
from mlops.project.project_stack import ProjectStack

_POLL_SECONDS = 0.5
_BUILDS = "/aws/codebuild/"
_ENDPOINTS = "/aws/sagemaker/Endpoints/"
_JOBS = ("/aws/sagemaker/ProcessingJobs", "/aws/sagemaker/TrainingJobs")
_NEWEST = 50  # streams of a group that are looked at: an account may have thousands


@dataclass(frozen=True, kw_only=True)
class Stream:
    """A log stream, under the name of what printed it."""

    name: str
    group: str
    stream: str
    created: datetime


@dataclass(frozen=True, kw_only=True)
class Line:
    """A line that was printed."""

    group: str
    stream: str
    time: datetime
    message: str


def log_groups(project: ProjectStack) -> list[str]:
    """What the names of a project's log groups begin with; jobs have theirs with all others."""
    builds = f"{_BUILDS}sagemaker-{project.name}-{project.id}"
    return [builds, f"{_ENDPOINTS}{project.name}-", *_JOBS]


def list_streams(logs: Any, groups: list[str]) -> list[Stream]:
    """The newest streams of each group, oldest first."""
    return sorted(_streams(logs, groups), key=lambda each: each.created)


def find_streams(logs: Any, groups: list[str], name: str) -> list[Stream]:
    """Those of the job, endpoint or build whose name begins so; raises InputError if none is."""
    streams = list_streams(logs, groups)
    found = [each for each in streams if each.name.startswith(name)]
    if not found:
        known = ", ".join(sorted({each.name for each in streams})) or "none"
        raise InputError(f"no job, endpoint or build {name!r} has logs; there are: {known}")
    return found


def read_lines(logs: Any, stream: Stream, skip: int = 0) -> list[Line]:
    """What the stream holds after so many lines."""
    return list(_lines(logs, stream))[skip:]


def follow(logs: Any, groups: list[str], name: str, tell: Callable[[Line], None]) -> None:
    """Tell each line, and go on with what comes, until Ctrl-C."""
    told: dict[tuple[str, str], int] = {}
    while True:
        for stream in find_streams(logs, groups, name):
            key = (stream.group, stream.stream)
            for line in read_lines(logs, stream, told.get(key, 0)):
                tell(line)
                told[key] = told.get(key, 0) + 1
        time.sleep(_POLL_SECONDS)


def _name_of(group: str, stream: str) -> str:
    """The job, endpoint or build.

    A job's stream begins with its name, an endpoint's group ends with its. A build's id is
    `<CodeBuild project>:<stream>`; where projects share a group, the stream has a prefix, with
    which the group's name is the project's.
    """
    if group.startswith(_BUILDS):
        prefix, _, identifier = stream.rpartition("/")
        return "-".join(filter(None, (group.removeprefix(_BUILDS), prefix))) + f":{identifier}"
    if group.startswith(_ENDPOINTS):
        return group.rpartition("/")[2]
    return stream.partition("/")[0]


def _streams(logs: Any, prefixes: list[str]) -> Iterator[Stream]:
    for prefix in prefixes:
        pages = logs.get_paginator("describe_log_groups").paginate(logGroupNamePrefix=prefix)
        for group in (each["logGroupName"] for page in pages for each in page["logGroups"]):
            newest = logs.describe_log_streams(
                logGroupName=group, orderBy="LastEventTime", descending=True, limit=_NEWEST
            )
            for found in newest["logStreams"]:
                yield Stream(
                    name=_name_of(group, found["logStreamName"]),
                    group=group,
                    stream=found["logStreamName"],
                    created=_time(found["creationTime"]),
                )


def _lines(logs: Any, stream: Stream) -> Iterator[Line]:
    token: dict[str, str] = {}
    while True:
        page = logs.get_log_events(
            logGroupName=stream.group, logStreamName=stream.stream, startFromHead=True, **token
        )
        for event in page["events"]:
            yield Line(
                group=stream.group,
                stream=stream.stream,
                time=_time(event["timestamp"]),
                message=str(event["message"]).rstrip("\n"),
            )
        if page["nextForwardToken"] == token.get("nextToken"):
            return
        token = {"nextToken": page["nextForwardToken"]}


def _time(milliseconds: int) -> datetime:
    return datetime.fromtimestamp(milliseconds / 1000, UTC).astimezone()
