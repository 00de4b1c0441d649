"""What a check asks Leaf, and what comes of each answer."""

from __future__ import annotations

from datetime import timedelta

import pytest

from onboarding.clock import now
from onboarding.models import Connection, Link
from onboarding.states import Health, Stage
from tests.unit.failures import Server
from tests.unit.leaf_double import LeafDouble, says
from tests.unit.tries import TOKEN, Tries
from tests.unit.walk import Walk

LEAF_USER = "leaf-y"
HEALTH = ["GET status", "GET credentials"]
"""The status call is gone there, and the credential has a status of its own."""


@pytest.fixture
def leaf(server: Server) -> LeafDouble:
    return LeafDouble(server)


@pytest.fixture
def tries(walk: Walk, leaf: LeafDouble, link: Link) -> Tries:
    """Leaf has the grower's token since three days, and has been asked about it since."""
    tries = Tries(walk, leaf, link)
    tries.consent()
    tries.set_leaf_user(LEAF_USER)
    leaf.hold(LEAF_USER, TOKEN)
    long_ago = now() - timedelta(days=3)
    tries.put(
        stage=Stage.CHOOSING_ORGANIZATIONS,
        health=Health.OK,
        refresh_token=None,
        hand_over_due_at=None,
        token_received_at=long_ago,
        handed_over_at=long_ago,
        checks=7,
    )
    return tries


def asked(tries: Tries) -> list[str]:
    """What one check asks Leaf for, besides signing in."""
    tries.leaf.asked.clear()
    tries.check()
    return [what for what in tries.leaf.asked if what != "POST sign-in"]


def shared(connection: Connection) -> set[str]:
    return {row.deere_id for row in connection.organizations if row.connected}


def test_an_organization_that_leaf_finds_connected_is_synced_at_once(
    tries: Tries, leaf: LeafDouble
) -> None:
    """The grower saved at John Deere and did not come back: nobody else has said so."""
    leaf.connected = {"1": True, "2": False}

    assert asked(tries)[:4] == [*HEALTH, "GET organizations", "POST sync"]

    connection = tries.connection()
    assert shared(connection) == {"1"}
    assert connection.stage is Stage.CONNECTED
    assert not connection.sync_owed


def test_a_new_account_is_synced_once_and_not_for_ever(tries: Tries, leaf: LeafDouble) -> None:
    leaf.connected = {"1": True}
    assert "POST sync" in asked(tries)

    assert "POST sync" not in asked(tries)
    leaf.connected = {"1": True, "2": True}
    assert "POST sync" in asked(tries)
    assert "POST sync" not in asked(tries)


def test_a_sync_that_was_spent_while_the_grower_still_chose_is_made_good(
    tries: Tries, leaf: LeafDouble
) -> None:
    leaf.connected = {"1": False}
    tries.put(sync_owed=True)
    assert "POST sync" in asked(tries)
    assert leaf.choices == {"1": "BLOCKED"}

    leaf.connected = {"1": True}
    assert "POST sync" in asked(tries)

    assert leaf.choices["1"] != "BLOCKED"


def test_a_sync_that_fails_is_owed_and_sent_by_the_next_check(
    tries: Tries, leaf: LeafDouble
) -> None:
    leaf.connected = {"1": True}
    leaf.answers["POST sync"] = [says(503, {})]

    tries.check()

    connection = tries.connection()
    assert shared(connection) == {"1"}
    assert connection.sync_owed
    assert connection.check_due_at is not None
    assert connection.check_due_at - now() < timedelta(minutes=2)
    assert "POST sync" in asked(tries)
    assert not tries.connection().sync_owed
