"""Trouble: from when it is told, when it has ended, and which organizations come and go."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest
import sqlalchemy as sa

from onboarding import describe
from onboarding.clock import now
from onboarding.connections import attention
from onboarding.connections.sharing import NAMED_IN_HISTORY
from onboarding.connections.trouble import TOLD_AFTER
from onboarding.models import Event
from onboarding.states import Health, Stage
from tests.unit.leaf_double import LeafDouble, says
from tests.unit.tries import Tries
from tests.unit.walk import Walk

LEAF_USER = "leaf-y"
PAUSE = "TEMPORARILY_UNAVAILABLE"
A_MOMENT = timedelta(seconds=1)


@pytest.fixture
def tries(tries: Tries, leaf: LeafDouble) -> Tries:
    """Leaf has had the grower's token for three days, and fetches one of two organizations."""
    tries.let_leaf_have_it(LEAF_USER, since=timedelta(days=3))
    leaf.connected = {"1": True, "2": False}
    tries.check()
    assert code(tries) == "connected"
    return tries


def says_of_it(tries: Tries, word: str) -> None:
    """Let Leaf say something of the credential, and be asked."""
    tries.leaf.credentials[LEAF_USER]["status"] = word
    tries.check()


def code(tries: Tries, moment: datetime | None = None) -> str:
    """What the grower is told, now or later."""
    connection = tries.connection()
    return describe.connection(connection, latest=None, moment=moment or now()).code


def on_the_list(tries: Tries) -> bool:
    with tries.walk.database.reading() as session:
        return attention.count(session) == 1


def lines(tries: Tries, kind: str) -> list[dict[str, Any]]:
    """The details of what happened of one kind."""
    query = sa.select(Event.data).where(Event.kind == kind).order_by(Event.id)
    with tries.walk.database.reading() as session:
        return list(session.scalars(query))


def let_it_last(tries: Tries) -> None:
    """Let people have been told for an hour."""
    hour_ago = now() - timedelta(hours=1)
    tries.put(trouble_told_from=hour_ago, health_since=hour_ago)


def test_a_pause_at_john_deere_is_told_only_once_it_lasts(tries: Tries) -> None:
    says_of_it(tries, PAUSE)

    connection = tries.connection()
    assert connection.health is Health.TEMPORARILY_UNAVAILABLE
    assert connection.health_since is not None
    turns = connection.health_since + TOLD_AFTER
    assert code(tries) == "connected"
    assert code(tries, turns - A_MOMENT) == "connected"
    assert code(tries, turns + A_MOMENT) == "temporarily_unavailable"
    assert not on_the_list(tries)


def test_a_pause_that_goes_on_is_told_from_its_beginning_on(tries: Tries) -> None:
    says_of_it(tries, PAUSE)
    first = tries.connection().trouble_told_from

    tries.check()

    assert tries.connection().trouble_told_from == first


def test_a_pause_before_leaf_ever_said_ok_is_told_at_once(tries: Tries) -> None:
    """There is nothing true that the page could keep saying."""
    tries.put(health=Health.UNKNOWN, health_text="")

    says_of_it(tries, PAUSE)

    assert code(tries) == "temporarily_unavailable"


def test_a_pause_in_place_of_a_withdrawal_is_not_called_connected(tries: Tries) -> None:
    says_of_it(tries, "UNAUTHENTICATED")

    says_of_it(tries, PAUSE)

    assert code(tries) == "temporarily_unavailable"


def test_a_pause_at_john_deere_is_asked_about_every_hour_at_least(tries: Tries) -> None:
    says_of_it(tries, PAUSE)
    tries.put(checks=20)

    tries.check()

    due = tries.connection().check_due_at
    assert due is not None
    assert due - now() < timedelta(hours=1.3)


@pytest.mark.parametrize("word", ["UNAUTHENTICATED", "MISSING_PERMISSION", "SOMETHING_NEW"])
def test_what_works_again_after_trouble_is_repaired(tries: Tries, word: str) -> None:
    says_of_it(tries, word)
    assert code(tries) != "connected"

    says_of_it(tries, "OK")

    assert code(tries) == "connected"
    assert tries.history().count("repaired") == 1
    says_of_it(tries, "OK")
    assert tries.history().count("repaired") == 1


def test_a_credential_that_is_there_again_is_repaired(tries: Tries, leaf: LeafDouble) -> None:
    held = leaf.credentials.pop(LEAF_USER)
    tries.check()
    assert code(tries) == "credential_missing"

    leaf.credentials[LEAF_USER] = held
    tries.check()

    assert code(tries) == "connected"
    assert "repaired" in tries.history()


def test_a_lasting_pause_that_ends_is_repaired(tries: Tries) -> None:
    says_of_it(tries, PAUSE)
    let_it_last(tries)

    says_of_it(tries, "OK")

    assert "repaired" in tries.history()


