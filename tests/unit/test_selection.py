"""What staff choose of what Leaf fetches: it is told, and the choice stands."""

from __future__ import annotations

import pytest

from onboarding.connections import history, selection
from onboarding.errors import InputInvalid
from onboarding.models import Connection
from onboarding.states import Cause, Stage, SyncChoice, Urgency
from tests.unit.leaf_double import LeafDouble, says
from tests.unit.tries import Tries

PREVIEW, SELECTED = SyncChoice.PREVIEW, SyncChoice.SELECTED


@pytest.fixture(autouse=True)
def connected(tries: Tries, leaf: LeafDouble) -> None:
    """Two organizations are shared, and Leaf fetches both; a third is not shared."""
    tries.once()
    leaf.connected = {"1": True, "2": True, "3": False}
    tries.check()
    assert leaf.choices == {"1": "SELECTED", "2": "SELECTED", "3": "BLOCKED"}


def choose(tries: Tries, organization: str, choice: SyncChoice) -> Connection:
    with tries.walk.database.transaction() as session:
        connection = session.get_one(Connection, tries.connection().id)
        selection.choose(session, connection, organization, choice, who=history.STAFF)
    return tries.connection()


def owed(tries: Tries) -> list[str]:
    return [row.deere_id for row in tries.connection().organizations if row.is_choice_owed]


def test_choice_is_told_by_the_next_check_which_is_due_at_once(
    tries: Tries, leaf: LeafDouble
) -> None:
    asked = choose(tries, "2", PREVIEW)
    assert asked.check_urgency == Urgency.LOOK
    assert owed(tries) == ["2"]
    tries.check()
    assert leaf.choices == {"1": "SELECTED", "2": "PREVIEW", "3": "BLOCKED"}
    assert owed(tries) == []
    assert tries.history()[-2:] == ["sync_choice_asked", "fetching_stopped"]
    choose(tries, "2", SELECTED)
    tries.check()
    assert leaf.choices["2"] == "SELECTED"


def test_choice_stands_when_leaf_forgets_it(tries: Tries, leaf: LeafDouble) -> None:
    choose(tries, "2", PREVIEW)
    tries.check()
    leaf.choices["2"] = "SELECTED"
    tries.put(sync_owed=True)
    tries.check()
    assert leaf.choices["2"] == "PREVIEW"


def test_choice_waits_while_leaf_is_down_or_refuses_it(tries: Tries, leaf: LeafDouble) -> None:
    choose(tries, "2", PREVIEW)
    for status in (503, 400):
        leaf.answers["PATCH choice"] = [says(status, {"title": "Not now"})]
        tries.check()
        assert owed(tries) == ["2"]
        assert f"HTTP {status}" in tries.connection().detail
    tries.check()
    assert owed(tries) == []


def test_nothing_is_fetched_on_purpose(tries: Tries, leaf: LeafDouble) -> None:
    for organization in ("1", "2"):
        choose(tries, organization, PREVIEW)
    tries.check()
    assert set(leaf.choices.values()) == {"PREVIEW", "BLOCKED"}
    assert tries.connection().cause is not Cause.NOTHING_FETCHED


def test_staff_choose_for_a_partner_that_chooses_and_leave_it_the_others(
    tries: Tries, leaf: LeafDouble
) -> None:
    tries.choose_organizations()
    leaf.choices = {"1": "PREVIEW", "2": "PREVIEW", "3": "BLOCKED"}
    choose(tries, "1", SELECTED)
    tries.check()
    assert leaf.choices == {"1": "SELECTED", "2": "PREVIEW", "3": "BLOCKED"}


def test_choice_is_told_again_when_it_is_shared_again(tries: Tries, leaf: LeafDouble) -> None:
    tries.choose_organizations()
    choose(tries, "1", SELECTED)
    tries.check()
    leaf.connected["1"] = False
    tries.put(sync_owed=True)
    tries.check()
    assert leaf.choices["1"] == "BLOCKED"
    leaf.connected["1"] = True
    leaf.answers["GET choices"] = [says(503, {})]
    tries.check()
    assert owed(tries) == ["1"]
    tries.check()
    assert leaf.choices["1"] == "SELECTED"


def test_what_leaf_still_blocks_is_read_anew_first(tries: Tries, leaf: LeafDouble) -> None:
    leaf.choices["2"] = "BLOCKED"
    leaf.answers["POST sync"] = [says(200, {})]
    tries.put(sync_owed=True)
    tries.check()
    with pytest.raises(InputInvalid, match="Leaf still blocks"):
        choose(tries, "2", SELECTED)
    assert tries.connection().cause is None


def test_nothing_is_fetched_by_mistake_where_only_other_farms_share(
    tries: Tries, leaf: LeafDouble
) -> None:
    with tries.walk.database.transaction() as session:
        for row in session.get_one(Connection, tries.connection().id).organizations:
            row.member = False
    leaf.choices = {"1": "BLOCKED", "2": "BLOCKED"}
    leaf.answers["POST sync"] = [says(200, {})]
    tries.put(sync_owed=True)
    tries.check()
    assert tries.connection().cause is Cause.NOTHING_FETCHED
    with pytest.raises(InputInvalid, match="belongs to another farm"):
        choose(tries, "1", PREVIEW)


@pytest.mark.parametrize(
    ("organization", "choice", "why"),
    [
        ("9", SELECTED, "no such organization"),
        ("3", SELECTED, "the grower has to allow it there first"),
        ("1", SyncChoice.BLOCKED, "Leaf blocks by itself"),
    ],
)
def test_what_cant_be_chosen_is_refused_with_the_reason(
    tries: Tries, organization: str, choice: SyncChoice, why: str
) -> None:
    with pytest.raises(InputInvalid, match=why):
        choose(tries, organization, choice)


def test_without_a_credential_there_is_nothing_to_choose_or_to_read(tries: Tries) -> None:
    tries.put(stage=Stage.DISCONNECTED)
    with pytest.raises(InputInvalid, match="holds nothing"):
        choose(tries, "1", PREVIEW)
    with (
        pytest.raises(InputInvalid, match="holds nothing"),
        tries.walk.database.transaction() as session,
    ):
        selection.resync(session, tries.connection(), who=history.STAFF)


def test_resync_lets_leaf_read_anew(tries: Tries, leaf: LeafDouble) -> None:
    leaf.connected = {"1": True, "2": True, "3": True}
    with tries.walk.database.transaction() as session:
        selection.resync(session, tries.connection(), who=history.STAFF)
    tries.check()
    assert leaf.choices["3"] == "SELECTED"
    assert "resync_asked" in tries.history()
