"""A partner's server is told what happens to a grower, also by workers that are killed."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from functools import partial

import sqlalchemy as sa

from onboarding.models import Partner, WebhookDelivery, WebhookEndpoint
from onboarding.states import DeliveryState
from onboarding.webhooks import endpoints
from tests.support.control import Control
from tests.support.people import People
from tests.support.receiver import Receiver
from tests.support.stack import WORKER, Stack
from tests.support.wait import wait_until

TOLD = "told"


def test_all_that_happens_is_told_in_order_though_a_worker_is_killed_while_it_tells(
    stack: Stack, people: People, control: Control, receiver: Receiver
) -> None:
    people.partner(TOLD, name="Told Co-op")
    grower = people.invited(partner=TOLD)
    parts = stack.installation
    with parts.database.transaction() as session:
        partner = session.scalars(sa.select(Partner).where(Partner.slug == TOLD)).one()
        secrets = {
            path: endpoints.add(
                session, parts.vault, parts.settings, partner, url=receiver.url + path, events=()
            )[1]
            for path in ("/hooks", "/hang")
        }
    grower.connect("one-farm")
    wait_until(lambda: receiver.at("/hang"), what="a message that is under way")
    stack.kill(WORKER)
    receiver.released.set()
    stack.start_worker()
    control.move_clock(timedelta(minutes=2))

    def types(path: str) -> list[str]:
        told = {one.id: one.read(secrets[path])["type"] for one in receiver.at(path)}
        return list(told.values())

    for path in secrets:
        wait_until(partial(is_in, "connection.connected", types, path), what=f"{path} is told all")
        found = types(path)
        assert found[:2] == ["link.opened", "connection.authorized"]
    first, again = receiver.at("/hang")[:2]
    assert (first.id, first.body) == (again.id, again.body), "what a killed worker was telling"

    def is_over() -> bool:
        waiting = sa.select(WebhookDelivery.id).where(
            WebhookDelivery.state == DeliveryState.WAITING
        )
        with parts.database.reading() as session:
            return session.scalar(waiting.limit(1)) is None

    wait_until(is_over, what="nothing waits any more")
    with parts.database.transaction() as session:
        for one in session.scalars(sa.select(WebhookEndpoint)):
            endpoints.remove(parts.vault, one)


def is_in(event: str, types: Callable[[str], list[str]], path: str) -> bool:
    return event in types(path)
