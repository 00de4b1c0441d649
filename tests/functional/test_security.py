"""Attacks on the walk through John Deere: each is refused, and the real grower still gets there."""

from __future__ import annotations

import base64
import json
import re
from datetime import timedelta
from urllib.parse import parse_qs, parse_qsl, urlencode, urlsplit

import pytest
import sqlalchemy as sa

from onboarding.links import ATTEMPT_COOKIES_KEPT, attempt_cookie
from onboarding.models import ATTEMPT_LIFETIME, Attempt, Base
from onboarding.states import Outcome, Stage
from tests.support.control import Control
from tests.support.inspection import cookies
from tests.support.page import Page
from tests.support.people import People, Person
from tests.support.stack import Stack

ELSEWHERE = "You started in another browser"


def test_attackers_callback_in_the_victims_browser_is_refused_and_uses_nothing_up(
    people: People, control: Control
) -> None:
    attacker, victim = people.invited(), people.invited(name="Victim Farm")
    attackers_callback = attacker.until_callback("already-connected")
    victims_callback = victim.until_callback("already-connected")
    page = victim.open(attackers_callback)
    assert page.status == 400
    assert page.heading == ELSEWHERE
    assert "This page shared nothing." in page.text
    assert control.journal(point="deere.token") == []
    assert [one.used_at for one in (*attacker.attempts(), *victim.attempts())] == [None, None]
    for grower, callback in ((attacker, attackers_callback), (victim, victims_callback)):
        grower.open(callback)
        grower.wait_for_code("connected")


def test_callback_in_another_browser_leaves_the_attempt_to_the_right_one(
    people: People, control: Control
) -> None:
    grower = people.invited(name="Quiet Valley Farm")
    callback = grower.until_callback("already-connected")
    stranger = people.visitor(grower.link)
    for url in (callback, callback, re.sub(r"code=[^&]+", "error=access_denied", callback)):
        page = stranger.open(url)
        assert page.heading == ELSEWHERE
        assert "Quiet Valley" not in page.html
    assert _cookie_names(stranger) == set()
    assert control.journal(point="deere.token") == []
    grower.open(callback)
    grower.wait_for_code("connected")
    assert stranger.open(callback).heading == ELSEWHERE  # used, and still not theirs


@pytest.mark.parametrize(
    "answer",
    [
        {"error": "access_denied"},
        {"error": "server_error", "error_description": "x"},
        {"code": "a-code"},
        {},
        {"iss": "https://signin.johndeere.com/oauth2/somebody-else", "code": "a-code"},
    ],
)
def test_answer_without_the_cookie_writes_nothing_but_when_it_came(
    people: People, control: Control, answer: dict[str, str]
) -> None:
    grower = people.invited()
    callback = grower.until_callback("one-farm")
    before = _stored(grower)
    stranger = people.visitor(grower.link)
    page = stranger.open(_with(callback, answer))
    assert page.status == 400
    assert _stored(grower) == before
    assert control.journal(point="deere.token") == []


def test_late_answer_without_the_cookie_took_too_long_and_exchanges_nothing(
    people: People, control: Control, stack: Stack
) -> None:
    grower = people.invited(name="Quiet Valley Farm")
    callback = grower.until_callback("already-connected")
    (attempt,) = grower.attempts()
    old = attempt.created_at - ATTEMPT_LIFETIME - timedelta(seconds=1)
    with stack.installation.database.transaction() as session:
        session.execute(sa.update(Attempt).where(Attempt.id == attempt.id).values(created_at=old))
    before = _stored(grower)
    late = people.visitor(grower.link)  # the cookie has gone with the half hour
    page = late.open(callback)
    assert (page.status, page.heading) == (400, "Please start again")
    assert "half an hour" in page.text
    assert "browser" not in page.text
    assert "Demo Co-op" in page.text
    assert "Quiet Valley" not in page.html
    assert late.link.rpartition("/")[2] not in page.html
    assert _stored(grower) == before
    assert control.journal(point="deere.token") == []


def test_browser_that_may_open_the_page_anyway_gets_a_way_back_to_it(people: People) -> None:
    grower, other = people.invited(), people.invited()
    callback = people.visitor(grower.link).until_callback("one-farm")
    others_callback = other.until_callback("one-farm")
    grower.authorize("one-farm")

    assert grower.open(callback).links["Open the page again"] == grower.link
    origin = grower.link.partition("/c/")[0]
    page = grower.open(f"{origin}/deere/callback?state=unknown&code=x")
    assert page.links["Open the page again"] == grower.link
    assert "Open the page again" not in grower.open(others_callback).links

    stranger = people.visitor(grower.link)
    stranger.open()
    assert "Open the page again" not in stranger.open(callback).links
    stranger.open(grower.link)
    stranger.press("Choose organizations")  # from now on it holds the link in a cookie
    assert stranger.open(callback).links["Open the page again"] == grower.link
    assert "Open the page again" not in stranger.open(others_callback).links


