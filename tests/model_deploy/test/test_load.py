"""Many requests, judged. The endpoint here answers at once and says how long it took."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any, cast

import pytest

from model_deploy.endpoint_test_plan import Case, Thresholds
from model_deploy.errors import AwsError
from model_deploy.test.endpoint import Answer, Endpoint
from model_deploy.test.endpoint_check import Check
from model_deploy.test.load import Latency, check_load, concurrency

_CASE = Case(name="the input example", body="{}", content_type="text/csv")
_RIGHT = {"predictions": [1.0]}


class _Endpoint:
    """Answers as told, each time the next; counts, and notes how many were asked at a time."""

    def __init__(self, answers: Iterable[Answer]) -> None:
        self._answers: Iterator[Answer] = iter(answers)
        self._lock = threading.Lock()
        self._at_once = 0
        self.most_at_once = 0
        self.asked: list[tuple[str, str]] = []
        self.wait: Callable[[int], object] = lambda _: None

    def invoke(self, body: str, content_type: str) -> Answer:
        with self._lock:
            self.asked.append((body, content_type))
            number = len(self.asked)
            self._at_once += 1
            self.most_at_once = max(self.most_at_once, self._at_once)
            answer = next(self._answers)
        self.wait(number)
        with self._lock:
            self._at_once -= 1
        return answer


def _always(milliseconds: float = 1.0, document: Any = _RIGHT) -> Iterator[Answer]:
    while True:
        yield Answer(document=document, milliseconds=milliseconds)


def _judge(
    endpoint: _Endpoint, expected: Any = _RIGHT, **thresholds: Any
) -> tuple[Check, Check, Latency | None]:
    told = Thresholds(**{"max_p95_ms": 1000.0, **thresholds})
    (every, timely), latency = check_load(cast(Endpoint, endpoint), _CASE, expected, told)
    assert (every.name, timely.name) == ("answers every request", "latency")
    return every, timely, latency


def test_all_answered_alike_and_in_time_passes() -> None:
    endpoint = _Endpoint(_always(12.0))
    every, timely, latency = _judge(endpoint)
    assert (every.status, every.detail) == (
        "passed",
        "90 requests, 45 of them 4 at a time; each with the same answer",
    )
    assert (timely.status, timely.detail) == (
        "passed",
        "p50 12.0 ms, p95 12.0 ms, max 12.0 ms of 45 requests, one after the other; p95 may be at "
        "most 1000 ms",
    )
    assert latency == Latency(requests=45, p50_ms=12.0, p95_ms=12.0, max_ms=12.0)
    assert endpoint.asked == [("{}", "text/csv")] * 90


@pytest.mark.parametrize(
    ("count", "p50", "p95"), [(1, 1, 1), (2, 1, 2), (10, 5, 10), (20, 10, 19), (45, 23, 43)]
)
def test_quantiles_are_the_nearest_rank(count: int, p50: float, p95: float) -> None:
    seen = [float(number) for number in range(1, count + 1)]
    random.Random(0).shuffle(seen)
    assert Latency.of(seen) == Latency(requests=count, p50_ms=p50, p95_ms=p95, max_ms=float(count))


def test_quantiles_have_three_decimals() -> None:
    assert Latency.of([1.23456]) == Latency(requests=1, p50_ms=1.235, p95_ms=1.235, max_ms=1.235)


def _times(*milliseconds: float) -> Iterator[Answer]:
    for each in milliseconds:
        yield Answer(document=_RIGHT, milliseconds=each)
    yield from _always()


def test_two_slow_ones_of_45_are_no_p95_and_three_are() -> None:
    _, timely, latency = _judge(_Endpoint(_times(5.0, 3000.0, 2000.0)))
    assert (timely.status, latency) == (
        "passed",
        Latency(requests=45, p50_ms=1.0, p95_ms=5.0, max_ms=3000.0),
    )
    endpoint = _Endpoint(_times(5.0, 3000.0, 2000.0, 6.0, 1000.1))
    every, timely, latency = _judge(endpoint)
    assert latency == Latency(requests=5, p50_ms=1000.1, p95_ms=3000.0, max_ms=3000.0)
    assert (timely.status, timely.detail) == (
        "failed",
        "p50 1000.1 ms, p95 3000.0 ms, max 3000.0 ms of 5 requests, one after the other; p95 may "
        "be at most 1000 ms; 3 took longer, so the other 40 were not made",
    )
    assert (every.status, every.detail) == (
        "failed",
        "not made: the latency can not be met any more; stopped after 5 of 90 requests",
    )


def test_the_threshold_itself_is_met() -> None:
    assert _judge(_Endpoint(_always(1000.0)))[1].status == "passed"
    assert _judge(_Endpoint(_always(1000.001)))[1].status == "failed"


def test_a_model_of_three_seconds_fails_after_three_requests() -> None:
    endpoint = _Endpoint(_always(3115.9))
    every, timely, latency = _judge(endpoint)
    assert (every.status, timely.status, len(endpoint.asked)) == ("failed", "failed", 3)
    assert latency == Latency(requests=3, p50_ms=3115.9, p95_ms=3115.9, max_ms=3115.9)


def test_slow_answers_to_several_at_a_time_are_not_judged() -> None:
    assert _judge(_Endpoint([*[next(_always())] * 45, *[next(_always(9000.0))] * 45]))[
        1
    ].status == ("passed")


def test_requests_at_a_time_are_as_many_as_the_threshold_says() -> None:
    endpoint = _Endpoint(_always())
    # Whoever is asked among the second half waits for two others.
    meeting = threading.Barrier(3)

    def wait(number: int) -> None:
        if number > 6:
            meeting.wait(timeout=30)

    endpoint.wait = wait
    every, _, _ = _judge(endpoint, requests=12, concurrent=3)
    assert (every.detail, endpoint.most_at_once) == (
        "12 requests, 6 of them 3 at a time; each with the same answer",
        3,
    )


def _failing(*numbers: int, error: str = "HTTP 500") -> Iterator[Answer]:
    for number, answer in enumerate(_always(), 1):
        yield Answer(error=f"{error} at {number}") if number in numbers else answer


@pytest.mark.parametrize("number", [1, 45, 46, 90])
def test_one_failing_request_fails_wherever_it_is(number: int) -> None:
    every, timely, _ = _judge(_Endpoint(_failing(number)))
    assert (every.status, every.detail) == (
        "failed",
        f"1 of 90 requests failed, the first: HTTP 500 at {number}",
    )
    assert timely.status == "passed"


def test_a_failing_request_has_no_latency() -> None:
    answers = [Answer(error="HTTP 500", milliseconds=0.1), *[next(_always(7.0))] * 89]
    _, timely, latency = _judge(_Endpoint(answers))
    assert (timely.status, latency) == (
        "passed",
        Latency(requests=44, p50_ms=7.0, p95_ms=7.0, max_ms=7.0),
    )


def test_the_p95_is_of_those_that_were_answered() -> None:
    """One slow one of 20 is none; one of 17 is."""
    slow, failing = next(_always(2000.0)), Answer(error="HTTP 500")
    rest = [next(_always())] * 36
    _, timely, latency = _judge(_Endpoint([slow, *rest[:3], *rest]), requests=40)
    assert (timely.status, latency and latency.p95_ms) == ("passed", 1.0)
    _, timely, latency = _judge(_Endpoint([slow, *[failing] * 3, *rest]), requests=40)
    assert (timely.status, latency and latency.requests) == ("failed", 17)
    assert timely.detail.endswith("; p95 may be at most 1000 ms")


def test_five_failures_are_enough() -> None:
    endpoint = _Endpoint(_failing(2, 3, 4, 5, 6, 7))
    every, timely, _ = _judge(endpoint)
    assert (every.status, every.detail) == (
        "failed",
        "5 of 6 requests failed, the first: HTTP 500 at 2; stopped after 6 of 90",
    )
    assert (timely.status, timely.detail) == (
        "failed",
        "not measured: after 6 of 45 requests too many had failed",
    )
    assert len(endpoint.asked) == 6


def test_five_failures_at_a_time_are_enough() -> None:
    endpoint = _Endpoint(_failing(*range(46, 91)))
    every, _, _ = _judge(endpoint)
    assert every.status == "failed"
    # Those that were on their way when the fifth failed still end.
    assert 50 <= len(endpoint.asked) <= 53


def test_an_endpoint_that_answers_nothing_fails_both() -> None:
    every, timely, latency = _judge(_Endpoint(_failing(*range(1, 91))))
    assert (every.status, timely.status, latency) == ("failed", "failed", None)
    assert timely.detail == "none of 5 requests was answered"


def test_a_lie_among_right_answers_fails() -> None:
    """As of a model that answers the right thing to the first request only."""
    answers = [next(_always()), *[next(_always(document={"predictions": [101.0]}))] * 89]
    every, _, _ = _judge(_Endpoint(answers))
    assert (every.status, every.detail) == (
        "failed",
        "5 of 6 requests failed, the first: predictions[0]: 101.0 served, 1.0 expected; stopped "
        "after 6 of 90",
    )
    late = [*[next(_always())] * 89, next(_always(document={"predictions": [1.1]}))]
    assert _judge(_Endpoint(late))[0].status == "failed"


def test_answers_within_the_tolerance_are_alike() -> None:
    assert _judge(_Endpoint(_always(document={"predictions": [1.0 + 5e-7]})))[0].status == "passed"


def test_without_an_expected_answer_nothing_is_compared_and_that_is_said() -> None:
    answers = (Answer(document={"predictions": [n]}, milliseconds=1.0) for n in range(90))
    every, _, _ = _judge(_Endpoint(answers), expected=None)
    assert (every.status, every.detail) == (
        "passed",
        "90 requests, 45 of them 4 at a time; not compared",
    )


def test_ninety_requests_are_the_fewest_that_find_five_percent_in_99_of_100_tests() -> None:
    requests = Thresholds().requests
    assert requests == 90
    assert 1 - 0.95**requests >= 0.99 > 1 - 0.95 ** (requests - 1)


def _of_a_kind(seed: int, wrong: Answer) -> Iterator[Answer]:
    chance = random.Random(seed)
    for right in _always():
        yield wrong if chance.random() < 0.05 else right


@pytest.mark.parametrize(
    "wrong",
    [Answer(error="HTTP 500"), Answer(document={"predictions": [2.0]}, milliseconds=1.0)],
    ids=["fails", "lies"],
)
def test_five_percent_of_wrong_answers_are_found_in_98_of_100_tests(wrong: Answer) -> None:
    found = sum(
        _judge(_Endpoint(_of_a_kind(seed, wrong)))[0].status == "failed" for seed in range(200)
    )
    assert found >= 196


def test_aws_that_does_not_let_us_ask_is_no_failure_of_the_endpoint() -> None:
    def answers() -> Iterator[Answer]:
        for _ in range(50):
            yield next(_always())
        raise AwsError("no more")

    with pytest.raises(AwsError, match="no more"):
        _judge(_Endpoint(answers()), concurrent=1)


@pytest.mark.parametrize("raised", [AwsError("no more"), ZeroDivisionError("a fault of ours")])
def test_what_one_thread_raises_ends_the_others(raised: Exception) -> None:
    endpoint = _Endpoint(_always())

    def wait(number: int) -> None:
        if number == 1010:
            raise raised
        if number > 1000:
            time.sleep(0.001)

    endpoint.wait = wait
    with pytest.raises(type(raised)):
        _judge(endpoint, requests=2000, concurrent=2)
    assert 1010 <= len(endpoint.asked) < 1500


@pytest.mark.parametrize(
    ("parameters", "allowed"),
    [
        ({}, 8),
        ({"ServerlessMemoryInMB": "0", "ServerlessMaxConcurrency": "2"}, 8),
        ({"ServerlessMemoryInMB": "", "ServerlessMaxConcurrency": "2"}, 8),
        ({"ServerlessMemoryInMB": "2048", "ServerlessMaxConcurrency": "2"}, 2),
        ({"ServerlessMemoryInMB": "2048", "ServerlessMaxConcurrency": "20"}, 8),
        # The template's default.
        ({"ServerlessMemoryInMB": "2048"}, 5),
    ],
)
def test_a_serverless_endpoint_is_asked_no_more_than_it_takes_at_a_time(
    parameters: dict[str, str], allowed: int
) -> None:
    assert concurrency(parameters, 8) == allowed
