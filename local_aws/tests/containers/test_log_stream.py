"""A job's log file in CloudWatch Logs."""

from __future__ import annotations

import logging
import uuid
from pathlib import Path
from typing import Any

import pytest

from local_aws.containers.log_stream import LogStream
from local_aws.gateway import Gateway

GROUP = "/aws/sagemaker/TrainingJobs"


@pytest.fixture(scope="module")
def logs(gateway: Gateway) -> Any:
    return gateway.own.client("logs")


def messages(logs: Any, stream: str) -> list[str]:
    answer = logs.get_log_events(logGroupName=GROUP, logStreamName=stream, startFromHead=True)
    return [event["message"] for event in answer["events"]]


def test_lines_are_sent_once_they_are_complete(logs: Any, tmp_path: Path) -> None:
    name, path = uuid.uuid4().hex, tmp_path / "log"
    stream = LogStream(logs, GROUP, name, path)
    stream.send()
    path.write_text("one\n\ntw")
    stream.send()
    assert messages(logs, name) == ["one"]
    with path.open("a") as file:
        file.write("o\nthree")
    stream.send()
    assert messages(logs, name) == ["one", "two"]
    stream.send(to_the_end=True)
    assert messages(logs, name) == ["one", "two", "three"]


def test_more_than_one_call_takes_is_sent_in_batches(logs: Any, tmp_path: Path) -> None:
    name, path = uuid.uuid4().hex, tmp_path / "log"
    path.write_text("".join(f"{number}\n" for number in range(10_001)) + "x" * 600_000)
    LogStream(logs, GROUP, name, path).send(to_the_end=True)
    streams = logs.describe_log_streams(logGroupName=GROUP, logStreamNamePrefix=name)
    assert len(streams["logStreams"]) == 1
    page = logs.get_log_events(logGroupName=GROUP, logStreamName=name, startFromHead=False)
    lengths = [len(event["message"]) for event in page["events"]][-3:]
    assert lengths == [250_000, 250_000, 100_000]


def test_bytes_that_are_no_text_do_not_matter(logs: Any, tmp_path: Path) -> None:
    name, path = uuid.uuid4().hex, tmp_path / "log"
    path.write_bytes(b"caf\xe9\n")
    LogStream(logs, GROUP, name, path).send()
    assert messages(logs, name) == ["caf\N{REPLACEMENT CHARACTER}"]


def test_logs_that_are_refused_are_a_warning_not_a_failure(
    logs: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "log"
    path.write_text("one\n")
    stream = LogStream(logs, "x" * 600, "stream", path)
    with caplog.at_level(logging.WARNING):
        stream.send()
        stream.send(to_the_end=True)
    assert [record.message[:31] for record in caplog.records] == ["no CloudWatch Logs for stream: "]
