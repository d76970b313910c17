"""Which events a pattern matches, by the operators that EventBridge documents."""

from __future__ import annotations

import json

import pytest
from botocore.exceptions import ClientError

from local_aws.events.patterns import parse_pattern

EVENT = {
    "id": "e-1",
    "detail-type": "CodeCommit Repository State Change",
    "source": "aws.codecommit",
    "account": "123456789012",
    "time": "2026-11-02T12:00:00Z",
    "region": "us-east-1",
    "resources": ["arn:aws:codecommit:us-east-1:123456789012:mine"],
    "detail": {
        "event": "referenceUpdated",
        "referenceName": "main",
        "size": 66.1,
        "count": 3,
        "dry": False,
        "nothing": None,
        "address": "10.0.0.7",
        "changedPaths": ["release/deploy.json", "README.md"],
        "nested": {"state": "FAILED"},
        "actions": [{"name": "Build", "state": "FAILED"}, {"name": "Test", "state": "STARTED"}],
    },
}


def _matches(pattern):
    return parse_pattern(json.dumps(pattern)).matches(EVENT)


@pytest.mark.parametrize(
    ("detail", "expected"),
    [
        ({"event": ["referenceCreated", "referenceUpdated"]}, True),
        ({"event": ["referenceCreated"]}, False),
        ({"event": ["referenceUpdated"], "referenceName": ["dev"]}, False),
        ({"nested": {"state": ["FAILED"]}}, True),
        ({"nested": {"other": ["FAILED"]}}, False),
        ({"count": [3]}, True),
        ({"count": ["3"]}, False),
        ({"dry": [False]}, True),
        ({"nothing": [None]}, True),
        ({"changedPaths": ["README.md"]}, True),
        ({"changedPaths": ["setup.py"]}, False),
        ({"event": [{"prefix": "reference"}]}, True),
        ({"event": [{"prefix": "Reference"}]}, False),
        ({"event": [{"prefix": {"equals-ignore-case": "REF"}}]}, True),
        ({"changedPaths": [{"prefix": "release/"}]}, True),
        ({"changedPaths": [{"prefix": "train/"}]}, False),
        ({"changedPaths": [{"suffix": ".md"}]}, True),
        ({"event": [{"suffix": {"equals-ignore-case": "UPDATED"}}]}, True),
        ({"event": [{"suffix": "Created"}]}, False),
        ({"event": [{"equals-ignore-case": "REFERENCEUPDATED"}]}, True),
        ({"event": [{"equals-ignore-case": "reference"}]}, False),
        ({"event": [{"wildcard": "ref*ted"}]}, True),
        ({"event": [{"wildcard": "ref*Created"}]}, False),
        ({"changedPaths": [{"wildcard": "*/deploy.json"}]}, True),
        ({"event": [{"anything-but": "referenceDeleted"}]}, True),
        ({"event": [{"anything-but": ["referenceUpdated", "referenceDeleted"]}]}, False),
        ({"count": [{"anything-but": [1, 2]}]}, True),
        ({"referenceName": [{"anything-but": {"prefix": "release/"}}]}, True),
        ({"referenceName": [{"anything-but": {"prefix": ["ma", "rel"]}}]}, False),
        ({"referenceName": [{"anything-but": {"suffix": "in"}}]}, False),
        ({"referenceName": [{"anything-but": {"equals-ignore-case": ["MAIN"]}}]}, False),
        ({"referenceName": [{"anything-but": {"wildcard": "m*n"}}]}, False),
        ({"absent": [{"anything-but": "x"}]}, False),
        ({"event": [{"exists": True}]}, True),
        ({"absent": [{"exists": True}]}, False),
        ({"absent": [{"exists": False}]}, True),
        ({"nothing": [{"exists": False}]}, False),
        ({"size": [{"numeric": [">", 66, "<=", 66.1]}]}, True),
        ({"size": [{"numeric": ["=", 66]}]}, False),
        ({"event": [{"numeric": [">", 0]}]}, False),
        ({"address": [{"cidr": "10.0.0.0/24"}]}, True),
        ({"address": [{"cidr": "10.1.0.0/24"}]}, False),
        ({"event": ["x", {"prefix": "ref"}]}, True),
        ({"$or": [{"event": ["x"]}, {"count": [{"numeric": [">", 2]}]}]}, True),
        ({"$or": [{"event": ["x"]}, {"count": [{"numeric": [">", 3]}]}]}, False),
        ({"referenceName": ["dev"], "$or": [{"count": [3]}, {"count": [4]}]}, False),
        ({"actions": {"name": ["Build"], "state": ["FAILED"]}}, True),
        ({"actions": {"name": ["Build"], "state": ["STARTED"]}}, False),
    ],
)
def test_a_pattern_matches_as_documented(detail, expected):
    assert _matches({"detail": detail}) is expected


def test_the_envelope_is_matched_too():
    matching = {
        "source": [{"prefix": "aws."}],
        "detail-type": ["CodeCommit Repository State Change"],
        "resources": EVENT["resources"],
    }

    assert _matches(matching)
    assert not _matches({**matching, "resources": ["arn:aws:s3:::other"]})


@pytest.mark.parametrize(
    ("pattern", "reason"),
    [
        ('{"source": ["x"]', "Invalid JSON"),
        ('["x"]', "Filter is not an object"),
        ("{}", "Empty event pattern"),
        ('{"source": "x"}', '"source" must be an object or an array'),
        ('{"source": []}', "Empty arrays are not allowed"),
        ('{"detail": {}}', "Empty objects are not allowed"),
        ('{"source": [["x"]]}', "Match value must be String, number, true, false, or null"),
        ('{"source": [{"regex": ".*"}]}', "Unrecognized match type regex"),
        ('{"source": [{"prefix": "a", "suffix": "b"}]}', "Only one key allowed"),
        ('{"source": [{"prefix": 1}]}', "prefix match pattern must be a string"),
        ('{"source": [{"prefix": {"wildcard": "x"}}]}', "prefix match pattern must be a string"),
        ('{"source": [{"suffix": ""}]}', "suffix match pattern must be a string"),
        ('{"source": [{"wildcard": "a**b"}]}', "Consecutive wildcard characters at pos 1"),
        ('{"source": [{"exists": "yes"}]}', "exists match pattern must be either true or false"),
        ('{"source": [{"numeric": [">"]}]}', "Value of numeric must be an array"),
        ('{"source": [{"numeric": ["!=", 1]}]}', "Unrecognized numeric range operator: !="),
        ('{"source": [{"numeric": [">", "1"]}]}', "Value of > must be numeric"),
        ('{"source": [{"cidr": "10.0.0.0/99"}]}', "Malformed CIDR"),
        ('{"source": [{"anything-but": {"numeric": [">", 1]}}]}', "anything-but pattern: numeric"),
        ('{"source": [{"anything-but": [true]}]}', "Inside anything-but list"),
        ('{"source": [{"anything-but": []}]}', "Empty arrays are not allowed"),
        ('{"$or": [{"source": ["x"]}]}', "at least 2 Objects in .or relationship"),
        ('{"$or": [{"source": ["x"]}, ["y"]]}', "Only objects are allowed in .or"),
    ],
)
def test_patterns_that_aws_refuses_are_refused_by_name(account, pattern, reason):
    with pytest.raises(
        ClientError, match=f"Event pattern is not valid. Reason: .*{reason}"
    ) as told:
        account.events.put_rule(Name="refused", EventPattern=pattern)

    assert told.value.response["Error"]["Code"] == "InvalidEventPatternException"
