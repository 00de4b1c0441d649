"""The outbox: which deliveries are due, taken for a try, sent again, forgotten.

To one endpoint, what is about one connection is sent one after the other: while a message waits or
is tried, later ones about the same connection wait behind it. A try takes its delivery for a
minute; if the worker ends within it, another one takes it up: a receiver may get a message twice,
and knows it by its `webhook-id`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.orm import Session

from onboarding.clock import now
from onboarding.db import delete_oldest
from onboarding.models import (
    WebhookDelivery,
    WebhookEndpoint,
    WebhookMessage,
    is_next_of_its_connection,
)
from onboarding.states import DeliveryState, PauseReason

TAKEN_FOR = timedelta(minutes=1)
FAILING = 5
"""Failures in a row, of whatever messages, after which an endpoint is given one at a time."""
KEPT = timedelta(days=30)


@dataclass(frozen=True)
class Task:
    """One try that a worker has taken on itself."""

    delivery_id: int
    number: int
    """Of the try."""
    endpoint_id: UUID
    url: str
    message_id: str
    body: str


def with_work(session: Session) -> Sequence[UUID]:
    """Endpoints to which something can be sent at this moment."""
    moment = now()

    def has(*which: sa.ColumnElement[bool]) -> sa.ColumnElement[bool]:
        # Not `EXISTS`: PostgreSQL might read all that waits, to join it with a few endpoints.
        one = (
            sa.select(WebhookDelivery.id)
            .where(WebhookDelivery.endpoint_id == WebhookEndpoint.id, *_is_due(moment), *which)
            .limit(1)
        )
        return one.scalar_subquery().is_not(None)

    may_be_sent = sa.or_(sa.and_(_may_be_tried(moment), has()), has(*_is_new_test()))
    return session.scalars(sa.select(WebhookEndpoint.id).where(*_is_open(), may_be_sent)).all()


def take(session: Session, endpoint_id: UUID, room: int) -> list[Task]:
    """Take tries on oneself, at most so many, and one of a test that would have to wait."""
    moment = now()
    endpoint = session.scalar(
        sa.select(WebhookEndpoint).where(WebhookEndpoint.id == endpoint_id, *_is_open())
    )
    if endpoint is None:
        return []
    if endpoint.retry_at is not None and endpoint.retry_at > moment:
        return _take(session, endpoint, moment, 1, *_is_new_test())
    if endpoint.failures >= FAILING:
        room = 1
        # Passed by if another worker tries: who waited for its row could hold one it waits for.
        is_free = sa.select(WebhookEndpoint.id).where(
            WebhookEndpoint.id == endpoint_id, _may_be_tried(moment)
        )
        if session.scalar(is_free.with_for_update(key_share=True, skip_locked=True)) is None:
            return []
        session.execute(
            sa.update(WebhookEndpoint)
            .where(WebhookEndpoint.id == endpoint_id)
            .values(retry_at=moment + TAKEN_FOR)
            .execution_options(synchronize_session=False)
        )
    found = _take(session, endpoint, moment, room)
    if len(found) == room:  # more may wait, and a test among it
        found += _take(session, endpoint, moment, 1, *_is_new_test())
    return found


def forget_old(session: Session) -> None:
    """Delete what is older than a month, a part at a time; tries go with their deliveries."""
    moment = now()
    before = moment - KEPT
    is_free = sa.or_(WebhookDelivery.taken_until.is_(None), WebhookDelivery.taken_until <= moment)
    sent, made = WebhookDelivery.created_at, WebhookMessage.created_at
    delete_oldest(session, WebhookDelivery, by=sent, before=before, only=[is_free])
    is_bare = ~sa.exists().where(WebhookDelivery.message_id == WebhookMessage.id)
    delete_oldest(session, WebhookMessage, by=made, before=before, only=[is_bare])
    is_left = sa.exists().where(WebhookDelivery.endpoint_id == WebhookEndpoint.id)
    is_removed = WebhookEndpoint.removed_at.is_not(None)
    session.execute(sa.delete(WebhookEndpoint).where(is_removed, ~is_left))


def send_again(
    session: Session,
    endpoint: WebhookEndpoint,
    *,
    delivery_id: int | None = None,
    since: datetime | None = None,
    until: datetime | None = None,
    only_given_up: bool = False,
) -> int:
    """Send what has been sent, or was given up, once more: with the same `webhook-id`.

    :param delivery_id: this one; else all that were made in a time
    :return: how many there are
    """
    moment = now()
    chosen = [
        WebhookDelivery.endpoint_id == endpoint.id,
        WebhookDelivery.state != DeliveryState.WAITING,
    ]
    if delivery_id is not None:
        chosen.append(WebhookDelivery.id == delivery_id)
    if since is not None:
        chosen.append(WebhookDelivery.created_at >= since)
    if until is not None:
        chosen.append(WebhookDelivery.created_at <= until)
    if only_given_up:
        chosen.append(WebhookDelivery.state == DeliveryState.GIVEN_UP)
    done = session.execute(
        sa.update(WebhookDelivery)
        .where(*chosen)
        .values(
            state=DeliveryState.WAITING,
            since=moment,
            due_at=moment,
            taken_until=None,
            failures=0,
            ended_at=None,
        )
        .execution_options(synchronize_session=False)
        .returning(WebhookDelivery.id)
    )
    return len(done.all())


def hasten(session: Session, endpoint: WebhookEndpoint) -> None:
    """Let all that waits for an endpoint be sent now."""
    moment = now()
    session.execute(
        sa.update(WebhookDelivery)
        .where(*_waits_for(endpoint), WebhookDelivery.due_at > moment)
        .values(due_at=moment)
        .execution_options(synchronize_session=False)
    )


def begin_anew(session: Session, endpoint: WebhookEndpoint) -> None:
    """The same, and let it be tried for days from now on."""
    moment = now()
    session.execute(
        sa.update(WebhookDelivery)
        .where(*_waits_for(endpoint))
        .values(due_at=moment, since=moment, failures=0)
        .execution_options(synchronize_session=False)
    )


def pause(endpoint: WebhookEndpoint, reason: PauseReason) -> None:
    """Send nothing there any more; what happens meanwhile waits."""
    endpoint.paused_at = now()
    endpoint.pause_reason = reason
    if reason is not PauseReason.BY_HAND:
        endpoint.mail_due_at = endpoint.paused_at


def _take(
    session: Session,
    endpoint: WebhookEndpoint,
    moment: datetime,
    room: int,
    *which: sa.ColumnElement[bool],
) -> list[Task]:
    found = session.execute(
        sa.select(WebhookDelivery.id, WebhookDelivery.tries, WebhookMessage.id, WebhookMessage.body)
        .join(WebhookMessage, WebhookMessage.id == WebhookDelivery.message_id)
        .where(WebhookDelivery.endpoint_id == endpoint.id, is_next_of_its_connection())
        .where(*_is_due(moment), *which)
        .order_by(WebhookDelivery.due_at, WebhookDelivery.id)
        .limit(room)
        .with_for_update(of=WebhookDelivery, skip_locked=True)
    ).all()
    if found:
        session.execute(
            sa.update(WebhookDelivery)
            .where(WebhookDelivery.id.in_([row[0] for row in found]))
            .values(taken_until=moment + TAKEN_FOR, tries=WebhookDelivery.tries + 1)
            .execution_options(synchronize_session=False)
        )
    return [
        Task(
            number, tries + 1, endpoint.id, endpoint.url, WebhookMessage(id=message).public_id, body
        )
        for number, tries, message, body in found
    ]


def _waits_for(endpoint: WebhookEndpoint) -> tuple[sa.ColumnElement[bool], ...]:
    return (
        WebhookDelivery.endpoint_id == endpoint.id,
        WebhookDelivery.state == DeliveryState.WAITING,
    )


def _is_due(moment: datetime) -> tuple[sa.ColumnElement[bool], ...]:
    return (
        WebhookDelivery.state == DeliveryState.WAITING,
        WebhookDelivery.due_at <= moment,
        sa.or_(WebhookDelivery.taken_until.is_(None), WebhookDelivery.taken_until <= moment),
    )


def _is_new_test() -> tuple[sa.ColumnElement[bool], ...]:
    """One that has failed waits as all others do."""
    return WebhookDelivery.connection_id.is_(None), WebhookDelivery.tries == 0


def _is_open() -> tuple[sa.ColumnElement[bool], ...]:
    return WebhookEndpoint.paused_at.is_(None), WebhookEndpoint.removed_at.is_(None)


def _may_be_tried(moment: datetime) -> sa.ColumnElement[bool]:
    return sa.or_(WebhookEndpoint.retry_at.is_(None), WebhookEndpoint.retry_at <= moment)
