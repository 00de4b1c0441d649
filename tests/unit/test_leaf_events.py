"""Copies of Leaf's events: whole, once each, redacted, and for a set time."""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa

from onboarding.clock import now
from onboarding.connections import leaf_events, timeline
from onboarding.errors import SignInRefused, UpstreamError, UpstreamUnavailable
from onboarding.leaf import Leaf
from onboarding.models import Connection, LeafEvent, Link
from onboarding.states import Cause, Health, Stage
from tests.unit.failures import PATIENT, Server
from tests.unit.leaf_double import LeafDouble, says
from tests.unit.rows import connection_of
from tests.unit.walk import Walk

USER = "leaf-y"
REFRESH = "short-tok1"
WEEK = timedelta(days=7)


@pytest.fixture
def double(server: Server) -> LeafDouble:
    return LeafDouble(server)


@pytest.fixture
def leaf(double: LeafDouble) -> Leaf:
    return Leaf(double.server.url, "owner@example.com", "owner password", timeout=PATIENT)


@pytest.fixture
def connection(walk: Walk, link: Link) -> Connection:
    """One that Leaf has taken a minute ago."""
    with walk.database.transaction() as session:
        row = session.get_one(Connection, connection_of(walk.database, link).id)
        row.grower.leaf_user_id = USER
        row.stage, row.health = Stage.CONNECTED, Health.OK
        row.handed_over_at = now() - timedelta(minutes=1)
    return connection_of(walk.database, link)


def event(number: int, **changes: Any) -> dict[str, Any]:
    """As Leaf shows it, with what must not be kept."""
    body = json.dumps({"error": "invalid_grant", "refresh_token": REFRESH})
    return {
        "id": f"event-{number}",
        "statusCode": 400,
        "createdDate": f"2026-03-09T10:{number // 60:02}:{number % 60:02}.123456Z",
        "headers": f"Authorization: Bearer {REFRESH}",
        "body": json.dumps({"answer": body}),
    } | changes


def events(numbers: Sequence[int]) -> list[dict[str, Any]]:
    """Newest first."""
    return [event(number) for number in sorted(numbers, reverse=True)]


def stored(walk: Walk) -> list[str]:
    with walk.database.reading() as session:
        return list(session.scalars(sa.select(LeafEvent.leaf_id).order_by(LeafEvent.at)))


def named(numbers: Sequence[int]) -> list[str]:
    return [f"event-{number}" for number in numbers]


def asked(double: LeafDouble) -> int:
    return sum("/events" in request.path for request in double.server.sent)


def test_events_are_copied_once_each_and_without_secrets(
    walk: Walk, double: LeafDouble, leaf: Leaf, connection: Connection
) -> None:
    double.events[USER] = events(range(3))
    leaf_events.copy(walk.database, leaf, connection.id)
    leaf_events.copy(walk.database, leaf, connection.id)
    assert stored(walk) == named(range(3))
    with walk.database.reading() as session:
        rows = session.scalars(sa.select(LeafEvent)).all()
    for row in rows:
        assert row.status_code == 400
        assert "invalid_grant" in row.body
        assert REFRESH not in str(vars(row))


def test_only_what_is_new_is_fetched(
    walk: Walk, double: LeafDouble, leaf: Leaf, connection: Connection
) -> None:
    double.events[USER] = events(range(450))
    leaf_events.copy(walk.database, leaf, connection.id)
    assert asked(double) == 5
    double.events[USER] = events(range(470))
    leaf_events.copy(walk.database, leaf, connection.id)
    assert asked(double) == 6
    assert stored(walk) == named(range(470))


def test_an_event_that_comes_out_of_order_is_not_missed(
    walk: Walk, double: LeafDouble, leaf: Leaf, connection: Connection
) -> None:
    double.events[USER] = [event(number) for number in (5, 4, 2, 1)]
    leaf_events.copy(walk.database, leaf, connection.id)
    double.events[USER] = [event(number) for number in (5, 4, 3, 2, 1)]
    leaf_events.copy(walk.database, leaf, connection.id)
    assert stored(walk) == named(range(1, 6))


def test_a_copy_that_broke_off_is_made_whole_by_the_next(
    walk: Walk, double: LeafDouble, leaf: Leaf, connection: Connection
) -> None:
    double.events[USER] = events(range(250))
    double.answers["GET events"] = [None, says(503, {})]
    with pytest.raises(UpstreamUnavailable):
        leaf_events.copy(walk.database, leaf, connection.id)
    assert connection_again(walk, connection).events_copied_at is None
    leaf_events.copy(walk.database, leaf, connection.id)
    assert stored(walk) == named(range(250))


def test_two_copies_at_once_keep_each_event_once(
    walk: Walk, double: LeafDouble, leaf: Leaf, connection: Connection
) -> None:
    double.events[USER] = events(range(120))
    with ThreadPoolExecutor(4) as threads:
        for done in [
            threads.submit(leaf_events.copy, walk.database, leaf, connection.id) for _ in range(8)
        ]:
            done.result()
    assert stored(walk) == named(range(120))


@pytest.mark.parametrize(
    "odd",
    [
        {"id": None},
        {"id": "x" * 65},
        {"id": "nul \0 half \ud800"},
        {"createdDate": "0001-01-01T00:00:00+14:00"},
        {"createdDate": None},
        {"statusCode": "many", "body": "\0 \ud800"},
        {"statusCode": 10**30, "body": 7},
        {"body": ["x"]},
    ],
    ids=repr,
)
def test_odd_events_are_kept_as_far_as_they_go(
    walk: Walk, double: LeafDouble, leaf: Leaf, connection: Connection, odd: dict[str, Any]
) -> None:
    double.events[USER] = [event(1, **odd), event(0)]
    for _ in range(2):
        leaf_events.copy(walk.database, leaf, connection.id)
    assert len(stored(walk)) == 2


