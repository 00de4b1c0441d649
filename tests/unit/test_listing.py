"""The rows of the dashboard's table: what they say is what is told, whatever happens."""

from __future__ import annotations

import random
from collections.abc import Iterator
from datetime import timedelta
from itertools import islice
from uuid import UUID, uuid4

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session

from onboarding import describe
from onboarding.clock import now
from onboarding.connections import consent, incidents, invitations, listing, spelling
from onboarding.connections.standing import Standing
from onboarding.db import Database
from onboarding.models import Attempt, Connection, Grower, Incident, Listing, Organization
from onboarding.states import Health, IncidentKind, Outcome, Stage
from tests.support.desk import Desk
from tests.unit.cases import NOW, Case, every_case
from tests.unit.rows import attempted, connection_of, invited, watched
from tests.unit.walk import Walk

SECOND, DAY = timedelta(seconds=1), timedelta(days=1)
SOME = 37
"""Every so many-th case is enough where each costs milliseconds."""
UNSURE = [None, "waiting_since", "token_received_at", "trouble_told_from", "checked_at"]


def some_cases(step: int) -> Iterator[tuple[Case, Connection, Attempt | None]]:
    """Cases, with moments around the present in them."""
    chance = random.Random(3)
    for case, connection, attempt in islice(every_case(), 0, None, step):
        for kept in ("waiting_since", "trouble_told_from", "handed_over_at"):
            setattr(connection, kept, None)
        name, ago = chance.choice(UNSURE), timedelta(seconds=chance.choice((-90, -3, 5, 90)))
        if name is not None:
            setattr(connection, name, NOW - ago)
        yield case, connection, attempt


def row_of(database: Database, connection_id: UUID) -> Listing:
    """The row of a connection."""
    query = sa.select(Listing).where(Listing.connection_id == connection_id)
    with database.reading() as session:
        return session.scalars(query).one()


def told_of(session: Session, connection: Connection) -> tuple[str, str]:
    """Code and turn, as the grower's page has them."""
    told = describe.connection(
        connection,
        latest=consent.latest(session, connection.id),
        moment=now(),
        incident=incidents.of(session, connection),
    )
    return told.code, told.who


def assert_in_step(database: Database) -> None:
    """Each row says what is told now."""
    with database.reading() as session:
        for row in session.scalars(sa.select(Listing)):
            connection = session.get_one(Connection, row.connection_id)
            assert (row.code, row.turn) == told_of(session, connection)


def test_until_a_row_is_due_the_same_is_told_and_afterwards_for_good() -> None:
    for case, connection, attempt in some_cases(SOME):
        standing, moment = Standing(connection, attempt, case.incident), NOW
        told = standing.told(moment)
        while (due := standing.due_at(moment)) is not None:
            assert standing.told(due - SECOND / 1000).code == told.code, case
            moment, told = due, standing.told(due)
        assert standing.told(moment + 4000 * DAY).code == told.code, case


def test_rows_say_what_is_told_of_each_case(fresh_database: Database) -> None:
    """Also once time has passed, and the worker has come by."""
    invited(fresh_database)
    with fresh_database.reading() as session:
        partner_id = session.scalars(sa.select(Grower.partner_id)).one()
    link = invited(fresh_database)
    age = now() - NOW
    with fresh_database.transaction() as session:
        for number, (_, shape, attempt) in enumerate(some_cases(997)):
            grower = Grower(
                partner_id=partner_id, external_id=f"c-{number}", name="Farm", created_at=now()
            )
            values = {
                column.key: getattr(shape, column.key)
                for column in sa.inspect(Connection).columns
                if column.key not in {"id", "grower_id", "reference"}
                and getattr(shape, column.key) is not None
            }
            for key, value in values.items():
                if key.endswith(("_at", "_since", "_from")):
                    values[key] = value + age
            connection = Connection(grower=grower, **values | {"created_at": now()})
            connection.organizations = [
                Organization(
                    deere_id=one.deere_id, name=one.name, connected=one.connected, member=one.member
                )
                for one in shape.organizations
            ]
            session.add(connection)
            session.flush()
            if attempt is not None:
                session.add(
                    Attempt(
                        connection_id=connection.id,
                        link_id=link.id,
                        state_digest=uuid4().bytes * 2,
                        browser_digest=b"b" * 32,
                        created_at=attempt.created_at + age,
                        used_at=attempt.used_at + age if attempt.used_at else None,
                        ended_at=attempt.ended_at + age if attempt.ended_at else None,
                        outcome=attempt.outcome,
                    )
                )
    assert_in_step(fresh_database)

    for passed in (timedelta(seconds=30), timedelta(minutes=40), 3 * DAY):
        with pytest.MonkeyPatch.context() as patch:
            later = now() + passed
            for module in (listing, incidents):
                patch.setattr(module, "now", lambda later=later: later)
            patch.setitem(globals(), "now", lambda later=later: later)
            listing.refresh_due(fresh_database)
            assert_in_step(fresh_database)


def test_a_walk_leaves_its_first_times_and_the_row_in_step(walk: Walk) -> None:
    link = invited(walk.database)
    connection_id = connection_of(walk.database, link).id
    row = row_of(walk.database, connection_id)
    assert (row.code, row.turn, row.opened_at) == ("invited", "grower", None)

    started = walk.start(link)
    row = row_of(walk.database, connection_id)
    assert row.code == "authorizing"
    assert row.started_at == row.opened_at == started.began

    walk.use(started)
    walk.receive(started)
    row = row_of(walk.database, connection_id)
    assert row.consented_at is not None
    assert row.started_at == started.began
    assert_in_step(walk.database)


