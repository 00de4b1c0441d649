"""John Deere says no, says nothing, or says something strange."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest
import sqlalchemy as sa

from onboarding.installation import METADATA_COPY
from onboarding.models import Copy
from onboarding.states import Outcome, SharingTrouble, Stage
from tests.support.control import Control
from tests.support.page import Page
from tests.support.people import People, Person
from tests.support.stack import PARTNER, WEB, Stack
from tests.support.wait import wait_until

UNAVAILABLE = "John Deere can’t be reached"
REFUSED = "John Deere did not accept our request"
NOTHING = "Nothing was shared."
POLICY = "Policy evaluation failed for this request, please check the policy configurations."


@pytest.mark.parametrize(
    "fault",
    [
        {"kind": "status", "status": 503},
        {"kind": "status", "status": 429, "headers": {"Retry-After": "60"}},
        {"kind": "html"},
        {"kind": "reset"},
        {"kind": "json", "body": {"token_type": "Bearer"}},
    ],
    ids=["503", "429", "html", "reset", "no-token"],
)
def test_token_endpoint_that_fails_asks_to_try_again(
    people: People, control: Control, fault: dict[str, Any]
) -> None:
    grower = people.invited()
    callback = grower.until_callback("already-connected")
    control.set_faults({"where": "deere.token", **fault})
    page = grower.open(callback)
    assert UNAVAILABLE in page.text
    assert NOTHING in page.text
    assert grower.state()["code"] == "deere_unavailable"
    assert [one.outcome for one in grower.attempts()] == [Outcome.DEERE_UNAVAILABLE]
    assert grower.connection().stage is Stage.INVITED
    control.clear_faults()
    grower.start()
    grower.wait_for_code("connected")


def test_organizations_that_cannot_be_read_do_not_lose_the_permission(
    people: People, control: Control
) -> None:
    control.add_fault("deere.organizations", "status", status=503)
    control.add_fault("leaf.organizations", "status", status=503)  # it asks John Deere, too
    grower = people.invited()
    page = grower.authorize("one-farm")
    assert page.heading == "John Deere does not answer just now"
    assert "Your permission is safe. We can’t see yet what is shared." in page.text
    assert grower.connection().sharing_trouble is SharingTrouble.DEERE_UNAVAILABLE
    grower.wait_for(lambda _: grower.at_leaf() != [], what="Leaf has the permission")
    grower.press("Try again")
    assert grower.page.heading == "John Deere does not answer just now"
    control.clear_faults()
    grower.press("Try again")
    grower.choose()
    grower.wait_for_code("connected")
    assert len(grower.attempts()) == 1


def test_try_again_leads_a_grower_who_shares_already_to_our_page(
    people: People, control: Control
) -> None:
    control.add_fault("deere.organizations", "status", status=503)
    control.add_fault("leaf.organizations", "status", status=503)
    grower = people.invited()
    grower.authorize("already-connected")
    assert grower.page.heading == "John Deere does not answer just now"
    control.clear_faults()
    grower.press("Try again")
    assert grower.page.url == grower.link
    assert grower.shared() == {"Harper Grain"}


@pytest.mark.parametrize(
    ("fault", "trouble"),
    [
        ({"body": {"message": "Access Denied"}}, SharingTrouble.PERMISSIONS_TOO_LOW),
        (
            {"body": {"message": "Requested Org is in a restricted state."}},
            SharingTrouble.APPLICATION_REFUSED,
        ),
        (
            {"body": {"message": "The client does not have a proper access for this API"}},
            SharingTrouble.APPLICATION_REFUSED,
        ),
        ({"body": {}}, SharingTrouble.APPLICATION_REFUSED),
        ({"kind": "html"}, SharingTrouble.APPLICATION_REFUSED),
    ],
    ids=["access-denied", "restricted", "client", "no-reason", "html"],
)
def test_only_access_denied_is_about_the_growers_rights(
    people: People, control: Control, fault: dict[str, Any], trouble: SharingTrouble
) -> None:
    control.add_fault("leaf.organizations", "status", status=503)
    described = {"where": "deere.organizations", "kind": "json", "status": 403, **fault}
    control.set_faults(described)
    grower = people.invited()
    grower.authorize("one-farm")
    assert grower.connection().sharing_trouble is trouble


def test_answer_without_any_list_of_organizations_tells_staff_where_to_look(
    people: People, control: Control, stack: Stack
) -> None:
    control.set_faults(
        {"where": "deere.organizations", "kind": "json", "body": {}},
        {"where": "leaf.organizations", "kind": "status", "status": 503},
    )
    grower = people.invited()
    page = grower.authorize("one-farm")
    row = grower.connection()
    assert page.heading == "We can’t see your organizations"
    assert "rights" not in page.text
    assert f"Reference code {row.reference}" in page.text
    assert row.sharing_trouble is SharingTrouble.ANSWER_UNKNOWN
    assert row.reference in stack.cli("connection", "list", check=False).stdout
    assert "ERROR" in stack.log(WEB)
    assert "John Deere does not say which organizations there are" in stack.log(WEB)
    assert "DEERE_API_URL of the same environment" in row.sharing_detail


def test_refusal_of_our_application_is_on_the_list_for_staff(people: People, stack: Stack) -> None:
    grower = people.invited()
    _answered(grower, {"error": "invalid_scope"})
    reference = grower.connection().reference
    (line,) = [
        one
        for one in stack.cli("connection", "list").stdout.splitlines()
        if one.startswith(reference)
    ]
    assert "John Deere refused our application when the grower last tried" in line
    assert line.endswith("invalid_scope:")


def test_refused_client_is_our_fault_and_staff_read_why(people: People, control: Control) -> None:
    grower = people.invited()
    callback = grower.until_callback("already-connected")
    control.set_policies(deere_client="refused")
    page = grower.open(callback)
    assert REFUSED in page.text
    assert "The fault is on our side, not on yours." in page.text
    (attempt,) = grower.attempts()
    assert attempt.outcome is Outcome.APPLICATION_REFUSED
    assert "invalid_client" in attempt.detail


def test_token_endpoint_that_gives_a_400_without_error_is_no_success(
    people: People, control: Control
) -> None:
    grower = people.invited()
    callback = grower.until_callback("already-connected")
    control.add_fault("deere.token", "json", status=400, body={"access_token": "not-a-token"})
    assert REFUSED in grower.open(callback).text
    assert grower.connection().refresh_token is None
    assert grower.at_leaf() == []


def test_code_that_has_expired_is_nobodys_fault(people: People, control: Control) -> None:
    grower = people.invited()
    callback = grower.until_callback("already-connected")
    control.set_policies(deere_code_seconds=0)
    page = grower.open(callback)
    assert "The sign-in could not be completed" in page.text
    assert NOTHING in page.text
    assert [one.outcome for one in grower.attempts()] == [Outcome.CODE_REFUSED]
    control.set_policies(deere_code_seconds=60)
    grower.start()
    grower.wait_for_code("connected")


def test_callback_that_is_reloaded_shows_the_page_and_exchanges_nothing(
    people: People, control: Control
) -> None:
    grower = people.invited()
    callback = grower.until_callback("already-connected")
    grower.open(callback)
    grower.wait_for_code("connected")
    page = grower.open(callback)
    assert page.url == grower.link
    assert page.heading == "Connected"
    assert grower.open(re.sub(r"code=[^&]+", "error=access_denied", callback)).heading == (
        "Connected"
    )
    assert len(control.journal(point="deere.token", account="already-connected")) == 1
    assert [one.outcome for one in grower.attempts()] == [Outcome.AUTHORIZED]


@pytest.mark.parametrize(
    ("answer", "outcome", "text"),
    [
        ({}, Outcome.APPLICATION_REFUSED, REFUSED),
        ({"code": ""}, Outcome.APPLICATION_REFUSED, REFUSED),
        ({"error": "invalid_scope"}, Outcome.APPLICATION_REFUSED, REFUSED),
        ({"error": "something_new"}, Outcome.APPLICATION_REFUSED, REFUSED),
        ({"error": "access_denied"}, Outcome.DENIED, "Access was not given"),
        (
            {"error": "access_denied", "error_description": POLICY},
            Outcome.APPLICATION_REFUSED,
            REFUSED,
        ),
        ({"error": "access_denied", "code": "x"}, Outcome.DENIED, "Access was not given"),
        ({"error": "server_error"}, Outcome.DEERE_UNAVAILABLE, UNAVAILABLE),
        ({"error": "temporarily_unavailable"}, Outcome.DEERE_UNAVAILABLE, UNAVAILABLE),
    ],
)
def test_answer_without_a_usable_code_is_told_in_our_words(
    people: People, control: Control, answer: dict[str, str], outcome: Outcome, text: str
) -> None:
    grower = people.invited()
    seq = control.last_seq()
    page = _answered(grower, answer)
    assert page.url == grower.link
    assert text in page.text
    assert NOTHING in page.text
    assert [one.outcome for one in grower.attempts()] == [outcome]
    assert grower.connection().stage is Stage.INVITED
    assert control.journal(after=seq, point="deere.token") == []


def test_john_deeres_own_words_reach_staff_and_no_page(people: People, stack: Stack) -> None:
    words = "<img src=x onerror=alert(1)>\x1b[2J\u202eNo licence for you"
    grower = people.invited()
    page = _answered(grower, {"error": "unauthorized_client", "error_description": words})
    assert REFUSED in page.text
    assert "onerror" not in page.html
    assert "licence" not in page.html
    shown = stack.cli("connection", "show", grower.connection().reference).stdout
    assert "unauthorized_client: <img src=x onerror=alert(1)>" in shown
    assert "No licence for you" in shown
    assert "\x1b" not in shown
    assert "\u202e" not in shown


def test_third_failure_within_an_hour_names_a_person_and_a_code(
    people: People, stack: Stack
) -> None:
    slug = f"{PARTNER}-with-support"
    people.partner(
        slug,
        name="Prairie Co-op",
        support_name="Kim Jensen",
        support_phone="+1 (555) 010-2030",
        support_email="kim@example.com",
    )
    grower = people.invited(partner=slug)
    for _ in range(2):
        assert "Reference code" not in _answered(grower, {"error": "access_denied"}).text
    page = _answered(grower, {"error": "access_denied"})
    reference = grower.connection().reference
    assert f"Reference code {reference}" in page.text
    assert "Kim Jensen" in page.text
    assert page.links["+1 (555) 010-2030"] == "tel:+15550102030"
    assert page.links["kim@example.com"] == f"mailto:kim@example.com?subject={reference}"
    shown = stack.cli("connection", "show", reference.lower()).stdout
    assert f"Maple Farm ({slug}: {grower.external_id})" in shown
    assert shown.count("attempt denied") == 3
    grower.open()
    grower.until_callback("already-connected")  # the code stays while they are at John Deere
    assert reference in grower.open().text


@pytest.fixture
def without_web(stack: Stack) -> Iterator[Stack]:
    """Web is not running, and nothing is remembered of John Deere's metadata, before and after."""
    stack.kill(WEB)
    _remember(stack, None)
    yield stack
    stack.kill(WEB)
    _remember(stack, None)


