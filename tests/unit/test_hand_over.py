"""How long a token waits for Leaf, how often Leaf is asked meanwhile, and what ends it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta

import pytest

from onboarding.clock import now
from onboarding.models import Connection
from onboarding.states import Cause, Stage
from tests.unit.failures import FAILURES, Failure, later
from tests.unit.leaf_double import LeafDouble, says
from tests.unit.tries import TOKEN, Tries

SHORTEST, LONGEST = timedelta(seconds=2), timedelta(minutes=15)
MONTH = timedelta(days=30)
JITTER = 0.8


def fail_next(leaf: LeafDouble, failure: Failure, *, at: str = "POST credentials") -> None:
    leaf.answers[at] = [failure.answer]


def waited(tries: Tries, length: timedelta) -> None:
    """Let so much time have passed since the token came and Leaf first failed."""
    tries.put(waiting_since=now() - length, token_received_at=now() - length)


def due(connection: Connection) -> datetime:
    assert connection.hand_over_due_at is not None
    return connection.hand_over_due_at


PASSING = (
    "500",
    "503",
    "503 with Retry-After",
    "429",
    "429 with Retry-After",
    "reset",
    "broken off",
    "HTML",
    "wrong JSON",
)
"""Hanging has a test of its own, with the whole product."""


@pytest.mark.parametrize("kind", PASSING)
@pytest.mark.parametrize("at", ["GET credentials", "POST credentials"])
def test_failure_is_retried_for_thirty_days_and_no_longer(
    tries: Tries, leaf: LeafDouble, at: str, kind: str
) -> None:
    for length in (timedelta(0), timedelta(hours=1), timedelta(days=29, hours=23)):
        waited(tries, length)
        fail_next(leaf, FAILURES[kind], at=at)
        connection = tries.once()
        assert (connection.stage, connection.cause) == (Stage.HANDING_OVER, Cause.LEAF_UNAVAILABLE)
        assert due(connection) <= now() + LONGEST
        assert connection.hand_over_try in tries.walk.enqueued(connection)
        assert tries.token() == TOKEN
    waited(tries, timedelta(days=30, minutes=1))
    fail_next(leaf, FAILURES[kind], at=at)
    connection = tries.once()
    assert (connection.stage, connection.cause) == (Stage.FAILED, Cause.GIVEN_UP)
    assert connection.hand_over_due_at is None
    assert leaf.tokens() == {}
    assert tries.token() == TOKEN
    tries.retry()
    tries.once()
    assert leaf.tokens() == {"leaf-y": TOKEN}
    assert tries.token() is None


def _refuse_sign_in(tries: Tries, leaf: LeafDouble) -> None:
    leaf.answers["POST sign-in"] = [says(401, {})]


def _lose_the_key(tries: Tries, leaf: LeafDouble) -> None:
    tries.put(refresh_token=b"AAAA")


@pytest.mark.parametrize(
    ("cause", "harm"),
    [
        (Cause.LEAF_SIGN_IN_REFUSED, _refuse_sign_in),
        (Cause.TOKEN_UNREADABLE, _lose_the_key),
    ],
)
def test_a_month_of_a_matter_of_ours_is_not_called_an_outage_of_leaf(
    tries: Tries, leaf: LeafDouble, cause: Cause, harm: Callable[[Tries, LeafDouble], None]
) -> None:
    waited(tries, timedelta(days=30, minutes=1))
    harm(tries, leaf)
    connection = tries.once()
    assert (connection.stage, connection.cause) == (Stage.FAILED, cause)
    assert connection.hand_over_due_at is None


PAUSES = {
    timedelta(0): SHORTEST,
    timedelta(seconds=1): SHORTEST,
    timedelta(seconds=8): timedelta(seconds=8),
    timedelta(minutes=5): timedelta(minutes=5),
    timedelta(minutes=15): LONGEST,
    timedelta(days=3): LONGEST,
}


@pytest.mark.parametrize(("length", "pause"), PAUSES.items(), ids=map(str, PAUSES))
def test_pause_is_as_long_again_as_the_wait_within_bounds(
    tries: Tries, leaf: LeafDouble, length: timedelta, pause: timedelta
) -> None:
    before = now()
    waited(tries, length)
    fail_next(leaf, FAILURES["503"])
    connection = tries.once()
    took = now() - before
    assert connection.waiting_since is not None
    assert before + pause * JITTER <= due(connection)
    # What the try itself took counts as wait, too.
    assert due(connection) <= before + took + min(pause + took, LONGEST)


def test_pauses_of_many_are_not_the_same(tries: Tries, leaf: LeafDouble) -> None:
    pauses = set()
    for _ in range(5):
        waited(tries, timedelta(days=3))
        fail_next(leaf, FAILURES["503"])
        connection = tries.once()
        pauses.add(round((due(connection) - now()).total_seconds()))
    assert len(pauses) > 1


RETRY_AFTER = {
    "120": timedelta(minutes=2),
    "840": timedelta(minutes=14),
    "3600": LONGEST,
    "200000": LONGEST,
}


@pytest.mark.parametrize(("header", "pause"), RETRY_AFTER.items(), ids=RETRY_AFTER)
@pytest.mark.parametrize("status", [429, 503])
def test_longer_pause_that_leaf_asks_for_is_kept_up_to_ours(
    tries: Tries, leaf: LeafDouble, status: int, header: str, pause: timedelta
) -> None:
    fail_next(leaf, later(status, Retry_After=header))
    before = now()
    connection = tries.once()
    assert before + pause <= due(connection) <= now() + pause


def test_shorter_pause_that_leaf_asks_for_does_not_shorten_ours(
    tries: Tries, leaf: LeafDouble
) -> None:
    waited(tries, MONTH / 2)
    fail_next(leaf, FAILURES["429 with Retry-After"])
    before = now()
    assert due(tries.once()) >= before + LONGEST * JITTER


def test_404_of_the_leaf_user_is_told_apart_from_another(tries: Tries, leaf: LeafDouble) -> None:
    tries.choose_organizations()
    missing = says(404, {"detail": "The user was not found."})
    for at, cause in (
        ("GET users", Cause.LEAF_REFUSED),
        ("POST configs", Cause.LEAF_USER_MISSING),
        ("POST credentials", Cause.LEAF_USER_MISSING),
    ):
        leaf.answers[at] = [missing]
        connection = tries.once()
        assert (at, connection.stage, connection.cause) == (at, Stage.FAILED, cause)
        assert "HTTP 404: The user was not found." in connection.detail
        tries.retry()
    tries.once()
    assert leaf.tokens() == {"leaf-y": TOKEN}


def test_404_of_the_sign_in_says_nothing_of_the_leaf_user(tries: Tries, leaf: LeafDouble) -> None:
    leaf.answers["POST sign-in"] = [says(404, {})]
    assert tries.once().cause is Cause.LEAF_SIGN_IN_REFUSED
