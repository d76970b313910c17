"""Step caching: an earlier success of a step with the same arguments stands in for a new run.

As on AWS the key holds what goes into a job (not the contents of its S3 inputs), only successes of
the same pipeline count, the most recent one wins, and nobody checks that its output is still there:
whoever deletes a step's output and starts the pipeline again gets a cache hit with an empty S3 URI.

Source: "Caching pipeline steps", "Default cache key attributes by pipeline step type".
"""

from __future__ import annotations

import datetime
import hashlib
import json
import re
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

_KEY_ARGUMENTS = {
    "Processing": ("AppSpecification", "Environment", "ProcessingInputs"),
    "Training": (
        "AlgorithmSpecification",
        "CheckpointConfig",
        "DebugHookConfig",
        "DebugRuleConfigurations",
        "Environment",
        "HyperParameters",
        "InputDataConfig",
    ),
}
# ISO 8601, and the forms without P and in lower case that AWS documents: 30d, T16m, 30dT5h.
_DURATION = re.compile(
    r"P?(?:(?P<years>\d+)Y)?(?:(?P<months>\d+)M)?(?:(?P<weeks>\d+)W)?(?:(?P<days>\d+)D)?"
    r"(?:T(?:(?P<hours>\d+)H)?(?:(?P<minutes>\d+)M)?(?:(?P<seconds>\d+)S)?)?",
    re.IGNORECASE,
)
_DAYS = {"years": 365, "months": 30, "weeks": 7, "days": 1}


@dataclass(frozen=True, kw_only=True)
class CachedStep:
    """A step that succeeded: where, when, and what its job's description was."""

    execution_arn: str
    ended: datetime.datetime
    properties: Mapping[str, Any]
    metadata: Mapping[str, Any]


class StepCache:
    """Successful steps by pipeline, step and arguments. Safe to use from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._steps: dict[str, CachedStep] = {}

    def find(
        self, key: str, expire_after: datetime.timedelta, now: datetime.datetime
    ) -> CachedStep | None:
        """The most recent success under `key` that is not older than `expire_after`."""
        with self._lock:
            found = self._steps.get(key)
        return found if found is not None and now - found.ended <= expire_after else None

    def store(self, key: str, step: CachedStep) -> None:
        """Keep `step` as the most recent success under `key`."""
        with self._lock:
            self._steps[key] = step


def cache_key(
    pipeline_arn: str, step_name: str, step_type: str, arguments: Mapping[str, Any]
) -> str:
    """The digest of what makes two runs of a step the same; `arguments` are resolved."""
    relevant = {name: arguments.get(name) for name in _KEY_ARGUMENTS[step_type]}
    text = json.dumps([pipeline_arn, step_name, step_type, relevant], sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()


def parse_duration(text: str) -> datetime.timedelta:
    """The duration in ExpireAfter; a month counts 30 days, a year 365. Raises ValueError."""
    match = _DURATION.fullmatch(text.strip())
    amounts = (
        {unit: int(amount) for unit, amount in match.groupdict().items() if amount} if match else {}
    )
    if not amounts:
        raise ValueError(
            f"{text!r} is not a duration; write it as in ISO 8601, such as P30D, PT1H or P4DT12H"
        )
    days = sum(_DAYS[unit] * amount for unit, amount in amounts.items() if unit in _DAYS)
    clock = {unit: amount for unit, amount in amounts.items() if unit not in _DAYS}
    return datetime.timedelta(days=days, **clock)
