"""Figures: what the worker counts is what one counts by hand."""

from __future__ import annotations

import random
from collections import Counter
from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from hypothesis import given
from hypothesis import strategies as st

from onboarding import describe
from onboarding.clock import now
from onboarding.connections import consent, incidents, listing
from onboarding.db import Database
from onboarding.models import Connection, Figure, Incident, Link, Listing
from onboarding.staff import figures, overview, words
from onboarding.states import (
    Cause,
    FigureKind,
    Health,
    IncidentKind,
    Outcome,
    SharingTrouble,
    Stage,
)
from tests.unit.rows import attempted, invited, watched
from tests.unit.test_table import TABLE

DAY = timedelta(days=1)
Found = dict[tuple[date, UUID, str], int]


def kept(database: Database, kind: FigureKind) -> Found:
    """The figures of a kind."""
    with database.reading() as session:
        found = session.scalars(sa.select(Figure).where(Figure.kind == kind)).all()
    return {(one.day, one.partner_id, one.key): one.number for one in found}


def put(database: Database, link: Link, **values: Any) -> None:
    """Change the connection of a link's grower."""
    of = Connection.grower_id == link.grower_id
    with database.transaction() as session:
        session.execute(sa.update(Connection).where(of).values(**values))
        listing.rebuild(session, session.scalars(sa.select(Connection.id).where(of)))


def scatter(database: Database, chance: random.Random, moment: datetime) -> None:
    """Connections of two partners, each in some state."""
    for number in range(30):
        link = invited(database, f"g-{number}", partner=f"p-{number % 2}")
        if chance.random() < 0.8:
            outcome = chance.choice(list(Outcome))
            attempted(database, link, outcome, ended=moment - chance.random() * DAY)
        put(
            database,
            link,
            stage=chance.choice(list(Stage)),
            health=chance.choice(list(Health)),
            health_text=chance.choice(["", "OK", "STRANGE"]),
            health_since=moment - timedelta(minutes=chance.randint(1, 90)),
            cause=chance.choice([None, *Cause]),
            sharing_trouble=chance.choice([None, *SharingTrouble]),
            token_received_at=moment - DAY,
        )
    watched(database, 3, health=Health.UNAUTHENTICATED, health_text="UNAUTHENTICATED")
    with database.transaction() as session:
        began = moment - timedelta(minutes=30)
        kind = IncidentKind.REFUSED
        session.add(Incident(kind=kind, began_at=began, turned=9, asked=9))
    with database.transaction() as session:
        listing.rebuild(session, session.scalars(sa.select(Connection.id)))


def test_what_is_told_is_counted_as_one_does_by_hand(fresh_database: Database) -> None:
    moment = now()
    today = moment.date()
    scatter(fresh_database, random.Random(12), moment)
    told: Counter[tuple[date, UUID, str]] = Counter()
    health: Counter[tuple[date, UUID, str]] = Counter()
    with fresh_database.reading() as session:
        for one in session.scalars(sa.select(Connection)):
            latest, incident = consent.latest(session, one.id), incidents.of(session, one)
            found = describe.connection(one, latest=latest, moment=moment, incident=incident)
            partner = one.grower.partner_id
            told[today, partner, f"{found.who}:{found.code}"] += 1
            health[today, partner, words.area(found.code, found.who).value] += 1
    assert any(key.endswith("refused_with_many") for _, _, key in told)

    figures.count(fresh_database, moment)

    assert kept(fresh_database, FigureKind.NOW) == told
    assert kept(fresh_database, FigureKind.HEALTH) == health


def test_health_of_yesterday_stays_while_the_rest_is_of_now(fresh_database: Database) -> None:
    link, moment = invited(fresh_database), now()
    figures.count(fresh_database, moment - DAY)
    put(fresh_database, link, stage=Stage.DISCONNECTED)
    figures.count(fresh_database, moment)

    health = kept(fresh_database, FigureKind.HEALTH)
    assert {(day, key) for day, _, key in health} == {
        ((moment - DAY).date(), "not_started"),
        (moment.date(), "ended"),
    }
    assert [key for _, _, key in kept(fresh_database, FigureKind.NOW)] == ["nobody:disconnected"]


