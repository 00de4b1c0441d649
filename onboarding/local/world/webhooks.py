"""A server of a partner in the demo world that was told what happened, until it broke.

Its endpoint is paused, so that nothing leaves this machine.
"""

from __future__ import annotations

import json
import uuid
from datetime import datetime, timedelta
from random import Random

import sqlalchemy as sa
from sqlalchemy.orm import Session

from onboarding.clock import written
from onboarding.connections import announcing
from onboarding.connections.announcing import News
from onboarding.connections.mails.owed import told_of
from onboarding.local.world.making import SEED, World
from onboarding.models import (
    Connection,
    Grower,
    Listing,
    Partner,
    WebhookEndpoint,
    WebhookTry,
)
from onboarding.states import DeliveryState, PauseReason, WebhookEvent
from onboarding.vault import Vault
from onboarding.webhooks import signed

URL = "https://portal.heartland-coop.example/webhooks"
EVENTS = (
    WebhookEvent.CONNECTED,
    WebhookEvent.NEEDS_ACTION,
    WebhookEvent.REPAIRED,
    WebhookEvent.DISCONNECTED,
)
TOLD = timedelta(days=20)
MOST = 100
"""About so many connections are told of, if there is something to tell."""
BROKEN, PAUSED = timedelta(days=5), timedelta(days=2)
"""So long ago the server broke, and three days later it was paused."""
FAILURE = "upstream connect error"


def write(session: Session, vault: Vault, world: World) -> None:
    """The endpoint of the first partner, and what was sent there."""
    chance, moment = Random(SEED), world.moment  # noqa: S311 - for a demo
    endpoint = _endpoint(session.get_one(Partner, world.partners[0].id), vault, moment)
    session.add(endpoint)
    session.flush()
    query = (
        sa.select(Connection.id, Listing.since)
        .join(Grower, Grower.id == Connection.grower_id)
        .join(Listing, Listing.connection_id == Connection.id)
        .where(Grower.partner_id == endpoint.partner_id, Listing.since > moment - TOLD)
        .order_by(Listing.since, Connection.id)
    )
    found = session.execute(query).all()
    for connection_id, since in found[:: max(1, len(found) // MOST)]:
        news = _news(session, session.get_one(Connection, connection_id), since)
        if news is not None:
            _send(session, endpoint, news, chance, moment)


def _endpoint(partner: Partner, vault: Vault, moment: datetime) -> WebhookEndpoint:
    made = WebhookEndpoint(
        id=uuid.uuid5(uuid.NAMESPACE_URL, URL),
        partner_id=partner.id,
        partner=partner,
        url=URL,
        events=[one.value for one in EVENTS],
        created_at=moment - TOLD,
        paused_at=moment - PAUSED,
        pause_reason=PauseReason.FAILURES,
        failing_since=moment - BROKEN,
        failure=f"503 {FAILURE}",
        failures=40,
    )
    made.secret = vault.encrypt(signed.new_secret(), place=made.secret_place)
    return made


def _news(session: Session, connection: Connection, since: datetime) -> News | None:
    told = told_of(session, connection)
    event = announcing.event_of(told)
    return News(event, connection, told, since) if event in EVENTS else None


def _send(
    session: Session, endpoint: WebhookEndpoint, news: News, chance: Random, moment: datetime
) -> None:
    made = announcing.message(news)
    body = json.loads(made.body) | {"timestamp": written(news.since)}
    made.body, made.created_at = json.dumps(body, ensure_ascii=False), news.since
    (delivery,) = announcing.send(session, made, [endpoint])
    session.flush()
    age = moment - news.since
    if age > BROKEN:
        delivery.state, delivery.ended_at = DeliveryState.DELIVERED, news.since
        session.add(_tried(delivery.id, news.since, chance.randrange(40, 400), 204))
        delivery.tries = 1
    elif age > PAUSED:
        # What happened after the pause waits untried.
        if age > BROKEN - timedelta(days=1):
            delivery.state, delivery.ended_at = DeliveryState.GIVEN_UP, moment - PAUSED
        delivery.tries = 3
        for number in range(3):
            at = news.since + timedelta(minutes=number * 7)
            session.add(_tried(delivery.id, at, chance.randrange(900, 10_000), 503, FAILURE))


def _tried(
    delivery_id: int, at: datetime, milliseconds: int, status: int, answer: str = ""
) -> WebhookTry:
    return WebhookTry(
        delivery_id=delivery_id, at=at, milliseconds=milliseconds, status=status, answer=answer
    )
