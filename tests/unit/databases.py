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

    def fresh(self, _folder: Path) -> str:
        """The URL of the database, after emptying it."""
        engine = sa.create_engine(self._url)
        with engine.begin() as connection:
            connection.exec_driver_sql(f"SET lock_timeout = '{LOCK_TIMEOUT}'")
            names = [
                f'"{namespace}"."{name}"'
                for namespace, name in connection.exec_driver_sql(
                    "SELECT schemaname, tablename FROM pg_tables "
                    "WHERE schemaname IN ('public', 'dbos')"
                )
                if name not in KEPT
            ]
            connection.exec_driver_sql(f"TRUNCATE {', '.join(names)}")
        engine.dispose()
        return self._url


def as_settings_write_it(url: str) -> str:
    """A PostgreSQL URL with the name of our driver."""
    return url.replace("postgresql://", "postgresql+psycopg://", 1)


def _migrate(url: str) -> None:
    database = Database(url)
    schema.upgrade(database, url)
    database.engine.dispose()
