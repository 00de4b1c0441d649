"""What people are told: true in every combination, in words that blame nobody."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import get_args

import pytest

from onboarding import describe
from onboarding.describe import Action, Told
from onboarding.describe.staff import SHARING, WHAT_TO_DO
from onboarding.describe.told import Tone, Who
from onboarding.models import Connection, Organization
from onboarding.settings import DEERE_SCOPES
from onboarding.states import (
    MENDED_BY_STAFF,
    Cause,
    Environment,
    Health,
    Outcome,
    SharingTrouble,
    Stage,
)
from tests.unit.cases import NOW, Case, every_case, organization

LONG_AGO = NOW - timedelta(days=3)
FORBIDDEN_WORDS = re.compile(
    r"!|\b(successful\w*|oops|sorry|invalid|error code|null|undefined|token|OAuth|stage)\b",
    re.IGNORECASE,
)
OURS = {
    "refused_with_many",
    "limited_with_many",
    "application_refused",
    "disconnecting_held_up",
    "failed",
    "no_refresh_token",
    "nothing_fetched",
    "organizations_refused",
    "organizations_unknown",
    "unknown_health",
    "waiting_for_staff",
}
"""Codes of what only staff can mend."""
MUST_SAY_WHETHER_SHARED = {
    *("handing_over", "handing_over_late", "waiting_for_leaf", "waiting_for_staff", "checking"),
    *("temporarily_unavailable", "missing_permission", "credential_missing", "unknown_health"),
    *("nothing_fetched", "unconfirmed", "failed", "reconnect"),
    *("disconnecting", "disconnecting_late", "disconnecting_held_up"),
}
"""Where nothing else on the page says it."""


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
    assert ("Connected" in told.title) is (told.tone == "ok")
    if told.code in MUST_SAY_WHETHER_SHARED:
        assert told.whether_shared
    assert (told.who == "staff") is (told.code in OURS)
    if told.who == "grower":
        assert told.action or told.others, "the grower is to act, but there is nothing to press"
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
    states = [first.state, second.state, third.state]
    assert (third.state == "done") is (told.tone == "ok")
    assert (second.state == "done") is (case.organizations == "shared" and first.state == "done")
    assert states.count("now") + states.count("problem") <= 1
    if told.who == "grower" and told.tone != "ok":
        assert "now" in states or "problem" in states, "it is their turn, and no step says where"
    else:
        assert "now" not in states
    if "problem" in states:
        assert told.tone == "problem"
    if first.state == "done":
        assert connection.token_received_at is not None
        assert case.stage not in {Stage.INVITED, Stage.AUTHORIZING, Stage.DISCONNECTED}
    if third.state == "done":
        assert (first.state, second.state) == ("done", "done")
    if case.stage is Stage.FAILED:
        # Told once: where it failed.
        assert (third.state == "problem") is (first.state == "done")
    assert all(step.name and step.text for step in (first, second, third))


def test_every_combination_is_told_truthfully_and_calmly() -> None:
    seen: set[Told] = set()
    for case, connection, attempt in every_case():
        told = describe.connection(connection, latest=attempt, moment=NOW, incident=case.incident)
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
            "organizations",
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
        (Case(Stage.DISCONNECTED), "disconnected", "quiet", "nobody", "connections"),
        (Case(Stage.DISCONNECTING), "disconnecting", "wait", "nobody", None),
        (
            Case(Stage.DISCONNECTING, cause=Cause.DELETE_REFUSED, organizations="shared"),
            "disconnecting_held_up",
            "wait",
            "staff",
            None,
        ),
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


def test_what_never_arrived_is_not_said_to_stay_after_a_disconnect() -> None:
    connection = Case(Stage.DISCONNECTED).connection()
    for handed_over, says in ((None, False), (LONG_AGO, True)):
        connection.handed_over_at = handed_over
        told = describe.connection(connection, latest=None, moment=NOW)
        assert ("had arrived before" in " ".join(told.sentences)) is says


def test_staff_do_not_read_that_a_disconnect_is_given_up_after_a_month() -> None:
    case = Case(Stage.DISCONNECTING, cause=Cause.LEAF_UNAVAILABLE)
    assert "30 days" not in describe.for_staff(case.connection())
    assert "has not ended" in describe.for_staff(case.connection())


@pytest.mark.parametrize("number", [2, 5, 6, 40])
def test_missing_permission_leads_to_the_own_page_of_each_organization_that_may_be_meant(
    number: int,
) -> None:
    connection = replace(READY, health=Health.MISSING_PERMISSION).connection()
    connection.organizations = [
        *(organization(str(one), connected=True) for one in range(100, 100 + number)),
        organization("9"),
    ]

    told = describe.connection(connection, latest=None, moment=NOW)

    assert told.action is not None
    pages = [one for one in (told.action, *told.others) if one.kind == "organizations"]
    own = [one.organization_id for one in pages if one.organization_id]
    assert own == [str(one) for one in range(100, 100 + min(number, 5))]
    assert pages[0].label == "Open the page of Farm 100"
    assert (len(pages) > len(own)) is (number > 5)


@pytest.mark.parametrize(("waited", "code"), [(19, "disconnecting"), (20, "disconnecting_late")])
def test_a_disconnect_that_leaf_keeps_waiting_says_how_to_end_it_at_john_deere(
    waited: int, code: str
) -> None:
    connection = Case(Stage.DISCONNECTING, cause=Cause.LEAF_UNAVAILABLE).connection()
    connection.waiting_since = NOW - timedelta(seconds=waited)

    told = describe.connection(connection, latest=None, moment=NOW)

    assert told.code == code
    ways = [action.kind for action in told.others]
    assert ways == (["connections", "start"] if code == "disconnecting_late" else [])


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


@pytest.mark.parametrize("stage", [Stage.HANDING_OVER, Stage.CHOOSING_ORGANIZATIONS])
@pytest.mark.parametrize("trouble", [None, SharingTrouble.DEERE_UNAVAILABLE])
def test_a_choice_that_nobody_could_see_is_not_denied(
    stage: Stage, trouble: SharingTrouble | None
) -> None:
    connection = Case(stage, Health.OK, trouble=trouble, organizations="not shared").connection()
    connection.organizations_seen_at = connection.leaf_listed_at = NOW - timedelta(hours=2)
    connection.sharing_trouble_at = NOW - timedelta(hours=2)
    connection.returned_at = NOW - timedelta(minutes=1)

    told = describe.connection(connection, latest=None, moment=NOW)
    check_words(told)
    assert (told.code, told.tone, told.who) == ("choice_unseen", "wait", "nobody")
    assert "What you chose at John Deere is kept there." in told.sentences[0]
    assert "We can’t see" in told.whether_shared
    assert describe.organizations(connection, told).not_shared.count == 0
    assert describe.steps(connection, told)[1].text == "We can’t see yet what is shared"

    for look in ("organizations_seen_at", "leaf_listed_at", "sharing_trouble_at"):
        before = getattr(connection, look)
        setattr(connection, look, NOW)
        assert describe.connection(connection, latest=None, moment=NOW).code != "choice_unseen"
        setattr(connection, look, before)


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


@pytest.mark.parametrize(
    "cause",
    sorted(MENDED_BY_STAFF - {Cause.CHECK_REFUSED, Cause.NOTHING_FETCHED, Cause.DELETE_REFUSED}),
)
def test_what_a_matter_of_ours_held_up_for_a_month_is_not_called_leafs_doing(cause: Cause) -> None:
    case = Case(Stage.FAILED, cause=cause)
    told = case.told()

    assert (told.code, told.who) == ("failed", "staff")
    assert "An error on our side" in told.sentences[0]
    assert ("not lost" in told.sentences[0]) is (cause is not Cause.TOKEN_UNREADABLE)
    assert "30 days" in describe.for_staff(case.connection())
    assert "etry" in describe.for_staff(case.connection())


def test_terms_have_a_link_when_john_deere_gave_one() -> None:
    connection = replace(CHOOSING, trouble=SharingTrouble.TERMS_NOT_ACCEPTED).connection()
    connection.terms_url = "https://operationscenter.deere.com/terms"

    told = describe.connection(connection, latest=None, moment=NOW)

    assert told.action == Action(
        "link", "Read the terms", url="https://operationscenter.deere.com/terms"
    )
    assert [action.label for action in told.others] == ["I have accepted them"]
    assert "press “I have accepted them”" in told.sentences[1]


def test_terms_without_a_link_have_the_one_button_that_the_text_names() -> None:
    told = replace(CHOOSING, trouble=SharingTrouble.TERMS_NOT_ACCEPTED).told()

    assert told.action is not None
    assert told.action.label == "I have accepted them"
    assert told.others == ()
    assert "operationscenter.deere.com, then press “I have accepted them”" in told.sentences[1]


@pytest.mark.parametrize("outcome", [Outcome.DENIED, Outcome.INTERRUPTED, Outcome.EXPIRED])
def test_a_reconnect_that_failed_just_now_is_told_beside_what_still_stands(
    outcome: Outcome,
) -> None:
    case = replace(READY, outcome=outcome)
    told = case.told()

    assert told.code == "connected"
    expected = replace(case, stage=Stage.INVITED).told().title
    assert told.sentences == (*READY.told().sentences, f"Your last attempt: {expected}.")


OURS_LATELY = [Outcome.APPLICATION_REFUSED, Outcome.NO_REFRESH_TOKEN]


@pytest.mark.parametrize("outcome", OURS_LATELY)
@pytest.mark.parametrize(
    "case",
    [
        replace(READY, health=Health.UNAUTHENTICATED),
        replace(READY, cause=Cause.CREDENTIAL_MISSING),
        replace(CHOOSING, trouble=SharingTrouble.NO_ORGANIZATIONS),
        Case(Stage.DISCONNECTED),
    ],
)
def test_a_reconnect_refused_for_our_fault_is_not_the_growers_turn_however_long_ago(
    case: Case, outcome: Outcome
) -> None:
    attempt = replace(case, outcome=outcome).attempt()
    assert attempt is not None
    attempt.ended_at = LONG_AGO

    told = describe.connection(case.connection(), latest=attempt, moment=NOW)

    first = replace(case, stage=Stage.INVITED, outcome=outcome).told()
    assert (told.code, told.sentences) == (first.code, first.sentences)
    assert (told.who, told.tone, told.action) == ("staff", "problem", None)
    assert told.whether_shared == (case.told().whether_shared or first.whether_shared)
    states = [step.state for step in describe.steps(case.connection(), told)]
    assert states[0] == "problem"
    assert "done" not in (states[0], states[2])


def test_choosing_is_still_possible_after_a_reconnect_refused_for_our_fault() -> None:
    told = replace(CHOOSING, outcome=Outcome.APPLICATION_REFUSED, organizations="not shared").told()

    assert (told.code, told.who) == ("choose_organizations", "grower")


@pytest.mark.parametrize("outcome", OURS_LATELY)
def test_staff_read_that_the_last_attempt_was_refused_for_our_fault(outcome: Outcome) -> None:
    case = Case(Stage.INVITED, outcome=outcome)
    attempt = case.attempt()
    assert attempt is not None
    attempt.detail = "invalid_scope: it says why"

    text = describe.for_staff(case.connection(), attempt)

    assert text.endswith("Mend, then tell the grower to try again. invalid_scope: it says why")


def test_staff_read_a_missing_refresh_token_once() -> None:
    case = Case(Stage.FAILED, cause=Cause.NO_REFRESH_TOKEN, outcome=Outcome.NO_REFRESH_TOKEN)

    assert (
        describe.for_staff(case.connection(), case.attempt())
        == (WHAT_TO_DO[Cause.NO_REFRESH_TOKEN])
    )


@pytest.mark.parametrize(
    ("said", "code", "done"),
    [(timedelta(hours=47), "connected", True), (timedelta(hours=49), "unconfirmed", False)],
)
def test_leafs_word_is_told_as_of_now_only_while_it_is_new(
    said: timedelta, code: str, done: bool
) -> None:
    connection = READY.connection()
    connection.checked_at = NOW - said
    connection.failed_checks = 40

    told = describe.connection(connection, latest=None, moment=NOW)

    assert told.code == code
    assert (describe.steps(connection, told)[2].state == "done") is done
    assert ("Leaf last told us about it on 20 November 2026." in told.sentences) is not done


def test_a_pause_at_john_deere_is_told_as_of_now_only_while_it_is_new() -> None:
    connection = replace(READY, health=Health.TEMPORARILY_UNAVAILABLE).connection()
    connection.checked_at = LONG_AGO

    assert describe.connection(connection, latest=None, moment=NOW).code == "unconfirmed"


def test_a_new_hand_over_is_a_new_word_of_leaf() -> None:
    connection = READY.connection()
    connection.checked_at, connection.handed_over_at = LONG_AGO, NOW

    assert describe.connection(connection, latest=None, moment=NOW).code == "connected"


def test_nothing_is_said_to_flow_before_the_partner_has_chosen() -> None:
    connection = READY.connection()
    connection.grower.partner.select_organizations = True

    told = describe.connection(connection, latest=None, moment=NOW)

    assert told.code == "connected"
    assert told.sentences[0].startswith("Demo Co-op now chooses what Leaf fetches")
    assert "flow" not in " ".join(texts(told))
    assert "hours" not in " ".join(texts(told))


def test_leaf_confirms_that_it_can_fetch_and_not_that_data_has_come() -> None:
    step = describe.steps(READY.connection(), READY.told())[2]

    assert (step.name, step.state) == ("Leaf can fetch data", "done")


def test_fewer_scopes_than_asked_are_told_with_the_way_to_give_them() -> None:
    connection = READY.connection()
    connection.scopes_asked = ["ag1", "ag3", "offline_access"]

    told = describe.connection(connection, latest=None, moment=NOW)

    assert told.code == "connected"
    assert told.who == "grower"
    assert "some data may be missing" in told.sentences[0]
    # Not by its address, which is another one in the sandbox: the button leads to the right one.
    assert "deere.com" not in " ".join(texts(told))
    assert "close" not in " ".join(texts(told))
    assert told.others[:2] == (
        Action("start", "Connect again"),
        Action("connections", "Open my connections at John Deere"),
    )
    assert "let the grower connect again" in describe.for_staff(connection)


def test_lasting_access_that_is_not_listed_is_no_missing_data() -> None:
    connection = READY.connection()
    connection.scopes_granted = ["ag1"]

    told = describe.connection(connection, latest=None, moment=NOW)

    assert told == READY.told()


@pytest.mark.parametrize(("shared", "organization_id"), [(1, "1"), (2, None)])
def test_what_is_shared_can_be_changed_also_when_all_is_shared(
    shared: int, organization_id: str | None
) -> None:
    connection = READY.connection()
    connection.organizations = [organization(str(n), connected=True) for n in range(1, 1 + shared)]

    told = describe.connection(connection, latest=None, moment=NOW)

    expected = Action("organizations", "Change what is shared", organization_id=organization_id)
    assert expected in told.others


@pytest.mark.parametrize(
    "trouble",
    [
        SharingTrouble.DEERE_UNAVAILABLE,
        SharingTrouble.APPLICATION_REFUSED,
        SharingTrouble.ANSWER_UNKNOWN,
        SharingTrouble.PERMISSIONS_TOO_LOW,
    ],
)
def test_what_we_cannot_see_is_not_called_nothing(trouble: SharingTrouble) -> None:
    case = replace(CHOOSING, trouble=trouble)
    told = case.told()

    assert "We can’t see" in told.whether_shared
    assert "No data" not in told.whether_shared
    # What Leaf has named is seen, whatever John Deere answers.
    seen = case.organizations if trouble is SharingTrouble.ANSWER_UNKNOWN else "not shared"
    connection = replace(case, organizations=seen).connection()
    assert describe.steps(connection, told)[1].text == "We can’t see yet what is shared"
    assert describe.organizations(connection, told).is_told_by_step
    assert describe.organizations(connection, told).not_shared.count == 0


@pytest.mark.parametrize("environment", list(Environment))
def test_an_application_that_may_be_full_is_our_fault(environment: Environment) -> None:
    case = replace(CHOOSING, organizations="not shared")
    attempt = case.attempt()
    assert attempt is not None
    attempt.sent_to_choose_at = NOW - timedelta(seconds=30)
    connection = case.connection()
    connection.environment = environment
    connection.organizations_seen_at = NOW

    told = describe.connection(connection, latest=attempt, moment=NOW)

    is_stage = environment is Environment.STAGE
    said = "If John Deere refused to save, the fault is on our side: tell your contact."
    assert told.code == "no_organization_chosen"
    assert (said in told.sentences) is is_stage
    assert (told.reference is not None) is is_stage


def test_an_answer_that_says_nothing_blames_nobody_and_names_whom_to_tell() -> None:
    case = replace(CHOOSING, trouble=SharingTrouble.ANSWER_UNKNOWN)
    told = case.told()

    assert (told.code, told.who, told.reference) == ("organizations_unknown", "staff", "ABCDEFGH")
    assert "rights" not in " ".join(texts(told))

    leaf_names_some = replace(case, organizations="not shared")
    assert leaf_names_some.told().code == "choose_organizations"


def test_an_account_without_organizations_is_told_of_rights_and_of_the_farms_own_sign_in() -> None:
    told = replace(CHOOSING, trouble=SharingTrouble.NO_ORGANIZATIONS).told()

    said = " ".join(told.sentences)
    assert told.title == "John Deere shows us no organization for this account"
    assert "Organization Management Level 1" in said
    assert "dealers and employees have none: use the farm’s own." in said


@pytest.mark.parametrize(
    "code",
    ["link_invalid", "opened_elsewhere", "took_too_long", "400", "429"],
)
def test_a_page_that_knows_nothing_speaks_of_itself_alone(code: str) -> None:
    assert describe.problem(code).whether_shared == "This page shared nothing."


def test_a_return_that_we_do_not_know_is_not_called_nothing_shared() -> None:
    told = describe.problem("returned")

    assert "What you chose there is kept." in told.sentences[1]
    assert told.whether_shared == "Opening this page changed nothing."


def test_the_way_back_is_the_one_step_that_is_offered() -> None:
    told = describe.problem("405", back="/c/link")

    assert told.action == Action("page", "Open the page again", url="/c/link")
    assert told.others == ()
    assert describe.problem("405").action is None


def test_error_page_at_john_deere_is_called_our_fault_also_when_it_took_too_long() -> None:
    for outcome in ("open", "left", Outcome.EXPIRED):
        told = Case(Stage.AUTHORIZING, outcome=outcome).told()
        assert "error page at johndeere.com" in " ".join(told.sentences), outcome


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
    happened, help_ = told.sentences
    assert happened == case.told().sentences[0]
    assert help_.startswith("It has not worked several times now. Let your contact help you")
    assert (told.action, told.others[0].label) == (None, "Try again")


def test_what_a_grower_has_to_do_is_still_said_after_many_failures() -> None:
    case = replace(CHOOSING, trouble=SharingTrouble.NO_ORGANIZATIONS)

    told = describe.connection(case.connection(), latest=case.attempt(), moment=NOW, troubled=True)

    assert told.sentences[:-1] == case.told().sentences
    assert told.action == case.told().action


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


@pytest.mark.parametrize(
    ("count", "text"),
    [(1, "Farm 1"), (3, "Farm 1, Farm 2, Farm 3"), (6, "6 organizations")],
)
def test_shared_organizations_are_named_by_the_step_or_by_a_list_and_never_by_both(
    count: int, text: str
) -> None:
    connection = READY.connection()
    connection.organizations = [organization(str(n), connected=True) for n in range(1, 1 + count)]

    step = describe.steps(connection, READY.told())[1]

    assert (step.name, step.state, step.text) == ("Organizations shared", "done", text)
    is_told = describe.organizations(connection, READY.told()).is_told_by_step
    assert is_told is ("Farm" in text)


def test_an_organization_without_a_name_is_called_by_its_number() -> None:
    connection = READY.connection()
    connection.organizations = [organization("450101", connected=True)]
    connection.organizations[0].name = ""
    told = replace(READY, health=Health.MISSING_PERMISSION).told()

    assert describe.steps(connection, READY.told())[1].text == "Organization 450101"
    listed = describe.organizations(connection, told).shared
    assert [org.name for org in listed.shown] == ["Organization 450101"]
    connection.health = Health.MISSING_PERMISSION
    told = describe.connection(connection, latest=None, moment=NOW)
    assert "page for Organization 450101, allow" in told.sentences[1]


@pytest.mark.parametrize(
    "case",
    [
        Case(Stage.DISCONNECTED),
        replace(READY, health=Health.UNAUTHENTICATED),
        replace(READY, cause=Cause.CREDENTIAL_MISSING),
        replace(READY, health=Health.UNAUTHENTICATED, outcome=Outcome.APPLICATION_REFUSED),
        Case(Stage.FAILED, cause=Cause.NO_REFRESH_TOKEN),
        Case(Stage.AUTHORIZING, outcome="open"),
    ],
)
def test_what_was_shared_by_an_ended_permission_is_only_the_last_known(case: Case) -> None:
    case = replace(case, organizations="shared")
    connection, told = case.connection(), case.told()

    _, second, third = describe.steps(connection, told)

    assert (second.state, second.text) == ("todo", "Last known: Farm 1")
    assert third.state == "todo"
    assert describe.organizations(connection, told).is_told_by_step


@pytest.mark.parametrize(("shared", "can_add"), [(1, True), (2, False)])
def test_one_place_is_offered_once(shared: int, can_add: bool) -> None:
    connection = READY.connection()
    connection.organizations = [
        organization(str(n), connected=n <= shared) for n in range(1, 2 + shared)
    ]
    told = describe.connection(connection, latest=None, moment=NOW)

    assert describe.organizations(connection, told).can_add is can_add


def test_organizations_are_listed_by_what_they_share_and_by_name() -> None:
    connection = READY.connection()
    names = [("b", True, True), ("A", True, True), ("c", False, True), ("d", False, False)]
    connection.organizations = [
        Organization(deere_id=name, name=name, connected=connected, member=member)
        for name, connected, member in [*names, ("e", True, False)]
    ]

    found = describe.organizations(connection, READY.told())

    assert [org.name for org in found.shared.shown] == ["A", "b", "e"]
    assert [org.name for org in found.not_shared.shown] == ["c"]
    assert [org.name for org in found.partners.shown] == ["d"]
    assert {org.connected for org in found.shared.shown} == {True}


def test_a_long_list_of_organizations_is_cut_and_says_how_many_are_left_out() -> None:
    connection = READY.connection()
    connection.organizations = [organization(f"{n:03}") for n in range(500)]

    listed = describe.organizations(connection, READY.told()).not_shared

    assert [org.name for org in listed.shown] == [f"Farm {n:03}" for n in range(10)]
    assert (listed.more, listed.count) == (490, 500)


@pytest.mark.parametrize(
    "code",
    [
        "link_invalid",
        "link_expired",
        "link_renewable",
        "link_asked",
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


def test_remote_display_access_and_alerts_are_named_where_machines_are_asked_for() -> None:
    said = " ".join(describe.shared_by(["eq1"]))

    assert "Remote Display Access" in said
    assert "alerts" in said


@pytest.mark.parametrize(
    ("scopes", "words"),
    [
        (DEERE_SCOPES.split(), "boundaries and files"),
        (["ag1", "eq2"], "some of the permissions"),
        (["ag3", "finance2"], "some of the permissions"),
        (["ag1", "ag2", "eq1", "org1", "offline_access"], None),
    ],
)
def test_the_reason_for_edit_and_delete_fits_what_is_asked_for(
    scopes: list[str], words: str | None
) -> None:
    why = describe.why_edit(scopes)

    assert (why is None) if words is None else (why is not None and words in why)


def test_no_sentence_points_to_a_place_that_only_the_page_has() -> None:
    # Frames, the API and webhooks tell the same, and have nothing below.
    for module in Path(describe.__path__[0]).glob("*.py"):
        assert not re.search(r"\bbelow\b", module.read_text()), module.name
