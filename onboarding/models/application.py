"""Applications that are registered at John Deere, besides the one that the settings name."""

from __future__ import annotations

import uuid
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column

from onboarding.models.base import Base, uuid_key, words
from onboarding.states import Environment


class Application(Base):
    """An application of its own, for the growers of some partners.

    Key and environment are what it is known by, at attempts and connections too: they never
    change. (Those are the default application's where no row has them.)
    """

    __tablename__ = "application"
    __table_args__ = (sa.UniqueConstraint("client_key", "environment"),)

    id: Mapped[uuid.UUID] = uuid_key()
    name: Mapped[str] = mapped_column(sa.String(200), unique=True)
    environment: Mapped[Environment] = mapped_column(words(Environment))
    client_key: Mapped[str] = mapped_column(sa.String(200))
    client_secret: Mapped[bytes] = mapped_column(sa.LargeBinary)
    scopes: Mapped[list[str]]
    metadata_url: Mapped[str | None] = mapped_column(sa.String(500))
    """None: as the settings say."""
    api_url: Mapped[str | None] = mapped_column(sa.String(500))
    """None: as the settings say, or John Deere's own for the environment."""
    created_at: Mapped[datetime]
    secret_set_at: Mapped[datetime]

    @property
    def secret_place(self) -> str:
        """What ties the encrypted secret to this row."""
        return f"application/{self.id}/client_secret"
