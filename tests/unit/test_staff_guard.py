"""Who gets to which page of the dashboard, and what the database keeps anybody from changing."""

from __future__ import annotations

from datetime import timedelta

import pytest
import sqlalchemy as sa
from flask import Blueprint, Flask
from sqlalchemy.exc import DatabaseError

from onboarding import clock
from onboarding.db import Database
from onboarding.describe import problem
from onboarding.models import Audit, Staff, StaffSession
from onboarding.staff import audit, sessions
from onboarding.states import Role
from onboarding.views.staff import parts
from tests.support.desk import Desk, signed_in


def test_who_is_not_signed_in_is_sent_to_where_one_does_that(desk: Desk) -> None:
    answer = desk.nobody().get("/staff/")
    assert answer.status_code == 303
    assert answer.location == "/staff/sign-in?next=%2Fstaff%2F"


@pytest.mark.parametrize("role", Role)
def test_every_role_sees_the_overview(desk: Desk, role: Role) -> None:
    answer = desk.browser(role).get("/staff/")
    assert answer.status_code == 200
    assert "Overview" in answer.text


def test_session_ends_when_it_is_idle_for_half_a_day(fresh_database: Database) -> None:
    secret = signed_in(fresh_database)
    with fresh_database.transaction() as session:
        found = sessions.find(session, secret)
        assert found is not None
        found.seen_at -= sessions.IDLE - timedelta(minutes=1)
    with fresh_database.transaction() as session:
        found = sessions.find(session, secret)
        assert found is not None
        found.seen_at -= timedelta(minutes=2)
    with fresh_database.reading() as session:
        assert sessions.find(session, secret) is None


def test_session_that_is_used_is_noted_to_the_minute(desk: Desk) -> None:
    browser = desk.browser()
    before = clock.now() - timedelta(hours=11)
    with desk.database.transaction() as session:
        session.execute(sa.update(StaffSession).values(seen_at=before))
    answer = browser.get("/staff/")
    assert answer.headers["Set-Cookie"].startswith("__Host-staff="), "the cookie lives on, too"
    with desk.database.reading() as session:
        seen = session.scalars(sa.select(StaffSession.seen_at)).one()
    assert seen > before + timedelta(hours=10)
    assert "Set-Cookie" not in browser.get("/staff/").headers


def test_page_that_asks_by_itself_keeps_nobody_signed_in(desk: Desk) -> None:
    browser = desk.browser()
    page = browser.get("/staff/system").text
    assert """hx-headers='{"X-Unattended": "1"}'""" in page
    before = clock.now() - timedelta(hours=11)
    with desk.database.transaction() as session:
        session.execute(sa.update(StaffSession).values(seen_at=before))
    assert browser.get("/staff/system", headers={"X-Unattended": "1"}).status_code == 200
    with desk.database.reading() as session:
        assert session.scalars(sa.select(StaffSession.seen_at)).one() == before


def test_person_who_is_disabled_is_signed_out_at_once(desk: Desk) -> None:
    browser = desk.browser()
    with desk.database.transaction() as session:
        session.execute(sa.update(Staff).values(disabled_at=clock.now()))
    assert browser.get("/staff/").status_code == 303


@pytest.mark.parametrize("fresh_url", ["sqlite"], indirect=True)
def test_what_went_wrong_is_told_in_the_dashboards_own_frame(desk: Desk) -> None:
    viewer = desk.browser(Role.VIEWER)
    here = {"Referer": f"{desk.app.extensions['onboarding'].settings.public_url}/staff/account"}
    answers = {
        "There is no such page": viewer.get("/staff/connections/UNKNOWN2"),
        "Your role does not allow this": viewer.get("/staff/team"),
        "Please open the page again": viewer.post("/staff/account/password", headers=here),
    }
    for title, answer in answers.items():
        assert answer.status_code >= 400
        assert f"<h1>{title}</h1>" in answer.text
        assert f"Error {answer.status_code}" in answer.text
        assert "the link" not in answer.text, "nobody has one here"
    assert '<nav aria-label="Pages">' in answers["There is no such page"].text
    assert 'href="/staff/account">Open the page again' in answers["Please open the page again"].text
    crashed = problem("staff_500", reference="E-1")
    assert "What you asked for was not done." in crashed.sentences[0]


def test_page_that_does_not_say_who_may_see_it_keeps_the_app_from_starting() -> None:
    app = Flask(__name__)
    pages = Blueprint("staff", __name__)
    pages.add_url_rule("/open", "open", lambda: "")
    app.register_blueprint(pages)
    with pytest.raises(RuntimeError, match=r"staff\.open does not say who may see it"):
        parts.check(app)


@pytest.mark.parametrize("change", [sa.update(Audit).values(who="nobody"), sa.delete(Audit)])
def test_audit_can_only_grow(fresh_database: Database, change: sa.Update | sa.Delete) -> None:
    with fresh_database.transaction() as session:
        audit.record(session, None, "staff.add", email="a@example.com")
    with (
        pytest.raises(DatabaseError, match="append-only"),
        fresh_database.transaction() as session,
    ):
        session.execute(change)
    with fresh_database.reading() as session:
        assert session.scalars(sa.select(Audit.who)).all() == [audit.COMMAND]
