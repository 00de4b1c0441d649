"""Signing in with a password, and what keeps passwords from being guessed."""

from __future__ import annotations

import re
from datetime import timedelta

import pytest
import sqlalchemy as sa
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from onboarding.clock import now
from onboarding.db import Database
from onboarding.errors import InputInvalid
from onboarding.models import Audit, Staff, StaffSession
from onboarding.staff import accounts, passwords
from onboarding.states import Role
from onboarding.views.staff.account import browser_name
from onboarding.views.staff.parts import COOKIE
from tests.support.desk import Desk
from tests.unit.rows import invited

EMAIL, PASSWORD = "robin@example.com", "wheat barley oats"
TOKEN = re.compile(r'name="csrf_token"[^>]* value="([^"]+)"')


def link_for(database: Database, email: str = EMAIL, role: Role = Role.OPERATOR) -> str:
    """The path by which a new person sets a password."""
    with database.transaction() as session:
        secret = accounts.invite(session, None, accounts.add(session, None, email=email, role=role))
    return f"/staff/password/{secret}"


def with_password(database: Database, email: str = EMAIL, role: Role = Role.OPERATOR) -> None:
    """A person who has a password."""
    with database.transaction() as session:
        made = accounts.add(session, None, email=email, role=role)
        accounts.set_password(session, made, PASSWORD)


def send(browser: FlaskClient, page: str, action: str = "", **data: str) -> TestResponse:
    """Fill in the form of a page."""
    found = TOKEN.search(browser.get(page).text)
    assert found is not None, page
    return browser.post(action or page, data={"csrf_token": found[1], **data})


def sign_in(browser: FlaskClient, password: str = PASSWORD, email: str = EMAIL) -> TestResponse:
    """Fill in the form of the sign-in."""
    return send(browser, "/staff/sign-in", email=email, password=password)


def actions(database: Database) -> list[str]:
    """What the audit has, the earliest first."""
    with database.reading() as session:
        return list(session.scalars(sa.select(Audit.action).order_by(Audit.id)))


def test_person_sets_a_password_by_a_link_once_and_comes_in_with_it(desk: Desk) -> None:
    path = link_for(desk.database)
    browser = desk.nobody()
    assert "fewer than 12" in send(browser, path, password="short").text
    answer = send(browser, path, password=PASSWORD)
    assert (answer.status_code, answer.location) == (303, "/staff/")
    cookie = answer.headers["Set-Cookie"]
    assert all(word in cookie for word in ("__Host-staff=", "Secure", "HttpOnly", "SameSite=Lax"))
    assert browser.get("/staff/").status_code == 200
    assert browser.get(path).status_code == 404, "it works once"

    assert send(browser, "/staff/account", "/staff/sign-out").status_code == 303
    assert browser.get("/staff/").status_code == 303
    assert sign_in(browser, email=" Robin@Example.COM ").location == "/staff/"
    assert browser.get("/staff/").status_code == 200
    assert actions(desk.database) == [
        *("staff.add", "staff.link", "staff.password_set", "staff.sign_in"),
        *("staff.sign_out", "staff.sign_in"),
    ]


def test_link_ends_after_a_day_with_a_newer_one_and_with_the_account(desk: Desk) -> None:
    first = link_for(desk.database)
    with desk.database.transaction() as session:
        second = accounts.invite(session, None, accounts.named(session, EMAIL))
    browser = desk.nobody()
    assert browser.get(first).status_code == 404
    path = f"/staff/password/{second}"
    assert browser.get(path).status_code == 200
    with desk.database.transaction() as session:
        session.execute(sa.update(Staff).values(invitation_until=now() - timedelta(seconds=1)))
    assert browser.get(path).status_code == 404


def test_wrong_password_is_answered_as_an_unknown_address_is(desk: Desk) -> None:
    with_password(desk.database)
    known = sign_in(desk.nobody(), "not the password")
    unknown = sign_in(desk.nobody(), email="nobody@example.com")
    assert known.status_code == unknown.status_code == 422
    assert "do not belong together" in known.text

    def told(answer: TestResponse) -> str:
        return TOKEN.sub("", answer.text).replace(EMAIL, "").replace("nobody@example.com", "")

    assert told(known) == told(unknown)
    assert actions(desk.database)[-1:] == ["staff.sign_in_failed"]


def test_account_is_locked_longer_and_longer_after_wrong_passwords(
    fresh_database: Database,
) -> None:
    with_password(fresh_database)

    def tries(password: str) -> bool:
        return accounts.check_password(fresh_database, EMAIL, password) is not None

    def unlock() -> None:
        with fresh_database.transaction() as session:
            session.execute(sa.update(Staff).values(locked_until=now()))

    for _ in range(accounts.TRIES):
        assert not tries("not the password")
    assert not tries(PASSWORD), "locked"
    unlock()
    assert tries(PASSWORD)
    with fresh_database.reading() as session:
        assert session.scalars(sa.select(Staff.failures)).one() == 0, "a right one forgives"
    locks = [accounts.lock_after(number) / accounts.SHORTEST_LOCK for number in (5, 6, 7, 99)]
    assert locks == [1, 2, 4, 60]


