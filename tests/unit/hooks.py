"""Webhooks without a server: an endpoint, something to tell, and what was answered."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from uuid import UUID

from onboarding.clock import now
from onboarding.db import Database
from onboarding.models import WebhookEndpoint, locked
from onboarding.settings import Settings
from onboarding.staff import partners
from onboarding.states import Health
from onboarding.vault import Vault
from onboarding.webhooks import endpoints, outbox, results
from onboarding.webhooks.answer import Answer
from onboarding.webhooks.courier import Courier
from onboarding.webhooks.results import Result

URL = "https://portal.example/hooks"
PARTNER = "watched"
"""Whose connections `rows.watched` makes."""


def failed(status: int = 500, text: str = "broken") -> Answer:
    return Answer(now(), 12, status, text)


def taken() -> Answer:
    return Answer(now(), 34, 204, "")


def endpoint(
    database: Database, vault: Vault, settings: Settings, url: str = URL, *, partner: str = PARTNER
) -> UUID:
    """An endpoint for all events; unless another is named, of the partner of `watched`."""
    with database.transaction() as session:
        owner = partners.named(session, partner)
        made, _secret = endpoints.add(session, vault, settings, owner, url=url, events=())
        return made.id


def breaks(database: Database, connections: Sequence[UUID]) -> None:
    """Growers must connect again: that is told."""
    for connection_id in connections:
        with database.transaction() as session:
            locked(session, connection_id).health = Health.UNAUTHENTICATED


def mends(database: Database, connections: Sequence[UUID]) -> None:
    """They work again: so is that."""
    for connection_id in connections:
        with database.transaction() as session:
            locked(session, connection_id).health = Health.OK


def tested(database: Database, endpoint_id: UUID) -> None:
    """Somebody sends a test there."""
    with database.transaction() as session:
        endpoints.send_test(session, session.get_one(WebhookEndpoint, endpoint_id))


@contextmanager
def courier(database: Database, vault: Vault, settings: Settings) -> Iterator[None]:
    """What the worker runs, until the end of the block."""
    running = Courier(database, vault, settings)
    thread = threading.Thread(target=running.run)
    thread.start()
    try:
        yield
    finally:
        running.stop()
        thread.join()


def tried(database: Database, answer: Answer, *, room: int = 100) -> int:
    """Let what is due be tried, and answered so."""
    with database.reading() as session:
        waiting = outbox.with_work(session)
    done = 0
    for endpoint_id in waiting:
        with database.transaction() as session:
            tasks = outbox.take(session, endpoint_id, room)
        with database.transaction() as session:
            if tasks:
                results.note(session, [Result(task, answer) for task in tasks])
        done += len(tasks)
    return done
