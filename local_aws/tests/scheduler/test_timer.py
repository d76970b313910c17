"""The thread that sleeps until something is due."""

from __future__ import annotations

import datetime
import logging
import queue
import time

import pytest

from local_aws.clock import SystemClock
from local_aws.scheduler.timer import Timer


@pytest.fixture
def timer():
    timer = Timer("test-timer", SystemClock())
    yield timer
    timer.close()


def _soon(seconds):
    return datetime.datetime.now(datetime.UTC) + datetime.timedelta(seconds=seconds)


def test_what_is_due_first_comes_first_and_not_before_its_time(timer):
    called = queue.Queue()
    later, sooner = _soon(0.3), _soon(0.1)

    timer.set("later", later, lambda due: called.put((due, _soon(0))))
    timer.set("sooner", sooner, lambda due: called.put((due, _soon(0))))

    for expected in (sooner, later):
        due, at = called.get(timeout=5)
        assert due == expected
        assert at >= expected


def test_a_key_waits_for_one_time_only_and_can_be_cancelled(timer):
    called = queue.Queue()
    for name in ("first", "second"):
        timer.set("key", _soon(0.1), lambda _due, name=name: called.put(name))
    timer.set("other", _soon(0.1), lambda _due: called.put("other"))
    timer.cancel("other")

    assert called.get(timeout=5) == "second"
    with pytest.raises(queue.Empty):
        called.get(timeout=0.2)


def test_a_mistake_in_one_action_does_not_end_the_others(timer, caplog):
    called = queue.Queue()

    with caplog.at_level(logging.ERROR, logger="local_aws.scheduler.timer"):
        timer.set("broken", _soon(0), lambda _due: {}["absent"])
        timer.set("fine", _soon(0.05), called.put)
        called.get(timeout=5)

    assert "KeyError: 'absent'" in caplog.text


def test_it_ends_at_once_whatever_it_waits_for():
    timer = Timer("test-timer", SystemClock())
    called = queue.Queue()
    timer.set("far", _soon(3600), called.put)
    began = time.monotonic()

    timer.close()
    timer.set("after", _soon(0), called.put)

    assert time.monotonic() - began < 1
    with pytest.raises(queue.Empty):
        called.get(timeout=0.2)
