"""What has happened: our events, Leaf's, and Leaf's alerts."""

from __future__ import annotations

import uuid
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column

from onboarding.models.base import Base, number_key


class Event(Base):
    """One line of the append-only history."""

    __tablename__ = "event"
    __table_args__ = (sa.Index("ix_event_connection_id_id", "connection_id", "id"),)

    id: Mapped[int] = number_key()
    connection_id: Mapped[uuid.UUID] = mapped_column(sa.ForeignKey("connection.id"))
    at: Mapped[datetime]
    kind: Mapped[str] = mapped_column(sa.String(64))
    who: Mapped[str] = mapped_column(sa.String(64))
    """`grower`, `staff`, `partner` or `system`."""
    data: Mapped[dict[str, Any]] = mapped_column(sa.JSON, default=dict)


class SeenAlert(Base):
    """An alert of Leaf's that was taken: delivered again it does nothing."""

    __tablename__ = "seen_alert"
    __table_args__ = (
        sa.Index("ix_seen_alert_connection_id_received_at", "connection_id", "received_at"),
        sa.Index("ix_seen_alert_received_at", "received_at"),
    )

    digest: Mapped[bytes] = mapped_column(sa.LargeBinary(32), primary_key=True)
    received_at: Mapped[datetime]
    connection_id: Mapped[uuid.UUID | None] = mapped_column(sa.ForeignKey("connection.id"))
    """None: of a credential that we do not know."""
    asked_around: Mapped[bool] = mapped_column(default=False)
    """Whether it made us ask about connections whose credential's id we do not know."""


class LeafEvent(Base):
    """What John Deere answered to a call of Leaf's, redacted: a copy of an event at Leaf."""

    __tablename__ = "leaf_event"
    __table_args__ = (
        sa.UniqueConstraint("connection_id", "leaf_id"),
        sa.Index("ix_leaf_event_connection_id_at", "connection_id", "at"),
        sa.Index("ix_leaf_event_copied_at", "copied_at"),
    )

    id: Mapped[int] = number_key()
    connection_id: Mapped[uuid.UUID] = mapped_column(sa.ForeignKey("connection.id"))
    leaf_id: Mapped[str] = mapped_column(sa.String(64))
    """Leaf's id of the event; a digest of it where that is none."""
    at: Mapped[datetime]
    """When it happened, as Leaf says; else when it was copied."""
    status_code: Mapped[int | None]
    body: Mapped[str] = mapped_column(sa.Text)
    copied_at: Mapped[datetime]
