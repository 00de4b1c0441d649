"""How little a partner's server, its names and its requests take from all others."""

from __future__ import annotations

import ipaddress
import socket
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
import sqlalchemy as sa
import time_machine
from sqlalchemy.orm import Session

from onboarding.clock import now
from onboarding.errors import InputInvalid
from onboarding.models import WebhookDelivery, WebhookEndpoint, WebhookMessage, WebhookTry
from onboarding.settings import Settings
from onboarding.states import DeliveryState
from onboarding.webhooks import bounds, endpoints, outbox, post
from onboarding.webhooks import courier as courier_module
from tests.support.receiver import Receiver
from tests.support.wait import wait_until
from tests.unit import hooks
from tests.unit.rows import add_partner, watched
from tests.unit.walk import Walk

MANY = 3000


class Sending:
    """The partner of `watched`, and a worker's courier."""

    def __init__(self, walk: Walk) -> None:
        local = (ipaddress.ip_network("127.0.0.0/8"),)
        self.database, self.vault = walk.database, walk.vault
        self.settings: Settings = replace(walk.settings, webhooks_allow_private=local)
        self.connections = watched(self.database, 2, checked_at=now())

    def endpoint(self, url: str, partner: str = hooks.PARTNER) -> UUID:
        return hooks.endpoint(self.database, self.vault, self.settings, url, partner=partner)

    def courier(self) -> AbstractContextManager[None]:
        return hooks.courier(self.database, self.vault, self.settings)

    def test(self, endpoint_id: UUID) -> None:
        hooks.tested(self.database, endpoint_id)

    def all(self, kind: Any) -> Any:
        with self.database.reading() as session:
            return session.scalars(sa.select(kind).order_by(kind.id)).all()

    @contextmanager
    def changing(self, endpoint_id: UUID) -> Iterator[tuple[Session, WebhookEndpoint]]:
        with self.database.transaction() as session:
            found = endpoints.locked(session, endpoint_id)
            assert found is not None
            yield session, found

    def moves(self, endpoint_id: UUID, url: str) -> None:
        with self.changing(endpoint_id) as (session, found):
            endpoints.change(session, self.settings, found, url=url)


@pytest.fixture
def sending(walk: Walk) -> Sending:
    return Sending(walk)


@pytest.mark.parametrize(
    ("path", "status", "answer"), [("/begins", None, "broke off"), ("/goes-on", 204, "")]
)
def test_answers_that_never_come_to_an_end_are_cut_off(
    sending: Sending,
    receiver: Receiver,
    monkeypatch: pytest.MonkeyPatch,
    path: str,
    status: int | None,
    answer: str,
) -> None:
    # A connection that is kept is not closed because of that alone.
    monkeypatch.setattr(post, "IDLE_SECONDS", 600.0)
    sending.test(sending.endpoint(receiver.url + path))
    with sending.courier():
        (tried,) = wait_until(lambda: sending.all(WebhookTry), what="an answer")
        assert tried.status == status
        assert answer in tried.answer
        receiver.released.set()
        wait_until(lambda: receiver.cut_off == [path], what="the end of the connection")


def test_names_of_a_partner_that_hang_hold_up_no_others(
    sending: Sending, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked_up: list[str] = []
    released = threading.Event()

    def look_up(host: str, port: int, *_: Any, **__: Any) -> list[Any]:
        looked_up.append(host)
        if host != "localhost":
            released.wait()
            raise socket.gaierror("there is no such name")
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port))]

    port = receiver.url.rpartition(":")[2]
    add_partner(sending.database, "other")
    works = sending.endpoint(f"http://localhost:{port}/hooks", "other")
    for number in range(endpoints.AT_MOST):
        sending.test(sending.endpoint(f"https://{number}.example/"))
    monkeypatch.setattr(courier_module, "LOOK_UPS", bounds.LOOK_UPS + 1)
    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    with sending.courier():
        try:
            wait_until(lambda: len(looked_up) >= bounds.LOOK_UPS, what="names that hang")
            sending.test(works)
            wait_until(lambda: receiver.taken, what="what goes to another partner")
            assert len(set(looked_up)) == bounds.LOOK_UPS + 1
        finally:
            released.set()
        wait_until(lambda: len(sending.all(WebhookTry)) > endpoints.AT_MOST, what="all answers")


def test_a_name_without_address_and_one_that_is_not_public_are_told_alike(
    sending: Sending, monkeypatch: pytest.MonkeyPatch
) -> None:
    def look_up(host: str, port: int, *_: Any, **__: Any) -> list[Any]:
        if host == "nobody.example":
            raise socket.gaierror("there is no such name")
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("10.0.0.1", port))]

    for name in ("nobody", "postgres"):
        sending.test(sending.endpoint(f"https://{name}.example/"))
    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    with sending.courier():
        tried = wait_until(lambda: sending.all(WebhookTry)[1:] and sending.all(WebhookTry), what="")
    assert {one.answer for one in tried} == {
        "not sent: the host has no address in the public Internet"
    }


