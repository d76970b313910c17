"""Logs, read for a person."""

from __future__ import annotations

import time

import pytest

from mlops.errors import InputError
from local_aws.log_reader import list_logs, print_logs


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


def test_jobs_endpoints_and_builds_are_listed_by_their_names(logs, capsys):
    list_logs(logs)

    names = [line.split()[1] for line in capsys.readouterr().out.splitlines()]
    assert {
        "read-train-1",
        "read-endpoint",
        "read-builds:8c4e-1",
        "read-project-testing:9d5f-1",
    } <= set(names)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("read-train", "read-train-1/algo-1-170000"),
        ("read-endpoint", "AllTraffic/i-1"),
        ("read-builds:8c4e", "8c4e-1"),
    ],
)
def test_all_that_one_printed_is_printed_in_order(logs, name, expected, capsys):
    print_logs(logs, name)

    heading, *messages = capsys.readouterr().out.splitlines()
    assert expected in heading
    assert messages == [f"{expected} {n}" for n in range(3)]


def test_an_unknown_name_lists_those_there_are(logs):
    told = "no job, endpoint or build 'nonsense' has logs; there are: .*read-train-1"
    with pytest.raises(InputError, match=told):
        print_logs(logs, "nonsense")