def test_walk_works_although_metadata_was_never_read(without_web: Stack, people: People) -> None:
    without_web.control.add_fault("deere.metadata", "status", status=503)
    without_web.start_web()
    grower = people.invited()
    grower.connect("already-connected")
    grower.wait_for_code("connected")
    assert _remembered(without_web) is None
    _wait_for_log(without_web, "using the last good copy")


def test_last_good_copy_of_the_metadata_is_used(without_web: Stack, people: People) -> None:
    issuer = without_web.environment["DEERE_METADATA_URL"].partition("/.well-known")[0]
    copy = {
        "issuer": issuer,
        "authorization_endpoint": f"{issuer}/v1/authorize?from=the-copy",
        "token_endpoint": f"{issuer}/v1/token",
    }
    _remember(without_web, json.dumps(copy))
    without_web.control.add_fault("deere.metadata", "status", status=500)
    without_web.start_web()
    grower = people.invited()
    grower.open()
    grower.start()
    assert parse_qs(urlsplit(_sent_to(grower)).query)["from"] == ["the-copy"]
    grower.sign_in("already-connected")
    grower.allow()
    grower.wait_for_code("connected")


@pytest.mark.parametrize("ours", [True, False], ids=["endpoints-elsewhere", "wrong-issuer"])
def test_metadata_of_somebody_else_is_refused(
    without_web: Stack, people: People, ours: bool
) -> None:
    issuer = without_web.environment["DEERE_METADATA_URL"].partition("/.well-known")[0]
    elsewhere = "https://signin.example.net/oauth2/aus78tnlaysMraFhC1t7"
    body = {
        "issuer": issuer if ours else elsewhere,
        "authorization_endpoint": f"{elsewhere}/v1/authorize",
        "token_endpoint": f"{elsewhere}/v1/token",
    }
    without_web.control.add_fault("deere.metadata", "json", body=body)
    without_web.start_web()
    grower = people.invited()
    grower.open()
    grower.start()
    assert _sent_to(grower).startswith(f"{issuer}/v1/authorize?")
    assert _remembered(without_web) is None
    reason = "has its authorization_endpoint elsewhere" if ours else "names another issuer"
    _wait_for_log(without_web, f"the metadata {reason}")


