"""What a check asks Leaf, and what comes of each answer."""

from __future__ import annotations

from datetime import timedelta

import pytest

from onboarding import describe
from onboarding.clock import now
from onboarding.connections import attention, organizations
from onboarding.connections.selection import SET_AT_ONCE
from onboarding.deere import Deere
from onboarding.describe import Told
from onboarding.models import Connection
from onboarding.states import Cause, Health, Stage
from tests.unit.conftest import SettingsFor
from tests.unit.failures import Server
from tests.unit.leaf_double import LeafDouble, meanwhile, says
from tests.unit.tries import Tries

LEAF_USER = "leaf-y"
HEALTH = ["GET status", "GET credentials"]
"""The status call is gone there, and the credential has a status of its own."""


@pytest.fixture
def tries(tries: Tries) -> Tries:
    """Leaf has had the grower's token for three days."""
    tries.let_leaf_have_it(LEAF_USER, since=timedelta(days=3))
    return tries


def asked(tries: Tries) -> list[str]:
    """What one check asks Leaf for, besides signing in."""
    tries.leaf.asked.clear()
    tries.check()
    return [what for what in tries.leaf.asked if what != "POST sign-in"]


def told(tries: Tries) -> Told:
    """What the grower reads now."""
    return describe.connection(tries.connection(), latest=None, moment=now())


def on_the_list(tries: Tries) -> bool:
    """Whether staff find the connection among those that wait for them."""
    with tries.walk.database.reading() as session:
        return attention.count(session) == 1


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


def test_leaf_is_told_to_fetch_what_it_only_previews(tries: Tries, leaf: LeafDouble) -> None:
    leaf.connected = {"1": True, "2": True, "3": False}

    assert asked(tries).count("PATCH choice") == 2

    assert leaf.choices == {"1": "SELECTED", "2": "SELECTED", "3": "BLOCKED"}
    assert "fetching_selected" in tries.history()
    assert not tries.connection().selection_owed


def test_what_leaf_fetches_is_asked_again_only_after_something_changed(
    tries: Tries, leaf: LeafDouble
) -> None:
    leaf.connected = {"1": True}
    assert "GET choices" in asked(tries)
    assert "GET choices" not in asked(tries)

    tries.put(sync_owed=True)
    assert "GET choices" in asked(tries)


def test_a_partner_that_chooses_is_left_to_choose(tries: Tries, leaf: LeafDouble) -> None:
    tries.choose_organizations()
    leaf.connected = {"1": True}

    assert "PATCH choice" not in asked(tries)

    assert leaf.choices == {"1": "PREVIEW"}
    assert [row.sync_choice for row in tries.connection().organizations] == ["PREVIEW"]
    assert told(tries).tone == "ok"


@pytest.mark.parametrize("status", [400, 403, 404, 503])
def test_leaf_that_refuses_to_fetch_is_not_called_connected_and_waits_for_staff(
    tries: Tries, leaf: LeafDouble, status: int
) -> None:
    leaf.connected = {"1": True}
    leaf.answers["PATCH choice"] = [says(status, {"title": "Not now"})]

    tries.check()

    connection = tries.connection()
    assert (connection.stage, connection.health) == (Stage.CONNECTED, Health.OK)
    assert told(tries).code == "nothing_fetched"
    assert on_the_list(tries)
    assert f"HTTP {status}" in describe.for_staff(connection)

    tries.check()  # it may be told now
    assert leaf.choices == {"1": "SELECTED"}
    assert told(tries).tone == "ok"
    assert not on_the_list(tries)


def test_what_leaf_keeps_blocked_is_not_called_connected(tries: Tries, leaf: LeafDouble) -> None:
    leaf.connected = {"1": True}
    leaf.answers["POST sync"] = [says(200, {})]  # it has not had its effect yet
    leaf.choices = {"1": "BLOCKED"}

    tries.check()
    assert told(tries).code == "nothing_fetched"
    leaf.answers["GET choices"] = [says(503, {})]
    tries.check()
    assert told(tries).code == "nothing_fetched"

    leaf.choices = {"1": "PREVIEW"}
    tries.check()
    assert leaf.choices == {"1": "SELECTED"}
    assert told(tries).tone == "ok"


def test_one_refusal_keeps_no_other_organization_from_being_fetched(
    tries: Tries, leaf: LeafDouble
) -> None:
    leaf.connected = {"1": True, "2": True}
    leaf.answers["PATCH choice"] = [says(400, {})]

    tries.check()

    assert sorted(leaf.choices.values()) == ["PREVIEW", "SELECTED"]
    assert tries.connection().selection_owed
    tries.check()
    assert set(leaf.choices.values()) == {"SELECTED"}


