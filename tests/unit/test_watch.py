"""Watching: what is due is asked at Leaf, over a socket, and nothing that happens ends it."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
import sqlalchemy as sa
from sqlalchemy.exc import OperationalError
from werkzeug import Request, Response

from onboarding.clock import now
from onboarding.connections import attention, checks, health, pace, watch
from onboarding.connections.pace import Turns
from onboarding.connections.watch import Watch
from onboarding.db import Database
from onboarding.leaf import Leaf
from onboarding.models import Connection, Grower, LeafEvent, Pace
from onboarding.states import Cause, Health, Urgency
from tests.support.wait import wait_until
from tests.unit.failures import HANG_LIMIT, JSON, PATIENT, Server
from tests.unit.rows import history_of, watched

USERS = "/services/usermanagement/api/users"
STATUS = re.compile(USERS + r"/(?P<user>[^/]+)/john-deere-credentials/status")
EVENTS = re.compile(USERS + r"/[^/]+/john-deere-credentials/events")
ORGANIZATIONS = re.compile(USERS + r"/[^/]+/organizations/JohnDeere")
NO_LIMIT = 100_000
HOUR = timedelta(hours=1)
SHARED = '{"connectedOrganizations": [{"id": "1", "name": "Maple Farm"}]}'


class Answering:
    """Leaf as it answers checks.

    :ivar status: of the answers about a credential
    :ivar hangs: Leaf users for whom no answer comes until the test ends
    """

    def __init__(self, server: Server) -> None:
        self.status = 200
        self.hangs: Callable[[str], bool] = lambda user: False
        self.says = "OK"
        self._server = server
        server.json("POST", "/api/authenticate", {"id_token": "token-1"})
        server.http.expect_request(USERS).respond_with_handler(self._look)
        server.http.expect_request(STATUS).respond_with_handler(self._answer)
        server.http.expect_request(ORGANIZATIONS).respond_with_data(SHARED, content_type=JSON)

    def asked(self) -> list[str]:
        """Leaf users whose credential was asked about, in order."""
        found = (STATUS.fullmatch(request.path) for request in self._server.sent)
        return [match["user"] for match in found if match]

    def _answer(self, request: Request) -> Response:
        match = STATUS.fullmatch(request.path)
        if match and self.hangs(match["user"]):
            self._server.released.wait(HANG_LIMIT)
        return Response(f'{{"status": "{self.says}"}}', self.status, content_type=JSON)

    def _look(self, _: Request) -> Response:
        """Whoever looks whether Leaf is back sees what all others see."""
        return Response("[]", self.status if self.status >= 500 else 200, content_type=JSON)


@pytest.fixture
def leaf(server: Server) -> Answering:
    return Answering(server)


@contextmanager
def watching(database: Database, server: Server, *, per_minute: int = NO_LIMIT) -> Iterator[Watch]:
    """A worker's checks, until the end of the block."""
    client = Leaf(server.url, "owner@example.com", "owner password", timeout=PATIENT)
    own = Watch(database, client, Turns(database, per_minute=per_minute))
    thread = threading.Thread(target=own.run)
    thread.start()
    try:
        yield own
    finally:
        server.released.set()
        own.stop()
        thread.join(HANG_LIMIT * 2)
        assert not thread.is_alive()


def rows(database: Database) -> list[Connection]:
    with database.reading() as session:
        return list(session.scalars(sa.select(Connection).order_by(Connection.created_at)))


def one(database: Database, connection_id: UUID) -> Connection:
    with database.reading() as session:
        return session.get_one(Connection, connection_id)


def put(database: Database, connection_id: UUID, **values: Any) -> None:
    with database.transaction() as session:
        session.execute(
            sa.update(Connection).where(Connection.id == connection_id).values(**values)
        )


def are_checked(database: Database) -> bool:
    return all(row.checked_at for row in rows(database))


def test_everything_that_is_due_is_checked_once(
    fresh_database: Database, server: Server, leaf: Answering
) -> None:
    watched(fresh_database, 100, check_due_at=now())
    with watching(fresh_database, server):
        wait_until(lambda: are_checked(fresh_database), what="all are checked")
    assert sorted(leaf.asked()) == sorted({f"leaf-{number}" for number in range(1, 101)})
    found = rows(fresh_database)
    assert {(row.check_number, row.checks, row.health) for row in found} == {(1, 1, Health.OK)}
    assert all(row.check_due_at and row.check_due_at > now() for row in found)


def test_what_leaf_says_is_written_down(
    fresh_database: Database, server: Server, leaf: Answering
) -> None:
    leaf.says = "UNAUTHENTICATED"
    (watched_id,) = watched(fresh_database, 1, check_due_at=now())
    with watching(fresh_database, server):
        wait_until(lambda: are_checked(fresh_database), what="it is checked")
    assert one(fresh_database, watched_id).health is Health.UNAUTHENTICATED
    assert history_of(fresh_database, watched_id) == ["status_changed"]


