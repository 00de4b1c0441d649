"""What is wrong with the frame in a partner's portal: `partner doctor`."""

from __future__ import annotations

import sys
from typing import TextIO

import click

from onboarding.cli.growers import partner as group
from onboarding.cli.shared import installation, plain_errors
from onboarding.partners import portal
from onboarding.staff import partners

WORDS = {"fine": "ok    ", "note": "note  ", "wrong": "WRONG "}


@group.command("doctor")
@click.argument("slug")
@click.option("--address", required=True, help="Of the portal's page; nothing is fetched from it.")
@click.option(
    "--headers",
    type=click.File(),
    help="Its headers; with - from standard input: curl -sI ADDRESS | … --headers -",
)
@click.option("--html", type=click.File(), help="Its HTML, or the part with the frame.")
def partner_doctor(slug: str, address: str, headers: TextIO | None, html: TextIO | None) -> None:
    """Say what is wrong with a portal's page: one line each, exit status 1 if anything is."""
    parts = installation()
    origin = portal.origin_of(address)
    if origin is None:
        raise click.ClickException(f"{address!r} is no address like https://portal.example.com.")
    with plain_errors(), parts.database.reading() as session:
        told, token = portal.page_in(
            origin, headers.read() if headers else "", html.read() if html else ""
        )
        partner = partners.named(session, slug)
        visit = portal.Visit.of(session, parts, partner, slug=slug, page=told, token=token)
    found = portal.examine(visit)
    for one in found:
        click.echo(WORDS[one.kind] + one.text)
        if one.value:
            click.echo(f"      {one.value}")
    if any(one.kind == "wrong" for one in found):
        sys.exit(1)