def test_where_leaf_has_no_credential_nothing_is_left_to_copy(
    walk: Walk, leaf: Leaf, connection: Connection
) -> None:
    leaf_events.copy(walk.database, leaf, connection.id)
    assert stored(walk) == []
    assert connection_again(walk, connection).events_copied_at is not None


@pytest.mark.parametrize("status", [400, 403, 429, 500])
def test_whoever_copies_before_deleting_learns_that_leaf_does_not_tell(
    walk: Walk, double: LeafDouble, leaf: Leaf, connection: Connection, status: int
) -> None:
    double.events[USER] = events([1])
    double.answers["GET events"] = [says(status, {})]
    with pytest.raises(UpstreamError):
        leaf_events.copy(walk.database, leaf, connection.id)
    assert stored(walk) == []


def test_a_refused_sign_in_is_no_missing_credential(
    walk: Walk, double: LeafDouble, leaf: Leaf, connection: Connection
) -> None:
    double.answers["POST sign-in"] = [says(401, {})]
    with pytest.raises(SignInRefused):
        leaf_events.copy(walk.database, leaf, connection.id)


def test_a_check_goes_on_when_events_cannot_be_copied(
    walk: Walk,
    double: LeafDouble,
    leaf: Leaf,
    connection: Connection,
    caplog: pytest.LogCaptureFixture,
) -> None:
    double.events[USER] = events([1])
    double.answers["GET events"] = [says(503, {})]
    with caplog.at_level(logging.WARNING):
        leaf_events.try_to_copy(walk.database, leaf, connection.id)
    assert "Leaf's events were not copied: Leaf: read the credential's events: HTTP 503" in (
        caplog.text
    )
    assert stored(walk) == []


LONG_AGO = timedelta(days=100)
DUE: dict[str, tuple[dict[str, Any], bool]] = {
    "just handed over": ({"handed_over_at": timedelta(minutes=1)}, False),
    "a week old": ({"handed_over_at": WEEK}, True),
    "copied since": ({"handed_over_at": LONG_AGO, "events_copied_at": timedelta(days=6)}, False),
    "copied a week ago": ({"handed_over_at": LONG_AGO, "events_copied_at": WEEK}, True),
    "turned bad": ({"health": Health.UNAUTHENTICATED}, True),
    "turned bad, copied": (
        {"health": Health.UNAUTHENTICATED, "events_copied_as": Health.UNAUTHENTICATED},
        False,
    ),
    "repaired": ({"health": Health.OK, "events_copied_as": Health.UNAUTHENTICATED}, True),
    "permission": ({"health": Health.MISSING_PERMISSION}, True),
    "a new word": ({"health": Health.UNKNOWN, "health_text": "PAUSED"}, True),
    "no word": ({"health": Health.UNKNOWN}, False),
    "outage": ({"health": Health.TEMPORARILY_UNAVAILABLE}, False),
    "credential gone": ({"health": Health.UNKNOWN, "cause": Cause.CREDENTIAL_MISSING}, False),
    "Leaf does not answer": ({"health": Health.UNAUTHENTICATED, "failed_checks": 1}, False),
    "not at Leaf": ({"stage": Stage.HANDING_OVER, "handed_over_at": LONG_AGO}, False),
}


@pytest.mark.parametrize("case", DUE)
def test_when_a_check_copies_the_events(case: str) -> None:
    values, due = DUE[case]
    fields: dict[str, Any] = {
        "stage": Stage.CONNECTED,
        "health": Health.OK,
        "health_text": "",
        "failed_checks": 0,
        "handed_over_at": timedelta(days=1),
    }
    fields |= values
    moments = {
        name: now() - value for name, value in fields.items() if isinstance(value, timedelta)
    }
    assert leaf_events.is_due(Connection(**(fields | moments))) is due


def test_events_are_forgotten_after_a_set_time(
    walk: Walk, double: LeafDouble, leaf: Leaf, connection: Connection
) -> None:
    double.events[USER] = events([1])
    leaf_events.copy(walk.database, leaf, connection.id)
    with walk.database.transaction() as session:
        session.execute(sa.update(LeafEvent).values(copied_at=now() - timedelta(days=400)))
    double.events[USER] = events([2])
    leaf_events.copy(walk.database, leaf, connection.id)
    with walk.database.transaction() as session:
        leaf_events.forget_old(session, kept=timedelta(days=401))
    assert stored(walk) == named([1, 2])
    with walk.database.transaction() as session:
        leaf_events.forget_old(session, kept=timedelta(days=400))
    assert stored(walk) == named([2])


def test_the_timeline_tells_ours_and_leafs_in_one_order(
    walk: Walk, double: LeafDouble, leaf: Leaf, connection: Connection
) -> None:
    long_ago, soon = "2020-01-01T00:00:00Z", (now() + timedelta(minutes=5)).isoformat()
    double.events[USER] = [event(2, createdDate=soon), event(1, createdDate=long_ago)]
    leaf_events.copy(walk.database, leaf, connection.id)
    with walk.database.reading() as session:
        lines = timeline.page(session, connection.id, limit=10).lines
        (last,) = timeline.page(session, connection.id, limit=1).lines
    assert last == lines[0]
    assert [line.who for line in lines] == ["leaf", "staff", "leaf"]
    assert lines[0].text.startswith("John Deere answered Leaf: HTTP 400 {")
    assert [line.at for line in lines] == sorted((line.at for line in lines), reverse=True)


def connection_again(walk: Walk, connection: Connection) -> Connection:
    with walk.database.reading() as session:
        return session.get_one(Connection, connection.id)
