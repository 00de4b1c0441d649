"""How tries of deliveries end, and what that means for the endpoint.

An endpoint that fails again and again is given one message at a time, at growing pauses, until it
takes one; then all that waits goes at once. After days of it, it is paused.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.orm import Session

from onboarding import chance
from onboarding.clock import now
from onboarding.models import WebhookDelivery, WebhookEndpoint, WebhookTry
from onboarding.states import DeliveryState, PauseReason
from onboarding.webhooks.answer import Answer
from onboarding.webhooks.outbox import FAILING, Task, hasten, pause

GIVEN_UP_AFTER = timedelta(days=3)
PAUSES = tuple(
    timedelta(seconds=seconds)
    for seconds in (5, 30, 120, 600, 1800, 3600, 2 * 3600, 4 * 3600, 8 * 3600)
)
"""After each failure of a message; the last one again and again."""
FIRST_PROBE, LONGEST_PROBE = timedelta(seconds=5), timedelta(minutes=10)
GONE = 410

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Result:
    """How it ended."""

    task: Task
    answer: Answer


def note(session: Session, results: Sequence[Result]) -> None:
    """Write down how tries ended; of what was deleted meanwhile, nothing."""
    known = sa.select(WebhookDelivery.id).where(
        WebhookDelivery.id.in_([one.task.delivery_id for one in results])
    )
    kept = set(session.scalars(known.with_for_update(read=True, key_share=True)))
    results = [one for one in results if one.task.delivery_id in kept]
    if not results:
        return
    session.execute(
        sa.insert(WebhookTry),
        [
            {
                "delivery_id": one.task.delivery_id,
                "at": one.answer.at,
                "milliseconds": one.answer.milliseconds,
                "status": one.answer.status,
                "answer": one.answer.text,
            }
            for one in results
        ],
    )
    by_endpoint: dict[UUID, list[Result]] = {}
    for one in results:
        by_endpoint.setdefault(one.task.endpoint_id, []).append(one)
    _note_delivered(session, [one for one in results if one.answer.is_delivered])
    for endpoint_id in sorted(by_endpoint):
        _note_of(session, endpoint_id, by_endpoint[endpoint_id])


def _note_delivered(session: Session, delivered: Sequence[Result]) -> None:
    """Also of a try that counted as lost: it has arrived."""
    if not delivered:
        return
    session.execute(
        sa.update(WebhookDelivery)
        .where(WebhookDelivery.id.in_([one.task.delivery_id for one in delivered]))
        .where(WebhookDelivery.state == DeliveryState.WAITING)
        .values(state=DeliveryState.DELIVERED, ended_at=now(), taken_until=None)
        .execution_options(synchronize_session=False)
    )


def _note_of(session: Session, endpoint_id: UUID, results: Sequence[Result]) -> None:
    failed = [one for one in results if not one.answer.is_delivered]
    query = sa.select(WebhookEndpoint).where(WebhookEndpoint.id == endpoint_id)
    if not failed and not session.scalar(query.where(WebhookEndpoint.failures > 0)):
        return  # the row of one that works is not written at each message
    locked = query.with_for_update(of=WebhookEndpoint, key_share=True)
    endpoint = session.scalar(locked.execution_options(populate_existing=True))
    if endpoint is None:
        return
    for one in failed:
        _put_off(session, one)
    # What another URL has answered says nothing about this one.
    here = [one for one in results if one.task.url == endpoint.url]
    failures = [one.answer for one in here if not one.answer.is_delivered]
    if len(failures) < len(here):
        _note_well(session, endpoint)
    if failures:
        _note_failing(endpoint, failures)


def _note_well(session: Session, endpoint: WebhookEndpoint) -> None:
    has_been_failing = endpoint.failures >= FAILING
    endpoint.forget_failures()
    if has_been_failing:  # else the pause is one that the server has asked for
        endpoint.retry_at = None
        hasten(session, endpoint)


def _note_failing(endpoint: WebhookEndpoint, answers: Sequence[Answer]) -> None:
    moment = now()
    if endpoint.failures >= FAILING:
        endpoint.failures += 1
    else:  # many at once are one failure of the server, which may begin anew in a second
        endpoint.failures = min(endpoint.failures + len(answers), FAILING)
    endpoint.failing_since = endpoint.failing_since or moment
    endpoint.failure = answers[-1].failure
    _wait_before_next(endpoint, moment, max(one.retry_after or 0 for one in answers))
    if endpoint.paused_at is not None:
        return
    if any(one.status == GONE for one in answers):
        pause(endpoint, PauseReason.GONE)
        log.warning("A webhook endpoint of %s wants nothing more", endpoint.partner.slug)
    elif moment - endpoint.failing_since >= GIVEN_UP_AFTER:
        pause(endpoint, PauseReason.FAILURES)
        log.warning("A webhook endpoint of %s is paused after days", endpoint.partner.slug)


def _wait_before_next(endpoint: WebhookEndpoint, moment: datetime, asked_for: float) -> None:
    """
    :param asked_for: seconds, by `Retry-After`; 0: none
    """
    wait = timedelta(0)
    if endpoint.failures >= FAILING:
        doubled = min(endpoint.failures - FAILING, 10)
        wait = chance.spread(min(FIRST_PROBE * 2**doubled, LONGEST_PROBE), 0.8, 1.2)
    wait = max(wait, timedelta(seconds=asked_for))
    if wait:
        endpoint.retry_at = max(endpoint.retry_at or moment, moment + wait)


def _put_off(session: Session, one: Result) -> None:
    delivery = session.scalar(
        sa.select(WebhookDelivery)
        .where(
            WebhookDelivery.id == one.task.delivery_id,
            WebhookDelivery.tries == one.task.number,
            WebhookDelivery.state == DeliveryState.WAITING,
        )
        .with_for_update(of=WebhookDelivery)
    )
    if delivery is None:
        return  # another try counts
    moment = now()
    delivery.taken_until = None
    if moment - delivery.since >= GIVEN_UP_AFTER:
        delivery.state, delivery.ended_at = DeliveryState.GIVEN_UP, moment
        return
    delivery.failures += 1
    wait = chance.spread(PAUSES[min(delivery.failures, len(PAUSES)) - 1], 0.8, 1.2)
    delivery.due_at = moment + max(wait, timedelta(seconds=one.answer.retry_after or 0))
    if delivery.connection_id is None:
        return
    # What waits behind it need not be looked at before.
    session.execute(
        sa.update(WebhookDelivery)
        .where(
            WebhookDelivery.endpoint_id == delivery.endpoint_id,
            WebhookDelivery.connection_id == delivery.connection_id,
            WebhookDelivery.state == DeliveryState.WAITING,
            WebhookDelivery.id > delivery.id,
            WebhookDelivery.due_at < delivery.due_at,
        )
        .values(due_at=delivery.due_at)
        .execution_options(synchronize_session=False)
    )
