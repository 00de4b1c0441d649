"""Empty databases with all tables, made once and emptied for each test."""

from __future__ import annotations

import shutil
from pathlib import Path

import sqlalchemy as sa

from onboarding import schema
from onboarding.db import Database

LOCK_TIMEOUT = "10s"
KEPT = {"alembic_version", "dbos_migrations"}


class Sqlite:
    """A migrated file; every test gets a copy."""

    def __init__(self, folder: Path) -> None:
        self._file = folder / "migrated.sqlite"
        _migrate(f"sqlite:///{self._file}")

    def fresh(self, folder: Path) -> str:
        """The URL of an empty database in a folder."""
        return f"sqlite:///{shutil.copy(self._file, folder / 'test.sqlite')}"


class Postgresql:
    """A migrated database; every test finds it empty."""

    def __init__(self, url: str) -> None:
        self._url = as_settings_write_it(url)
        _migrate(self._url)
        engine = sa.create_engine(self._url)
        with engine.begin() as connection:
            names = connection.exec_driver_sql(
                "SELECT quote_ident(schemaname) || '.' || quote_ident(tablename), tablename"
                " FROM pg_tables WHERE schemaname IN ('public', 'dbos')"
            )
            emptied = [f"DELETE FROM {name}" for name, table in names if table not in KEPT]  # noqa: S608
        engine.dispose()
        # With few rows this is ten times as fast as TRUNCATE, which makes every file anew.
        # "replica": foreign keys are not looked at, so the order does not matter.
        begin = [f"SET lock_timeout = '{LOCK_TIMEOUT}'", "SET session_replication_role = replica"]
        self._empty = "; ".join([*begin, *emptied])

    def fresh(self, _folder: Path) -> str:
        """The URL of the database, after emptying it."""
        engine = sa.create_engine(self._url)
        with engine.begin() as connection:
            connection.exec_driver_sql(self._empty)
        engine.dispose()
        return self._url


def as_settings_write_it(url: str) -> str:
    """A PostgreSQL URL with the name of our driver."""
    return url.replace("postgresql://", "postgresql+psycopg://", 1)


def _migrate(url: str) -> None:
    database = Database(url)
    schema.upgrade(database, url)
    database.engine.dispose()
