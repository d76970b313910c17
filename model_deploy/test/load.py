"""Many requests with one body, judged: does each get its answer, and do they get it in time?

    first half, one after the other ─▶ latency: p50, p95, max against the stage's threshold
    second half, several at a time ──▶ with the first: no request fails, no answer differs

90 requests miss a failure rate of 5 % in 0.95 ** 90, or one of a hundred tests. What is certain
ends the requests: a threshold that can't be met any more, or five failures.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from model_deploy.endpoint_test_plan import Case, Thresholds
from model_deploy.test.answers import find_difference_of_answers
from model_deploy.test.endpoint import Endpoint
from model_deploy.test.endpoint_check import Check, failed, passed

EVERY_REQUEST = "answers every request"
LATENCY = "latency"

_QUANTILE = 0.95
_ENOUGH_FAILURES = 5
# The template's default of ServerlessMaxConcurrency.
_SERVERLESS_CONCURRENCY = 5


@dataclass(frozen=True, kw_only=True)
class Latency:
    """Milliseconds of single requests, as this client saw them; the network is part of it."""

    requests: int
    p50_ms: float
    p95_ms: float
    max_ms: float

    @classmethod
    def of(cls, seen_ms: Sequence[float]) -> Latency:
        """Nearest-rank quantiles of at least one value."""
        ordered = sorted(seen_ms)
        return cls(
            requests=len(ordered),
            p50_ms=round(_quantile(ordered, 0.50), 3),
            p95_ms=round(_quantile(ordered, _QUANTILE), 3),
            max_ms=round(ordered[-1], 3),
        )


def check_load(
    endpoint: Endpoint, case: Case, expected: Any | None, thresholds: Thresholds
) -> tuple[list[Check], Latency | None]:
    """Two checks, and the latency of the requests that came one after the other.

    `expected` is the document that each request must be answered; None compares nothing.
    """
    requests = _Requests(endpoint, case, expected)
    alone = math.ceil(thresholds.requests / 2)
    seen_ms = _ask_alone(requests, alone, thresholds.max_p95_ms)
    latency = Latency.of(seen_ms) if seen_ms else None
    timely = _check_latency(latency, seen_ms, alone, requests, thresholds.max_p95_ms)
    too_slow = _too_many(seen_ms, alone, thresholds.max_p95_ms)
    if not too_slow:
        requests.ask_at_once(thresholds.requests - alone, thresholds.concurrent)
    return [_check_every(requests, thresholds, too_slow=too_slow), timely], latency


def concurrency(parameters: Mapping[str, str], wanted: int) -> int:
    """How many requests at a time the endpoint of these parameters takes, at most `wanted`."""
    if parameters.get("ServerlessMemoryInMB", "0") in ("", "0"):
        return wanted
    limit = parameters.get("ServerlessMaxConcurrency") or str(_SERVERLESS_CONCURRENCY)
    return min(wanted, int(limit))


class _Requests:
    """Requests with one body, counted; what was wrong with an answer is kept. Threads share it."""

    def __init__(self, endpoint: Endpoint, case: Case, expected: Any | None) -> None:
        self._endpoint = endpoint
        self._case = case
        self._lock = threading.Lock()
        self._left = 0
        self._stopped = False
        self.expected = expected
        self.made = 0
        self.problems: list[str] = []

    @property
    def enough(self) -> bool:
        """Whether more requests would tell nothing new."""
        return self._stopped or len(self.problems) >= _ENOUGH_FAILURES

    def ask(self) -> float | None:
        """Milliseconds of one request, None if it failed."""
        answer = self._endpoint.invoke(self._case.body, self._case.content_type)
        problem = answer.error
        if not problem and self.expected is not None:
            problem = find_difference_of_answers(answer.document, self.expected)
        with self._lock:
            self.made += 1
            if problem:
                self.problems.append(problem)
        return None if answer.error else answer.milliseconds

    def ask_at_once(self, count: int, threads: int) -> None:
        """That many requests, from as many threads. Raises what one of them raises."""
        self._left = count
        with ThreadPoolExecutor(max_workers=threads, thread_name_prefix="load") as pool:
            try:
                for worker in [pool.submit(self._work) for _ in range(threads)]:
                    worker.result()
            finally:  # Ctrl-C too: no thread is to go on for long
                self._stopped = True

    def _work(self) -> None:
        try:
            while self._take():
                self.ask()
        except BaseException:  # what the first of them raises may be waited for last
            self._stopped = True
            raise

    def _take(self) -> bool:
        with self._lock:
            if self.enough or self._left == 0:
                return False
            self._left -= 1
            return True


def _ask_alone(requests: _Requests, count: int, max_p95_ms: float) -> list[float]:
    """Milliseconds of those that were answered, until all is asked or the verdict is certain."""
    seen_ms: list[float] = []
    for _ in range(count):
        milliseconds = requests.ask()
        if milliseconds is not None:
            seen_ms.append(milliseconds)
        if requests.enough or _too_many(seen_ms, count, max_p95_ms):
            break
    return seen_ms


def _too_many(seen_ms: Sequence[float], count: int, max_p95_ms: float) -> bool:
    """Whether so many were slow that the p95 of `count` requests is, whatever else comes."""
    return _slow(seen_ms, max_p95_ms) > count - _rank(count, _QUANTILE)


def _check_latency(
    latency: Latency | None,
    seen_ms: Sequence[float],
    count: int,
    requests: _Requests,
    max_p95_ms: float,
) -> Check:
    if latency is None:
        return failed(LATENCY, f"none of {requests.made} requests was answered")
    told = (
        f"p50 {latency.p50_ms:.1f} ms, p95 {latency.p95_ms:.1f} ms, max {latency.max_ms:.1f} ms "
        f"of {latency.requests} requests, one after the other"
    )
    limit = f"p95 may be at most {max_p95_ms:g} ms"
    slow = _slow(seen_ms, max_p95_ms)
    if _too_many(seen_ms, count, max_p95_ms) or latency.p95_ms > max_p95_ms:
        left = count - requests.made
        early = f"; {slow} took longer, so the other {left} were not made" if left else ""
        return failed(LATENCY, f"{told}; {limit}{early}")
    if requests.made < count:
        return failed(
            LATENCY, f"not measured: after {requests.made} of {count} requests too many had failed"
        )
    return passed(LATENCY, f"{told}; {limit}")


def _check_every(requests: _Requests, thresholds: Thresholds, *, too_slow: bool) -> Check:
    total = thresholds.requests
    stopped = f"; stopped after {requests.made} of {total}" if requests.made < total else ""
    if requests.problems:
        return failed(
            EVERY_REQUEST,
            f"{len(requests.problems)} of {requests.made} requests failed, the first: "
            f"{requests.problems[0]}{stopped}",
        )
    if too_slow and stopped:
        return failed(
            EVERY_REQUEST, f"not made: the latency can not be met any more{stopped} requests"
        )
    at_once = total - math.ceil(total / 2)
    compared = "not compared" if requests.expected is None else "each with the same answer"
    return passed(
        EVERY_REQUEST,
        f"{requests.made} requests, {at_once} of them {thresholds.concurrent} at a time; "
        f"{compared}",
    )


def _slow(seen_ms: Sequence[float], max_p95_ms: float) -> int:
    return sum(milliseconds > max_p95_ms for milliseconds in seen_ms)


def _quantile(ordered: Sequence[float], share: float) -> float:
    """The nearest-rank quantile of ascending values."""
    return ordered[_rank(len(ordered), share) - 1]


def _rank(count: int, share: float) -> int:
    # Rounded first, as a product may come out a little above a whole number.
    return max(math.ceil(round(share * count, 9)), 1)
