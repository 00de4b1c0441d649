"""Whose credential is it? Our token is erased for our own credential at Leaf, and for no other."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from onboarding.clock import now
from onboarding.errors import InputInvalid
from onboarding.models import Connection
from onboarding.states import Cause, Stage
from tests.unit.leaf_double import (
    Form,
    LeafDouble,
    done_but,
    hiding,
    meanwhile,
    newer,
    older,
    says,
)
from tests.unit.tries import TOKEN, Tries

AWAY = says(503, {})
REFUSED = says(400, {"detail": "The refresh token is not valid."})
NOT_FOUND = says(404, {})
OTHER = "refresh-of-somebody-else-1x9"
FORMS = {
    "newer": newer,
    "older": older,
    "newer, hiding": hiding(newer),
    "older, hiding": hiding(older),
}


def assert_delivered(tries: Tries, user: str = "leaf-y") -> None:
    connection = tries.connection()
    assert connection.is_at_leaf, connection.detail
    assert tries.token() is None
    assert tries.leaf.tokens()[user] == TOKEN
    assert connection.grower.leaf_user_id == user


def assert_waits(tries: Tries, connection: Connection) -> None:
    assert connection.stage is Stage.HANDING_OVER
    assert connection.cause is Cause.LEAF_UNAVAILABLE
    assert tries.token() == TOKEN


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
def test_every_form_of_answer_is_believed(tries: Tries, leaf: LeafDouble, form: Form) -> None:
    leaf.form = form
    tries.once()
    assert_delivered(tries)
    assert len(leaf.posts) == 1


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
def test_own_credential_is_known_again_in_every_form(
    tries: Tries, leaf: LeafDouble, form: Form
) -> None:
    leaf.form = form
    leaf.answers["POST credentials"] = [done_but(leaf, AWAY)]
    assert_waits(tries, tries.once())
    tries.once()
    assert_delivered(tries)
    assert len(leaf.posts) == 1


NOTHING_SHOWN = {
    "a status": {"status": "accepted"},
    "a status that we know": {"status": "OK"},
    "a request's id": {"id": "req-1", "message": "queued"},
    "nothing": {},
}


@pytest.mark.parametrize("body", NOTHING_SHOWN.values(), ids=NOTHING_SHOWN)
@pytest.mark.parametrize("status", [200, 201, 202])
def test_post_whose_answer_shows_no_credential_is_not_believed(
    tries: Tries, leaf: LeafDouble, status: int, body: dict[str, str]
) -> None:
    leaf.answers["POST credentials"] = [says(status, body)]
    assert_waits(tries, tries.once())
    tries.once()
    assert_delivered(tries)


def test_post_whose_answer_shows_nothing_is_believed_if_leaf_then_shows_it(
    tries: Tries, leaf: LeafDouble
) -> None:
    leaf.answers["POST credentials"] = [done_but(leaf, says(202, {"status": "accepted"}))]
    tries.once()
    assert_delivered(tries)
    assert len(leaf.posts) == 1


def test_credential_that_was_to_be_removed_is_not_taken_for_ours(
    tries: Tries, leaf: LeafDouble
) -> None:
    leaf.hold("leaf-y", OTHER, number=7)
    leaf.answers["DELETE credentials"] = [says(200, {})]
    leaf.answers["POST credentials"] = [says(202, {"status": "accepted"})]
    assert_waits(tries, tries.once())
    tries.once()
    assert_delivered(tries)


UNCLEAR: dict[str, dict[str, Any]] = {
    "a status": {"status": "accepted"},
    "a request's id": {"id": "req-1", "message": "queued"},
    "a problem": {"status": 404, "title": "Not Found"},
}


@pytest.mark.parametrize("body", UNCLEAR.values(), ids=UNCLEAR)
def test_answer_that_leaves_open_whether_there_is_a_credential_is_waited_out(
    tries: Tries, leaf: LeafDouble, body: dict[str, Any]
) -> None:
    leaf.answers["POST credentials"] = [AWAY]
    leaf.answers["GET credentials"] = [None, says(200, body)]
    tries.once()
    connection = tries.once()
    assert_waits(tries, connection)
    assert "the answer may be of a credential or not" in connection.detail
    assert len(leaf.posts) == 1
    tries.once()
    assert_delivered(tries)


def test_what_somebody_else_brings_after_outage_and_refusal_is_not_ours(
    tries: Tries, leaf: LeafDouble
) -> None:
    leaf.answers["POST credentials"] = [AWAY, REFUSED]
    tries.once()
    assert tries.once().stage is Stage.FAILED
    leaf.hold("leaf-y", OTHER, number=7)
    tries.retry()
    tries.once()
    assert_delivered(tries)


def test_what_somebody_else_brings_is_not_ours_when_the_look_after_a_refusal_failed(
    tries: Tries, leaf: LeafDouble
) -> None:
    leaf.answers["POST credentials"] = [REFUSED]
    leaf.answers["GET credentials"] = [None, AWAY]
    assert_waits(tries, tries.once())
    leaf.hold("leaf-y", OTHER, number=7)
    tries.once()
    assert_delivered(tries)


def test_credential_from_before_the_first_post_is_not_ours(tries: Tries, leaf: LeafDouble) -> None:
    leaf.answers["POST credentials"] = [AWAY]
    tries.once()
    leaf.hold("leaf-y", OTHER, created=now() - timedelta(hours=1))
    tries.once()
    assert_delivered(tries)


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
def test_credential_of_another_application_is_not_ours_though_it_came_after_our_post(
    tries: Tries, leaf: LeafDouble, form: Form
) -> None:
    leaf.form = form
    leaf.answers["POST credentials"] = [AWAY]
    assert_waits(tries, tries.once())
    leaf.hold("leaf-y", OTHER, number=7, client_key="somebody-elses-key")
    tries.once()
    assert_delivered(tries)
    assert "credential_replaced" in tries.history()


def test_what_an_earlier_post_left_is_ours_though_leaf_has_refreshed_its_token(
    tries: Tries, leaf: LeafDouble
) -> None:
    leaf.answers["POST credentials"] = [AWAY, AWAY]
    tries.once()
    tries.put(post_began_at=now() - timedelta(hours=2))
    tries.once()
    leaf.hold("leaf-y", "what-deere-gave-leaf-instead", created=now() - timedelta(hours=1))
    tries.once()
    assert tries.connection().is_at_leaf
    assert tries.token() is None
    assert len(leaf.posts) == 2


def test_refused_sign_in_waits_and_says_nothing_of_a_post(tries: Tries, leaf: LeafDouble) -> None:
    leaf.answers["POST credentials"] = [says(401, {})]
    leaf.answers["POST sign-in"] = [None, says(403, {"detail": "Application user locked"})]
    connection = tries.once()
    assert connection.stage is Stage.HANDING_OVER
    assert connection.cause is Cause.LEAF_SIGN_IN_REFUSED
    assert connection.post_began_at is None
    leaf.hold("leaf-y", OTHER, number=7)
    tries.once()
    assert_delivered(tries)


def test_refused_sign_in_keeps_what_is_known_of_an_earlier_post(
    tries: Tries, leaf: LeafDouble
) -> None:
    leaf.answers["POST credentials"] = [AWAY, says(401, {})]
    leaf.answers["POST sign-in"] = [None, None, says(403, {})]
    began = tries.once().post_began_at
    connection = tries.once()
    assert connection.cause is Cause.LEAF_SIGN_IN_REFUSED
    assert connection.post_began_at == began is not None


def test_leaf_user_is_not_exchanged_while_it_may_hold_the_token(
    tries: Tries, leaf: LeafDouble
) -> None:
    leaf.hold("leaf-x", OTHER)
    leaf.answers["POST credentials"] = [AWAY]
    tries.once()
    with pytest.raises(InputInvalid, match="leaf-y already, and a credential there or on its way"):
        tries.set_leaf_user("leaf-x")
    tries.once()
    assert_delivered(tries)


def test_leaf_user_that_leaf_has_lost_after_an_outage_is_exchanged_for_one_with_an_old_credential(
    tries: Tries, leaf: LeafDouble
) -> None:
    leaf.hold("leaf-x", OTHER)
    leaf.answers["POST credentials"] = [AWAY]
    tries.once()
    tries.choose_organizations()
    leaf.answers["POST configs"] = [NOT_FOUND]
    connection = tries.once()
    assert connection.cause is Cause.LEAF_USER_MISSING
    assert connection.post_began_at is not None
    tries.set_leaf_user("leaf-x")
    tries.retry()
    tries.once()
    assert_delivered(tries, "leaf-x")


@pytest.mark.parametrize("question", ["GET users", "GET credentials"])
def test_leaf_user_that_staff_set_during_a_try_gets_the_token(
    tries: Tries, leaf: LeafDouble, question: str
) -> None:
    leaf.hold("leaf-x", OTHER)
    external_id = tries.connection().grower.external_id
    answer = [{"id": "leaf-y", "externalId": external_id}] if question == "GET users" else {}
    leaf.answers[question] = [meanwhile(lambda: tries.set_leaf_user("leaf-x"), says(200, answer))]
    connection = tries.once()
    assert leaf.posts == []
    assert connection.grower.leaf_user_id == "leaf-x"
    tries.put(hand_over_due_at=now() - timedelta(minutes=1))
    tries.sweep()
    newest = tries.connection().hand_over_try
    assert newest in tries.walk.enqueued(connection)
    tries.once()
    assert_delivered(tries, "leaf-x")
    assert [user for user, _ in leaf.posts] == ["leaf-x"]


def test_grower_whom_a_program_named_gets_no_leaf_user_that_was_there_before(
    tries: Tries, leaf: LeafDouble
) -> None:
    tries.let_program_name_the_grower()
    leaf.hold("leaf-y", OTHER)
    leaf.answers["POST users"] = [REFUSED, AWAY]
    assert tries.once().stage is Stage.FAILED
    leaf.users.append("leaf-later")
    tries.retry()
    assert_waits(tries, tries.once())
    tries.once()
    assert_delivered(tries, "leaf-made")
    assert leaf.tokens()["leaf-y"] == OTHER
    assert leaf.users == ["leaf-y", "leaf-later", "leaf-made"]


def test_grower_whom_a_program_named_gets_the_leaf_user_whose_making_had_no_answer(
    tries: Tries, leaf: LeafDouble
) -> None:
    tries.let_program_name_the_grower()
    leaf.answers["POST users"] = [done_but(leaf, AWAY)]
    assert_waits(tries, tries.once())
    assert leaf.users == ["leaf-y", "leaf-made"]
    tries.once()
    assert_delivered(tries, "leaf-made")
    assert leaf.asked.count("POST users") == 1


@pytest.mark.parametrize("provider", ["johnDeere", "trimble"])
def test_grower_whom_a_program_named_gets_no_leaf_user_that_somebody_has_connected_meanwhile(
    tries: Tries, leaf: LeafDouble, provider: str
) -> None:
    tries.let_program_name_the_grower()
    leaf.answers["POST users"] = [AWAY]
    assert_waits(tries, tries.once())
    leaf.users.append("leaf-theirs")
    leaf.others["leaf-theirs"] = [provider]
    tries.once()
    assert_delivered(tries, "leaf-made")


def test_check_tells_staff_once_that_leaf_shows_another_credential(
    tries: Tries, leaf: LeafDouble
) -> None:
    tries.once()
    tries.check()
    assert "credential_is_another" not in tries.history()
    leaf.hold("leaf-y", OTHER, number=7)
    for _ in range(2):
        tries.check()
    assert tries.history().count("credential_is_another") == 1
    assert tries.connection().leaf_credential_id == "credential-7"
    leaf.form = older
    tries.check()
    assert tries.history().count("credential_is_another") == 1


def test_check_takes_in_the_id_that_leaf_did_not_show_at_the_hand_over(
    tries: Tries, leaf: LeafDouble
) -> None:
    leaf.form = older
    tries.once()
    tries.check()
    assert tries.connection().leaf_credential_id is None
    leaf.form = newer
    tries.check()
    assert tries.connection().leaf_credential_id == leaf.credentials["leaf-y"]["id"]
    assert "credential_is_another" not in tries.history()


@pytest.mark.parametrize(
    "other",
    [
        {"created": now() - timedelta(hours=1)},
        {"created": now() + timedelta(hours=1)},
        {"client_key": "another-key"},
        {"number": 3},
    ],
)
def test_check_takes_in_no_id_that_may_be_of_another_credential(
    tries: Tries, leaf: LeafDouble, other: dict[str, Any]
) -> None:
    leaf.form = older
    tries.once()
    tries.put(credential_before_post="credential-3")
    leaf.hold("leaf-y", OTHER, **{"number": 7, **other})
    leaf.form = newer
    tries.check()
    assert tries.connection().leaf_credential_id is None
