"""What partners' programs are told: written with the change, sent in order, never lost."""

from __future__ import annotations

import ipaddress
import json
import re
from contextlib import AbstractContextManager, ExitStack
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
import sqlalchemy as sa
import time_machine

from onboarding import describe
from onboarding.clock import now
from onboarding.connections import announcing, history, listing
from onboarding.errors import InputInvalid
from onboarding.models import (
    Connection,
    Link,
    Listing,
    Partner,
    WebhookDelivery,
    WebhookEndpoint,
    WebhookMessage,
    WebhookTry,
    locked,
)
from onboarding.settings import Settings
from onboarding.states import DeliveryState, Health, PauseReason, Stage
from onboarding.views.api.messages import Message
from onboarding.webhooks import courier as courier_module
from onboarding.webhooks import endpoints, outbox, results
from onboarding.webhooks.addresses import is_public
from onboarding.webhooks.answer import Answer
from onboarding.webhooks.results import GIVEN_UP_AFTER, Result
from tests.support.receiver import Receiver
from tests.support.wait import wait_until
from tests.unit import hooks
from tests.unit.rows import invited, watched
from tests.unit.walk import Walk

LOOPBACK = (ipaddress.ip_network("127.0.0.0/8"),)
FAILURE = Answer(now(), 12, 500, "broken")
SUCCESS = Answer(now(), 12, 204, "")


@pytest.fixture
def local(walk: Walk) -> Settings:
    """Settings that let webhooks go to this machine."""
    return replace(walk.settings, webhooks_allow_private=LOOPBACK)


class Partners:
    """A partner with one connection that works, and its endpoints."""

    def __init__(self, walk: Walk, settings: Settings) -> None:
        self.database, self.vault, self.settings = walk.database, walk.vault, settings
        self.connections = watched(self.database, 2, checked_at=now())
        self.secrets: dict[str, str] = {}

    def endpoint(self, url: str, *events: str) -> UUID:
        with self.database.transaction() as session:
            partner = session.scalars(sa.select(Partner).where(Partner.slug == "watched")).one()
            made, self.secrets[url] = endpoints.add(
                session, self.vault, self.settings, partner, url=url, events=events
            )
            return made.id

    def becomes(self, number: int = 0, **values: Any) -> None:
        """Let something change that is told of a connection."""
        with self.database.transaction() as session:
            connection = locked(session, self.connections[number])
            for name, value in values.items():
                setattr(connection, name, value)

    def sends_test(self, endpoint_id: UUID) -> None:
        hooks.tested(self.database, endpoint_id)

    def breaks_and_mends(self, number: int = 0) -> None:
        self.becomes(number, health=Health.UNAUTHENTICATED)
        self.becomes(number, health=Health.OK)

    def all(self, kind: Any) -> Any:
        with self.database.reading() as session:
            return session.scalars(sa.select(kind).order_by(kind.id)).all()

    def first(self, kind: Any) -> Any:
        return self.all(kind)[0]

    def courier(self) -> AbstractContextManager[None]:
        """What the worker runs, until the end of the block."""
        return hooks.courier(self.database, self.vault, self.settings)

    def tries(self, answer: Answer) -> int:
        """Let all that is due be tried, and answered so."""
        return hooks.tried(self.database, answer)


@pytest.fixture
def partners(walk: Walk, local: Settings) -> Partners:
    return Partners(walk, local)