def test_check_that_breaks_off_is_put_off_ever_later_where_staff_see_it_and_stops_no_other(
    fresh_database: Database, server: Server, leaf: Answering, caplog: pytest.LogCaptureFixture
) -> None:
    (broken,) = watched(fresh_database, 1, check_due_at=now())
    with fresh_database.transaction() as session:
        # No id of a Leaf user can be that; the client raises what no check expects.
        session.execute(sa.update(Grower).values(leaf_user_id=".."))
    watched(fresh_database, 20, check_due_at=now())
    pauses = []
    with watching(fresh_database, server):
        for failed in range(1, 4):
            wait_until(
                lambda failed=failed: one(fresh_database, broken).failed_checks == failed,  # type: ignore[misc]
                what="the check broke off",
            )
            found = one(fresh_database, broken)
            assert found.check_due_at is not None
            pauses.append((found.check_due_at - now()) / timedelta(minutes=1))
            put(fresh_database, broken, check_due_at=now())
        wait_until(
            lambda: sum(bool(row.checked_at) for row in rows(fresh_database)) == 20,
            what="the others are checked",
        )
    for pause, meant in zip(pauses, (1, 2, 4), strict=True):
        assert 0.7 * meant < pause < 1.3 * meant
    assert one(fresh_database, broken).cause is Cause.OUR_ERROR
    assert len([one for one in caplog.records if "broke off" in one.message]) == 1
    with fresh_database.reading() as session:
        assert [row.id for row in attention.first(session, 10)] == [broken]


