"""What is told to partners' programs, and what has become of it."""

from __future__ import annotations

import uuid
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, aliased, mapped_column, relationship

from onboarding.models.base import Base, number_key, uuid_key, words
from onboarding.models.connection import Connection
from onboarding.models.growers import Partner
from onboarding.states import DeliveryState, EndpointState, PauseReason

IS_WAITING = "state = 'waiting'"


class WebhookEndpoint(Base):
    """A URL of a partner's, and which events are sent there."""

    __tablename__ = "webhook_endpoint"

    id: Mapped[uuid.UUID] = uuid_key()
    partner_id: Mapped[uuid.UUID] = mapped_column(sa.ForeignKey("partner.id"), index=True)
    url: Mapped[str] = mapped_column(sa.String(500))
    events: Mapped[list[str]] = mapped_column(default=list)
    """Of `WebhookEvent`."""
    secret: Mapped[bytes] = mapped_column(sa.LargeBinary)
    """With which messages are signed; encrypted."""
    old_secret: Mapped[bytes | None] = mapped_column(sa.LargeBinary)
    """The one before: until `old_secret_until` messages are signed with both."""
    old_secret_until: Mapped[datetime | None]
    created_at: Mapped[datetime]
    paused_at: Mapped[datetime | None]
    pause_reason: Mapped[PauseReason | None] = mapped_column(words(PauseReason))
    failures: Mapped[int] = mapped_column(default=0)
    """In a row."""
    failing_since: Mapped[datetime | None]
    failure: Mapped[str] = mapped_column(sa.Text, default="")
    """What went wrong the last time; empty: nothing."""
    retry_at: Mapped[datetime | None]
    """While it fails, or asked for a pause: only a new test is sent before this."""
    mail_due_at: Mapped[datetime | None]
    """When the partner is to be written that it is paused; None: they need not be, or were."""
    removed_at: Mapped[datetime | None]
    """It is kept only until what was sent there is deleted."""

    partner: Mapped[Partner] = relationship(lazy="joined", innerjoin=True)

    @property
    def state(self) -> EndpointState:
        """How it is."""
        if self.paused_at is not None:
            return EndpointState.PAUSED
        return EndpointState.WORKS if self.failing_since is None else EndpointState.FAILS

    def forget_failures(self) -> None:
        """It works, or what went wrong says nothing about what comes."""
        self.failures, self.failing_since, self.failure = 0, None, ""

    @property
    def secret_place(self) -> str:
        """What the vault binds the secret to."""
        return f"webhook_endpoint.secret:{self.id}"

    @property
    def old_secret_place(self) -> str:
        """What the vault binds the secret before to."""
        return f"webhook_endpoint.old_secret:{self.id}"


class WebhookMessage(Base):
    """What happened, as it is told: written with the change itself, and never changed."""

    __tablename__ = "webhook_message"
    __table_args__ = (sa.Index("ix_webhook_message_created_at", "created_at"),)

    id: Mapped[uuid.UUID] = uuid_key()
    """With `msg_` before it the `webhook-id`, by which a receiver knows what it has got already."""
    partner_id: Mapped[uuid.UUID] = mapped_column(sa.ForeignKey("partner.id"))
    connection_id: Mapped[uuid.UUID | None] = mapped_column(
        sa.ForeignKey("connection.id"), index=True
    )
    """None: it was sent to try an endpoint."""
    event: Mapped[str] = mapped_column(sa.String(64))
    """A `WebhookEvent`, or `test`."""
    body: Mapped[str] = mapped_column(sa.Text)
    """JSON, as it is signed and sent."""
    created_at: Mapped[datetime]

    connection: Mapped[Connection | None] = relationship()

    @property
    def public_id(self) -> str:
        """The `webhook-id`."""
        return f"msg_{self.id.hex}"


class WebhookDelivery(Base):
    """One message to one endpoint. Of one connection they are sent in the order of their ids."""

    __tablename__ = "webhook_delivery"
    __table_args__ = (
        sa.Index(
            "ix_webhook_delivery_due",
            "endpoint_id",
            "due_at",
            "id",
            postgresql_where=sa.text(IS_WAITING),
            sqlite_where=sa.text(IS_WAITING),
        ),
        sa.Index(
            "ix_webhook_delivery_order",
            "endpoint_id",
            "connection_id",
            "id",
            postgresql_where=sa.text(IS_WAITING),
            sqlite_where=sa.text(IS_WAITING),
        ),
        sa.Index("ix_webhook_delivery_endpoint_id_id", "endpoint_id", "id"),
        sa.Index("ix_webhook_delivery_message_id", "message_id"),
        sa.Index("ix_webhook_delivery_created_at", "created_at"),
    )

    id: Mapped[int] = number_key()
    message_id: Mapped[uuid.UUID] = mapped_column(sa.ForeignKey("webhook_message.id"))
    endpoint_id: Mapped[uuid.UUID] = mapped_column(sa.ForeignKey("webhook_endpoint.id"))
    connection_id: Mapped[uuid.UUID | None]
    """The message's."""
    state: Mapped[DeliveryState] = mapped_column(
        words(DeliveryState), default=DeliveryState.WAITING
    )
    created_at: Mapped[datetime]
    since: Mapped[datetime]
    """From which the days count after which it is given up: made, or sent again by hand."""
    due_at: Mapped[datetime]
    """When the next try may begin."""
    taken_until: Mapped[datetime | None]
    """While a worker tries: when that counts as lost with the worker."""
    tries: Mapped[int] = mapped_column(default=0)
    failures: Mapped[int] = mapped_column(default=0, server_default="0")
    """Tries that failed since `since`: pauses grow with them."""
    ended_at: Mapped[datetime | None]

    message: Mapped[WebhookMessage] = relationship(lazy="joined", innerjoin=True)
    endpoint: Mapped[WebhookEndpoint] = relationship()


def is_next_of_its_connection() -> sa.ColumnElement[bool]:
    """Whether a delivery that waits has none before it about the same connection."""
    same = aliased(WebhookDelivery)
    # Not `NOT EXISTS`: PostgreSQL would join all that waits, to take a few.
    first = (
        sa.select(sa.func.min(same.id))
        .where(
            same.endpoint_id == WebhookDelivery.endpoint_id,
            same.connection_id == WebhookDelivery.connection_id,
            same.state == DeliveryState.WAITING,
        )
        .scalar_subquery()
    )
    return sa.or_(WebhookDelivery.connection_id.is_(None), WebhookDelivery.id == first)


class WebhookTry(Base):
    """One request of a delivery, and what was answered."""

    __tablename__ = "webhook_try"
    __table_args__ = (
        sa.Index("ix_webhook_try_delivery_id_id", "delivery_id", "id"),
        sa.Index("ix_webhook_try_at", "at"),
    )

    id: Mapped[int] = number_key()
    delivery_id: Mapped[int] = mapped_column(
        sa.ForeignKey("webhook_delivery.id", ondelete="CASCADE")
    )
    at: Mapped[datetime]
    """When it was sent."""
    milliseconds: Mapped[int]
    status: Mapped[int | None]
    """None: there was no answer."""
    answer: Mapped[str] = mapped_column(sa.Text, default="")
    """How the body began, redacted; or why there was none."""
