"""Processes that are killed with `kill -9` at the worst moments lose no token and double none."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import pytest
import requests

from onboarding.models import EXCHANGE_LIMIT
from onboarding.states import Health, Outcome, Stage
from tests.support.control import Control
from tests.support.crowd import assert_each_delivered
from tests.support.grower import Grower
from tests.support.page import Page
from tests.support.stack import WEB, WORKER, Stack
from tests.support.tokens import (
    POST,
    assert_delivered,
    assert_no_token_stored,
    attempts_of,
    change,
    commits_held,
    connection_of,
    handed_over,
    issued,
    posts,
)
from tests.support.wait import wait_until

TAKEN_OVER_SECONDS = 60.0
"""From the death of a worker until another has done its work; the measured time is about 15 s."""


@pytest.fixture
def aside() -> Iterator[ThreadPoolExecutor]:
    """For what a grower's browser does while the test looks on."""
    with ThreadPoolExecutor() as pool:
        yield pool


def hold(control: Control, where: str, *, when: str = "before", **match: str) -> None:
    """Let the first request to a point hang until the faults are cleared."""
    control.add_fault(where, "hang", when=when, times=1, match=match)


def wait_for_held(control: Control, where: str, **fields: str) -> None:
    control.wait_for(
        lambda entry: (
            entry["point"] == where and entry["fault"] == "hang" and fields.items() <= entry.items()
        ),
        what=f"a request to {where} is held",
    )


PLACES = {
    "before-users-list": ("leaf.users.list", "before", 1),
    "after-users-create": ("leaf.users.create", "after", 1),
    "before-credentials-get": ("leaf.credentials.get", "before", 1),
    "before-post": (POST, "before", 2),
    "after-post": (POST, "after", 1),
}
"""Where a worker may stand when it is killed, and how many POSTs then arrive at Leaf in the end.

A request that a dead worker had sent is still worked on at Leaf: here it is let go on last.
"""


def test_worker_killed_anywhere_on_its_way_delivers_after_a_restart(
    stack: Stack, control: Control
) -> None:
    for name, (where, when, _) in PLACES.items():
        hold(control, where, when=when, external_id=name)
    for name in PLACES:
        Grower(stack.invite(name)).connect("one-farm")
    for name, (where, _, _) in PLACES.items():
        wait_for_held(control, where, external_id=name)
    stack.kill(WORKER)
    for name in PLACES:
        assert connection_of(stack, name).stage is Stage.HANDING_OVER
        assert connection_of(stack, name).refresh_token is not None
    stack.start_worker()
    for name in PLACES:
        handed_over(stack, name, limit=TAKEN_OVER_SECONDS)
    control.clear_faults()
    late = control.wait_for(
        lambda one: bool(
            one["external_id"] == "before-post" and one["fault"] == "hang" and one["answered"]
        ),
        what="the dead worker's request is answered",
    )
    assert late["status"] == 409
    tokens = issued(stack, "one-farm")
    assert len(set(tokens)) == len(PLACES)
    for token, (name, (_, _, arrived)) in zip(tokens, PLACES.items(), strict=True):
        assert_delivered(stack, name, "one-farm", token=token)
        assert len(posts(stack, name)) == arrived
        assert len(control.journal(point="leaf.users.create", external_id=name)) == 1
    assert_no_token_stored(stack, "one-farm")


def test_worker_killed_after_leaf_took_the_token_finds_its_own_credential(
    stack: Stack, control: Control
) -> None:
    hold(control, POST, when="after", external_id="uncommitted")
    Grower(stack.invite("uncommitted")).connect("one-farm")
    wait_for_held(control, POST, external_id="uncommitted")
    with commits_held(stack):
        control.clear_faults()
        control.wait_for(
            lambda entry: (
                entry["point"] == POST
                and entry["external_id"] == "uncommitted"
                and entry["status"] == 201
            ),
            what="Leaf has answered",
        )
        stack.kill(WORKER)
        assert connection_of(stack, "uncommitted").refresh_token is not None
    (before,) = control.credentials("uncommitted")
    stack.start_worker()
    handed_over(stack, "uncommitted", limit=TAKEN_OVER_SECONDS)
    after = assert_delivered(stack, "uncommitted", "one-farm")
    assert after["id"] == before["id"]
    assert len(posts(stack, "uncommitted")) == 1
    assert_no_token_stored(stack, "one-farm")


