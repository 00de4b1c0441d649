"""Whatever Leaf does on a bad day: one credential with the right token, and none left with us."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from onboarding.connections import partnership
from tests.support.control import Control, Entry
from tests.support.crowd import assert_each_delivered, connect_all
from tests.support.grower import Grower
from tests.support.stack import Stack
from tests.support.tokens import (
    POST,
    assert_delivered,
    assert_no_token_stored,
    connection_of,
    handed_over,
    happened,
    posts,
)
from tests.support.wait import wait_until

AUTHENTICATE = "leaf.authenticate"
GET = "leaf.credentials.get"
FIND, CREATE_USER, CONFIGURE = "leaf.users.list", "leaf.users.create", "leaf.config"
LATER = {"headers": {"Retry-After": "3"}}
"""Longer than the first pause, which is 2 seconds at most."""
SHORTEST_PAUSE = 1.5

FAILURES: dict[str, dict[str, Any]] = {
    "500": {"kind": "status", "status": 500},
    "503-later": {"kind": "status", "status": 503, **LATER},
    "429-later": {"kind": "status", "status": 429, **LATER},
    "429": {"kind": "status", "status": 429},
    "reset": {"kind": "reset"},
    "html": {"kind": "html"},
    "empty": {"kind": "json", "body": {}},
    "list": {"kind": "json", "body": []},
}
AFTER = ("500", "reset", "html", "empty")
"""Failures after which what was asked for has been done all the same."""
HARMLESS = {
    f"{GET}-before-empty",
    f"{POST}-before-empty",
    f"{POST}-after-empty",
    f"{CONFIGURE}-after-empty",
}
"""Answers that are no reason to wait: nothing is read from them, or Leaf is asked again at once."""
SOME = ("500", "503-later", "reset", "html")
MATRIX = [
    *((where, "before", how) for where in (GET, POST) for how in FAILURES),
    *((where, "before", how) for where in (FIND, CREATE_USER, CONFIGURE) for how in SOME),
    *((where, "after", how) for where in (CREATE_USER, CONFIGURE, POST) for how in AFTER),
]


@pytest.fixture(scope="module", autouse=True)
def choosy_partner(running_stack: Stack) -> str:
    """A partner who chooses organizations at Leaf, so that the configuration is written, too."""
    with running_stack.installation.database.transaction() as session:
        if partnership.find(session, "choosy") is None:
            partnership.add_partner(
                session, slug="choosy", name="Choosy Co-op", select_organizations=True
            )
    return "choosy"


def wait_until_held(control: Control, name: str) -> None:
    control.wait_for(
        lambda one: bool(one["external_id"] == name and one["fault"] == "hang"),
        what=f"a request of {name} is held",
    )


def test_every_failure_of_leaf_is_got_over(
    stack: Stack, control: Control, choosy_partner: str
) -> None:
    names = {f"{where}-{when}-{how}": (where, when, how) for where, when, how in MATRIX}
    for name, (where, when, how) in names.items():
        match = {"external_id": name}
        if where == CONFIGURE and when == "after":
            # The first request asks what is stored, the second one stores.
            control.add_fault(where, "latency", seconds=0, times=1, when=when, match=match)
        control.add_fault(where, times=1, when=when, match=match, **FAILURES[how])
    connect_all(stack, names, "one-farm", partner=choosy_partner)
    assert_each_delivered(stack, names, "one-farm")
    assert all(fault["struck"] == 1 for fault in control.faults())
    for name, (where, _, how) in names.items():
        entries = control.journal(external_id=name)
        created = [one for one in entries if one["point"] == CREATE_USER and one["stored"]]
        assert (name, len(created)) == (name, 1)
        assert (name, len(posts(stack, name))) == (name, 1)
        assert_configured_before_the_post(entries)
        if name not in HARMLESS:
            least = 3.0 if how.endswith("later") else SHORTEST_PAUSE
            assert (name, pause_after_failure(entries, where) >= least) == (name, True)


def assert_configured_before_the_post(entries: list[Entry]) -> None:
    stored = [one for one in entries if one["point"] == CONFIGURE and one["method"] != "GET"]
    (post,) = [one for one in entries if one["point"] == POST and one["stored"]]
    assert any(one["stored"] and one["stored"] < post["received"] for one in stored)


def pause_after_failure(entries: list[Entry], where: str) -> float:
    """Seconds from the failure to the next request."""
    failed = [one for one in entries if one["point"] == where and one["fault"]][-1]
    following = next(one for one in entries if one["seq"] > failed["seq"])
    return float(following["received"] - failed["answered"])


def test_leaf_that_hangs_for_longer_than_we_wait_is_asked_again(
    stack: Stack, control: Control, choosy_partner: str
) -> None:
    places = {
        "hang-find": (FIND, "before"),
        "hang-user": (CREATE_USER, "after"),
        "hang-configure": (CONFIGURE, "before"),
        "hang-get": (GET, "before"),
        "hang-post": (POST, "before"),
        "hang-posted": (POST, "after"),
    }
    for name, (where, when) in places.items():
        control.add_fault(where, "hang", when=when, times=1, match={"external_id": name})
    connect_all(stack, places, "one-farm", partner=choosy_partner)
    for name in places:
        handed_over(stack, name, limit=60)
    control.clear_faults()
    # What had hung is worked on in the end, and finds that there is a credential already.
    late = control.wait_for(
        lambda one: (
            one["external_id"] == "hang-post" and one["fault"] == "hang" and one["answered"]
        ),
        what="the request that hung is answered",
    )
    assert late["status"] == 409
    assert_each_delivered(stack, places, "one-farm")
    for name in places:
        created = control.journal(point=CREATE_USER, external_id=name)
        assert (name, len([one for one in created if one["stored"]])) == (name, 1)
        assert (name, len(posts(stack, name))) == (name, 2 if name == "hang-post" else 1)
        # Meanwhile sweeps came by three times, and left a worker alone that was at it.
        assert "hand_over_taken_up_again" not in happened(stack, connection_of(stack, name))


def test_sign_in_that_fails_or_expires_holds_nobody_up(stack: Stack, control: Control) -> None:
    connect_all(stack, ["sign-in-works"], "one-farm")
    handed_over(stack, "sign-in-works")
    for how in ("503-later", "html"):
        control.add_fault(AUTHENTICATE, times=1, **FAILURES[how])
    control.expire_leaf_tokens()
    connect_all(stack, ["sign-in-fails"], "one-farm")
    assert_each_delivered(stack, ["sign-in-works", "sign-in-fails"], "one-farm")
    assert all(fault["struck"] == 1 for fault in control.faults())
    assert control.journal(status=401), "Leaf refused the old token first"


@pytest.mark.parametrize(
    ("second_post", "answers"),
    [("refused", "older"), ("replaced", "current"), ("doubled", "older")],
)
def test_lost_answer_makes_no_second_credential_whatever_leaf_would_do(
    stack: Stack, control: Control, second_post: str, answers: str
) -> None:
    control.set_policies(leaf_second_post=second_post, leaf_answers=answers)
    names = {f"{second_post}-{when}": when for when in ("before", "after")}
    for name, when in names.items():
        control.add_fault(POST, "reset", when=when, times=1, match={"external_id": name})
    connect_all(stack, names, "one-farm")
    assert_each_delivered(stack, names, "one-farm")
    for name in names:
        assert (name, len(posts(stack, name))) == (name, 1)


def test_answer_that_shows_no_credential_is_not_believed(stack: Stack, control: Control) -> None:
    match = {"external_id": "believes"}
    control.add_fault(POST, "json", body={"message": "accepted"}, times=1, match=match)
    control.add_fault(GET, "latency", seconds=0, times=1, match=match)
    control.add_fault(GET, "json", body={}, times=2, match=match)
    connect_all(stack, ["believes"], "one-farm")
    assert_each_delivered(stack, ["believes"], "one-farm")
    assert len(posts(stack, "believes")) == 1


@pytest.mark.parametrize("second_post", ["replaced", "doubled"])
def test_second_consent_waits_for_the_first_token_and_replaces_it(
    stack: Stack, control: Control, second_post: str
) -> None:
    control.set_policies(leaf_second_post=second_post)
    name = f"changed-mind-{second_post}"
    control.add_fault(POST, "hang", times=1, match={"external_id": name})
    grower = Grower(stack.invite(name))
    grower.authorize("partners-only")
    wait_until_held(control, name)
    grower.start(other_account=True)
    grower.sign_in("one-farm")
    grower.allow()
    grower.choose()
    first_try = connection_of(stack, name).hand_over_try
    wait_until(
        lambda: connection_of(stack, name).hand_over_try > first_try,
        what="the second token's try has begun, and waits",
    )
    control.clear_faults()
    handed_over(stack, name)
    assert_delivered(stack, name, "one-farm")
    assert [one["account"] for one in posts(stack, name)] == ["partners-only", "one-farm"]
    assert_no_token_stored(stack, "partners-only", "one-farm")


def test_two_partners_with_one_external_id_get_two_leaf_users(
    stack: Stack, control: Control, choosy_partner: str
) -> None:
    links = [stack.invite("shared-id"), stack.invite("shared-id", partner=choosy_partner)]
    growers = [Grower(link) for link in links]
    accounts = ["one-farm", "already-connected"]
    with ThreadPoolExecutor(2) as pool:
        walks = zip(growers, accounts, strict=True)
        for visit in [pool.submit(grower.connect, account) for grower, account in walks]:
            visit.result(timeout=60)
    for grower in growers:
        grower.wait_for(lambda page: page.heading == "Connected", what="the page says so")
    credentials = control.credentials("shared-id")
    assert sorted(one["account"] for one in credentials) == sorted(accounts)
    assert len({one["leafUserId"] for one in credentials}) == 2
    assert_no_token_stored(stack, *accounts)
