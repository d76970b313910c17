"""Retry policies: which failures they cover, how long they wait, when they give up."""

from __future__ import annotations

from typing import Any

import pytest

from local_aws.sagemaker.pipelines.retry import (
    CAPACITY_ERROR,
    JOB_INTERNAL_ERROR,
    RESOURCE_LIMIT,
    SERVICE_FAULT,
    THROTTLING,
    Retries,
    RetryPolicy,
    exception_type_of_error,
    exception_type_of_failure,
    problems_of,
)


def policy(*types: str, **members: Any) -> RetryPolicy:
    document = {"ExceptionType": list(types), **members}
    assert list(problems_of(document)) == []
    return RetryPolicy.from_definition(document)


@pytest.mark.parametrize(
    ("code", "status", "expected"),
    [
        ("ThrottlingException", 400, THROTTLING),
        ("ResourceLimitExceeded", 400, RESOURCE_LIMIT),
        ("InternalFailure", 500, SERVICE_FAULT),
        ("ServiceUnavailable", 503, SERVICE_FAULT),
        ("ValidationException", 400, None),
        ("ResourceInUse", 400, None),
    ],
)
def test_type_of_an_aws_error(code: str, status: int, expected: str | None) -> None:
    assert exception_type_of_error(code, status) == expected


@pytest.mark.parametrize(
    ("reason", "expected"),
    [
        ("InternalServerError: We encountered an internal error.", JOB_INTERNAL_ERROR),
        ("CapacityError: Unable to provision requested ML compute capacity.", CAPACITY_ERROR),
        ("AlgorithmError: CapacityError in my script, exit code: 1", None),
        ("", None),
    ],
)
def test_type_of_a_failure_reason(reason: str, expected: str | None) -> None:
    assert exception_type_of_failure(reason) == expected


def test_waits_grow_by_the_backoff_rate_until_the_attempts_are_used_up() -> None:
    retries = Retries([policy(THROTTLING, IntervalSeconds=10, BackoffRate=3.0, MaxAttempts=3)])
    assert [retries.after_failure(THROTTLING, 0) for _ in range(4)] == [10, 30, 90, None]


def test_failure_that_no_policy_names_is_not_retried() -> None:
    retries = Retries([policy(THROTTLING, MaxAttempts=3)])
    assert retries.after_failure(CAPACITY_ERROR, 0) is None
    assert retries.after_failure(None, 0) is None


def test_each_policy_counts_its_own_attempts() -> None:
    retries = Retries([policy(THROTTLING, MaxAttempts=1), policy(CAPACITY_ERROR, MaxAttempts=1)])
    assert retries.after_failure(THROTTLING, 0) == 1
    assert retries.after_failure(CAPACITY_ERROR, 0) == 1
    assert retries.after_failure(THROTTLING, 0) is None


def test_no_attempt_begins_after_the_policy_expires() -> None:
    retries = Retries([policy(CAPACITY_ERROR, IntervalSeconds=30, ExpireAfterMin=2)])
    assert retries.after_failure(CAPACITY_ERROR, 60) == 30
    assert retries.after_failure(CAPACITY_ERROR, 61) is None


def test_defaults_are_those_of_aws() -> None:
    retries = Retries([policy(THROTTLING)])
    assert [retries.after_failure(THROTTLING, 0) for _ in range(6)] == [1, 2, 4, 8, 16, None]


@pytest.mark.parametrize(
    ("document", "problem"),
    [
        ("x", "a retry policy is an object, not 'x'"),
        ({"MaxAttempts": 1}, "a retry policy has no ExceptionType list"),
        (
            {"ExceptionType": [THROTTLING], "MaxAttempts": 21},
            "MaxAttempts of a retry policy is 21, not a number from 1 to 20",
        ),
        (
            {"ExceptionType": [THROTTLING], "IntervalSeconds": "1"},
            "IntervalSeconds of a retry policy is '1', not a number from 0 to 864000",
        ),
    ],
)
def test_malformed_policy_is_explained(document: Any, problem: str) -> None:
    assert list(problems_of(document)) == [problem]


def test_unknown_exception_type_is_named() -> None:
    (problem,) = problems_of({"ExceptionType": ["Step.SLOW"]})
    assert problem.startswith("unknown ExceptionType 'Step.SLOW'; there are Step.SERVICE_FAULT, ")
