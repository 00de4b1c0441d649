"""What people are told: true in every combination, in words that blame nobody."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import datetime, timedelta
from typing import get_args

import pytest

from onboarding import describe
from onboarding.describe import Action, Told
from onboarding.describe.staff import SHARING, WHAT_TO_DO
from onboarding.describe.told import Tone, Who
from onboarding.models import Connection, Organization
from onboarding.settings import DEERE_SCOPES
from onboarding.states import MENDED_BY_STAFF, Cause, Health, Outcome, SharingTrouble, Stage
from tests.unit.cases import NOW, Case, every_case, organization

LONG_AGO = NOW - timedelta(days=3)
FORBIDDEN_WORDS = re.compile(
    r"!|\b(successful\w*|oops|sorry|invalid|error code|null|undefined|token|OAuth|stage)\b",
    re.IGNORECASE,
)
OURS = {
    "application_refused",
    "failed",
    "no_refresh_token",
    "organizations_refused",
    "unknown_health",
    "waiting_for_staff",
}
"""Codes of what only staff can mend."""


def texts(told: Told) -> list[str]:
    """All that a person reads of it."""
    actions = [action for action in (told.action, *told.others) if action]
    said = [told.label, told.title, *told.sentences, *(action.label for action in actions)]
    return [*said, told.whether_shared] if told.whether_shared else said


def check_truth(case: Case, told: Told) -> None:
    """What must hold of every answer."""
    assert told.code
    assert told.tone in get_args(Tone)
    assert told.who in get_args(Who)
    assert (told.tone == "ok") is case.is_truly_connected()
    assert (told.code == "connected") is (told.tone == "ok")
    assert (told.who == "staff") is (told.code in OURS)
    if told.who == "grower":
        assert told.action is not None, "the grower is asked to act, but there is nothing to press"
    if told.who == "staff":
        assert told.show_contact
        assert told.reference
    assert (told.reference is None) or told.show_contact


def check_words(told: Told) -> None:
    """How every answer must sound."""
    assert all(text.strip() == text and text for text in texts(told)), told
    for text in texts(told):
        assert not FORBIDDEN_WORDS.search(text), text
    for sentence in (*told.sentences, told.whether_shared):
        assert not sentence or sentence.endswith("."), sentence
    assert not told.title.endswith("."), told.title
    assert len(told.title) <= 60
    assert len(told.label) <= 24


def check_steps(case: Case, told: Told, connection: Connection) -> None:
    """The three steps say the same as the sentence above them."""
    first, second, third = describe.steps(connection, told)
    assert (third.state == "done") is (told.tone == "ok")
    assert (second.state == "done") is (case.organizations == "shared")
    if first.state == "done":
        assert connection.token_received_at is not None
        assert case.stage not in {Stage.INVITED, Stage.AUTHORIZING, Stage.DISCONNECTED}
    if third.state == "done":
        assert (first.state, second.state) == ("done", "done")
    if case.stage is Stage.FAILED:
        assert third.state == "problem"
    assert all(step.name and step.text for step in (first, second, third))


def test_every_combination_is_told_truthfully_and_calmly() -> None:
    seen: set[Told] = set()
    for case, connection, attempt in every_case():
        told = describe.connection(connection, latest=attempt, moment=NOW)
        try:
            check_truth(case, told)
            check_steps(case, told, connection)
            if told not in seen:
                check_words(told)
                seen.add(told)
        except AssertionError as err:
            raise AssertionError(f"{case}\n{told}\n{err}") from err
    assert len({told.code for told in seen}) > 20


READY = Case(Stage.CONNECTED, Health.OK, organizations="shared")
CHOOSING = Case(Stage.CHOOSING_ORGANIZATIONS)


@pytest.mark.parametrize(
    ("case", "code", "tone", "who", "action"),
    [
        (Case(Stage.INVITED, outcome="never"), "invited", "quiet", "grower", "start"),
        (Case(Stage.AUTHORIZING, outcome="open"), "authorizing", "act", "grower", "start"),
        (Case(Stage.AUTHORIZING, outcome="exchanging"), "finishing", "wait", "nobody", None),
        (Case(Stage.AUTHORIZING, outcome="left"), "took_too_long", "quiet", "grower", "start"),
        (Case(Stage.INVITED, outcome=Outcome.DENIED), "denied", "quiet", "grower", "start"),
        (
            Case(Stage.INVITED, outcome=Outcome.APPLICATION_REFUSED),
            "application_refused",
            "problem",
            "staff",
            None,
        ),
        (
            Case(Stage.INVITED, outcome=Outcome.DEERE_UNAVAILABLE),
            "deere_unavailable",
            "problem",
            "grower",
            "start",
        ),
        (
            Case(Stage.INVITED, outcome=Outcome.INTERRUPTED),
            "interrupted",
            "problem",
            "grower",
            "start",
        ),
        (
            Case(Stage.INVITED, outcome=Outcome.CODE_REFUSED),
            "code_refused",
            "problem",
            "grower",
            "start",
        ),
        (
            Case(Stage.FAILED, cause=Cause.NO_REFRESH_TOKEN, outcome=Outcome.NO_REFRESH_TOKEN),
            "no_refresh_token",
            "problem",
            "staff",
            None,
        ),
        (
            Case(Stage.HANDING_OVER, organizations="shared"),
            "handing_over",
            "wait",
            "nobody",
            None,
        ),
        (
            Case(Stage.HANDING_OVER, organizations="not shared"),
            "choose_organizations",
            "act",
            "grower",
            "organizations",
        ),
        (CHOOSING, "choose_organizations", "act", "grower", "organizations"),
        (
            replace(CHOOSING, organizations="partners only"),
            "wrong_account",
            "act",
            "grower",
            "start_other",
        ),
        (
            replace(CHOOSING, trouble=SharingTrouble.NO_ORGANIZATIONS),
            "no_organizations",
            "act",
            "grower",
            "start_other",
        ),
        (
            replace(CHOOSING, trouble=SharingTrouble.TERMS_NOT_ACCEPTED),
            "terms_not_accepted",
            "act",
            "grower",
            "start",
        ),
        (
            replace(CHOOSING, trouble=SharingTrouble.PERMISSIONS_TOO_LOW),
            "permissions_too_low",
            "act",
            "grower",
            "start",
        ),
        (
            replace(CHOOSING, trouble=SharingTrouble.DEERE_UNAVAILABLE),
            "organizations_unavailable",
            "problem",
            "grower",
            "organizations",
        ),
        (READY, "connected", "ok", "nobody", None),
        (replace(READY, health=Health.UNAUTHENTICATED), "reconnect", "act", "grower", "start"),
        (
            replace(READY, health=Health.MISSING_PERMISSION),
            "missing_permission",
            "act",
            "grower",
            "organizations",
        ),
        (
            replace(READY, health=Health.TEMPORARILY_UNAVAILABLE),
            "temporarily_unavailable",
            "wait",
            "nobody",
            None,
        ),
        (replace(READY, health=Health.UNKNOWN), "checking", "wait", "nobody", None),
        (
            replace(READY, cause=Cause.CREDENTIAL_MISSING),
            "credential_missing",
            "act",
            "grower",
            "start",
        ),
        (
            replace(READY, organizations="not shared"),
            "choose_organizations",
            "act",
            "grower",
            "organizations",
        ),
        (Case(Stage.FAILED, cause=Cause.LEAF_REFUSED), "failed", "problem", "staff", None),
        (Case(Stage.DISCONNECTED), "disconnected", "quiet", "nobody", "start"),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
def test_the_important_states_have_their_own_answer(
    case: Case, code: str, tone: str, who: str, action: str | None
) -> None:
    told = case.told()

    assert (told.code, told.tone, told.who) == (code, tone, who)
    assert (told.action.kind if told.action else None) == action


def test_a_word_of_leaf_that_nobody_knows_is_for_staff() -> None:
    connection = READY.connection()
    connection.health, connection.health_text = Health.UNKNOWN, "SOMETHING_NEW"

    told = describe.connection(connection, latest=None, moment=NOW)

    assert (told.code, told.who) == ("unknown_health", "staff")
    assert "Leaf says: SOMETHING_NEW" in describe.for_staff(connection)
    assert all("SOMETHING_NEW" not in text for text in texts(told))


@pytest.mark.parametrize(
    ("waited", "code"), [(timedelta(seconds=19), "handing_over"), (LONG_AGO, "waiting_for_leaf")]
)
def test_leaf_being_late_is_said_once_it_is_late(waited: timedelta | datetime, code: str) -> None:
    connection = Case(Stage.HANDING_OVER, organizations="shared").connection()
    connection.waiting_since = waited if isinstance(waited, datetime) else NOW - waited

    assert describe.connection(connection, latest=None, moment=NOW).code == code


def test_choosing_nothing_is_told_apart_from_not_having_been_asked() -> None:
    case = replace(CHOOSING, organizations="not shared")
    attempt = case.attempt()
    assert attempt is not None
    attempt.sent_to_choose_at = NOW - timedelta(seconds=30)
    connection = case.connection()

    told = describe.connection(connection, latest=attempt, moment=NOW)
    assert told.code == "choose_organizations", "nobody has looked since, so nothing is claimed"

    connection.organizations_seen_at = NOW
    told = describe.connection(connection, latest=attempt, moment=NOW)
    assert told.code == "no_organization_chosen"
    assert "Organization Management Level 1" in " ".join(told.sentences)


def test_a_hand_over_that_nobody_began_is_not_called_a_matter_of_seconds() -> None:
    connection = Case(Stage.HANDING_OVER, organizations="shared").connection()
    connection.token_received_at = NOW - timedelta(hours=3)

    told = describe.connection(connection, latest=None, moment=NOW)

    assert told.code == "handing_over_late"


@pytest.mark.parametrize("cause", sorted(MENDED_BY_STAFF))
def test_our_own_mistake_is_not_called_leafs_silence(cause: Cause) -> None:
    told = Case(Stage.HANDING_OVER, cause=cause, organizations="shared").told()

    assert (told.code, told.who) == ("waiting_for_staff", "staff")
    assert ("safe" in " ".join(told.sentences)) is (cause is not Cause.TOKEN_UNREADABLE)


def test_what_our_own_error_held_up_for_a_month_is_not_called_leafs_refusal() -> None:
    told = Case(Stage.FAILED, cause=Cause.OUR_ERROR).told()

    assert (told.code, told.who) == ("failed", "staff")
    assert "An error on our side" in told.sentences[0]
    assert "not lost" in told.sentences[0]


def test_terms_have_a_link_when_john_deere_gave_one() -> None:
    connection = replace(CHOOSING, trouble=SharingTrouble.TERMS_NOT_ACCEPTED).connection()
    connection.terms_url = "https://operationscenter.deere.com/terms"

    told = describe.connection(connection, latest=None, moment=NOW)

    assert told.action == Action(
        "link", "Read the terms at John Deere", url="https://operationscenter.deere.com/terms"
    )
    assert [action.kind for action in told.others] == ["organizations"]


@pytest.mark.parametrize("outcome", [Outcome.DENIED, Outcome.INTERRUPTED, Outcome.EXPIRED])
def test_a_reconnect_that_failed_just_now_is_told_beside_what_still_stands(
    outcome: Outcome,
) -> None:
    case = replace(READY, outcome=outcome)
    told = case.told()

    assert told.code == "connected"
    expected = replace(case, stage=Stage.INVITED).told().title
    assert told.sentences[0] == f"{expected}."


def test_a_reconnect_that_failed_long_ago_is_told_no_more() -> None:
    case = replace(READY, outcome=Outcome.DENIED)
    attempt = case.attempt()
    assert attempt is not None
    attempt.ended_at = LONG_AGO

    assert describe.connection(case.connection(), latest=attempt, moment=NOW) == READY.told()


def test_after_many_failures_a_person_is_named_with_a_reference() -> None:
    case = Case(Stage.INVITED, outcome=Outcome.DEERE_UNAVAILABLE)

    told = describe.connection(case.connection(), latest=case.attempt(), moment=NOW, troubled=True)

    assert (told.reference, told.show_contact) == ("ABCDEFGH", True)
    assert told.code == case.told().code
    assert case.told().reference is None


@pytest.mark.parametrize("cause", list(Cause))
def test_staff_read_the_reason_and_what_to_do_for_every_cause(cause: Cause) -> None:
    connection = Case(Stage.FAILED, cause=cause).connection()
    connection.detail = "Leaf: create credentials: HTTP 400: it says why"

    text = describe.for_staff(connection)

    assert text.startswith(WHAT_TO_DO[cause])
    assert text.endswith("Leaf: create credentials: HTTP 400: it says why")
    assert len(WHAT_TO_DO[cause]) > 20


@pytest.mark.parametrize("trouble", list(SharingTrouble))
def test_staff_read_why_organizations_are_not_shared(trouble: SharingTrouble) -> None:
    connection = replace(CHOOSING, trouble=trouble).connection()
    connection.sharing_detail = "John Deere: list organizations: HTTP 403"

    text = describe.for_staff(connection)

    assert text == f"{SHARING[trouble]} John Deere: list organizations: HTTP 403"


def test_staff_read_nothing_where_nothing_is_wrong() -> None:
    assert describe.for_staff(READY.connection()) == ""


def test_shared_organizations_are_named_and_many_are_counted() -> None:
    connection = READY.connection()
    connection.organizations = [organization(str(n), connected=True) for n in range(1, 7)]

    step = describe.steps(connection, READY.told())[1]

    assert (step.state, step.text) == ("done", "Farm 1, Farm 2, Farm 3 and 3 more")


def test_organizations_are_listed_by_what_they_share_and_by_name() -> None:
    connection = READY.connection()
    names = [("b", True, True), ("A", True, True), ("c", False, True), ("d", False, False)]
    connection.organizations = [
        Organization(deere_id=name, name=name, connected=connected, member=member)
        for name, connected, member in [*names, ("e", True, False)]
    ]

    found = describe.organizations(connection)

    assert [org.name for org in found.shared] == ["A", "b", "e"]
    assert [org.name for org in found.not_shared] == ["c"]
    assert [org.name for org in found.partners] == ["d"]
    assert {org.connected for org in found.shared} == {True}


@pytest.mark.parametrize(
    "code",
    [
        "link_invalid",
        "link_expired",
        "link_revoked",
        "opened_elsewhere",
        "took_too_long",
        "returned",
        *["400", "404", "405", "413", "429", "500", "503"],
        "no such code",
    ],
)
def test_a_page_without_a_connection_has_words_too(code: str) -> None:
    told = describe.problem(code)

    check_words(told)
    assert told.title
    assert told.sentences
    assert told.tone != "ok"
    assert told.who in {"grower", "staff"}


def test_every_crash_is_our_fault_and_never_the_growers() -> None:
    for code in ("500", "502", "503"):
        assert describe.problem(code).who == "staff"


def test_what_is_shared_and_what_is_not_add_up() -> None:
    scopes = DEERE_SCOPES.split()
    shared, kept = describe.shared_by(scopes), describe.not_shared_by(scopes)

    assert not set(shared) & set(kept)
    assert "Financial data" in kept
    assert "Financial data" in describe.shared_by(["finance1"])
    assert "Financial data" not in describe.not_shared_by(["finance1"])
    assert describe.shared_by(["offline_access"]) == []
    assert describe.asks_to_edit(scopes)
    assert not describe.asks_to_edit(["ag1", "ag2", "eq1", "org1", "offline_access"])
