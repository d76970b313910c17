"""Calls of targets in worker threads: tried again where that can help, then the dead-letter queue.

AWS tries for a day and up to 185 times; here nobody waits that long. What a second try can't help
(a refused call, a role that can't be assumed) goes to the dead-letter queue at once, as on AWS.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError, ParamValidationError

from local_aws.errors import AwsError
from local_aws.events.target_input import InputError
from local_aws.events.targets import Invocation, call_target, error_of, send_to_queue
from local_aws.own_aws import OwnAws
from local_aws.workers import WorkerPool

logger = logging.getLogger(__name__)

_WORKERS = 8
_PAUSES_SECONDS = (0.2, 0.5, 1.0)
_CLOSE_SECONDS = 5.0
_THROTTLED = frozenset(
    {"Throttling", "ThrottlingException", "TooManyRequestsException", "RequestLimitExceeded"}
)


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What became of a delivery; `code` and `reason` are empty if it succeeded."""

    answer: Mapping[str, Any]
    retries: int
    code: str = ""
    reason: str = ""
    exhausted: bool = False

    @property
    def succeeded(self) -> bool:
        return not self.code


@dataclass(frozen=True, kw_only=True)
class Delivery:
    """One event or invocation for one target."""

    label: str  # who sends it, for the log
    target: Mapping[str, Any]
    invocation: Callable[[], Invocation]
    dead_letter_body: str
    dead_letter_attributes: Mapping[str, str]
    dead_letter_code: Callable[[str], str] = str  # the error's code as the service writes it
    done: Callable[[Outcome], None] = lambda _outcome: None


class Deliveries:
    """The worker threads. Thread-safe."""

    def __init__(self, own: OwnAws, name: str) -> None:
        self._own = own
        self._closing = threading.Event()
        self._pool = WorkerPool(name, _WORKERS)

    def submit(self, delivery: Delivery) -> None:
        """Hand over; returns at once."""
        outcomes: list[Outcome] = []

        def work() -> None:
            outcomes.append(self._call(delivery))
            self._end(delivery, outcomes[0])

        def fail(cause: str) -> None:
            if not outcomes:  # what came of the call is not known to anybody yet
                failed = Outcome(answer={}, retries=0, code="INTERNAL_ERROR", reason=cause)
                self._end(delivery, failed)

        self._pool.submit(work, fail)

    def close(self) -> None:
        """Start nothing more, try nothing again; calls that are under way end."""
        self._closing.set()
        self._pool.close(_CLOSE_SECONDS)

    def _end(self, delivery: Delivery, outcome: Outcome) -> None:
        if not outcome.succeeded:
            logger.error(
                "%s: target %s failed: %s: %s",
                delivery.label,
                delivery.target["Arn"],
                outcome.code,
                outcome.reason,
            )
            self._keep(delivery, outcome)
        delivery.done(outcome)

    def _call(self, delivery: Delivery) -> Outcome:
        asked = delivery.target.get("RetryPolicy", {}).get("MaximumRetryAttempts", 185)
        most = min(asked, len(_PAUSES_SECONDS))
        retries = 0
        while True:
            try:
                answer = call_target(self._own, delivery.invocation())
            except InputError as err:
                return Outcome(answer={}, retries=retries, code="INVALID_JSON", reason=str(err))
            except (AwsError, ClientError, BotoCoreError) as err:
                code, reason = error_of(err)
                again = _may_help(err)
                if again and retries < most and not self._closing.wait(_PAUSES_SECONDS[retries]):
                    retries += 1
                    continue
                return Outcome(
                    answer={}, retries=retries, code=code, reason=reason, exhausted=again
                )
            return Outcome(answer=answer, retries=retries)

    def _keep(self, delivery: Delivery, outcome: Outcome) -> None:
        queue_arn = delivery.target.get("DeadLetterConfig", {}).get("Arn")
        if queue_arn is None:
            return
        attributes = {
            **delivery.dead_letter_attributes,
            "TARGET_ARN": delivery.target["Arn"],
            "ERROR_CODE": delivery.dead_letter_code(outcome.code),
            "ERROR_MESSAGE": outcome.reason,
            "RETRY_ATTEMPTS": str(outcome.retries),
        }
        if outcome.exhausted:
            attributes["EXHAUSTED_RETRY_CONDITION"] = "MaximumRetryAttempts"
        try:
            send_to_queue(self._own, queue_arn, delivery.dead_letter_body, attributes)
        except (ClientError, BotoCoreError) as err:
            logger.error("%s: dead-letter queue %s: %s", delivery.label, queue_arn, err)


def _may_help(error: Exception) -> bool:
    """Whether a second try may have another end."""
    if isinstance(error, ClientError):
        status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 500)
        return status >= 500 or error.response["Error"]["Code"] in _THROTTLED
    return isinstance(error, BotoCoreError) and not isinstance(error, ParamValidationError)
