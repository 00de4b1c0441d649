"""Who signs in to the dashboard: `staff …`."""

from __future__ import annotations

import click
import sqlalchemy as sa
from flask.cli import AppGroup
from sqlalchemy.orm import selectinload

from onboarding.cli.shared import installation, plain_errors
from onboarding.clock import now
from onboarding.models import Staff
from onboarding.staff import accounts, company
from onboarding.states import Role

staff = AppGroup("staff", help="Who signs in to the dashboard, and what they may do there.")

ROLE = click.Choice([role.value for role in Role])


@staff.command("add")
@click.argument("email")
@click.option("--role", type=ROLE, required=True)
@click.option("--partner", "partners", multiple=True, help="Slug; sees this one alone.")
@click.option("--name", default="", help="As colleagues read it.")
def add(email: str, role: str, partners: tuple[str, ...], name: str) -> None:
    """Let a person in, and print the link by which they set their password."""
    parts = installation()
    with plain_errors(), parts.database.transaction() as session:
        made = accounts.add(
            session, None, email=email, role=Role(role), name=name, partners=partners or None
        )
        secret = accounts.invite(session, None, made)
    _show(secret)


@staff.command("link")
@click.argument("email")
def link(email: str) -> None:
    """Print a new link for a person to set their password by; the one before is void."""
    with plain_errors(), installation().database.transaction() as session:
        secret = accounts.invite(session, None, accounts.named(session, email))
    _show(secret)


@staff.command("list")
def show() -> None:
    """List all of them."""
    with plain_errors(), installation().database.reading() as session:
        query = sa.select(Staff).options(selectinload(Staff.partners)).order_by(Staff.email)
        for one in session.scalars(query):
            click.echo(_line(one))


@staff.command("role")
@click.argument("email")
@click.argument("role", type=ROLE)
@click.option("--partner", "partners", multiple=True, help="Slug; without any, they see all.")
def role(email: str, role: str, partners: tuple[str, ...]) -> None:
    """Change what a person may do and see."""
    with plain_errors(), installation().database.transaction() as session:
        found = accounts.named(session, email)
        accounts.change(session, None, found, role=Role(role), partners=partners or None)
    click.echo("Changed.", err=True)


@staff.command("disable")
@click.argument("email")
def disable(email: str) -> None:
    """Let a person in no more, and end their sessions."""
    with plain_errors(), installation().database.transaction() as session:
        accounts.disable(session, None, accounts.named(session, email))
    click.echo("Disabled.", err=True)


@staff.command("enable")
@click.argument("email")
def enable(email: str) -> None:
    """Let a person in again."""
    with plain_errors(), installation().database.transaction() as session:
        accounts.enable(session, None, accounts.named(session, email))
    click.echo("Enabled.", err=True)


@staff.command("part")
@click.argument("email")
def part(email: str) -> None:
    """Part a person from their account at the company: the next with their address may be them."""
    with plain_errors(), installation().database.transaction() as session:
        company.part_from(session, None, accounts.named(session, email))
    click.echo("Parted.", err=True)


def _show(secret: str) -> None:
    click.echo(f"{installation().settings.public_url}/staff/password/{secret}")
    click.echo("Hand it over by a safe way: it works once, within 24 hours.", err=True)


def _line(one: Staff) -> str:
    sees = ",".join(sorted(part.slug for part in one.partners)) if one.is_limited else "all"
    if one.disabled_at is not None:
        state = "disabled"
    elif one.locked_until is not None and one.locked_until > now():
        state = f"locked until {one.locked_until:%H:%M} UTC"
    elif one.password_hash is None and one.subject is None:
        state = "has not signed in yet"
    else:
        state = "active"
    return f"{one.email}  {one.role.value}  sees {sees or 'none'}  {state}"
