"""The commands: `flask --app wsgi …`. Results go to standard output, all else to standard error.

What only one command needs is imported there: web and the other commands start faster without.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import cast
from urllib.parse import urlsplit

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
    disconnect,
    hand_over,
    history,
    incidents,
    invitations,
    mails,
    owed,
    registration,
    rotation,
    timeline,
)
from onboarding.errors import OnboardingError, SettingsInvalid
from onboarding.installation import Installation
from onboarding.leaf import Webhook
from onboarding.models import Connection, Grower, Link
from onboarding.settings import is_loopback

SECRET_KEY_BYTES = 48
ALERT_SECRET_BYTES = 32
EVENTS_SHOWN = 30
CONNECTIONS_SHOWN = 100

db = AppGroup("db", help="The database's tables.")
keys = AppGroup("keys", help="Keys for signing and encryption.")
partner = AppGroup("partner", help="Partners, who bring growers.")
connection = AppGroup("connection", help="Look a connection up and mend it.")
leaf = AppGroup("leaf", help="This installation's account at Leaf.")
leaf_alerts = AppGroup("alerts", help="Which alerts Leaf sends here.")
leaf.add_command(leaf_alerts)
mail = AppGroup("mail", help="Mails to growers.")


def init_app(app: Flask) -> None:
    """Register the commands."""
    commands = (db, keys, partner, connection, mail, link, revoke_link, worker, doctor, leaf)
    for command in commands:
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
    """Print new lines for .env: SECRET_KEY, ENCRYPTION_KEYS and LEAF_ALERT_SECRET."""
    click.echo(f"SECRET_KEY={secrets.token_urlsafe(SECRET_KEY_BYTES)}")
    click.echo(f"ENCRYPTION_KEYS={vault.new_key()}")
    click.echo(f"LEAF_ALERT_SECRET={secrets.token_urlsafe(ALERT_SECRET_BYTES)}")


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
@click.option("--send", is_flag=True, help="Mail it to the grower as well.")
def link(
    slug: str, external_id: str, name: str, email: str | None, leaf_user: str | None, send: bool
) -> None:
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
        if send:
            connection = invitations.connection_of(session, made.grower_id)
            mails.invite(session, parts.settings, made, connection)
        url = f"{parts.settings.public_url}/c/{parts.links.token(made.id)}"
    click.echo(url)
    if send:
        click.echo(f"The worker mails it to {made.grower.email}.", err=True)


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
    settings = _installation().settings
    with _plain_errors(), _installation().database.reading() as session:
        found = _find(reference, session.scalar(_by_reference(reference)))
        latest = consent.latest(session, found.id)
        told = describe.connection(
            found, latest=latest, moment=now(), incident=incidents.of(session, found)
        )
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
        click.echo(_mail_line(settings.mail is not None, grower))
        for organization in found.organizations:
            state = "shared" if organization.connected else "not shared"
            click.echo(f"  {organization.name} ({organization.deere_id}): {state}")
        if found.arrivals_read_at is not None:
            click.echo(
                f"Arrived at Leaf, as of {found.arrivals_read_at:%Y-%m-%d %H:%M}: growers "
                f"{found.growers_arrived}, farms {found.farms_arrived}, fields "
                f"{found.fields_arrived}"
            )
        for line in timeline.newest(session, found.id, limit=EVENTS_SHOWN):
            click.echo(f"  {line.at:%Y-%m-%d %H:%M:%S} {line.who} {line.text}")
    with _plain_errors(), _installation().database.transaction() as session:
        if owed.look(session, found):
            click.echo("Leaf is being asked again: look again in a few seconds.", err=True)


def _mail_line(is_on: bool, grower: Grower) -> str:
    if not is_on:
        return "Mail is off: MAIL_URL is not set."
    if not grower.email:
        return "Mail: none, the grower has no address."
    if grower.address_refused_at:
        return (
            f"Mail: none, the mail server refused the address on "
            f"{grower.address_refused_at:%Y-%m-%d}. Correct it with link … --email."
        )
    if grower.mail_stopped_at:
        return f"Mail: only what you send; the grower said so on {grower.mail_stopped_at:%Y-%m-%d}."
    return "Mail: the grower is written to."


@connection.command("list")
def connection_list() -> None:
    """List the connections that wait for staff: reference, grower, why."""
    with _plain_errors(), _installation().database.reading() as session:
        for incident in incidents.present(session):
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
    """Try a failed hand-over again, or a disconnect that waits, after its reason is mended."""
    parts = _installation()
    with _plain_errors(), parts.database.transaction() as session:
        found = _find(reference, session.scalar(_by_reference(reference)))
        hand_over.retry(session, parts.queue, found)
    click.echo("Enqueued.", err=True)


@connection.command("disconnect")
@click.argument("reference")
@click.option("--reason", required=True, help="Why, for the history.")
def connection_disconnect(reference: str, reason: str) -> None:
    """End a connection: Leaf deletes the credential, and the grower can connect again any time."""
    parts = _installation()
    with _plain_errors(), parts.database.transaction() as session:
        found = _find(reference, session.scalar(_by_reference(reference)))
        disconnect.ask(
            session,
            parts.queue,
            found,
            who=history.STAFF,
            reason=disconnect.reason_of_staff(reason),
        )
    click.echo(f"It is being disconnected: connection show {reference} says how far.", err=True)


@mail.command("list")
def mail_list() -> None:
    """List the growers whom no mail reaches: reference, grower, why."""
    parts = _installation()
    if parts.settings.mail is None:
        click.echo("Mail is off: MAIL_URL is not set.", err=True)
    with _plain_errors(), parts.database.reading() as session:
        for found in mails.undelivered(session, CONNECTIONS_SHOWN):
            grower = found.connection.grower
            click.echo(
                f"{found.connection.reference}  {grower.partner.slug}/{grower.external_id}  "
                f"{found.kind.value} of {found.ended_at:%Y-%m-%d}: {found.detail}"
            )


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


@leaf_alerts.command("register")
def leaf_alerts_register() -> None:
    """Let Leaf send its alerts about credentials and organizations here. Safe to repeat."""
    parts = _installation()
    settings = parts.settings
    if not settings.leaf_alert_secret:
        raise click.ClickException(
            "LEAF_ALERT_SECRET is not set, so alerts would be refused. Make one with "
            "flask --app wsgi keys new, set it for web, worker and this command, restart web, and "
            "run this again."
        )
    if is_loopback(settings.public_url) and not settings.is_sandbox:
        click.echo(
            f"Careful: Leaf can't reach {settings.alerts_url}. Alerts arrive only once PUBLIC_URL "
            "is an address that the internet knows.",
            err=True,
        )
    with _plain_errors():
        done = registration.register(
            parts.leaf(), url=settings.alerts_url, secret=settings.leaf_alert_secret
        )
    for events, what in ((done.new, "Registered"), (done.before, "Registered before")):
        if events:
            click.echo(f"{what}: {', '.join(events)}")
    if done.unknown:
        click.echo(
            f"Leaf does not take {', '.join(done.unknown)}: what changes there is seen when Leaf "
            "is asked, within a day.",
            err=True,
        )
    for event, webhook in done.elsewhere.items():
        click.echo(f"{event} is sent {_elsewhere(webhook)} already.", err=True)
    if not done.is_complete:
        raise click.ClickException(
            "Leaf takes each event once for one account (eventRegisteredTwice). Remove the other "
            "webhook with flask --app wsgi leaf alerts remove ID and run this again; or let who "
            f"listens there pass the requests on, unchanged, to {settings.alerts_url}, with "
            "LEAF_ALERT_SECRET set to the secret of that webhook; or give this installation an "
            "account of its own at Leaf. Until then trouble is found when Leaf is asked, within a "
            "day."
        )


@leaf_alerts.command("list")
def leaf_alerts_list() -> None:
    """List the webhooks that Leaf has: id, whose, where to, which events."""
    parts = _installation()
    url = parts.settings.alerts_url
    with _plain_errors():
        found = parts.leaf().webhooks.all(secret=parts.settings.leaf_alert_secret)
    for webhook in found:
        ours = webhook.url == url
        whose, where = ("ours", url) if ours else ("other", _origin(webhook.url))
        click.echo(f"{webhook.id}  {whose}  {where}  {' '.join(sorted(webhook.events))}")
        if ours and webhook.holds_secret is False:
            click.echo(
                f"{webhook.id} is signed with another secret than LEAF_ALERT_SECRET. Run: "
                "flask --app wsgi leaf alerts register",
                err=True,
            )
    if not found:
        click.echo("Leaf sends no alerts. Run: flask --app wsgi leaf alerts register", err=True)


@leaf_alerts.command("remove")
@click.argument("webhook_id", metavar="[ID]", required=False)
def leaf_alerts_remove(webhook_id: str | None) -> None:
    """Remove one webhook, or all that lead here. Leaf then sends them no alerts any more."""
    parts = _installation()
    with _plain_errors():
        if webhook_id is not None:
            if not parts.leaf().webhooks.delete(webhook_id):
                raise click.ClickException(f"Leaf has no webhook {webhook_id!r}.")
            removed = 1
        else:
            removed = len(
                registration.remove_ours(
                    parts.leaf(),
                    url=parts.settings.alerts_url,
                    secret=parts.settings.leaf_alert_secret,
                )
            )
    click.echo(f"Removed: {removed}.", err=True)


def _elsewhere(webhook: Webhook | None) -> str:
    if webhook is None:
        return "to another webhook"
    return f"to {_origin(webhook.url)} by webhook {webhook.id} ({webhook.name})"


def _origin(url: str) -> str:
    """Of somebody else's webhook: what follows may hold a secret."""
    try:
        parts = urlsplit(url)
        return f"{parts.scheme}://{parts.hostname or '?'}"
    except ValueError:
        return "an address that can't be read"
