"""The MLflow server's own connection to its database: waiting for it, locking it, asking it."""

from __future__ import annotations

import contextlib
import logging
import ssl
import time
from collections.abc import Iterator
from typing import Any

import pymysql
from server_settings import CONNECT_SECONDS, Database, ServerError

DATABASE_WAIT_SECONDS = 300
LOCK_WAIT_SECONDS = 600
ALONE_WAIT_SECONDS = 60

logger = logging.getLogger("tracking_server.database")


def connect(database: Database, *, seconds: float = CONNECT_SECONDS) -> pymysql.Connection:
    """With the server's certificate and host name verified."""
    return pymysql.connect(
        host=database.host,
        port=database.port,
        database=database.name,
        user=database.user,
        password=database.password,
        ssl=ssl.create_default_context(cafile=str(database.ca_path)),
        charset="utf8mb4",
        autocommit=True,
        connect_timeout=seconds,
        read_timeout=2 * seconds,  # GET_LOCK waits for one
    )


def wait_for(database: Database, *, seconds: float = DATABASE_WAIT_SECONDS) -> pymysql.Connection:
    """A connection, as soon as there can be one; ServerError if refused or too late."""
    logger.info("Connecting to %s", database)
    begin = told = time.monotonic()
    while True:
        try:
            return connect(database)
        except pymysql.OperationalError as error:
            if not _may_pass(error):
                raise ServerError(
                    f"cannot log in to {database}: {one_line(error)}. {_remedy(error, database)}"
                ) from error
            now = time.monotonic()
            if now - begin > seconds:
                raise ServerError(
                    f"no connection to {database} within {seconds:.0f} s: "
                    f"{one_line(error)}. See whether the database runs, and whether its security "
                    "group lets the server in"
                ) from error
            if told == begin or now - told > 10:
                told = now
                logger.info("Waited %.0f of %.0f s: %s", now - begin, seconds, one_line(error))
        time.sleep(2)


def _may_pass(error: pymysql.OperationalError) -> bool:
    """Not reachable yet, starting, stopping, or full. Why a login is refused stays as it is."""
    if _is_untrusted(error):
        return False
    return error.args[0] in (1040, 1053, 2003, 2006, 2013)


def _is_untrusted(error: pymysql.OperationalError) -> bool:
    return isinstance(getattr(error, "original_exception", None), ssl.SSLCertVerificationError)


def _remedy(error: pymysql.OperationalError, database: Database) -> str:
    if _is_untrusted(error):
        return f"Its certificate must name that host and be signed by one of {database.ca_path}"
    return (
        "DATABASE_USER and DATABASE_PASSWORD must be those of the database's secret, and "
        "DATABASE_NAME a database there"
    )


@contextlib.contextmanager
def locked(connection: pymysql.Connection, database: Database) -> Iterator[None]:
    """One task at a time. The database holds the lock, and gives it up with the connection."""
    name = f"mlflow-start {database.name}"[:64]  # MySQL takes no longer one
    begin = time.monotonic()
    while not value(connection, "SELECT GET_LOCK(%s, %s)", name, CONNECT_SECONDS):
        waited = time.monotonic() - begin
        if waited > LOCK_WAIT_SECONDS:
            raise ServerError(
                f"another task has held the lock {name!r} for {waited:.0f} s: see its log, end it, "
                "and start this one again"
            )
        logger.info("Another task prepares the database: waited %.0f s", waited)
    try:
        yield
    finally:
        with contextlib.suppress(pymysql.Error):
            value(connection, "SELECT RELEASE_LOCK(%s)", name)


def wait_until_alone(
    connection: pymysql.Connection, database: Database, *, seconds: float = ALONE_WAIT_SECONDS
) -> None:
    """Nobody else may be at work while tables change; ServerError if somebody stays."""
    own = value(connection, "SELECT CONNECTION_ID()")
    deadline = time.monotonic() + seconds
    while True:
        # Id, User, Host, db: the first columns, in MySQL and in MariaDB.
        sessions = rows(connection, "SHOW PROCESSLIST")
        others = {str(row[2]) for row in sessions if row[0] != own and row[3] == database.name}
        if not others:
            return
        if time.monotonic() > deadline:
            raise ServerError(
                f"{database} is in use from {', '.join(sorted(others))}, so nothing was upgraded: "
                "stop the service first"
            )
        logger.info("Waiting for %d other connections to end", len(others))
        time.sleep(5)


def rows(connection: pymysql.Connection, query: str, *values: object) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(query, values)
        return list(cursor.fetchall())


def value(connection: pymysql.Connection, query: str, *values: object) -> Any:
    """The first column of the first row; None if there is none."""
    found = rows(connection, query, *values)
    return found[0][0] if found else None


def one_line(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__
