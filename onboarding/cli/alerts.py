"""Leaf's alerts: `leaf alerts …`."""

from __future__ import annotations

from urllib.parse import urlsplit

import click
from flask.cli import AppGroup

from onboarding.cli.shared import installation, plain_errors
from onboarding.connections import registration
from onboarding.leaf import Webhook
from onboarding.urls import is_loopback

leaf = AppGroup("leaf", help="This installation's account at Leaf.")
leaf_alerts = AppGroup("alerts", help="Which alerts Leaf sends here.")
leaf.add_command(leaf_alerts)


@leaf_alerts.command("register")
def leaf_alerts_register() -> None:
    """Let Leaf send its alerts about credentials and organizations here. Safe to repeat."""
    parts = installation()
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
    with plain_errors():
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
    parts = installation()
    url = parts.settings.alerts_url
    with plain_errors():
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
    parts = installation()
    with plain_errors():
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
