"""Answers that a partner's programs were given, for who asks the same again."""

from __future__ import annotations

import uuid
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column

from onboarding.models.base import Base, uuid_key


class ApiAnswer(Base):
    """What came of a request with an `Idempotency-Key`; without an answer, it runs."""

    __tablename__ = "api_answer"
    __table_args__ = (
        sa.UniqueConstraint("partner_id", "key_digest"),
        sa.Index("ix_api_answer_began_at", "began_at"),
    )

    id: Mapped[uuid.UUID] = uuid_key()
    """Another one for each that begins: whoever is too late does not find their row any more."""
    partner_id: Mapped[uuid.UUID] = mapped_column(sa.ForeignKey("partner.id"))
    key_digest: Mapped[bytes] = mapped_column(sa.LargeBinary(32))
    """SHA-256 of the key, as the program chose it."""
    request_digest: Mapped[bytes] = mapped_column(sa.LargeBinary(32))
    """SHA-256 of method, address and body."""
    began_at: Mapped[datetime]
    answer: Mapped[bytes | None]
    """Encrypted: it may hold a grower's link."""

    @property
    def answer_place(self) -> str:
        """Where the answer's ciphertext belongs."""
        return f"api_answer/{self.id}/answer"
