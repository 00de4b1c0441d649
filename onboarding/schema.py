"""Bringing the database's tables up to date: ours with Alembic, the queue's with DBOS."""

from __future__ import annotations

from pathlib import Path

import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from dbos import DBOS

from onboarding.db import Database
from onboarding.queue import database_url

MIGRATIONS = Path(__file__).resolve().parent / "migrations"


def upgrade(database: Database, url: str) -> None:
    """Apply every migration that is missing.

    The queue's first: what is current then has both (see `is_current`).
    """
    DBOS.migrate(database_url(url))
    with database.engine.connect() as connection:
        config = _config()
        config.attributes["connection"] = connection
        command.upgrade(config, "head")
        connection.commit()


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


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    return config
