"""Who signs in to the dashboard, and what they did there."""

from __future__ import annotations

import uuid
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column, relationship

from onboarding.models.base import Base, number_key, uuid_key, words
from onboarding.models.growers import Partner
from onboarding.states import Role

staff_partner = sa.Table(
    "staff_partner",
    Base.metadata,
    sa.Column("staff_id", sa.ForeignKey("staff.id"), primary_key=True),
    sa.Column("partner_id", sa.ForeignKey("partner.id"), primary_key=True),
)
"""To which partners a person is limited."""


class Staff(Base):
    """A person who signs in to the dashboard.

    Nobody is deleted, since the audit names them: who leaves is disabled.
    """

    __tablename__ = "staff"

    id: Mapped[uuid.UUID] = uuid_key()
    email: Mapped[str] = mapped_column(sa.String(254), unique=True)
    """In lower case: by it a person is known, whoever vouches for them."""
    name: Mapped[str] = mapped_column(sa.String(200), default="")
    role: Mapped[Role] = mapped_column(words(Role))
    is_limited: Mapped[bool] = mapped_column(default=False)
    """To `partners`; else all are seen."""
    created_at: Mapped[datetime]
    disabled_at: Mapped[datetime | None]

    password_hash: Mapped[str | None] = mapped_column(sa.String(200))
    """Argon2id; None: no password has been set."""
    password_set_at: Mapped[datetime | None]
    invitation_digest: Mapped[bytes | None] = mapped_column(sa.LargeBinary(32))
    """Of the link that sets a password."""
    invitation_until: Mapped[datetime | None]
    failures: Mapped[int] = mapped_column(default=0)
    """Wrong passwords in a row."""
    locked_until: Mapped[datetime | None]
    subject: Mapped[str | None] = mapped_column(sa.String(500), unique=True)
    """Issuer and subject at the company's identity provider, once they have signed in by it."""

    partners: Mapped[list[Partner]] = relationship(secondary=staff_partner)


class StaffSession(Base):
    """A browser in which a person is signed in."""

    __tablename__ = "staff_session"
    __table_args__ = (sa.Index("ix_staff_session_seen_at", "seen_at"),)

    id: Mapped[uuid.UUID] = uuid_key()
    staff_id: Mapped[uuid.UUID] = mapped_column(sa.ForeignKey("staff.id"), index=True)
    digest: Mapped[bytes] = mapped_column(sa.LargeBinary(32), unique=True)
    """SHA-256 of what the cookie holds."""
    created_at: Mapped[datetime]
    seen_at: Mapped[datetime]
    """To the minute."""
    confirmed_at: Mapped[datetime]
    """When the person last proved who they are: dangerous actions want that to be of now."""
    address: Mapped[str] = mapped_column(sa.String(64))
    browser: Mapped[str] = mapped_column(sa.String(200))
    is_by_provider: Mapped[bool] = mapped_column(default=False)
    """Whether the company's identity provider vouched for them."""

    staff: Mapped[Staff] = relationship(lazy="joined", innerjoin=True)


class Audit(Base):
    """Who did what when. Append-only: the database refuses to change or delete a line."""

    __tablename__ = "audit"
    __table_args__ = (
        sa.Index("ix_audit_partner_id_id", "partner_id", "id"),
        sa.Index("ix_audit_connection_id_id", "connection_id", "id"),
        sa.Index("ix_audit_staff_id_id", "staff_id", "id"),
        sa.Index("ix_audit_action_id", "action", "id"),
    )

    id: Mapped[int] = number_key()
    at: Mapped[datetime]
    staff_id: Mapped[uuid.UUID | None] = mapped_column(sa.ForeignKey("staff.id"))
    """None: a command, or nobody who is signed in."""
    who: Mapped[str] = mapped_column(sa.String(254))
    """The person's e-mail address at that time, or `command`."""
    action: Mapped[str] = mapped_column(sa.String(64))
    """What was done, e.g. `connection.recheck`."""
    connection_id: Mapped[uuid.UUID | None] = mapped_column(sa.ForeignKey("connection.id"))
    partner_id: Mapped[uuid.UUID | None] = mapped_column(sa.ForeignKey("partner.id"))
    """Whose it is; None: of no partner, so that only who sees all of them sees it."""
    data: Mapped[dict[str, Any]] = mapped_column(sa.JSON, default=dict)