def test_tells_in_order_what_is_told_everywhere(partners: Partners, receiver: Receiver) -> None:
    url = receiver.url + "/hooks"
    partners.endpoint(url)
    partners.breaks_and_mends()
    partners.becomes(stage=Stage.DISCONNECTED)
    with partners.courier():
        wait_until(lambda: len(receiver.taken) == 3, what="messages")
    said = [one.read(partners.secrets[url]) for one in receiver.taken]
    for one in receiver.taken:  # as the API's description has it, and nothing else
        described = Message.model_validate_json(one.body).model_dump(exclude_unset=True)
        assert described["data"].keys() == json.loads(one.body)["data"].keys()
    assert [one["type"] for one in said] == [
        "connection.needs_action",
        "connection.repaired",
        "connection.disconnected",
    ]
    with partners.database.reading() as session:
        connection = session.get_one(Connection, partners.connections[0])
    assert said[0]["data"]["connection"] == connection.reference
    assert said[0]["data"]["grower"] == "g-1"
    status = said[0]["data"]["status"]
    assert (status["code"], status["who"]) == ("reconnect", "grower")
    assert status["sentence"].startswith("Please connect again. John Deere no longer")
    assert receiver.taken[0].headers["accept-encoding"] == "identity"  # people read the answers
    assert {one.state for one in partners.all(WebhookDelivery)} == {DeliveryState.DELIVERED}


def test_a_change_that_is_not_committed_is_not_told(partners: Partners) -> None:
    partners.endpoint("https://portal.example/hooks")
    with partners.database.transaction() as session:
        connection = locked(session, partners.connections[0])
        connection.health = Health.UNAUTHENTICATED
        history.record(session, connection, "token_received")
        session.flush()
        session.rollback()
    with partners.database.transaction():
        pass
    assert not partners.all(WebhookMessage)


def test_what_stays_the_same_is_not_told_again(partners: Partners) -> None:
    partners.endpoint("https://portal.example/hooks")
    partners.becomes(health=Health.UNAUTHENTICATED)
    partners.becomes(health_text="UNAUTHENTICATED, said again")
    assert [one.event for one in partners.all(WebhookMessage)] == ["connection.needs_action"]


def test_a_link_that_is_opened_is_told_once_and_what_was_done_before_what_came_of_it(
    walk: Walk, local: Settings
) -> None:
    link = invited(walk.database)
    with walk.database.transaction() as session:
        partner = session.scalars(sa.select(Partner)).one()
        endpoints.add(
            session, walk.vault, local, partner, url="https://portal.example/hooks", events=()
        )
        connection_id = session.scalars(sa.select(Connection.id)).one()
    for _ in range(2):
        with walk.database.transaction() as session:
            listing.note_opened(session, connection_id, link.id)
    with walk.database.transaction() as session:
        connection = locked(session, connection_id)
        history.record(session, connection, "token_received", who=history.GROWER)
        connection.stage = Stage.FAILED
    with walk.database.reading() as session:
        found = session.scalars(
            sa.select(WebhookMessage).join(WebhookDelivery).order_by(WebhookDelivery.id)
        ).all()
    events = [one.event for one in found]
    assert events == ["link.opened", "connection.authorized", "connection.failed"]
    assert Message.model_validate_json(found[0].body).data.link == str(link.id)
    with walk.database.reading() as session:
        row = session.scalars(sa.select(Listing)).one()
        assert row.announced_code == "failed"
        assert session.get_one(Link, link.id).opened_at is not None


def test_only_chosen_events_of_their_own_connections_go_to_an_endpoint(
    partners: Partners, walk: Walk, local: Settings
) -> None:
    partners.endpoint("https://portal.example/a", "connection.repaired")
    partners.endpoint("https://portal.example/b", "connection.disconnected")
    invited(walk.database)
    with walk.database.transaction() as session:
        other = session.scalars(sa.select(Partner).where(Partner.slug == "demo")).one()
        endpoints.add(session, walk.vault, local, other, url="https://other.example/", events=())
    partners.breaks_and_mends()
    with partners.database.reading() as session:
        rows = session.execute(
            sa.select(WebhookEndpoint.url, WebhookMessage.event)
            .join(WebhookDelivery, WebhookDelivery.endpoint_id == WebhookEndpoint.id)
            .join(WebhookMessage, WebhookMessage.id == WebhookDelivery.message_id)
        ).all()
    assert [tuple(row) for row in rows] == [("https://portal.example/a", "connection.repaired")]