def test_funnel_and_durations_are_those_that_one_counts_by_hand(fresh_database: Database) -> None:
    chance, moment = random.Random(5), datetime(2026, 11, 25, 12, tzinfo=UTC)
    links = [invited(fresh_database, f"g-{n}", partner=f"p-{n % 2}") for n in range(40)]
    funnel: Counter[tuple[date, UUID, str]] = Counter()
    durations: Counter[tuple[date, UUID, str]] = Counter()
    with fresh_database.transaction() as session:
        for number, link in enumerate(links):
            one = session.scalars(
                sa.select(Connection).where(Connection.grower_id == link.grower_id)
            ).one()
            walk = walked(chance, moment)
            if number == 0:
                walk["created_at"] = moment - 200 * DAY  # longer ago than is followed
            at_leaf = walk["first_connected_at"] or (
                (chance.random() < 0.5 and walk["consented_at"]) or None
            )
            session.execute(
                sa.update(Listing).where(Listing.connection_id == one.id).values(**walk)
            )
            session.execute(
                sa.update(Connection)
                .where(Connection.id == one.id)
                .values(handed_over_at=at_leaf)
                .execution_options(synchronize_session=False)
            )
            partner = one.grower.partner_id
            reached = {
                "sent": walk["created_at"],
                "opened": walk["opened_at"],
                "began": walk["started_at"],
                "consented": walk["consented_at"],
                "at_leaf": at_leaf,
                "connected": walk["first_connected_at"],
            }
            if number:
                week = overview.monday_of(walk["created_at"].date())
                funnel.update((week, partner, step) for step, at in reached.items() if at)
            if (connected := walk["first_connected_at"]) and walk["started_at"]:
                seconds = (connected - walk["started_at"]).total_seconds()
                week = overview.monday_of(connected.date())
                durations[week, partner, bound_of(seconds)] += 1

    figures.count(fresh_database, moment)

    assert kept(fresh_database, FigureKind.FUNNEL) == funnel
    assert kept(fresh_database, FigureKind.DURATION) == durations
    assert len(durations) > 3


def walked(chance: random.Random, moment: datetime) -> dict[str, datetime | Any]:
    """When a grower came how far; no step is left out."""
    at = moment - timedelta(days=chance.uniform(5, 90))
    found: dict[str, datetime | None] = {"created_at": at}
    steps = ("opened_at", "started_at", "consented_at", "first_connected_at")
    far = chance.randint(0, len(steps))
    for number, step in enumerate(steps):
        at += timedelta(seconds=chance.uniform(1, 4000))
        found[step] = at if number < far else None
    return found


def test_step_of_which_nobody_knows_when_counts_for_who_came_further(
    fresh_database: Database,
) -> None:
    link = invited(fresh_database)
    with fresh_database.transaction() as session:
        session.execute(sa.update(Listing).values(first_connected_at=now()))
        session.execute(sa.update(Connection).values(handed_over_at=now()))
    figures.count(fresh_database, now())
    assert link
    counted = kept(fresh_database, FigureKind.FUNNEL)
    assert {key for _, _, key in counted} == {step.value for step in overview.Step}


def test_counting_again_what_has_not_changed_writes_nothing(fresh_database: Database) -> None:
    scatter(fresh_database, random.Random(1), now())
    figures.count(fresh_database, now())
    written: list[str] = []

    def note(_connection: Any, _cursor: Any, statement: str, *_more: Any) -> None:
        if statement.startswith(("INSERT", "UPDATE")):
            written.append(statement)

    sa.event.listen(fresh_database.engine, "before_cursor_execute", note)
    figures.count(fresh_database, now())
    assert written == []


def bound_of(seconds: float) -> str:
    """The key under which a duration is counted."""
    bounds = (str(bound) for bound in overview.BOUNDS if seconds <= bound)
    return next(bounds, overview.LONGER)


def test_every_code_has_words_for_staff() -> None:
    codes = {line.split("|")[3].strip() for line in TABLE.strip().splitlines()}
    codes |= {outcome.value for outcome in Outcome} - {"authorized", "expired"}
    codes |= {"finishing", "took_too_long"}
    assert codes <= set(words.WORDS)


@given(st.lists(st.floats(1, 20 * 86_400), min_size=1, max_size=200))
def test_quantile_is_within_the_bounds_of_the_true_one(seconds: list[float]) -> None:
    histogram = Counter(map(bound_of, seconds))
    found = overview.quantile(histogram, 0.5)
    true = sorted(seconds)[(len(seconds) - 1) // 2]
    if found is None:
        assert true > overview.BOUNDS[-1]
    else:
        lower = max((bound for bound in overview.BOUNDS if bound < found), default=0)
        assert lower <= true <= min(bound for bound in overview.BOUNDS if bound >= found)
    assert sum(number for _, number in overview.in_parts(histogram)) == len(seconds)
