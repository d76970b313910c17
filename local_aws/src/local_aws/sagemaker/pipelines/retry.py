"""When a failed step is tried again.

    an AWS error, a job's failure reason ──exception_type_of_…──▶ "SageMaker.CAPACITY_ERROR"
    that and the step's RetryPolicies ──Retries.after_failure──▶ seconds to wait, or None

Source: "Retry Policy for Pipeline Steps" in the SageMaker AI Developer Guide. AWS also retries
Step.SERVICE_FAULT and Step.THROTTLING without being asked. Here only a policy makes a step run
again: on one machine such an error repeats itself.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

SERVICE_FAULT = "Step.SERVICE_FAULT"
THROTTLING = "Step.THROTTLING"
JOB_INTERNAL_ERROR = "SageMaker.JOB_INTERNAL_ERROR"
CAPACITY_ERROR = "SageMaker.CAPACITY_ERROR"
RESOURCE_LIMIT = "SageMaker.RESOURCE_LIMIT"
EXCEPTION_TYPES = (
    SERVICE_FAULT,
    THROTTLING,
    JOB_INTERNAL_ERROR,
    CAPACITY_ERROR,
    RESOURCE_LIMIT,
)
_MAX_ATTEMPTS_CAP = 20
_THROTTLING_CODES = ("Throttling", "ThrottlingException", "TooManyRequestsException", "SlowDown")


@dataclass(frozen=True, kw_only=True)
class RetryPolicy:
    """One entry of a step's RetryPolicies, with AWS's defaults."""

    exception_types: tuple[str, ...]
    interval_seconds: float = 1.0
    backoff_rate: float = 2.0
    max_attempts: int = 5
    expire_after_minutes: float | None = None

    @classmethod
    def from_definition(cls, policy: Mapping[str, Any]) -> RetryPolicy:
        """The policy of a definition that `problems_of` found nothing wrong with."""
        expires = policy.get("ExpireAfterMin")
        return cls(
            exception_types=tuple(policy["ExceptionType"]),
            interval_seconds=float(policy.get("IntervalSeconds", 1)),
            backoff_rate=float(policy.get("BackoffRate", 2.0)),
            max_attempts=int(policy.get("MaxAttempts", _MAX_ATTEMPTS_CAP if expires else 5)),
            expire_after_minutes=None if expires is None else float(expires),
        )


@dataclass
class Retries:
    """The retries of one step in one execution: each policy counts its own."""

    policies: Sequence[RetryPolicy]
    _used: Counter[RetryPolicy] = field(default_factory=Counter)

    def after_failure(self, exception_type: str | None, seconds_since_start: float) -> float | None:
        """Seconds to wait before the next attempt, or None if there is none."""
        for policy in self.policies:
            if exception_type not in policy.exception_types:
                continue
            used = self._used[policy]
            delay = policy.interval_seconds * policy.backoff_rate**used
            if used >= policy.max_attempts or _expired(policy, seconds_since_start + delay):
                continue
            self._used[policy] += 1
            return delay
        return None


def exception_type_of_error(code: str, status: int) -> str | None:
    """The type of an AWS error answer to a Create call; None if no retry could help."""
    if code in _THROTTLING_CODES:
        return THROTTLING
    if code == "ResourceLimitExceeded":
        return RESOURCE_LIMIT
    if "CapacityError" in code or code == "InsufficientCapacityError":
        return CAPACITY_ERROR
    return SERVICE_FAULT if status >= 500 else None


def exception_type_of_failure(failure_reason: str) -> str | None:
    """The type of a job's FailureReason; None if the job itself is at fault (AlgorithmError)."""
    kind = failure_reason.partition(":")[0].strip()
    if kind == "InternalServerError":
        return JOB_INTERNAL_ERROR
    if kind in ("CapacityError", "InsufficientCapacityError"):
        return CAPACITY_ERROR
    return RESOURCE_LIMIT if kind in ("ResourceLimit", "ResourceLimitExceeded") else None


def problems_of(policy: Any) -> Iterator[str]:
    """What is wrong with one entry of RetryPolicies; nothing if it is fine."""
    if not isinstance(policy, Mapping):
        yield f"a retry policy is an object, not {policy!r}"
        return
    types = policy.get("ExceptionType")
    if not isinstance(types, list) or not types:
        yield "a retry policy has no ExceptionType list"
    else:
        for unknown in [name for name in types if name not in EXCEPTION_TYPES]:
            yield f"unknown ExceptionType {unknown!r}; there are {', '.join(EXCEPTION_TYPES)}"
    for name, low, high in (
        ("IntervalSeconds", 0, 14400 * 60),
        ("BackoffRate", 0, 1000),
        ("MaxAttempts", 1, _MAX_ATTEMPTS_CAP),
        ("ExpireAfterMin", 0, 14400),
    ):
        value = policy.get(name, low)
        if (
            isinstance(value, bool)
            or not isinstance(value, int | float)
            or not low <= value <= high
        ):
            yield f"{name} of a retry policy is {value!r}, not a number from {low} to {high}"


def _expired(policy: RetryPolicy, seconds: float) -> bool:
    return policy.expire_after_minutes is not None and seconds > policy.expire_after_minutes * 60
