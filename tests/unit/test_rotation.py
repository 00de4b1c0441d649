"""Rotating keys: afterwards the old key can be dropped, and nothing was lost on the way."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from uuid import UUID

import pytest
import sqlalchemy as sa

from onboarding.clock import now
from onboarding.connections import rotation
from onboarding.connections.rotation import Rotated
from onboarding.db import Database
from onboarding.models import Attempt, Connection, Grower, Link, Partner, locked
from onboarding.states import Stage
from onboarding.vault import Vault
from tests.support.wait import wait_until

OLD_KEY, NEW_KEY = b"o" * 32, b"n" * 32
OLD, BOTH, NEW = Vault([OLD_KEY]), Vault([NEW_KEY, OLD_KEY]), Vault([NEW_KEY])


def store(database: Database, count: int, *, vault: Vault = OLD) -> list[UUID]:
    """Connections with a token, each with an attempt that keeps two secrets; in their order."""
    moment = now()
    with database.transaction() as session:
        partner = Partner(slug="demo", name="Demo Co-op", created_at=moment)
        growers = [
            Grower(partner=partner, external_id=str(n), name="Maple Farm", created_at=moment)
            for n in range(count)
        ]
        links = [Link(grower=one, created_at=moment, expires_at=moment) for one in growers]
        connections = [Connection(grower=grower, created_at=moment) for grower in growers]
        session.add_all([*links, *connections])
        session.flush()
        attempts = [
            Attempt(
                connection=connection,
                link_id=link.id,
                state_digest=link.id.bytes,
                browser_digest=b"",
                created_at=moment,
                access_token_until=moment + timedelta(hours=1),
            )
            for link, connection in zip(links, connections, strict=True)
        ]
        session.add_all(attempts)
        session.flush()
        for connection, attempt in zip(connections, attempts, strict=True):
            connection.stage = Stage.HANDING_OVER
            connection.refresh_token = vault.encrypt("refresh", place=connection.token_place)
            attempt.code_verifier = vault.encrypt("verifier", place=attempt.verifier_place)
            attempt.access_token = vault.encrypt("access", place=attempt.access_token_place)
    return sorted(connection.id for connection in connections)


def secrets(database: Database, vault: Vault) -> set[tuple[str, str, str]]:
    """What a vault reads of all that is stored; one element if all are alike."""
    with database.reading() as session:
        return {
            (
                vault.decrypt(attempt.connection.refresh_token or b"", place=_token_place(attempt)),
                vault.decrypt(attempt.code_verifier or b"", place=attempt.verifier_place),
                vault.decrypt(attempt.access_token or b"", place=attempt.access_token_place),
            )
            for attempt in session.scalars(sa.select(Attempt))
        }


def _token_place(attempt: Attempt) -> str:
    return attempt.connection.token_place


def current(database: Database) -> list[bool]:
    """Whether each token is encrypted with the new key, in the order of the rows."""
    with database.reading() as session:
        rows = session.scalars(sa.select(Connection).order_by(Connection.id))
        return [
            row.refresh_token is not None and BOTH.is_current(row.refresh_token) for row in rows
        ]


@pytest.fixture
def small_batches(monkeypatch: pytest.MonkeyPatch) -> int:
    """Three rows are a batch."""
    monkeypatch.setattr(rotation, "BATCH", 3)
    return 3


def test_after_rotating_the_old_key_can_be_dropped(fresh_database: Database) -> None:
    store(fresh_database, 2)

    assert rotation.rotate(fresh_database, BOTH) == Rotated(renewed=6)

    assert secrets(fresh_database, NEW) == {("refresh", "verifier", "access")}


@pytest.mark.parametrize("count", [1, 3, 4, 6, 10])
@pytest.mark.usefixtures("small_batches")
def test_every_batch_is_rotated_whether_the_last_is_full_or_not(
    fresh_database: Database, count: int
) -> None:
    store(fresh_database, count)

    assert rotation.rotate(fresh_database, BOTH) == Rotated(renewed=3 * count)

    assert current(fresh_database) == [True] * count
    assert secrets(fresh_database, NEW) == {("refresh", "verifier", "access")}


def test_rotating_again_has_nothing_to_do(fresh_database: Database) -> None:
    store(fresh_database, 2)
    rotation.rotate(fresh_database, BOTH)

    assert rotation.rotate(fresh_database, BOTH) == Rotated()
    assert rotation.rotate(fresh_database, NEW) == Rotated()


def test_nothing_stored_is_nothing_to_do(fresh_database: Database) -> None:
    assert rotation.rotate(fresh_database, BOTH) == Rotated()


def test_rows_without_a_secret_are_left_alone(fresh_database: Database) -> None:
    store(fresh_database, 2)
    with fresh_database.transaction() as session:
        session.execute(sa.update(Connection).values(refresh_token=None))
        session.execute(sa.update(Attempt).values(access_token=None))

    assert rotation.rotate(fresh_database, BOTH) == Rotated(renewed=2)


@pytest.mark.usefixtures("small_batches")
def test_an_unreadable_token_keeps_nothing_else_behind(fresh_database: Database) -> None:
    ids = store(fresh_database, 7)
    with fresh_database.transaction() as session:
        lost, damaged, moved = (session.get_one(Connection, ids[n]) for n in (0, 3, 6))
        lost.refresh_token = Vault([b"x" * 32]).encrypt("refresh", place=lost.token_place)
        damaged.refresh_token = b"damaged"
        moved.refresh_token = session.get_one(Connection, ids[1]).refresh_token
    before = _stored(fresh_database)

    assert rotation.rotate(fresh_database, BOTH) == Rotated(renewed=4 + 7 + 7, unreadable=3)

    after = _stored(fresh_database)
    unreadable = [n for n, one in enumerate(ids) if after[one] == before[one]]
    assert unreadable == [0, 3, 6]
    assert current(fresh_database).count(True) == 4


@pytest.mark.usefixtures("small_batches")
def test_what_was_unreadable_is_rotated_once_its_key_is_back(fresh_database: Database) -> None:
    ids = store(fresh_database, 4)
    other = b"x" * 32
    with fresh_database.transaction() as session:
        lost = session.get_one(Connection, ids[1])
        lost.refresh_token = Vault([other]).encrypt("refresh", place=lost.token_place)
    assert rotation.rotate(fresh_database, BOTH) == Rotated(renewed=11, unreadable=1)

    assert rotation.rotate(fresh_database, Vault([NEW_KEY, other])) == Rotated(renewed=1)

    assert secrets(fresh_database, NEW) == {("refresh", "verifier", "access")}


def test_rotating_holds_nothing_that_somebody_waits_for_who_is_waited_for(
    fresh_database: Database,
) -> None:
    first, *_, last = store(fresh_database, 3)

    with ThreadPoolExecutor(1) as pool:
        with fresh_database.transaction() as session:
            locked(session, last)
            rotating = pool.submit(rotation.rotate, fresh_database, BOTH)
            if fresh_database.engine.dialect.name == "postgresql":  # SQLite has one writer
                wait_until(lambda: current(fresh_database)[0], what="the first row is done")
            locked(session, first)
        assert rotating.result() == Rotated(renewed=9)

    assert secrets(fresh_database, NEW) == {("refresh", "verifier", "access")}


def _stored(database: Database) -> dict[UUID, bytes | None]:
    with database.reading() as session:
        return {row.id: row.refresh_token for row in session.scalars(sa.select(Connection))}
