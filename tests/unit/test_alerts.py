"""Leaf's alerts: what is read of them, and what one makes of a connection."""

from __future__ import annotations

import base64
import hmac
import json
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from functools import partial
from typing import Any

import pytest
import sqlalchemy as sa
from hypothesis import given
from hypothesis import strategies as st

from onboarding.clock import now
from onboarding.connections import alerts, history
from onboarding.leaf import Leaf
from onboarding.models import Connection, Event, Link, SeenAlert
from onboarding.states import Stage, Urgency
from tests.unit.failures import PATIENT, Server
from tests.unit.rows import connection_of, history_of, invited
from tests.unit.walk import Walk

CREDENTIAL = "c0ffee00-0000-4000-8000-000000000001"
SECRET = "alert-secret-of-16"
JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)
ODD = (
    b"",
    b"\0",
    b"null",
    b"[]",
    b"{",
    b'"text"',
    b"[" * 60_000,
    b'{"type":' * 10_000,
    b"1" * 60_000,
    b"\xff\xfe{}",
    b"\xed\xa0\x80",
    b'{"type": "credentialsUnauthenticated", "credentialId": ' + b"9" * 5000 + b"}",
    b'{"type": 7}',
    b'{"type": null, "credentialId": "x"}',
    b'{"type": ["credentialsUnauthenticated"]}',
    b'{"message": "confirmation of webhook upon registration"}',
    json.dumps({"type": "fieldCreated", "leafUserId": "leaf-1"}).encode(),
    json.dumps({"type": "CredentialsUnauthenticated", "credentialId": "x"}).encode(),
)


def alert(**changes: Any) -> bytes:
    """As Leaf writes it: JSON with spaces after commas and colons."""
    said = {
        "credential": "client-key",
        "provider": "JohnDeere",
        "credentialId": CREDENTIAL,
        "message": "The credential is no longer valid",
        "status": "UNAUTHENTICATED",
        "type": "credentialsUnauthenticated",
        "timestamp": "2026-03-09T10:20:30.123456Z",
    }
    return json.dumps(said | changes).encode()


def signature(body: bytes, secret: str = SECRET) -> str:
    return base64.b64encode(hmac.digest(secret.encode(), body, "sha256")).decode()


def take(walk: Walk, body: bytes | str, **more: Any) -> int:
    return alerts.receive(walk.database, body, **more)


@pytest.fixture
def connection(walk: Walk, link: Link) -> Connection:
    """One that Leaf holds the credential of, and that is not due for a day."""
    return put(walk, link)


def put(walk: Walk, link: Link, **changes: Any) -> Connection:
    values = {
        "stage": Stage.CONNECTED,
        "leaf_credential_id": CREDENTIAL,
        "checks": 7,
        "check_due_at": now() + timedelta(days=1),
    }
    walk.put(link, **(values | changes))
    return connection_of(walk.database, link)


def again(walk: Walk, connection: Connection) -> Connection:
    with walk.database.reading() as session:
        return session.get_one(Connection, connection.id)


def is_asked_about(walk: Walk, connection: Connection) -> bool:
    found = again(walk, connection)
    due = found.check_due_at
    return found.check_urgency == Urgency.LOOK and due is not None and due <= now()


def seen(walk: Walk) -> int:
    with walk.database.reading() as session:
        return session.scalar(sa.select(sa.func.count()).select_from(SeenAlert)) or 0


@given(body=st.binary(max_size=300), secret=st.text(min_size=1))
def test_only_the_exact_bytes_with_the_right_secret_are_signed(body: bytes, secret: str) -> None:
    usable = secret.encode(errors="replace").decode()
    right = signature(body, usable)
    assert alerts.is_signed(body, right, usable)
    assert not alerts.is_signed(body + b" ", right, usable)
    assert not alerts.is_signed(body, right, usable + "x")
    assert not alerts.is_signed(body, right[:-4], usable)


@given(text=st.text() | st.from_regex(r"[A-Za-z0-9+/]*={0,2}", fullmatch=True))
def test_what_else_stands_in_the_header_is_no_signature(text: str) -> None:
    assert not alerts.is_signed(b"{}", text, SECRET)


@given(body=st.binary(max_size=300) | JSON_VALUES.map(lambda value: json.dumps(value).encode()))
def test_whatever_is_sent_can_be_read(body: bytes) -> None:
    alerts.is_ping(body)
    alerts.read(body)


