"""What the dashboard's table of connections is drawn from, and its saved views."""

from __future__ import annotations

import uuid
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column

from onboarding.models.base import Base, number_key, uuid_key, words
from onboarding.states import Environment, Health, Turn, WebhookEvent

IS_DUE = "due_at IS NOT NULL"
IS_UNOPENED = "opened_at IS NULL"
NAME_KEY_MAX = 100
SORTED_BY = ("since", "name_key", "created_at")
NARROWED_BY = ("partner_id", "code", "turn", "health", "environment")


class Listing(Base):
    """One connection as the table sorts, filters and finds it.

    A table of its own: the connection's row is written anew at each check, and each of a dozen
    indexes would be written with it. This one is written when what is told of the connection
    changes (see `connections.listing`).

    There is an index on `text` besides, of another kind on each database (see migration 0016).
    """

    __tablename__ = "listing"
    __table_args__ = (
        *(sa.Index(f"ix_listing_{column}", column, "number") for column in SORTED_BY),
        *(
            sa.Index(f"ix_listing_{column}_since", column, "since", "number")
            for column in NARROWED_BY
        ),
        *(
            sa.Index(f"ix_listing_partner_id_{column}", "partner_id", column, "number")
            for column in ("name_key", "created_at")
        ),
        *(
            sa.Index(
                f"ix_listing_{name}",
                *columns,
                postgresql_where=sa.text(where),
                sqlite_where=sa.text(where),
            )
            for name, columns, where in (
                ("due_at", ("due_at",), IS_DUE),
                ("unopened", ("since", "number"), IS_UNOPENED),
            )
        ),
    )

    number: Mapped[int] = number_key()
    """Breaks ties in every order, and is what SQLite's index of words knows rows by."""
    connection_id: Mapped[uuid.UUID] = mapped_column(sa.ForeignKey("connection.id"), unique=True)
    partner_id: Mapped[uuid.UUID] = mapped_column(sa.ForeignKey("partner.id"))
    name_key: Mapped[str] = mapped_column(sa.String(NAME_KEY_MAX), default="")
    """The grower's name as it is sorted."""
    code: Mapped[str] = mapped_column(sa.String(64), default="")
    """Of what `describe` tells; empty: not computed yet."""
    turn: Mapped[Turn] = mapped_column(words(Turn), default=Turn.NOBODY)
    since: Mapped[datetime]
    """Since when it has been that code."""
    health: Mapped[Health] = mapped_column(words(Health), default=Health.UNKNOWN)
    environment: Mapped[Environment | None] = mapped_column(words(Environment))
    created_at: Mapped[datetime]
    opened_at: Mapped[datetime | None]
    """When the grower first opened a link in a browser."""
    started_at: Mapped[datetime | None]
    """When they first went to John Deere."""
    consented_at: Mapped[datetime | None]
    """When John Deere first gave us a token."""
    first_connected_at: Mapped[datetime | None]
    due_at: Mapped[datetime | None]
    """When the code may be another one just because time has passed."""
    announced: Mapped[WebhookEvent | None] = mapped_column(words(WebhookEvent, length=64))
    """As what the partner was last told where it stands (see `connections.announcing`)."""
    announced_code: Mapped[str] = mapped_column(sa.String(64), default="", server_default="")
    """What was told then."""
    text: Mapped[str] = mapped_column(sa.Text, default="")
    """All that a search looks at, a line each, as `connections.spelling` writes it."""


class SavedView(Base):
    """A view of the table under a name."""

    __tablename__ = "saved_view"
    __table_args__ = (
        sa.UniqueConstraint("staff_id", "name"),
        sa.Index("ix_saved_view_shared", "is_shared"),
    )

    id: Mapped[uuid.UUID] = uuid_key()
    staff_id: Mapped[uuid.UUID] = mapped_column(sa.ForeignKey("staff.id"))
    name: Mapped[str] = mapped_column(sa.String(60))
    query: Mapped[str] = mapped_column(sa.Text)
    """The address's query, as `staff.table.Filter` writes it."""
    is_shared: Mapped[bool] = mapped_column(default=False)
    """Shown to everybody; what they see in it is theirs."""
    created_at: Mapped[datetime]
