"""Incidents: many that turn at once are one matter, and few are none."""

from __future__ import annotations

import logging
import threading
from datetime import datetime, timedelta
from typing import Any

import pytest
import sqlalchemy as sa

from onboarding import describe
from onboarding.clock import now
from onboarding.connections import attention, incidents
from onboarding.connections.incidents import LEAST
from onboarding.db import Database
from onboarding.models import Connection, Grower, Incident, Partner
from onboarding.states import Health, Service, Stage
from tests.unit.cases import NOW, Case

SHARE = 0.2
WITHIN = timedelta(minutes=10)
PAUSE = Health.TEMPORARILY_UNAVAILABLE
HOUR = timedelta(hours=1)


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


def look(database: Database) -> None:
    incidents.look(database, share=SHARE, within=WITHIN)


def present(database: Database) -> Incident | None:
    with database.reading() as session:
        return incidents.present(session)


def heal(database: Database, *, all_but: int = 0) -> None:
    """Let Leaf say OK of those that had turned."""
    moment = now()
    with database.transaction() as session:
        turned = session.scalars(sa.select(Connection).where(Connection.health != Health.OK)).all()
        for connection in turned[all_but:]:
            connection.health, connection.health_text = Health.OK, "OK"
            connection.health_since = connection.checked_at = moment


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
    fresh_database: Database, turned: int, well: int, is_incident: bool
) -> None:
    add(fresh_database, turned, PAUSE)
    add(fresh_database, well, Health.OK, since=now() - HOUR)

    look(fresh_database)
    look(fresh_database)

    found = present(fresh_database)
    assert (found is not None) is is_incident
    if found is not None:
        assert (found.turned, found.asked) == (turned, turned + well)
        assert found.service is Service.JOHN_DEERE


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
        (Health.UNAUTHENTICATED, "UNAUTHENTICATED", Stage.CONNECTED),
        (Health.MISSING_PERMISSION, "MISSING_PERMISSION", Stage.CONNECTED),
        (Health.UNKNOWN, "", Stage.CONNECTED),
        (PAUSE, PAUSE.value, Stage.DISCONNECTED),
        (PAUSE, PAUSE.value, Stage.FAILED),
    ],
)
def test_what_is_about_the_grower_is_no_incident_however_many(
    fresh_database: Database, health: Health, word: str, stage: Stage
) -> None:
    add(fresh_database, 3 * LEAST, health, word=word, stage=stage)

    look(fresh_database)

    assert present(fresh_database) is None


def test_an_incident_lasts_until_few_are_left(fresh_database: Database) -> None:
    add(fresh_database, 4 * LEAST, PAUSE)
    look(fresh_database)

    heal(fresh_database, all_but=3 * LEAST)
    look(fresh_database)
    assert present(fresh_database) is not None

    heal(fresh_database, all_but=LEAST - 1)
    look(fresh_database)
    assert present(fresh_database) is None


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


def test_two_sweeps_at_once_find_one_incident_and_alarm_once(
    fresh_database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    add(fresh_database, 2 * LEAST, PAUSE)
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
    assert [record.levelname for record in caplog.records].count("ERROR") == 1


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

    add(fresh_database, LEAST, PAUSE)
    sa.event.listen(engine, "after_cursor_execute", note)
    look(fresh_database)
    look(fresh_database)
    sa.event.remove(engine, "after_cursor_execute", note)

    counts = [plan for plan in seen if plan]
    assert len(counts) >= 4
    for plan in counts:
        assert "ix_connection_turned" in plan or "ix_connection_checked_at" in plan, plan


def _plan(engine: sa.Engine, statement: str, parameters: Any) -> str:
    """How the database goes about a query; with this few rows it would rather read the table."""
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


def test_a_pause_that_is_told_anyway_is_not_told_twice() -> None:
    case = Case(Stage.CONNECTED, PAUSE, organizations="shared")
    subject, told = case.connection(), case.told()
    assert told.code == "temporarily_unavailable"

    assert describe.incident_for_growers(subject, told, service=Service.JOHN_DEERE) is None
    assert describe.incident_for_growers(subject, told, service=None) is None
    subject.trouble_told_from = NOW + HOUR
    told = describe.connection(subject, latest=None, moment=NOW)
    assert describe.incident_for_growers(subject, told, service=Service.JOHN_DEERE) is not None
