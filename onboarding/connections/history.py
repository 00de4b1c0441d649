"""The append-only history of a connection."""

from __future__ import annotations

from sqlalchemy.orm import Session

from onboarding.clock import now
from onboarding.connections import announcing
from onboarding.models import Connection, Event

GROWER = "grower"
STAFF = "staff"
PARTNER = "partner"
"""By a program of theirs."""
SYSTEM = "system"


def record(
    session: Session,
    connection: Connection,
    kind: str,
    *,
    who: str = SYSTEM,
    **data: str | int | list[str],
) -> None:
    """Add a line to the connection's history.

    :param kind: what happened, e.g. `token_received`
    :param data: details for staff; never a secret
    """
    if (event := announcing.DONE.get(kind)) is not None:
        announcing.note(session, connection.id, event)
    session.add(Event(connection_id=connection.id, at=now(), kind=kind, who=who, data=data))
