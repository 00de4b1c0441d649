"""What has been sent to an endpoint, for people: each delivery, and the tries of one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.orm import Session, aliased

from onboarding.models import (
    Connection,
    WebhookDelivery,
    WebhookEndpoint,
    WebhookMessage,
    WebhookTry,
)
from onboarding.states import DeliveryState

LARGEST_ID = 2**63 - 1
KNOWN = 9
"""Columns of a delivery itself; those of its last try stand behind them."""


@dataclass(frozen=True)
class Tried:
    """One request, and what was answered."""

    at: datetime
    milliseconds: int
    status: int | None
    """None: there was no answer."""
    answer: str
    """How it began, redacted; or why there was none."""


@dataclass(frozen=True)
class Sent:
    """One message to one endpoint, and how its last try went."""

    id: int
    message_id: UUID
    event: str
    """A `WebhookEvent`, or `test`."""
    reference: str | None
    """Of the connection; None: it was sent to try the endpoint."""
    state: DeliveryState
    created_at: datetime
    due_at: datetime
    """While it waits: when the next try may begin."""
    ended_at: datetime | None
    tries: int
    last: Tried | None
    """None: none has ended yet."""

    @property
    def public_id(self) -> str:
        """The `webhook-id`."""
        return WebhookMessage(id=self.message_id).public_id


def deliveries(
    session: Session,
    endpoint: WebhookEndpoint,
    *,
    before: int | None = None,
    state: DeliveryState | None = None,
    event: str | None = None,
    limit: int,
) -> list[Sent]:
    """What was sent, or is to be, the newest first.

    :param before: the id of the delivery after which the page goes on; None: the newest
    """
    query = _sent().where(WebhookDelivery.endpoint_id == endpoint.id)
    if before is not None:
        query = query.where(WebhookDelivery.id < min(before, LARGEST_ID))
    if state is not None:
        query = query.where(WebhookDelivery.state == state)
    if event is not None:
        query = query.where(WebhookMessage.event == event)
    found = session.execute(query.order_by(WebhookDelivery.id.desc()).limit(limit))
    return [_row(one) for one in found]


def delivery(session: Session, endpoint: WebhookEndpoint, delivery_id: int) -> Sent | None:
    """One of them; None: none of that id went to this endpoint."""
    if not 0 < delivery_id <= LARGEST_ID:
        return None
    one = _sent().where(
        WebhookDelivery.endpoint_id == endpoint.id, WebhookDelivery.id == delivery_id
    )
    found = session.execute(one).one_or_none()
    return None if found is None else _row(found)


def body_of(session: Session, sent: Sent) -> str:
    """What is sent: JSON, as it is signed."""
    return session.scalars(
        sa.select(WebhookMessage.body).where(WebhookMessage.id == sent.message_id)
    ).one()


def tries_of(session: Session, delivery_id: int) -> Sequence[Tried]:
    """All tries of a delivery that have ended, the last first."""
    query = sa.select(*_tried(WebhookTry)).where(WebhookTry.delivery_id == delivery_id)
    return [Tried(*row) for row in session.execute(query.order_by(WebhookTry.id.desc()))]


def _sent() -> sa.Select[Any]:
    """In the order of `Sent`, and at the end what there is of the last try."""
    tried = aliased(WebhookTry)
    last = (
        sa.select(sa.func.max(tried.id))
        .where(tried.delivery_id == WebhookDelivery.id)
        .correlate(WebhookDelivery)
        .scalar_subquery()
    )
    columns: tuple[Any, ...] = (
        WebhookDelivery.id,
        WebhookDelivery.message_id,
        WebhookMessage.event,
        Connection.reference,
        WebhookDelivery.state,
        WebhookDelivery.created_at,
        WebhookDelivery.due_at,
        WebhookDelivery.ended_at,
        WebhookDelivery.tries,
        *_tried(WebhookTry),
    )
    return (
        sa.select(*columns)
        .join(WebhookMessage, WebhookMessage.id == WebhookDelivery.message_id)
        .outerjoin(Connection, Connection.id == WebhookDelivery.connection_id)
        .outerjoin(WebhookTry, WebhookTry.id == last)
    )


def _tried(table: type[WebhookTry]) -> tuple[Any, ...]:
    """In the order of `Tried`."""
    return table.at, table.milliseconds, table.status, table.answer


def _row(row: Any) -> Sent:
    known, tried = row[:KNOWN], row[KNOWN:]
    whole = (*known, None if tried[0] is None else Tried(*tried))
    return Sent(*whole)
