"""How a connection ends: nothing of it is left with Leaf or with us, whatever was under way."""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import timedelta

import pytest
import sqlalchemy as sa

from onboarding import describe
from onboarding.clock import now
from onboarding.connections import disconnect, history, leaf_events, removal
from onboarding.connections.tries import LONGEST_PAUSE, STRAY_LIVES, wait
from onboarding.errors import InputInvalid
from onboarding.models import Attempt, Connection, Link, locked
from onboarding.states import Cause, Health, Stage
from tests.unit.failures import FAILURES
from tests.unit.leaf_double import LeafDouble, done_but, meanwhile, says
from tests.unit.tries import TOKEN, Tries
from tests.unit.walk import Walk

AWAY = says(503, {})
LOCKED = says(403, {"detail": "The credential is locked."})
NEWER = "refresh-of-the-same-grower-later-5Tq"
OTHER = "refresh-of-somebody-else-1x9"
YEAR = timedelta(days=365)


@pytest.fixture
def connected(tries: Tries) -> Tries:
    """Leaf has the credential."""
    assert tries.once().is_at_leaf
    return tries


def assert_disconnected(tries: Tries) -> None:
    connection = tries.connection()
    assert connection.stage is Stage.DISCONNECTED, connection.detail
    assert tries.leaf.tokens() == {}
    assert tries.token() is None
    assert connection.hand_over_due_at is None
    assert connection.check_due_at is None
    assert (connection.cause, connection.detail) == (None, "")
    assert tries.history()[-1] == "disconnected"


def waits_for(tries: Tries, cause: Cause) -> Connection:
    connection = tries.once()
    assert (connection.stage, connection.cause) == (Stage.DISCONNECTING, cause)
    assert connection.hand_over_try in tries.walk.enqueued(connection)
    assert connection.waiting_since is not None
    return connection


def test_ask_is_visible_at_once_and_true_when_leaf_has_deleted_the_credential(
    connected: Tries,
) -> None:
    connection = connected.disconnect()
    assert connection.stage is Stage.DISCONNECTING
    assert connection.hand_over_try in connected.walk.enqueued(connection)
    assert connected.leaf.tokens() == {"leaf-y": TOKEN}
    connected.once()
    assert_disconnected(connected)
    assert connected.history()[-2:] == ["disconnect_asked", "disconnected"]


def test_what_a_connection_alone_needs_is_forgotten_and_the_grower_is_not(
    connected: Tries,
) -> None:
    connected.leaf.answers["GET organizations"] = [
        says(200, {"connectedOrganizations": [{"id": "1", "name": "Smith Farms"}]})
    ]
    connected.check()
    before = connected.connection()
    assert before.has_shared_organization
    connected.disconnect()
    after = connected.once()
    assert_disconnected(connected)
    assert after.organizations == []
    assert (after.health, after.leaf_credential_id) == (Health.UNKNOWN, None)
    assert (after.client_key, after.scopes_granted) == (None, [])
    assert after.reference == before.reference
    assert after.grower.leaf_user_id == before.grower.leaf_user_id
    with connected.walk.database.reading() as session:
        assert not session.scalars(sa.select(Attempt.access_token)).one()


def test_check_that_is_under_way_reports_nothing_of_what_has_ended(connected: Tries) -> None:
    connected.leaf.answers["GET status"] = [
        meanwhile(connected.disconnect, says(200, {"status": "OK"}))
    ]
    connected.check()
    assert connected.connection().stage is Stage.DISCONNECTING
    assert connected.connection().check_due_at is None
    connected.once()
    assert_disconnected(connected)


def test_credential_that_is_gone_already_is_no_trouble(connected: Tries) -> None:
    connected.leaf.credentials.clear()
    connected.disconnect()
    connected.once()
    assert_disconnected(connected)


def test_delete_that_was_done_though_its_answer_was_lost_is_done(connected: Tries) -> None:
    connected.leaf.answers["DELETE credentials"] = [done_but(connected.leaf, AWAY)]
    connected.disconnect()
    waits_for(connected, Cause.LEAF_UNAVAILABLE)
    connected.put(stray_since=now() - STRAY_LIVES)
    connected.once()
    assert_disconnected(connected)


def test_credential_that_is_still_there_after_a_delete_is_deleted_again(connected: Tries) -> None:
    connected.leaf.answers["DELETE credentials"] = [says(200, {})]
    connected.disconnect()
    assert "it is still there" in waits_for(connected, Cause.LEAF_UNAVAILABLE).detail
    connected.put(stray_since=now() - STRAY_LIVES)
    connected.once()
    assert_disconnected(connected)