@pytest.mark.parametrize("forge", ["empty", "other", "another-attempts", "another-name"])
def test_forged_cookie_is_no_cookie(people: People, control: Control, forge: str) -> None:
    grower, other = people.invited(), people.invited()
    callback = grower.until_callback("one-farm")
    other.until_callback("one-farm")
    (attempt,), (others,) = grower.attempts(), other.attempts()
    name = attempt_cookie(attempt.id, attempt.created_at)
    theirs = attempt_cookie(others.id, others.created_at)
    value = other.session.cookies[theirs]
    stranger = people.visitor(grower.link)
    given = {
        "empty": (name, ""),
        "other": (name, "A" * 43),
        "another-attempts": (name, value),
        "another-name": (theirs, grower.session.cookies[name]),
    }[forge]
    stranger.session.cookies.set(*given, domain="localhost.local", secure=True)
    assert stranger.open(callback).heading == ELSEWHERE
    assert control.journal(point="deere.token") == []


@pytest.mark.parametrize("issuer", ["", "https://evil.example.net", "{right}/", "{right}x"])
def test_answer_of_another_issuer_is_refused_and_the_right_one_accepted(
    people: People, control: Control, stack: Stack, issuer: str
) -> None:
    right = stack.environment["DEERE_METADATA_URL"].partition("/.well-known")[0]
    grower = people.invited()
    callback = grower.until_callback("already-connected")
    page = grower.open(f"{callback}&{urlencode({'iss': issuer.format(right=right)})}")
    assert page.status == 400
    assert control.journal(point="deere.token") == []
    assert [one.used_at for one in grower.attempts()] == [None]
    grower.open(f"{callback}&{urlencode({'iss': right})}")
    grower.wait_for_code("connected")


def test_code_of_another_attempt_is_worthless(people: People) -> None:
    """Code injection: without its PKCE verifier a stolen code buys nothing."""
    thief, owner = people.invited(), people.invited()
    stolen = parse_qs(urlsplit(owner.until_callback("already-connected")).query)["code"][0]
    callback = thief.until_callback("one-farm")
    thief.open(_with(callback, {"code": stolen}))
    assert [one.outcome for one in thief.attempts()] == [Outcome.CODE_REFUSED]
    assert thief.connection().refresh_token is None
    assert thief.at_leaf() == []


def test_attempt_that_is_half_an_hour_old_is_over(
    people: People, control: Control, stack: Stack
) -> None:
    grower = people.invited()
    callback = grower.until_callback("already-connected")
    (attempt,) = grower.attempts()
    with stack.installation.database.transaction() as session:
        # The digest of the cookie's value stays; its name holds the second in which it was made.
        old = attempt.created_at - ATTEMPT_LIFETIME - timedelta(seconds=1)
        session.execute(sa.update(Attempt).where(Attempt.id == attempt.id).values(created_at=old))
    value = grower.session.cookies[attempt_cookie(attempt.id, attempt.created_at)]
    name = attempt_cookie(attempt.id, old)
    grower.session.cookies.set(name, value, domain="localhost.local", secure=True)
    assert "That took too long" in grower.open(callback).text
    assert control.journal(point="deere.token") == []
    grower.start()
    grower.wait_for_code("connected")


@pytest.mark.parametrize(
    "state", ["", "x", "%00", "%ff%fe", "%F0%9F%9A%9C", "a" * 3000, "' OR 1=1--"]
)
def test_strange_state_is_an_ordinary_problem_page(
    people: People, stack: Stack, state: str
) -> None:
    visitor = people.visitor(f"{stack.public_url}/deere/callback?state={state}&code=x")
    page = visitor.open()
    assert page.status == 400
    assert page.heading == "Please start again"


@pytest.mark.parametrize(
    "answer",
    [{"code": "\x00"}, {"code": "x" * 3000}, {"error": "\x00", "error_description": "\x00\udcff"}],
)
def test_strange_answer_with_the_right_state_ends_the_attempt(
    people: People, answer: dict[str, str]
) -> None:
    grower = people.invited()
    callback = grower.until_callback("one-farm")
    query = urlencode({**answer, "state": _state(callback)}, errors="surrogateescape")
    page = grower.open(f"{callback.partition('?')[0]}?{query}")
    assert page.status == 200
    assert grower.connection().stage is Stage.INVITED
    assert [one.outcome for one in grower.attempts()] != [None]


