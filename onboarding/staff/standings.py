"""Where every connection stands, one after the other."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.orm import Session

from onboarding import describe
from onboarding.connections import incidents
from onboarding.models import Attempt, Connection, Incident
from onboarding.states import OF_APPLICATION, IncidentKind, Outcome

BATCH = 500


@dataclass(frozen=True)
class Standing:
    """What is told of a connection, and when it came how far for the first time."""

    partner_id: UUID
    turn: str
    code: str
    invited_at: datetime
    began_at: datetime | None = None
    consented_at: datetime | None = None
    at_leaf_at: datetime | None = None
    connected_at: datetime | None = None


def all_of(session: Session, moment: datetime) -> Iterator[Standing]:
    """All of them, in no order; memory does not grow with their number."""
    present = incidents.present(session)
    session.expunge_all()
    query, last = sa.select(Connection).order_by(Connection.id).limit(BATCH), None
    while True:
        after = query if last is None else query.where(Connection.id > last)
        batch = session.scalars(after).all()
        if not batch:
            return
        attempts = _attempts(session, [one.id for one in batch])
        for one in batch:
            yield _standing(one, attempts.get(one.id, []), present, moment)
        last = batch[-1].id
        session.expunge_all()


def _attempts(session: Session, ids: Sequence[UUID]) -> dict[UUID, list[Attempt]]:
    """The attempts of each, the oldest first."""
    found: dict[UUID, list[Attempt]] = {}
    query = sa.select(Attempt).where(Attempt.connection_id.in_(ids)).order_by(Attempt.created_at)
    for attempt in session.scalars(query):
        found.setdefault(attempt.connection_id, []).append(attempt)
    return found


def _standing(
    one: Connection, attempts: Sequence[Attempt], present: Sequence[Incident], moment: datetime
) -> Standing:
    told = describe.connection(
        one,
        latest=attempts[-1] if attempts else None,
        moment=moment,
        incident=_incident(one, present),
    )
    consented = next((at.ended_at for at in attempts if at.outcome is Outcome.AUTHORIZED), None)
    return Standing(
        partner_id=one.grower.partner_id,
        turn=told.who,
        code=told.code,
        invited_at=one.created_at,
        began_at=attempts[0].created_at if attempts else None,
        consented_at=consented or one.token_received_at,
        at_leaf_at=one.handed_over_at,
        connected_at=one.connected_at,
    )


def _incident(one: Connection, present: Sequence[Incident]) -> IncidentKind | None:
    """As `incidents.of`, without a query for each."""
    if one.health_since is None or not one.is_at_leaf:
        return None
    return next(
        (
            incident.kind
            for incident in present
            if incident.kind in OF_APPLICATION
            and one.health in incidents.WORDS[incident.kind]
            and incident.began_at <= one.health_since
        ),
        None,
    )