def test_one_that_hangs_delays_no_other(partners: Partners, receiver: Receiver) -> None:
    partners.endpoint(receiver.url + "/hang")
    partners.endpoint(receiver.url + "/hooks")
    partners.breaks_and_mends()
    with partners.courier():
        wait_until(lambda: len(receiver.at("/hooks")) == 2, what="messages")
        assert len(receiver.at("/hang")) == 1  # the second waits behind the first
        receiver.released.set()
        wait_until(lambda: len(receiver.at("/hang")) == 2, what="messages")


def test_a_worker_that_ends_in_the_middle_leaves_its_message_to_another(
    partners: Partners, receiver: Receiver
) -> None:
    endpoint = partners.endpoint(receiver.url + "/hooks")
    partners.breaks_and_mends()
    with partners.database.transaction() as session:
        (task,) = outbox.take(session, endpoint, 10)
    with partners.database.transaction() as session:
        assert not outbox.take(session, endpoint, 10)  # neither that, nor what comes after it
    with time_machine.travel(now() + timedelta(minutes=2), tick=True), partners.courier():
        wait_until(lambda: len(receiver.taken) == 2, what="messages")
    assert receiver.taken[0].id == task.message_id
    # Late, but it has arrived: that is no second delivery.
    with partners.database.transaction() as session:
        results.note(session, [Result(task, FAILURE)])
    assert {one.state for one in partners.all(WebhookDelivery)} == {DeliveryState.DELIVERED}


@pytest.mark.parametrize(
    ("path", "status", "why"),
    [
        ("/fails", 500, "no, because"),
        ("/moved", 307, "no, because"),
        ("/forbids", 403, "no, because"),
        ("/huge", 200, "***"),
    ],
)
def test_each_try_stands_in_the_log(
    partners: Partners, receiver: Receiver, path: str, status: int, why: str
) -> None:
    receiver.statuses[path] = status
    receiver.headers["/moved"] = {"Location": receiver.url + "/elsewhere"}
    partners.endpoint(receiver.url + path)
    partners.becomes(health=Health.UNAUTHENTICATED)
    with partners.courier():
        wait_until(lambda: partners.all(WebhookTry), what="messages")
    tried = partners.first(WebhookTry)
    assert tried.status == status
    assert why in tried.answer
    assert len(tried.answer) <= 300
    assert not receiver.at("/elsewhere")
    (delivery,) = partners.all(WebhookDelivery)
    is_fine = status == 200
    assert (delivery.state is DeliveryState.DELIVERED) is is_fine
    assert (delivery.due_at > now() - timedelta(seconds=1)) or is_fine


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_nothing_goes_to_this_machine_unless_that_is_allowed(
    partners: Partners, receiver: Receiver, host: str
) -> None:
    port = receiver.url.rpartition(":")[2]
    partners.endpoint(f"http://{host}:{port}/hooks")
    partners.settings = replace(partners.settings, webhooks_allow_private=())
    partners.becomes(health=Health.UNAUTHENTICATED)
    with partners.courier():
        wait_until(lambda: partners.all(WebhookTry), what="messages")
    assert "no address in the public Internet" in partners.first(WebhookTry).answer
    assert not receiver.taken


@pytest.mark.parametrize(
    "address",
    [
        "0.0.0.0",  # noqa: S104
        "10.1.2.3",
        "100.64.0.1",
        "127.1.2.3",
        "169.254.169.254",
        "172.16.0.1",
        "192.0.0.8",
        "192.168.1.1",
        "198.18.0.1",
        "224.0.0.1",
        "240.0.0.1",
        "255.255.255.255",
        "::",
        "::1",
        "::ffff:127.0.0.1",
        "::ffff:169.254.169.254",
        "64:ff9b::a01:203",
        "2002:7f00:1::",
        "fc00::1",
        "fe80::1",
        "ff02::1",
        "2001:db8::1",
        "3fff::1",
        "::127.0.0.1",
        "::ffff:0:127.0.0.1",
        "64:ff9b:1::a01:203",
        "100::1",
        "fec0::1",
        "5f00::1",
    ],
)
def test_addresses_that_are_not_public(address: str) -> None:
    assert not is_public(ipaddress.ip_address(address))


