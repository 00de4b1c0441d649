"""What only a person can mend keeps the token until it is mended, and staff see what it is."""

from __future__ import annotations

import base64
import secrets
from datetime import timedelta

from onboarding.connections.hand_over import retry
from onboarding.models import Connection
from onboarding.states import Cause, Environment, Health, Stage
from tests.support.control import Control
from tests.support.crowd import assert_each_delivered, connect_all
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
)
from tests.support.wait import wait_until

AUTHENTICATE = "leaf.authenticate"
GET = "leaf.credentials.get"


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

    found = wait_until(failed, what=f"{name} has failed", limit=90)
    assert found is not None
    return found


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
        month = timedelta(days=30, minutes=1)
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
        # Without hurry, but it sees by itself when staff have had it tried again.
        assert (page.main["data-polling"], page.refresh_seconds) == ("true", 20)
        assert f"HTTP {status}: Bad Request: {detail}" in connection.detail
    shown = stack.cli("connection", "show", connection.reference).stdout
    assert connection.detail in shown
    assert_no_token_stored(stack, "one-farm")
    control.clear_faults()
    # What somebody else brings meanwhile must not pass for the token that was refused.
    foreign = connection_of(stack, "refused-token").grower.leaf_user_id
    assert foreign is not None
    stack.installation.leaf().attach(
        foreign,
        client_key=stack.environment["DEERE_CLIENT_KEY"],
        client_secret=stack.environment["DEERE_CLIENT_SECRET"],
        refresh_token=issued(stack, "one-farm")[-1],
        environment=Environment.STAGE,
    )
    for name in REFUSALS:
        with stack.installation.database.transaction() as session:
            retry(session, stack.installation.queue, connection_of(stack, name))
    assert_each_delivered(stack, REFUSALS, "one-farm")


def test_token_that_died_on_its_way_is_refused_or_found_out_later(
    stack: Stack, control: Control
) -> None:
    for name, policy in (("died-refused", "refused"), ("died-later", "found_later")):
        control.set_policies(leaf_bad_token=policy)
        control.add_fault(GET, "hang", times=1, match={"external_id": name})
        grower, seen = Grower(stack.invite(name)), control.last_seq()
        grower.connect("one-farm")
        control.wait_for(
            lambda one: bool(one["fault"] == "hang"), what="the token is on its way", after=seen
        )
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
    control.add_fault(AUTHENTICATE, "status", status=401, body={"title": "Bad credentials"})
    control.expire_leaf_tokens()
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


def test_token_that_no_key_reads_waits_until_the_key_is_back(stack: Stack) -> None:
    stack.stop(WORKER)
    connect_all(stack, ["locked-in"], "one-farm")
    keys = stack.environment["ENCRYPTION_KEYS"]
    other = base64.urlsafe_b64encode(secrets.token_bytes(32)).decode()
    stack.environment["ENCRYPTION_KEYS"] = other
    try:
        stack.start_worker()
        waits = wait_until_waiting(stack, "locked-in", Cause.TOKEN_UNREADABLE)
    finally:
        stack.environment["ENCRYPTION_KEYS"] = keys
    shown = stack.cli("connection", "show", waits.reference).stdout
    assert "bring the old key back" in shown
    assert stack.stop(WORKER) == 0
    stack.start_worker()
    assert_each_delivered(stack, ["locked-in"], "one-farm")
