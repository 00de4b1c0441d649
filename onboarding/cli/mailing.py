"""Mails to growers: `mail …`."""

from __future__ import annotations

import click
from flask.cli import AppGroup

from onboarding.cli.shared import SHOWN, installation, plain_errors
from onboarding.connections import mails

mail = AppGroup("mail", help="Mails to growers.")


@mail.command("list")
def mail_list() -> None:
    """List the growers whom no mail reaches: reference, grower, why."""
    parts = installation()
    if parts.settings.mail is None:
        click.echo("Mail is off: MAIL_URL is not set.", err=True)
    with plain_errors(), parts.database.reading() as session:
        for found in mails.undelivered(session, SHOWN):
            grower = found.connection.grower
            click.echo(
                f"{found.connection.reference}  {grower.partner.slug}/{grower.external_id}  "
                f"{found.kind.value} of {found.ended_at:%Y-%m-%d}: {found.detail}"
            )