def test_using_a_state_up_is_seen_though_the_orm_does_not(walk: Walk) -> None:
    link = invited(walk.database)
    started = walk.start(link)
    with walk.database.transaction() as session:
        consent.use(session, walk.vault, session.get_one(Attempt, started.attempt_id))
    assert row_of(walk.database, connection_of(walk.database, link).id).code == "finishing"


def test_what_workers_write_for_themselves_leaves_the_row_alone(fresh_database: Database) -> None:
    (connection_id,) = watched(fresh_database, 1, checked_at=now())
    with fresh_database.transaction() as session:
        session.execute(sa.update(Listing).values(code="kept"))
    with fresh_database.transaction() as session:
        session.get_one(Connection, connection_id).checks += 1
    assert row_of(fresh_database, connection_id).code == "kept"
    with fresh_database.transaction() as session:
        session.get_one(Connection, connection_id).health = Health.UNAUTHENTICATED
    row = row_of(fresh_database, connection_id)
    assert (row.code, row.turn, row.health) == ("reconnect", "grower", Health.UNAUTHENTICATED)


def test_begin_and_end_of_an_incident_are_seen_on_all_rows_that_it_is_about(
    fresh_database: Database,
) -> None:
    moment = now()
    turned: dict[str, object] = {"health": Health.UNAUTHENTICATED, "health_text": "UNAUTHENTICATED"}
    ids = watched(fresh_database, 6, **turned, health_since=moment, checked_at=moment)
    watched(fresh_database, 1, **turned, health_since=moment - 9 * DAY, checked_at=moment - DAY)
    look = timedelta(minutes=10)

    incidents.look(fresh_database, share=0.2, within=look)
    listing.refresh_due(fresh_database)

    assert {row_of(fresh_database, one).code for one in ids} == {"refused_with_many"}
    assert_in_step(fresh_database)

    with fresh_database.transaction() as session:
        found = session.scalars(sa.select(Incident)).one()
        assert found.kind is IncidentKind.REFUSED
        found.began_at -= 2 * DAY
        session.flush()
        session.execute(sa.update(Connection).values(health_since=Connection.health_since))
    incidents.look(fresh_database, share=0.2, within=look)
    listing.refresh_due(fresh_database)

    assert {row_of(fresh_database, one).code for one in ids} == {"reconnect"}
    assert_in_step(fresh_database)


def test_rows_can_be_made_anew_for_what_was_loaded_in_bulk(fresh_database: Database) -> None:
    ids = watched(fresh_database, 3, checked_at=now())
    with fresh_database.transaction() as session:
        session.execute(sa.delete(Listing))
    with fresh_database.transaction() as session:
        listing.rebuild(session, ids)
    assert {row_of(fresh_database, one).code for one in ids} == {"connected"}
    assert_in_step(fresh_database)


def test_text_follows_names_and_is_compared_without_accents(fresh_database: Database) -> None:
    link = invited(fresh_database)
    connection = connection_of(fresh_database, link)
    with fresh_database.transaction() as session:
        session.get_one(Grower, link.grower_id).name = "Zoë  Łuczak & Sønner"
        session.add(
            Organization(
                connection_id=connection.id, deere_id="9", name="Straße Höfe", connected=False
            )
        )
    row = row_of(fresh_database, connection.id)
    assert row.name_key == "zoe luczak & sonner"
    assert {"zoe luczak & sonner", "grower-1", "strasse hofe"} <= set(row.text.split("\n"))
    assert connection.reference.lower() in row.text
    assert spelling.terms("LUCZAK abcd-ef23 luczak") == ["luczak", "abcdef23"]


def test_a_rolled_back_change_leaves_no_trace(fresh_database: Database) -> None:
    link = invited(fresh_database)
    connection = connection_of(fresh_database, link)
    with fresh_database.transaction() as session:
        session.get_one(Connection, connection.id).stage = Stage.FAILED
        session.flush()
        session.rollback()
    attempted(fresh_database, link, Outcome.DENIED, ended=now())
    assert row_of(fresh_database, connection.id).code == "denied"
    with fresh_database.transaction() as session:
        invitations.revoke(session, session.merge(link))
    assert_in_step(fresh_database)


def test_only_a_browser_that_shows_the_page_opens_a_link(desk: Desk) -> None:
    link = invited(desk.database)
    path = f"/c/{desk.app.extensions['onboarding'].links.token(link.id)}"
    shown = {"Sec-Fetch-Dest": "document", "Sec-Fetch-Mode": "navigate"}
    connection_id, browser = connection_of(desk.database, link).id, desk.nobody()

    for headers in ({}, {"Sec-Fetch-Dest": "empty"}, shown | {"Sec-Purpose": "prefetch"}):
        assert browser.get(path, headers=headers).status_code == 200
    browser.head(path, headers=shown)
    assert row_of(desk.database, connection_id).opened_at is None

    browser.get(path, headers=shown)
    opened = row_of(desk.database, connection_id).opened_at
    assert opened is not None
    browser.get(path, headers=shown)
    assert row_of(desk.database, connection_id).opened_at == opened
