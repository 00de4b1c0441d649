"""What partners' programs are told without asking: written down with what has happened.

A message says where the connection stands at that moment, in the words of `describe`. It is
written in the same transaction as the change, to each endpoint that wants its event; the worker
sends it (see `onboarding.webhooks`).

`history.record` and `listing` note what happens; of one transaction first what was done is told,
then what came of it.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID, uuid4

import sqlalchemy as sa
from sqlalchemy.orm import Session

from onboarding.clock import now, written
from onboarding.describe import Told
from onboarding.models import Connection, Listing, WebhookDelivery, WebhookEndpoint, WebhookMessage
from onboarding.states import WebhookEvent

NOTED = "announcing_noted"
DONE = {
    "token_received": WebhookEvent.AUTHORIZED,
    "fetching_selected": WebhookEvent.ORGANIZATIONS_CHANGED,
    "fetching_stopped": WebhookEvent.ORGANIZATIONS_CHANGED,
    "organization_appeared": WebhookEvent.ORGANIZATIONS_CHANGED,
    "organization_shared": WebhookEvent.ORGANIZATIONS_CHANGED,
    "organization_not_shared": WebhookEvent.ORGANIZATIONS_CHANGED,
    "organization_gone": WebhookEvent.ORGANIZATIONS_CHANGED,
}
"""Events by the kind of line that stands in the history."""
ENDS = {
    "connected": WebhookEvent.CONNECTED,
    "disconnected": WebhookEvent.DISCONNECTED,
    **dict.fromkeys(
        (
            "application_refused",
            "code_refused",
            "deere_unavailable",
            "denied",
            "failed",
            "interrupted",
            "no_refresh_token",
            "took_too_long",
        ),
        WebhookEvent.FAILED,
    ),
}
"""Events by the code of what is told."""
ON_THE_WAY = frozenset(
    {
        "authorizing",
        "checking",
        "disconnecting",
        "disconnecting_late",
        "finishing",
        "handing_over",
        "handing_over_late",
        "invited",
    }
)
"""Codes of which nobody is told: they pass, or nothing has been done yet."""
BEGUN_ANEW = frozenset({"authorizing", "finishing"})
"""What comes after these is told even if it is the same as before."""
UNWELL = frozenset({None, WebhookEvent.NEEDS_ACTION, WebhookEvent.TEMPORARILY_UNAVAILABLE})
"""After these a connection that worked once works again; None: nothing has been told yet."""


@dataclass(frozen=True)
class News:
    """What has happened to a connection, and where it stands now."""

    event: WebhookEvent
    connection: Connection
    told: Told
    since: datetime
    """Since when it has been that."""
    details: dict[str, Any] = field(default_factory=dict)


def event_of(told: Told) -> WebhookEvent | None:
    """As which event it is told that a connection stands so now; None: not at all."""
    if told.code in ON_THE_WAY:
        return None
    if (event := ENDS.get(told.code)) is not None:
        return event
    is_to_be_done = told.who != "nobody"
    return WebhookEvent.NEEDS_ACTION if is_to_be_done else WebhookEvent.TEMPORARILY_UNAVAILABLE


def note(session: Session, connection_id: UUID, event: WebhookEvent, **details: str) -> None:
    """Note that something was done; `tell` writes it down at the end of the transaction.

    :param details: ids, beside what every message says
    """
    noted: dict[UUID, dict[WebhookEvent, dict[str, str]]] = session.info.setdefault(NOTED, {})
    noted.setdefault(connection_id, {})[event] = details


def noted(session: Session) -> set[UUID]:
    """Connections with which something was done in this transaction."""
    return set(session.info.get(NOTED, ()))


def forget(session: Session) -> None:
    """What was noted has not happened."""
    session.info.pop(NOTED, None)


def of(
    session: Session, row: Listing, connection: Connection, told: Told, *, is_new: bool
) -> list[News]:
    """What is to be told of a connection, of which the row says already what is told now.

    The row remembers what was told last: of what comes again and again, nobody is told twice.

    :param is_new: whether the row said something else before
    """
    done = session.info.get(NOTED, {}).pop(connection.id, {})
    news = [News(event, connection, told, row.since, more) for event, more in done.items()]
    if told.code in BEGUN_ANEW and row.announced is WebhookEvent.FAILED:
        row.announced, row.announced_code = None, ""
    event = event_of(told)
    if event is None or row.announced_code == told.code:
        return news
    was_well = row.first_connected_at is not None
    is_repaired = event is WebhookEvent.CONNECTED and row.announced in UNWELL and was_well
    is_known = row.announced is None and not is_new  # it was so before anything was told
    row.announced, row.announced_code = event, told.code
    if is_known:
        return news
    shown = WebhookEvent.REPAIRED if is_repaired else event
    return [*news, News(shown, connection, told, row.since)]


def tell(session: Session, news: Sequence[News]) -> None:
    """Write the messages, to the endpoints that want them."""
    if not news:
        return
    partners = {one.connection.grower.partner_id for one in news}
    query = sa.select(WebhookEndpoint).where(
        WebhookEndpoint.partner_id.in_(partners), WebhookEndpoint.removed_at.is_(None)
    )
    endpoints = session.scalars(query.order_by(WebhookEndpoint.created_at, WebhookEndpoint.id))
    wanted: dict[tuple[UUID, str], list[WebhookEndpoint]] = {}
    for endpoint in endpoints:
        for event in endpoint.events:
            wanted.setdefault((endpoint.partner_id, event), []).append(endpoint)
    for one in news:
        receivers = wanted.get((one.connection.grower.partner_id, one.event), ())
        if receivers:
            send(session, message(one), receivers)


def send(
    session: Session, made: WebhookMessage, endpoints: Iterable[WebhookEndpoint]
) -> list[WebhookDelivery]:
    """Let the worker send a message to endpoints, after those that were written before."""
    session.add(made)
    deliveries = [
        WebhookDelivery(
            message=made,
            endpoint_id=endpoint.id,
            connection_id=made.connection_id,
            created_at=made.created_at,
            since=made.created_at,
            due_at=made.created_at,
        )
        for endpoint in endpoints
    ]
    session.add_all(deliveries)
    return deliveries


def message(news: News) -> WebhookMessage:
    """What is told: ids and where it stands, in words that may name an organization."""
    connection, told = news.connection, news.told
    return new_message(
        news.event,
        connection.grower.partner_id,
        connection_id=connection.id,
        data={
            "connection": connection.reference,
            "grower": connection.grower.external_id,
            "status": {
                "code": told.code,
                "label": told.label,
                "sentence": told.in_full,
                "who": told.who,
                "since": written(news.since),
            },
            **news.details,
        },
    )


def new_message(
    event: str, partner_id: UUID, *, data: dict[str, Any], connection_id: UUID | None = None
) -> WebhookMessage:
    """A message in the form of Standard Webhooks: type, timestamp, data."""
    moment = now()
    body = {"type": str(event), "timestamp": written(moment), "data": data}
    return WebhookMessage(
        id=uuid4(),
        partner_id=partner_id,
        connection_id=connection_id,
        event=str(event),
        body=json.dumps(body, ensure_ascii=False, separators=(",", ":")),
        created_at=moment,
    )
