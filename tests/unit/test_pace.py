"""The pace at which Leaf is asked, by several processes on one database."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa

from onboarding.connections import pace
from onboarding.connections.pace import NotNow, Rank, Turns
from onboarding.connections.pace.closing import (
    FAILURES_FORGOTTEN,
    FAILURES_OF_AN_OUTAGE,
    LONGEST_ASKED_FOR,
)
from onboarding.connections.pace.row import moment_of
from onboarding.connections.pace.turns import LATE
from onboarding.db import Database
from onboarding.errors import UpstreamError, UpstreamRejected, UpstreamUnavailable
from onboarding.leaf import Leaf
from onboarding.models import Pace
from tests.support.wait import wait_until
from tests.unit.failures import FAILURES, PATIENT, Server

HOUR = timedelta(hours=1)
PER_MINUTE = 1200
"""One turn in a twentieth of a second."""
UNHURRIED = 20
"""One turn in three seconds: no disk is so slow that a thread misses its turn."""
USERS = "/services/usermanagement/api/users"


def failure(status: int | None = 503, retry_after: float | None = None) -> UpstreamUnavailable:
    return UpstreamUnavailable("Leaf", "ask", status=status, retry_after=retry_after)


def row(database: Database) -> Pace:
    with database.reading() as session:
        return session.get_one(Pace, pace.SERVICE)


def put(database: Database, **values: Any) -> None:
    with database.transaction() as session:
        session.execute(sa.update(Pace).values(**values))


def take(turns: Turns, rank: Rank = Rank.HAND_OVER) -> float:
    """When the turn came."""
    turns.of(rank).before()
    return time.monotonic()


def goes_on(turns: Turns) -> bool:
    """Whether a check may ask."""
    try:
        take(turns, Rank.ROUTINE)
    except NotNow:
        return False
    return True


def told(turns: Turns, times: int = 1, **kind: Any) -> None:
    for _ in range(times):
        turns.of(Rank.ROUTINE).after(failure(**kind))


def pause(database: Database) -> float:
    """Seconds for which nobody may ask."""
    found = row(database)
    with database.reading() as session:
        assert found.closed_until is not None
        return (found.closed_until - moment_of(session)).total_seconds()


def let_the_pause_pass(database: Database) -> None:
    with database.reading() as session:
        moment = moment_of(session)
    put(database, closed_until=moment)


@contextmanager
def waiting(turns: Turns, *ranks: Rank) -> Iterator[Callable[[], list[Rank]]]:
    """Threads that wait for turns of these ranks, begun in this order.

    :return: says whose turns have come, in order
    """
    came: list[Rank] = []

    def go(rank: Rank) -> None:
        turns.of(rank).before()
        came.append(rank)

    with ThreadPoolExecutor(len(ranks)) as pool:
        begun = []
        for number, rank in enumerate(ranks, start=1):
            begun.append(pool.submit(go, rank))
            while len(turns._queue) + len(came) < number:
                time.sleep(0.01)
        yield lambda: list(came)
        wait(begun)
        for one in begun:
            one.result()


def test_turns_of_all_processes_together_are_spread_over_the_minute(
    fresh_database: Database,
) -> None:
    processes = [Turns(fresh_database, per_minute=PER_MINUTE) for _ in range(2)]
    with ThreadPoolExecutor(6) as pool:
        until = time.monotonic() + 2
        came: list[float] = []

        def ask(turns: Turns) -> None:
            while (moment := take(turns, Rank.ROUTINE)) < until:
                came.append(moment)

        for asked in [pool.submit(ask, processes[number % 2]) for number in range(6)]:
            asked.result()
    came.sort()
    a_second = PER_MINUTE / 60
    for number, moment in enumerate(came):
        in_a_second = sum(moment <= other < moment + 1 for other in came[number:])
        # None may be later than this, so no more can fall together.
        assert in_a_second <= a_second * (1 + LATE) + 1
    assert len(came) > 2, "both went on"


def test_turn_that_was_missed_is_lost(fresh_database: Database) -> None:
    passed = [0.0]
    turns = Turns(fresh_database, per_minute=PER_MINUTE, clock=lambda: time.monotonic() + passed[0])
    take(turns)
    left = turns._left
    assert left > 2
    passed[0] = LATE + 3 * turns._interval
    turns._lose_what_is_late()
    assert turns._left < left
    passed[0] = 3600
    turns._lose_what_is_late()
    assert turns._left == 0


def test_hand_over_comes_before_checks_and_a_look_before_the_others(
    fresh_database: Database,
) -> None:
    turns = Turns(fresh_database, per_minute=UNHURRIED)
    take(turns, Rank.ROUTINE)
    ranks = [Rank.ROUTINE, Rank.ROUTINE, Rank.LOOK, Rank.HAND_OVER]
    with waiting(turns, *ranks) as came:
        wait_until(lambda: len(came()) == len(ranks), what="all had their turn")
    assert came() == sorted(ranks)


def test_checks_of_every_process_stand_back_while_hand_overs_queue_up(
    fresh_database: Database,
) -> None:
    hands, checks = (Turns(fresh_database, per_minute=UNHURRIED) for _ in range(2))
    take(hands)
    with waiting(hands, Rank.HAND_OVER, Rank.HAND_OVER) as came:
        wait_until(came, what="the first of them had its turn")
        until = row(fresh_database).hand_overs_until
        assert until is not None
        with waiting(checks, Rank.ROUTINE) as checked:
            wait_until(lambda: len(came()) == 2, what="the hand-overs had their turns")
            assert checked() == []
    assert checked() == [Rank.ROUTINE]


def test_clock_that_was_put_back_stops_nobody(fresh_database: Database) -> None:
    turns = Turns(fresh_database, per_minute=PER_MINUTE)
    take(turns)
    moment = row(fresh_database).next_at
    put(fresh_database, next_at=moment + HOUR, hand_overs_until=moment + HOUR)
    take(Turns(fresh_database, per_minute=PER_MINUTE), Rank.ROUTINE)
    put(fresh_database, closed_until=moment + 2 * HOUR)
    with pytest.raises(UpstreamUnavailable) as found:
        take(Turns(fresh_database, per_minute=PER_MINUTE))
    assert found.value.retry_after is not None
    assert found.value.retry_after <= LONGEST_ASKED_FOR.total_seconds()


def test_processes_that_begin_at_once_share_one_row(fresh_database: Database) -> None:
    barrier = threading.Barrier(4)

    def begin(_: int) -> None:
        turns = Turns(fresh_database, per_minute=PER_MINUTE)
        barrier.wait(30)
        take(turns)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(begin, range(4)))
    with fresh_database.reading() as session:
        assert session.scalar(sa.select(sa.func.count()).select_from(Pace)) == 1


def test_429_stops_everybody_for_as_long_as_leaf_asks(fresh_database: Database) -> None:
    one, other = (Turns(fresh_database, per_minute=PER_MINUTE) for _ in range(2))
    take(one)
    told(one, status=429, retry_after=100)
    assert 90 < pause(fresh_database) <= 100
    for turns in (one, other):
        with pytest.raises(NotNow):
            take(turns, Rank.ROUTINE)
        with pytest.raises(UpstreamUnavailable, match="HTTP 429") as found:
            take(turns)
        assert 90 < (found.value.retry_after or 0) <= 100
    with fresh_database.reading() as session:
        known = pace.word(session)
        assert (known.down_since, known.paused_until is not None) == (None, True)
        assert pace.word(session).down_since is None
    let_the_pause_pass(fresh_database)
    wait_until(lambda: goes_on(other), what="who was told it asks again")
    with fresh_database.reading() as session:
        assert pace.word(session) == pace.Word()


def test_pause_that_leaf_asks_for_has_an_end(fresh_database: Database) -> None:
    told(Turns(fresh_database, per_minute=PER_MINUTE), status=429, retry_after=24 * 3600)
    assert 3500 < pause(fresh_database) <= 3600


def test_pause_that_leaf_asks_for_is_kept(fresh_database: Database) -> None:
    told(Turns(fresh_database, per_minute=PER_MINUTE), status=429, retry_after=3000)
    assert 2900 < pause(fresh_database) <= 3000


def test_pauses_after_429_without_a_word_grow_until_a_minute_is_well(
    fresh_database: Database,
) -> None:
    turns = Turns(fresh_database, per_minute=PER_MINUTE)
    pauses = []
    for _ in range(4):
        told(turns, times=3, status=429)  # of one moment: they count once
        pauses.append(round(pause(fresh_database)))
        let_the_pause_pass(fresh_database)
    assert pauses == [5, 10, 20, 40]
    found = row(fresh_database).closed_until
    assert found is not None
    put(fresh_database, closed_until=found - timedelta(seconds=61))
    told(turns, status=429)
    assert round(pause(fresh_database)) == 5


def test_hand_over_waits_out_a_short_pause(fresh_database: Database) -> None:
    turns = Turns(fresh_database, per_minute=PER_MINUTE)
    told(turns, status=429, retry_after=1)
    take(turns)
    with fresh_database.reading() as session:
        assert pace.word(session).paused_until is None


def test_failures_in_a_row_of_all_processes_close_the_way_for_all(
    fresh_database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    processes = [Turns(fresh_database, per_minute=PER_MINUTE) for _ in range(2)]
    for number in range(FAILURES_OF_AN_OUTAGE - 1):
        told(processes[number % 2], status=[None, 500, 503][number % 3])
    with fresh_database.reading() as session:
        assert pace.word(session).down_since is None
    told(processes[0])
    with fresh_database.reading() as session:
        assert pace.word(session).down_since is not None
        assert "HTTP 503" in pace.word(session).reason
    for turns in processes:
        with pytest.raises(NotNow):
            take(turns, Rank.LOOK)
        with pytest.raises(
            UpstreamUnavailable, match="nobody asks just now, since Leaf: ask: HTTP 503"
        ) as found:
            take(turns)
        assert found.value.retry_after is None, "the hand-over's own pauses count"
    told(processes[1], times=20)  # were on their way
    assert [one.levelname for one in caplog.records if "is down" in one.message] == ["ERROR"]


@pytest.mark.parametrize(
    "between", [None, UpstreamRejected("Leaf", "ask", status=404)], ids=["answer", "refusal"]
)
def test_failures_among_answers_close_nothing(
    fresh_database: Database, between: UpstreamError | None
) -> None:
    one = Turns(fresh_database, per_minute=PER_MINUTE)
    for _ in range(3):
        told(one, times=FAILURES_OF_AN_OUTAGE - 1)
        other = Turns(fresh_database, per_minute=PER_MINUTE)
        take(other)  # with its lease it learns of them
        other.of(Rank.ROUTINE).after(between)
    with fresh_database.reading() as session:
        assert pace.word(session).down_since is None


def test_failures_far_apart_close_nothing(fresh_database: Database) -> None:
    turns = Turns(fresh_database, per_minute=PER_MINUTE)
    for _ in range(FAILURES_OF_AN_OUTAGE + 1):
        told(turns)
        failed = row(fresh_database).failed_at
        assert failed is not None
        put(fresh_database, failed_at=failed - FAILURES_FORGOTTEN)
    with fresh_database.reading() as session:
        assert pace.word(session).down_since is None


@pytest.fixture
def leaf(server: Server) -> Leaf:
    server.json("POST", "/api/authenticate", {"id_token": "token-1"})
    return Leaf(server.url, "owner@example.com", "owner password", timeout=PATIENT)


def test_one_process_tries_ever_later_whether_leaf_is_back(
    fresh_database: Database, leaf: Leaf, server: Server
) -> None:
    processes = [Turns(fresh_database, per_minute=PER_MINUTE) for _ in range(2)]
    told(processes[0], times=FAILURES_OF_AN_OUTAGE)
    server.fail("GET", USERS, FAILURES["503"])
    pauses = [round(pause(fresh_database))]
    for number in range(1, 6):
        for turns in processes:
            turns.try_leaf(leaf)  # before its time
        let_the_pause_pass(fresh_database)
        for turns in processes:
            turns.try_leaf(leaf)  # the second one is too late
        assert len([one for one in server.sent if one.path == USERS]) == number
        pauses.append(round(pause(fresh_database)))
    assert pauses == [5, 10, 20, 40, 60, 60]


@pytest.mark.parametrize("status", [200, 404])
def test_answer_to_the_try_lets_everybody_go_on(
    fresh_database: Database,
    leaf: Leaf,
    server: Server,
    status: int,
    caplog: pytest.LogCaptureFixture,
) -> None:
    one, other = (Turns(fresh_database, per_minute=PER_MINUTE) for _ in range(2))
    told(one, times=FAILURES_OF_AN_OUTAGE)
    assert not goes_on(other)
    let_the_pause_pass(fresh_database)
    server.json("GET", USERS, [], status=status)
    one.try_leaf(leaf)
    with fresh_database.reading() as session:
        assert pace.word(session).down_since is None
    take(one)
    wait_until(lambda: goes_on(other), what="the other process has learned of it")
    assert any("answers again" in record.message for record in caplog.records)


def test_every_request_takes_a_turn_the_sign_in_included(leaf: Leaf, server: Server) -> None:
    server.json("GET", USERS, [])

    class Counting:
        before_, after_ = 0, 0

        def before(self, *, for_all: bool = False) -> None:
            assert len(server.sent) == self.before_
            self.before_ += 1

        def after(self, failure: UpstreamError | None) -> None:
            assert failure is None
            self.after_ += 1

    counted = Counting()
    client = leaf.with_turn(counted)
    list(client.users(external_id="g"))
    client.look()
    assert (counted.before_, counted.after_, len(server.sent)) == (3, 3, 3)


def test_request_whose_turn_never_comes_is_not_sent(
    fresh_database: Database, leaf: Leaf, server: Server
) -> None:
    turns = Turns(fresh_database, per_minute=PER_MINUTE)
    told(turns, times=FAILURES_OF_AN_OUTAGE)
    with pytest.raises(UpstreamUnavailable):
        leaf.with_turn(turns.of(Rank.HAND_OVER)).sign_in()
    with pytest.raises(NotNow):
        leaf.with_turn(turns.of(Rank.ROUTINE)).look()
    assert server.sent == []
    # Nor is it taken for a failure of the sign-in, which would be remembered.
    server.json("GET", USERS, [])
    leaf.look()