@pytest.mark.parametrize("address", ["8.8.8.8", "2606:4700::1111", "64:ff9b::808:808"])
def test_addresses_that_are(address: str) -> None:
    assert is_public(ipaddress.ip_address(address))


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("portal.example", "must be like"),
        ("ftp://portal.example/", "https"),
        ("http://portal.example/", "https"),
        ("https://user:pw@portal.example/", "user name"),
        ("https://portal.example/#x", "fragment"),
        ("https://portal.example:0/", "must be like"),
        ("https://10.0.0.1/", "public Internet"),
        ("https://[::ffff:10.0.0.1]/", "public Internet"),
        ("https://portal.example/a b", "must be like"),
        ("https://[fec0::1]/", "public Internet"),
        ("https://2130706433/", "neither"),
        ("https://127.1/", "neither"),
        ("https://0177.0.0.1/", "neither"),
        ("https://0x7f000001/", "neither"),
        ("https://127.0.0.1%2e/", "neither"),
        ("https://portal.example\\.evil/", "neither"),
        ("https://portal..example/", "neither"),
        ("https://-/", "neither"),
        ("https://[v1.x]/", "neither"),
        ("https://" + "a" * 64 + ".example/", "neither"),
        ("https://portal.example/\x7f", "must be like"),
        ("https://" + "a" * 500 + ".example", "characters"),
    ],
)
def test_a_url_that_can_not_be_used_is_refused(partners: Partners, url: str, why: str) -> None:
    with pytest.raises(InputInvalid, match=why):
        partners.endpoint(url)


def test_pauses_grow_and_after_three_days_it_is_given_up_and_paused(partners: Partners) -> None:
    endpoint_id = partners.endpoint("https://portal.example/hooks")
    began = now()
    with time_machine.travel(began, tick=False) as clock:
        partners.breaks_and_mends()
        tries, waits = 0, []
        while partners.first(WebhookDelivery).state is DeliveryState.WAITING:
            tries += partners.tries(FAILURE)
            delivery = partners.first(WebhookDelivery)
            waits.append(delivery.due_at - now())
            endpoint = partners.first(WebhookEndpoint)
            clock.move_to(max(delivery.due_at, endpoint.retry_at or began))
            assert now() - began < timedelta(days=4)
    assert 12 < tries < 24
    assert waits[0] < waits[3] < waits[6]
    assert now() - began < timedelta(seconds=60)
    endpoint = partners.first(WebhookEndpoint)
    assert endpoint.pause_reason is PauseReason.FAILURES
    assert endpoint.mail_due_at is not None
    assert endpoint.failure == "500 broken"
    # What happened later waits, and goes when it is resumed.
    assert partners.all(WebhookDelivery)[1].state is DeliveryState.WAITING
    with time_machine.travel(began + GIVEN_UP_AFTER + timedelta(days=2), tick=False):
        assert not partners.tries(SUCCESS)
        with partners.database.transaction() as session:
            found = endpoints.locked(session, endpoint_id)
            assert found is not None
            endpoints.resume(session, found)
        assert partners.tries(SUCCESS) == 1
        with partners.database.transaction() as session:
            found = session.get_one(WebhookEndpoint, endpoint_id)
            assert outbox.send_again(session, found, only_given_up=True)
        assert partners.tries(SUCCESS) == 1
    assert {one.state for one in partners.all(WebhookDelivery)} == {DeliveryState.DELIVERED}


@pytest.mark.parametrize(
    ("url", "is_taken"),
    [
        ("https://postgres/", False),
        ("https://postgres./", False),
        ("https://portal.example/", True),
        ("https://portal.example./", True),
    ],
)
def test_a_name_without_a_dot_is_of_no_host_in_the_public_internet(
    partners: Partners, local: Settings, url: str, is_taken: bool
) -> None:
    partners.endpoint(url)
    partners.settings = replace(local, webhooks_allow_private=())
    if is_taken:
        assert endpoints.checked_url(partners.settings, url) == url
        return
    with pytest.raises(InputInvalid, match="neither"):
        endpoints.checked_url(partners.settings, url)


