"""Checks in the rows: which are claimed, in which order, and what an answer leaves behind."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
import sqlalchemy as sa

from onboarding.clock import now
from onboarding.connections import checks
from onboarding.connections.health import Answer
from onboarding.connections.owed import CHECK_LEASE, look, owe_check
from onboarding.db import Database
from onboarding.errors import UpstreamUnavailable
from onboarding.leaf import LeafOrganization, LeafOrganizations, Report, Summary
from onboarding.models import Connection, Event, Organization, Partner
from onboarding.states import Cause, Health, SharingTrouble, Stage, Urgency
from tests.unit.rows import watched

DAY = timedelta(days=1)
SECOND = timedelta(seconds=1)
MAPLE = LeafOrganization("1", "Maple Farm", None)
OTHER = LeafOrganization("2", "Other Farm", None)
NO_ANSWER = UpstreamUnavailable("Leaf", "read the credential", reason="no answer in time")
AS_IT_WAS = Answer(
    answered=True,
    report=Report(Health.OK, "OK"),
    organizations=LeafOrganizations((MAPLE,), ()),
)
WITHOUT = {"check_due_at", "checked_at", "leaf_listed_at"}
"""Columns that tell the time."""


def due(database: Database, urgency: Urgency, count: int, *, since: timedelta) -> list[UUID]:
    """Connections whose checks are due, the longest first."""
    return [
        watched(database, 1, check_due_at=now() - since + number * SECOND, check_urgency=urgency)[0]
        for number in range(count)
    ]


def claim(database: Database, *, looks: int = 0, others: int = 0) -> list[UUID]:
    return [one.id for one in checks.claim(database, looks=looks, others=others)]


def one(database: Database, connection_id: UUID) -> Connection:
    with database.reading() as session:
        return session.get_one(Connection, connection_id)


def put(database: Database, connection_id: UUID, **values: Any) -> None:
    with database.transaction() as session:
        session.execute(
            sa.update(Connection).where(Connection.id == connection_id).values(**values)
        )


def columns(connection: Connection) -> dict[str, Any]:
    return {
        column.key: getattr(connection, column.key)
        for column in sa.inspect(Connection).column_attrs
        if column.key not in WITHOUT
    }


def test_what_somebody_waits_for_is_claimed_first_and_a_backlog_holds_up_no_change(
    fresh_database: Database,
) -> None:
    old = due(fresh_database, Urgency.ROUTINE, 12, since=3 * DAY)
    new = due(fresh_database, Urgency.CHANGED, 12, since=timedelta(minutes=1))
    looks = due(fresh_database, Urgency.LOOK, 3, since=timedelta(seconds=20))
    assert set(claim(fresh_database, looks=2)) == set(looks[:2])
    found = claim(fresh_database, looks=2, others=8)
    assert set(found) == {looks[2], *new[:6], *old[:2]}
    # What one of them leaves the other takes.
    assert set(claim(fresh_database, others=8)) == {*new[6:12], *old[2:4]}
    assert set(claim(fresh_database, others=8)) == set(old[4:12])
    with fresh_database.reading() as session:
        assert not checks.is_any_due(session)


def test_few_at_a_time_leave_the_daily_ones_their_share(fresh_database: Database) -> None:
    old = due(fresh_database, Urgency.ROUTINE, 1, since=DAY)
    due(fresh_database, Urgency.CHANGED, 60, since=DAY)
    found = [*(claim(fresh_database, others=1)[0] for _ in range(59))]
    assert old[0] in found  # 0.75 ** 59: once in twenty million runs it is not


def test_claim_is_nobody_elses_until_its_lease_ends(fresh_database: Database) -> None:
    (watched_id,) = due(fresh_database, Urgency.ROUTINE, 1, since=DAY)
    (claimed,) = checks.claim(fresh_database, looks=0, others=1)
    assert claim(fresh_database, looks=9, others=9) == []
    assert claimed.check_number == 1
    assert claimed.check_due_at is not None
    assert now() < claimed.check_due_at <= now() + CHECK_LEASE
    put(fresh_database, watched_id, check_due_at=now())
    (again,) = checks.claim(fresh_database, looks=0, others=1)
    assert again.check_number == 2
    # Whoever comes too late with its answer is left out.
    notes: tuple[Callable[[], object], ...] = (
        lambda: checks.note(fresh_database, claimed, AS_IT_WAS),
        lambda: checks.note_nothing_new(fresh_database, [claimed]),
        lambda: checks.put_off(fresh_database, claimed.id, number=claimed.check_number),
        lambda: checks.renew(fresh_database, [claimed]),
        lambda: checks.give_back(fresh_database, [claimed]),
    )
    for note in notes:
        before = one(fresh_database, watched_id)
        note()
        after = one(fresh_database, watched_id)
        assert (columns(before), before.check_due_at) == (columns(after), after.check_due_at)
    checks.note(fresh_database, again, AS_IT_WAS)
    assert one(fresh_database, watched_id).checked_at is not None


def test_claim_can_be_kept_and_given_back(fresh_database: Database) -> None:
    (watched_id,) = due(fresh_database, Urgency.ROUTINE, 1, since=DAY)
    claimed = checks.claim(fresh_database, looks=0, others=1)
    put(fresh_database, watched_id, check_due_at=now() + SECOND)
    checks.renew(fresh_database, claimed)
    found = one(fresh_database, watched_id).check_due_at
    assert found is not None
    assert found > now() + CHECK_LEASE / 2
    checks.give_back(fresh_database, claimed)
    assert claim(fresh_database, others=1) == [watched_id]


def test_workers_that_claim_at_once_get_each_check_once(fresh_database: Database) -> None:
    watched(fresh_database, 60, check_due_at=now())

    def take(_: int) -> list[UUID]:
        found: list[UUID] = []
        while some := claim(fresh_database, others=7):
            found += some
        return found

    with ThreadPoolExecutor(3) as pool:
        found = [watched_id for taken in pool.map(take, range(3)) for watched_id in taken]
    # Rows that another holds at the moment are passed over, and come next time.
    found += take(0)
    assert len(found) == len(set(found)) == 60


def test_grower_who_is_at_john_deere_again_is_not_asked_for(fresh_database: Database) -> None:
    (watched_id,) = watched(fresh_database, 1, check_due_at=now(), stage=Stage.AUTHORIZING)
    assert claim(fresh_database, others=1) == []
    put(fresh_database, watched_id, stage=Stage.CONNECTED, check_due_at=now())
    assert claim(fresh_database, others=1) == [watched_id]


def test_owed_check_comes_at_once_and_outdates_the_one_under_way(
    fresh_database: Database,
) -> None:
    (watched_id,) = due(fresh_database, Urgency.ROUTINE, 1, since=DAY)
    (claimed,) = checks.claim(fresh_database, looks=0, others=1)
    with fresh_database.transaction() as session:
        owe_check(session.get_one(Connection, watched_id))
    checks.note(fresh_database, claimed, AS_IT_WAS)
    assert one(fresh_database, watched_id).checked_at is None
    assert claim(fresh_database, looks=1) == [watched_id]


def test_checks_come_ever_later_and_behind_those_of_recent_changes(
    fresh_database: Database,
) -> None:
    (watched_id,) = watched(fresh_database, 1)
    pauses, urgencies = [], []
    for _ in range(10):
        put(fresh_database, watched_id, check_due_at=now(), check_urgency=Urgency.LOOK)
        (claimed,) = checks.claim(fresh_database, looks=1, others=0)
        assert checks.brings_nothing_new(claimed, AS_IT_WAS)
        before = now()
        checks.note_nothing_new(fresh_database, [claimed])
        took = now() - before
        found = one(fresh_database, watched_id)
        assert found.check_due_at is not None
        pauses.append((found.check_due_at - before, took))
        urgencies.append(found.check_urgency)
    assert found.checks == 10
    for (pause, took), meant in zip(
        pauses, [*checks.PAUSES_BETWEEN_CHECKS[1:], DAY, DAY, DAY], strict=True
    ):
        assert 0.75 * meant < pause <= meant + took, (
            "never later than meant: within a day, as is told"
        )
    assert len(set(pauses[7:])) == 3, "by chance, against crowds"
    assert urgencies == [Urgency.CHANGED] * 5 + [Urgency.ROUTINE] * 5


def test_connection_that_leaf_does_not_answer_for_waits_with_the_others_in_the_end(
    fresh_database: Database,
) -> None:
    (watched_id,) = watched(fresh_database, 1)
    urgencies = []
    for _ in range(4):
        put(fresh_database, watched_id, check_due_at=now(), check_urgency=Urgency.LOOK)
        (claimed,) = checks.claim(fresh_database, looks=1, others=0)
        checks.note(fresh_database, claimed, Answer(failures=[NO_ANSWER]))
        urgencies.append(one(fresh_database, watched_id).check_urgency)
    assert urgencies == [Urgency.CHANGED] * 2 + [Urgency.ROUTINE] * 2
    found = one(fresh_database, watched_id)
    assert (found.failed_checks, found.detail) == (4, str(NO_ANSWER))


def test_nothing_new_is_written_down_as_everything_is(fresh_database: Database) -> None:
    """The short way, for many at once, leaves what the long way leaves."""
    ids = watched(fresh_database, 2, check_due_at=now(), checks=3, leaf_credential_id="c-1")
    claimed = checks.claim(fresh_database, looks=0, others=2)
    one_way, other_way = claimed
    checks.note(fresh_database, one_way, AS_IT_WAS)
    checks.note_nothing_new(fresh_database, [other_way])
    rows = [columns(one(fresh_database, watched_id)) for watched_id in ids]
    own = ("id", "grower_id", "reference")
    first, second = ({k: v for k, v in row.items() if k not in own} for row in rows)
    assert first == second
    with fresh_database.reading() as session:
        assert session.scalars(sa.select(Event)).all() == []


@pytest.mark.parametrize(
    "changes",
    [
        {"stage": Stage.HANDING_OVER},
        {"sync_owed": True},
        {"check_number": 7},
    ],
    ids=["a new consent", "the grower went to choose", "another check is owed"],
)
def test_nothing_new_passes_over_what_has_changed_meanwhile(
    fresh_database: Database, changes: dict[str, Any]
) -> None:
    (watched_id,) = watched(fresh_database, 1, check_due_at=now())
    claimed = checks.claim(fresh_database, looks=0, others=1)
    put(fresh_database, watched_id, **changes)
    before = columns(one(fresh_database, watched_id))
    checks.note_nothing_new(fresh_database, claimed)
    after = one(fresh_database, watched_id)
    assert columns(after) == before
    assert after.checked_at is None


@pytest.mark.parametrize(
    ("values", "answer"),
    [
        ({}, replace(AS_IT_WAS, report=Report(Health.UNAUTHENTICATED, "UNAUTHENTICATED"))),
        ({}, replace(AS_IT_WAS, report=Report(Health.OK, "ok"))),
        ({}, replace(AS_IT_WAS, report=Report(Health.OK, "OK", credential_id="c-2"))),
        ({}, replace(AS_IT_WAS, report=None)),
        ({}, replace(AS_IT_WAS, organizations=None, failures=[NO_ANSWER])),
        ({}, replace(AS_IT_WAS, failures=[NO_ANSWER])),
        ({}, replace(AS_IT_WAS, synced=True)),
        ({}, replace(AS_IT_WAS, organizations=LeafOrganizations((), (MAPLE,)))),
        ({}, replace(AS_IT_WAS, organizations=LeafOrganizations((MAPLE, OTHER), ()))),
        ({}, replace(AS_IT_WAS, organizations=LeafOrganizations((MAPLE,), (OTHER,)))),
        ({}, replace(AS_IT_WAS, organizations=LeafOrganizations((), ()))),
        (
            {},
            replace(
                AS_IT_WAS,
                organizations=LeafOrganizations((replace(MAPLE, name="Maple Farms"),), ()),
            ),
        ),
        (
            {},
            replace(
                AS_IT_WAS,
                organizations=LeafOrganizations((replace(MAPLE, management_uri="https://m"),), ()),
            ),
        ),
        ({"health": Health.UNKNOWN}, AS_IT_WAS),
        ({"cause": Cause.OUR_ERROR}, AS_IT_WAS),
        ({"sharing_trouble": SharingTrouble.DEERE_UNAVAILABLE}, AS_IT_WAS),
        ({"detail": "Leaf: no answer"}, AS_IT_WAS),
        ({"failed_checks": 1}, AS_IT_WAS),
        ({"sync_owed": True}, AS_IT_WAS),
        ({"selection_owed": True}, AS_IT_WAS),
        ({"connected_at": None}, AS_IT_WAS),
        ({"health_since": None}, AS_IT_WAS),
        ({"trouble_told_from": datetime(2026, 3, 1, tzinfo=UTC)}, AS_IT_WAS),
        ({}, replace(AS_IT_WAS, summary=Summary(growers=1, farms=4, fields=37))),
        ({"stage": Stage.CHOOSING_ORGANIZATIONS}, AS_IT_WAS),
    ],
)
def test_whatever_is_not_as_it_was_goes_the_long_way(
    fresh_database: Database, values: dict[str, Any], answer: Answer
) -> None:
    watched(fresh_database, 1, **{"leaf_credential_id": "c-1", **values})
    with fresh_database.reading() as session:
        connection = session.scalars(sa.select(Connection)).one()
    assert not checks.brings_nothing_new(connection, answer)


def test_choice_that_is_the_partners_own_is_owed_by_no_check(fresh_database: Database) -> None:
    watched(fresh_database, 1, leaf_credential_id="c-1", selection_owed=True)
    with fresh_database.transaction() as session:
        session.execute(sa.update(Partner).values(select_organizations=True))
    with fresh_database.reading() as session:
        connection = session.scalars(sa.select(Connection)).one()
    assert checks.brings_nothing_new(connection, AS_IT_WAS)


def test_what_leaf_leaves_out_is_no_news(fresh_database: Database) -> None:
    watched(fresh_database, 1, leaf_credential_id="c-1")
    with fresh_database.reading() as session:
        connection = session.scalars(sa.select(Connection)).one()
    connection.organizations[0].manage_url = "https://manage"
    short = replace(MAPLE, name="")
    told = replace(AS_IT_WAS, organizations=LeafOrganizations((short,), ()))
    assert checks.brings_nothing_new(connection, told)


def test_organization_that_leaf_names_no_more_is_news(fresh_database: Database) -> None:
    watched(fresh_database, 1, leaf_credential_id="c-1")
    with fresh_database.reading() as session:
        connection = session.scalars(sa.select(Connection)).one()
    told = replace(AS_IT_WAS, organizations=LeafOrganizations((MAPLE,), (OTHER,)))
    gone = Organization(deere_id="2", name="Other Farm", connected=False, member=True)
    connection.organizations.append(gone)
    assert checks.brings_nothing_new(connection, told)
    assert not checks.brings_nothing_new(connection, AS_IT_WAS)
    gone.member = False  # another farm's: Leaf need not name it
    assert checks.brings_nothing_new(connection, AS_IT_WAS)


OLD, NEW = 2 * timedelta(minutes=1), timedelta(seconds=30)


@pytest.mark.parametrize(
    ("values", "asks"),
    [
        ({"checked_at": OLD}, True),
        ({"checked_at": NEW}, False),
        ({"checked_at": OLD, "handed_over_at": NEW}, False),
        ({"checked_at": None, "handed_over_at": OLD}, True),
        ({"checked_at": OLD, "check_began_at": NEW}, False),
        ({"checked_at": OLD, "check_began_at": OLD}, True),
        ({"checked_at": OLD, "check_urgency": Urgency.LOOK}, False),
        ({"checked_at": OLD, "stage": Stage.HANDING_OVER}, False),
        ({"checked_at": OLD, "check_due_at": None}, False),
    ],
    ids=[
        "an old answer",
        "a new answer",
        "as it took it",
        "never since it took it",
        "no answer, a moment ago",
        "no answer, a while ago",
        "it is being asked",
        "not at Leaf",
        "not watched",
    ],
)
def test_look_at_an_old_answer_lets_leaf_be_asked_now(
    fresh_database: Database, values: dict[str, Any], asks: bool
) -> None:
    moments = {
        key: now() - value if isinstance(value, timedelta) else value
        for key, value in values.items()
    }
    (watched_id,) = watched(fresh_database, 1, **{"check_due_at": now() + DAY, **moments})
    before = columns(one(fresh_database, watched_id))
    with fresh_database.transaction() as session:
        assert look(session, session.get_one(Connection, watched_id)) is asks
    if asks:
        assert claim(fresh_database, looks=1) == [watched_id]
    else:
        assert columns(one(fresh_database, watched_id)) == before
        assert claim(fresh_database, looks=1) == []


def test_look_leaves_alone_what_a_worker_has_claimed_meanwhile(fresh_database: Database) -> None:
    (watched_id,) = watched(fresh_database, 1, check_due_at=now(), checked_at=now() - OLD, checks=9)
    seen = one(fresh_database, watched_id)
    claim(fresh_database, others=1)
    with fresh_database.transaction() as session:
        assert look(session, seen) is False
    assert claim(fresh_database, looks=1, others=1) == []
