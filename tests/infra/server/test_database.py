from __future__ import annotations

import contextlib
import dataclasses
import logging
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from server_database import connect, locked, value, wait_for
from server_settings import Database, ServerError

from tests.mariadb import Mariadb


@pytest.fixture(scope="module")
def database(mariadb: Mariadb) -> Database:
    return Database(**dataclasses.asdict(mariadb.create_database("waited_for")))


def test_a_database_that_starts_is_waited_for(
    mariadb: Mariadb, database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    mariadb.stop()
    with ThreadPoolExecutor(1) as pool, caplog.at_level(logging.INFO):
        waiting = pool.submit(wait_for, database)
        time.sleep(0.5)
        # By this thread: MariaDB ends with the one that started it.
        mariadb.start()
        with contextlib.closing(waiting.result(timeout=30)) as connection:
            assert value(connection, "SELECT DATABASE()") == "waited_for"
    assert "Waited 0 of 300 s: (2003, \"Can't connect" in caplog.text


def test_waiting_ends(database: Database) -> None:
    absent = dataclasses.replace(database, port=1)
    with pytest.raises(ServerError) as raised:
        wait_for(absent, seconds=-1)
    assert "no connection to waited_for@127.0.0.1:1/waited_for" in str(raised.value)
    assert "See whether the database runs" in str(raised.value)


def test_a_wrong_password_is_told_at_once_and_not_shown(database: Database) -> None:
    with pytest.raises(ServerError) as raised:
        wait_for(dataclasses.replace(database, password="not-the-password"))
    assert "cannot log in to waited_for@127.0.0.1" in str(raised.value)
    assert "must be those of the database's secret" in str(raised.value)
    assert "not-the-password" not in str(raised.value)


def test_the_second_waits_until_the_first_is_done(database: Database) -> None:
    done = []

    def second() -> None:
        with contextlib.closing(connect(database)) as own, locked(own, database):
            done.append("second")

    waiting = threading.Thread(target=second)
    with contextlib.closing(connect(database)) as own, locked(own, database):
        waiting.start()
        waiting.join(timeout=0.5)
        assert waiting.is_alive()
        done.append("first")
    waiting.join(timeout=30)
    assert done == ["first", "second"]


def test_the_lock_ends_with_a_connection_that_is_lost(database: Database) -> None:
    lost = connect(database)
    with locked(lost, database):
        lost.close()
        with contextlib.closing(connect(database)) as own, locked(own, database):
            pass
