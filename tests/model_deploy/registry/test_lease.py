"""The lease against a real MLflow; time is a number that the tests set."""

from __future__ import annotations

import dataclasses
import itertools
import os
from types import SimpleNamespace
from typing import Any

import pytest

from model_deploy.command_line import set_up_process
from model_deploy.errors import MLflowError, Unsettled
from model_deploy.registry import lease as lease_module
from model_deploy.registry.connection import Connection, MLflowRefusal, MLflowUnwell
from model_deploy.registry.lease import Lease, LeaseRanOut, Times, Waited, taken, who_asks
from tests.model_deploy.registry.interleaving import Claim, FaultyClient

_numbers = itertools.count()


class Clock:
    def __init__(self) -> None:
        self.now = 0.0
        self.slept = 0

    def sleep(self, seconds: float) -> None:
        self.now += seconds
        self.slept += 1


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def leases(mlflow_sqlite: str, clock: Clock) -> Any:
    """Makes leases of one subject, each with holder's name."""
    from mlflow import MlflowClient

    client = MlflowClient(tracking_uri=mlflow_sqlite, registry_uri=mlflow_sqlite)
    subject = f"model leased-{next(_numbers)}"
    times = Times(
        lease_seconds=100.0,
        call_seconds=10.0,
        patience_seconds=300.0,
        clock=lambda: clock.now,
        sleep=clock.sleep,
    )

    def make(who: str, **changes: Any) -> Lease:
        return Lease(
            Connection(mlflow_sqlite, client),
            changes.get("subject", subject),
            changes.get("times", times),
            {"who": who, "model": "leased"},
        )

    return make


def test_the_second_waits_until_the_first_gives_back(leases: Any, clock: Clock) -> None:
    first, second = leases("ada"), leases("bob")
    first.take()
    clock_sleep = clock.sleep

    def sleep(seconds: float) -> None:
        clock_sleep(seconds)
        if clock.slept == 3:
            first.give_back()

    clock.sleep = sleep  # type: ignore[method-assign]
    second._times = Times(  # the same, with this sleep
        lease_seconds=100.0, call_seconds=10.0, clock=lambda: clock.now, sleep=sleep
    )
    second.take()
    second.require()
    assert clock.slept == 3


