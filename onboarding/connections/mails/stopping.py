"""A grower's wish to get no mails but those that staff send by hand."""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.orm import Session

from onboarding.clock import now
from onboarding.connections import history
from onboarding.models import Connection, Grower


def stop(session: Session, grower: Grower) -> None:
    """Send the grower no more mails by ourselves. Again is the same as once."""
    if grower.mail_stopped_at is None:
        grower.mail_stopped_at = now()
        _record(session, grower, "mails_stopped")


def resume(session: Session, grower: Grower) -> None:
    """Take that back."""
    if grower.mail_stopped_at is not None:
        grower.mail_stopped_at = None
        _record(session, grower, "mails_resumed")


def _record(session: Session, grower: Grower, kind: str) -> None:
    connection = session.scalars(
        sa.select(Connection).where(Connection.grower_id == grower.id)
    ).one()
    history.record(session, connection, kind, who=history.GROWER)
