"""What happened to a connection, told by us and by Leaf, in one list. For staff."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.orm import Session

from onboarding.models import Event, LeafEvent

LEAF = "leaf"


@dataclass(frozen=True)
class Line:
    """One thing that happened."""

    at: datetime
    who: str
    """`grower`, `staff`, `system`, or `leaf` for what John Deere answered to Leaf."""
    text: str
    """What, and details; never a secret."""


def newest(session: Session, connection_id: UUID, *, limit: int) -> Sequence[Line]:
    """The last lines, newest first."""
    ours = sa.select(Event).where(Event.connection_id == connection_id).order_by(Event.id.desc())
    leafs = (
        sa.select(LeafEvent)
        .where(LeafEvent.connection_id == connection_id)
        .order_by(LeafEvent.at.desc(), LeafEvent.id.desc())
    )
    lines = [
        *map(_ours, session.scalars(ours.limit(limit))),
        *map(_leafs, session.scalars(leafs.limit(limit))),
    ]
    return sorted(lines, key=lambda line: line.at, reverse=True)[:limit]


def _ours(event: Event) -> Line:
    data = " ".join(f"{key}={value}" for key, value in event.data.items() if value)
    return Line(event.at, event.who, f"{event.kind} {data}".rstrip())


def _leafs(event: LeafEvent) -> Line:
    answer = f"HTTP {event.status_code}" if event.status_code else "an answer"
    return Line(event.at, LEAF, f"John Deere answered Leaf: {answer} {event.body}".rstrip())
