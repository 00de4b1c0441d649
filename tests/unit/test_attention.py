"""Which connections wait for staff, with a real database."""

from __future__ import annotations

import os
from datetime import timedelta

import pytest
import sqlalchemy as sa

from onboarding.clock import now
from onboarding.connections import attention
from onboarding.models import Attempt, Connection, Link
from onboarding.states import OUR_FAULT, Outcome, Stage
from tests.unit.rows import connection_of, invited
from tests.unit.walk import Walk

MANY = 3000


def waiting(walk: Walk) -> list[Connection]:
    """Those that wait, as `flask connection list` asks for them."""
    with walk.database.reading() as session:
        found = list(attention.first(session, 10))
        assert attention.count(session) == len(found)
    return found


@pytest.mark.parametrize("outcome", [None, *Outcome])
def test_an_attempt_refused_for_our_fault_waits_for_staff(
    walk: Walk, link: Link, outcome: Outcome | None
) -> None:
    invited(walk.database, "another grower")
    started = walk.start(link)
    if outcome is not None:
        walk.finish(started, outcome)

    expected = [connection_of(walk.database, link).id] if outcome in OUR_FAULT else []
    assert [row.id for row in waiting(walk)] == expected


def test_an_attempt_refused_for_our_fault_waits_until_the_grower_tries_again(
    walk: Walk, link: Link
) -> None:
    walk.finish(walk.start(link), Outcome.DENIED)
    walk.finish(walk.start(link), Outcome.APPLICATION_REFUSED)
    walk.finish(walk.start(link), Outcome.APPLICATION_REFUSED)
    assert len(waiting(walk)) == 1

    walk.start(link)
    assert waiting(walk) == []


def test_attempts_refused_for_our_fault_are_found_by_their_index(walk: Walk, link: Link) -> None:
    plan = {"sqlite": "EXPLAIN QUERY PLAN", "postgresql": "EXPLAIN"}
    query = attention.refused_at_last().compile(walk.database.engine)
    denied = {
        "connection_id": connection_of(walk.database, link).id,
        "link_id": link.id,
        "created_at": now(),
        "ended_at": now(),
        "outcome": Outcome.DENIED,
    }
    digests = ({"state_digest": os.urandom(32), "browser_digest": b""} for _ in range(MANY))
    with walk.database.engine.connect() as connection:
        # With few rows, or an old count of them, a database would rather read the table.
        connection.execute(sa.insert(Attempt), [denied | one for one in digests])
        connection.execute(sa.text("ANALYZE attempt"))
        found = connection.exec_driver_sql(f"{plan[connection.dialect.name]} {query}").all()
        connection.rollback()

    assert "ix_attempt_our_fault" in str(found)


@pytest.mark.parametrize(("hours", "waits"), [(None, False), (23, False), (25, True)])
def test_a_disconnect_that_leaf_keeps_waiting_for_a_day_waits_for_staff(
    walk: Walk, link: Link, hours: int | None, waits: bool
) -> None:
    since = None if hours is None else now() - timedelta(hours=hours)
    walk.put(link, stage=Stage.DISCONNECTING, waiting_since=since)

    assert bool(waiting(walk)) is waits
