from __future__ import annotations

import contextlib
import dataclasses

import pytest
from server_database import connect
from server_schema import TRACKING, USERS, Found, State, state_of
from server_settings import Database

from tests.mariadb import Mariadb


@pytest.mark.parametrize(
    ("version", "has_tables", "state"),
    [
        (None, False, State.EMPTY),
        (None, True, State.UNKNOWN),
        ("3", True, State.CURRENT),
        ("2", True, State.OLDER),
        ("1", True, State.OLDER),
        ("4", True, State.NEWER),
    ],
)
def test_state_by_the_image_s_history(version: str | None, has_tables: bool, state: State) -> None:
    assert state_of(version, ["3", "2", "1"], has_tables=has_tables) is state


@pytest.mark.parametrize("schema", [TRACKING, USERS])
def test_history_is_mlflow_s_with_the_newest_first(schema) -> None:
    history = schema.history()
    assert len(history) == len(set(history)) > 5


@pytest.mark.timeout(120)
def test_what_a_database_has_is_found_and_refused_with_the_remedy(mariadb: Mariadb) -> None:
    database = Database(**dataclasses.asdict(mariadb.create_database("states")))
    with contextlib.closing(connect(database)) as connection:

        def found() -> Found:
            return TRACKING.find(connection)

        assert found() == Found(state=State.EMPTY, version=None)
        mariadb.execute("CREATE TABLE experiments (id INT)", database="states")
        assert found().state is State.UNKNOWN
        assert "another application's" in TRACKING.refusal(found(), database)
        mariadb.execute(
            "CREATE TABLE alembic_version (version_num VARCHAR(32) PRIMARY KEY)",
            f"INSERT INTO alembic_version VALUES ('{TRACKING.history()[1]}')",
            database="states",
        )
        assert found().state is State.OLDER
        message = TRACKING.refusal(found(), database)
        assert f"the tracking schema of states@{database.host}" in message
        assert (
            f"version {TRACKING.history()[1]}, this image needs {TRACKING.history()[0]}" in message
        )
        assert "run this image's `upgrade`" in message
        assert "docs/mlflow-server.md" in message
        assert database.password not in message
        mariadb.execute("UPDATE alembic_version SET version_num = 'f00'", database="states")
        assert found() == Found(state=State.NEWER, version="f00")
        assert "a newer MLflow made it" in TRACKING.refusal(found(), database)
