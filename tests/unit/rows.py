"""Rows to begin with."""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID

import sqlalchemy as sa

from onboarding.connections import invitations
from onboarding.db import Database
from onboarding.models import Connection, Event, Link

PARTNER = "demo"


def add_partner(database: Database, slug: str = PARTNER) -> None:
    """A partner, if there is none of that name."""
    with database.transaction() as session:
        if session.scalar(invitations.partner_named(slug)) is None:
            invitations.add_partner(session, slug=slug, name="Demo Co-op")


def invited(database: Database, external_id: str = "grower-1", *, partner: str = PARTNER) -> Link:
    """A link for a grower of a partner."""
    add_partner(database, partner)
    with database.transaction() as session:
        return invitations.invite(
            session,
            partner_slug=partner,
            external_id=external_id,
            name="Maple Farm",
            lifetime=timedelta(days=14),
        )


def connection_of(database: Database, link: Link) -> Connection:
    """The connection of a link's grower, as the database has it."""
    with database.reading() as session:
        return invitations.connection_of(session, link.grower_id)


def history_of(database: Database, connection_id: UUID) -> list[str]:
    """What happened to a connection, oldest first."""
    kinds = sa.select(Event.kind).where(Event.connection_id == connection_id).order_by(Event.id)
    with database.reading() as session:
        return list(session.scalars(kinds))
