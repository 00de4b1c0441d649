"""What John Deere gives: kept in one transaction, and nothing taken away when it gives nothing."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psycopg
import pytest
import sqlalchemy as sa
import time_machine
from sqlalchemy.exc import OperationalError

from onboarding import db
from onboarding.clock import now
from onboarding.connections import consent
from onboarding.models import Attempt, Event, Link, Organization
from onboarding.states import Cause, Environment, Health, Outcome, SharingTrouble, Stage
from tests.support.wait import wait_until
from tests.unit.rows import connection_of, history_of
from tests.unit.walk import TOKENS, Walk

NOON = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
THROW_OUT = """
    SELECT pg_terminate_backend(pid) FROM pg_stat_activity
    WHERE datname = current_database() AND wait_event_type = 'Lock'
"""


def test_from_the_commit_on_the_token_is_kept_and_its_hand_over_is_owed(
    walk: Walk, link: Link
) -> None:
    started = walk.start(link)
    walk.use(started)

    walk.receive(started)

    connection, row = connection_of(walk.database, link), walk.attempt(started)
    assert connection.stage is Stage.HANDING_OVER
    assert walk.token(connection) == TOKENS.refresh_token
    assert walk.enqueued(connection) == [connection.hand_over_try] == [1]
    assert connection.hand_over_due_at is not None
    assert connection.hand_over_due_at <= now()
    assert (connection.client_key, connection.environment) == ("client-key", Environment.STAGE)
    assert row.outcome is Outcome.AUTHORIZED
    assert row.access_token is not None
    access = walk.vault.decrypt(row.access_token, place=row.access_token_place)
    assert access == TOKENS.access_token
    assert history_of(walk.database, connection.id)[-1] == "token_received"


def test_a_crash_before_the_commit_leaves_neither_a_token_nor_work(walk: Walk, link: Link) -> None:
    started = walk.start(link)

    def crash() -> None:
        with walk.database.transaction() as session:
            attempt = session.get_one(Attempt, started.attempt_id)
            consent.receive(
                session, walk.vault, walk.queue, walk.settings, attempt=attempt, tokens=TOKENS
            )
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        crash()

    connection = connection_of(walk.database, link)
    assert (connection.stage, connection.refresh_token) == (Stage.AUTHORIZING, None)
    assert walk.enqueued(connection) == []
    assert walk.attempt(started).outcome is None


@contextmanager
def broken_off(walk: Walk) -> Iterator[None]:
    """Whoever writes a connection meanwhile is thrown out by the database, and then has to wait."""
    url = walk.database.engine.url
    if url.drivername.startswith("sqlite"):
        with closing(sqlite3.connect(url.database or "", isolation_level=None)) as held:
            held.execute("BEGIN IMMEDIATE")
            yield
        return
    server = url.set(drivername="postgresql").render_as_string(hide_password=False)
    with psycopg.connect(server) as held, psycopg.connect(server, autocommit=True) as watching:
        held.execute("LOCK TABLE connection IN EXCLUSIVE MODE")
        with ThreadPoolExecutor(1) as pool:
            thrown_out = pool.submit(
                wait_until, lambda: watching.execute(THROW_OUT).fetchone(), what="somebody waits"
            )
            yield
            thrown_out.result()
        held.rollback()


def test_a_database_that_breaks_off_for_a_moment_does_not_cost_the_consent(
    walk: Walk, link: Link, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    started = walk.start(link)
    monkeypatch.setattr(db, "SQLITE_BUSY_TIMEOUT_MS", 50)
    walk.database.engine.dispose()  # its connections have the longer timeout

    with ThreadPoolExecutor(1) as pool:
        with broken_off(walk):
            kept = pool.submit(walk.keep, started)
            wait_until(lambda: "we try again" in caplog.text, what="the first try has failed")
        kept.result()

    connection = connection_of(walk.database, link)
    assert walk.token(connection) == TOKENS.refresh_token
    assert walk.enqueued(connection) == [1]


def test_a_pool_that_has_no_connection_left_for_a_moment_does_not_cost_the_consent(
    walk: Walk, link: Link, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    started = walk.start(link)
    for name, value in (("SIZE", 1), ("OVERFLOW", 0), ("TIMEOUT_SECONDS", 0.05)):
        monkeypatch.setattr(db, f"POOL_{name}", value)
    url = walk.database.engine.url.render_as_string(hide_password=False)
    walk.database = db.Database(url)

    with ThreadPoolExecutor(1) as pool:
        with walk.database.engine.connect():
            kept = pool.submit(walk.keep, started)
            wait_until(lambda: "we try again" in caplog.text, what="the first try has failed")
        kept.result()

    assert walk.token(connection_of(walk.database, link)) == TOKENS.refresh_token
    walk.database.engine.dispose()


def test_a_database_that_stays_away_is_asked_a_few_times_only(
    walk: Walk,
    link: Link,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    started = walk.start(link)
    monkeypatch.setattr(consent, "PAUSES_BETWEEN_KEEPING", (0.0, 0.0))
    walk.database = db.Database(f"sqlite:///{tmp_path / 'no folder' / 'gone.sqlite'}")

    with pytest.raises(OperationalError):
        walk.keep(started)

    assert caplog.text.count("we try again") == 2


def test_tokens_that_are_stored_again_are_stored_once(walk: Walk, link: Link) -> None:
    started = walk.start(link)
    walk.keep(started)
    walk.put(link, refresh_token=None, stage=Stage.CHOOSING_ORGANIZATIONS)

    walk.keep(started)

    connection = connection_of(walk.database, link)
    assert (connection.stage, connection.refresh_token) == (Stage.CHOOSING_ORGANIZATIONS, None)
    assert walk.enqueued(connection) == [1]
    assert history_of(walk.database, connection.id).count("token_received") == 1


@pytest.mark.parametrize(
    ("expires_in", "kept"),
    [(43_200, timedelta(hours=1)), (600, timedelta(minutes=10)), (0, timedelta(0))],
)
def test_the_access_token_is_kept_for_an_hour_at_most(
    walk: Walk, link: Link, expires_in: int, kept: timedelta
) -> None:
    with time_machine.travel(NOON, tick=False):
        started = walk.start(link)
        walk.receive(started, replace(TOKENS, expires_in=expires_in))

    assert walk.attempt(started).access_token_until == NOON + kept


def test_a_reconnect_puts_the_new_token_in_the_place_of_the_waiting_one(
    walk: Walk, link: Link
) -> None:
    walk.receive(walk.start(link))
    walk.put(link, cause=Cause.LEAF_UNAVAILABLE, detail="down", waiting_since=now())

    walk.receive(walk.start(link), replace(TOKENS, refresh_token="the second token"))

    connection = connection_of(walk.database, link)
    assert walk.token(connection) == "the second token"
    assert connection.hand_over_try == 2
    assert 2 in walk.enqueued(connection)
    assert (connection.cause, connection.detail, connection.waiting_since) == (None, "", None)
    assert connection.health is Health.UNKNOWN


WITHOUT = replace(TOKENS, refresh_token=None)


def test_no_refresh_token_is_a_failure_that_staff_can_read(walk: Walk, link: Link) -> None:
    started = walk.start(link)

    walk.receive(started, WITHOUT)

    connection, row = connection_of(walk.database, link), walk.attempt(started)
    assert (connection.stage, connection.cause) == (Stage.FAILED, Cause.NO_REFRESH_TOKEN)
    assert "offline_access" in connection.detail
    assert connection.refresh_token is None
    assert walk.enqueued(connection) == []
    assert (row.outcome, row.access_token) == (Outcome.NO_REFRESH_TOKEN, None)


@pytest.mark.parametrize("stage", [Stage.CONNECTED, Stage.CHOOSING_ORGANIZATIONS])
def test_no_refresh_token_on_a_reconnect_takes_nothing_away(
    walk: Walk, link: Link, stage: Stage
) -> None:
    walk.put(link, stage=stage, health=Health.OK)
    started = walk.start(link)

    walk.receive(started, WITHOUT)

    connection = connection_of(walk.database, link)
    assert (connection.stage, connection.health) == (stage, Health.OK)
    assert connection.cause is None
    assert walk.attempt(started).outcome is Outcome.NO_REFRESH_TOKEN


def test_no_refresh_token_does_not_stop_the_hand_over_of_an_earlier_one(
    walk: Walk, link: Link
) -> None:
    walk.receive(walk.start(link))

    walk.receive(walk.start(link), WITHOUT)

    connection = connection_of(walk.database, link)
    assert connection.stage is Stage.HANDING_OVER
    assert walk.token(connection) == TOKENS.refresh_token


@pytest.mark.parametrize(
    ("granted", "missing"),
    [
        ({"ag1", "org1", "offline_access"}, None),
        ({"offline_access", "org1", "ag1", "files"}, None),
        ({"offline_access", "ag1"}, ["org1"]),
        (set[str](), ["ag1", "offline_access", "org1"]),
    ],
)
def test_scopes_that_were_not_granted_are_recorded(
    walk: Walk, link: Link, granted: set[str], missing: list[str] | None
) -> None:
    walk.receive(walk.start(link), replace(TOKENS, scopes=frozenset(granted)))

    connection = connection_of(walk.database, link)
    assert connection.scopes_asked == ["ag1", "org1", "offline_access"]
    assert connection.scopes_granted == sorted(granted)
    assert connection.stage is Stage.HANDING_OVER
    with walk.database.reading() as session:
        noted = session.scalars(sa.select(Event.data).where(Event.kind == "scopes_missing")).all()
    assert noted == ([{"scopes": missing}] if missing else [])


def test_another_account_begins_with_none_of_the_last_ones_organizations(
    walk: Walk, link: Link
) -> None:
    connection_id = connection_of(walk.database, link).id
    walk.put(
        link, sharing_trouble=SharingTrouble.PERMISSIONS_TOO_LOW, choose_url="https://a.example"
    )
    with walk.database.transaction() as session:
        row = Organization(deere_id="1", name="Farm", connected=True, connection_id=connection_id)
        session.add(row)

    walk.receive(walk.start(link))

    connection = connection_of(walk.database, link)
    assert connection.organizations == []
    assert (connection.sharing_trouble, connection.choose_url) == (None, None)


def test_the_newest_attempt_that_brought_a_token_is_found_behind_later_failures(
    walk: Walk, link: Link
) -> None:
    connection_id = connection_of(walk.database, link).id
    with walk.database.reading() as session:
        assert consent.latest_authorized(session, connection_id) is None
    walk.receive(walk.start(link))
    newest = walk.start(link)
    walk.receive(newest)
    walk.finish(walk.start(link), Outcome.DENIED)

    with walk.database.reading() as session:
        found = consent.latest_authorized(session, connection_id)
    assert found is not None
    assert found.id == newest.attempt_id
