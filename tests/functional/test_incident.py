"""Many connections stop working at once: one banner, and no alarm about any of them."""

from __future__ import annotations

from onboarding.clock import now
from onboarding.connections.incidents import LEAST
from onboarding.states import Health
from tests.support.control import Control
from tests.support.mailed import Mailed
from tests.support.people import People
from tests.support.stack import Stack
from tests.support.tokens import change
from tests.support.wait import wait_until


def let_leaf_say(control: Control, grower: Mailed, word: Health | None) -> None:
    user = grower.person.connection().grower.leaf_user_id
    assert user is not None
    control.set_leaf_status(user, word)


def test_secret_that_is_changed_at_john_deere_is_no_matter_of_each_grower(
    stack: Stack, people: People, control: Control
) -> None:
    growers = [Mailed.invited(stack, people) for _ in range(LEAST)]
    for grower in growers:
        grower.person.connect("already-connected")
        grower.person.wait_for_code("connected")
        wait_until(grower.mails, what="the mail that says so has come")
    for grower in growers:
        let_leaf_say(control, grower, Health.UNAUTHENTICATED)
    for grower in growers:
        change(stack, grower.person.connection(), check_due_at=now())
    for grower in growers:
        grower.person.wait_for_code("refused_with_many")

    listed = stack.cli("connection", "list").stderr
    assert listed.count("Incident of our application") == 1
    assert "was the client secret of DEERE_CLIENT_KEY changed" in listed
    page = growers[0].person.open()
    assert page.status == 200
    assert "Connect again" in page.html

    for grower in growers:
        let_leaf_say(control, grower, None)
        change(stack, grower.person.connection(), check_due_at=now())
    for grower in growers:
        grower.person.wait_for_code("connected")
        assert grower.person.events("repaired")
    wait_until(lambda: "Incident" not in stack.cli("connection", "list").stderr, what="it is over")
    for grower in growers:
        assert len(grower.mails()) == 1, "nobody was asked for anything"
