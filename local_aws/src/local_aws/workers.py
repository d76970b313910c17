"""Every thread of local_aws begins here, so that none dies without a word.

    start_worker(name, work, on_failure)     one thing in the background
    start_lasting(name, work, closing)       what must go on: begun again after a failure
    WorkerPool(name, size)                   many small things, a few at a time

What `work` raises is unforeseen: it is logged with its traceback, and `on_failure` is told the
cause as `local_aws: <Type>: <message>`, to make whatever waited for the work Failed. A test sees to
it that no other module starts a thread.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait

logger = logging.getLogger(__name__)

_PAUSE_SECONDS = 1.0


class WorkerFault(Exception):
    """A worker's failure, raised by who waits for the worker; the message is its cause."""


def cause_of(error: BaseException) -> str:
    """What a fault of local_aws itself is called in the reasons that people read."""
    if isinstance(error, WorkerFault):
        return str(error)
    return f"local_aws: {type(error).__name__}: {error}"


def only_logged(cause: str) -> None:
    """For work that nothing waits for: the log is all there is to tell."""


def start_worker(
    name: str, work: Callable[[], object], on_failure: Callable[[str], None]
) -> threading.Thread:
    """Do `work` in a thread of its own; returns the thread, which runs."""
    thread = threading.Thread(target=_do, args=(name, work, on_failure), name=name, daemon=True)
    thread.start()
    return thread


def start_lasting(
    name: str, work: Callable[[], object], closing: threading.Event
) -> threading.Thread:
    """Do `work` until it returns or `closing` is set: after a failure it is begun again."""

    def last() -> None:
        while not _do(name, work, only_logged):
            if closing.wait(_PAUSE_SECONDS):
                return

    return start_worker(name, last, only_logged)


class WorkerPool:
    """At most `size` threads at work. Thread-safe."""

    def __init__(self, name: str, size: int) -> None:
        self._name = name
        self._lock = threading.Lock()
        self._closed = False
        self._pool = ThreadPoolExecutor(size, thread_name_prefix=name)
        self._running: set[Future[bool]] = set()

    def submit(self, work: Callable[[], object], on_failure: Callable[[str], None]) -> None:
        """Do `work` once a thread is free; nothing after `close`."""
        with self._lock:
            if self._closed:
                return
            future = self._pool.submit(_do, self._name, work, on_failure)
            self._running.add(future)
        future.add_done_callback(self._forget)

    def close(self, seconds: float) -> None:
        """Begin nothing more; what is under way has that long to end."""
        with self._lock:
            self._closed = True
            running = list(self._running)
        self._pool.shutdown(wait=False, cancel_futures=True)
        wait(running, seconds)

    def _forget(self, future: Future[bool]) -> None:
        with self._lock:
            self._running.discard(future)


def _do(name: str, work: Callable[[], object], on_failure: Callable[[str], None]) -> bool:
    """Whether `work` went well. SystemExit too would end a thread silently."""
    try:
        work()
    except BaseException as err:
        logger.exception("%s failed inside local_aws", name)
        try:
            on_failure(cause_of(err))
        except BaseException:
            logger.exception("the failure of %s could not be told", name)
        return False
    return True
