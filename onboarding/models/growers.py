"""Who is to be connected: partners, their growers, and the growers' links."""

from __future__ import annotations

import uuid
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column, relationship

from onboarding.models.base import Base, uuid_key, words
from onboarding.states import LinkKind

IS_EMBED = f"kind = '{LinkKind.EMBED}'"


class Partner(Base):
    """The company that brings growers."""

    __tablename__ = "partner"

    id: Mapped[uuid.UUID] = uuid_key()
    slug: Mapped[str] = mapped_column(sa.String(64), unique=True)
    name: Mapped[str] = mapped_column(sa.String(200))
    colour: Mapped[str | None] = mapped_column(sa.String(7))
    support_name: Mapped[str | None] = mapped_column(sa.String(200))
    support_email: Mapped[str | None] = mapped_column(sa.String(254))
    support_phone: Mapped[str | None] = mapped_column(sa.String(40))
    support_url: Mapped[str | None] = mapped_column(sa.String(500))
    frame_origins: Mapped[list[str]] = mapped_column(default=list)
    return_urls: Mapped[list[str]] = mapped_column(default=list)
    select_organizations: Mapped[bool] = mapped_column(default=False)
    """Ask Leaf for `organizationDataSync=SELECTED_ONLY`: nothing syncs until it is chosen."""
    open_link: Mapped[bool] = mapped_column(default=False)
    """Whether anybody may ask for a link of their own at `/j/<slug>` (decision 0048)."""
    application_id: Mapped[uuid.UUID | None] = mapped_column(
        sa.ForeignKey("application.id"), index=True
    )
    """As which its growers are asked; None: as the default application."""
    created_at: Mapped[datetime]


class Grower(Base):
    """A farm to connect. One Leaf user each."""

    __tablename__ = "grower"
    __table_args__ = (sa.UniqueConstraint("partner_id", "external_id"),)

    id: Mapped[uuid.UUID] = uuid_key()
    partner_id: Mapped[uuid.UUID] = mapped_column(sa.ForeignKey("partner.id"))
    external_id: Mapped[str] = mapped_column(sa.String(200))
    name: Mapped[str] = mapped_column(sa.String(200))
    email: Mapped[str | None] = mapped_column(sa.String(254))
    phone: Mapped[str | None] = mapped_column(sa.String(40))
    person: Mapped[str | None] = mapped_column(sa.String(200))
    """Who asked for the link, as they wrote it."""
    by_open_link: Mapped[bool] = mapped_column(default=False)
    """Whether they came by the partner's open link; else the partner or staff named them."""
    by_partner: Mapped[bool] = mapped_column(default=False)
    """Whether the partner's program named them: Leaf may know somebody else by that external id."""
    leaf_user_id: Mapped[str | None] = mapped_column(sa.String(64), unique=True)
    leaf_users_before: Mapped[list[str] | None] = mapped_column(sa.JSON(none_as_null=True))
    """Ids of the Leaf users of that external id before we first asked for one: none is ours."""
    created_at: Mapped[datetime]
    mail_stopped_at: Mapped[datetime | None]
    """Since when the grower wants no mails but those that staff send by hand."""
    address_refused_at: Mapped[datetime | None]
    """When the mail server said that there is no such mailbox; until another address is given."""

    partner: Mapped[Partner] = relationship(lazy="joined", innerjoin=True)

    @property
    def can_be_reached(self) -> bool:
        """Whether there is an address, and it has not been refused for good."""
        return bool(self.email) and self.address_refused_at is None


class LinkRequest(Base):
    """What somebody typed at a partner's open link; gone once the worker has made of it a grower,
    or a mail to one who is known. Nothing in it has been confirmed.
    """

    __tablename__ = "link_request"
    __table_args__ = (sa.Index("ix_link_request_created_at", "created_at"),)

    id: Mapped[uuid.UUID] = uuid_key()
    partner_id: Mapped[uuid.UUID] = mapped_column(sa.ForeignKey("partner.id"))
    farm: Mapped[str] = mapped_column(sa.String(200))
    person: Mapped[str] = mapped_column(sa.String(200))
    email: Mapped[str] = mapped_column(sa.String(254))
    phone: Mapped[str | None] = mapped_column(sa.String(40))
    created_at: Mapped[datetime]


class Link(Base):
    """A URL for one grower; expires and can be revoked."""

    __tablename__ = "link"
    __table_args__ = (
        sa.Index(
            "ix_link_embed",
            "expires_at",
            postgresql_where=sa.text(IS_EMBED),
            sqlite_where=sa.text(IS_EMBED),
        ),
    )

    id: Mapped[uuid.UUID] = uuid_key()
    grower_id: Mapped[uuid.UUID] = mapped_column(sa.ForeignKey("grower.id"), index=True)
    created_at: Mapped[datetime]
    expires_at: Mapped[datetime]
    revoked_at: Mapped[datetime | None]
    opened_at: Mapped[datetime | None]
    """When a browser first showed it, as far as we know (decision 0034)."""
    kind: Mapped[LinkKind] = mapped_column(words(LinkKind), default=LinkKind.INVITATION)
    return_url: Mapped[str | None] = mapped_column(sa.String(500))
    """Where the grower goes on afterwards; one of the partner's list."""
    made_by: Mapped[str | None] = mapped_column(sa.String(254))
    """The e-mail address of who made it on the page of the connection."""
    made_in: Mapped[uuid.UUID | None]
    """The `StaffSession` in which they did; not a key, since those are forgotten."""

    grower: Mapped[Grower] = relationship(lazy="joined", innerjoin=True)

    def is_usable(self, now: datetime) -> bool:
        """Whether the link may be used at this moment."""
        return self.revoked_at is None and now < self.expires_at
