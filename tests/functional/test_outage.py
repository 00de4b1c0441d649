"""Leaf is away for all: the workers stop asking, the doctor says so, and all goes on afterwards."""

from __future__ import annotations

from onboarding.connections import pace
from onboarding.states import Cause
from tests.support.control import Control
from tests.support.people import People, Person
from tests.support.stack import WORKER, Stack
from tests.support.wait import wait_until

ACCOUNT = "already-connected"
GROWERS = 6


def test_outage_is_found_once_for_all_and_ends_by_itself(
    people: People, control: Control, stack: Stack
) -> None:
    settled = people.invited()
    settled.connect(ACCOUNT)
    settled.wait_for_code("connected")
    control.add_fault("leaf.users.list", "status", status=503)
    control.add_fault("leaf.status", "status", status=503)
    growers = [people.invited() for _ in range(GROWERS)]
    for grower in growers:
        grower.connect(ACCOUNT)
    wait_until(lambda: _is_down(stack), what="the workers take Leaf for down")
    told = stack.cli("doctor", check=False)
    assert told.returncode == 1
    assert "WRONG Leaf is down for the workers since" in told.stdout
    for grower in growers:
        wait_until(lambda grower=grower: _waits(grower), what="the hand-over is a state")  # type: ignore[misc]
        assert grower.connection().cause is Cause.LEAF_UNAVAILABLE
        assert grower.connection().refresh_token is not None
    # What was on its way when Leaf was taken for down has ended by the first try.
    wait_for_try(stack)
    seen = control.last_seq()
    wait_for_try(stack)
    asked = [one for one in control.journal(after=seen) if one["point"].startswith("leaf.")]
    # Six growers' tokens wait, each with pauses of a few seconds: not one of them asks.
    assert {one["external_id"] for one in asked} <= {"onboarding-looks-whether-leaf-answers"}
    control.clear_faults()
    for grower in growers:
        grower.wait_for_code("connected", limit=120)
    assert not _is_down(stack)
    assert "Leaf answers again" in stack.log(WORKER)
    made = control.journal(after=seen, point="leaf.credentials.create", status=201)
    assert len(made) == GROWERS


def wait_for_try(stack: Stack) -> None:
    """Wait until a worker has found once more that Leaf is still down."""
    wanted = _tries(stack) + 1
    wait_until(lambda: _tries(stack) >= wanted, what="one worker tries", limit=90)


def _tries(stack: Stack) -> int:
    return stack.log(WORKER).count("Leaf is still down")


def _is_down(stack: Stack) -> bool:
    with stack.installation.database.reading() as session:
        return pace.word(session).down_since is not None


def _waits(grower: Person) -> bool:
    return grower.connection().waiting_since is not None