def test_answer_that_cannot_be_written_down_stops_no_other(
    fresh_database: Database,
    server: Server,
    leaf: Answering,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    leaf.says = "MISSING_PERMISSION"
    broken, fine = watched(fresh_database, 2, check_due_at=now())
    note = health.note

    def fail(session: Any, connection: Connection, answer: Any, **options: Any) -> None:
        if connection.id == broken:
            raise ZeroDivisionError
        note(session, connection, answer, **options)

    monkeypatch.setattr(health, "note", fail)
    with watching(fresh_database, server):
        wait_until(lambda: one(fresh_database, fine).checked_at, what="the other is checked")
        wait_until(lambda: one(fresh_database, broken).failed_checks, what="it is put off")
    assert one(fresh_database, broken).cause is Cause.OUR_ERROR


def test_database_that_is_away_for_a_moment_is_no_error_of_a_check(
    fresh_database: Database,
    server: Server,
    leaf: Answering,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    note_nothing_new, note = checks.note_nothing_new, checks.note
    away = threading.Event()
    refused = []

    def refusing(write: Callable[..., object]) -> Callable[..., object]:
        def refuse(*arguments: Any, **options: Any) -> object:
            if away.is_set() and arguments[1]:
                refused.append(arguments)
                raise OperationalError("", None, Exception("away"))
            return write(*arguments, **options)

        return refuse

    monkeypatch.setattr(checks, "note_nothing_new", refusing(note_nothing_new))
    monkeypatch.setattr(checks, "note", refusing(note))
    watched(fresh_database, 20, check_due_at=now())
    watched(fresh_database, 1, check_due_at=now(), failed_checks=1)
    away.set()
    with watching(fresh_database, server):
        wait_until(lambda: len(refused) >= 2, what="some can't be written down")
        away.clear()
        with fresh_database.transaction() as session:
            session.execute(sa.update(Connection).values(check_due_at=now()))
        wait_until(lambda: are_checked(fresh_database), what="all are checked")
    assert {row.cause for row in rows(fresh_database)} == {None}


def test_nothing_is_touched_while_leaf_is_down_and_all_is_checked_when_it_is_back(
    fresh_database: Database, server: Server, leaf: Answering
) -> None:
    leaf.status = 503
    watched(fresh_database, 200, check_due_at=now())

    def is_down() -> bool:
        with fresh_database.reading() as session:
            return pace.word(session).down_since is not None

    with watching(fresh_database, server):
        wait_until(is_down, what="Leaf is taken for down")
        wait_until(
            lambda: all(
                not row.check_due_at or row.failed_checks or row.check_due_at <= now()
                for row in rows(fresh_database)
            ),
            what="what was claimed and not asked is given back",
        )
        asked = len(leaf.asked())
        assert asked < 200
        touched = {row.id: row.check_number for row in rows(fresh_database)}
        with fresh_database.transaction() as session:
            session.execute(sa.update(Pace).values(closed_until=now() + HOUR))
        assert sum(touched.values()) < 200
        leaf.status = 200
        failed = {row.id for row in rows(fresh_database) if row.failed_checks}
        assert {row.id: row.check_number for row in rows(fresh_database)} == touched
        with fresh_database.transaction() as session:
            session.execute(sa.update(Pace).values(closed_until=now()))
            session.execute(sa.update(Connection).values(check_due_at=now()))
        wait_until(lambda: are_checked(fresh_database), what="all are checked")
    assert len(failed) < 200
    assert not is_down()
    assert {row.failed_checks for row in rows(fresh_database)} == {0}


def test_look_waits_behind_no_other_check(
    fresh_database: Database, server: Server, leaf: Answering
) -> None:
    watched(fresh_database, 60, check_due_at=now())
    (looked_at,) = watched(fresh_database, 1)
    leaf.hangs = lambda user: user != "leaf-61"
    with watching(fresh_database, server):
        wait_until(lambda: len(leaf.asked()) >= watch.OTHERS, what="all threads are busy")
        put(fresh_database, looked_at, check_due_at=now(), check_urgency=Urgency.LOOK)
        wait_until(lambda: one(fresh_database, looked_at).checked_at, what="it was looked at")
        assert not any(row.checked_at for row in rows(fresh_database) if row.id != looked_at)


def test_claim_is_kept_for_as_long_as_its_turn_takes(
    fresh_database: Database,
    server: Server,
    leaf: Answering,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(watch, "RENEWED_AFTER", 0.1)
    (slow,) = watched(fresh_database, 1, check_due_at=now())
    leaf.hangs = lambda user: True
    with watching(fresh_database, server):
        wait_until(leaf.asked, what="Leaf is being asked")
        put(fresh_database, slow, check_due_at=now() + timedelta(seconds=30))
        wait_until(lambda: _due(fresh_database, slow) > timedelta(seconds=40), what="it is renewed")
    assert len(leaf.asked()) == 1
    assert one(fresh_database, slow).checked_at is not None


def _due(database: Database, connection_id: UUID) -> timedelta:
    found = one(database, connection_id).check_due_at
    assert found is not None
    return found - now()


def test_stopping_finishes_what_is_asked_and_gives_the_rest_back(
    fresh_database: Database, server: Server, leaf: Answering
) -> None:
    watched(fresh_database, 60, check_due_at=now())
    leaf.hangs = lambda user: True
    with watching(fresh_database, server) as own:
        wait_until(lambda: len(leaf.asked()) == watch.OTHERS, what="all threads are busy")
        wait_until(
            lambda: sum(row.check_number for row in rows(fresh_database)) > watch.OTHERS,
            what="more is claimed",
        )
        own.stop()
    found = rows(fresh_database)
    assert sum(bool(row.checked_at) for row in found) == len(leaf.asked()) == watch.OTHERS
    left = [row for row in found if not row.checked_at]
    assert all(row.check_due_at and row.check_due_at <= now() for row in left)


def test_checks_take_turns(fresh_database: Database, server: Server, leaf: Answering) -> None:
    watched(fresh_database, 30, check_due_at=now())
    with watching(fresh_database, server, per_minute=300):
        wait_until(lambda: len(leaf.asked()) >= 2, what="some are checked")
        assert len(leaf.asked()) < 25


def test_check_that_finds_trouble_has_the_events_copied_at_once_and_once_only(
    fresh_database: Database, server: Server, leaf: Answering
) -> None:
    told = [{"id": f"event-{number}", "statusCode": 401, "body": "{}"} for number in range(2)]
    server.http.expect_request(EVENTS).respond_with_json(told, headers={"X-Total-Count": "2"})
    (watched_id,) = watched(fresh_database, 1, check_due_at=now())

    def copied() -> set[str]:
        with fresh_database.reading() as session:
            return set(session.scalars(sa.select(LeafEvent.leaf_id)))

    def check(checks_before: int) -> None:
        wait_until(
            lambda: (
                one(fresh_database, watched_id).check_number > checks_before
                and one(fresh_database, watched_id).checked_at is not None
            ),
            what="it is checked",
        )

    with watching(fresh_database, server):
        check(0)
        assert copied() == set()
        leaf.says = "UNAUTHENTICATED"
        put(fresh_database, watched_id, check_due_at=now(), check_urgency=Urgency.LOOK)
        wait_until(lambda: copied() == {"event-0", "event-1"}, what="the events are copied")
        assert one(fresh_database, watched_id).health is Health.UNAUTHENTICATED
        number = one(fresh_database, watched_id).check_number
        put(fresh_database, watched_id, check_due_at=now(), check_urgency=Urgency.LOOK)
        check(number)
    assert len([request for request in server.sent if EVENTS.fullmatch(request.path)]) == 1
