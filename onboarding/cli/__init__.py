"""The commands: `flask --app wsgi …`. Results go to standard output, all else to standard error.

What only one command needs is imported there: web and the other commands start faster without.
"""

from __future__ import annotations

from flask import Flask

from onboarding.cli.alerts import leaf
from onboarding.cli.api_keys import key
from onboarding.cli.applications import application
from onboarding.cli.connections import connection
from onboarding.cli.database import db
from onboarding.cli.growers import link, partner, revoke_link
from onboarding.cli.key_commands import keys
from onboarding.cli.mailing import mail
from onboarding.cli.portals import partner_doctor
from onboarding.cli.processes import doctor, worker
from onboarding.cli.staff import staff
from onboarding.cli.webhooks import webhook

__all__ = ["init_app", "partner_doctor"]


def init_app(app: Flask) -> None:
    """Register the commands."""
    growers = (partner, link, revoke_link, application, key, webhook)
    for command in (db, keys, *growers, connection, mail, worker, doctor, leaf, staff):
        app.cli.add_command(command)
