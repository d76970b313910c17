"""CloudWatch Logs' events on disk: bounded, and out of memory."""

from __future__ import annotations

import gc
import time
import tracemalloc
import uuid
from pathlib import Path
from typing import Any

import pytest
from moto.logs.models import LogEvent

from local_aws.gateway import Gateway
from local_aws.log_events import MOST_STREAM_BYTES

GROUP = "/aws/sagemaker/Endpoints/tested"


@pytest.fixture(scope="module")
def logs(gateway: Gateway) -> Any:
    client = gateway.own.client("logs")
    client.create_log_group(logGroupName=GROUP)
    return client


@pytest.fixture
def stream(logs: Any) -> dict[str, str]:
    names = {"logGroupName": GROUP, "logStreamName": uuid.uuid4().hex}
    logs.create_log_stream(**names)
    return names


def files(gateway: Gateway) -> list[Path]:
    return list((gateway.own.state_dir / "log-events").iterdir())


def put(logs: Any, stream: dict[str, str], *messages: str) -> None:
    now = int(time.time() * 1000)
    events = [{"timestamp": now, "message": message} for message in messages]
    logs.put_log_events(**stream, logEvents=events)


def test_events_are_read_back_in_pages_filtered_and_described(
    logs: Any, stream: dict[str, str]
) -> None:
    put(logs, stream, "one", "two", "caf\N{LATIN SMALL LETTER E WITH ACUTE}")
    put(logs, stream, "four")

    first = logs.get_log_events(**stream, startFromHead=True, limit=3)
    token = first["nextForwardToken"]
    second = logs.get_log_events(**stream, startFromHead=True, nextToken=token)
    third = logs.get_log_events(**stream, startFromHead=True, nextToken=second["nextForwardToken"])
    found = logs.filter_log_events(
        logGroupName=GROUP, logStreamNames=[stream["logStreamName"]], filterPattern="two"
    )["events"]
    (described,) = logs.describe_log_streams(
        logGroupName=GROUP, logStreamNamePrefix=stream["logStreamName"]
    )["logStreams"]

    assert [event["message"] for event in first["events"]][:2] == ["one", "two"]
    assert [event["message"] for event in second["events"]] == ["four"]
    assert third["events"] == []
    assert [event["message"] for event in found] == ["two"]
    assert described["firstEventTimestamp"] <= described["lastEventTimestamp"]


def test_a_stream_keeps_its_newest_lines_and_says_how_many_are_gone(
    logs: Any, stream: dict[str, str], gateway: Gateway
) -> None:
    known = set(files(gateway))
    tracemalloc.start()
    put(logs, stream, "00000000 warm")
    gc.collect()
    memory, _ = tracemalloc.get_traced_memory()
    number = 1
    for _ in range(60):  # 54 MB
        put(logs, stream, *(f"{number + each:08d} {'x' * 990}" for each in range(900)))
        number += 900
    gc.collect()
    grown = tracemalloc.get_traced_memory()[0] - memory
    tracemalloc.stop()

    page = logs.get_log_events(**stream, startFromHead=True)["events"]
    messages = [event["message"] for event in page]
    kept = [int(message.split()[0]) for message in messages[1:]]
    assert kept == list(range(number - len(kept), number))
    gone = number - len(kept)
    assert (
        messages[0] == f"local_aws dropped the {gone} oldest lines: a stream keeps its newest 4 MiB"
    )
    (file,) = set(files(gateway)) - known
    assert file.stat().st_size < MOST_STREAM_BYTES
    assert not [each for each in gc.get_objects() if isinstance(each, LogEvent)]
    assert grown < 5e6, f"{grown} bytes"


def test_who_reads_on_misses_nothing_that_is_kept(logs: Any, stream: dict[str, str]) -> None:
    put(logs, stream, *(f"{each:08d} {'x' * 990}" for each in range(900)))
    page = logs.get_log_events(**stream, startFromHead=True)
    for number in range(900, 4500, 900):
        put(logs, stream, *(f"{number + each:08d} {'x' * 990}" for each in range(900)))
        assert len(page["events"]) >= 900
        page = logs.get_log_events(**stream, startFromHead=True, nextToken=page["nextForwardToken"])
        read = [int(event["message"].split()[0]) for event in page["events"]]
        assert read == list(range(number, number + 900))


def test_a_deleted_stream_leaves_no_file(
    logs: Any, stream: dict[str, str], gateway: Gateway
) -> None:
    known = set(files(gateway))
    put(logs, stream, "here")
    (file,) = set(files(gateway)) - known

    logs.delete_log_stream(**stream)
    gc.collect()

    assert not file.exists()
