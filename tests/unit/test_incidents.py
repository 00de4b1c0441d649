"""Incidents: many that turn at once are one matter, and few are none."""

from __future__ import annotations

import logging
import threading
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest
import sqlalchemy as sa

from onboarding import describe
from onboarding.clock import now
from onboarding.connections import attention, incidents, pace
from onboarding.connections.incidents import LASTS_AT_MOST, LEAST
from onboarding.db import Database
from onboarding.models import Connection, Grower, Incident, Pace, Partner
from onboarding.states import OF_APPLICATION, Health, IncidentKind, Outcome, Service, Stage
from tests.unit.cases import NOW, WITH_MANY, Case

SHARE = 0.2
WITHIN = timedelta(minutes=10)
PAUSE = Health.TEMPORARILY_UNAVAILABLE
REFUSED = Health.UNAUTHENTICATED
MANY = 500
"""Connections that are well."""
HOUR = timedelta(hours=1)
DAY = timedelta(days=1)
WORDS = {
    IncidentKind.PAUSE: PAUSE,
    IncidentKind.REFUSED: REFUSED,
    IncidentKind.LIMITED: Health.MISSING_PERMISSION,
}

each_kind = pytest.mark.parametrize("kind", IncidentKind)
of_application = pytest.mark.parametrize("kind", sorted(OF_APPLICATION))


def add(
    database: Database,
    number: int,
    health: Health,
    *,
    word: str | None = None,
    checked: datetime | None = None,
    since: datetime | None = None,
    stage: Stage = Stage.CONNECTED,
) -> None:
    """Connections that Leaf was asked about just now, and that turned just now."""
    moment = now()
    with database.transaction() as session:
        partner = session.scalar(sa.select(Partner)) or Partner(
            slug="demo", name="Demo Co-op", created_at=moment
        )
        before = session.scalar(sa.select(sa.func.count()).select_from(Grower)) or 0
        for place in range(number):
            grower = Grower(
                partner=partner, external_id=f"g-{before + place}", name="F", created_at=moment
            )
            session.add(grower)
            session.flush()
            session.add(
                Connection(
                    grower_id=grower.id,
                    stage=stage,
                    health=health,
                    health_text=health.value if word is None else word,
                    health_since=since or moment,
                    checked_at=checked or moment,
                    created_at=moment,
                )
            )


def look(database: Database, *, within: timedelta = WITHIN) -> None:
    incidents.look(database, share=SHARE, within=within)


def all_present(database: Database) -> dict[IncidentKind, Incident]:
    with database.reading() as session:
        return {one.kind: one for one in incidents.present(session)}


def present(database: Database, kind: IncidentKind = IncidentKind.PAUSE) -> Incident | None:
    return all_present(database).get(kind)


def change(database: Database, **values: Any) -> None:
    """Set fields of all connections."""
    with database.transaction() as session:
        session.execute(sa.update(Connection).values(**values))


def let_pass(database: Database, time: timedelta) -> None:
    """Let all that has happened have happened so much earlier."""
    with database.transaction() as session:
        for row in session.scalars(sa.select(Connection)).all():
            row.health_since = row.health_since and row.health_since - time
        for incident in session.scalars(sa.select(Incident)).all():
            incident.began_at -= time


def heal(database: Database, *, all_but: int = 0) -> None:
    """Let Leaf say OK of those that had turned."""
    moment = now()
    with database.transaction() as session:
        turned = session.scalars(sa.select(Connection).where(Connection.health != Health.OK)).all()
        for connection in turned[all_but:]:
            connection.health, connection.health_text = Health.OK, "OK"
            connection.health_since = connection.checked_at = moment


@each_kind
@pytest.mark.parametrize(
    ("turned", "well", "is_incident"),
    [
        (LEAST, 4 * LEAST, True),
        (LEAST, 4 * LEAST + 1, False),
        (LEAST - 1, 0, False),
        (3 * LEAST, LEAST, True),
        (0, 3 * LEAST, False),
    ],
)
def test_many_that_turn_at_once_are_one_incident(
    fresh_database: Database, kind: IncidentKind, turned: int, well: int, is_incident: bool
) -> None:
    add(fresh_database, turned, WORDS[kind])
    add(fresh_database, well, Health.OK, since=now() - HOUR)

    look(fresh_database)
    look(fresh_database)

    found = all_present(fresh_database)
    assert set(found) == ({kind} if is_incident else set())
    if is_incident:
        assert (found[kind].turned, found[kind].asked) == (turned, turned + well)


