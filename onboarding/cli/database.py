"""The tables: `db …`."""

from __future__ import annotations

import click
from flask.cli import AppGroup

from onboarding.cli.shared import installation, plain_errors

db = AppGroup("db", help="The database's tables.")


@db.command("upgrade")
def db_upgrade() -> None:
    """Bring the tables up to date. Safe to repeat."""
    from onboarding import schema

    parts = installation()
    with plain_errors():
        schema.upgrade(parts.database, parts.settings.database_url)
    click.echo("The database is up to date.", err=True)


@db.command("revision")
@click.argument("message")
def db_revision(message: str) -> None:
    """Write a migration for what changed in the models (for developers)."""
    from onboarding import schema

    schema.add_migration(installation().database, message)
