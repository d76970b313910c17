"""The MLflow server as its container runs it, on a MySQL-compatible database.

Each start takes some ten seconds of two processors, so the tests share few servers: a pair with
login, started at once on an empty database; one without, on a database that was upgraded; and one
that comes later.
"""

from __future__ import annotations

import contextlib
import dataclasses
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import requests
from alembic import command
from server_database import connect, wait_until_alone
from server_schema import TRACKING
from server_settings import Database as ServersDatabase
from server_settings import ServerError
from sqlalchemy import create_engine, make_url
from sqlalchemy.exc import OperationalError
from sqlalchemy.pool import NullPool

from tests.mariadb import Authority, Database, Mariadb
from tests.tracking_server import USER_ID, MlflowContainer

if TYPE_CHECKING:  # seconds, in each process that collects tests
    import mlflow

# What a URI, an INI file with interpolation and SQL's quotes could each stumble over.
_PASSWORD = "p@ss/w%rd:'\"#?&;\\"
_SEARCH = "/api/2.0/mlflow/experiments/search"
pytestmark = pytest.mark.timeout(300)


@pytest.fixture(scope="module")
def empty(mariadb: Mariadb) -> Database:
    return mariadb.create_database("mlflow", password=_PASSWORD)


@pytest.fixture(scope="module")
def pair(
    empty: Database, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[MlflowContainer, MlflowContainer]]:
    """Two tasks of the service with login, started at once on an empty database."""
    folder = tmp_path_factory.mktemp("pair")
    one, other = (
        MlflowContainer(empty, folder / name, basic_auth=True) for name in ("one", "other")
    )
    try:
        one.launch()
        other.launch()
        one.wait_until_healthy()
        other.wait_until_healthy()
        yield one, other
    finally:
        one.stop()
        other.stop()


@pytest.fixture(scope="module")
def older(mariadb: Mariadb) -> Database:
    """A database as an MLflow of three versions of its tables ago left it, with an experiment."""
    from mlflow.store.db.utils import _get_alembic_config
    from mlflow.store.tracking.dbmodels.initial_models import Base as InitialTables

    database = mariadb.create_database("older")
    uri = _as_server_sees(database).uri()
    engine = create_engine(uri)
    InitialTables.metadata.create_all(engine)
    engine.dispose()
    command.upgrade(_get_alembic_config(uri), TRACKING.history()[3])
    mariadb.execute(
        "INSERT INTO experiments (experiment_id, name, artifact_location, lifecycle_stage,"
        " creation_time, last_update_time, workspace)"
        " VALUES (7, 'from before', 's3://artifacts/7', 'active', 1, 1, 'default')",
        database="older",
    )
    return database