def test_only_one_test_waits_and_the_next_takes_its_place(sending: Sending) -> None:
    endpoint_id = sending.endpoint(hooks.URL)
    sending.test(endpoint_id)
    with pytest.raises(InputInvalid, match="not ended"):
        sending.test(endpoint_id)
    with sending.database.transaction() as session:
        assert len(outbox.take(session, endpoint_id, 1)) == 1
    with pytest.raises(InputInvalid, match="not ended"):
        sending.test(endpoint_id)  # it is under way
    with time_machine.travel(now() + timedelta(minutes=2)):
        assert hooks.tried(sending.database, hooks.failed()) == 1
        sending.test(endpoint_id)
        states = [one.state for one in sending.all(WebhookDelivery)]
    assert states == [DeliveryState.GIVEN_UP, DeliveryState.WAITING]


def test_what_is_as_it_should_be_is_not_written_again(sending: Sending) -> None:
    endpoint_id = sending.endpoint(hooks.URL)
    began = now()

    def since() -> set[timedelta]:
        return {one.since - began for one in sending.all(WebhookDelivery)}

    with time_machine.travel(began, tick=False) as clock:
        hooks.breaks(sending.database, sending.connections)
        clock.shift(timedelta(minutes=30))
        sending.moves(endpoint_id, f"{hooks.URL}/new")
        assert since() == {timedelta(0)}
        clock.shift(timedelta(hours=1))
        with sending.changing(endpoint_id) as (session, found):
            endpoints.resume(session, found)
        sending.moves(endpoint_id, f" {hooks.URL}/new")
        assert since() == {timedelta(0)}
        sending.moves(endpoint_id, f"{hooks.URL}/newer")
        assert since() == {timedelta(minutes=90)}
        assert hooks.tried(sending.database, hooks.failed()) == 2
        sending.moves(endpoint_id, f"{hooks.URL}/newer")
        assert hooks.tried(sending.database, hooks.taken()) == 0, "the same URL has failed"
        sending.moves(endpoint_id, f"{hooks.URL}/newest")
        assert hooks.tried(sending.database, hooks.taken()) == 2


def test_a_new_test_is_found_by_its_index_however_much_waits(sending: Sending) -> None:
    endpoint_id = sending.endpoint(hooks.URL)
    with sending.database.transaction() as session:
        endpoint = session.get_one(WebhookEndpoint, endpoint_id)
        endpoint.retry_at = now() + timedelta(minutes=5)
    sent: list[tuple[str, Any]] = []

    def note(_connection: Any, _cursor: Any, statement: str, parameters: Any, *_: Any) -> None:
        if "FROM webhook_delivery" in statement and statement.startswith("SELECT"):
            sent.append((statement, parameters))

    with sending.database.engine.connect() as connection, Session(connection) as session:
        _wait_there(session, endpoint_id)
        sa.event.listen(sending.database.engine, "before_cursor_execute", note)
        try:
            outbox.with_work(session)
            outbox.take(session, endpoint_id, 10)
        finally:
            sa.event.remove(sending.database.engine, "before_cursor_execute", note)
        explain = {"sqlite": "EXPLAIN QUERY PLAN", "postgresql": "EXPLAIN"}
        plans = [
            str(
                connection.exec_driver_sql(
                    f"{explain[connection.dialect.name]} {statement}", parameters
                ).all()
            )
            for statement, parameters in sent
        ]
        session.rollback()
    assert len(plans) == 2
    assert all("ix_webhook_delivery_order" in one for one in plans), plans
    assert "ix_webhook_delivery_due" not in plans[1]


def _wait_there(session: Session, endpoint_id: UUID) -> None:
    """Much, about as many connections; with few rows a database would rather read the table."""
    moment = now()
    partner_id = session.get_one(WebhookEndpoint, endpoint_id).partner_id
    message = WebhookMessage(
        id=uuid4(), partner_id=partner_id, event="test", body="{}", created_at=moment
    )
    session.add(message)
    session.flush()
    one = {
        "message_id": message.id,
        "endpoint_id": endpoint_id,
        "state": DeliveryState.WAITING,
        "created_at": moment,
        "since": moment,
        "due_at": moment,
    }
    session.execute(
        sa.insert(WebhookDelivery), [one | {"connection_id": uuid4()} for _ in range(MANY)]
    )
    if session.get_bind().dialect.name == "postgresql":  # it counts by itself; SQLite does not
        session.execute(sa.text("ANALYZE webhook_delivery"))
