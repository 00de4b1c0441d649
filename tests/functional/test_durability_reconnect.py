"""A reconnect that is cut off anywhere ends with the new credential alone at Leaf."""

from __future__ import annotations

import pytest

from onboarding.models import Connection
from onboarding.states import Stage
from tests.support.control import Control, hold, wait_for_held
from tests.support.grower import Grower
from tests.support.stack import WORKER, Stack
from tests.support.tokens import (
    POST,
    assert_delivered,
    assert_no_token_stored,
    connection_of,
    handed_over,
    happened,
    issued,
    let_stray_requests_end,
    posts,
)
from tests.support.wait import wait_until

TAKEN_OVER_SECONDS = 60.0
EVENTS, DELETE = "leaf.events", "leaf.credentials.delete"
PLACES = {
    "looking": ("leaf.credentials.get", "before"),
    "copying": (EVENTS, "before"),
    "before-delete": (DELETE, "before"),
    "after-delete": (DELETE, "after"),
    "before-post": (POST, "before"),
    "after-post": (POST, "after"),
}
"""Where a worker may stand when it is killed."""


def reconnect(grower: Grower, account: str) -> None:
    """Connect once more, with another account."""
    grower.open()
    grower.start(other_account=True)
    grower.sign_in(account)
    if grower.page.find("Allow Access"):
        grower.allow()


def lingers(connection: Connection) -> bool:
    """Whether only a request that was cut off is still waited for."""
    return (
        connection.stage is Stage.HANDING_OVER
        and connection.stray_since is not None
        and connection.hand_over_taken_by is None
    )


def reaches_leaf(stack: Stack, name: str) -> None:
    """Wait until the new credential has been made; the token may be kept a while longer."""
    wait_until(
        lambda: lingers(connection_of(stack, name)) or connection_of(stack, name).is_at_leaf,
        what=f"the new credential of {name} is there",
        limit=TAKEN_OVER_SECONDS,
    )


def delivered_at_last(stack: Stack, name: str, token: str) -> None:
    """Nothing that was cut off can come any more, and Leaf holds the new credential alone."""
    if lingers(row := connection_of(stack, name)):
        assert row.refresh_token is not None
        let_stray_requests_end(stack, row)
    handed_over(stack, name, limit=TAKEN_OVER_SECONDS)
    (credential,) = stack.control.credentials(name)
    assert (credential["givenRefreshToken"], credential["live"]) == (token, True)
    assert connection_of(stack, name).stray_since is None


@pytest.mark.parametrize("released", ["at once", "last"])
@pytest.mark.parametrize("second_post", ["refused", "replaced"])
def test_worker_killed_anywhere_in_a_reconnect_leaves_the_new_credential_alone(
    stack: Stack, control: Control, second_post: str, released: str
) -> None:
    control.set_policies(leaf_second_post=second_post)
    names = {f"{second_post}-{released}-{name}": place for name, place in PLACES.items()}
    growers = {name: Grower(stack.invite(name)) for name in names}
    for name, grower in growers.items():
        grower.connect("one-farm")
        handed_over(stack, name)
    for name, (where, when) in names.items():
        hold(control, where, when=when, external_id=name)
        reconnect(growers[name], "three-farms")
    for name, (where, _) in names.items():
        wait_for_held(control, where, external_id=name)
    stack.kill(WORKER)
    tokens = dict(zip(names, issued(stack, "three-farms"), strict=True))
    if released == "at once":
        control.clear_faults()
    stack.start_worker()
    for name in names:
        reaches_leaf(stack, name)
    if released == "last":
        # What the dead worker had sent is carried out after all: a DELETE hits the new credential.
        control.clear_faults()
        for name, (where, _) in names.items():
            control.wait_for(
                lambda entry, name=name, where=where: bool(  # type: ignore[misc]
                    entry["point"] == where
                    and entry["external_id"] == name
                    and entry["fault"] == "hang"
                    and entry["answered"]
                ),
                what="the dead worker's request is answered",
            )
        assert control.credentials(f"{second_post}-last-before-delete") == []
    for name, token in tokens.items():
        delivered_at_last(stack, name, token)
        assert "credential_replaced" in happened(stack, connection_of(stack, name))
    assert_no_token_stored(stack, "one-farm", "three-farms")


@pytest.mark.parametrize("answers", ["current", "older"])
def test_worker_killed_while_it_replaces_a_credential_knows_it_though_its_token_was_rotated(
    stack: Stack, control: Control, answers: str
) -> None:
    # Rotating: the credential then shows another token than the one that was handed over.
    control.set_policies(leaf_answers=answers, deere_refresh_tokens="rotating")
    places = {f"{answers}-deleted": DELETE, f"{answers}-posted": POST}
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
        reaches_leaf(stack, name)
        delivered_at_last(stack, name, token)
        assert_delivered(stack, name, "three-farms", token=token)
        assert len(posts(stack, name)) == 2
    assert_no_token_stored(stack, "one-farm", "three-farms")


@pytest.mark.parametrize("second_post", ["refused", "replaced", "doubled"])
@pytest.mark.parametrize("account", ["one-farm", "three-farms"])
def test_reconnect_replaces_the_credential_whatever_leaf_does_with_a_second_post(
    stack: Stack, control: Control, second_post: str, account: str
) -> None:
    name = f"again-{second_post}-{account}"
    control.set_policies(leaf_second_post=second_post)
    grower = Grower(stack.invite(name))
    grower.connect("one-farm")
    before = handed_over(stack, name)
    (first,) = control.credentials(name)
    seen = control.last_seq()
    reconnect(grower, account)
    handed_over(stack, name)
    second = assert_delivered(stack, name, account)
    assert second["id"] != first["id"]
    after = connection_of(stack, name)
    assert after.grower.leaf_user_id == before.grower.leaf_user_id
    assert after.reference == before.reference
    asked = [one["point"] for one in control.journal(external_id=name, after=seen)]
    assert asked.index(EVENTS) < asked.index(DELETE) < asked.index(POST)
    assert happened(stack, after).count("handed_over") == 2
    assert_no_token_stored(stack, account)