def test_session_of_before_is_worth_nothing_after_signing_in_or_proving_it_again(
    desk: Desk,
) -> None:
    with_password(desk.database)
    browser = desk.nobody()
    sign_in(browser)

    def cookie() -> str:
        found = browser.get_cookie(COOKIE, domain="connect.example")
        assert found is not None
        return found.value

    first = cookie()
    assert send(browser, "/staff/confirm", password="not the password").status_code == 422
    answer = send(browser, "/staff/confirm", password=PASSWORD, next="/staff/system?a=1")
    assert (answer.status_code, answer.location) == (303, "/staff/system?a=1")
    assert cookie() != first
    assert browser.get("/staff/").status_code == 200
    browser.set_cookie(COOKIE, first, domain="connect.example", secure=True)
    assert browser.get("/staff/").status_code == 303


@pytest.mark.parametrize(
    ("asked", "target"),
    [
        ("/staff/connections?q=a%20b", "/staff/connections?q=a%20b"),
        ("https://evil.example/staff/", "/staff/"),
        ("//evil.example/staff/", "/staff/"),
        ("/staff//evil.example", "/staff/"),
        ("/staff/../c/link", "/staff/"),
        ("/staff/%2e%2e/c/link", "/staff/"),
        ("/staff\\evil.example", "/staff/"),
        ("/staff.evil.example", "/staff/"),
        ("/c/link", "/staff/"),
    ],
)
def test_sign_in_leads_to_pages_of_the_dashboard_only(desk: Desk, asked: str, target: str) -> None:
    answer = desk.browser().get("/staff/sign-in", query_string={"next": asked})
    assert answer.location == target


def test_person_ends_sessions_of_their_own_and_of_nobody_else(desk: Desk) -> None:
    with_password(desk.database)
    here, there = desk.nobody(), desk.nobody()
    sign_in(here)
    sign_in(there)
    stranger = desk.browser(Role.ADMINISTRATOR)
    with desk.database.reading() as session:
        ids = session.scalars(sa.select(StaffSession.id).order_by(StaffSession.created_at)).all()
    for number in (1, 2):
        send(here, "/staff/account", f"/staff/account/sessions/{ids[number]}/end")
    assert there.get("/staff/").status_code == 303
    assert stranger.get("/staff/").status_code == 200, "it was not theirs to end"

    sign_in(there)
    changed = send(
        *(here, "/staff/account", "/staff/account/password"),
        current=PASSWORD,
        password="rye maize and lupins",
    )
    assert changed.status_code == 303
    assert "The password is changed" in here.get("/staff/account").text
    assert there.get("/staff/").status_code == 303
    assert sign_in(there).status_code == 422

    sign_in(there, "rye maize and lupins")
    send(here, "/staff/account", "/staff/account/sessions/end-others")
    assert there.get("/staff/").status_code == 303


def test_last_administrator_stays_one(fresh_database: Database) -> None:
    invited(fresh_database, partner="acme")
    with fresh_database.transaction() as session:
        first = accounts.add(session, None, email="a@example.com", role=Role.ADMINISTRATOR)
        accounts.add(
            *(session, None), email="b@example.com", role=Role.ADMINISTRATOR, partners=["acme"]
        )
        with pytest.raises(InputInvalid, match="last administrator"):
            accounts.disable(session, None, first)
        with pytest.raises(InputInvalid, match="last administrator"):
            accounts.change(session, None, first, role=Role.OPERATOR, partners=None)
        with pytest.raises(InputInvalid, match="last administrator"):
            accounts.change(session, None, first, role=Role.ADMINISTRATOR, partners=["acme"])
        accounts.add(session, None, email="c@example.com", role=Role.ADMINISTRATOR)
        accounts.disable(session, None, first)
        assert first.disabled_at is not None


@pytest.mark.parametrize(
    ("password", "why"),
    [
        ("wheat", "fewer than 12"),
        ("w" * 201, "more than 200"),
        ("abababababab", "repeats"),
        ("Password1234!", "guessed first"),
        ("robin@example.com", "guessed first"),
        ("JohnDeere2026", "guessed first"),
        ("qwerty123456", "guessed first"),
    ],
)
def test_password_that_is_easily_guessed_is_refused(password: str, why: str) -> None:
    with pytest.raises(InputInvalid, match=why):
        passwords.check(password, email=EMAIL)


def test_password_hash_is_argon2id_and_renewed_when_its_parameters_are_old() -> None:
    stored = passwords.hashed(PASSWORD)
    assert stored.startswith("$argon2id$")
    assert passwords.matches(stored, PASSWORD)
    assert not passwords.matches(None, "of nobody")
    assert not passwords.is_outdated(stored)
    assert passwords.is_outdated(stored.replace("t=3", "t=2"))


def test_browser_is_named_as_people_do() -> None:
    firefox = "Mozilla/5.0 (X11; Linux x86_64; rv:130.0) Gecko/20100101 Firefox/130.0"
    assert browser_name(firefox) == "Firefox, Linux"
    assert browser_name("curl/8") == "curl/8"
    assert browser_name("") == "unknown"
