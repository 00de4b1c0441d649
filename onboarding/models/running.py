"""What all processes know: workers, copies of what others publish, Leaf's pace, incidents."""

from __future__ import annotations

import uuid
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column

from onboarding.models.base import Base, number_key, uuid_key, words
from onboarding.states import IncidentKind


class Worker(Base):
    """A running worker process: its heartbeat tells the others whether to take over its work."""

    __tablename__ = "worker"

    id: Mapped[uuid.UUID] = uuid_key()
    host: Mapped[str] = mapped_column(sa.String(255))
    pid: Mapped[int]
    started_at: Mapped[datetime]
    seen_at: Mapped[datetime]


class Copy(Base):
    """The last good copy of a public document, for the day its source can't be reached."""

    __tablename__ = "copy"

    name: Mapped[str] = mapped_column(sa.String(64), primary_key=True)
    text: Mapped[str] = mapped_column(sa.Text)
    fetched_at: Mapped[datetime]


class Pace(Base):
    """What all workers together know of a service: when it may be asked next, and if it is down.

    Its moments are those of the database's clock where that has one (see `connections.pace`).
    """

    __tablename__ = "pace"

    service: Mapped[str] = mapped_column(sa.String(32), primary_key=True)
    next_at: Mapped[datetime]
    """The first moment for a request that no worker has leased."""
    hand_overs_until: Mapped[datetime | None]
    """Until then a worker has more hand-overs than turns: no check takes one."""
    closed_until: Mapped[datetime | None]
    """Nobody asks before this; while it is down, when somebody tries again."""
    pauses: Mapped[int] = mapped_column(default=0)
    """In a row: they grow."""
    failures: Mapped[int] = mapped_column(default=0)
    """Requests in a row without a useful answer, of all workers."""
    failed_at: Mapped[datetime | None]
    down_since: Mapped[datetime | None]
    """Since when it has been taken for down: then one request decides for all."""
    reason: Mapped[str] = mapped_column(sa.Text, default="")
    """For staff: what it answered last, redacted."""
    minute_at: Mapped[datetime | None]
    """When the present minute of the two that are counted began."""
    used: Mapped[int] = mapped_column(default=0, server_default="0")
    """Requests sent within it, as far as the workers have told."""
    used_before: Mapped[int] = mapped_column(default=0, server_default="0")
    """Requests sent within the minute before."""


class Incident(Base):
    """A time in which many connections stopped working at once: that is not about any of them.

    Of each kind there is one at a time.
    """

    __tablename__ = "incident"
    __table_args__ = (
        sa.Index(
            "ix_incident_present",
            "kind",
            unique=True,
            postgresql_where=sa.text("ended_at IS NULL"),
            sqlite_where=sa.text("ended_at IS NULL"),
        ),
    )

    id: Mapped[int] = number_key()
    kind: Mapped[IncidentKind] = mapped_column(words(IncidentKind))
    began_at: Mapped[datetime]
    """When the first of them turned."""
    ended_at: Mapped[datetime | None]
    turned: Mapped[int]
    """How many turned within some minutes, when it was worst."""
    asked: Mapped[int]
    """Of so many that Leaf was asked about within them."""