PASSING = [
    *(("GET credentials", kind) for kind in ("500", "503", "reset", "HTML", "wrong JSON")),
    *(("DELETE credentials", kind) for kind in ("500", "429 with Retry-After", "reset", "HTML")),
]


@pytest.mark.parametrize(("at", "kind"), PASSING)
def test_leaf_being_away_for_a_year_does_not_end_the_tries(
    connected: Tries, at: str, kind: str
) -> None:
    connected.disconnect()
    connected.leaf.answers[at] = [FAILURES[kind].answer]
    waits_for(connected, Cause.LEAF_UNAVAILABLE)
    connected.put(waiting_since=now() - YEAR)
    connected.leaf.answers[at] = [FAILURES[kind].answer]
    connection = waits_for(connected, Cause.LEAF_UNAVAILABLE)
    assert connection.hand_over_due_at is not None
    assert connection.hand_over_due_at <= now() + LONGEST_PAUSE
    connected.put(stray_since=None)
    connected.once()
    assert_disconnected(connected)


@pytest.mark.parametrize("at", ["GET credentials", "DELETE credentials"])
def test_refusal_is_for_staff_and_goes_on_by_itself_once_it_is_mended(
    connected: Tries, at: str, caplog: pytest.LogCaptureFixture
) -> None:
    connected.disconnect()
    connected.leaf.answers[at] = [LOCKED, LOCKED]
    with caplog.at_level(logging.ERROR):
        waits_for(connected, Cause.DELETE_REFUSED)
        connection = waits_for(connected, Cause.DELETE_REFUSED)
    (line,) = caplog.messages
    assert line == f"Disconnect of {connection.reference} waits for staff: delete_refused"
    text = describe.for_staff(connection)
    assert "Leaf refuses to delete the credential" in text
    assert "HTTP 403: The credential is locked." in text
    connected.once()
    assert_disconnected(connected)


def test_refused_sign_in_is_told_apart_from_a_refused_delete(connected: Tries) -> None:
    connected.disconnect()
    connected.leaf.answers["POST sign-in"] = [says(403, {})]
    waits_for(connected, Cause.LEAF_SIGN_IN_REFUSED)
    connected.once()
    assert_disconnected(connected)


def test_error_of_ours_does_not_give_up_what_was_asked_for(connected: Tries) -> None:
    connected.put(token_received_at=now() - YEAR)
    connected.disconnect()
    with connected.walk.database.transaction() as session:
        row = locked(session, connected.connection().id)
        wait(session, connected.walk.queue, row, Cause.OUR_ERROR, detail="")
    connection = connected.connection()
    assert (connection.stage, connection.cause) == (Stage.DISCONNECTING, Cause.OUR_ERROR)
    connected.once()
    assert_disconnected(connected)


def test_staff_can_have_it_tried_at_once(connected: Tries) -> None:
    connected.disconnect()
    connected.leaf.answers["DELETE credentials"] = [LOCKED]
    waits_for(connected, Cause.DELETE_REFUSED)
    connected.retry()
    connection = connected.connection()
    assert (connection.cause, connection.waiting_since) == (None, None)
    assert connection.hand_over_due_at is not None
    assert connection.hand_over_due_at <= now()
    assert connected.history()[-1] == "disconnect_retried"
    connected.once()
    assert_disconnected(connected)


def test_token_that_waits_is_erased_with_the_ask(tries: Tries) -> None:
    connection = tries.disconnect()
    assert connection.refresh_token is None
    tries.once()
    assert_disconnected(tries)
    assert tries.leaf.posts == []


def test_hand_over_that_is_at_its_post_is_outdated_and_what_it_made_is_deleted(
    tries: Tries,
) -> None:
    tries.leaf.answers["POST credentials"] = [
        meanwhile(tries.disconnect, done_but(tries.leaf, says(201, {"status": "OK"})))
    ]
    connection = tries.once()
    assert connection.stage is Stage.DISCONNECTING
    assert tries.leaf.tokens() == {"leaf-y": TOKEN}
    assert connection.stray_since is None, "Leaf has answered, so nothing is under way"
    tries.once()
    assert_disconnected(tries)