def test_who_waits_says_for_whom_at_once_and_every_15_seconds(
    leases: Any, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    leases("ada at host").take()
    with caplog.at_level("INFO"):
        leases("bob").take()
    told = [r.getMessage() for r in caplog.records if r.getMessage().startswith("waiting for")]
    assert "who ada at host, model leased" in told[0]
    assert 100 / 16 - 1 <= len(told) <= 100 / 15 + 1


def test_a_dead_holder_is_outlived_after_the_lease_and_not_before(
    leases: Any, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    leases("ada").take()
    leases("bob").take()
    assert 100.0 < clock.now < 103.0
    assert "did not give it back" in caplog.text


def test_a_holder_writes_nothing_that_might_outlast_the_lease(leases: Any, clock: Clock) -> None:
    lease = leases("ada")
    lease.take()
    clock.now = 89.0
    lease.require()
    clock.now = 90.0
    with pytest.raises(LeaseRanOut, match="ran out after 100 s"):
        lease.require()


def test_patience_ends_as_unsettled_and_names_the_holder(leases: Any, clock: Clock) -> None:
    long = Times(lease_seconds=1000.0, call_seconds=10.0, clock=lambda: 0.0)
    leases("ada", times=long).take()
    with pytest.raises(Unsettled) as caught:
        leases("bob").take()
    assert str(caught.value).startswith("given up for the lease of model leased-")
    assert "who ada, model leased. It ends when given back, or after 1000 s" in str(caught.value)
    assert caught.value.exit_code == 4


def test_a_lease_that_ran_out_can_be_taken_again(leases: Any, clock: Clock) -> None:
    lease = leases("ada")
    lease.take()
    clock.now = 95.0
    lease.take()
    lease.require()
    assert clock.now == 95.0


def test_one_who_lost_it_waits_for_the_next_holder(leases: Any, clock: Clock) -> None:
    slow, next_one = leases("ada"), leases("bob")
    slow.take()
    next_one.take()
    begun = clock.now
    slow.take()
    assert clock.now - begun > 100.0


def test_garbage_collection_in_mlflow_does_no_harm(
    leases: Any, clock: Clock, mlflow_sqlite: str
) -> None:
    from mlflow.tracking._tracking_service.utils import _get_store

    for who in ("ada", "bob"):
        lease = leases(who)
        lease.take()
        lease.give_back()
    store = _get_store(mlflow_sqlite)
    for lock in lease._look():
        store._hard_delete_experiment(lock.experiment_id)
    again = leases("cy")
    again.take()
    assert [lock.number for lock in again._look()] == [1]
    assert clock.slept == 0


def test_the_lock_tells_who_holds_it_for_what_and_is_hidden_afterwards(
    leases: Any, mlflow_sqlite: str
) -> None:
    from mlflow import MlflowClient

    client = MlflowClient(tracking_uri=mlflow_sqlite, registry_uri=mlflow_sqlite)
    lease = leases("ada")
    lease.take()
    name = f"{lease._chain}00000001"
    tags = client.get_experiment_by_name(name).tags
    assert tags["stage-move.who"] == "ada"
    assert "Holder: who ada, model leased." in tags["mlflow.note.content"]
    lease.give_back()
    assert name not in {found.name for found in client.search_experiments()}


@pytest.fixture
def real_times(monkeypatch: pytest.MonkeyPatch, clock: Clock) -> Times:
    """What the commands run with; only time itself is a number."""
    monkeypatch.setattr(os, "environ", os.environ.copy())
    for name in ("MAX_RETRIES", "TIMEOUT"):
        monkeypatch.delenv(f"MLFLOW_HTTP_REQUEST_{name}", raising=False)
    set_up_process("INFO")
    return dataclasses.replace(
        Times.of_environment(), clock=lambda: clock.now, sleep=clock.sleep, poll_seconds=10.0
    )


def test_two_locks_of_a_dead_holder_are_outlived_at_once(
    mlflow_sqlite: str, real_times: Times, clock: Clock
) -> None:
    from mlflow import MlflowClient

    client = MlflowClient(tracking_uri=mlflow_sqlite, registry_uri=mlflow_sqlite)
    model = f"orphaned-{next(_numbers)}"
    client.create_registered_model(model)
    client.create_model_version(model, "s3://bucket/model", await_creation_for=0)
    before = {found.name for found in client.search_experiments()}

    def locks() -> set[str]:
        return {found.name for found in client.search_experiments()} - before

    claim = Claim(
        model=model, version="1", stage="Production", endpoint=f"arn:{model}", execution="1"
    )
    claim.attempt(FaultyClient(client, {13: "crash after"}), real_times, lambda: True)
    assert claim.told == ["crash"]
    assert len(locks()) == 2
    clock.now = 1000.0
    claim.attempt(client, real_times, lambda: True)
    assert claim.told == ["crash", "moved"]
    assert real_times.lease_seconds < clock.now - 1000.0 < real_times.lease_seconds + 30
    assert locks() == set()


def test_who_waits_for_one_holds_no_other(leases: Any, clock: Clock) -> None:
    """Else it would be taken for dead by those who wait for the other."""
    free = f"endpoint {next(_numbers)}"
    leases("ada").take()
    first, other = leases("bob", subject=free), leases("bob")
    onlooker, free_at = leases("cy", subject=free), []

    def sleep(seconds: float) -> None:
        Clock.sleep(clock, seconds)
        if not onlooker.observe():
            free_at.append(clock.now)

    times = dataclasses.replace(first._times, sleep=sleep)
    waited = Waited()
    with taken([other, first], times, waited):
        first.require()
        other.require()
        assert len(free_at) == clock.slept > 100
    assert waited.seconds == pytest.approx(clock.now)


def test_a_lock_that_tells_nothing_is_held_as_long_as_ours() -> None:
    name = f"stage-move-lock-{'a' * 16}-00000041"
    found = SimpleNamespace(name=name, experiment_id="7", lifecycle_stage="active", tags={})
    seen = lease_module._read(found)
    assert seen is not None
    assert (seen.number, seen.held, seen.token) == (41, True, "")
    assert seen.lasts_seconds == Times.of_environment().lease_seconds
    assert seen.holder == f"experiment {name}"
    for other in (f"{name}-x", name.replace("41", "x"), name.replace("a", "g"), "housing"):
        assert lease_module._read(SimpleNamespace(**{**vars(found), "name": other})) is None


def test_who_asks_is_told_also_where_the_user_has_no_name(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_name() -> str:
        raise KeyError

    monkeypatch.setattr("getpass.getuser", lambda: "ada")
    assert who_asks().startswith("ada at ")
    monkeypatch.setattr("getpass.getuser", no_name)
    monkeypatch.setattr("os.getuid", lambda: 4711)
    assert who_asks().startswith("4711 at ")


def test_patience_is_twice_a_lease_and_ten_minutes_at_least(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(lease_module, "longest_call_seconds", lambda: 10.0)
    short = Times.of_environment()
    assert (short.call_seconds, short.lease_seconds, short.patience_seconds) == (10, 130, 600)
    monkeypatch.setattr(lease_module, "longest_call_seconds", lambda: 500.0)
    long = Times.of_environment()
    assert (long.call_seconds, long.lease_seconds, long.patience_seconds) == (500, 620, 1240)


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (MLflowUnwell("it is away"), "was not given back (it is away); it ends by itself in 100 s"),
        (MLflowRefusal("you may not", "PERMISSION_DENIED"), "was not given back (you may not"),
        (MLflowRefusal("gone", "RESOURCE_DOES_NOT_EXIST"), ""),
        (MLflowRefusal("gone", "INVALID_PARAMETER_VALUE"), ""),
    ],
)
def test_a_lease_that_can_not_be_given_back_is_told_and_stops_nothing(
    leases: Any, caplog: pytest.LogCaptureFixture, error: MLflowError, told: str
) -> None:
    lease = leases("ada")
    lease.take()
    ask, asked = lease._connection.ask, []

    def fail(method: str, *arguments: Any, **options: Any) -> Any:
        asked.append(method)
        if method == "delete_experiment":
            raise error
        return ask(method, *arguments, **options)

    lease._connection.ask = fail
    lease.give_back()
    assert told in caplog.text
    assert bool(told) == bool(caplog.records)
    lease.give_back()
    assert asked == ["delete_experiment"]
    with pytest.raises(LeaseRanOut):
        lease.require()