def test_one_that_fails_is_given_one_message_at_a_time_until_it_takes_one(
    walk: Walk, local: Settings
) -> None:
    partners = Partners(walk, local)
    partners.connections += watched(walk.database, 10, checked_at=now())
    partners.endpoint("https://portal.example/hooks")
    with time_machine.travel(now(), tick=False) as clock:
        for number in range(12):
            partners.becomes(number, health=Health.UNAUTHENTICATED)
        assert partners.tries(FAILURE) == 12
        assert partners.tries(FAILURE) == 0
        clock.shift(timedelta(minutes=30))
        assert partners.tries(FAILURE) == 1
        clock.shift(timedelta(minutes=30))
        assert partners.tries(SUCCESS) == 1
        assert partners.tries(SUCCESS) == 11


def test_a_test_passes_by_what_waits_and_what_an_endpoint_that_fails_has_to_wait_for(
    walk: Walk, local: Settings
) -> None:
    partners = Partners(walk, local)
    partners.connections += watched(walk.database, 10, checked_at=now())
    endpoint_id = partners.endpoint("https://portal.example/hooks")

    def events(room: int = 1) -> list[str]:
        """What a worker takes on itself, and then dies with."""
        with partners.database.transaction() as session:
            taken = outbox.take(session, endpoint_id, room)
        return [json.loads(one.body)["type"] for one in taken]

    with time_machine.travel(now(), tick=False) as clock:
        for number in range(12):
            partners.becomes(number, health=Health.UNAUTHENTICATED)
        clock.shift(timedelta(seconds=1))
        partners.sends_test(endpoint_id)
        assert events(3) == [*["connection.needs_action"] * 3, "test"]
        clock.shift(timedelta(minutes=2))
        assert partners.tries(FAILURE) == 13
        assert partners.tries(FAILURE) == 0
        partners.sends_test(endpoint_id)
        assert partners.tries(FAILURE) == 1
        assert partners.tries(FAILURE) == 0, "one that has failed waits like all others"
        clock.shift(timedelta(minutes=30))
        with partners.database.transaction() as session:
            is_test = WebhookDelivery.connection_id.is_(None)
            session.execute(sa.update(WebhookDelivery).where(is_test).values(due_at=now()))
        assert events() == ["connection.needs_action"], "the one that probes"
        assert partners.tries(FAILURE) == 0
        partners.sends_test(endpoint_id)
        assert partners.tries(SUCCESS) == 1
        # That worked, so all others go at once, but for the one that is under way.
        assert partners.tries(SUCCESS) == 11