@pytest.mark.parametrize("earlier", [False, True])
def test_post_without_answer_may_still_come_so_it_ends_later(tries: Tries, earlier: bool) -> None:
    lost = FAILURES["reset"].answer
    if earlier:
        tries.leaf.answers["POST credentials"] = [lost]
        tries.once()
        answered = done_but(tries.leaf, says(201, {"status": "OK"}))
        tries.leaf.answers["POST credentials"] = [meanwhile(tries.disconnect, answered)]
    else:
        tries.leaf.answers["POST credentials"] = [meanwhile(tries.disconnect, lost)]
    tries.once()
    connection = tries.once()
    assert tries.leaf.tokens() == {}
    assert connection.stage is Stage.DISCONNECTING
    assert connection.hand_over_due_at is not None
    assert timedelta(0) < connection.hand_over_due_at - now() <= STRAY_LIVES
    tries.leaf.hold("leaf-y", TOKEN, number=8)  # it comes
    tries.put(stray_since=now() - STRAY_LIVES)
    tries.once()
    assert_disconnected(tries)


def test_disconnect_before_there_is_a_leaf_user_asks_leaf_nothing(tries: Tries) -> None:
    tries.disconnect()
    asked = len(tries.leaf.server.sent)
    tries.once()
    assert_disconnected(tries)
    assert len(tries.leaf.server.sent) == asked


def test_hand_over_that_failed_can_be_ended_with_what_an_earlier_one_left(tries: Tries) -> None:
    tries.once()
    tries.consent(NEWER)
    tries.leaf.answers["POST credentials"] = [says(400, {})]
    tries.leaf.answers["DELETE credentials"] = [LOCKED]
    assert tries.once().stage is Stage.FAILED
    assert tries.token() == NEWER
    tries.disconnect()
    tries.once()
    assert_disconnected(tries)


def test_asking_twice_is_asking_once(connected: Tries) -> None:
    first = connected.disconnect()
    second = connected.disconnect(who=history.STAFF, reason="asked by phone")
    assert second.hand_over_try == first.hand_over_try
    connected.once()
    with pytest.raises(InputInvalid, match="disconnected already"):
        connected.disconnect()
    assert_disconnected(connected)
    assert connected.history().count("disconnect_asked") == 1


def test_what_was_never_connected_can_not_be_ended(
    walk: Walk, leaf: LeafDouble, link: Link
) -> None:
    tries = Tries(walk, leaf, link)
    for stage in (Stage.INVITED, Stage.AUTHORIZING):
        tries.put(stage=stage)
        with pytest.raises(InputInvalid, match="not connected: there is nothing to end"):
            tries.disconnect()
    tries.put(stage=Stage.FAILED, cause=Cause.NO_REFRESH_TOKEN)
    with pytest.raises(InputInvalid, match="nothing to end"):
        tries.disconnect()


@pytest.mark.parametrize("reason", ["", "  ", "a\nb", "x" * 201])
def test_reason_of_staff_is_one_line(reason: str) -> None:
    with pytest.raises(InputInvalid, match="one line of 1 to 200"):
        disconnect.reason_of_staff(reason)


def test_consent_while_it_ends_wins_and_takes_the_place_of_the_old_credential(
    connected: Tries,
) -> None:
    connected.disconnect()
    connected.leaf.answers["DELETE credentials"] = [LOCKED]
    waits_for(connected, Cause.DELETE_REFUSED)
    connected.consent(NEWER)
    connection = connected.connection()
    assert (connection.stage, connection.cause) == (Stage.HANDING_OVER, None)
    connected.once()
    assert connected.connection().is_at_leaf
    assert connected.leaf.tokens() == {"leaf-y": NEWER}


def test_trouble_of_what_was_to_end_is_not_repaired_by_connecting_again(connected: Tries) -> None:
    connected.leaf.credentials["leaf-y"]["status"] = "UNAUTHENTICATED"
    connected.check()
    assert connected.connection().trouble_told_from is not None
    connected.disconnect()
    connected.leaf.answers["DELETE credentials"] = [LOCKED]
    waits_for(connected, Cause.DELETE_REFUSED)
    connected.consent(NEWER)
    connected.once()
    connected.check()
    assert connected.connection().health is Health.OK
    assert "repaired" not in connected.history()


