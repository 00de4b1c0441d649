"""Which connections wait for staff."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.orm import Session, aliased

from onboarding.clock import now
from onboarding.models import IS_OUR_FAULT, Attempt, Connection, Incident
from onboarding.states import MENDED_BY_STAFF, Health, SharingTrouble, Stage

END_AWAITED_FOR = timedelta(days=1)
"""A grower has asked for data to stop: what Leaf has not done by then, a person should ask for."""


def count(session: Session) -> int:
    """How many connections wait for staff."""
    return session.scalar(sa.select(sa.func.count()).where(_needed())) or 0


def first(session: Session, limit: int) -> Sequence[Connection]:
    """Connections that wait for staff, the oldest token first."""
    query = sa.select(Connection).where(_needed()).order_by(Connection.token_received_at)
    return session.scalars(query.limit(limit)).all()


def _needed() -> sa.ColumnElement[bool]:
    return sa.or_(
        Connection.stage == Stage.FAILED,
        Connection.cause.in_(MENDED_BY_STAFF),
        Connection.sharing_trouble.in_(
            {SharingTrouble.APPLICATION_REFUSED, SharingTrouble.ANSWER_UNKNOWN}
        ),
        sa.and_(
            Connection.stage == Stage.CONNECTED,
            Connection.health == Health.UNKNOWN,
            Connection.health_text != "",
            ~_turned_with_many(),
        ),
        Connection.id.in_(refused_at_last()),
        sa.and_(
            Connection.stage == Stage.DISCONNECTING,
            Connection.waiting_since < now() - END_AWAITED_FOR,
        ),
    )


def _turned_with_many() -> sa.Exists:
    """Whether it is one of those that turned in the present incident: that is told as one."""
    return sa.exists().where(
        Incident.ended_at.is_(None), Connection.health_since >= Incident.began_at
    )


def refused_at_last() -> sa.Select[UUID]:
    """Connections whose newest attempt John Deere refused for a fault of ours.

    There are few such attempts, and they have an index of their own (`ix_attempt_our_fault`).
    """
    newer = aliased(Attempt)
    return sa.select(Attempt.connection_id).where(
        sa.text(IS_OUR_FAULT),
        ~sa.exists().where(
            newer.connection_id == Attempt.connection_id, newer.created_at > Attempt.created_at
        ),
    )
