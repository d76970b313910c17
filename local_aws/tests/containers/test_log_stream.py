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


def test_a_file_that_a_server_fills_keeps_its_newest_lines(logs: Any, tmp_path: Path) -> None:
    name, path = uuid.uuid4().hex, tmp_path / "log"
    stream, number = LogStream(logs, GROUP, name, path), 0
    with path.open("ab", buffering=0) as server:  # as a process's output is opened
        for _ in range(40):  # 40 MB, of which the last 4 come after the last cut
            server.write(b"".join(b"%08d %s\n" % (number + n, b"x" * 990) for n in range(1000)))
            number += 1000
            stream.send()
        server.write(b"the end\n")
    stream.send(to_the_end=True)

    assert path.stat().st_size < 18 << 20
    lines = path.read_text().splitlines()
    assert lines[0].startswith("local_aws dropped what stood before: ")
    assert [int(line.split()[0]) for line in lines[1:-1]][-1] == number - 1
    sent = messages(logs, name)
    assert sent[0].startswith("local_aws dropped the ")
    assert sent[-1] == "the end"
    numbers = [int(message.split()[0]) for message in sent[1:-1]]
    assert numbers == list(range(numbers[0], number))  # none is missing, none came twice


def test_what_comes_faster_than_it_is_sent_is_left_out_by_a_line(logs: Any, tmp_path: Path) -> None:
    name, path = uuid.uuid4().hex, tmp_path / "log"
    path.write_bytes(b"x" * 99 + b"\n")
    with path.open("ab") as file:
        file.writelines(b"%08d %s\n" % (number, b"x" * 990) for number in range(10_000))

    stream = LogStream(logs, GROUP, name, path)
    stream.send()

    sent = messages(logs, name)
    assert any(message.startswith("local_aws left out ") for message in sent[:2])
    assert sent[-1].startswith("00009999 ")