def test_consent_during_the_delete_outdates_the_disconnect(connected: Tries) -> None:
    connected.disconnect()
    connected.leaf.answers["DELETE credentials"] = [
        meanwhile(lambda: connected.consent(NEWER), done_but(connected.leaf, says(200, {})))
    ]
    connection = connected.once()
    assert connection.stage is Stage.HANDING_OVER
    assert connected.token() == NEWER
    connected.once()
    assert connected.leaf.tokens() == {"leaf-y": NEWER}


def test_connecting_again_afterwards_uses_the_same_leaf_user_and_keeps_the_history(
    connected: Tries,
) -> None:
    connected.disconnect()
    connected.once()
    connected.consent(NEWER)
    connection = connected.once()
    assert connection.is_at_leaf
    assert connected.leaf.tokens() == {"leaf-y": NEWER}
    kinds = connected.history()
    assert kinds.count("handed_over") == 2
    assert "disconnected" in kinds


def test_token_is_kept_until_a_delete_without_answer_can_not_hit_its_credential(
    connected: Tries,
) -> None:
    leaf = connected.leaf
    connected.consent(NEWER)
    leaf.answers["DELETE credentials"] = [FAILURES["reset"].answer]
    assert connected.once().cause is Cause.LEAF_UNAVAILABLE
    connection = connected.once()
    assert leaf.tokens() == {"leaf-y": NEWER}
    assert connection.stage is Stage.HANDING_OVER
    assert connected.token() == NEWER
    assert (connection.waiting_since, connection.cause) == (None, None), "Leaf does answer"
    assert connected.history()[-1] == "stray_request_awaited"
    del leaf.credentials["leaf-y"]  # the DELETE whose answer never came is carried out at last
    connected.put(stray_since=now() - STRAY_LIVES)
    connection = connected.once()
    assert leaf.tokens() == {"leaf-y": NEWER}
    assert connection.is_at_leaf
    assert connected.token() is None
    assert connection.stray_since is None


def test_old_token_whose_post_may_still_come_does_not_take_the_place_of_the_new_one(
    tries: Tries,
) -> None:
    tries.leaf.answers["POST credentials"] = [FAILURES["reset"].answer]
    tries.once()
    tries.consent(NEWER)
    connection = tries.once()
    assert tries.leaf.tokens() == {"leaf-y": NEWER}
    assert connection.stage is Stage.HANDING_OVER
    tries.leaf.hold("leaf-y", TOKEN, number=9, created=now() - timedelta(hours=1))
    tries.put(stray_since=now() - STRAY_LIVES)
    tries.once()
    assert tries.leaf.tokens() == {"leaf-y": NEWER}
    assert tries.connection().is_at_leaf


def disconnects(tries: Tries) -> None:
    tries.disconnect()


def reconnects(tries: Tries) -> None:
    tries.consent(NEWER)


@pytest.mark.parametrize("act", [disconnects, reconnects])
@pytest.mark.parametrize("at_fault", ["Leaf", "we"])
def test_events_that_can_not_be_copied_hold_nothing_up_for_long(
    connected: Tries,
    act: Callable[[Tries], None],
    at_fault: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if at_fault == "Leaf":
        connected.leaf.answers["GET events"] = [AWAY, AWAY]
    else:
        monkeypatch.setattr(leaf_events, "copy", _broken)
    act(connected)
    connection = connected.once()
    assert connection.cause is Cause.LEAF_UNAVAILABLE
    assert "events" in connection.detail
    assert connected.leaf.tokens() == {"leaf-y": TOKEN}, "nothing was deleted yet"
    connected.put(events_awaited_since=now() - removal.EVENTS_AWAITED_FOR)
    connection = connected.once()
    assert connection.cause is None
    assert TOKEN not in connected.leaf.tokens().values()
    assert connected.history().count("events_not_copied") == 1
    assert connection.events_awaited_since is None


def _broken(*_: object) -> None:
    raise ValueError("an event that no table can hold")


def test_events_that_leaf_refuses_are_not_waited_for(connected: Tries) -> None:
    connected.leaf.answers["GET events"] = [LOCKED]
    connected.disconnect()
    connected.once()
    assert_disconnected(connected)
    assert "events_not_copied" in connected.history()


def test_leaf_user_stays_as_it_is_while_leaf_has_to_delete(tries: Tries) -> None:
    tries.leaf.hold("leaf-x", OTHER)
    tries.leaf.answers["POST credentials"] = [AWAY]
    tries.once()
    tries.disconnect()
    with pytest.raises(InputInvalid, match="leaf-y already"):
        tries.set_leaf_user("leaf-x")
