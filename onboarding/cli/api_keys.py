"""Keys with which partners' programs ask the API: `key …`."""

from __future__ import annotations

import click
from flask.cli import AppGroup

from onboarding.cli.shared import installation, plain_errors
from onboarding.clock import now
from onboarding.models import ApiKey
from onboarding.partners import keys
from onboarding.staff import audit, partners
from onboarding.states import ApiScope

key = AppGroup("key", help="Keys of partners' programs for the API.")

SCOPE = click.Choice([scope.value for scope in ApiScope])


@key.command("add")
@click.argument("slug")
@click.option("--name", required=True, help="What it is for.")
@click.option("--scope", "scopes", multiple=True, type=SCOPE, help="Default: read and write.")
def add(slug: str, name: str, scopes: tuple[str, ...]) -> None:
    """Make a key for a partner, and print it, this once."""
    wanted = scopes or (ApiScope.READ.value, ApiScope.WRITE.value)
    with plain_errors(), installation().database.transaction() as session:
        partner = partners.named(session, slug)
        made, secret = keys.make(session, partner, name=name, scopes=wanted)
        audit.record(session, None, "key.add", partner=partner, key=made.prefix, scopes=made.scopes)
    _show(secret)


@key.command("list")
@click.argument("slug")
def show(slug: str) -> None:
    """List a partner's keys, the newest first."""
    with plain_errors(), installation().database.reading() as session:
        for one in keys.of(session, partners.named(session, slug)):
            click.echo(_line(one))


@key.command("rotate")
@click.argument("prefix")
def rotate(prefix: str) -> None:
    """Make another key that may do the same; this one works for 24 hours more."""
    with plain_errors(), installation().database.transaction() as session:
        old = keys.named(session, prefix)
        made, secret = keys.rotate(session, old)
        audit.record(
            session, None, "key.rotate", partner=old.partner, key=made.prefix, old=old.prefix
        )
    _show(secret)


@key.command("revoke")
@click.argument("prefix")
def revoke(prefix: str) -> None:
    """Let a key open nothing any more, at once."""
    with plain_errors(), installation().database.transaction() as session:
        found = keys.named(session, prefix)
        keys.revoke(found)
        audit.record(session, None, "key.revoke", partner=found.partner, key=found.prefix)
    click.echo("Revoked.", err=True)


def _show(secret: str) -> None:
    click.echo(secret)
    click.echo("It is shown this once, and kept nowhere.", err=True)


def _line(one: ApiKey) -> str:
    if one.revoked_at is not None:
        state = "revoked"
    elif one.expires_at is not None:
        ended = one.expires_at <= now()
        state = "rotated" if ended else f"rotated, works until {one.expires_at:%Y-%m-%d %H:%M} UTC"
    else:
        state = "works"
    used = f"{one.used_at:%Y-%m-%d %H:%M} UTC" if one.used_at else "never"
    return f"{one.prefix}…  {', '.join(one.scopes)}  {state}  last used: {used}  {one.name}"