def test_what_leaf_was_not_asked_about_lately_is_not_taken_for_well(
    fresh_database: Database,
) -> None:
    """Each is asked about once a day: of all connections ten minutes see a few only."""
    add(fresh_database, 40, Health.OK, since=now() - HOUR, checked=now() - HOUR)
    add(fresh_database, LEAST, PAUSE)

    look(fresh_database)

    assert present(fresh_database) is not None


def test_pauses_that_came_one_by_one_are_no_incident(fresh_database: Database) -> None:
    add(fresh_database, 3 * LEAST, PAUSE, since=now() - HOUR)

    look(fresh_database)

    assert present(fresh_database) is None


@pytest.mark.parametrize(
    ("health", "word", "stage"),
    [
        (Health.UNKNOWN, "", Stage.CONNECTED),
        (REFUSED, REFUSED.value, Stage.HANDING_OVER),
        (REFUSED, REFUSED.value, Stage.DISCONNECTED),
        (Health.MISSING_PERMISSION, "MISSING_PERMISSION", Stage.DISCONNECTING),
        (PAUSE, PAUSE.value, Stage.DISCONNECTED),
        (PAUSE, PAUSE.value, Stage.FAILED),
    ],
)
def test_no_word_of_now_is_no_incident_however_many(
    fresh_database: Database, health: Health, word: str, stage: Stage
) -> None:
    add(fresh_database, 3 * LEAST, health, word=word, stage=stage)

    look(fresh_database)

    assert all_present(fresh_database) == {}


def test_what_is_not_the_same_is_not_added_up(fresh_database: Database) -> None:
    for word in WORDS.values():
        add(fresh_database, LEAST - 1, word)

    look(fresh_database)

    assert all_present(fresh_database) == {}


def test_incidents_of_two_kinds_begin_and_end_each_for_itself(fresh_database: Database) -> None:
    add(fresh_database, LEAST, PAUSE)
    add(fresh_database, LEAST, REFUSED)
    look(fresh_database)
    assert set(all_present(fresh_database)) == {IncidentKind.PAUSE, IncidentKind.REFUSED}

    with fresh_database.transaction() as session:
        mended = sa.update(Connection).where(Connection.health == PAUSE)
        session.execute(mended.values(health=Health.OK, health_text="OK", health_since=now()))
    look(fresh_database)

    assert set(all_present(fresh_database)) == {IncidentKind.REFUSED}


@pytest.mark.parametrize(("others", "is_incident"), [(500, True), (700, False)])
def test_those_that_alerts_let_us_ask_about_are_not_taken_for_all(
    fresh_database: Database, others: int, is_incident: bool
) -> None:
    """Of 600 connections 25 are asked about in an hour anyway: five of them are a fifth."""
    add(fresh_database, others, Health.OK, since=now() - DAY, checked=now() - 2 * HOUR)
    add(fresh_database, LEAST, REFUSED)

    look(fresh_database, within=HOUR)

    assert (present(fresh_database, IncidentKind.REFUSED) is not None) is is_incident


@each_kind
def test_an_incident_lasts_until_few_are_left(fresh_database: Database, kind: IncidentKind) -> None:
    add(fresh_database, 4 * LEAST, WORDS[kind])
    look(fresh_database)

    heal(fresh_database, all_but=LEAST)
    look(fresh_database)
    assert present(fresh_database, kind) is not None

    heal(fresh_database, all_but=LEAST - 1)
    look(fresh_database)
    assert present(fresh_database, kind) is None