def test_web_killed_after_its_commit_leaves_the_rest_to_the_worker(
    stack: Stack, control: Control, aside: ThreadPoolExecutor
) -> None:
    second = Grower(stack.invite("web-gone-again"))
    second.connect("one-farm")
    handed_over(stack, "web-gone-again")
    hold(control, "deere.organizations", account="three-farms")
    hold(control, "deere.organizations", account="partners-only")
    first = Grower(stack.invite("web-gone"))
    visits = [
        aside.submit(first.authorize, "three-farms"),
        aside.submit(reconnect, second, "partners-only"),
    ]
    for account in ("three-farms", "partners-only"):
        wait_for_held(control, "deere.organizations", account=account)
    stack.kill(WEB)
    for visit in visits:
        assert_cut(visit)
    for name in ("web-gone", "web-gone-again"):
        connection = handed_over(stack, name)
        assert (connection.stage, connection.health) == (Stage.CHOOSING_ORGANIZATIONS, Health.OK)
    assert_delivered(stack, "web-gone-again", "partners-only")
    control.clear_faults()
    stack.start_web()
    assert second.open().heading != "Connected"
    assert first.open().heading == "Choose what to share"
    first.choose_more()
    assert first.choose(["Oak Hollow"]).heading == "Connected"
    assert_delivered(stack, "web-gone", "three-farms")
    (attempt,) = attempts_of(stack, connection_of(stack, "web-gone"))
    assert attempt.access_token is None
    assert_no_token_stored(stack, "one-farm", "three-farms", "partners-only")


def reconnect(grower: Grower, account: str) -> Page:
    """Connect once more, with another account."""
    grower.open()
    grower.start(other_account=True)
    grower.sign_in(account)
    return grower.allow() if grower.page.find("Allow Access") else grower.page


def assert_cut(visit: Future[Page]) -> None:
    """The grower's browser got no answer."""
    with pytest.raises(requests.ConnectionError):
        visit.result(timeout=60)


def test_web_killed_while_it_exchanges_the_code_is_told_and_can_be_repeated(
    stack: Stack, control: Control, aside: ThreadPoolExecutor
) -> None:
    hold(control, "deere.token", account="one-farm")
    grower = Grower(stack.invite("cut-off"))
    visit = aside.submit(grower.authorize, "one-farm")
    wait_for_held(control, "deere.token")
    stack.kill(WEB)
    assert_cut(visit)
    stack.start_web()
    assert grower.open().heading == "Finishing with John Deere"
    connection = connection_of(stack, "cut-off")
    (attempt,) = attempts_of(stack, connection)
    assert (attempt.outcome, attempt.used_at is None) == (None, False)
    assert attempt.used_at is not None
    change(stack, attempt, used_at=attempt.used_at - EXCHANGE_LIMIT)
    assert "Signing in was cut off" in grower.open().text
    assert "Nothing was shared." in grower.page.text
    wait_until(
        lambda: attempts_of(stack, connection)[0].outcome is Outcome.INTERRUPTED,
        what="the sweep ends the attempt",
        limit=TAKEN_OVER_SECONDS,
    )
    assert connection_of(stack, "cut-off").stage is Stage.INVITED
    assert "Signing in was cut off" in grower.open().text
    control.clear_faults()
    grower.start()
    grower.choose()
    grower.wait_for(lambda page: page.heading == "Connected", what="the page says so")
    assert_delivered(stack, "cut-off", "one-farm")


