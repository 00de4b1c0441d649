"""Bringing the database's tables up to date: ours with Alembic, the queue's with DBOS."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from dbos import DBOS

from onboarding.db import Database
from onboarding.errors import DatabaseUnfit
from onboarding.queue import database_url

MIGRATIONS = Path(__file__).resolve().parent / "migrations"
_POSTGRESQL_FITNESS = """
    SELECT current_database() AS name, current_user AS role,
        pg_encoding_to_char(encoding) AS encoding,
        has_schema_privilege(to_regnamespace('public'), 'CREATE')
            AND (has_database_privilege(current_database(), 'CREATE')
                OR (to_regnamespace('dbos') IS NOT NULL AND EXISTS
                    (SELECT FROM pg_extension WHERE extname = 'pg_trgm'))) AS may_create,
        EXISTS (SELECT FROM pg_available_extensions WHERE name = 'pg_trgm') AS has_trigrams
    FROM pg_database WHERE datname = current_database()
"""


def upgrade(database: Database, url: str) -> None:
    """Apply every migration that is missing.

    The queue's first: what is current then has both (see `is_current`).

    :raise DatabaseUnfit: before anything is changed
    """
    if not is_current(database) and (problem := unfitness(database)):
        raise DatabaseUnfit(problem)
    DBOS.migrate(database_url(url))
    with migrating(database) as config:
        command.upgrade(config, "head")


@contextmanager
def migrating(database: Database) -> Iterator[Config]:
    """What Alembic's commands need to change a database, all of it or nothing.

    To change a column SQLite makes its table anew, and to drop the old one is to delete its rows:
    those that refer to them would forbid it, or go with them. So it looks away meanwhile, which
    can be said outside of a transaction only (https://sqlite.org/lang_altertable.html#otheralter).
    """
    with database.engine.connect() as connection:
        config = _config()
        config.attributes["connection"] = connection
        _look_at_references(connection, "OFF")
        try:
            yield config
            connection.commit()
        finally:
            connection.rollback()
            _look_at_references(connection, "ON")


def _look_at_references(connection: sa.Connection, switch: str) -> None:
    driver = connection.connection.driver_connection
    if connection.dialect.name == "sqlite" and driver is not None:
        driver.execute(f"PRAGMA foreign_keys={switch}")


def add_migration(database: Database, message: str) -> None:
    """Write a migration from what the models say and the database does not have."""
    with database.engine.connect() as connection:
        config = _config()
        config.attributes["connection"] = connection
        command.revision(config, message=message, autogenerate=True)


def is_current(database: Database) -> bool:
    """Whether the database has all migrations of this release."""
    newest = ScriptDirectory.from_config(_config()).get_current_head()
    with database.engine.connect() as connection:
        if not sa.inspect(connection).has_table("alembic_version"):
            return False
        found = connection.scalars(sa.text("SELECT version_num FROM alembic_version")).all()
        return found == [newest]


def unfitness(database: Database) -> str:
    """Why the database can't hold our tables, and what to do; empty if it can."""
    if database.engine.dialect.name != "postgresql":
        return ""
    with database.engine.connect() as connection:
        found = connection.execute(sa.text(_POSTGRESQL_FITNESS)).one()
    if found.encoding != "UTF8":
        return (
            f"the encoding of the database {found.name} is {found.encoding}, and names of growers "
            f"need UTF8. Make it anew: createdb -O {found.role} -E UTF8 -T template0 {found.name}"
        )
    if not found.has_trigrams:
        return (
            "the server does not have PostgreSQL's own extension pg_trgm, by which staff search. "
            "Install it beside the server: on Debian it comes with postgresql, elsewhere with "
            "postgresql-contrib"
        )
    if not found.may_create:
        return (
            f"{found.role} may not create tables and extensions in the database {found.name}. "
            f"As PostgreSQL's administrator: "
            f'ALTER DATABASE "{found.name}" OWNER TO "{found.role}"'
        )
    return ""


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    return config