@of_application
def test_an_incident_of_ours_ends_after_a_day_and_does_not_begin_anew(
    fresh_database: Database, kind: IncidentKind
) -> None:
    """Five growers who have really withdrawn it must not wait for ever."""
    add(fresh_database, LEAST, WORDS[kind])
    look(fresh_database)
    let_pass(fresh_database, LASTS_AT_MOST - timedelta(minutes=1))
    look(fresh_database)
    assert present(fresh_database, kind) is not None

    let_pass(fresh_database, timedelta(minutes=1))
    look(fresh_database)
    look(fresh_database, within=2 * DAY)
    assert present(fresh_database, kind) is None

    add(fresh_database, LEAST, WORDS[kind])
    look(fresh_database, within=2 * DAY)
    found = present(fresh_database, kind)
    assert found is not None, "others have turned"
    assert found.turned == LEAST


def test_a_pause_at_john_deere_may_last_longer_than_a_day(fresh_database: Database) -> None:
    add(fresh_database, LEAST, PAUSE)
    look(fresh_database)
    let_pass(fresh_database, 2 * DAY)

    look(fresh_database)

    assert present(fresh_database) is not None


@each_kind
def test_what_was_so_before_does_not_keep_an_incident_going(
    fresh_database: Database, kind: IncidentKind
) -> None:
    """Growers who withdrew a permission long ago are asked about like all others."""
    add(fresh_database, 3 * LEAST, WORDS[kind], since=now() - 2 * DAY)
    add(fresh_database, LEAST, WORDS[kind])
    look(fresh_database)
    assert present(fresh_database, kind) is not None

    add(fresh_database, 16 * LEAST, Health.OK)
    look(fresh_database)

    assert present(fresh_database, kind) is None


@of_application
def test_only_what_turned_within_an_incident_of_ours_has_it(
    fresh_database: Database, kind: IncidentKind
) -> None:
    def has_it() -> list[bool]:
        with fresh_database.reading() as session:
            rows = session.scalars(sa.select(Connection).order_by(Connection.health_since)).all()
            return [incidents.of(session, row) is kind for row in rows]

    add(fresh_database, 1, WORDS[kind], since=now() - HOUR)
    add(fresh_database, LEAST, WORDS[kind])
    assert not any(has_it())

    look(fresh_database)
    assert has_it() == [False] + [True] * LEAST

    for values in (
        {"health": Health.OK},
        {"health": PAUSE},
        {"health": WORDS[kind], "stage": Stage.HANDING_OVER},
    ):
        change(fresh_database, **values)
        assert not any(has_it()), values
    change(fresh_database, stage=Stage.CHOOSING_ORGANIZATIONS)
    assert any(has_it())
    with fresh_database.transaction() as session:
        session.execute(sa.update(Incident).values(ended_at=now()))
    assert not any(has_it())


def test_only_a_pause_is_told_to_those_who_have_nothing_of_it(fresh_database: Database) -> None:
    def troubled() -> Service | None:
        with fresh_database.reading() as session:
            return incidents.troubled_service(session)

    for kind in sorted(OF_APPLICATION):
        add(fresh_database, LEAST, WORDS[kind])
    look(fresh_database)
    assert set(all_present(fresh_database)) == OF_APPLICATION
    assert troubled() is None

    add(fresh_database, 2 * LEAST, PAUSE)
    look(fresh_database)
    assert troubled() is Service.JOHN_DEERE


@each_kind
def test_staff_read_what_was_seen_and_what_to_look_at(kind: IncidentKind) -> None:
    text = describe.incident_for_staff(Incident(kind=kind, began_at=NOW, turned=37, asked=120))

    assert "since 2026-11-22 12:00 UTC" in text
    assert "of 120 connections" in text
    assert "37" in text
    if kind in OF_APPLICATION:
        assert WORDS[kind].value in text
        assert "DEERE_CLIENT_KEY" in text
        assert "DEERE_ENVIRONMENT" in text


def test_an_incident_is_over_once_those_asked_about_are_well_again(
    fresh_database: Database,
) -> None:
    """Those whose turn has not come yet keep their last word for an hour."""
    moment = now()
    add(fresh_database, 2 * LEAST, PAUSE, checked=moment)
    look(fresh_database)
    with fresh_database.transaction() as session:
        session.execute(sa.update(Connection).values(checked_at=moment - HOUR))
    look(fresh_database)
    assert present(fresh_database) is not None, "nobody has been asked about, so nobody knows"

    add(fresh_database, LEAST, Health.OK)
    look(fresh_database)

    assert present(fresh_database) is None


