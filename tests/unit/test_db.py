"""The database: what is committed stays, writers wait for each other, a reader sees one moment."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import UTC, datetime
from functools import partial
from uuid import uuid4

import pytest
import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from onboarding.clock import now
from onboarding.db import Database
from onboarding.models import Copy, Link
from tests.support.wait import wait_until

LIMIT_SECONDS = 20.0
WRITERS = 12


def put(session: Session, name: str, text: str) -> None:
    session.merge(Copy(name=name, text=text, fetched_at=now()))


def kept(database: Database) -> dict[str, str]:
    """What another process would find."""
    with database.reading() as session:
        return {copy.name: copy.text for copy in session.scalars(sa.select(Copy))}


def is_waiting(database: Database, future: Future[None], started: threading.Event) -> bool:
    """Whether a thread has asked for what another one holds; SQLite can only say "not done"."""
    if not started.is_set() or future.done():
        return False
    if database.engine.dialect.name == "sqlite":
        return True
    with database.reading() as session:
        waiting = session.scalar(
            sa.text("SELECT count(*) FROM pg_locks WHERE NOT granted AND pid <> pg_backend_pid()")
        )
    return bool(waiting)


def test_a_transaction_is_kept_at_its_end(fresh_database: Database) -> None:
    with fresh_database.transaction() as session:
        put(session, "a", "1")
        session.flush()
        assert kept(fresh_database) == {}

    assert kept(fresh_database) == {"a": "1"}


def test_an_exception_takes_everything_back_and_passes(fresh_database: Database) -> None:
    def fail_in_the_middle() -> None:
        with fresh_database.transaction() as session:
            put(session, "a", "1")
            session.flush()
            put(session, "b", "1")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail_in_the_middle()
    assert kept(fresh_database) == {}


def test_a_refused_row_takes_back_those_before_it(fresh_database: Database) -> None:
    def write_a_row_of_nobody() -> None:
        with fresh_database.transaction() as session:
            put(session, "a", "1")
            session.flush()
            session.add(Link(grower_id=uuid4(), created_at=now(), expires_at=now()))

    with pytest.raises(IntegrityError):
        write_a_row_of_nobody()
    assert kept(fresh_database) == {}


def test_rows_stay_readable_after_their_transaction(fresh_database: Database) -> None:
    with fresh_database.transaction() as session:
        copy = Copy(name="a", text="1", fetched_at=now())
        session.add(copy)

    assert copy.text == "1"


def test_a_moment_comes_back_as_it_was_and_in_utc(fresh_database: Database) -> None:
    moment = datetime(2026, 11, 22, 12, 0, 0, 123456, tzinfo=UTC)
    with fresh_database.transaction() as session:
        session.add(Copy(name="a", text="1", fetched_at=moment.astimezone(tz=None)))

    with fresh_database.reading() as session:
        found = session.get_one(Copy, "a").fetched_at
    assert (found, found.utcoffset()) == (moment, moment.utcoffset())


def test_a_writer_waits_for_another_one_instead_of_failing(fresh_database: Database) -> None:
    with fresh_database.transaction() as session:
        put(session, "a", "0")
    started = threading.Event()

    def write_after() -> None:
        started.set()
        with fresh_database.transaction() as session:
            copy = session.get_one(Copy, "a", with_for_update=True)
            copy.text += " second"

    with ThreadPoolExecutor() as pool:
        with fresh_database.transaction() as session:
            copy = session.get_one(Copy, "a", with_for_update=True)
            second = pool.submit(write_after)
            wait_until(lambda: is_waiting(fresh_database, second, started), what="the second waits")
            copy.text += " first"
        second.result(LIMIT_SECONDS)

    assert kept(fresh_database) == {"a": "0 first second"}


def test_many_writers_at_once_lose_nothing_and_none_fails(fresh_database: Database) -> None:
    with fresh_database.transaction() as session:
        put(session, "count", "0")
    together = threading.Barrier(WRITERS)

    def count() -> None:
        together.wait(LIMIT_SECONDS)
        for _ in range(5):
            with fresh_database.transaction() as session:
                copy = session.get_one(Copy, "count", with_for_update=True)
                copy.text = str(int(copy.text) + 1)

    run_at_once(*[count] * WRITERS)

    assert kept(fresh_database) == {"count": str(WRITERS * 5)}


def test_a_transaction_that_reads_before_it_writes_does_not_fail(fresh_database: Database) -> None:
    """On SQLite a deferred transaction would: `SQLITE_BUSY_SNAPSHOT` has no timeout."""
    together = threading.Barrier(2)

    def read_then_write(name: str) -> None:
        together.wait(LIMIT_SECONDS)
        for number in range(20):
            with fresh_database.transaction() as session:
                session.scalars(sa.select(Copy)).all()
                put(session, name, str(number))

    run_at_once(partial(read_then_write, "a"), partial(read_then_write, "b"))

    assert kept(fresh_database) == {"a": "19", "b": "19"}


def test_a_reader_sees_one_moment_whatever_is_written_meanwhile(fresh_database: Database) -> None:
    with fresh_database.transaction() as session:
        put(session, "a", "before")
        put(session, "b", "before")

    with fresh_database.reading() as session:
        first = session.scalar(sa.select(Copy.text).where(Copy.name == "a"))
        with fresh_database.transaction() as writing:
            put(writing, "a", "after")
            put(writing, "b", "after")
        second = session.scalar(sa.select(Copy.text).where(Copy.name == "b"))

    assert (first, second) == ("before", "before")
    assert kept(fresh_database) == {"a": "after", "b": "after"}


def test_a_reader_does_not_hold_up_a_writer(fresh_database: Database) -> None:
    with fresh_database.reading() as session:
        session.scalars(sa.select(Copy)).all()
        with ThreadPoolExecutor(1) as pool:
            pool.submit(_write_one, fresh_database).result(LIMIT_SECONDS)

    assert kept(fresh_database) == {"a": "1"}


def test_a_writer_does_not_hold_up_a_reader(fresh_database: Database) -> None:
    with fresh_database.transaction() as session:
        put(session, "a", "1")
        session.flush()
        with ThreadPoolExecutor(1) as pool:
            assert pool.submit(kept, fresh_database).result(LIMIT_SECONDS) == {}


def test_what_is_only_read_is_never_written(fresh_database: Database) -> None:
    with fresh_database.transaction() as session:
        put(session, "a", "1")

    with fresh_database.reading() as session:
        session.get_one(Copy, "a").text = "2"

    assert kept(fresh_database) == {"a": "1"}


@pytest.mark.parametrize("fresh_url", ["sqlite"], indirect=True)
@pytest.mark.parametrize(
    ("pragma", "value"),
    [("journal_mode", "wal"), ("synchronous", 2), ("foreign_keys", 1), ("busy_timeout", 30_000)],
)
def test_every_connection_to_sqlite_keeps_what_it_commits(
    fresh_database: Database, pragma: str, value: str | int
) -> None:
    with fresh_database.engine.connect() as one, fresh_database.engine.connect() as other:
        for connection in (one, other):
            assert connection.exec_driver_sql(f"PRAGMA {pragma}").scalar() == value


@pytest.mark.parametrize("fresh_url", ["postgresql"], indirect=True)
def test_a_commit_on_postgresql_is_on_the_disk_when_it_returns(fresh_database: Database) -> None:
    with fresh_database.transaction() as session:
        assert session.scalar(sa.text("SHOW synchronous_commit")) == "on"


@pytest.mark.parametrize("fresh_url", ["postgresql"], indirect=True)
def test_a_connection_that_the_server_closed_is_replaced(
    fresh_url: str, fresh_database: Database
) -> None:
    with fresh_database.reading() as session:
        backend = session.scalar(sa.text("SELECT pg_backend_pid()"))
    elsewhere = Database(fresh_url)
    with elsewhere.reading() as session:
        session.execute(sa.text("SELECT pg_terminate_backend(:pid, 10000)"), {"pid": backend})
    elsewhere.engine.dispose()

    with fresh_database.reading() as session:
        assert session.scalar(sa.text("SELECT pg_backend_pid()")) != backend


def run_at_once(*works: Callable[[], None]) -> None:
    with ThreadPoolExecutor(len(works)) as pool:
        for future in [pool.submit(work) for work in works]:
            future.result(LIMIT_SECONDS)


def _write_one(database: Database) -> None:
    with database.transaction() as session:
        put(session, "a", "1")
