"""Looking connections up, and mending them: `connection …`."""

from __future__ import annotations

import click
from flask.cli import AppGroup

from onboarding import describe
from onboarding.cli.shared import SHOWN, connection_named, installation, plain_errors
from onboarding.clock import now
from onboarding.connections import (
    attention,
    consent,
    disconnect,
    hand_over,
    history,
    incidents,
    owed,
    timeline,
)
from onboarding.models import Grower

EVENTS_SHOWN = 30

connection = AppGroup("connection", help="Look a connection up and mend it.")


@connection.command("show")
@click.argument("reference")
def connection_show(reference: str) -> None:
    """Show a connection by its reference code: where it stands, why, and what happened."""
    settings = installation().settings
    with plain_errors(), installation().database.reading() as session:
        found = connection_named(session, reference)
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
        for line in timeline.page(session, found.id, limit=EVENTS_SHOWN).lines:
            click.echo(f"  {line.at:%Y-%m-%d %H:%M:%S} {line.who} {line.text}")
    with plain_errors(), installation().database.transaction() as session:
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
    with plain_errors(), installation().database.reading() as session:
        for incident in incidents.present(session):
            click.echo(describe.incident_for_staff(incident), err=True)
        for found in attention.first(session, SHOWN):
            grower, latest = found.grower, consent.latest(session, found.id)
            keys = describe.keys_for_staff(found, latest) or found.health.value
            click.echo(
                f"{found.reference}  {grower.partner.slug}/{grower.external_id}  {keys}  "
                f"{describe.for_staff(found, latest)}"
            )
        count = attention.count(session)
    if not count:
        click.echo("No connection waits for staff.", err=True)
    if count > SHOWN:
        click.echo(f"… and {count - SHOWN} more", err=True)


@connection.command("retry")
@click.argument("reference")
def connection_retry(reference: str) -> None:
    """Try a failed hand-over again, or a disconnect that waits, after its reason is mended."""
    parts = installation()
    with plain_errors(), parts.database.transaction() as session:
        found = connection_named(session, reference)
        hand_over.retry(session, parts.queue, found)
    click.echo("Enqueued.", err=True)


@connection.command("disconnect")
@click.argument("reference")
@click.option("--reason", required=True, help="Why, for the history.")
def connection_disconnect(reference: str, reason: str) -> None:
    """End a connection: Leaf deletes the credential, and the grower can connect again any time."""
    parts = installation()
    with plain_errors(), parts.database.transaction() as session:
        found = connection_named(session, reference)
        disconnect.ask(
            session,
            parts.queue,
            found,
            who=history.STAFF,
            reason=disconnect.reason_of_staff(reason),
        )
    click.echo(f"It is being disconnected: connection show {reference} says how far.", err=True)