@pytest.fixture(scope="module")
def upgraded(
    older: Database, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[MlflowContainer]:
    """A task without login."""
    container = MlflowContainer(older, tmp_path_factory.mktemp("upgraded"), basic_auth=False)
    try:
        yield container
    finally:
        container.stop()


@pytest.fixture
def client(
    pair: tuple[MlflowContainer, MlflowContainer], monkeypatch: pytest.MonkeyPatch
) -> mlflow.MlflowClient:
    """Of the first task, logged in as jobs and builds are."""
    one, _ = pair
    monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", one.client_username)
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", one.secrets["CLIENT_PASSWORD"])
    import mlflow

    return mlflow.MlflowClient(one.url, one.url)


def _as_server_sees(database: Database) -> ServersDatabase:
    return ServersDatabase(**dataclasses.asdict(database))


def _search(
    container: MlflowContainer,
    login: tuple[str, str] | None = None,
    **headers: str,
) -> requests.Response:
    return requests.post(
        container.url + _SEARCH,
        json={"max_results": 10},
        # Latin-1 is all that requests takes of a text.
        auth=tuple(part.encode() for part in login) if login else None,
        headers=headers,
        timeout=60,
    )


def _client_login(container: MlflowContainer) -> tuple[str, str]:
    return container.client_username, container.secrets["CLIENT_PASSWORD"]


def _admin_login(container: MlflowContainer) -> tuple[bytes, bytes]:
    return container.admin_username.encode(), container.secrets["ADMIN_PASSWORD"].encode()


class TestEmptyDatabase:
    def test_two_tasks_at_once_make_one_schema_and_one_user_each(self, pair, mariadb):
        logs = [container.log() for container in pair]
        made = [log.count("tracking schema: none yet, making its tables") for log in logs]
        assert sorted(made) == [0, 1]
        for log in logs:
            assert not re.search(r"ERROR|Traceback|Error:", log), log
        rows = mariadb.execute("SELECT username, is_admin FROM users", database="mlflow")
        assert sorted(rows) == [("admin", 1), ("projects", 0)]
        rows = mariadb.execute("SELECT name FROM experiments", database="mlflow")
        assert rows == [("Default",)]

    def test_mysql_8_4_would_take_the_foreign_keys(self, pair, mariadb):
        """By default (restrict_fk_on_non_standard_key) it wants a unique key behind each."""
        keys = {
            (table, columns)
            for table, columns in mariadb.execute(
                "SELECT table_name, GROUP_CONCAT(column_name ORDER BY seq_in_index)"
                " FROM information_schema.statistics"
                " WHERE table_schema = 'mlflow' AND non_unique = 0"
                " GROUP BY table_name, index_name"
            )
        }
        references = mariadb.execute(
            "SELECT referenced_table_name, GROUP_CONCAT(referenced_column_name"
            " ORDER BY ordinal_position) FROM information_schema.key_column_usage"
            " WHERE table_schema = 'mlflow' AND referenced_table_name IS NOT NULL"
            " GROUP BY table_name, constraint_name, referenced_table_name"
        )
        assert len(references) > 30
        assert set(references) <= keys


class TestIsolation:
    def test_only_tmp_can_be_written(self, pair):
        one, _ = pair
        if one.reduction:
            pytest.skip(one.reduction)
        answer = one.inside(
            "sh", "-c", "id -u; touch /tmp/x && echo /tmp; touch /etc/x /usr/x /opt/mlflow-server/x"
        )
        assert answer.output.startswith(f"{USER_ID}\n/tmp\n")
        assert answer.output.count("Read-only file system") == 3

    def test_passwords_are_in_no_command_line_and_no_log(self, pair):
        for container in pair:
            lines = [" ".join(process.cmdline()) for process in container.processes()]
            for text in (*lines, container.log()):
                for secret in (*container.secrets.values(), "p%40ss", "w%25rd"):
                    assert secret not in text

    def test_passwords_of_users_stay_out_of_the_workers(self, pair):
        one, _ = pair
        _, *workers = one.processes()
        assert workers
        for worker in workers:
            names = worker.environ().keys()
            assert not {"ADMIN_PASSWORD", "CLIENT_PASSWORD", "DATABASE_PASSWORD"} & names

    def test_file_with_the_database_s_password_is_its_user_s_alone(self, pair):
        one, _ = pair
        if one.reduction:
            pytest.skip(one.reduction)
        found = one.inside("sh", "-c", "stat -c %a:%u /tmp/mlflow-auth-*/auth.ini")
        assert found.output.split() == [f"600:{USER_ID}"]


class TestLogin:
    def test_nobody_gets_in_without_the_password(self, pair):
        one, _ = pair
        assert _search(one).status_code == 401
        assert _search(one, (one.client_username, "not the password")).status_code == 401
        assert _search(one, _client_login(one)).status_code == 200

    def test_client_tracks_and_registers(self, client, pair):
        _, other = pair
        experiment = client.create_experiment("of the client")
        run = client.create_run(experiment)
        client.log_metric(run.info.run_id, "mae", 0.5)
        client.create_registered_model("housing")
        version = client.create_model_version("housing", f"{run.info.artifact_uri}/model")
        assert str(version.version) == "1"
        assert run.info.artifact_uri.startswith("s3://artifacts/mlflow/")
        names = [row["name"] for row in _search(other, _client_login(other)).json()["experiments"]]
        assert "of the client" in names

    def test_client_is_no_administrator(self, pair):
        one, _ = pair
        answer = requests.post(
            f"{one.url}/api/2.0/mlflow/users/create",
            json={"username": "mallory", "password": "a-password-long-enough"},
            auth=tuple(part.encode() for part in _client_login(one)),
            timeout=30,
        )
        assert answer.status_code == 403

    def test_form_of_one_task_may_be_sent_to_the_other(self, pair):
        one, other = pair
        with requests.Session() as browser:
            browser.auth = _admin_login(one)
            page = browser.get(f"{one.url}/signup", timeout=30)
            [token] = re.findall(r'name="csrf_token"\s+value="([^"]+)"', page.text)
            fields = {"username": "eve", "password": "a-password-long-enough"}
            path = f"{other.url}/api/2.0/mlflow/users/create-ui"
            refused = browser.post(path, data={**fields, "csrf_token": "another"}, timeout=30)
            assert refused.status_code == 400
            taken = browser.post(path, data={**fields, "csrf_token": token}, timeout=30)
            assert taken.status_code == 200
            assert "Successfully signed up user: eve" in taken.text


class TestHosts:
    def test_load_balancer_s_name_is_taken_in_both_spellings(self, pair):
        one, _ = pair
        [name] = [host for host in one.hosts if "*" not in host]
        assert name != name.lower()
        for host in (name, name.lower()):
            assert _search(one, _client_login(one), Host=host).status_code == 200

    def test_another_name_is_refused(self, pair):
        one, _ = pair
        answer = _search(one, _client_login(one), Host="elsewhere.example.com")
        assert answer.status_code == 403
        assert "Host" in answer.text

    def test_own_page_may_post_and_another_s_may_not(self, pair):
        one, _ = pair
        host = one.hosts[0].lower()
        own = _search(one, _client_login(one), Host=host, Origin=f"https://{host}")
        other = _search(one, _client_login(one), Host=host, Origin="https://elsewhere.example.com")
        assert (own.status_code, other.status_code) == (200, 403)

    def test_health_needs_neither_name_nor_login(self, pair):
        one, _ = pair
        headers = {"Host": "10.0.1.17:5000"}
        assert requests.get(f"{one.url}/health", headers=headers, timeout=30).status_code == 200


class TestDatabaseGone:
    def test_check_tells_the_log_requests_fail_and_all_recovers_by_itself(self, pair, mariadb):
        one, _ = pair
        assert one.check().exit_code == 0
        mariadb.stop()
        try:
            check = one.check()
            assert check.exit_code == 1
            assert "database check failed: mlflow@127.0.0.1" in check.output
            if not one.reduction:
                assert check.output in one.log()  # the container's, not only the caller's
            begin = time.monotonic()
            assert _search(one, _client_login(one)).status_code >= 500
            assert time.monotonic() - begin < 30
            assert requests.get(f"{one.url}/health", timeout=10).status_code == 200
        finally:
            mariadb.start()
        assert one.check().exit_code == 0
        assert _search(one, _client_login(one)).status_code == 200


class TestTls:
    def test_database_takes_no_plain_connection(self, empty):
        """So a server that had lost its TLS options would not get in."""
        trusted = make_url(_as_server_sees(empty).uri())
        plain = trusted.set(query={"ssl_disabled": "true"})
        create_engine(trusted, poolclass=NullPool).connect().close()
        # MySQL says that the transport is insecure; MariaDB doesn't say why.
        with pytest.raises(OperationalError, match=r"Access denied|insecure transport"):
            create_engine(plain, poolclass=NullPool).connect()

    @pytest.mark.parametrize("fault", ["authority", "host name"])
    def test_mlflow_s_connections_verify_the_database(self, empty, tmp_path, fault):
        engine = create_engine(_as_server_sees(_untrusted(empty, tmp_path, fault)).uri())
        with pytest.raises(OperationalError, match="CERTIFICATE_VERIFY_FAILED"):
            engine.connect()

    @pytest.mark.parametrize("fault", ["authority", "host name"])
    def test_server_does_not_start_on_a_database_it_cannot_verify(self, empty, tmp_path, fault):
        untrusted = _untrusted(empty, tmp_path, fault)
        container = MlflowContainer(untrusted, tmp_path / "container", basic_auth=False)
        answer = container.run("serve")
        assert answer.exit_code == 1
        assert "CERTIFICATE_VERIFY_FAILED" in answer.output
        assert "must name that host and be signed by one of" in answer.output


def _untrusted(database: Database, folder: Path, fault: str) -> Database:
    if fault == "authority":
        stranger = Authority(folder, "stranger")
        return dataclasses.replace(database, ca_path=stranger.certificate_path)
    return dataclasses.replace(database, host="localhost")  # the certificate has the address only


class TestUpgrade:
    def test_server_refuses_an_older_schema_until_it_is_upgraded(self, older, upgraded, mariadb):
        history = TRACKING.history()
        refused = upgraded.run("serve")
        assert refused.exit_code == 1
        assert f"has version {history[3]}, this image needs {history[0]}" in refused.output
        assert "Nothing was changed" in refused.output
        assert "docs/mlflow-server.md" in refused.output
        assert _version(mariadb) == history[3]

        answer = upgraded.run("upgrade")
        assert answer.exit_code == 0, answer.output
        assert f"tracking: upgraded from {history[3]} to {history[0]}" in answer.output
        assert _version(mariadb) == history[0]

        upgraded.start()
        found = _search(upgraded).json()["experiments"]
        assert sorted(row["name"] for row in found) == ["Default", "from before"]

        in_use = pytest.raises(ServerError, match=r"in use from 127\.0\.0\.1.*stop the service")
        with contextlib.closing(connect(_as_server_sees(older))) as connection, in_use:
            wait_until_alone(connection, _as_server_sees(older), seconds=0)

    def test_server_ends_when_it_is_told_to(self, upgraded):
        begin = time.monotonic()
        assert upgraded.stop() == 0
        assert time.monotonic() - begin < 25


def _version(mariadb: Mariadb) -> object:
    [[version]] = mariadb.execute("SELECT version_num FROM alembic_version", database="older")
    return version


class TestRestart:
    def test_client_gets_its_secret_s_password_and_no_more_rights(self, pair, empty, tmp_path):
        one, _ = pair
        admin = {"auth": _admin_login(one), "timeout": 30}
        users = f"{one.url}/api/2.0/mlflow/users"
        body = {"username": "renewed", "password": "the-old-password"}
        assert requests.post(f"{users}/create", json=body, **admin).status_code == 200
        body = {"username": "renewed", "is_admin": True}
        assert requests.patch(f"{users}/update-admin", json=body, **admin).status_code == 200
        later = MlflowContainer(
            empty,
            tmp_path / "later",
            basic_auth=True,
            environment={"CLIENT_USERNAME": "renewed"},
            secrets={"CLIENT_PASSWORD": "the-new-password"},
        )
        try:
            later.start()
            # Neither task has seen the old one; a password that it has seen, it takes for a minute.
            for container in (one, later):
                assert _search(container, ("renewed", "the-old-password")).status_code == 401
                assert _search(container, ("renewed", "the-new-password")).status_code == 200
            shown = requests.get(f"{users}/get?username=renewed", **admin).json()["user"]
            assert shown["is_admin"] is False
        finally:
            later.stop()