def test_a_pause_that_nobody_was_told_of_is_not_repaired(tries: Tries) -> None:
    says_of_it(tries, PAUSE)

    says_of_it(tries, "OK")

    assert "repaired" not in tries.history()
    assert tries.connection().trouble_told_from is None


def test_a_first_ok_is_no_repair(tries: Tries) -> None:
    tries.put(health=Health.UNKNOWN, health_text="")

    says_of_it(tries, "OK")

    assert "repaired" not in tries.history()


def test_a_silence_of_leaf_is_neither_trouble_nor_repair(tries: Tries, leaf: LeafDouble) -> None:
    since = tries.connection().health_since
    leaf.answers["GET status"] = [says(503, {})]

    tries.check()

    connection = tries.connection()
    assert (connection.health_since, connection.trouble_told_from) == (since, None)
    assert code(tries) == "connected"


def test_connecting_again_is_what_repairs_a_withdrawal(tries: Tries, leaf: LeafDouble) -> None:
    says_of_it(tries, "UNAUTHENTICATED")
    let_it_last(tries)

    refused_since = tries.connection().health_since

    tries.consent("refresh-2")
    leaf.credentials.clear()
    tries.once()
    assert tries.connection().health_since != refused_since, "that was of another credential"
    assert "repaired" not in tries.history(), "Leaf's first word is not its last"
    tries.check()

    assert tries.history().count("repaired") == 1
    assert code(tries) == "connected"


def test_connecting_after_an_end_repairs_nothing(tries: Tries) -> None:
    says_of_it(tries, "UNAUTHENTICATED")
    tries.disconnect()
    assert tries.once().stage is Stage.DISCONNECTED

    tries.consent("refresh-2")
    tries.once()
    tries.check()

    assert "repaired" not in tries.history()


def test_since_when_leaf_says_it_begins_with_what_it_says(tries: Tries) -> None:
    since = tries.connection().health_since
    says_of_it(tries, "OK")
    assert tries.connection().health_since == since

    says_of_it(tries, "SOMETHING_NEW")
    first = tries.connection().health_since
    assert since is not None
    assert first is not None
    assert first > since
    says_of_it(tries, "SOMETHING_ELSE")
    assert tries.connection().health_since != first


def test_an_organization_that_disappears_is_told_by_name_and_number(
    tries: Tries, leaf: LeafDouble
) -> None:
    leaf.connected = {"2": False}

    tries.check()

    assert {row.deere_id for row in tries.connection().organizations} == {"2"}
    assert lines(tries, "organization_gone") == [{"organizations": ["Farm 1 (1)"], "more": 0}]
    assert code(tries) == "choose_organizations"


def test_an_organization_that_appears_is_told_by_name_and_number(
    tries: Tries, leaf: LeafDouble
) -> None:
    leaf.connected = {**leaf.connected, "3": False}

    tries.check()
    tries.check()

    assert lines(tries, "organization_appeared") == [{"organizations": ["Farm 3 (3)"], "more": 0}]


def test_a_new_account_is_no_news_of_each_of_its_organizations(
    walk: Walk, leaf: LeafDouble, tries: Tries
) -> None:
    assert "organization_appeared" not in tries.history()


def test_hundreds_of_organizations_are_one_line_each_way(tries: Tries, leaf: LeafDouble) -> None:
    leaf.connected |= {str(number): True for number in range(100, 300)}
    tries.check()
    leaf.connected = {"1": True}
    tries.check()

    for kind in ("organization_appeared", "organization_gone"):
        (line,) = lines(tries, kind)
        assert len(line["organizations"]) == NAMED_IN_HISTORY
        assert len(line["organizations"]) + line["more"] >= 200


def test_another_farms_organization_that_leaf_does_not_name_is_kept(
    tries: Tries, leaf: LeafDouble
) -> None:
    """Leaf leaves partners' organizations out by default; that they are gone nobody has said."""
    rows = tries.connection().organizations
    with tries.walk.database.transaction() as session:
        session.merge(rows[1]).member = False
    leaf.connected = {"1": True}

    tries.check()

    assert len(tries.connection().organizations) == 2
    assert "organization_gone" not in tries.history()


def test_what_was_shared_stays_known_while_the_permission_is_withdrawn(
    tries: Tries, leaf: LeafDouble
) -> None:
    """With a permission that John Deere does not accept, Leaf's lists are empty."""
    leaf.connected = {}

    says_of_it(tries, "UNAUTHENTICATED")

    connection = tries.connection()
    assert code(tries) == "reconnect"
    assert [row.deere_id for row in connection.organizations if row.connected] == ["1"]
    told = describe.connection(connection, latest=None, moment=now())
    assert describe.steps(connection, told)[1].text == "Last known: Farm 1"
