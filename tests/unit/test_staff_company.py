"""Signing in by an account at the company: what proves who it is, and what does not."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from urllib.parse import parse_qs, urlsplit

import pytest
import requests
import sqlalchemy as sa
import time_machine
from flask.testing import FlaskClient

from onboarding import create_app
from onboarding.clock import now
from onboarding.company import Company
from onboarding.db import Database
from onboarding.identity.published import PAUSE_FOR_UNKNOWN
from onboarding.models import Audit, Staff, StaffSession
from onboarding.staff import accounts, sessions
from onboarding.states import Role
from tests.functional.sandbox.support import serving
from tests.support.control import Control
from tests.support.desk import Desk
from tests.unit.conftest import SettingsFor
from tests.unit.failures import ThreadedServer

ORIGIN = "https://localhost"
ADA, OMAR, UNA, IVO, THEA = "Ada Linden", "Omar Feld", "Una Rain", "Ivo Moor", "Thea Quell"
PROVES_NOBODY = "does not prove who you are"


@pytest.fixture(scope="module")
def provider(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("company")
    with serving(folder / "sandbox.sqlite", public_url=ORIGIN) as url:
        yield url


@pytest.fixture
def control(provider: str) -> Iterator[Control]:
    control = Control(provider)
    yield control
    control.reset()
    control.close()


@pytest.fixture(params=["groups", ""], ids=["by claim", "by invitation"])
def role_claim(request: pytest.FixtureRequest) -> str:
    found: str = request.param
    return found


@pytest.fixture
def company_desk(
    settings_for: SettingsFor,
    httpserver: ThreadedServer,
    fresh_database: Database,
    fresh_url: str,
    provider: str,
    control: Control,
    role_claim: str,
) -> Iterator[Desk]:
    company = Company(
        metadata_url=f"{provider}/company/.well-known/openid-configuration",
        client_id="sandbox-company",
        client_secret="sandbox-company-secret",
        role_claim=role_claim,
    )
    app = create_app(
        settings_for(httpserver, database_url=fresh_url, public_url=ORIGIN, company=company)
    )
    yield Desk(app, fresh_database)
    app.extensions["onboarding"].database.engine.dispose()


by_claim = pytest.mark.parametrize("role_claim", ["groups"], indirect=True)
by_invitation = pytest.mark.parametrize("role_claim", [""], indirect=True)


def invite(desk: Desk, email: str, role: Role = Role.OPERATOR) -> None:
    with desk.database.transaction() as session:
        accounts.add(session, None, email=email, role=role)


def go(browser: FlaskClient, path: str = "/staff/sign-in/company") -> str:
    """Where the browser is sent."""
    answer = browser.get(path)
    assert answer.status_code == 303
    assert answer.location is not None
    return answer.location


def choose(url: str, person: str) -> str:
    """Be somebody at the provider: the path by which the browser comes back."""
    page = requests.post(url, data={"person": person}, allow_redirects=False, timeout=30)
    back = page.headers["Location"]
    assert back.startswith(f"{ORIGIN}/staff/sign-in/company/callback?")
    return back.removeprefix(ORIGIN)


def sign_in(browser: FlaskClient, person: str, path: str = "/staff/sign-in/company") -> str:
    """All of it; where the browser ends."""
    answer = browser.get(choose(go(browser, path), person))
    assert answer.status_code == 303
    assert answer.location is not None
    return answer.location


def told(browser: FlaskClient) -> str:
    """What the page of the sign-in says after it went wrong."""
    return browser.get("/staff/sign-in").text


def staff(desk: Desk) -> dict[str, Staff]:
    with desk.database.reading() as session:
        return {one.email: one for one in session.scalars(sa.select(Staff))}


def actions(desk: Desk) -> list[str]:
    with desk.database.reading() as session:
        return list(session.scalars(sa.select(Audit.action).order_by(Audit.id)))


@by_claim
def test_person_comes_in_with_the_role_that_the_claim_gives(company_desk: Desk) -> None:
    browser = company_desk.nobody()
    assert "Sign in with your company account" in browser.get("/staff/sign-in").text
    assert sign_in(browser, ADA, "/staff/sign-in/company?next=/staff/system") == "/staff/system"
    assert browser.get("/staff/team").status_code == 200
    assert staff(company_desk)["ada@company.example"].name == ADA
    assert actions(company_desk) == ["staff.add", "staff.bind", "staff.sign_in"]

    assert sign_in(company_desk.nobody(), THEA) == "/staff/"
    roles = {email: one.role for email, one in staff(company_desk).items()}
    assert roles == {
        "ada@company.example": Role.ADMINISTRATOR,
        "thea@company.example": Role.OPERATOR,
    }, "also one whose groups are in the user information alone"

    assert sign_in(browser := company_desk.nobody(), UNA).startswith("/staff/sign-in")
    assert "has no role here" in told(browser)
    assert actions(company_desk)[-1] == "staff.sign_in_failed"


@by_claim
def test_role_follows_the_claim_and_the_limits_stay(company_desk: Desk) -> None:
    invite(company_desk, "omar@company.example", Role.ADMINISTRATOR)
    with company_desk.database.transaction() as session:
        session.execute(sa.update(Staff).values(is_limited=True))
    sign_in(company_desk.nobody(), OMAR)
    omar = staff(company_desk)["omar@company.example"]
    assert (omar.role, omar.is_limited) == (Role.OPERATOR, True)
    assert "staff.role" in actions(company_desk)


@by_invitation
def test_only_who_is_invited_comes_in_and_stays_the_same_whatever_the_address(
    company_desk: Desk,
) -> None:
    browser = company_desk.nobody()
    sign_in(browser, OMAR)
    assert "There is no account for omar@company.example here" in told(browser)
    invite(company_desk, "omar@company.example", Role.VIEWER)
    assert sign_in(browser, OMAR) == "/staff/"
    with company_desk.database.transaction() as session:
        session.execute(sa.update(Staff).values(email="omar.feld@company.example"))
    assert sign_in(company_desk.nobody(), OMAR) == "/staff/"
    assert list(staff(company_desk)) == ["omar.feld@company.example"]

    with company_desk.database.transaction() as session:
        accounts.disable(session, None, accounts.named(session, "omar.feld@company.example"))
    sign_in(browser := company_desk.nobody(), OMAR)
    assert "Your account here is disabled" in told(browser)


@by_invitation
def test_an_address_alone_is_nobody(company_desk: Desk) -> None:
    """It has to be verified, and must not be bound to another account already."""
    invite(company_desk, "ivo@company.example")
    sign_in(browser := company_desk.nobody(), IVO)
    assert "does not vouch for ivo@company.example" in told(browser)
    invite(company_desk, "omar@company.example")
    with company_desk.database.transaction() as session:
        found = accounts.named(session, "omar@company.example")
        found.subject = "https://another.example person-omar"
    sign_in(browser := company_desk.nobody(), OMAR)
    assert "belongs to another company account" in told(browser)
    part = company_desk.app.test_cli_runner().invoke(args=["staff", "part", "omar@company.example"])
    assert part.exit_code == 0, part.output
    assert sign_in(browser, OMAR) == "/staff/"


@by_claim
@pytest.mark.parametrize(
    "answers",
    ["other_key", "unsigned", "other_issuer", "other_audience", "other_nonce", "expired"],
)
def test_token_that_does_not_hold_lets_nobody_in(
    company_desk: Desk, control: Control, answers: str, caplog: pytest.LogCaptureFixture
) -> None:
    control.set_policies(company_answers=answers)
    browser = company_desk.nobody()
    assert sign_in(browser, ADA).startswith("/staff/sign-in")
    assert PROVES_NOBODY in told(browser)
    assert browser.get("/staff/").status_code == 303
    assert staff(company_desk) == {}
    assert "does not hold" in caplog.text, "an administrator finds the reason"


@by_claim
def test_answers_of_another_are_of_nobody(company_desk: Desk, control: Control) -> None:
    control.set_policies(company_answers="mixed_up")
    sign_in(browser := company_desk.nobody(), ADA)
    assert PROVES_NOBODY in told(browser), "`iss` of the callback"
    control.set_policies(company_answers="other_person")
    sign_in(browser := company_desk.nobody(), THEA)
    assert PROVES_NOBODY in told(browser), "`sub` of the user information"
    control.set_policies(company_answers="client_refused")
    sign_in(browser := company_desk.nobody(), ADA)
    assert "does not work with this app as it is set up" in told(browser)
    assert staff(company_desk) == {}


@by_claim
def test_callback_counts_once_in_the_browser_that_went_and_not_for_long(
    company_desk: Desk,
) -> None:
    browser, other = company_desk.nobody(), company_desk.nobody()
    back = choose(go(browser), ADA)
    go(other)
    for stranger in (company_desk.nobody(), other):
        assert stranger.get(back).location == "/staff/sign-in"
        assert "was not begun here" in told(stranger)
    forged = back.replace("state=", "state=x")
    assert company_desk.nobody().get(forged).location == "/staff/sign-in"
    assert browser.get(back).location == "/staff/"
    assert browser.get(back).location == "/staff/sign-in", "once"

    late = company_desk.nobody()
    back = choose(go(late), ADA)
    with time_machine.travel(now() + timedelta(minutes=11)):
        assert late.get(back).location == "/staff/sign-in"
    turned_back = company_desk.nobody()
    turned_back.get(choose(go(turned_back), "nobody"))
    assert "turned back there" in told(turned_back)


@by_claim
def test_what_the_browser_keeps_meanwhile_gives_nothing_away(company_desk: Desk) -> None:
    browser = company_desk.nobody()
    asked = parse_qs(urlsplit(go(browser)).query)
    assert asked["code_challenge_method"] == ["S256"]
    assert asked["scope"] == ["openid email profile"]
    kept = browser.get_cookie("__Host-staff-return", domain="localhost")
    assert kept is not None
    assert kept.secure
    assert kept.http_only
    assert kept.same_site == "Lax"
    for secret in (asked["state"][0], asked["nonce"][0]):
        assert secret not in kept.value
    assert "verifier" not in kept.value


@by_claim
def test_provider_that_is_down_is_a_sentence_and_a_new_key_is_taken(
    company_desk: Desk, control: Control
) -> None:
    browser = company_desk.nobody()
    control.add_fault("company.metadata", "status", status=503, times=1)
    assert go(browser).startswith("/staff/sign-in?")
    assert "does not answer" in told(browser)
    with time_machine.travel(now() + timedelta(seconds=30)) as clock:
        assert sign_in(browser, ADA) == "/staff/"
        for point in ("company.token", "company.userinfo"):
            control.add_fault(point, "html", times=1)
            sign_in(other := company_desk.nobody(), THEA)
            assert "does not answer" in told(other), point
        control.set_policies(company_key=2)
        assert sign_in(company_desk.nobody(), ADA) == "/staff/", "a key that was not known"
        control.set_policies(company_key=3)
        sign_in(other := company_desk.nobody(), ADA)
        assert PROVES_NOBODY in told(other), "it is not asked for keys at every forged token"
        clock.shift(PAUSE_FOR_UNKNOWN)
        assert sign_in(company_desk.nobody(), ADA) == "/staff/"


@by_claim
def test_dangerous_things_want_a_sign_in_anew_by_the_same_person(
    company_desk: Desk, control: Control
) -> None:
    sign_in(browser := company_desk.nobody(), ADA)
    with company_desk.database.transaction() as session:
        session.execute(sa.update(StaffSession).values(confirmed_at=now() - timedelta(hours=1)))
    answer = browser.get("/staff/team/new")
    assert answer.location == "/staff/confirm?next=%2Fstaff%2Fteam%2Fnew"
    page = browser.get(answer.location).text
    assert "Confirm with your company account" in page
    assert 'type="password"' not in page

    path = "/staff/confirm/company?next=/staff/team/new"
    asked = parse_qs(urlsplit(go(browser, path)).query)
    assert (asked["prompt"], asked["max_age"]) == (["login"], ["0"])
    assert sign_in(browser, OMAR, path).startswith("/staff/confirm")
    assert "of somebody else than ada@company.example" in browser.get("/staff/confirm").text
    control.set_policies(company_answers="old_sign_in")
    assert sign_in(browser, ADA, path).startswith("/staff/confirm")
    assert PROVES_NOBODY in browser.get("/staff/confirm").text, "it had not asked anew"
    assert browser.get("/staff/team/new").status_code == 303

    control.set_policies(company_answers="good")
    assert sign_in(browser, ADA, path) == "/staff/team/new"
    assert browser.get("/staff/team/new").status_code == 200


@by_claim
def test_the_companys_word_is_good_for_a_day(company_desk: Desk) -> None:
    sign_in(browser := company_desk.nobody(), ADA)
    with company_desk.database.transaction() as session:
        earlier = now() - sessions.PROVIDER_ASKED_EVERY
        session.execute(sa.update(StaffSession).values(created_at=earlier))
    assert browser.get("/staff/").status_code == 303


def test_without_a_company_there_is_no_such_way(desk: Desk) -> None:
    browser = desk.nobody()
    assert "company account" not in browser.get("/staff/sign-in").text
    assert browser.get("/staff/sign-in/company").status_code == 404
