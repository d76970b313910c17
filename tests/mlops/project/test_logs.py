"""Logs, read for a person."""

from __future__ import annotations

import time

import pytest

from mlops.errors import InputError
from mlops.project.logs import find_streams, list_streams, read_lines


@pytest.fixture(scope="module")
def logs(gateway):
    client = gateway.own.client("logs")
    for group, stream in (
        ("/aws/sagemaker/TrainingJobs", "read-train-1/algo-1-170000"),
        ("/aws/sagemaker/Endpoints/read-endpoint", "AllTraffic/i-1"),
        ("/aws/codebuild/read-builds", "8c4e-1"),
        ("/aws/codebuild/read-project", "testing/9d5f-1"),
    ):
        if not client.describe_log_groups(logGroupNamePrefix=group)["logGroups"]:
            client.create_log_group(logGroupName=group)
        client.create_log_stream(logGroupName=group, logStreamName=stream)
        now = int(time.time() * 1000)
        client.put_log_events(
            logGroupName=group,
            logStreamName=stream,
            logEvents=[{"timestamp": now, "message": f"{stream} {n}"} for n in range(3)],
        )
    return client


GROUPS = ["/aws/codebuild/read-", "/aws/sagemaker/Endpoints/read-", "/aws/sagemaker/TrainingJobs"]


def test_jobs_endpoints_and_builds_are_listed_by_their_names(logs):
    assert {
        "read-train-1",
        "read-endpoint",
        "read-builds:8c4e-1",
        "read-project-testing:9d5f-1",
    } == {stream.name for stream in list_streams(logs, GROUPS)}


def test_of_other_projects_nothing_is_listed(logs):
    groups = ["/aws/codebuild/other-", "/aws/sagemaker/Endpoints/other-"]
    assert list_streams(logs, groups) == []


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("read-train", "read-train-1/algo-1-170000"),
        ("read-endpoint", "AllTraffic/i-1"),
        ("read-builds:8c4e", "8c4e-1"),
    ],
)
def test_all_that_one_printed_is_read_in_order(logs, name, expected):
    (stream,) = find_streams(logs, GROUPS, name)

    assert stream.stream == expected
    lines = [line.message for line in read_lines(logs, stream)]
    assert lines == [f"{expected} {n}" for n in range(3)]
    assert [line.message for line in read_lines(logs, stream, skip=2)] == [f"{expected} 2"]


def test_an_unknown_name_lists_those_there_are(logs):
    told = "no job, endpoint or build 'nonsense' has logs; there are: .*read-train-1"
    with pytest.raises(InputError, match=told):
        find_streams(logs, GROUPS, "nonsense")