def test_an_incident_ends_at_half_of_what_it_begins_at(fresh_database: Database) -> None:
    """Else one that wavers about a fifth would end and begin by turns."""
    add(fresh_database, 20, PAUSE)
    add(fresh_database, 80, Health.OK, since=now() - HOUR)
    look(fresh_database)

    heal(fresh_database, all_but=12)
    look(fresh_database)
    assert present(fresh_database) is not None

    heal(fresh_database, all_but=9)
    look(fresh_database)
    assert present(fresh_database) is None


def test_leaf_being_down_is_told_to_growers_without_an_incident(fresh_database: Database) -> None:
    with fresh_database.transaction() as session:
        session.add(Pace(service=pace.SERVICE, next_at=now(), down_since=now()))
    with fresh_database.reading() as session:
        assert incidents.troubled_service(session) is Service.LEAF


def test_an_incident_is_told_as_at_its_worst(fresh_database: Database) -> None:
    add(fresh_database, LEAST, PAUSE)
    look(fresh_database)
    add(fresh_database, 2 * LEAST, PAUSE)

    look(fresh_database)

    found = present(fresh_database)
    assert found is not None
    assert (found.turned, found.asked) == (3 * LEAST, 3 * LEAST)
    assert f"of {3 * LEAST} connections" in describe.incident_for_staff(found)


def test_a_second_incident_is_another_one(fresh_database: Database) -> None:
    for _ in range(2):
        add(fresh_database, LEAST, PAUSE)
        look(fresh_database)
        heal(fresh_database)
        look(fresh_database)

    with fresh_database.reading() as session:
        ended = session.scalars(sa.select(Incident.ended_at)).all()
    assert len(ended) == 2
    assert None not in ended


