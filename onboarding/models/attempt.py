"""Walks through John Deere's consent."""

from __future__ import annotations

import uuid
from datetime import datetime, timedelta

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column, relationship

from onboarding.models.base import Base, uuid_key, words
from onboarding.models.connection import Connection
from onboarding.states import OUR_FAULT, Environment, Outcome

ATTEMPT_LIFETIME = timedelta(minutes=30)
"""A sign-in with a second factor takes time; a state that lives for hours is a gift."""
EXCHANGE_LIMIT = timedelta(minutes=1)
"""The token call is given up before this; an attempt that says "exchanging" for longer was cut."""
IS_OUR_FAULT = "outcome IN ({})".format(", ".join(f"'{one.value}'" for one in sorted(OUR_FAULT)))
"""Written out, since a database finds an index on a part of a table only so."""
HAS_FAILED = "outcome <> 'authorized'"
"""It has ended, and brought no token. Written out for the same reason."""


class Attempt(Base):
    """One walk through John Deere's consent."""

    __tablename__ = "attempt"
    __table_args__ = (
        sa.Index("ix_attempt_connection_id_created_at", "connection_id", "created_at"),
        sa.Index(
            "ix_attempt_unfinished",
            "created_at",
            postgresql_where=sa.text("outcome IS NULL"),
            sqlite_where=sa.text("outcome IS NULL"),
        ),
        sa.Index(
            "ix_attempt_our_fault",
            "connection_id",
            postgresql_where=sa.text(IS_OUR_FAULT),
            sqlite_where=sa.text(IS_OUR_FAULT),
        ),
        sa.Index(
            "ix_attempt_failed",
            "ended_at",
            "id",
            postgresql_where=sa.text(HAS_FAILED),
            sqlite_where=sa.text(HAS_FAILED),
        ),
        sa.Index(
            "ix_attempt_failed_as",
            "outcome",
            "ended_at",
            "id",
            postgresql_where=sa.text(HAS_FAILED),
            sqlite_where=sa.text(HAS_FAILED),
        ),
    )

    id: Mapped[uuid.UUID] = uuid_key()
    connection_id: Mapped[uuid.UUID] = mapped_column(sa.ForeignKey("connection.id"))
    link_id: Mapped[uuid.UUID] = mapped_column(sa.ForeignKey("link.id"))
    state_digest: Mapped[bytes] = mapped_column(sa.LargeBinary(32), unique=True)
    browser_digest: Mapped[bytes] = mapped_column(sa.LargeBinary(32))
    code_verifier: Mapped[bytes | None] = mapped_column(sa.LargeBinary)
    created_at: Mapped[datetime]
    used_at: Mapped[datetime | None]
    ended_at: Mapped[datetime | None]
    outcome: Mapped[Outcome | None] = mapped_column(words(Outcome))
    detail: Mapped[str] = mapped_column(sa.Text, default="")
    access_token: Mapped[bytes | None] = mapped_column(sa.LargeBinary)
    """Kept only until an organization is shared, an hour at most."""
    access_token_until: Mapped[datetime | None] = mapped_column(index=True)
    sent_to_choose_at: Mapped[datetime | None]
    """When the grower was sent to choose organizations: once per attempt, never in a loop."""
    elsewhere_at: Mapped[datetime | None]
    """When it came back in a browser that had not begun it; for the grower's hint alone."""

    in_popup: Mapped[bool] = mapped_column(default=False)
    """Whether a frame opened it in a window of its own, which has nowhere to go on to."""

    client_key: Mapped[str | None] = mapped_column(sa.String(200))
    """Of the application that it began with, and ends with; None: the default one."""
    environment: Mapped[Environment | None] = mapped_column(words(Environment))

    connection: Mapped[Connection] = relationship()

    @property
    def verifier_place(self) -> str:
        """What ties the encrypted PKCE verifier to this row."""
        return f"attempt/{self.id}/code_verifier"

    @property
    def access_token_place(self) -> str:
        """What ties the encrypted access token to this row."""
        return f"attempt/{self.id}/access_token"

    def is_exchanging(self, now: datetime) -> bool:
        """Whether the callback is being worked on at this moment."""
        return (
            self.used_at is not None
            and self.outcome is None
            and now < self.used_at + EXCHANGE_LIMIT
        )
