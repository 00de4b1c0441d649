"""The timeline of a connection: nothing twice, nothing lost, however it is cut into parts."""

from __future__ import annotations

import secrets
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
import sqlalchemy as sa

from onboarding.clock import now
from onboarding.connections import history, timeline
from onboarding.connections.tellers import Place, Source
from onboarding.connections.timeline import Line
from onboarding.db import Database
from onboarding.models import Attempt, Audit, Event, LeafEvent, Link, Mail
from onboarding.states import MailKind, MailState, Outcome
from tests.unit.rows import connection_of, invited

MOMENT = datetime(2026, 11, 26, 12, tzinfo=UTC)


def crowded(database: Database, link: Link, at: datetime) -> UUID:
    """A connection of which six tell, at one moment, what happened; by four of them ten times."""
    connection_id = connection_of(database, link).id
    with database.transaction() as session:
        session.execute(sa.delete(Event))
        for number in range(10):
            session.add_all(
                [
                    Event(connection_id=connection_id, at=at, kind="repaired", who=history.SYSTEM),
                    Event(connection_id=connection_id, at=at, kind="link_made", who=history.STAFF),
                    Event(connection_id=connection_id, at=at, kind="mail_sent", who=history.SYSTEM),
                    Audit(
                        connection_id=connection_id,
                        at=at + timedelta(milliseconds=number),
                        who="a@example.com",
                        action="connection.new_link",
                    ),
                    Attempt(
                        connection_id=connection_id,
                        link_id=link.id,
                        state_digest=secrets.token_bytes(32),
                        browser_digest=secrets.token_bytes(32),
                        created_at=at,
                        ended_at=at,
                        outcome=Outcome.DENIED,
                    ),
                    LeafEvent(
                        connection_id=connection_id,
                        leaf_id=f"e-{number}",
                        at=at,
                        status_code=200,
                        body="{}",
                        copied_at=at,
                    ),
                    Mail(
                        connection_id=connection_id,
                        kind=MailKind.INVITATION,
                        state=MailState.SENT,
                        created_at=at - timedelta(minutes=1),
                        ended_at=at,
                        detail=str(number),
                    ),
                ]
            )
    return connection_id


def read(database: Database, connection_id: UUID, *, limit: int) -> list[list[Line]]:
    """All parts, as somebody reads them who asks for older ones again and again."""
    parts: list[list[Line]] = []
    after: Place | None = None
    while True:
        with database.reading() as session:
            found = timeline.page(session, connection_id, limit=limit, after=after)
        parts.append(list(found.lines))
        if found.older is None:
            return parts
        after = Place.parse(str(found.older))
        assert after == found.older


def test_parts_of_a_timeline_are_the_whole_of_it_also_where_all_happens_at_once(
    fresh_database: Database,
) -> None:
    connection_id = crowded(fresh_database, invited(fresh_database), MOMENT)
    (whole,) = read(fresh_database, connection_id, limit=100)
    told = [source for source in Source for line in whole if line.source is source]
    tellers = (Source.OURS, Source.ATTEMPT, Source.LEAF, Source.MAIL, Source.AUDIT)
    assert told == [source for source in tellers for _ in range(10)]
    parts = read(fresh_database, connection_id, limit=7)
    assert [len(part) for part in parts] == [7] * 7 + [1]
    assert [line for part in parts for line in part] == whole


def test_event_is_told_where_nobody_else_tells_the_same(fresh_database: Database) -> None:
    link = invited(fresh_database)
    connection = connection_of(fresh_database, link)
    with fresh_database.transaction() as session:
        session.execute(sa.delete(Event))
        for kind in ("link_made", "link_revoked", "attempt_started", "mail_failed"):
            session.add(Event(connection_id=connection.id, at=MOMENT, kind=kind, who=history.STAFF))
        session.add_all(
            [
                # By a command, a while after the same by hand; and something else at that moment.
                Audit(
                    connection_id=connection.id,
                    at=MOMENT - timedelta(seconds=3),
                    who="a@example.com",
                    action="connection.new_link",
                ),
                Audit(
                    connection_id=connection.id,
                    at=MOMENT,
                    who="a@example.com",
                    action="connection.recheck",
                ),
                Mail(
                    connection_id=connection.id,
                    kind=MailKind.INVITATION,
                    state=MailState.SENT,
                    created_at=MOMENT,
                    ended_at=MOMENT,
                ),
            ]
        )
    (lines,) = read(fresh_database, connection.id, limit=10)
    assert len(lines) == 7


@pytest.mark.parametrize(
    "text",
    [
        "",
        "2",
        "2026-11-26T12:00:00~ours~1",
        "2026-11-26T12:00:00+00:00~mail~1",
        f"2026-11-26T12:00:00+00:00~ours~{10**30}",
        "2026-11-26T12:00:00+00:00~else~1",
    ],
)
def test_place_that_is_none_is_the_beginning(text: str) -> None:
    assert Place.parse(text) is None


def test_place_is_found_again_in_an_address() -> None:
    for place in (Place(now(), Source.OURS, 7), Place(now(), Source.MAIL, UUID(int=7))):
        assert Place.parse(str(place)) == place