@each_kind
def test_sweeps_at_once_find_one_incident_and_alarm_once(
    fresh_database: Database, caplog: pytest.LogCaptureFixture, kind: IncidentKind
) -> None:
    add(fresh_database, 2 * LEAST, WORDS[kind])
    together = threading.Barrier(4)
    failures: list[BaseException] = []

    def sweep() -> None:
        try:
            together.wait()
            look(fresh_database)
        except BaseException as err:
            failures.append(err)

    with caplog.at_level(logging.ERROR):
        threads = [threading.Thread(target=sweep) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    assert failures == []
    with fresh_database.reading() as session:
        assert session.scalar(sa.select(sa.func.count()).select_from(Incident)) == 1
    (alarm,) = [one.message for one in caplog.records if one.levelname == "ERROR"]
    assert f"of {2 * LEAST} connections" in alarm


def test_words_that_nobody_knows_wait_for_staff_one_by_one_unless_many_turn(
    fresh_database: Database,
) -> None:
    def waiting() -> int:
        with fresh_database.reading() as session:
            return attention.count(session)

    add(fresh_database, 1, Health.UNKNOWN, word="STRANGE", since=now() - HOUR)
    assert waiting() == 1
    add(fresh_database, 2 * LEAST, Health.UNKNOWN, word="STRANGE")
    assert waiting() == 1 + 2 * LEAST

    look(fresh_database)
    assert waiting() == 1, "only the one that turned before"

    with fresh_database.transaction() as session:
        session.execute(sa.update(Incident).values(ended_at=now()))
    assert waiting() == 1 + 2 * LEAST

    add(fresh_database, 2 * LEAST, REFUSED)
    look(fresh_database)
    assert set(all_present(fresh_database)) == {IncidentKind.REFUSED}
    assert waiting() == 1 + 2 * LEAST, "another incident says nothing about them"


def test_counting_reads_no_more_than_what_turned_or_was_asked_about(
    fresh_database: Database,
) -> None:
    engine = fresh_database.engine
    seen: list[str] = []

    def note(
        _conn: object, _cursor: object, statement: str, parameters: object, *_: object
    ) -> None:
        if statement.startswith("SELECT") and "connection" in statement:
            seen.append(_plan(engine, statement, parameters))

    long_ago = now() - DAY
    for word in WORDS.values():
        add(fresh_database, LEAST, word)
    # With few rows, or an old count of them, a database would rather read all.
    add(fresh_database, MANY, Health.OK, checked=long_ago, since=long_ago)
    with engine.begin() as connection:
        connection.execute(sa.text("ANALYZE"))
    sa.event.listen(engine, "after_cursor_execute", note)
    look(fresh_database)
    look(fresh_database)
    sa.event.remove(engine, "after_cursor_execute", note)

    assert len(all_present(fresh_database)) == len(IncidentKind)
    assert len(seen) >= 4 * len(IncidentKind)
    for plan in seen:
        assert "ix_connection_turned" in plan or "ix_connection_checked_at" in plan, plan


def _plan(engine: sa.Engine, statement: str, parameters: Any) -> str:
    """How the database goes about a query, if it may not read the table."""
    raw = engine.raw_connection()
    try:
        cursor = raw.cursor()
        word = "EXPLAIN"
        if engine.dialect.name == "postgresql":
            cursor.execute("SET enable_seqscan = off")
        else:
            word = "EXPLAIN QUERY PLAN"
        cursor.execute(f"{word} {statement}", parameters)
        found = str(cursor.fetchall())
        raw.rollback()
        return found
    finally:
        raw.close()


@pytest.mark.parametrize("service", Service)
@pytest.mark.parametrize("stage", Stage)
def test_growers_read_of_an_incident_where_it_concerns_them(stage: Stage, service: Service) -> None:
    case = Case(stage, Health.OK, organizations="shared")
    told = case.told()

    text = describe.incident_for_growers(case.connection(), told, service=service)

    at_leaf = stage in {Stage.HANDING_OVER, Stage.CHOOSING_ORGANIZATIONS, Stage.CONNECTED}
    assert (text is not None) is at_leaf
    if text is not None:
        assert text.startswith(service.value)
        assert ("You do not have to do anything." in text) is (told.who != "grower")


def test_who_has_to_act_is_not_told_to_do_nothing() -> None:
    case = Case(Stage.CONNECTED, Health.UNAUTHENTICATED, organizations="shared")

    text = describe.incident_for_growers(case.connection(), case.told(), service=Service.JOHN_DEERE)

    assert text is not None
    assert "do not have to do" not in text


def test_a_grower_with_many_others_is_asked_for_nothing_but_can_still_connect_again() -> None:
    told = Case(
        Stage.CONNECTED, REFUSED, organizations="shared", incident=IncidentKind.REFUSED
    ).told()

    assert told.action is None
    assert [one.kind for one in told.others] == ["start"]
    assert told.show_contact


def test_who_tries_in_vain_while_our_application_is_refused_is_told_both() -> None:
    told = Case(
        Stage.CONNECTED,
        REFUSED,
        outcome=Outcome.APPLICATION_REFUSED,
        organizations="shared",
        incident=IncidentKind.REFUSED,
    ).told()

    assert told.code == "refused_with_many"
    assert any(sentence.startswith("Your last attempt:") for sentence in told.sentences)


@pytest.mark.parametrize("incident", [None, *IncidentKind])
@pytest.mark.parametrize("health", Health)
def test_an_incident_is_told_of_those_alone_that_have_it(
    health: Health, incident: IncidentKind | None
) -> None:
    case = Case(Stage.CONNECTED, health, organizations="shared")
    has_it = incident in WITH_MANY.get(health, [])

    told = replace(case, incident=incident).told()

    assert (told.code in {"refused_with_many", "limited_with_many"}) is has_it
    assert (told == case.told()) is not has_it


def test_a_pause_that_is_told_anyway_is_not_told_twice() -> None:
    case = Case(Stage.CONNECTED, PAUSE, organizations="shared")
    subject, told = case.connection(), case.told()
    assert told.code == "temporarily_unavailable"

    assert describe.incident_for_growers(subject, told, service=Service.JOHN_DEERE) is None
    assert describe.incident_for_growers(subject, told, service=None) is None
    subject.trouble_told_from = NOW + HOUR
    told = describe.connection(subject, latest=None, moment=NOW)
    assert describe.incident_for_growers(subject, told, service=Service.JOHN_DEERE) is not None
