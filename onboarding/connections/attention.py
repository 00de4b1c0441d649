"""Which connections wait for staff."""

from __future__ import annotations

from collections.abc import Sequence

import sqlalchemy as sa
from sqlalchemy.orm import Session

from onboarding.models import Connection
from onboarding.states import MENDED_BY_STAFF, Health, SharingTrouble, Stage


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
        Connection.sharing_trouble == SharingTrouble.APPLICATION_REFUSED,
        sa.and_(
            Connection.stage == Stage.CONNECTED,
            Connection.health == Health.UNKNOWN,
            Connection.health_text != "",
        ),
    )
