"""Where partners' programs are told what happens: `webhook …`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import click
from flask.cli import AppGroup
from sqlalchemy.orm import Session

from onboarding.cli.shared import installation, plain_errors
from onboarding.errors import InputInvalid
from onboarding.models import WebhookEndpoint
from onboarding.staff import audit, partners
from onboarding.states import WebhookEvent
from onboarding.webhooks import endpoints, outbox

webhook = AppGroup("webhook", help="Endpoints of partners' programs, and what is sent to them.")

EVENT = click.Choice([one.value for one in WebhookEvent])
MOMENT = click.DateTime(["%Y-%m-%dT%H:%M", "%Y-%m-%d %H:%M", "%Y-%m-%d"])


@webhook.command("add")
@click.argument("slug")
@click.argument("url")
@click.option("--event", "events", multiple=True, type=EVENT, help="Default: all.")
def add(slug: str, url: str, events: tuple[str, ...]) -> None:
    """Add an endpoint for a partner, and print its secret, this once."""
    parts = installation()
    with plain_errors(), parts.database.transaction() as session:
        partner = partners.named(session, slug)
        made, secret = endpoints.add(
            session, parts.vault, parts.settings, partner, url=url, events=events
        )
        _record(session, "webhook.add", made, events=made.events)
    _show(secret)


@webhook.command("list")
@click.argument("slug")
def show(slug: str) -> None:
    """List a partner's endpoints, the oldest first."""
    with plain_errors(), installation().database.reading() as session:
        for one in endpoints.of(session, partners.named(session, slug)):
            click.echo(_line(one))


@webhook.command("rotate")
@click.argument("slug")
@click.argument("endpoint")
def rotate(slug: str, endpoint: str) -> None:
    """Print a new secret; for 24 hours messages are signed with both.

    ENDPOINT is its URL, or how its id begins.
    """
    with _changing("webhook.rotate", slug, endpoint) as (_session, found):
        secret = endpoints.rotate(installation().vault, found)
    _show(secret)


@webhook.command("pause")
@click.argument("slug")
@click.argument("endpoint")
def pause(slug: str, endpoint: str) -> None:
    """Send nothing there for a while; what happens meanwhile waits."""
    with _changing("webhook.pause", slug, endpoint) as (_session, found):
        endpoints.pause(found)
    click.echo("Paused.", err=True)


@webhook.command("resume")
@click.argument("slug")
@click.argument("endpoint")
def resume(slug: str, endpoint: str) -> None:
    """Send again, first of all what has waited."""
    with _changing("webhook.resume", slug, endpoint) as (session, found):
        endpoints.resume(session, found)
    click.echo("Resumed.", err=True)


@webhook.command("test")
@click.argument("slug")
@click.argument("endpoint")
def send_test(slug: str, endpoint: str) -> None:
    """Send a message that tells of nothing; `webhook list` says how it went."""
    with _changing("webhook.test", slug, endpoint) as (session, found):
        endpoints.send_test(session, found)
    click.echo("The worker sends it now.", err=True)


@webhook.command("replay")
@click.argument("slug")
@click.argument("endpoint")
@click.option("--from", "first", type=MOMENT, help="Made since this moment, in UTC.")
@click.option("--to", "last", type=MOMENT, help="And until this one.")
@click.option("--all", "is_all", is_flag=True, help="Also what was delivered.")
def replay(
    slug: str, endpoint: str, first: datetime | None, last: datetime | None, is_all: bool
) -> None:
    """Send again what was given up, or with --all all that was made since --from."""
    if is_all and first is None:
        raise click.UsageError("--all needs --from: else all that is kept would be sent again.")
    first, last = (one and one.replace(tzinfo=UTC) for one in (first, last))
    with plain_errors(), installation().database.transaction() as session:
        found = _named(session, slug, endpoint)
        done = outbox.send_again(session, found, since=first, until=last, only_given_up=not is_all)
        _record(session, "webhook.send_again", found, only_given_up=not is_all, messages=len(done))
    click.echo(f"Sent again: {len(done)}.", err=True)


@webhook.command("remove")
@click.argument("slug")
@click.argument("endpoint")
def remove(slug: str, endpoint: str) -> None:
    """Send nothing there any more, for good."""
    with _changing("webhook.remove", slug, endpoint) as (_session, found):
        endpoints.remove(installation().vault, found)
    click.echo("Removed.", err=True)


@contextmanager
def _changing(action: str, slug: str, text: str) -> Iterator[tuple[Session, WebhookEndpoint]]:
    """Something is done to an endpoint, and put down in the audit."""
    with plain_errors(), installation().database.transaction() as session:
        found = _named(session, slug, text)
        yield session, found
        _record(session, action, found)


def _named(session: Session, slug: str, text: str) -> WebhookEndpoint:
    """:raise InputInvalid: unless it is one, and one alone"""
    partner = partners.named(session, slug)
    wanted = text.strip()
    found = [
        one
        for one in endpoints.of(session, partner)
        if wanted and (one.url == wanted or str(one.id).startswith(wanted.lower()))
    ]
    one = endpoints.locked(session, found[0].id, partner=partner) if len(found) == 1 else None
    if one is None:
        many = "several endpoints begin so" if len(found) > 1 else "no endpoint is named so"
        raise InputInvalid(f"{many}: flask --app wsgi webhook list {slug} shows them.")
    return one


def _record(session: Session, action: str, endpoint: WebhookEndpoint, **data: Any) -> None:
    where = endpoints.without_query(endpoint.url)
    audit.record(session, None, action, partner=endpoint.partner, url=where, **data)


def _show(secret: str) -> None:
    click.echo(secret)
    click.echo("It is shown this once.", err=True)


def _line(one: WebhookEndpoint) -> str:
    state: str = one.state
    if one.paused_at is not None:
        state += f" since {one.paused_at:%Y-%m-%d %H:%M} UTC"
    said = f"  ({one.failure})" if one.failure else ""
    events = "all" if len(one.events) == len(WebhookEvent) else ", ".join(one.events)
    return f"{str(one.id)[:8]}  {one.url}  {state}{said}  events: {events}"
