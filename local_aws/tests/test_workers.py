"""Threads that fail with a word, and that no module starts in another way."""

from __future__ import annotations

import ast
import logging
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

import local_aws
from local_aws.workers import (
    WorkerFault,
    WorkerPool,
    cause_of,
    only_logged,
    start_lasting,
    start_worker,
)

PACKAGE = Path(local_aws.__file__).parent
# Who starts threads: of these modules only names that start none may be used.
_STARTERS = {
    "threading": {"Thread", "Timer"},
    "_thread": {"start_new_thread"},
    "concurrent.futures": {"ThreadPoolExecutor", "ProcessPoolExecutor", "thread", "process"},
    "multiprocessing": {"*"},
    "asyncio": {"*"},
    "socketserver": {"*"},
    "http.server": {"*"},
}


def _fail() -> None:
    raise KeyError("Arn")


def _exit() -> None:
    raise SystemExit(3)


def test_cause_is_told_with_type_and_message_and_logged_with_its_traceback(
    caplog: pytest.LogCaptureFixture,
) -> None:
    told: list[str] = []

    start_worker("endpoint x", _fail, told.append).join()
    start_worker("endpoint y", _exit, told.append).join()

    assert told == ["local_aws: KeyError: 'Arn'", "local_aws: SystemExit: 3"]
    assert "endpoint x failed inside local_aws" in caplog.text
    assert 'raise KeyError("Arn")' in caplog.text


def test_who_waits_for_a_worker_passes_its_cause_on() -> None:
    assert cause_of(WorkerFault("local_aws: KeyError: 'Arn'")) == "local_aws: KeyError: 'Arn'"


def test_work_that_goes_well_tells_nothing(caplog: pytest.LogCaptureFixture) -> None:
    told: list[str] = []

    start_worker("fine", lambda: None, told.append).join()

    assert (told, caplog.text) == ([], "")


def test_a_failure_that_cannot_be_told_is_logged_twice(caplog: pytest.LogCaptureFixture) -> None:
    def deaf(cause: str) -> None:
        raise ValueError(f"cannot take {cause}")

    start_worker("stack x", _fail, deaf).join()

    assert "stack x failed inside local_aws" in caplog.text
    assert "the failure of stack x could not be told" in caplog.text
    assert "cannot take local_aws: KeyError: 'Arn'" in caplog.text


def test_what_must_go_on_is_begun_again_until_it_is_closed(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("local_aws.workers._PAUSE_SECONDS", 0.0)
    begun: list[int] = []

    def work() -> None:
        begun.append(1)
        if len(begun) < 3:
            _fail()

    start_lasting("timer", work, threading.Event()).join()
    assert (len(begun), caplog.text.count("timer failed inside local_aws")) == (3, 2)

    closing = threading.Event()
    closing.set()
    start_lasting("timer", _fail, closing).join(10)
    assert caplog.text.count("timer failed inside local_aws") == 3


def test_a_pools_failures_are_told_as_well(caplog: pytest.LogCaptureFixture) -> None:
    told: list[str] = []
    pool = WorkerPool("delivery", 2)

    pool.submit(_fail, told.append)
    pool.submit(lambda: None, told.append)
    pool.close(10)
    pool.submit(_fail, told.append)

    assert told == ["local_aws: KeyError: 'Arn'"]
    assert "delivery failed inside local_aws" in caplog.text


def _started(tree: ast.AST) -> Iterator[str]:
    """What in a module may start a thread, by its full name."""
    modules = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                modules[alias.asname or alias.name] = alias.name
                if "*" in _STARTERS.get(alias.name, ()):
                    yield alias.name
        elif isinstance(node, ast.ImportFrom):
            for alias in node.names:
                starters = _STARTERS.get(node.module or "", set())
                if alias.name in starters or "*" in starters:
                    yield f"{node.module}.{alias.name}"
    # An annotation names threading.Thread and starts none.
    for node in ast.walk(tree):
        used = [node.func] if isinstance(node, ast.Call) else []
        if isinstance(node, ast.ClassDef):
            used = node.bases
        for name in used:
            if isinstance(name, ast.Attribute):
                module = modules.get(ast.unparse(name.value), "")
                if name.attr in _STARTERS.get(module, ()):
                    yield f"{module}.{name.attr}"


def test_no_other_module_starts_a_thread() -> None:
    found = {
        f"{path.relative_to(PACKAGE)}: {name}"
        for path in PACKAGE.rglob("*.py")
        for name in _started(ast.parse(path.read_text()))
    }

    assert found == {
        "workers.py: threading.Thread",
        "workers.py: concurrent.futures.ThreadPoolExecutor",
    }


@pytest.mark.parametrize(
    "source",
    [
        "import threading\nthreading.Thread(target=print).start()",
        "import threading as t\nt.Timer(1, print)",
        "import threading\nclass Watcher(threading.Thread): ...",
        "from threading import Thread",
        "import concurrent.futures\nconcurrent.futures.ThreadPoolExecutor()",
        "from concurrent.futures import ThreadPoolExecutor as Pool",
        "import multiprocessing",
        "from http.server import ThreadingHTTPServer",
    ],
)
def test_each_way_to_start_a_thread_is_seen(source: str) -> None:
    assert list(_started(ast.parse(source)))


def test_naming_the_type_or_waiting_is_no_start() -> None:
    source = "import threading\ndef f(a: list[threading.Thread]): threading.Event().wait()"

    assert not list(_started(ast.parse(source)))


def test_only_logged_says_nothing_itself(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        only_logged("local_aws: KeyError: 'Arn'")

    assert not caplog.text
