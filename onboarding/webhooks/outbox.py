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
Sendable = sa.Select[int, int, UUID, str]
"""Deliveries with their tries, and the messages' ids and bodies."""
LATELY = timedelta(hours=1)
"""What has begun anew within it need not again."""


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
            .where(WebhookDelivery.endpoint_id == WebhookEndpoint.id, *which)
            .limit(1)
        )
        return one.scalar_subquery().is_not(None)

    is_due = sa.and_(_may_be_tried(moment), has(*_is_due(moment)))
    may_be_sent = sa.or_(is_due, has(*_is_new_test()))
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
        return _take_test(session, endpoint, moment)
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
        found += _take_test(session, endpoint, moment)
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
    after: int = 0,
    at_most: int | None = None,
) -> Sequence[int]:
    """Send what has been sent, or was given up, once more: with the same `webhook-id`.

    :param delivery_id: this one; else all that were made in a time
    :param after: those with a higher id alone
    :param at_most: so many, those that were made first; None: all
    :return: their ids, in that order
    """
    moment = now()
    chosen = [
        WebhookDelivery.endpoint_id == endpoint.id,
        WebhookDelivery.state != DeliveryState.WAITING,
        WebhookDelivery.id > after,
    ]
    if delivery_id is not None:
        chosen.append(WebhookDelivery.id == delivery_id)
    if since is not None:
        chosen.append(WebhookDelivery.created_at >= since)
    if until is not None:
        chosen.append(WebhookDelivery.created_at <= until)
    if only_given_up:
        chosen.append(WebhookDelivery.state == DeliveryState.GIVEN_UP)
    if at_most is not None:
        first = sa.select(WebhookDelivery.id).where(*chosen)
        chosen.append(WebhookDelivery.id.in_(first.order_by(WebhookDelivery.id).limit(at_most)))
    done = session.scalars(
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
    return sorted(done)


def replace_tests(session: Session, endpoint: WebhookEndpoint) -> bool:
    """Make room for a test, and give up those that have failed: only one waits at a time.

    :return: False: one has not been tried yet, or is being tried
    """
    moment = now()
    is_test = (*_waits_for(endpoint), WebhookDelivery.connection_id.is_(None))
    is_open = sa.or_(WebhookDelivery.tries == 0, WebhookDelivery.taken_until > moment)
    if session.scalar(sa.select(WebhookDelivery.id).where(*is_test, is_open).limit(1)) is not None:
        return False
    session.execute(
        sa.update(WebhookDelivery)
        .where(*is_test)
        .values(state=DeliveryState.GIVEN_UP, ended_at=moment, taken_until=None)
        .execution_options(synchronize_session=False)
    )
    return True


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
    # Rows that are as they should be are not written: of those that wait there may be many.
    is_behind = sa.or_(
        WebhookDelivery.due_at > moment,
        WebhookDelivery.since < moment - LATELY,
        WebhookDelivery.failures > 0,
    )
    session.execute(
        sa.update(WebhookDelivery)
        .where(*_waits_for(endpoint), is_behind)
        .values(due_at=moment, since=moment, failures=0)
        .execution_options(synchronize_session=False)
    )


def pause(endpoint: WebhookEndpoint, reason: PauseReason) -> None:
    """Send nothing there any more; what happens meanwhile waits."""
    endpoint.paused_at = now()
    endpoint.pause_reason = reason
    if reason is not PauseReason.BY_HAND:
        endpoint.mail_due_at = endpoint.paused_at


def _take(session: Session, endpoint: WebhookEndpoint, moment: datetime, room: int) -> list[Task]:
    due = (
        _sendable(endpoint)
        .where(is_next_of_its_connection(), *_is_due(moment))
        .order_by(WebhookDelivery.due_at, WebhookDelivery.id)
    )
    return _taken(session, endpoint, moment, due.limit(room))


def _take_test(session: Session, endpoint: WebhookEndpoint, moment: datetime) -> list[Task]:
    new = _sendable(endpoint).where(*_is_new_test()).order_by(WebhookDelivery.id)
    return _taken(session, endpoint, moment, new.limit(1))


def _sendable(endpoint: WebhookEndpoint) -> Sendable:
    return (
        sa.select(WebhookDelivery.id, WebhookDelivery.tries, WebhookMessage.id, WebhookMessage.body)
        .join(WebhookMessage, WebhookMessage.id == WebhookDelivery.message_id)
        .where(WebhookDelivery.endpoint_id == endpoint.id)
    )


def _taken(
    session: Session, endpoint: WebhookEndpoint, moment: datetime, chosen: Sendable
) -> list[Task]:
    found = session.execute(chosen.with_for_update(of=WebhookDelivery, skip_locked=True)).all()
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
    """One that has failed waits as all others do.

    It is due since it was made, and nobody has taken it: that is not asked, so that it is found by
    the index that begins with the connection, however much waits.
    """
    return (
        WebhookDelivery.state == DeliveryState.WAITING,
        WebhookDelivery.connection_id.is_(None),
        WebhookDelivery.tries == 0,
    )


def _is_open() -> tuple[sa.ColumnElement[bool], ...]:
    return WebhookEndpoint.paused_at.is_(None), WebhookEndpoint.removed_at.is_(None)


def _may_be_tried(moment: datetime) -> sa.ColumnElement[bool]:
    return sa.or_(WebhookEndpoint.retry_at.is_(None), WebhookEndpoint.retry_at <= moment)
