"""Work on many connections at once: what is to be done, and what became of each."""

from __future__ import annotations

import uuid
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column, relationship

from onboarding.models.base import Base, uuid_key, words
from onboarding.models.staff import Staff
from onboarding.states import BulkKind, BulkRowState, BulkState, LeftOut, StoppedFor

IS_OPEN = "due_at IS NOT NULL"


class BulkJob(Base):
    """What a person has asked for. The worker that works on it holds its row locked meanwhile."""

    __tablename__ = "bulk_job"
    __table_args__ = (
        sa.Index(
            "ix_bulk_job_due_at",
            "due_at",
            postgresql_where=sa.text(IS_OPEN),
            sqlite_where=sa.text(IS_OPEN),
        ),
        sa.Index("ix_bulk_job_created_at_id", "created_at", "id"),
    )

    id: Mapped[uuid.UUID] = uuid_key()
    staff_id: Mapped[uuid.UUID] = mapped_column(sa.ForeignKey("staff.id"), index=True)
    kind: Mapped[BulkKind] = mapped_column(words(BulkKind))
    state: Mapped[BulkState] = mapped_column(words(BulkState))
    view: Mapped[str | None] = mapped_column(sa.Text)
    """The question of the table whose rows are meant; None: they were picked one by one."""
    created_at: Mapped[datetime]
    due_at: Mapped[datetime | None]
    """When the next part may be worked on; None once it has ended."""
    collected_to: Mapped[uuid.UUID | None]
    """The last connection that was written down."""
    worked_to: Mapped[uuid.UUID | None]
    """The last connection that was worked on: they come in the order of their ids."""
    total: Mapped[int] = mapped_column(default=0)
    done: Mapped[int] = mapped_column(default=0)
    left_out: Mapped[int] = mapped_column(default=0)
    failed: Mapped[int] = mapped_column(default=0)
    reasons: Mapped[dict[str, int]] = mapped_column(sa.JSON, default=dict)
    """How many were left out or failed, by `LeftOut`."""
    partners: Mapped[list[str]] = mapped_column(sa.JSON, default=list)
    """Ids of those whose connections are in it: only who sees all of them sees it."""
    stopped_for: Mapped[StoppedFor | None] = mapped_column(words(StoppedFor))
    stopped_by: Mapped[str] = mapped_column(sa.String(254), default="")
    ended_at: Mapped[datetime | None]

    staff: Mapped[Staff] = relationship(lazy="joined", innerjoin=True)

    @property
    def worked(self) -> int:
        """How many have been worked on."""
        return self.done + self.left_out + self.failed


class BulkRow(Base):
    """One of the connections."""

    __tablename__ = "bulk_row"
    __table_args__ = (
        sa.Index("ix_bulk_row_job_id_state_connection_id", "job_id", "state", "connection_id"),
        sa.Index("ix_bulk_row_connection_id", "connection_id"),
        sa.Index("ix_bulk_row_link_id", "link_id"),
    )

    job_id: Mapped[uuid.UUID] = mapped_column(sa.ForeignKey("bulk_job.id"), primary_key=True)
    connection_id: Mapped[uuid.UUID] = mapped_column(
        sa.ForeignKey("connection.id"), primary_key=True
    )
    state: Mapped[BulkRowState] = mapped_column(words(BulkRowState), default=BulkRowState.WAITING)
    reason: Mapped[LeftOut | None] = mapped_column(words(LeftOut))
    at: Mapped[datetime | None]
    """When it was worked on."""
    link_id: Mapped[uuid.UUID | None] = mapped_column(sa.ForeignKey("link.id"))
    """The link that was made for it, or is to be mailed."""