def test_a_grower_with_very_many_organizations_does_not_use_up_leafs_limit(
    tries: Tries, leaf: LeafDouble
) -> None:
    leaf.connected = {str(number): True for number in range(SET_AT_ONCE + 1)}

    assert asked(tries).count("PATCH choice") == SET_AT_ONCE
    assert asked(tries).count("PATCH choice") == 1

    assert set(leaf.choices.values()) == {"SELECTED"}


@pytest.mark.parametrize("refused", ["POST sync", "GET organizations", "GET choices", "GET status"])
def test_what_leaf_refuses_hides_none_of_its_other_answers(
    tries: Tries, leaf: LeafDouble, refused: str
) -> None:
    leaf.connected = {"1": True}
    tries.check()
    leaf.connected = {"1": True, "2": True}
    leaf.choices = {"1": "PREVIEW"}
    leaf.answers[refused] = [says(400, {"title": "Sync is running"})]
    tries.put(sync_owed=True, checked_at=None)

    everything = {"GET status", "GET organizations", "POST sync", "GET choices"}
    assert everything <= set(asked(tries))

    connection = tries.connection()
    assert "HTTP 400: Sync is running" in connection.detail
    assert (connection.checked_at is None) is (refused == "GET status")
    assert connection.sync_owed is (refused == "POST sync")
    assert shared(connection) == ({"1"} if refused == "GET organizations" else {"1", "2"})


def test_a_refused_sync_is_not_called_leafs_silence_and_waits_for_staff(
    tries: Tries, leaf: LeafDouble
) -> None:
    leaf.connected = {"1": True}
    tries.check()
    for number in range(1, 4):
        leaf.answers["POST sync"] = [says(409, {"title": "Sync is running"})]
        tries.put(sync_owed=True, checked_at=now() - timedelta(days=3))
        tries.check()
        assert on_the_list(tries) is (number == 3)

    assert told(tries).code == "connected"
    assert tries.connection().cause is Cause.CHECK_REFUSED
    assert "HTTP 409: Sync is running" in describe.for_staff(tries.connection())
    tries.check()  # it is over
    assert not on_the_list(tries)


def test_a_sign_in_that_leaf_refuses_for_long_waits_for_staff(
    tries: Tries, leaf: LeafDouble
) -> None:
    leaf.answers["POST sign-in"] = [says(401, {})] * 3
    for number in range(1, 4):
        tries.check()
        assert on_the_list(tries) is (number == 3)

    assert tries.connection().cause is Cause.LEAF_SIGN_IN_REFUSED
    tries.check()
    assert not on_the_list(tries)


def test_leaf_that_is_away_is_asked_one_thing_and_waits_for_nobody(
    tries: Tries, leaf: LeafDouble
) -> None:
    for _ in range(3):
        leaf.answers["GET status"] = [says(503, {})]
        assert asked(tries) == ["GET status"]

    assert not on_the_list(tries)


def test_an_answer_without_any_list_unshares_nothing(tries: Tries, leaf: LeafDouble) -> None:
    leaf.connected = {"1": True}
    tries.check()
    leaf.answers["GET organizations"] = [says(200, {"message": "in progress"})]

    tries.check()

    assert shared(tries.connection()) == {"1"}
    assert tries.connection().stage is Stage.CONNECTED
    assert told(tries).code == "connected"


def test_a_sync_that_becomes_owed_while_another_is_under_way_stays_owed(
    tries: Tries, leaf: LeafDouble, settings_for: SettingsFor, server: Server
) -> None:
    deere = Deere(settings_for(server.http), remembered=lambda: None, remember=lambda _text: None)

    def go_and_choose() -> None:
        with tries.walk.database.transaction() as session:
            connection = session.get_one(Connection, tries.connection().id)
            organizations.page_for(session, deere, connection, organization_id=None)

    leaf.answers["POST sync"] = [meanwhile(go_and_choose, says(200, {}))]
    tries.put(sync_owed=True)
    tries.check()

    connection = tries.connection()
    assert connection.sync_owed
    assert connection.check_due_at is not None
    assert connection.check_due_at - now() > timedelta(seconds=20)
    assert "POST sync" in asked(tries)


def test_an_empty_credential_is_none_whichever_call_shows_it(
    tries: Tries, leaf: LeafDouble
) -> None:
    leaf.answers["GET credentials"] = [says(200, {})]

    tries.check()

    assert tries.connection().cause is Cause.CREDENTIAL_MISSING
    assert told(tries).code == "credential_missing"