def test_ten_growers_at_once_lose_nothing_when_one_of_two_workers_is_killed(
    stack: Stack, control: Control, aside: ThreadPoolExecutor
) -> None:
    names = [f"crowd-{number}" for number in range(10)]
    control.add_fault(POST, "hang")
    walk_at_once(stack, names[:5], aside)
    for name in names[:5]:
        wait_for_held(control, POST, external_id=name)  # by the only worker
    stack.start_worker("w2")
    walk_at_once(stack, names[5:], aside)
    stack.kill(WORKER)
    control.clear_faults()
    assert_each_delivered(stack, names, "one-farm", limit=TAKEN_OVER_SECONDS)


def walk_at_once(stack: Stack, names: list[str], aside: ThreadPoolExecutor) -> None:
    growers = [Grower(stack.invite(name)) for name in names]
    for visit in [aside.submit(grower.connect, "one-farm") for grower in growers]:
        visit.result(timeout=60)


def test_everything_killed_at_once_goes_on_where_it_was(
    stack: Stack, control: Control, aside: ThreadPoolExecutor
) -> None:
    hold(control, "deere.organizations", account="already-connected")
    hold(control, "leaf.credentials.get", external_id="all-gone")
    grower = Grower(stack.invite("all-gone"))
    visit = aside.submit(grower.authorize, "already-connected")
    wait_for_held(control, "deere.organizations")
    wait_for_held(control, "leaf.credentials.get")
    for name in (WORKER, WEB):
        stack.kill(name)
    assert_cut(visit)
    control.clear_faults()
    stack.start()
    handed_over(stack, "all-gone", limit=TAKEN_OVER_SECONDS)
    # Web never read the organizations: Leaf says which are shared.
    grower.wait_for(lambda page: page.heading == "Connected", what="the page says so")
    assert "Harper Grain" in grower.page.text
    assert_delivered(stack, "all-gone", "already-connected")
    assert_no_token_stored(stack, "already-connected")
    (attempt,) = attempts_of(stack, connection_of(stack, "all-gone"))
    assert attempt.access_token is None


def test_stopped_worker_finishes_what_it_does_and_hands_back_the_rest(
    stack: Stack, control: Control
) -> None:
    control.add_fault(POST, "latency", seconds=3, match={"external_id": "finished"})
    Grower(stack.invite("finished")).connect("one-farm")
    control.wait_for(
        lambda entry: entry["point"] == POST and entry["external_id"] == "finished",
        what="the POST has begun",
    )
    assert stack.stop(WORKER) == 0
    assert_delivered(stack, "finished", "one-farm")
    assert len(posts(stack, "finished")) == 1
    Grower(stack.invite("handed-back")).connect("one-farm")
    assert connection_of(stack, "handed-back").stage is Stage.HANDING_OVER
    stack.start_worker()
    handed_over(stack, "handed-back")
    assert_delivered(stack, "handed-back", "one-farm")
    assert_no_token_stored(stack, "one-farm")


@pytest.mark.parametrize("answers", ["current", "older"])
def test_worker_killed_while_it_replaces_a_credential_leaves_the_new_one_alone(
    stack: Stack, control: Control, answers: str
) -> None:
    # Rotating: the credential then shows another token than the one that was handed over.
    control.set_policies(leaf_answers=answers, deere_refresh_tokens="rotating")
    places = {f"{answers}-deleted": "leaf.credentials.delete", f"{answers}-posted": POST}
    growers = {name: Grower(stack.invite(name)) for name in places}
    for name, grower in growers.items():
        grower.connect("one-farm")
        handed_over(stack, name)
    for name, where in places.items():
        hold(control, where, when="after", external_id=name)
        reconnect(growers[name], "three-farms")
    for name, where in places.items():
        wait_for_held(control, where, external_id=name)
    stack.kill(WORKER)
    stack.start_worker()
    for name, token in zip(places, issued(stack, "three-farms"), strict=True):
        handed_over(stack, name, limit=TAKEN_OVER_SECONDS)
        assert_delivered(stack, name, "three-farms", token=token)
        assert len(posts(stack, name)) == 2
    assert_no_token_stored(stack, "one-farm", "three-farms")