@given(more=st.dictionaries(st.text(), JSON_VALUES))
def test_an_alert_is_the_same_however_it_is_written(more: dict[str, Any]) -> None:
    said = json.loads(alert()) | {key: more[key] for key in more if key not in {"type"}}
    (one,) = alerts.read(json.dumps(said))
    (other,) = alerts.read(json.dumps(dict(reversed(said.items())), indent=1, ensure_ascii=False))
    assert one == other


@pytest.mark.parametrize("body", ODD, ids=lambda body: repr(body[:24]))
def test_what_is_no_alert_about_a_credential_leaves_nothing(
    walk: Walk, connection: Connection, body: bytes
) -> None:
    before = history_of(walk.database, connection.id)
    take(walk, body)
    after = again(walk, connection)
    assert history_of(walk.database, connection.id) == before
    assert after.check_number == connection.check_number


@pytest.mark.parametrize(
    "odd", ["nul \0 inside", "half a pair \ud800", "x" * 65, "", True, [CREDENTIAL], {}]
)
def test_an_alert_whose_credential_has_no_usable_id_is_taken_without_effect(
    walk: Walk, connection: Connection, odd: Any
) -> None:
    assert take(walk, alert(credentialId=odd)) == 1
    assert again(walk, connection).check_number == connection.check_number


@pytest.mark.parametrize("body", [b'{"message": "%s"}' % alerts.PING.encode()])
def test_the_ping_is_known_by_its_words_alone(body: bytes) -> None:
    assert alerts.is_ping(body)
    assert not alerts.is_ping(body + b" " * alerts.PING_BYTES)
    assert not alerts.is_ping(alert(message=alerts.PING))
    for other in ODD:
        assert alerts.is_ping(other) == (other == body)


@pytest.mark.parametrize("kind", ["credentialsUnauthenticated", "credentialsLimitedPermission"])
def test_an_alert_makes_leaf_be_asked_at_once_and_is_not_believed(
    walk: Walk, connection: Connection, kind: str
) -> None:
    assert take(walk, alert(type=kind)) == 1
    after = again(walk, connection)
    assert after.check_number == connection.check_number + 1
    assert is_asked_about(walk, after)
    assert (after.stage, after.health, after.cause) == (
        connection.stage,
        connection.health,
        connection.cause,
    )
    assert after.checks == 0
    with walk.database.reading() as session:
        event = session.scalars(sa.select(Event).order_by(Event.id.desc()).limit(1)).one()
    assert (event.kind, event.who, event.data) == (
        "alert_received",
        history.SYSTEM,
        {"type": kind},
    )


def test_the_same_alert_again_does_nothing(walk: Walk, connection: Connection) -> None:
    take(walk, alert())
    after, happened = again(walk, connection), history_of(walk.database, connection.id)
    assert take(walk, alert()) == 0
    assert take(walk, json.dumps(json.loads(alert()), indent=2)) == 0
    assert take(walk, alert(), missed=True) == 0
    assert again(walk, connection).check_number == after.check_number
    assert history_of(walk.database, connection.id) == happened


def test_an_alert_that_comes_many_times_at_once_counts_once(
    walk: Walk, connection: Connection
) -> None:
    with ThreadPoolExecutor(8) as threads:
        taken = list(threads.map(partial(take, walk), [alert()] * 16))
    assert sorted(taken) == [0] * 15 + [1]
    assert history_of(walk.database, connection.id).count("alert_received") == 1
    assert again(walk, connection).check_number == connection.check_number + 1


def test_a_flood_about_one_connection_asks_leaf_once_and_once_more_later(
    walk: Walk, connection: Connection
) -> None:
    for second in range(20):
        take(walk, alert(timestamp=f"2026-03-09T10:20:{second}.000000Z"))
    after = again(walk, connection)
    assert after.check_number == connection.check_number + 1

    # The check has been made, and the next would be due in six hours.
    put(walk, _link(walk, connection), check_due_at=now() + timedelta(hours=6))
    take(walk, alert(timestamp="later"))
    after = again(walk, connection)
    assert after.check_number == connection.check_number + 1
    assert after.check_due_at is not None
    assert after.check_due_at <= now() + alerts.PAUSE


def _link(walk: Walk, connection: Connection) -> Link:
    with walk.database.reading() as session:
        return session.scalars(sa.select(Link).where(Link.grower_id == connection.grower_id)).one()


