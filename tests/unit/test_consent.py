"""An attempt at consent, from the click to the token, with a real database and a real queue."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from uuid import UUID, uuid4

import pytest
import time_machine

from onboarding.clock import now
from onboarding.connections import consent
from onboarding.errors import ConsentElsewhere, ConsentExpired
from onboarding.links import digest
from onboarding.models import Attempt, Link
from onboarding.states import Health, Outcome, Stage
from onboarding.vault import Vault
from tests.support.wait import wait_until
from tests.unit.rows import connection_of, history_of, invited
from tests.unit.walk import TOKENS, Walk

NOON = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
HALF_AN_HOUR = timedelta(minutes=30)
LIMIT_SECONDS = 20.0


def at_once(*works: Callable[[], object]) -> list[object]:
    """The results of all, begun at the same moment."""
    together = threading.Barrier(len(works))

    def run(work: Callable[[], object]) -> object:
        together.wait(LIMIT_SECONDS)
        return work()

    with ThreadPoolExecutor(len(works)) as pool:
        futures = [pool.submit(run, work) for work in works]
        return [future.result(LIMIT_SECONDS) for future in futures]


def test_an_attempt_keeps_nothing_that_could_be_used_by_who_reads_the_database(
    walk: Walk, link: Link
) -> None:
    started = walk.start(link)

    row = walk.attempt(started)
    kept = b"".join(value for value in vars(row).values() if isinstance(value, bytes))
    for secret in (started.state, started.code_verifier, started.browser_secret):
        assert secret.encode() not in kept
        assert secret not in repr(started)
    assert row.state_digest == digest(started.state)
    assert row.link_id == link.id
    assert connection_of(walk.database, link).stage is Stage.AUTHORIZING


def test_every_attempt_has_secrets_of_its_own(walk: Walk, link: Link) -> None:
    attempts = [walk.start(link) for _ in range(5)]

    secrets = {(one.state, one.code_verifier, one.browser_secret) for one in attempts}
    assert len({secret for three in secrets for secret in three}) == 15


def test_a_callback_of_the_same_browser_finds_its_attempt(walk: Walk, link: Link) -> None:
    started = walk.start(link)

    assert walk.find(started.state, started.browser_secret).id == started.attempt_id


@pytest.mark.parametrize("state", [None, "", "unknown", "é" * 10])
def test_an_unknown_state_belongs_to_no_attempt(walk: Walk, link: Link, state: str | None) -> None:
    started = walk.start(link)

    with pytest.raises(ConsentExpired):
        walk.find(state, started.browser_secret)


def test_another_browser_is_refused_and_costs_the_grower_nothing(walk: Walk, link: Link) -> None:
    started, other = walk.start(link), walk.start(link)

    for cookie in (None, "", other.browser_secret, started.state, started.browser_secret[:-1]):
        with pytest.raises(ConsentElsewhere) as caught:
            walk.find(started.state, cookie)
        assert caught.value.attempt_id == started.attempt_id
        assert started.state not in str(caught.value)
    assert walk.find(started.state, started.browser_secret).used_at is None
    assert walk.use(started) == started.code_verifier


@pytest.mark.parametrize("cookie", [None, "of another attempt"])
def test_whoever_comes_back_too_late_has_no_cookie_and_is_not_called_another_browser(
    walk: Walk, link: Link, cookie: str | None
) -> None:
    with time_machine.travel(NOON, tick=False):
        started = walk.start(link)

    with time_machine.travel(NOON + HALF_AN_HOUR, tick=False):
        with pytest.raises(ConsentExpired) as caught:
            walk.find(started.state, cookie)
        assert caught.value.attempt_id == started.attempt_id
        assert walk.find(started.state, started.browser_secret).id == started.attempt_id
    second_before = NOON + HALF_AN_HOUR - timedelta(seconds=1)
    with time_machine.travel(second_before, tick=False), pytest.raises(ConsentElsewhere):
        walk.find(started.state, cookie)


def test_three_returns_in_other_browsers_call_for_a_person_and_end_nothing(
    walk: Walk, link: Link
) -> None:
    with time_machine.travel(NOON, tick=False):
        attempts = [walk.start(link) for _ in range(3)]
        for _ in range(2):  # again is the same as once
            for started in attempts[:2]:
                walk.note_elsewhere(started)
        assert not _is_troubled(walk, link, NOON)
        walk.note_elsewhere(attempts[2])

        assert _is_troubled(walk, link, NOON)
        assert not _is_troubled(walk, link, NOON + timedelta(minutes=60))
        assert walk.use(attempts[0]) == attempts[0].code_verifier
        walk.receive(attempts[0])
        assert not _is_troubled(walk, link, NOON), "that one has arrived in its own browser"


def test_a_state_is_used_once(walk: Walk, link: Link) -> None:
    started = walk.start(link)

    assert walk.use(started) == started.code_verifier
    assert walk.use(started) is None
    row = walk.attempt(started)
    assert row.code_verifier is None
    assert row.used_at is not None
    assert walk.find(started.state, started.browser_secret).id == started.attempt_id


def test_a_state_is_used_once_even_by_many_at_the_same_moment(walk: Walk, link: Link) -> None:
    started = walk.start(link)

    found = at_once(*[lambda: walk.use(started)] * 8)

    assert found.count(None) == 7
    assert found.count(started.code_verifier) == 1


@pytest.mark.parametrize(
    ("age", "fresh"),
    [
        (HALF_AN_HOUR - timedelta(seconds=1), True),
        (HALF_AN_HOUR, False),
        (timedelta(days=9), False),
    ],
)
def test_a_state_is_good_for_half_an_hour(
    walk: Walk, link: Link, age: timedelta, fresh: bool
) -> None:
    with time_machine.travel(NOON, tick=False):
        started = walk.start(link)

    with time_machine.travel(NOON + age, tick=False):
        assert (walk.use(started) is not None) is fresh
    assert (walk.attempt(started).used_at is not None) is fresh


def test_an_attempt_whose_key_is_gone_ends_as_our_fault(walk: Walk, link: Link) -> None:
    started = walk.start(link)
    walk.vault = Vault([b"another key, of 32 bytes exactly"])

    assert walk.use(started) is None

    row = walk.attempt(started)
    assert (row.outcome, row.code_verifier) == (Outcome.INTERRUPTED, None)
    assert "ENCRYPTION_KEYS" in row.detail


@pytest.mark.parametrize("before", [Stage.INVITED, Stage.DISCONNECTED])
@pytest.mark.parametrize("outcome", [Outcome.DENIED, Outcome.DEERE_UNAVAILABLE, Outcome.EXPIRED])
def test_an_attempt_that_came_to_nothing_leads_back_to_where_it_began(
    walk: Walk, link: Link, before: Stage, outcome: Outcome
) -> None:
    walk.put(link, stage=before)
    started = walk.start(link)
    assert connection_of(walk.database, link).stage is Stage.AUTHORIZING

    walk.finish(started, outcome, detail="access_denied: The resource owner denied the request")

    connection, row = connection_of(walk.database, link), walk.attempt(started)
    assert connection.stage is before
    assert (row.outcome, row.code_verifier) == (outcome, None)
    assert row.ended_at is not None
    assert row.detail == "access_denied: The resource owner denied the request"
    kinds = history_of(walk.database, connection.id)
    assert kinds == ["link_made", "attempt_started", f"attempt_{outcome.value}"]


@pytest.mark.parametrize(
    "stage", [Stage.HANDING_OVER, Stage.CHOOSING_ORGANIZATIONS, Stage.CONNECTED, Stage.FAILED]
)
def test_what_was_connected_stays_so_while_a_reconnect_is_tried_and_declined(
    walk: Walk, link: Link, stage: Stage
) -> None:
    walk.put(link, stage=stage, health=Health.OK)

    started = walk.start(link)
    assert connection_of(walk.database, link).stage is stage
    walk.finish(started, Outcome.DENIED)

    connection = connection_of(walk.database, link)
    assert (connection.stage, connection.health) == (stage, Health.OK)


def test_many_attempts_at_once_do_not_disturb_each_other(walk: Walk, link: Link) -> None:
    attempts = [walk.start(link) for _ in range(12)]

    for started in reversed(attempts):
        assert walk.find(started.state, started.browser_secret).id == started.attempt_id
        assert walk.use(started) == started.code_verifier


def test_two_tabs_that_finish_at_the_same_moment_leave_one_token_and_its_hand_over(
    walk: Walk, link: Link
) -> None:
    tokens = [replace(TOKENS, refresh_token=f"token of tab {n}") for n in range(4)]

    at_once(*[partial(walk.receive, walk.start(link), one) for one in tokens])

    connection = connection_of(walk.database, link)
    assert walk.token(connection) in {one.refresh_token for one in tokens}
    assert connection.hand_over_try == 4
    assert walk.enqueued(connection) == [1, 2, 3, 4]


def test_declining_in_one_tab_does_not_undo_what_another_brings_meanwhile(
    walk: Walk, link: Link
) -> None:
    declined, allowed = walk.start(link), walk.start(link)
    waits_for_writer = walk.database.engine.dialect.name == "sqlite"

    with ThreadPoolExecutor(1) as pool:
        with walk.database.transaction() as session:
            attempt = session.get_one(Attempt, declined.attempt_id)
            assert attempt.connection.stage is Stage.AUTHORIZING
            other = pool.submit(walk.receive, allowed)
            wait_until(lambda: waits_for_writer or other.done(), what="the other tab is through")
            consent.finish(session, attempt, Outcome.DENIED)
        other.result(LIMIT_SECONDS)

    connection = connection_of(walk.database, link)
    assert connection.stage is Stage.HANDING_OVER
    assert walk.token(connection) == TOKENS.refresh_token


def test_declining_in_one_tab_leaves_the_other_at_john_deere(walk: Walk, link: Link) -> None:
    declined, other = walk.start(link), walk.start(link)

    walk.finish(declined, Outcome.DENIED)
    assert connection_of(walk.database, link).stage is Stage.AUTHORIZING

    walk.finish(other, Outcome.DENIED)
    assert connection_of(walk.database, link).stage is Stage.INVITED


@pytest.mark.parametrize(
    ("outcome", "lines"), [(Outcome.APPLICATION_REFUSED, 1), (Outcome.DENIED, 0)]
)
def test_only_what_is_our_fault_is_an_error_in_the_log(
    walk: Walk, link: Link, caplog: pytest.LogCaptureFixture, outcome: Outcome, lines: int
) -> None:
    walk.finish(walk.start(link), outcome, detail="invalid_scope: no such scope")

    errors = [record.getMessage() for record in caplog.records if record.levelname == "ERROR"]
    assert len(errors) == lines
    assert all(connection_of(walk.database, link).reference in error for error in errors)


def test_the_newest_attempt_is_the_one_that_counts(walk: Walk, link: Link) -> None:
    walk.start(invited(walk.database, "another grower"))
    connection_id = connection_of(walk.database, link).id

    with walk.database.reading() as session:
        assert consent.latest(session, connection_id) is None
    newest = [walk.start(link) for _ in range(3)][-1]

    with walk.database.reading() as session:
        found = consent.latest(session, connection_id)
    assert found is not None
    assert found.id == newest.attempt_id


@pytest.mark.parametrize(
    ("outcomes", "troubled"),
    [
        ([], False),
        ([Outcome.DENIED] * 2, False),
        ([Outcome.DENIED] * 3, True),
        ([Outcome.CODE_REFUSED, Outcome.EXPIRED, Outcome.NO_REFRESH_TOKEN], True),
        ([Outcome.DENIED, Outcome.AUTHORIZED, Outcome.DENIED, None, None], False),
    ],
)
def test_three_failures_in_an_hour_call_for_a_person(
    walk: Walk, link: Link, outcomes: list[Outcome | None], troubled: bool
) -> None:
    with time_machine.travel(NOON, tick=False):
        _past_attempts(walk, link, outcomes)

    assert _is_troubled(walk, link, NOON + timedelta(minutes=59)) is troubled
    assert not _is_troubled(walk, link, NOON + timedelta(minutes=60))


def test_another_growers_failures_do_not_count(walk: Walk, link: Link) -> None:
    with time_machine.travel(NOON, tick=False):
        _past_attempts(walk, invited(walk.database, "another"), [Outcome.DENIED] * 3)

    assert not _is_troubled(walk, link, NOON)


def _past_attempts(walk: Walk, link: Link, outcomes: list[Outcome | None]) -> None:
    connection_id: UUID = connection_of(walk.database, link).id
    with walk.database.transaction() as session:
        for outcome in outcomes:
            attempt = Attempt(
                connection_id=connection_id,
                link_id=link.id,
                state_digest=uuid4().bytes,
                browser_digest=b"",
                created_at=now(),
                outcome=outcome,
            )
            session.add(attempt)


def _is_troubled(walk: Walk, link: Link, moment: datetime) -> bool:
    connection_id = connection_of(walk.database, link).id
    with walk.database.reading() as session:
        return consent.is_troubled(session, connection_id, moment=moment)
