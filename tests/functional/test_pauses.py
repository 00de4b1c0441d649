"""Pauses at John Deere: one is told once it lasts, and many at once are one incident."""

from __future__ import annotations

from datetime import timedelta

from onboarding.clock import now
from onboarding.connections.incidents import LEAST
from onboarding.states import Health
from tests.support.control import Control
from tests.support.people import People, Person
from tests.support.stack import Stack
from tests.support.wait import wait_until

ACCOUNT = "already-connected"
PAUSE = "A pause at John Deere"
TO_ALL = "John Deere has trouble at the moment, for many farms."
TO_STAFF = "Incident at John Deere since"
MINUTE = timedelta(minutes=1)


def connected(people: People) -> Person:
    grower = people.invited()
    grower.connect(ACCOUNT)
    grower.wait_for_code("connected")
    return grower


def say(control: Control, grower: Person, health: Health) -> None:
    """Let Leaf say so from now on, and wait until we have heard it."""
    leaf_user_id = grower.connection().grower.leaf_user_id
    assert leaf_user_id
    control.set_leaf_status(leaf_user_id, health.value)
    grower.come_back()
    wait_until(lambda: grower.connection().health is health, what=f"Leaf has said {health}")


def test_pause_is_told_after_a_quarter_of_an_hour_and_its_end_is_a_repair(
    people: People, control: Control
) -> None:
    grower = connected(people)
    say(control, grower, Health.TEMPORARILY_UNAVAILABLE)
    began = grower.connection().health_since
    assert began is not None
    assert grower.open().heading == "Connected"
    control.move_clock(began + 14 * MINUTE - now())
    assert grower.open().heading == "Connected"
    control.move_clock(began + 16 * MINUTE - now())
    page = grower.open()
    assert page.heading == PAUSE
    assert "You do not have to do anything" in page.text
    assert grower.events("repaired") == []
    say(control, grower, Health.OK)
    assert grower.open().heading == "Connected"
    assert len(grower.events("repaired")) == 1


def test_many_pauses_at_once_are_one_incident_for_staff_and_one_banner_for_growers(
    stack: Stack, people: People, control: Control
) -> None:
    growers = [connected(people) for _ in range(LEAST + 1)]
    *turned, well = growers
    for grower in turned:
        say(control, grower, Health.TEMPORARILY_UNAVAILABLE)
    wait_until(lambda: TO_ALL in well.open().text, what="those who are well read of it, too")
    assert well.page.heading == "Connected"
    told = stack.cli("connection", "list")
    assert (told.stdout + told.stderr).count(TO_STAFF) == 1
    # Also once it lasts, nobody is on the list for staff, and each reads it once.
    control.move_clock(16 * MINUTE)
    for grower in turned:
        page = grower.open()
        assert page.heading == PAUSE
        assert TO_ALL not in page.text
    assert all(
        one.connection().reference not in stack.cli("connection", "list").stdout for one in turned
    )
    for grower in turned:
        say(control, grower, Health.OK)
        assert len(grower.events("repaired")) == 1
    wait_until(lambda: TO_ALL not in well.open().text, what="it is over")
    told = stack.cli("connection", "list")
    assert TO_STAFF not in told.stdout + told.stderr
