"""The log of what was sent to an endpoint."""

from __future__ import annotations

import json

import sqlalchemy as sa

from onboarding.clock import now
from onboarding.connections import timeline
from onboarding.models import WebhookDelivery, WebhookEndpoint
from onboarding.staff import happened
from onboarding.states import DeliveryState
from onboarding.webhooks import log, outbox
from tests.unit import hooks
from tests.unit.rows import watched
from tests.unit.walk import Walk


def test_each_delivery_is_there_once_with_its_last_try_the_newest_first(walk: Walk) -> None:
    database = walk.database
    connections = watched(database, 3, checked_at=now())
    endpoint_id = hooks.endpoint(database, walk.vault, walk.settings)
    other_id = hooks.endpoint(database, walk.vault, walk.settings, hooks.URL + "/other")
    hooks.breaks(database, connections)
    hooks.tried(database, hooks.failed())
    with database.transaction() as session:
        session.get_one(WebhookEndpoint, endpoint_id).paused_at = None
        outbox.hasten(session, session.get_one(WebhookEndpoint, endpoint_id))
    assert hooks.tried(database, hooks.taken(), room=2) == 2
    hooks.mends(database, connections[:1])

    with database.reading() as session:
        endpoint = session.get_one(WebhookEndpoint, endpoint_id)
        found = log.deliveries(session, endpoint, limit=10)
        assert [one.event for one in found] == [
            "connection.repaired",
            *["connection.needs_action"] * 3,
        ]
        newest, failing, *good = found
        assert (newest.last, newest.tries) == (None, 0)
        assert failing.last is not None
        assert (failing.last.status, failing.last.answer, failing.tries) == (500, "broken", 1)
        assert failing.state is DeliveryState.WAITING
        assert [(one.state, one.tries) for one in good] == [(DeliveryState.DELIVERED, 2)] * 2
        tries = log.tries_of(session, good[0].id)
        assert [(one.status, one.milliseconds) for one in tries] == [(204, 34), (500, 12)]
        assert tries[0] == good[0].last

        first = log.deliveries(session, endpoint, limit=3)
        rest = log.deliveries(session, endpoint, before=first[-1].id, limit=3)
        assert [*first, *rest] == found
        assert log.deliveries(session, endpoint, state=DeliveryState.DELIVERED, limit=9) == good
        assert log.deliveries(session, endpoint, event="connection.repaired", limit=9) == [newest]
        assert not log.deliveries(session, endpoint, event="test", limit=9)

        assert log.delivery(session, endpoint, good[0].id) == good[0]
        other = session.get_one(WebhookEndpoint, other_id)
        assert log.delivery(session, other, good[0].id) is None
        assert log.delivery(session, other, 2**70) is None
        body = json.loads(log.body_of(session, newest))
        assert body["data"]["connection"] == newest.reference


def test_timeline_has_one_line_for_each_message_and_what_became_of_it(walk: Walk) -> None:
    database = walk.database
    (connection_id,) = watched(database, 1, checked_at=now())
    hooks.endpoint(database, walk.vault, walk.settings)
    hooks.endpoint(database, walk.vault, walk.settings, hooks.URL + "/other")
    hooks.breaks(database, [connection_id])
    hooks.tried(database, hooks.taken())
    hooks.mends(database, [connection_id])
    with database.transaction() as session:
        # Of the second message one is given up.
        newest = sa.select(sa.func.max(WebhookDelivery.id)).scalar_subquery()
        given_up = sa.update(WebhookDelivery).where(WebhookDelivery.id == newest)
        session.execute(given_up.values(state=DeliveryState.GIVEN_UP))

    with database.reading() as session:
        first = timeline.page(session, connection_id, limit=1)
        assert first.older is not None
        rest = timeline.page(session, connection_id, limit=9, after=first.older)
    told = [happened.told(line) for line in (*first.lines, *rest.lines)]
    assert [(one.tone, one.text, one.detail) for one in told] == [
        (
            "problem",
            "Webhook: Works again",
            "waits for 1 endpoint, given up at 1 endpoint",
        ),
        ("ok", "Webhook: Somebody must act", "delivered to 2 endpoints"),
    ]