def test_who_tries_an_endpoint_that_fails_has_the_answer_at_once(
    walk: Walk, local: Settings, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Nothing is tried a second time by itself, however slowly the first answers come in.
    monkeypatch.setattr(results, "FIRST_PROBE", timedelta(minutes=5))
    monkeypatch.setattr(results, "PAUSES", (timedelta(minutes=5),))
    partners = Partners(walk, local)
    partners.connections += watched(walk.database, 10, checked_at=now())
    endpoint_id = partners.endpoint(receiver.url + "/hooks")
    receiver.statuses["/hooks"] = 500
    for number in range(12):
        partners.becomes(number, health=Health.UNAUTHENTICATED)
    with partners.courier():
        wait_until(lambda: len(partners.all(WebhookTry)) == 12, what="all have failed")
        receiver.statuses["/hooks"] = 204
        partners.sends_test(endpoint_id)
        wait_until(lambda: len(receiver.taken) == 25, what="the test, then all that waits")
    said = [json.loads(one.body)["type"] for one in receiver.taken]
    assert said[12] == "test"
    assert said.count("test") == 1


def test_one_that_is_gone_is_paused_at_once(partners: Partners) -> None:
    partners.endpoint("https://portal.example/hooks")
    partners.becomes(health=Health.UNAUTHENTICATED)
    partners.tries(Answer(now(), 1, 410, ""))
    assert partners.first(WebhookEndpoint).pause_reason is PauseReason.GONE


def test_while_a_secret_is_rotated_both_are_good_and_a_day_later_the_new_one_alone(
    partners: Partners, receiver: Receiver
) -> None:
    url = receiver.url + "/hooks"
    endpoint_id = partners.endpoint(url)
    with partners.database.transaction() as session:
        found = endpoints.locked(session, endpoint_id)
        assert found is not None
        new = endpoints.rotate(partners.vault, found)
        endpoints.send_test(session, found)
    with partners.courier():
        wait_until(lambda: receiver.taken, what="messages")
    assert receiver.taken[0].read(new) == receiver.taken[0].read(partners.secrets[url])
    assert receiver.taken[0].read(new)["type"] == "test"
    with partners.database.transaction() as session:
        session.get_one(WebhookEndpoint, endpoint_id).old_secret_until = now()
    partners.sends_test(endpoint_id)
    with partners.courier():
        wait_until(lambda: len(receiver.taken) == 2, what="messages")
    assert len(receiver.taken[1].headers["webhook-signature"].split()) == 1
    receiver.taken[1].read(new)


def test_old_ones_are_deleted_and_a_removed_endpoint_with_them(partners: Partners) -> None:
    endpoint_id = partners.endpoint("https://portal.example/hooks")
    partners.becomes(health=Health.UNAUTHENTICATED)
    partners.tries(SUCCESS)
    with partners.database.transaction() as session:
        endpoints.remove(partners.vault, session.get_one(WebhookEndpoint, endpoint_id))
    partners.becomes(health=Health.OK)
    assert len(partners.all(WebhookMessage)) == 1
    with time_machine.travel(now() + timedelta(days=31)):
        for _ in range(3):
            with partners.database.transaction() as session:
                outbox.forget_old(session)
    kinds = (WebhookTry, WebhookDelivery, WebhookMessage, WebhookEndpoint)
    assert not any(partners.all(kind) for kind in kinds)


def test_the_codes_are_those_that_are_told() -> None:
    texts = [path.read_text() for path in Path(describe.__file__).parent.glob("*.py")]
    codes = set(re.findall(r'code="(\w+)"', "".join(texts)))
    assert set(announcing.ENDS) | announcing.ON_THE_WAY | announcing.BEGUN_ANEW <= codes


def test_what_is_deleted_while_it_is_under_way_stops_nothing(partners: Partners) -> None:
    endpoint_id = partners.endpoint("https://portal.example/hooks")
    for number in range(2):
        partners.becomes(number, health=Health.UNAUTHENTICATED)
    with partners.database.transaction() as session:
        tasks = outbox.take(session, endpoint_id, 10)
    with partners.database.transaction() as session:
        session.execute(
            sa.delete(WebhookDelivery).where(WebhookDelivery.id == tasks[0].delivery_id)
        )
    with partners.database.transaction() as session:
        results.note(session, [Result(task, SUCCESS) for task in tasks])
    (left,) = partners.all(WebhookDelivery)
    assert left.state is DeliveryState.DELIVERED


def test_what_is_under_way_is_not_deleted_and_messages_go_with_the_last_delivery(
    partners: Partners,
) -> None:
    endpoint_id = partners.endpoint("https://portal.example/hooks")
    partners.becomes(health=Health.UNAUTHENTICATED)
    with time_machine.travel(now() + timedelta(days=31)):
        with partners.database.transaction() as session:
            (task,) = outbox.take(session, endpoint_id, 10)
        with partners.database.transaction() as session:
            outbox.forget_old(session)
        assert len(partners.all(WebhookDelivery)) == 1
        with partners.database.transaction() as session:
            results.note(session, [Result(task, SUCCESS)])
        with partners.database.transaction() as session:
            outbox.forget_old(session)
    assert not partners.all(WebhookMessage)


def test_a_commit_of_a_grower_does_not_wait_for_results(partners: Partners) -> None:
    endpoint_id = partners.endpoint("https://portal.example/hooks")
    partners.becomes(0, health=Health.UNAUTHENTICATED)
    with partners.database.transaction() as session:
        tasks = outbox.take(session, endpoint_id, 10)
    with ExitStack() as held:
        noting = held.enter_context(partners.database.transaction())
        results.note(noting, [Result(task, FAILURE) for task in tasks])
        if partners.database.engine.dialect.name == "sqlite":
            held.close()  # it has one writer at a time
        with partners.database.transaction() as session:
            if noting.in_transaction():
                session.execute(sa.text("SET LOCAL lock_timeout = '5s'"))
            locked(session, partners.connections[1]).health = Health.UNAUTHENTICATED
    assert len(partners.all(WebhookDelivery)) == 2


def test_many_failures_at_once_are_one_and_what_is_resumed_has_its_days_again(
    walk: Walk, local: Settings
) -> None:
    partners = Partners(walk, local)
    partners.connections += watched(walk.database, 30, checked_at=now())
    endpoint_id = partners.endpoint("https://portal.example/hooks")
    began = now()
    with time_machine.travel(began, tick=False) as clock:
        for number in range(32):
            partners.becomes(number, health=Health.UNAUTHENTICATED)
        assert partners.tries(FAILURE) == 32
        retry_at = partners.first(WebhookEndpoint).retry_at
        assert retry_at - now() < timedelta(seconds=10)
        with partners.database.transaction() as session:
            found = endpoints.locked(session, endpoint_id)
            assert found is not None
            endpoints.pause(found)
        clock.shift(timedelta(days=5))
        with partners.database.transaction() as session:
            found = endpoints.locked(session, endpoint_id)
            assert found is not None
            endpoints.resume(session, found)
        assert partners.tries(FAILURE) == 32
        assert {one.state for one in partners.all(WebhookDelivery)} == {DeliveryState.WAITING}
        assert max(one.due_at for one in partners.all(WebhookDelivery)) - now() < timedelta(
            minutes=1
        )


def test_as_long_as_the_server_asks_for_nothing_is_sent(partners: Partners) -> None:
    partners.endpoint("https://portal.example/hooks")
    for number in range(2):
        partners.becomes(number, health=Health.UNAUTHENTICATED)
    with time_machine.travel(now() + timedelta(seconds=1), tick=False) as clock:
        assert partners.tries(Answer(now(), 9, 429, "", retry_after=600.0)) == 2
        clock.shift(timedelta(seconds=599))
        assert partners.tries(SUCCESS) == 0
        clock.shift(timedelta(seconds=2))
        assert partners.tries(SUCCESS) == 2


def test_another_url_gets_what_waits_at_once_and_no_blame_for_the_old_one(
    partners: Partners,
) -> None:
    endpoint_id = partners.endpoint("https://portal.example/hooks")
    partners.becomes(health=Health.UNAUTHENTICATED)
    with partners.database.transaction() as session:
        (task,) = outbox.take(session, endpoint_id, 10)
    with partners.database.transaction() as session:
        found = endpoints.locked(session, endpoint_id)
        assert found is not None
        endpoints.change(session, partners.settings, found, url="https://portal.example/new")
    with partners.database.transaction() as session:
        results.note(session, [Result(task, Answer(now(), 9, 410, "gone"))])
    assert partners.first(WebhookEndpoint).paused_at is None


def test_one_with_nothing_to_give_takes_no_room_from_others(
    partners: Partners, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(courier_module, "AT_ONCE", 4)
    receiver.statuses["/fails"] = 500
    for number in range(5):
        partners.endpoint(f"{receiver.url}/fails?{number}")
    partners.endpoint(receiver.url + "/hooks")
    partners.breaks_and_mends()
    with partners.courier():
        wait_until(lambda: len(receiver.at("/hooks")) == 2, what="messages")


def test_what_was_so_before_anything_was_told_is_no_news(partners: Partners) -> None:
    partners.endpoint("https://portal.example/hooks")
    with partners.database.transaction() as session:
        session.execute(sa.update(Listing).values(announced=None, announced_code=""))
        for connection_id in partners.connections:
            listing.touch(session, connection_id)
    assert not partners.all(WebhookMessage)
    partners.becomes(health=Health.UNAUTHENTICATED)
    assert [one.event for one in partners.all(WebhookMessage)] == ["connection.needs_action"]
