"""Keys for signing and encryption: `keys …`."""

from __future__ import annotations

import secrets

import click
from flask.cli import AppGroup

from onboarding import vault
from onboarding.cli.shared import installation, plain_errors
from onboarding.connections import rotation

SECRET_KEY_BYTES = 48
ALERT_SECRET_BYTES = 32

keys = AppGroup("keys", help="Keys for signing and encryption.")


@keys.command("new")
def keys_new() -> None:
    """Print new lines for .env: SECRET_KEY, ENCRYPTION_KEYS and LEAF_ALERT_SECRET."""
    click.echo(f"SECRET_KEY={secrets.token_urlsafe(SECRET_KEY_BYTES)}")
    click.echo(f"ENCRYPTION_KEYS={vault.new_key()}")
    click.echo(f"LEAF_ALERT_SECRET={secrets.token_urlsafe(ALERT_SECRET_BYTES)}")


@keys.command("rotate")
def keys_rotate() -> None:
    """Encrypt all that is stored with the first key of ENCRYPTION_KEYS.

    First OLD,NEW in all processes, then NEW,OLD in all of them, then this; then drop the old key.
    """
    parts = installation()
    with plain_errors():
        done = rotation.rotate(parts.database, parts.vault)
    click.echo(f"Encrypted anew with the first key: {done.renewed}.")
    if done.unreadable:
        raise click.ClickException(
            f"no key in ENCRYPTION_KEYS reads {done.unreadable} of what is stored. Do not drop a "
            "key yet: bring the key back that they were encrypted with, and run this again. If it "
            "is lost, the growers whom flask --app wsgi connection list names must connect again, "
            "and secrets that flask --app wsgi webhook list and application list name must be "
            "replaced."
        )
