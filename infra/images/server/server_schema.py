"""Whether a database's tables are those that the image's MLflow works with, and how to get there.

MLflow has two histories of tables, each with its version in the database: experiments and models,
and users. Left alone it makes missing tables of the one and upgrades the other, whenever a new
image happens to start; here both wait for someone to say so (docs/mlflow-server.md).
"""

from __future__ import annotations

import contextlib
import enum
import importlib.util
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pymysql
from server_database import rows, value
from server_settings import Database

PROCEDURE = "docs/mlflow-server.md, Upgrading MLflow"


class State(enum.Enum):
    EMPTY = "empty"
    CURRENT = "current"
    OLDER = "older"
    NEWER = "newer"
    UNKNOWN = "unknown"


@dataclass(frozen=True, kw_only=True)
class Found:
    """What a database has of a schema."""

    state: State
    version: str | None


@dataclass(frozen=True, kw_only=True)
class Schema:
    title: str
    migrations: str
    version_table: str
    first_table: str
    upgrade: Callable[[str], None]
    """Of the database with that URI."""

    def history(self) -> list[str]:
        """The versions that this image's MLflow knows, the newest first."""
        from alembic.script import ScriptDirectory

        mlflow = importlib.util.find_spec("mlflow")
        assert mlflow is not None
        assert mlflow.origin is not None
        script = ScriptDirectory(str(Path(mlflow.origin).parent / self.migrations))
        return [revision.revision for revision in script.walk_revisions()]

    def find(self, connection: pymysql.Connection) -> Found:
        tables = {
            str(row[0])
            for row in rows(
                connection,
                "SELECT table_name FROM information_schema.tables WHERE table_schema = DATABASE()",
            )
        }
        version = None
        if self.version_table in tables:
            version = value(connection, f"SELECT version_num FROM {self.version_table}")  # noqa: S608
        state = state_of(version, self.history(), has_tables=self.first_table in tables)
        return Found(state=state, version=version)

    def refusal(self, found: Found, database: Database) -> str:
        """Why nothing is done with it, and what to do."""
        place = f"the {self.title} schema of {database}"
        if found.state is State.OLDER:
            return (
                f"{place} has version {found.version}, this image needs {self.history()[0]}. "
                "Nothing was changed. Back the database up, stop the service, run this image's "
                f"`upgrade`, start the service ({PROCEDURE})"
            )
        if found.state is State.NEWER:
            return (
                f"{place} has version {found.version}, which this image doesn't know: a newer "
                "MLflow made it, and there is no way back. Run that newer image, or restore the "
                f"backup from before the upgrade ({PROCEDURE})"
            )
        return (
            f"{place} has tables, but no version: its first start was cut off, or they are another "
            "application's. MLflow needs an empty database"
        )


def state_of(version: str | None, history: Sequence[str], *, has_tables: bool) -> State:
    """What a database with that version is for an image that knows that history."""
    if version is None:
        return State.UNKNOWN if has_tables else State.EMPTY
    if version not in history:
        return State.NEWER
    return State.CURRENT if version == history[0] else State.OLDER


@contextlib.contextmanager
def unique_foreign_keys() -> Iterator[None]:
    """Let MLflow make its tables of users on MySQL.

    Its first migration gives two tables a foreign key `fk_user_id`, and MySQL wants a name only
    once in a database (https://github.com/mlflow/mlflow/issues/9642, open in MLflow 3.17.2).
    """
    from sqlalchemy import ForeignKeyConstraint, Table, event

    def rename(constraint: ForeignKeyConstraint, table: Table) -> None:
        if constraint.name == "fk_user_id" and table.name == "registered_model_permissions":
            constraint.name = "fk_registered_model_perm_user_id"

    event.listen(ForeignKeyConstraint, "after_parent_attach", rename)
    try:
        yield
    finally:
        event.remove(ForeignKeyConstraint, "after_parent_attach", rename)


# Commands of MLflow, in this process: an argument of another one could be read by everyone.
def _upgrade_tracking(uri: str) -> None:
    from mlflow.db import commands

    commands.main(["upgrade", uri], prog_name="mlflow db", standalone_mode=False)


def _upgrade_users(uri: str) -> None:
    from mlflow.server.auth.db.cli import commands

    commands.main(["upgrade", "--url", uri], prog_name="auth db", standalone_mode=False)


TRACKING = Schema(
    title="tracking",
    migrations="store/db_migrations",
    version_table="alembic_version",
    first_table="experiments",
    upgrade=_upgrade_tracking,
)
USERS = Schema(
    title="users",
    migrations="server/auth/db/migrations",
    version_table="alembic_version_auth",
    first_table="users",
    upgrade=_upgrade_users,
)
