"""The MLflow server's container: MLflow on MySQL, its schema guarded, its users as the secrets say.

    serve    wait for the database ──▶ lock ──▶ which schema? ──▶ tables, users ──▶ mlflow server
                                                     └─▶ older, newer: refuse
    upgrade  wait for the database ──▶ lock ──▶ nobody else connected? ──▶ mlflow db upgrade
    check    does the server answer, and does the database let it in?

The environment says everything (server_settings.py). Exit codes: 0 done, 1 failed, 2 wrong
environment. Why not `mlflow server` alone: docs/decisions/0067-entry-point-of-the-server.md.
"""

from __future__ import annotations

import argparse
import configparser
import contextlib
import http.client
import logging
import os
import signal
import sys
import tempfile
from collections.abc import MutableMapping, Sequence
from pathlib import Path

import pymysql
from server_database import connect, locked, one_line, rows, wait_for, wait_until_alone
from server_schema import TRACKING, USERS, State, unique_foreign_keys
from server_settings import ADMIN_USERNAME, SECRETS, Database, Login, ServerError, Settings

# Longer than the load balancer keeps an idle connection (idle_timeout.timeout_seconds), so that it
# never sends a request into one that the server is closing: its client would get a 502.
KEEP_ALIVE_SECONDS = 130
SHUTDOWN_SECONDS = 20  # of the 30 that ECS gives a task to end
CHECK_SECONDS = 4  # for each of a check's two questions
# Comparing a password costs 0.1 s of a processor, so a task on half of one would serve few requests
# a second. Until then a task may still take a password that was just changed.
LOGIN_CACHE_SECONDS = 60
DATABASE_CHECK_FAILED = "database check failed"  # an alarm looks for it in the log
CONTAINER_LOG = Path("/proc/1/fd/1")

logger = logging.getLogger("tracking_server")


