"""Partners, and the links of their growers: `partner …`, `link`, `revoke-link`."""

from __future__ import annotations

from datetime import timedelta

import click
from flask.cli import AppGroup

from onboarding.cli.shared import installation, plain_errors
from onboarding.connections import growers, invitations, mails, partnership
from onboarding.models import Link
from onboarding.staff import partners

partner = AppGroup("partner", help="Partners, who bring growers.")


@partner.command("add")
@click.argument("slug")
@click.option("--name", required=True, help="As growers read it.")
@click.option("--frame-origin", "frame_origins", multiple=True, help="May frame our pages.")
@click.option("--return-url", "return_urls", multiple=True, help="Where growers may return to.")
@click.option("--select-organizations", is_flag=True, help="Sync nothing at Leaf until chosen.")
@click.option("--open-link", is_flag=True, help="Anybody may ask for a link at /j/SLUG.")
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
    open_link: bool,
    colour: str | None,
    support_name: str | None,
    support_email: str | None,
    support_phone: str | None,
    support_url: str | None,
) -> None:
    """Add a partner."""
    parts = installation()
    with plain_errors(), parts.database.transaction() as session:
        partnership.add_partner(
            session,
            slug=slug,
            name=name,
            frame_origins=frame_origins,
            return_urls=return_urls,
            select_organizations=select_organizations,
            open_link=open_link,
            colour=colour,
            support_name=support_name,
            support_email=support_email,
            support_phone=support_phone,
            support_url=support_url,
        )
    # Beside `make run` no `flask` is on the PATH.
    flask = "python -m onboarding.local" if parts.settings.local_run else "flask --app wsgi"
    click.echo(f"Partner {slug} added. Next: {flask} link {slug} …", err=True)


@partner.command("edit")
@click.argument("slug")
@click.option("--application", help="Whose growers sign in with it; empty: the default one.")
@click.option("--add-frame-origin", "frame_origins", multiple=True, help="May frame our pages.")
@click.option("--add-return-url", "return_urls", multiple=True, help="Growers may return there.")
@click.option(
    "--open-link/--no-open-link",
    default=None,
    help="Whether anybody may ask for a link at /j/SLUG.",
)
def partner_edit(
    slug: str,
    application: str | None,
    frame_origins: tuple[str, ...],
    return_urls: tuple[str, ...],
    open_link: bool | None,
) -> None:
    """Let a partner's growers sign in with another application, list further addresses, or switch
    the open link.

    Who is signing in at this moment goes on with the application of before.
    """
    parts = installation()
    with plain_errors(), parts.database.transaction() as session:
        found = partners.named(session, slug)
        if application is not None:
            partners.use_application(session, found, application, None)
        if open_link is not None:
            partners.switch_open_link(session, found, open_link, None)
        partners.list_addresses(
            session,
            parts.settings,
            found,
            frame_origins=frame_origins,
            return_urls=return_urls,
            by=None,
        )
    click.echo("Changed.", err=True)


@click.command()
@click.argument("slug")
@click.option("--external-id", required=True, help="The partner's own id of the grower.")
@click.option("--name", required=True, help="The grower's or farm's name.")
@click.option("--email", help="Where the grower is reached; empty: nowhere any more.")
@click.option("--phone", help="The grower's telephone number, for staff.")
@click.option("--leaf-user", help="The grower's Leaf user, if there is one already.")
@click.option("--send", is_flag=True, help="Mail it to the grower as well.")
def link(
    slug: str,
    external_id: str,
    name: str,
    email: str | None,
    phone: str | None,
    leaf_user: str | None,
    send: bool,
) -> None:
    """Make a link for a grower, and print its URL alone."""
    parts = installation()
    with plain_errors(), parts.database.transaction() as session:
        made = invitations.invite(
            session,
            partner_slug=slug,
            external_id=external_id,
            name=name,
            email=email,
            phone=phone,
            leaf_user_id=leaf_user,
            lifetime=timedelta(days=parts.settings.link_lifetime_days),
        )
        session.flush()
        if send:
            connection = growers.connection_of(session, made.grower_id)
            mails.invite(session, parts.settings, made, connection)
        url = parts.links.url(parts.settings.public_url, made.id)
    click.echo(url)
    if send:
        click.echo(f"The worker mails it to {made.grower.email}.", err=True)


@click.command("revoke-link")
@click.argument("url")
def revoke_link(url: str) -> None:
    """End a link. The browser that connected keeps its own access for 90 days."""
    parts = installation()
    with plain_errors(), parts.database.transaction() as session:
        link_id = parts.links.link_id(url.rstrip("/").rpartition("/")[2])
        found = session.get(Link, link_id)
        if found is None:
            raise click.ClickException("there is no such link here.")
        invitations.revoke(session, found)
    click.echo("Revoked.", err=True)
