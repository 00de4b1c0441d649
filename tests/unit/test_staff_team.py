"""Staff keep their own accounts, and everything that they do is in the audit."""

from __future__ import annotations

import csv
import io
import re

import sqlalchemy as sa

from onboarding.db import Database
from onboarding.models import Connection, Partner, Staff
from onboarding.staff import audit
from onboarding.staff.roles import member_of
from onboarding.staff.trail import PAGE
from onboarding.states import Role
from tests.support.desk import Desk, signed_in
from tests.support.queries import counted
from tests.unit.rows import add_partner, connection_of, invited
from tests.unit.test_staff_sign_in import PASSWORD, send

LINK = re.compile(r"https://connect\.example(/staff/password/[\w-]+)")


def staff_named(database: Database, email: str) -> Staff:
    """The row of a person."""
    with database.reading() as session:
        found = session.scalars(sa.select(Staff).where(Staff.email == email)).one()
        assert found.partners is not None
    return found


def test_administrator_lets_a_person_in_limits_and_disables_them(desk: Desk) -> None:
    invited(desk.database, partner="acme")
    admin, new = desk.browser(Role.ADMINISTRATOR), desk.nobody()
    asked = {"email": "new@example.com", "name": "New One", "role": "operator", "sees": "some"}
    refused = send(admin, "/staff/team/new", **asked)
    assert refused.status_code == 422
    assert "Choose at least one partner" in refused.text
    assert 'value="new@example.com"' in refused.text, "what was typed is still there"
    made = send(admin, "/staff/team/new", **asked, partners="acme")
    link = LINK.search(made.text)
    assert link is not None
    assert send(new, link[1], password=PASSWORD).status_code == 303
    assert new.get("/staff/team").status_code == 403
    person = staff_named(desk.database, "new@example.com")
    assert [one.slug for one in person.partners] == ["acme"]

    page = f"/staff/team/{person.id}"
    assert "New One" in admin.get("/staff/team").text
    assert send(admin, page, role="viewer", sees="all").status_code == 303
    changed = staff_named(desk.database, "new@example.com")
    assert (changed.role, changed.is_limited) == (Role.VIEWER, False)
    assert send(admin, page, f"{page}/disable").status_code == 303
    assert new.get("/staff/").status_code == 303, "signed out at once"
    assert send(admin, page, f"{page}/link").status_code == 422
    assert send(admin, page, f"{page}/enable").status_code == 303

    own = f"/staff/team/{staff_named(desk.database, 'administrator@example.com').id}"
    last = send(admin, own, f"{own}/disable")
    assert last.status_code == 422
    assert "last administrator" in last.text
    said = admin.get("/staff/audit?action=staff.role").text
    assert "Role or partners changed" in said
    assert "new@example.com" in said
    assert LINK.search(admin.get("/staff/audit").text) is None


def test_who_has_not_proved_it_lately_does_so_before_changing_staff(desk: Desk) -> None:
    admin = desk.browser(Role.ADMINISTRATOR)
    with desk.database.transaction() as session:
        session.execute(sa.text("UPDATE staff_session SET confirmed_at = '2020-01-01 00:00:00+00'"))
    assert admin.get("/staff/team").status_code == 200
    answer = admin.get("/staff/team/new")
    assert answer.location == "/staff/confirm?next=%2Fstaff%2Fteam%2Fnew"


def fill_audit(desk: Desk, count: int) -> str:
    """Lines about connections of two partners in turn; the reference of the first's."""
    links = [invited(desk.database, partner=slug) for slug in ("acme", "other")]
    signed_in(desk.database, Role.OPERATOR)
    with desk.database.transaction() as session:
        by = member_of(session.scalars(sa.select(Staff)).one())
        session.execute(sa.update(Partner).values(name=sa.func.upper(Partner.slug)))
        ids = [connection_of(desk.database, link).id for link in links]
        both = [session.get_one(Connection, one) for one in ids]
        for number in range(count):
            audit.record(
                session, by, "connection.recheck", connection=both[number % 2], number=number
            )
        audit.record(session, by, "connection.note", connection=both[0], text="=1+1")
        return both[0].reference


def test_audit_is_found_by_who_what_whose_and_when_and_read_to_its_end(desk: Desk) -> None:
    reference = fill_audit(desk, PAGE * 2)
    browser = desk.browser(Role.VIEWER)

    def rows(query: str) -> int:
        return browser.get(f"/staff/audit?{query}").text.count('<th scope="row">')

    assert rows("") == PAGE
    assert rows("action=connection.note") == 1
    assert rows("action=connection") == PAGE
    assert rows("who=OPERATOR@") == PAGE
    assert rows("who=%25") == 0
    assert rows("who=nobody") == 0
    assert rows(f"reference={reference.lower()}&action=connection.note") == 1
    assert rows("reference=UNKNOWN") == 0
    assert rows("first=2999-01-01") == 0
    assert rows("last=9999-12-31") == PAGE
    assert rows("last=2020-01-01") == 0
    assert rows("first=nonsense&before=many&partner=unknown") == PAGE

    seen, path, pages = 0, "/staff/audit", 0
    while path:
        text = browser.get(path).text
        seen, pages = seen + text.count('<th scope="row">'), pages + 1
        older = re.search(r'rel="next" href="([^"]+)"', text)
        path = older[1].replace("&amp;", "&") if older else ""
    assert (seen, pages) == (PAGE * 2 + 1, 3)
    with counted(desk.app.extensions["onboarding"].database.engine) as sent:
        browser.get("/staff/audit")
    assert len(sent) <= 6


def test_audit_of_a_limited_member_has_their_partners_alone_and_its_file_runs_nothing(
    desk: Desk,
) -> None:
    fill_audit(desk, 10)
    limited = desk.browser(Role.OPERATOR, email="limited@example.com", partners=["acme"])
    page = limited.get("/staff/audit").text
    assert page.count('<th scope="row">') == 6
    assert "OTHER" not in page
    assert limited.get("/staff/audit?partner=other").text.count('<th scope="row">') == 6

    answer = limited.get("/staff/audit.csv?action=connection")
    assert answer.mimetype == "text/csv"
    lines = list(csv.reader(io.StringIO(answer.text.removeprefix("\ufeff"))))
    assert len(lines) == 1 + 6
    assert {line[5] for line in lines[1:]} == {"ACME"}
    assert lines[1][2:4] == ["connection.note", "Note written"]
    assert not [cell for line in lines for cell in line if cell.startswith("=")]


def test_page_that_is_not_for_a_role_and_one_that_is_not_there_say_so(desk: Desk) -> None:
    add_partner(desk.database)
    viewer = desk.browser(Role.VIEWER)
    assert "Your role does not allow this" in viewer.get("/staff/team").text
    missing = viewer.get("/staff/there-is-no-such-page")
    assert missing.status_code == 404
    assert "about a partner that you do not see" in missing.text