def _wait_for_log(stack: Stack, text: str) -> None:
    wait_until(lambda: text in stack.log(WEB), what=f"web says {text!r}")


def _answered(grower: Person, answer: dict[str, str]) -> Page:
    """Start, and come back with the right state and this answer of John Deere's."""
    grower.open()
    grower.start()
    state = parse_qs(urlsplit(_sent_to(grower)).query)["state"][0]
    origin = grower.link.partition("/c/")[0]
    return grower.open(f"{origin}/deere/callback?{urlencode({'state': state, **answer})}")


def _sent_to(grower: Person) -> str:
    """Where the last start sent the browser."""
    starts = [one for one in grower.answers if one.url.endswith("/start")]
    return str(starts[-1].headers["Location"])


def _remember(stack: Stack, text: str | None) -> None:
    with stack.installation.database.transaction() as session:
        session.execute(sa.delete(Copy).where(Copy.name == METADATA_COPY))
        if text is not None:
            moment = sa.func.current_timestamp()
            session.execute(
                sa.insert(Copy).values(name=METADATA_COPY, text=text, fetched_at=moment)
            )


def _remembered(stack: Stack) -> str | None:
    with stack.installation.database.reading() as session:
        return session.scalar(sa.select(Copy.text).where(Copy.name == METADATA_COPY))