@pytest.mark.parametrize("stage", [Stage.HANDING_OVER, Stage.FAILED, Stage.DISCONNECTED])
def test_an_alert_about_a_credential_that_is_being_replaced_is_only_written_down(
    walk: Walk, link: Link, stage: Stage
) -> None:
    connection = put(walk, link, stage=stage, check_due_at=None)
    take(walk, alert())
    after = again(walk, connection)
    assert (after.check_number, after.check_due_at) == (connection.check_number, None)
    assert history_of(walk.database, connection.id)[-1] == "alert_received"


def test_several_alerts_in_one_body_are_all_taken(walk: Walk, link: Link) -> None:
    one = put(walk, link)
    other = put(walk, invited(walk.database, "grower-2"), leaf_credential_id="credential-2")
    body = b"[%s, 7, %s]" % (alert(), alert(credentialId="credential-2"))
    assert take(walk, body) == 2
    for connection in (one, other):
        assert again(walk, connection).check_number == connection.check_number + 1


def test_an_alert_about_organizations_finds_its_connection_by_the_leaf_user(
    walk: Walk, link: Link
) -> None:
    connection = put(walk, link)
    with walk.database.transaction() as session:
        session.get_one(Connection, connection.id).grower.leaf_user_id = "leaf-user-1"
    said = {"type": "providerOrganizationRemoved", "leafUserId": "leaf-user-1"}
    assert take(walk, json.dumps(said)) == 1
    assert again(walk, connection).check_number == connection.check_number + 1


def test_an_alert_of_an_unknown_credential_asks_around_only_now_and_then(
    walk: Walk, link: Link
) -> None:
    named = put(walk, link)
    unnamed = put(walk, invited(walk.database, "grower-2"), leaf_credential_id=None)
    not_at_leaf = put(
        walk, invited(walk.database, "grower-3"), leaf_credential_id=None, stage=Stage.INVITED
    )
    for number in range(5):
        take(walk, alert(credentialId=f"unknown-{number}"))
    assert again(walk, named).check_number == named.check_number
    assert again(walk, not_at_leaf).check_number == not_at_leaf.check_number
    assert again(walk, unnamed).check_number == unnamed.check_number + 1

    age_alerts(walk, alerts.ASKING_AROUND_PAUSE)
    take(walk, alert(credentialId="unknown-9"))
    assert again(walk, unnamed).check_number == unnamed.check_number + 2


def age_alerts(walk: Walk, by: timedelta) -> None:
    with walk.database.transaction() as session:
        for one in session.scalars(sa.select(SeenAlert)):
            one.received_at = one.received_at - by


def test_alerts_are_forgotten_after_a_time(walk: Walk, connection: Connection) -> None:
    take(walk, alert())
    take(walk, alert(credentialId="unknown"))
    age_alerts(walk, alerts.KEPT)
    take(walk, alert(timestamp="new"))
    with walk.database.transaction() as session:
        alerts.forget_old(session)
    assert seen(walk) == 1
    assert take(walk, alert()) == 1  # it costs a request, and no more


def failed_call(body: bytes, created: str = "") -> dict[str, str]:
    return {
        "createdAt": created or now().strftime("%Y-%m-%dT%H:%M:%SZ"),
        "connectionError": "ConnectionError",
        "requestBody": body.decode(),
    }


def test_alerts_that_leaf_could_not_deliver_are_caught_up_with_once(
    walk: Walk, connection: Connection, server: Server
) -> None:
    other = put(walk, invited(walk.database, "grower-2"), leaf_credential_id="credential-2")
    take(walk, alert())  # a later attempt arrived
    before = again(walk, connection).check_number
    items = [
        failed_call(alert()),
        failed_call(alert(credentialId="credential-2")),
        failed_call(b"not JSON"),
        failed_call(alert(timestamp="old"), created="2020-01-01T00:00:00Z"),
    ]
    server.json("POST", "/api/authenticate", {"id_token": "token-1"})
    server.json("GET", "/services/alerts/api/alerts/webhooks/failed-calls", {"items": items})
    leaf = Leaf(server.url, "owner@example.com", "owner password", timeout=PATIENT)

    assert [alerts.catch_up(walk.database, leaf) for _ in range(2)] == [1, 0]
    assert again(walk, connection).check_number == before
    after = again(walk, other)
    assert after.check_number == other.check_number + 1
    assert is_asked_about(walk, after)
    with walk.database.reading() as session:
        event = session.scalars(sa.select(Event).where(Event.connection_id == other.id)).all()[-1]
    assert event.data == {
        "type": "credentialsUnauthenticated",
        "found": "among the calls that failed",
    }