def main(argv: Sequence[str] | None = None) -> int:
    logging.basicConfig(
        stream=sys.stderr,
        level=logging.WARNING,
        format="%(asctime)s %(levelname)s %(name)s: %(message)s",
    )
    logger.setLevel(logging.INFO)
    parser = argparse.ArgumentParser(
        prog="tracking_server.py",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    commands = ("serve", "upgrade", "check")
    parser.add_argument("command", nargs="?", default="serve", choices=commands, help="serve")
    command = parser.parse_args(argv).command
    try:
        settings = Settings.from_environment(os.environ)
        if command == "check":
            return check(settings)
        # Until MLflow handles it: a container's first process ignores what it has no handler for.
        signal.signal(signal.SIGTERM, _stop)
        if command == "upgrade":
            return upgrade(settings)
        return serve(settings, os.environ)
    except ServerError as error:
        logger.error("%s", error)
        return error.exit_code


def _stop(signal_number: int, _frame: object) -> None:
    logger.info("Told to stop before the server ran")
    raise SystemExit(128 + signal_number)


def serve(settings: Settings, environ: MutableMapping[str, str]) -> int:
    """Run MLflow's server until it is told to stop."""
    connection = wait_for(settings.database)
    with contextlib.closing(connection), locked(connection, settings.database):
        configure_mlflow(settings, environ)
        _prepare(settings, connection)
    # In this process: most of MLflow is imported by now, and that takes longer than all the rest.
    from mlflow.cli import cli

    cli.main(mlflow_arguments(settings), prog_name="mlflow", standalone_mode=False)
    return 0


def upgrade(settings: Settings) -> int:
    """Bring the tables to what this image's MLflow works with."""
    connection = wait_for(settings.database)
    with contextlib.closing(connection), locked(connection, settings.database):
        wait_until_alone(connection, settings.database)
        logging.getLogger("alembic.runtime.migration").setLevel(logging.INFO)  # the progress
        for schema in (TRACKING, USERS):
            found = schema.find(connection)
            if found.state is State.EMPTY:
                logger.info("%s: no tables, `serve` makes them", schema.title)
            elif found.state is State.CURRENT:
                logger.info("%s: %s, nothing to upgrade", schema.title, found.version)
            elif found.state is State.OLDER:
                schema.upgrade(settings.database.uri(query_seconds=None))
                now = schema.find(connection).version
                logger.info("%s: upgraded from %s to %s", schema.title, found.version, now)
            else:
                raise ServerError(schema.refusal(found, settings.database))
    return 0


def check(settings: Settings) -> int:
    """Tell in the container's log what is broken. Imports no MLflow: it runs every half minute."""
    failures = []
    try:
        _ask_server(settings.port)
    except (OSError, http.client.HTTPException, ServerError) as error:
        failures.append(f"server check failed: port {settings.port}: {one_line(error)}")
    try:
        connection = connect(settings.database, seconds=CHECK_SECONDS)
        with contextlib.closing(connection):
            rows(connection, "SELECT 1")
    except (OSError, pymysql.Error) as error:
        failures.append(f"{DATABASE_CHECK_FAILED}: {settings.database}: {one_line(error)}")
    for failure in failures:
        _log_for_container(failure)
    return 1 if failures else 0


def _ask_server(port: int) -> None:
    server = http.client.HTTPConnection("127.0.0.1", port, timeout=CHECK_SECONDS)
    with contextlib.closing(server):
        server.request("GET", "/health")
        status = server.getresponse().status
    if status != http.client.OK:
        raise ServerError(f"status {status}")


def _log_for_container(line: str) -> None:
    """To the caller, and to the first process's output: of a health check's, ECS keeps nothing."""
    print(line, file=sys.stderr, flush=True)
    if os.getpid() == 1:
        return
    # Where that output isn't this user's, the caller's must do.
    with contextlib.suppress(OSError), CONTAINER_LOG.open("ab", buffering=0) as log:
        log.write(f"{line}\n".encode())


def configure_mlflow(settings: Settings, environ: MutableMapping[str, str]) -> None:
    """Put into the environment what MLflow reads there, and take out what its workers don't need.

    The database's password is in the URI, which no command line shows.
    """
    environ.update(settings.pools)
    environ["MLFLOW_BACKEND_STORE_URI"] = settings.database.uri()
    environ["MLFLOW_SERVER_ALLOWED_HOSTS"] = ",".join(settings.allowed_hosts)
    # A browser names its page's origin in each POST, and MLflow refuses those that aren't listed:
    # its own page's, behind a load balancer.
    environ["MLFLOW_SERVER_CORS_ALLOWED_ORIGINS"] = ",".join(
        f"{scheme}://{host}" for host in settings.allowed_hosts for scheme in ("https", "http")
    )
    environ["MLFLOW_SERVER_ENABLE_JOB_EXECUTION"] = "false"  # unused here, half of the memory
    environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
    # The CA's path too: see Database.uri.
    for name in (*SECRETS, "ADMIN_PASSWORD", "CLIENT_PASSWORD", "MLFLOW_MYSQL_SSL_CA"):
        environ.pop(name, None)
    if settings.login:
        path = _write_auth_config(settings.login, settings.database)
        environ["MLFLOW_AUTH_CONFIG_PATH"] = str(path)


def _write_auth_config(login: Login, database: Database) -> Path:
    """MLflow wants a file. It has the database's password in it, so it is this user's alone."""
    config = configparser.ConfigParser(interpolation=None)
    config["mlflow"] = {
        "database_uri": database.uri().replace("%", "%%"),  # MLflow reads it with interpolation
        "default_permission": login.default_permission,
        "admin_username": ADMIN_USERNAME,
        "auth_cache_ttl_seconds": str(LOGIN_CACHE_SECONDS),
    }
    path = Path(tempfile.mkdtemp(prefix="mlflow-auth-")) / "auth.ini"
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        config.write(file)
    return path


def mlflow_arguments(settings: Settings) -> list[str]:
    """`mlflow server`'s, nothing secret among them."""
    limits = {
        "--timeout-keep-alive": KEEP_ALIVE_SECONDS,
        "--timeout-graceful-shutdown": SHUTDOWN_SECONDS,
        # On half a processor, a worker that still imports must not be taken for a dead one.
        "--timeout-worker-healthcheck": 60,
    }
    return [
        "server",
        *("--host", "0.0.0.0", "--port", str(settings.port)),  # noqa: S104 # a container's own
        *("--workers", str(settings.workers)),
        *("--default-artifact-root", settings.artifact_root, "--no-serve-artifacts"),
        *(("--app-name", "basic-auth") if settings.login else ()),
        *("--uvicorn-opts", " ".join(f"{name} {value}" for name, value in limits.items())),
    ]


def _prepare(settings: Settings, connection: pymysql.Connection) -> None:
    """Make the tables of an empty database, and the users."""
    for schema in (TRACKING, USERS) if settings.login else (TRACKING,):
        found = schema.find(connection)
        if found.state not in (State.CURRENT, State.EMPTY):
            raise ServerError(schema.refusal(found, settings.database))
        logger.info("%s schema: %s", schema.title, found.version or "none yet, making its tables")
    from mlflow.server.handlers import initialize_backend_stores

    uri = settings.database.uri()
    initialize_backend_stores(uri, uri, settings.artifact_root)
    if settings.login:
        _prepare_users(settings.login, uri)


def _prepare_users(login: Login, uri: str) -> None:
    """The administrator and the client, with the passwords of their secrets."""
    from mlflow.server.auth import store

    with unique_foreign_keys():
        store.init_db(uri)
    for username, password, is_admin in (
        (ADMIN_USERNAME, login.admin_password, True),
        (login.client_username, login.client_password, False),
    ):
        if not store.has_user(username):
            store.create_user(username, password, is_admin=is_admin)
            logger.info("Made the user %s", username)
            continue
        if not store.authenticate_user(username, password):
            store.update_user(username, password=password)
            logger.info("Gave the user %s its secret's password", username)
        if store.get_user(username).is_admin != is_admin:
            store.update_user(username, is_admin=is_admin)
            logger.info("The user %s is %s administrator", username, "now" if is_admin else "no")


if __name__ == "__main__":
    sys.exit(main())