def test_request_for_consent_is_complete_and_gives_nothing_away(
    people: People, stack: Stack
) -> None:
    grower = people.invited()
    grower.open()
    grower.start()
    (start,) = [one for one in grower.answers if one.url.endswith("/start")]
    assert start.status_code == 303  # with 307 the form would be sent on to John Deere
    query = parse_qs(urlsplit(start.headers["Location"]).query)
    state, challenge = query.pop("state")[0], query.pop("code_challenge")[0]
    assert {name: value[0] for name, value in query.items()} == {
        "response_type": "code",
        "client_id": "sandbox-client",
        "redirect_uri": f"{stack.public_url}/deere/callback",
        "scope": "ag1 ag2 ag3 eq1 org1 files offline_access",
        "code_challenge_method": "S256",
    }
    assert re.fullmatch(r"[A-Za-z0-9_-]{43}", state)  # 256 bits, in letters that Okta allows
    assert re.fullmatch(r"[A-Za-z0-9_-]{43}", challenge)
    (attempt,) = grower.attempts()
    assert state.encode() not in attempt.state_digest
    assert attempt.code_verifier
    assert challenge.encode() not in attempt.code_verifier


@pytest.mark.parametrize("path", ["start", "organizations"])
@pytest.mark.parametrize("token", [None, "", "forged", "anothers"])
def test_form_without_its_token_does_nothing(people: People, path: str, token: str | None) -> None:
    grower, other = people.invited(), people.invited()
    (form,) = other.open().forms
    others_token = next(one.value for one in form.fields if one.name == "csrf_token")
    grower.open()
    sent = {} if token is None else {"csrf_token": others_token if token == "anothers" else token}
    answer = grower.session.post(f"{grower.link}/{path}", data=sent, allow_redirects=False)
    assert answer.status_code == 400
    assert Page.of(answer).heading == "Please open the page again"
    assert grower.attempts() == []
    assert grower.connection().stage is Stage.INVITED


def test_form_in_a_browser_that_keeps_no_cookie_does_nothing(people: People) -> None:
    grower = people.invited()
    grower.open()
    grower.session.cookies.clear()
    assert grower.start().status == 400
    assert grower.attempts() == []


@pytest.mark.parametrize("prompt", ["none", "consent", "login consent", "\x00", "x" * 5000])
def test_prompt_is_login_or_nothing(people: People, prompt: str) -> None:
    grower = people.invited()
    (form,) = grower.open().forms
    (token,) = [one.value for one in form.fields if one.name == "csrf_token"]
    answer = grower.session.post(
        form.action, data={"csrf_token": token, "prompt": prompt}, allow_redirects=False
    )
    assert answer.status_code == 400
    assert grower.attempts() == []


def test_cookies_are_out_of_reach_and_hold_no_secret_but_themselves(people: People) -> None:
    grower = people.invited(name="Quiet Valley Farm")
    grower.connect("one-farm")
    grower.wait_for_code("connected")
    set_by_us = {one.key: one for answer in grower.answers for one in cookies(answer)}
    kinds = {re.sub(r"-[0-9a-f-]{20,}$", "-…", name) for name in set_by_us}
    assert kinds == {"__Host-session", "__Host-attempt-…", "__Host-grower-…", "__Host-choice"}
    for cookie in set_by_us.values():  # ages and flags: tests/support/inspection.py
        assert cookie["secure"]
        assert cookie["httponly"]
        assert cookie["samesite"] == "Lax"
        assert cookie["path"] == "/"
        assert not cookie["domain"]
    assert set(_session(set_by_us["__Host-session"].value)) == {"csrf_token"}


def test_many_abandoned_starts_do_not_overflow_the_browser(people: People) -> None:
    grower = people.invited()
    (form,) = grower.open().forms
    for _ in range(ATTEMPT_COOKIES_KEPT + 6):
        sent = form.sent_by(form.buttons[0])
        grower.session.post(form.action, data=sent, allow_redirects=False)
    assert len([name for name in _cookie_names(grower) if "attempt" in name]) == (
        ATTEMPT_COOKIES_KEPT + 1
    )
    grower.open()
    grower.open(grower.until_callback("already-connected"))
    grower.wait_for_code("connected")


def _with(callback: str, answer: dict[str, str]) -> str:
    """The callback's URL with the same state and another answer."""
    return f"{callback.partition('?')[0]}?{urlencode({'state': _state(callback), **answer})}"


def _state(callback: str) -> str:
    return dict(parse_qsl(urlsplit(callback).query))["state"]


def _stored(grower: Person) -> list[str]:
    """All that is stored about a grower, to be compared, but for the hint to ask a person."""
    rows: list[Base] = [grower.connection(), *grower.attempts(), *grower.events()]
    return [
        repr([getattr(row, one.key) for one in row.__table__.columns if one.key != "elsewhere_at"])
        for row in rows
    ]


def _cookie_names(grower: Person) -> set[str]:
    """The names of our cookies in a browser, but for the one that holds the forms' token."""
    return {one.name for one in grower.session.cookies if one.name.startswith("__Host-")} - {
        "__Host-session"
    }


def _session(value: str) -> dict[str, object]:
    """What Flask's session cookie holds; it is signed, not encrypted."""
    payload = value.split(".")[0]
    found: dict[str, object] = json.loads(base64.urlsafe_b64decode(payload + "=="))
    return found
