"""What was sent to a partner's endpoints, and what is to be sent again."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from flask import Response, abort
from pydantic import BaseModel, Field
from sqlalchemy.orm import Session

from onboarding.models import WebhookEndpoint
from onboarding.states import ApiScope, DeliveryState, WebhookEvent
from onboarding.views.api import pages
from onboarding.views.api.pages import Page
from onboarding.views.api.parts import (
    Model,
    answers,
    as_json,
    bp,
    checked,
    needs,
    problem,
    refusing,
    spec,
    writing,
)
from onboarding.views.api.values import Moment, row_number
from onboarding.views.api.webhooks import ENDPOINT, locked, shown
from onboarding.views.parts import installation
from onboarding.webhooks import endpoints, log, outbox

REPLAYED_AT_ONCE = 1000


class TryOut(BaseModel):
    """One request, and what was answered."""

    at: datetime
    milliseconds: int = Field(description="How long it took.")
    status: int | None = Field(description="Null: there was no answer.")
    answer: str = Field(description="How it began; or why there was none.")


class DeliveryOut(BaseModel):
    """One message, and what became of it."""

    id: str
    message_id: str = Field(description="The `webhook-id`.")
    type: str = Field(description="The event, or `test`.")
    connection: str | None = Field(description="Its reference code; null of a `test`.")
    state: DeliveryState
    created_at: datetime
    next_try_at: datetime | None = Field(description="Null: it does not wait.")
    tries: int
    last_try: TryOut | None


class Deliveries(BaseModel):
    """A page of them, newest first."""

    deliveries: list[DeliveryOut]
    next: str | None = Field(description="For `after`, if there are more.")


class DeliveryInFull(DeliveryOut):
    """One delivery with what was sent, and each try."""

    body: dict[str, Any] = Field(description="What is sent.")
    all_tries: list[TryOut] = Field(description="The first one first.")


class DeliveriesQuery(Page):
    """Which of them, and which page."""

    state: DeliveryState | None = Field(default=None, description="What has become of them.")
    type: WebhookEvent | Literal["test"] | None = Field(
        default=None, description="The event, or `test`."
    )


class ReplayIn(Model):
    """What is to be sent again."""

    since: Moment = Field(description="Messages from then on,")
    until: Moment | None = Field(default=None, description="up to then. None: up to now.")
    only_given_up: bool = Field(default=True, description="Not those that were taken.")
    after: str | None = Field(
        default=None, max_length=pages.LONGEST, description="What the answer before had in `next`."
    )


class ReplayOut(BaseModel):
    """How much is sent again."""

    deliveries: int = Field(description="How many are sent again.")
    next: str | None = Field(description="For `after`, if there may be more.")


@bp.post(f"/{ENDPOINT}/test")
@needs(ApiScope.WEBHOOKS)
@spec.validate(resp=answers(202, DeliveryOut, 404, 409), tags=["webhooks"])
def send_test(endpoint_id: UUID) -> Response:
    """Send a message of the type `test`. What came of it stands in its delivery."""
    with refusing(conflict="endpoint-not-ready"), writing() as session:
        found = locked(session, endpoint_id)
        made = endpoints.send_test(session, found)
        session.flush()
        return as_json(DeliveryOut(**_sent(_delivery(session, found, made.id))), 202)


@bp.get(f"/{ENDPOINT}/deliveries")
@needs(ApiScope.WEBHOOKS)
@spec.validate(query=DeliveriesQuery, resp=answers(200, Deliveries, 404), tags=["webhooks"])
def list_deliveries(endpoint_id: UUID) -> Response:
    """What was sent there within 30 days, or is to be, newest first."""
    asked: DeliveriesQuery = checked().query
    before = pages.number(asked.after)
    with installation().database.reading() as session:
        found = log.deliveries(
            session,
            shown(session, endpoint_id),
            before=before,
            state=asked.state,
            event=asked.type,
            limit=asked.limit + 1,
        )
    told = [DeliveryOut(**_sent(one)) for one in found[: asked.limit]]
    more = told[-1].id if len(found) > asked.limit else None
    return as_json(Deliveries(deliveries=told, next=more))


@bp.get(f"/{ENDPOINT}/deliveries/<number>")
@needs(ApiScope.WEBHOOKS)
@spec.validate(resp=answers(200, DeliveryInFull, 404), tags=["webhooks"])
def get_delivery(endpoint_id: UUID, number: str) -> Response:
    """One delivery, with what was sent and each try."""
    with installation().database.reading() as session:
        found = _delivery(session, shown(session, endpoint_id), row_number(number))
        return as_json(
            DeliveryInFull(
                **_sent(found),
                body=json.loads(log.body_of(session, found)),
                all_tries=[_tried(one) for one in log.tries_of(session, found.id)],
            )
        )


@bp.post(f"/{ENDPOINT}/deliveries/<number>/replay")
@needs(ApiScope.WEBHOOKS)
@spec.validate(resp=answers(202, ReplayOut, 404), tags=["webhooks"])
def replay_delivery(endpoint_id: UUID, number: str) -> Response:
    """Send one message again, with the same `webhook-id`. One that waits is sent anyway."""
    with writing() as session:
        found = locked(session, endpoint_id)
        sent = _delivery(session, found, row_number(number))
        again = outbox.send_again(session, found, delivery_id=sent.id)
    return as_json(ReplayOut(deliveries=len(again), next=None), 202)


@bp.post(f"/{ENDPOINT}/replay")
@needs(ApiScope.WEBHOOKS)
@spec.validate(json=ReplayIn, resp=answers(202, ReplayOut, 404), tags=["webhooks"])
def replay_deliveries(endpoint_id: UUID) -> Response:
    """Send again what was made within a time, in the order in which it was made: a thousand at
    once, and then those after `next`."""
    given: ReplayIn = checked().json
    with writing() as session:
        again = outbox.send_again(
            session,
            locked(session, endpoint_id),
            since=given.since,
            until=given.until,
            only_given_up=given.only_given_up,
            after=pages.number(given.after) or 0,
            at_most=REPLAYED_AT_ONCE,
        )
    more = str(again[-1]) if len(again) == REPLAYED_AT_ONCE else None
    return as_json(ReplayOut(deliveries=len(again), next=more), 202)


def _delivery(session: Session, endpoint: WebhookEndpoint, number: int | None) -> log.Sent:
    found = None if number is None else log.delivery(session, endpoint, number)
    return found or abort(problem(404))


def _sent(one: log.Sent) -> dict[str, Any]:
    return {
        "id": str(one.id),
        "message_id": one.public_id,
        "type": one.event,
        "connection": one.reference,
        "state": one.state,
        "created_at": one.created_at,
        "next_try_at": one.due_at if one.state is DeliveryState.WAITING else None,
        "tries": one.tries,
        "last_try": None if one.last is None else _tried(one.last),
    }


def _tried(one: log.Tried) -> TryOut:
    return TryOut(at=one.at, milliseconds=one.milliseconds, status=one.status, answer=one.answer)
