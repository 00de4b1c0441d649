"""Files of growers: what they hold, and what it comes to."""

from __future__ import annotations

import uuid
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column, relationship

from onboarding.models.base import Base, uuid_key, words
from onboarding.models.growers import Partner
from onboarding.models.staff import Staff
from onboarding.states import ImportState, ReturnedFor, RowOutcome, RowVerdict

IS_OPEN = "due_at IS NOT NULL"


class Import(Base):
    """A file that somebody has handed in for a partner, kept for as long as `expires_at` says."""

    __tablename__ = "import"
    __table_args__ = (
        sa.Index("ix_import_created_at_id", "created_at", "id"),
        sa.Index(
            "ix_import_due_at",
            "due_at",
            postgresql_where=sa.text(IS_OPEN),
            sqlite_where=sa.text(IS_OPEN),
        ),
        sa.Index("ix_import_expires_at", "expires_at"),
    )

    id: Mapped[uuid.UUID] = uuid_key()
    staff_id: Mapped[uuid.UUID] = mapped_column(sa.ForeignKey("staff.id"), index=True)
    partner_id: Mapped[uuid.UUID] = mapped_column(sa.ForeignKey("partner.id"), index=True)
    state: Mapped[ImportState] = mapped_column(words(ImportState), default=ImportState.SHOWN)
    file_name: Mapped[str] = mapped_column(sa.String(200))
    ignored: Mapped[list[str]] = mapped_column(default=list)
    """Headings of columns that say nothing to us."""
    counts: Mapped[dict[str, int]] = mapped_column(sa.JSON, default=dict)
    """How many rows, by `RowVerdict`."""
    created_at: Mapped[datetime]
    expires_at: Mapped[datetime]
    times_returned: Mapped[int] = mapped_column(default=0)
    """Who confirms says which of its showings they have seen."""
    returned_for: Mapped[ReturnedFor | None] = mapped_column(words(ReturnedFor))
    """Why it is shown again though it was confirmed."""
    confirmed_at: Mapped[datetime | None]
    confirmed_by_id: Mapped[uuid.UUID | None] = mapped_column(sa.ForeignKey("staff.id"), index=True)
    due_at: Mapped[datetime | None]
    """When the worker may go on with it; None: nothing is to be done."""
    done_to: Mapped[int] = mapped_column(default=0)
    """The last line that was worked on: they come in the order of the file."""
    outcomes: Mapped[dict[str, int]] = mapped_column(sa.JSON, default=dict)
    """How many rows were worked on, by `RowOutcome`."""
    ended_at: Mapped[datetime | None]

    partner: Mapped[Partner] = relationship(lazy="joined", innerjoin=True)
    staff: Mapped[Staff] = relationship(
        lazy="joined", innerjoin=True, foreign_keys="Import.staff_id"
    )
    """Who handed it in."""
    confirmed_by: Mapped[Staff | None] = relationship(
        lazy="joined", foreign_keys="Import.confirmed_by_id"
    )

    def count(self, verdict: RowVerdict) -> int:
        """How many rows come to this."""
        return self.counts.get(verdict.value, 0)

    @property
    def total(self) -> int:
        """How many rows it has."""
        return sum(self.counts.values())

    @property
    def wanted(self) -> int:
        """How many rows are to be worked on."""
        return self.count(RowVerdict.NEW) + self.count(RowVerdict.CHANGED)

    @property
    def worked(self) -> int:
        """How many have been worked on."""
        return sum(self.outcomes.values())

    def ended_as(self, outcome: RowOutcome) -> int:
        """How many rows came to this end."""
        return self.outcomes.get(outcome.value, 0)


class ImportRow(Base):
    """One row of the file."""

    __tablename__ = "import_row"
    __table_args__ = (sa.Index("ix_import_row_link_id", "link_id"),)

    import_id: Mapped[uuid.UUID] = mapped_column(sa.ForeignKey("import.id"), primary_key=True)
    line: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    """Where it stands in the file."""
    external_id: Mapped[str] = mapped_column(sa.Text)
    name: Mapped[str] = mapped_column(sa.Text)
    email: Mapped[str] = mapped_column(sa.Text)
    phone: Mapped[str] = mapped_column(sa.Text)
    leaf_user_id: Mapped[str] = mapped_column(sa.Text)
    verdict: Mapped[RowVerdict] = mapped_column(words(RowVerdict))
    notes: Mapped[list[str]] = mapped_column(default=list)
    """What is wrong and what to change, or what would be changed."""
    outcome: Mapped[RowOutcome | None] = mapped_column(words(RowOutcome))
    """None: it was not its turn yet, or there is nothing to do with it."""
    link_id: Mapped[uuid.UUID | None] = mapped_column(sa.ForeignKey("link.id"))
    """Of a grower who is new: the link that was made."""
