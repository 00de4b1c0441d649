"""With what a partner's programs ask our API."""

from __future__ import annotations

import uuid
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column, relationship

from onboarding.models.base import Base, uuid_key
from onboarding.models.growers import Partner


class ApiKey(Base):
    """A key of one partner. It is shown once; its digest is all that is kept."""

    __tablename__ = "api_key"
    __table_args__ = (sa.Index("ix_api_key_partner_id_created_at", "partner_id", "created_at"),)

    id: Mapped[uuid.UUID] = uuid_key()
    partner_id: Mapped[uuid.UUID] = mapped_column(sa.ForeignKey("partner.id"))
    name: Mapped[str] = mapped_column(sa.String(100))
    """What it is for, as staff wrote it."""
    prefix: Mapped[str] = mapped_column(sa.String(16), unique=True)
    """How it begins, by which people tell keys apart."""
    digest: Mapped[bytes] = mapped_column(sa.LargeBinary(32), unique=True)
    """SHA-256 of the whole key."""
    scopes: Mapped[list[str]] = mapped_column(default=list)
    """Of `ApiScope`."""
    created_at: Mapped[datetime]
    used_at: Mapped[datetime | None]
    window_began_at: Mapped[datetime | None]
    """When the first request came of those that are counted together; the machine's time."""
    window_count: Mapped[int] = mapped_column(default=0)
    """How many came since."""
    expires_at: Mapped[datetime | None]
    """When one that was rotated ends; None: it has not been rotated."""
    revoked_at: Mapped[datetime | None]

    partner: Mapped[Partner] = relationship(lazy="joined", innerjoin=True)

    def is_usable(self, now: datetime) -> bool:
        """Whether it opens anything at this moment."""
        return self.revoked_at is None and (self.expires_at is None or now < self.expires_at)
