"""Where connections stand, many at a time: all that `describe.connection` wants to know."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.orm import Session

from onboarding import describe
from onboarding.connections import incidents
from onboarding.describe import Told
from onboarding.describe.handing_over import PATIENCE
from onboarding.describe.leaf import CONFIRMED_FOR
from onboarding.models import ATTEMPT_LIFETIME, EXCHANGE_LIMIT, Attempt, Connection, Incident
from onboarding.states import IncidentKind, Stage, Turn

MAY_BE_OF_MANY = timedelta(minutes=2)
"""So long after a connection turned, an incident may just be beginning that it is part of."""
PATIENT = frozenset({Stage.HANDING_OVER, Stage.DISCONNECTING})


@dataclass(frozen=True)
class Standing:
    """A connection, and what else decides what is told of it."""

    connection: Connection
    latest: Attempt | None
    incident: IncidentKind | None = None
    first_started_at: datetime | None = None

    def told(self, moment: datetime) -> Told:
        """What is told of it at a moment."""
        return describe.connection(
            self.connection, latest=self.latest, moment=moment, incident=self.incident
        )

    def due_at(self, moment: datetime) -> datetime | None:
        """Until when the same is told, if nothing but time passes; None: for good.

        Sometimes earlier than that: then it is looked at once too often.
        """
        return min((one for one in self._turns() if one > moment), default=None)

    def began(self, moment: datetime) -> datetime:
        """When it came to what is told of it, as well as its rows tell."""
        one, latest = self.connection, self.latest
        at_leaf = (one.health_since or one.connected_at or one.handed_over_at,)
        attempt = (latest.ended_at or latest.created_at,) if latest is not None else ()
        candidates: tuple[datetime | None, ...]
        match one.stage:
            case Stage.INVITED | Stage.AUTHORIZING | Stage.FAILED:
                candidates = (*attempt, one.token_received_at)
            case Stage.HANDING_OVER | Stage.DISCONNECTING:
                candidates = (one.waiting_since, one.token_received_at)
            case Stage.CHOOSING_ORGANIZATIONS:
                candidates = (one.organizations_seen_at, one.handed_over_at)
            case Stage.CONNECTED:
                candidates = at_leaf
            case Stage.DISCONNECTED:
                candidates = (one.checked_at, one.handed_over_at)
        known = next((at for at in candidates if at is not None), one.created_at)
        return min(known, moment)

    def _turns(self) -> Iterator[datetime]:
        """Moments at which something else may be told."""
        one, latest = self.connection, self.latest
        if latest is not None and latest.outcome is None:
            yield latest.created_at + ATTEMPT_LIFETIME
            if latest.used_at is not None:
                yield latest.used_at + EXCHANGE_LIMIT
        if one.stage in PATIENT:
            yield from (at + PATIENCE for at in (one.waiting_since, one.token_received_at) if at)
        if one.is_at_leaf:
            if one.leaf_said_at is not None:
                yield one.leaf_said_at + CONFIRMED_FOR
            if one.trouble_told_from is not None:
                yield one.trouble_told_from
            if one.health_since is not None and incidents.may_be_of_many(one):
                yield one.health_since + MAY_BE_OF_MANY


def turn(told: Told) -> Turn:
    """Whose it is, as rows say it."""
    return Turn(told.who)


def read(
    session: Session, ids: Sequence[UUID], *, known: Collection[UUID] = ()
) -> Iterator[Standing]:
    """Where they stand, in the order of the ids; in a few queries, however many they are.

    :param known: of these the session has the connection as it is now; others are read anew
    """
    found: dict[UUID, Connection] = {}
    for part, is_known in (
        ([one for one in ids if one not in known], False),
        ([one for one in ids if one in known], True),
    ):
        if part:
            query = sa.select(Connection).where(Connection.id.in_(part))
            query = query.execution_options(populate_existing=not is_known)
            found |= {one.id: one for one in session.scalars(query)}
    attempts = {row[0].connection_id: row for row in session.execute(_attempts(ids))}
    may_be_of_many = any(incidents.may_be_of_many(one) for one in found.values())
    present = incidents.present(session) if may_be_of_many else ()
    for key in ids:
        if (one := found.get(key)) is not None:
            incident = _incident(one, present)
            if (attempt := attempts.get(key)) is None:
                yield Standing(one, None, incident)
            else:
                yield Standing(one, attempt[0], incident, attempt[1])


def _attempts(ids: Sequence[UUID]) -> sa.Select[Attempt, datetime]:
    """Their newest attempts, as `consent.latest` finds one, and when they first began one."""
    newest = (
        sa.select(
            Attempt.connection_id,
            sa.func.max(Attempt.created_at).label("at"),
            sa.func.min(Attempt.created_at).label("first"),
        )
        .where(Attempt.connection_id.in_(ids))
        .group_by(Attempt.connection_id)
        .subquery()
    )
    is_newest = sa.and_(
        newest.c.connection_id == Attempt.connection_id, newest.c.at == Attempt.created_at
    )
    return (
        sa.select(Attempt, newest.c.first)
        .join(newest, is_newest)
        .execution_options(populate_existing=True)
    )


def _incident(one: Connection, present: Sequence[Incident]) -> IncidentKind | None:
    """As `incidents.of` finds it."""
    return next((kind.kind for kind in present if incidents.is_within(kind, one)), None)
