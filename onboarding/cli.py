"""The commands: `flask --app wsgi …`. Results go to standard output, all else to standard error.

What only one command needs is imported there: web and the other commands start faster without.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import cast

import click
import sqlalchemy as sa
from flask import Flask, current_app
from flask.cli import AppGroup
from sqlalchemy.exc import OperationalError, ProgrammingError

from onboarding import describe, vault
from onboarding.clock import now
from onboarding.connections import (
    attention,
    consent,
    hand_over,
    incidents,
    invitations,
    rotation,
)
from onboarding.errors import OnboardingError, SettingsInvalid
from onboarding.installation import Installation
from onboarding.models import Connection, Event, Link

SECRET_KEY_BYTES = 48
EVENTS_SHOWN = 30
CONNECTIONS_SHOWN = 100

db = AppGroup("db", help="The database's tables.")
keys = AppGroup("keys", help="Keys for signing and encryption.")
partner = AppGroup("partner", help="Partners, who bring growers.")
connection = AppGroup("connection", help="Look a connection up and mend it.")


def init_app(app: Flask) -> None:
    """Register the commands."""
    for command in (db, keys, partner, connection, link, revoke_link, worker, doctor):
        app.cli.add_command(command)


def _installation() -> Installation:
    found = current_app.extensions["onboarding"]
    if isinstance(found, SettingsInvalid):
        raise click.ClickException(f"the settings are not complete.\n{found}")
    return cast(Installation, found)


@contextmanager
def _plain_errors() -> Iterator[None]:
    """What is wrong in a line, without a traceback."""
    try:
        yield
    except OnboardingError as err:
        raise click.ClickException(str(err)) from err
    except (OperationalError, ProgrammingError) as err:
        # Not to be reached, or without our tables.
        what = str(err.orig).partition("\n")[0]
        raise click.ClickException(
            f"the database can't be used: {what}. What to do says: flask --app wsgi doctor"
        ) from err


@db.command("upgrade")
def db_upgrade() -> None:
    """Bring the tables up to date. Safe to repeat."""
    from onboarding import schema

    parts = _installation()
    with _plain_errors():
        schema.upgrade(parts.database, parts.settings.database_url)
    click.echo("The database is up to date.", err=True)


@db.command("revision")
@click.argument("message")
def db_revision(message: str) -> None:
    """Write a migration for what changed in models.py (for developers)."""
    from onboarding import schema

    schema.add_migration(_installation().database, message)


@keys.command("new")
def keys_new() -> None:
    """Print new SECRET_KEY and ENCRYPTION_KEYS lines for .env."""
    click.echo(f"SECRET_KEY={secrets.token_urlsafe(SECRET_KEY_BYTES)}")
    click.echo(f"ENCRYPTION_KEYS={vault.new_key()}")


@keys.command("rotate")
def keys_rotate() -> None:
    """Encrypt all that is stored with the first key of ENCRYPTION_KEYS.

    First OLD,NEW in all processes, then NEW,OLD in all of them, then this; then drop the old key.
    """
    parts = _installation()
    with _plain_errors():
        done = rotation.rotate(parts.database, parts.vault)
    click.echo(f"Encrypted anew with the first key: {done.renewed}.")
    if done.unreadable:
        raise click.ClickException(
            f"no key in ENCRYPTION_KEYS reads {done.unreadable} of what is stored. Do not drop a "
            "key yet: bring the key back that they were encrypted with, and run this again. If it "
            "is lost, the growers whom flask --app wsgi connection list names must connect again."
        )


@partner.command("add")
@click.argument("slug")
@click.option("--name", required=True, help="As growers read it.")
@click.option("--frame-origin", "frame_origins", multiple=True, help="May frame our pages.")
@click.option("--return-url", "return_urls", multiple=True, help="Where growers may return to.")
@click.option("--select-organizations", is_flag=True, help="Sync nothing at Leaf until chosen.")
@click.option("--colour", help="The partner's colour, like #1a2b3c.")
@click.option("--support-name", help="Whom growers ask.")
@click.option("--support-email")
@click.option("--support-phone")
@click.option("--support-url")
def partner_add(
    slug: str,
    name: str,
    frame_origins: tuple[str, ...],
    return_urls: tuple[str, ...],
    select_organizations: bool,
    colour: str | None,
    support_name: str | None,
    support_email: str | None,
    support_phone: str | None,
    support_url: str | None,
) -> None:
    """Add a partner."""
    parts = _installation()
    with _plain_errors(), parts.database.transaction() as session:
        invitations.add_partner(
            session,
            slug=slug,
            name=name,
            frame_origins=frame_origins,
            return_urls=return_urls,
            select_organizations=select_organizations,
            colour=colour,
            support_name=support_name,
            support_email=support_email,
            support_phone=support_phone,
            support_url=support_url,
        )
    # Beside `make run` no `flask` is on the PATH.
    flask = "python -m onboarding.local" if parts.settings.local_run else "flask --app wsgi"
    click.echo(f"Partner {slug} added. Next: {flask} link {slug} …", err=True)


@click.command()
@click.argument("slug")
@click.option("--external-id", required=True, help="The partner's own id of the grower.")
@click.option("--name", required=True, help="The grower's or farm's name.")
@click.option("--email", help="Where the grower is reached.")
@click.option("--leaf-user", help="The grower's Leaf user, if there is one already.")
def link(slug: str, external_id: str, name: str, email: str | None, leaf_user: str | None) -> None:
    """Make a link for a grower, and print its URL alone."""
    parts = _installation()
    with _plain_errors(), parts.database.transaction() as session:
        made = invitations.invite(
            session,
            partner_slug=slug,
            external_id=external_id,
            name=name,
            email=email,
            leaf_user_id=leaf_user,
            lifetime=timedelta(days=parts.settings.link_lifetime_days),
        )
        session.flush()
        url = f"{parts.settings.public_url}/c/{parts.links.token(made.id)}"
    click.echo(url)


@click.command("revoke-link")
@click.argument("url")
def revoke_link(url: str) -> None:
    """End a link. The browser that connected keeps its own access for 90 days."""
    parts = _installation()
    with _plain_errors(), parts.database.transaction() as session:
        link_id = parts.links.link_id(url.rstrip("/").rpartition("/")[2])
        found = session.get(Link, link_id)
        if found is None:
            raise click.ClickException("there is no such link here.")
        invitations.revoke(session, found)
    click.echo("Revoked.", err=True)


@connection.command("show")
@click.argument("reference")
def connection_show(reference: str) -> None:
    """Show a connection by its reference code: where it stands, why, and what happened."""
    with _plain_errors(), _installation().database.reading() as session:
        found = _find(reference, session.scalar(_by_reference(reference)))
        latest = consent.latest(session, found.id)
        told = describe.connection(found, latest=latest, moment=now())
        grower = found.grower
        click.echo(f"{grower.name} ({grower.partner.slug}: {grower.external_id})")
        click.echo(f"{told.label}: {told.title}. Whose turn: {told.who}.")
        click.echo(f"stage {found.stage.value}, {describe.health_for_staff(found, now())}")
        why = describe.for_staff(found, latest)
        if why:
            keys = describe.keys_for_staff(found, latest)
            click.echo(f"Why: {keys and keys + ': '}{why}")
        if latest is not None and latest.detail not in why:
            click.echo(f"Last attempt: {latest.outcome}: {latest.detail}")
        click.echo(f"Leaf user {grower.leaf_user_id}, credential {found.leaf_credential_id}")
        for organization in found.organizations:
            state = "shared" if organization.connected else "not shared"
            click.echo(f"  {organization.name} ({organization.deere_id}): {state}")
        if found.arrivals_read_at is not None:
            click.echo(
                f"Arrived at Leaf, as of {found.arrivals_read_at:%Y-%m-%d %H:%M}: growers "
                f"{found.growers_arrived}, farms {found.farms_arrived}, fields "
                f"{found.fields_arrived}"
            )
        events = sa.select(Event).where(Event.connection_id == found.id).order_by(Event.id.desc())
        for event in session.scalars(events.limit(EVENTS_SHOWN)):
            data = " ".join(f"{key}={value}" for key, value in event.data.items() if value)
            text = f"{event.at:%Y-%m-%d %H:%M:%S} {event.who} {event.kind} {data}"
            click.echo(f"  {text.rstrip()}")


@connection.command("list")
def connection_list() -> None:
    """List the connections that wait for staff: reference, grower, why."""
    with _plain_errors(), _installation().database.reading() as session:
        if incident := incidents.present(session):
            click.echo(describe.incident_for_staff(incident), err=True)
        for found in attention.first(session, CONNECTIONS_SHOWN):
            grower, latest = found.grower, consent.latest(session, found.id)
            keys = describe.keys_for_staff(found, latest) or found.health.value
            click.echo(
                f"{found.reference}  {grower.partner.slug}/{grower.external_id}  {keys}  "
                f"{describe.for_staff(found, latest)}"
            )
        count = attention.count(session)
    if not count:
        click.echo("No connection waits for staff.", err=True)
    if count > CONNECTIONS_SHOWN:
        click.echo(f"… and {count - CONNECTIONS_SHOWN} more", err=True)


@connection.command("retry")
@click.argument("reference")
def connection_retry(reference: str) -> None:
    """Try a failed hand-over again, after its reason has been mended."""
    parts = _installation()
    with _plain_errors(), parts.database.transaction() as session:
        found = _find(reference, session.scalar(_by_reference(reference)))
        hand_over.retry(session, parts.queue, found)
    click.echo("Enqueued.", err=True)


def _by_reference(reference: str) -> sa.Select[Connection]:
    return sa.select(Connection).where(Connection.reference == reference.strip().upper())


def _find(reference: str, found: Connection | None) -> Connection:
    if found is None:
        raise click.ClickException(f"no connection has the reference {reference!r}.")
    return found


@click.command()
def worker() -> None:
    """Hand tokens over to Leaf and watch connections, until Ctrl-C or SIGTERM."""
    from onboarding import schema
    from onboarding.worker import run

    parts = _installation()
    with _plain_errors():
        current = schema.is_current(parts.database)
    if not current:
        raise click.ClickException(
            "the database is not up to date. Run: flask --app wsgi db upgrade"
        )
    run(parts)


@click.command()
def doctor() -> None:
    """Check the installation: one line each, exit status 1 if anything is wrong."""
    from onboarding.doctor import examine

    findings = list(examine(_installation()))
    for finding in findings:
        click.echo(("ok    " if finding.fine else "WRONG ") + finding.text)
    if not all(finding.fine for finding in findings):
        raise SystemExit(1)
