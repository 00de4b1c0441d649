"""The sandbox's clock: what is moved, by whom, and what then is too old at John Deere and Leaf."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
import requests

from onboarding import clock
from tests.functional.sandbox.support import TIMEOUT_SECONDS, Grower, Owner, serving
from tests.support.control import Control

MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)


@pytest.fixture
def origin(tmp_path: Path) -> Iterator[str]:
    """A sandbox whose clock can be moved; for each test, since a process has one clock only."""
    with serving(tmp_path / "sandbox.sqlite", clock=tmp_path / "sandbox.clock") as url:
        yield url


def move(origin: str, body: object) -> requests.Response:
    return requests.post(f"{origin}/control/clock", json=body, timeout=TIMEOUT_SECONDS)


def shown(origin: str) -> int:
    """How many seconds it says that it is ahead."""
    answer = requests.get(f"{origin}/control/clock", timeout=TIMEOUT_SECONDS)
    return int(answer.json()["seconds_ahead"])


def test_moves_add_up_and_a_reset_takes_all_back(origin: str, control: Control) -> None:
    assert move(origin, {"seconds": 60}).json()["seconds_ahead"] == 60
    assert move(origin, {"seconds": 40}).json()["seconds_ahead"] == 100
    control.reset()
    assert shown(origin) == 0


@pytest.mark.parametrize(
    ("body", "why"),
    [
        ({"seconds": -1}, "only goes ahead, never back. Forget everything puts it back"),
        ({"seconds": 10**9}, "at most 3650 days ahead"),
        ({"seconds": "a day"}, "a whole number"),
        ({}, "a whole number"),
        ([60], "must be an object"),
    ],
)
def test_move_that_cannot_be_says_why(
    origin: str, control: Control, body: object, why: str
) -> None:
    answer = move(origin, body)
    assert answer.status_code == 400
    assert why in answer.json()["error"]
    assert shown(origin) == 0


def test_clock_without_a_file_stays_where_it_is_and_the_page_says_so(tmp_path: Path) -> None:
    with serving(tmp_path / "sandbox.sqlite") as origin:
        answer = move(origin, {"seconds": 60})
        assert answer.status_code == 400
        assert "set SANDBOX_CLOCK to the same file" in answer.json()["error"]
        page = Grower(origin).get(f"{origin}/control").text
        assert "It can’t be moved" in page
        assert "A week ahead" not in page


def test_buttons_of_the_control_page_move_it(origin: str, grower: Grower) -> None:
    page = grower.get(f"{origin}/control").text
    assert "Days ahead of the real time: <strong>0</strong>" in page
    assert "The app forgets nothing" not in page
    for name, seconds in (("A day", 86_400), ("A week", 604_800), ("A month", 2_592_000)):
        assert f'value="{seconds}"' in page
        assert f"{name} ahead" in page
        form = {"action": "move-clock", "seconds": str(seconds)}
        assert grower.post(f"{origin}/control", **form).status_code == 303
    page = grower.get(f"{origin}/control").text
    assert "Days ahead of the real time: <strong>38</strong>" in page
    assert f"{clock.now():%B %Y}" in page
    assert "The app forgets nothing" in page, "what a reset leaves in the future"
    refused = grower.post(f"{origin}/control", action="move-clock", seconds="-5")
    assert refused.status_code == 400
    assert "seconds must be a whole number" in refused.text


def test_code_and_tokens_of_john_deere_grow_old(
    origin: str, grower: Grower, control: Control
) -> None:
    code = grower.decide("one-farm")["code"]
    access = grower.tokens("one-farm")["access_token"]
    control.move_clock(2 * MINUTE)
    assert grower.exchange(code).json()["error"] == "invalid_grant"
    control.move_clock(11 * HOUR)
    assert grower.organizations(access).status_code == 200
    control.move_clock(HOUR)
    assert grower.organizations(access).status_code == 401


def test_token_of_leaf_grows_old(owner: Owner, control: Control) -> None:
    owner.new_user()
    control.move_clock(23 * HOUR)
    assert owner.call("GET", "/users").status_code == 200
    control.move_clock(2 * HOUR)
    assert owner.call("GET", "/users").status_code == 401


def test_leaf_forgets_its_events_after_thirty_days(
    origin: str, owner: Owner, grower: Grower, control: Control
) -> None:
    user = owner.new_user()
    owner.attach(user, str(grower.tokens("one-farm")["refresh_token"]))
    control.move_clock(29 * DAY)
    assert Owner(origin).credential(user, "/events").json()
    control.move_clock(2 * DAY)
    assert Owner(origin).credential(user, "/events").json() == []
