"""Faults of local_aws itself in what delivers and in what waits: told, and nothing else stops."""

from __future__ import annotations

import datetime
import logging
import queue
import threading

from local_aws.clock import SystemClock
from local_aws.events import delivery
from local_aws.scheduler.timer import Timer

CAUSE = "local_aws: KeyError: 'planted'"


def _fault(*_, **__):
    raise KeyError("planted")


def test_a_fault_in_a_delivery_goes_to_the_dead_letter_queue(account, monkeypatch):
    target, dead_letters = account.create_queue(), account.create_queue()
    account.put_rule(
        [{"Id": "1", "Arn": target, "DeadLetterConfig": {"Arn": dead_letters}}],
        EventPattern='{"source": ["planted"]}',
    )

    with monkeypatch.context() as planted:
        planted.setattr(delivery, "call_target", _fault)
        account.put_event("planted", {})
        attributes = account.receive(dead_letters)["MessageAttributes"]

    assert attributes["ERROR_MESSAGE"]["StringValue"] == CAUSE
    account.put_event("planted", {})
    assert account.receive(target)


def test_a_fault_in_a_schedules_invocation_is_in_its_log(account, monkeypatch):
    queue_arn = account.create_queue()

    with monkeypatch.context() as planted:
        planted.setattr(delivery, "call_target", _fault)
        name = account.create_schedule("rate(1 hour)", {"Arn": queue_arn, "Input": "x"})
        for _ in range(200):
            if found := account.invocations(name):
                break
            threading.Event().wait(0.05)

    assert CAUSE in str(found)


def test_a_fault_in_the_clock_does_not_end_the_timer(caplog):
    class Faulty(SystemClock):
        faults = 2

        def now(self):
            if self.faults:
                self.faults -= 1
                _fault()
            return super().now()

    called = queue.Queue()
    timer = Timer("faulty-timer", Faulty())

    with caplog.at_level(logging.ERROR):
        timer.set("soon", datetime.datetime.now(datetime.UTC), called.put)
        called.get(timeout=10)
    timer.close()

    assert caplog.text.count("faulty-timer failed inside local_aws") == 2
