"""What is sent when a sign-in has just run out waits, and is sent by a click alone."""

from __future__ import annotations

import io
import random
import re
from datetime import timedelta
from html import unescape

import sqlalchemy as sa
from flask.testing import FlaskClient

from onboarding.clock import now
from onboarding.models import Application, Staff, StaffSession
from onboarding.staff import accounts
from onboarding.states import Role
from tests.support.desk import Desk

EMAIL, PASSWORD = "robin@example.com", "wheat barley oats"
FIELD = re.compile(r'<input type="hidden" name="(?!csrf)([^"]*)" value="([^"]*)">')
TYPED = {
    "name": "Own & application",
    "client_key": "own-key",
    "environment": "STAGE",
    "scopes": "ag1 offline_access",
    "metadata_url": "",
    "api_url": "",
    "do": "save",
}
SECRET = "sentinel-secret-8Kq2"


def administrator(desk: Desk) -> FlaskClient:
    """Somebody who has a password, and has proved who they are too long ago."""
    browser = desk.browser(Role.ADMINISTRATOR, email=EMAIL)
    with desk.database.transaction() as session:
        staff = session.scalars(sa.select(Staff)).one()
        found = session.scalars(sa.select(StaffSession)).one()
        accounts.set_password(session, staff, PASSWORD, but=found.id)
        found.confirmed_at = now() - timedelta(hours=1)
    return browser


def confirm(desk: Desk, browser: FlaskClient) -> str:
    data = {"csrf_token": desk.token(browser), "password": PASSWORD, "next": "/staff/system"}
    answer = browser.post("/staff/confirm", data=data)
    assert answer.status_code == 303
    assert answer.location is not None
    return answer.location


def test_form_that_was_sent_too_late_is_offered_again_with_all_but_its_secrets(desk: Desk) -> None:
    browser = administrator(desk)
    sent = {**TYPED, "secret": SECRET, "csrf_token": desk.token(browser)}
    answer = browser.post("/staff/add-application", data=sent)
    assert answer.location.startswith("/staff/confirm?")
    kept = answer.headers["Set-Cookie"]
    assert all(word in kept for word in ("__Host-staff-draft=", "Secure", "HttpOnly", "Lax"))
    for typed in (SECRET, "own-key"):
        assert typed not in kept

    assert confirm(desk, browser) == "/staff/draft"
    page = browser.get("/staff/draft")
    assert page.status_code == 200
    assert "Nothing of it has been done yet" in page.text
    assert "Secrets are not kept" in page.text
    assert SECRET not in page.text
    fields = {unescape(name): unescape(value) for name, value in FIELD.findall(page.text)}
    assert fields == TYPED
    with desk.database.reading() as session:
        assert session.scalars(sa.select(Application)).all() == [], "only by the click"
    assert "own-key" in browser.get("/staff/draft").text, "until it is sent"
    other = desk.browser(Role.ADMINISTRATOR, email="other@example.com")
    cookie = browser.get_cookie("__Host-staff-draft", domain="connect.example")
    assert cookie is not None
    other.set_cookie("__Host-staff-draft", cookie.value, domain="connect.example", secure=True)
    assert other.get("/staff/draft").location == "/staff/", "to nobody else"

    assert browser.post("/staff/add-application", data=fields).status_code == 400
    assert browser.get("/staff/draft").status_code == 200, "a forged or old page sends nothing"
    again = browser.post(
        "/staff/add-application", data={**fields, "csrf_token": desk.token(browser)}
    )
    assert again.status_code == 422
    assert "Own &amp; application" in again.text, "the form is back, for the secret"
    assert browser.get("/staff/draft").location == "/staff/", "it is sent"


def test_draft_waits_through_a_sign_in_as_well_and_not_for_long(desk: Desk) -> None:
    browser = administrator(desk)
    with desk.database.transaction() as session:
        session.execute(sa.update(StaffSession).values(seen_at=now() - timedelta(days=1)))
    data = {"text": "Called them.", "csrf_token": desk.token(browser)}
    answer = browser.post("/staff/connections/ABCDEFGH/notes", data=data)
    assert answer.location.startswith("/staff/sign-in?")
    signed = browser.post(
        "/staff/sign-in",
        data={"csrf_token": desk.token(browser), "email": EMAIL, "password": PASSWORD},
    )
    assert signed.location == "/staff/draft"
    assert "Called them." in browser.get("/staff/draft").text
    assert browser.get("/staff/draft?leave=1").location == "/staff/"
    assert browser.get("/staff/draft").location == "/staff/", "it is left"

    browser.set_cookie("__Host-staff-draft", "forged", domain="connect.example", secure=True)
    assert browser.get("/staff/draft").location == "/staff/"


def test_file_and_what_is_too_long_are_not_kept_and_it_is_said(desk: Desk) -> None:
    browser = administrator(desk)
    with desk.database.transaction() as session:
        session.execute(sa.update(StaffSession).values(seen_at=now() - timedelta(days=1)))
    file = (io.BytesIO(b"external id,name\n1,Maple\n"), "growers.csv")
    sent = {"file": file, "partner": "acme", "csrf_token": desk.token(browser)}
    answer = browser.post("/staff/imports", data=sent, content_type="multipart/form-data")
    assert "__Host-staff-draft" not in str(answer.headers.getlist("Set-Cookie"))
    assert "The file could not be kept" in browser.get(answer.location).text

    noise = random.Random(4).randbytes(4000).hex()
    sent = {"name": noise, "csrf_token": desk.token(browser)}
    answer = browser.post("/staff/add-partner", data=sent)
    assert "too long to be kept" in browser.get(answer.location).text
