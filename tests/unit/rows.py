"""Rows to begin with."""

from __future__ import annotations

import secrets
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import sqlalchemy as sa

from onboarding.clock import now
from onboarding.connections import growers, invitations, partnership
from onboarding.db import Database
from onboarding.models import Attempt, Connection, Event, Grower, Link, Organization, Partner
from onboarding.states import Health, Outcome, Stage

PARTNER = "demo"


def add_partner(database: Database, slug: str = PARTNER) -> None:
    """A partner, if there is none of that name."""
    with database.transaction() as session:
        if partnership.find(session, slug) is None:
            partnership.add_partner(session, slug=slug, name="Demo Co-op")


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


def watched(database: Database, count: int, **values: Any) -> list[UUID]:
    """Connections that work, each with one organization that is shared.

    :param values: columns of each connection
    :return: their ids; the Leaf user of the first is `leaf-1`, and so on
    """
    moment = now()
    with database.transaction() as session:
        partner = partnership.find(session, "watched")
        if partner is None:
            partner = Partner(slug="watched", name="Demo Co-op", created_at=moment)
        had = session.scalar(sa.select(sa.func.count()).select_from(Grower)) or 0
        connections = []
        for number in range(had + 1, had + count + 1):
            grower = Grower(
                partner=partner,
                external_id=f"g-{number}",
                name="Maple Farm",
                leaf_user_id=f"leaf-{number}",
                created_at=moment,
            )
            connections.append(
                Connection(
                    **{
                        "grower": grower,
                        "stage": Stage.CONNECTED,
                        "health": Health.OK,
                        "health_text": "OK",
                        "connected_at": moment,
                        "selection_owed": False,
                        "events_copied_at": moment,
                        "health_since": moment,
                        "fields_arrived": 37,
                        "arrivals_read_at": moment,
                        "created_at": moment,
                        "organizations": [
                            Organization(deere_id="1", name="Maple Farm", connected=True)
                        ],
                        **values,
                    }
                )
            )
        session.add_all(connections)
        session.flush()
        return [connection.id for connection in connections]


def attempted(
    database: Database, link: Link, outcome: Outcome, *, ended: datetime, detail: str = ""
) -> None:
    """An attempt of a link's grower that has ended."""
    with database.transaction() as session:
        session.add(
            Attempt(
                connection_id=growers.connection_id_of(session, link.grower_id),
                link_id=link.id,
                state_digest=secrets.token_bytes(32),
                browser_digest=secrets.token_bytes(32),
                created_at=ended,
                used_at=ended,
                ended_at=ended,
                outcome=outcome,
                detail=detail,
            )
        )


def connection_of(database: Database, link: Link) -> Connection:
    """The connection of a link's grower, as the database has it."""
    with database.reading() as session:
        return growers.connection_of(session, link.grower_id)


def history_of(database: Database, connection_id: UUID) -> list[str]:
    """What happened to a connection, oldest first."""
    kinds = sa.select(Event.kind).where(Event.connection_id == connection_id).order_by(Event.id)
    with database.reading() as session:
        return list(session.scalars(kinds))
