"""Applications at John Deere besides the default one: `application …`."""

from __future__ import annotations

import sys

import click
from flask.cli import AppGroup

from onboarding.cli.shared import installation, plain_errors
from onboarding.staff import applications
from onboarding.staff.application_drafts import draft

application = AppGroup("application", help="Applications at John Deere, for partners with one.")


@application.command("add")
@click.argument("name")
@click.option("--environment", required=True, help="STAGE or PRODUCTION.")
@click.option("--client-key", required=True)
@click.option("--scopes", default="", help="With spaces between them; default: DEERE_SCOPES.")
@click.option("--metadata-url", default="", help="Default: as the settings say.")
@click.option("--api-url", default="", help="Default: as the settings say.")
def application_add(
    name: str, environment: str, client_key: str, scopes: str, metadata_url: str, api_url: str
) -> None:
    """Add an application. Its secret is asked for, or read from standard input."""
    parts = installation()
    with plain_errors():
        made = draft(
            parts.settings,
            name=name,
            environment=environment,
            client_key=client_key,
            scopes=scopes,
            metadata_url=metadata_url,
            api_url=api_url,
        )
        secret = _secret()
        with parts.database.transaction() as session:
            applications.add(session, parts.vault, parts.settings, made, secret, None)
    click.echo(
        f"Application {name} added. Next: flask --app wsgi partner edit SLUG --application …",
        err=True,
    )


@application.command("list")
def application_list() -> None:
    """List the applications: name, environment, client key, partners."""
    parts = installation()
    settings = parts.settings
    click.echo(f"(default)  {settings.deere_environment}  {settings.deere_client_key}")
    with plain_errors(), parts.database.reading() as session:
        users = applications.partners_of(session)
        for found in applications.all_by_name(session):
            names = ", ".join(users.get(found.id, [])) or "no partner"
            click.echo(f"{found.name}  {found.environment}  {found.client_key}  {names}")


@application.command("replace-secret")
@click.argument("name")
def application_replace_secret(name: str) -> None:
    """Use another client secret, which is asked for, or read from standard input."""
    parts = installation()
    with plain_errors(), parts.database.reading() as session:
        applications.named(session, name)
    secret = _secret()
    with plain_errors(), parts.database.transaction() as session:
        found = applications.named(session, name)
        applications.replace_secret(session, parts.vault, found, secret, None)
    click.echo("Replaced. Hand-overs that wait use the new one.", err=True)


def _secret() -> str:
    """The secret, never from the command line: that is seen by others, and kept in histories."""
    if sys.stdin.isatty():
        return str(click.prompt("Client secret", hide_input=True, err=True))
    return sys.stdin.readline()
