"""Mails to growers."""

from __future__ import annotations

import uuid
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column, relationship

from onboarding.models.base import Base, uuid_key, words
from onboarding.models.connection import Connection
from onboarding.models.growers import Link
from onboarding.states import MailKind, MailState

IS_OPEN_LINK = f"kind = '{MailKind.OPEN_LINK}'"
"""Written out, since a database finds a partial index only so."""


class Mail(Base):
    """A mail to a grower: owed, sent, left out or given up.

    Neither an address nor a text stands here: both are taken when it is sent. `tries` is the
    number of the try that may send it, `due_at` when it should, or when somebody looks after it.
    """

    __tablename__ = "mail"

    id: Mapped[uuid.UUID] = uuid_key()
    connection_id: Mapped[uuid.UUID] = mapped_column(sa.ForeignKey("connection.id"))
    link_id: Mapped[uuid.UUID | None] = mapped_column(sa.ForeignKey("link.id"))
    """The link in it: given by staff, or made for it."""
    kind: Mapped[MailKind] = mapped_column(words(MailKind))
    state: Mapped[MailState] = mapped_column(words(MailState), default=MailState.WAITING)
    about: Mapped[datetime | None]
    """What it is about: the connection's `handed_over_at` or `grower_acts_since` of that time."""
    number: Mapped[int] = mapped_column(default=1)
    """Of the mails about the same thing."""
    created_at: Mapped[datetime]
    due_at: Mapped[datetime | None]
    tries: Mapped[int] = mapped_column(default=0)
    first_tried_at: Mapped[datetime | None]
    ended_at: Mapped[datetime | None]
    """When it was sent, left out or given up."""
    message_id: Mapped[str] = mapped_column(sa.String(255), default="")
    detail: Mapped[str] = mapped_column(sa.Text, default="")
    """For staff: why it is late, was left out or given up; redacted."""

    connection: Mapped[Connection] = relationship()
    link: Mapped[Link | None] = relationship()

    __table_args__ = (
        sa.Index("ix_mail_connection_id_created_at", "connection_id", "created_at"),
        sa.Index(
            "ix_mail_kind_due_at",
            "kind",
            "due_at",
            postgresql_where=sa.text("due_at IS NOT NULL"),
            sqlite_where=sa.text("due_at IS NOT NULL"),
        ),
        sa.Index("ix_mail_state_ended_at", "state", "ended_at"),
        sa.Index(
            "ix_mail_open_link",
            "state",
            "ended_at",
            postgresql_where=sa.text(IS_OPEN_LINK),
            sqlite_where=sa.text(IS_OPEN_LINK),
        ),
    )
