"""Claimants that move stages at the same time, their calls to MLflow in an order that a test names.

Each claimant is a thread that stops before each call of its client; one at a time goes on. Time is
a number that only sleeping advances, so an hour's wait takes none. A call may fail, or the power of
its claimant may fail, before MLflow did it or after.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from model_deploy.errors import DeployError
from model_deploy.mlflow_handler import Evidence, MLflowHandler
from model_deploy.registry.lease import Times

CALL_SECONDS = 4.0
LEASE_SECONDS = 30.0
FAULTS = ("fail before", "fail after", "crash before", "crash after")


class PowerCut(BaseException):
    """The process is gone: nothing of it runs any more, no `finally` reaches MLflow."""


class Schedule:
    """Lets one claimant at a time do one call; `choices` say whose turn it is."""

    def __init__(self, choices: Sequence[int]) -> None:
        self.now = 0.0
        self._choices = list(choices)
        self._changed = threading.Condition()
        self._waiting: dict[str, float] = {}
        self._asleep: dict[str, float] = {}
        self._running: set[str] = set()
        self._next = ""

    def run(self, claimants: Mapping[str, Callable[[], None]]) -> None:
        threads = []
        self._running = set(claimants)
        for name, claim in claimants.items():
            thread = threading.Thread(target=self._claim, args=(name, claim), name=name)
            threads.append(thread)
            thread.start()
        steps = 0
        while self._give_turn(steps):
            steps += 1
            assert steps < 20_000, "it does not end"
        for thread in threads:
            thread.join()

    def await_turn(self) -> None:
        me = threading.current_thread().name
        with self._changed:
            if me not in self._running:  # a call of the test's own
                return
            self._waiting[me] = self.now
            self._changed.notify_all()
            self._changed.wait_for(lambda: self._next == me)
            self._next = ""
            del self._waiting[me]

    def sleep(self, seconds: float) -> None:
        me = threading.current_thread().name
        wakes_at = self._asleep[me] = self.now + seconds
        self.await_turn()
        del self._asleep[me]
        self.now = max(self.now, wakes_at)

    def _claim(self, name: str, claim: Callable[[], None]) -> None:
        try:
            self.await_turn()
            claim()
        finally:
            with self._changed:
                self._running.discard(name)
                self._changed.notify_all()

    def _give_turn(self, step: int) -> bool:
        with self._changed:
            self._changed.wait_for(
                lambda: not self._next and len(self._waiting) == len(self._running)
            )
            if not self._running:
                return False
            names = sorted(self._waiting)
            calling = [name for name in names if name not in self._asleep]
            late = [n for n in calling if self.now - self._waiting[n] > CALL_SECONDS / 2]
            if late:  # A call ends within its longest time: what a lease relies on.
                chosen = late[0]
            elif step < len(self._choices):
                chosen = names[self._choices[step] % len(names)]
            elif calling:
                chosen = calling[step % len(calling)]
            else:
                chosen = min(names, key=self._asleep.__getitem__)
            self._next = chosen
            self._changed.notify_all()
            return True


class FaultyClient:
    """An MlflowClient whose nth call goes wrong as `faults` say."""

    def __init__(
        self, client: Any, faults: Mapping[int, str], await_turn: Callable[[], None] = lambda: None
    ) -> None:
        self._client = client
        self._faults = dict(faults)
        self._await_turn = await_turn
        self.calls: list[str] = []
        self._dead = False

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._client, name)

        def call(*args: Any, **kwargs: Any) -> Any:
            self._await_turn()
            if self._dead:
                raise PowerCut
            self.calls.append(name)
            fault = self._faults.get(len(self.calls), "")
            if fault.endswith("before"):
                self._go_wrong(fault)
            answer = method(*args, **kwargs)
            if fault.endswith("after"):
                self._go_wrong(fault)
            return answer

        return call

    def _go_wrong(self, fault: str) -> None:
        from mlflow.exceptions import MlflowException
        from mlflow.protos.databricks_pb2 import TEMPORARILY_UNAVAILABLE

        if fault.startswith("crash"):
            self._dead = True
            raise PowerCut
        raise MlflowException("planted", error_code=TEMPORARILY_UNAVAILABLE)


@dataclass(kw_only=True)
class Claim:
    """A version that was deployed to an endpoint, passed there, and claims the stage."""

    model: str
    version: str
    stage: str
    endpoint: str
    execution: str
    faults: Mapping[int, str] = field(default_factory=dict)
    told: list[str] = field(default_factory=list)
    """How each of its tries ended: "moved", an error's name, or "crash"."""

    def attempt(self, client: Any, times: Times, still_serves: Callable[[], bool]) -> None:
        handler = MLflowHandler("sqlite://", self.model, self.version, client=client, times=times)
        evidence = Evidence(endpoint_arn=self.endpoint, pipeline_execution_id=self.execution)
        try:
            handler.move_stage(self.stage, evidence, still_serves)
            self.told.append("moved")
        except DeployError as err:
            self.told.append(type(err).__name__)
        except PowerCut:
            self.told.append("crash")


def times_of(schedule: Schedule) -> Times:
    return Times(
        lease_seconds=LEASE_SECONDS,
        call_seconds=CALL_SECONDS,
        patience_seconds=100_000.0,
        outage_seconds=100_000.0,
        poll_seconds=3.0,
        clock=lambda: schedule.now,
        sleep=schedule.sleep,
    )
