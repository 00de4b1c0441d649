"""Whatever Leaf does on a bad day: one credential with the right token, and none left with us."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest

from onboarding.connections import invitations
from onboarding.connections.hand_over import GIVEN_UP_AFTER, retry
from onboarding.models import Connection
from onboarding.states import Cause, Health, Stage
from tests.support.control import Control, Entry
from tests.support.grower import Grower
from tests.support.stack import WORKER, Stack
from tests.support.tokens import (
    POST,
    assert_delivered,
    assert_no_token_stored,
    change,
    connection_of,
    handed_over,
    issued,
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
def without_limit(running_stack: Stack) -> Iterator[None]:
    """Let the worker ask Leaf as often as it likes: many growers come at once here."""
    running_stack.environment["LEAF_REQUESTS_PER_MINUTE"] = "60000"
    _end_worker(running_stack)
    yield
    del running_stack.environment["LEAF_REQUESTS_PER_MINUTE"]
    _end_worker(running_stack)


def _end_worker(stack: Stack) -> None:
    if stack.is_running(WORKER):
        stack.kill(WORKER)


@pytest.fixture(scope="module", autouse=True)
def choosy_partner(running_stack: Stack) -> str:
    """A partner who chooses organizations at Leaf, so that the configuration is written, too."""
    with running_stack.installation.database.transaction() as session:
        if session.scalar(invitations.partner_named("choosy")) is None:
            invitations.add_partner(
                session, slug="choosy", name="Choosy Co-op", select_organizations=True
            )
    return "choosy"


def connect_all(stack: Stack, names: Collection[str], account: str, **more: Any) -> None:
    """Let many growers walk at the same time."""
    growers = [Grower(stack.invite(name, **more)) for name in names]
    with ThreadPoolExecutor(8) as pool:
        for visit in [pool.submit(grower.connect, account) for grower in growers]:
            visit.result(timeout=90)


def assert_each_delivered(stack: Stack, names: Collection[str], account: str) -> None:
    """Each of them has exactly one credential, and no two have the same."""
    given = {
        name: stack.control.credentials(name)[0]["givenRefreshToken"]
        for name in names
        if handed_over(stack, name, limit=60)
    }
    assert sorted(given.values()) == sorted(issued(stack, account))
    for name in names:
        assert_delivered(stack, name, account, token=given[name])
    assert_no_token_stored(stack, account)


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


def test_sign_in_that_fails_or_expires_holds_nobody_up(stack: Stack, control: Control) -> None:
    connect_all(stack, ["sign-in-works"], "one-farm")
    handed_over(stack, "sign-in-works")
    control.expire_leaf_tokens()
    for how in ("503-later", "html"):
        control.add_fault(AUTHENTICATE, times=1, **FAILURES[how])
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


def outage(control: Control) -> None:
    """From now on Leaf shows nobody a credential, and takes none."""
    for where in (GET, POST):
        control.add_fault(where, "status", status=503)


def wait_until_waiting(stack: Stack, name: str, cause: Cause) -> Connection:
    def waits() -> Connection | None:
        found = connection_of(stack, name)
        return found if found.waiting_since is not None and found.cause is cause else None

    found = wait_until(waits, what=f"{name} waits because of {cause}")
    assert found is not None
    return found


def wait_until_failed(stack: Stack, name: str) -> Connection:
    def failed() -> Connection | None:
        found = connection_of(stack, name)
        return found if found.stage is Stage.FAILED else None

    found = wait_until(failed, what=f"{name} has failed", limit=45)
    assert found is not None
    return found


def wait_until_held(control: Control, name: str) -> None:
    control.wait_for(
        lambda one: bool(one["external_id"] == name and one["fault"] == "hang"),
        what=f"a request of {name} is held",
    )


def test_token_is_given_up_after_a_month_and_can_still_be_rescued(
    stack: Stack, control: Control
) -> None:
    names = ["given-up-retried", "given-up-again"]
    outage(control)
    connect_all(stack, names, "one-farm")
    for name in names:
        connection = wait_until_waiting(stack, name, Cause.LEAF_UNAVAILABLE)
        assert connection.waiting_since is not None
        assert connection.token_received_at is not None
        month = GIVEN_UP_AFTER + timedelta(days=1)
        change(stack, connection, token_received_at=connection.token_received_at - month)
        change(stack, connection, waiting_since=connection.waiting_since - timedelta(seconds=25))
    grower, again = (Grower(stack.invite(name)) for name in names)
    assert grower.open().heading in {"Waiting for Leaf", "Something went wrong on our side"}
    for name in names:
        connection = wait_until_failed(stack, name)
        assert connection.cause is Cause.GIVEN_UP
        assert connection.refresh_token is not None
        assert connection.hand_over_due_at is None
    assert grower.open().heading == "Something went wrong on our side"
    reference = connection_of(stack, names[0]).reference
    shown = stack.cli("connection", "show", reference).stdout
    assert "Leaf could not take the token for 30 days" in shown
    assert_no_token_stored(stack, "one-farm")
    tokens = issued(stack, "one-farm")
    control.clear_faults()
    stack.cli("connection", "retry", reference)
    handed_over(stack, names[0])
    given = control.credentials(names[0])[0]["givenRefreshToken"]
    assert given in tokens
    assert_delivered(stack, names[0], "one-farm", token=given)
    again.open()
    again.start()
    again.sign_in("already-connected")
    again.allow()
    handed_over(stack, names[1])
    assert_delivered(stack, names[1], "already-connected")


REFUSALS = {
    "refused-token": (400, "The refresh token is not valid: invalid_grant", Cause.LEAF_REFUSED),
    "refused-stage": (
        400,
        "clientEnvironment does not match the environment of the application.",
        Cause.ENVIRONMENT_MISMATCH,
    ),
    "refused-user": (404, "The user was not found.", Cause.LEAF_USER_MISSING),
}


def test_refusal_is_for_staff_who_see_why_and_can_have_it_tried_again(
    stack: Stack, control: Control
) -> None:
    for name, (status, detail, _) in REFUSALS.items():
        body = {"title": "Bad Request", "detail": detail, "status": status}
        fault = {"status": status, "body": body, "match": {"external_id": name}}
        control.add_fault(POST, "status", **fault)
    connect_all(stack, REFUSALS, "one-farm")
    for name, (status, detail, cause) in REFUSALS.items():
        connection = wait_until_failed(stack, name)
        assert (name, connection.cause) == (name, cause)
        assert connection.refresh_token is not None
        page = Grower(stack.invite(name)).open()
        assert page.heading == "Something went wrong on our side"
        assert connection.reference in page.text
        assert f"HTTP {status}: Bad Request: {detail}" in connection.detail
    shown = stack.cli("connection", "show", connection.reference).stdout
    assert connection.detail in shown
    assert_no_token_stored(stack, "one-farm")
    control.clear_faults()
    for name in REFUSALS:
        assert posts(stack, name) == []
        with stack.installation.database.transaction() as session:
            retry(session, stack.installation.queue, connection_of(stack, name))
    assert_each_delivered(stack, REFUSALS, "one-farm")


def test_token_that_died_on_its_way_is_refused_or_found_out_later(
    stack: Stack, control: Control
) -> None:
    for name, policy in (("died-refused", "refused"), ("died-later", "found_later")):
        control.set_policies(leaf_bad_token=policy)
        control.add_fault(GET, "hang", times=1, match={"external_id": name})
        grower = Grower(stack.invite(name))
        grower.connect("one-farm")
        wait_until_held(control, name)
        control.revoke("one-farm")
        control.clear_faults()
        if policy == "refused":
            assert wait_until_failed(stack, name).cause is Cause.LEAF_REFUSED
        else:
            grower.wait_for(
                lambda page: page.heading == "Please connect again", what="the page says so"
            )
            assert connection_of(stack, name).health is Health.UNAUTHENTICATED
            assert connection_of(stack, name).refresh_token is None


def test_refused_sign_in_waits_for_staff_and_recovers(stack: Stack, control: Control) -> None:
    control.expire_leaf_tokens()
    control.add_fault(AUTHENTICATE, "status", status=401, body={"title": "Bad credentials"})
    connect_all(stack, ["locked-out"], "one-farm")
    connection = wait_until_waiting(stack, "locked-out", Cause.LEAF_SIGN_IN_REFUSED)
    assert connection.stage is Stage.HANDING_OVER
    shown = stack.cli("connection", "show", connection.reference).stdout
    assert "set LEAF_USERNAME and LEAF_PASSWORD right" in shown
    # As staff do it: they set the password right, and start the worker anew.
    assert stack.stop(WORKER) == 0
    control.clear_faults()
    stack.start_worker()
    handed_over(stack, "locked-out", limit=60)
    assert_delivered(stack, "locked-out", "one-farm")
    assert len(control.journal(point=AUTHENTICATE, status=401)) == 1
