"""A grower's links on the page of a connection: made, shown, mailed, opened, revoked."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import timedelta
from uuid import UUID

import pytest
import sqlalchemy as sa
from flask.testing import FlaskClient

from onboarding.clock import now
from onboarding.mail.address import Mailing, MailServer, Sender
from onboarding.models import Audit, Connection, Link, Mail
from onboarding.states import MailKind, MailState
from tests.support.desk import Desk
from tests.unit.rows import invited, watched
from tests.unit.test_staff_connection import audited, post, reference_of

URL = re.compile(r"https://connect\.example(/c/[\w.-]+)")
BY_A_BROWSER = {"Sec-Fetch-Dest": "document", "Sec-Fetch-Mode": "navigate"}
MAIL = Mailing(
    server=MailServer(host="127.0.0.1", port=25, implicit_tls=False, is_here=True),
    sender=Sender(name="", address="connect@onboarding.example"),
)


@pytest.fixture
def working(desk: Desk) -> UUID:
    """A connection that works, of a grower with an address."""
    (connection_id,) = watched(desk.database, 1, check_due_at=now() + timedelta(hours=6))
    give_address(desk, connection_id, "miller@farm.example")
    return connection_id


def give_address(desk: Desk, connection_id: UUID, address: str | None) -> None:
    with desk.database.transaction() as session:
        session.get_one(Connection, connection_id).grower.email = address


def turn_mail_on(desk: Desk) -> None:
    parts = desk.app.extensions["onboarding"]
    desk.app.extensions["onboarding"] = replace(parts, settings=replace(parts.settings, mail=MAIL))


def page_of(desk: Desk, connection_id: UUID) -> str:
    return f"/staff/connections/{reference_of(desk, connection_id)}"


def make(browser: FlaskClient, page: str) -> str:
    """Make a link; where it is shown."""
    return post(browser, page, f"{page}/links").location


def words(text: str) -> str:
    """What somebody reads, apart from the markup."""
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", text))


def test_new_link_is_shown_for_ten_minutes_to_copy_and_to_photograph(
    desk: Desk, working: UUID
) -> None:
    browser, page = desk.browser(), f"/staff/connections/{reference_of(desk, working)}"
    made = post(browser, page, f"{page}/links")
    assert made.status_code == 303
    shown = browser.get(made.location).text
    (url,) = set(re.findall(r"https://connect\.example/c/[\w.-]+", shown))
    assert browser.get(url.removeprefix("https://connect.example")).status_code == 200
    assert '<svg viewBox="0 0 ' in shown
    assert "Mail is off (MAIL_URL is not set)" in shown
    assert f"{made.location}/mail" not in shown
    with desk.database.transaction() as session:
        session.execute(sa.update(Link).values(created_at=now() - timedelta(minutes=11)))
    assert url not in browser.get(made.location).text
    assert audited(desk) == ["connection.new_link"]
    with desk.database.reading() as session:
        assert url.rpartition("/")[2] not in str(session.scalars(sa.select(Audit.data)).all())


def test_link_is_revoked(desk: Desk) -> None:
    link = invited(desk.database)
    with desk.database.reading() as session:
        reference = session.scalars(sa.select(Connection.reference)).one()
    page = f"/staff/connections/{reference}"
    browser = desk.browser()
    post(browser, page, f"{page}/links/{link.id}/revoke")
    with desk.database.reading() as session:
        assert session.get_one(Link, link.id).revoked_at is not None
    assert "Revoked" in browser.get(page).text
    assert audited(desk) == ["connection.revoke_link"]


def test_new_link_is_shown_to_who_made_it_in_that_browser_alone(desk: Desk, working: UUID) -> None:
    page, maker = page_of(desk, working), desk.browser()
    shown = make(maker, page)
    link = URL.search(maker.get(shown).text)
    assert link is not None
    for other in (desk.browser(email="other@example.com"), desk.browser()):
        seen = other.get(shown)
        assert seen.status_code == 200
        assert URL.search(seen.text) is None
        assert "<svg viewBox" not in seen.text
        assert f"{shown}/mail" not in seen.text
        assert "operator@example.com has just made this link." in words(seen.text)
        assert "By operator@example.com" in words(other.get(page).text)
        refused = other.post(f"{shown}/mail", data={"csrf_token": desk.token(other)})
        assert refused.location == page
        assert "Only who makes a link can mail it" in other.get(page).text
    assert URL.search(maker.get(shown).text), "looking at it took it from nobody"
    assert audited(desk) == ["connection.new_link"]


def test_link_is_mailed_and_the_page_says_what_became_of_it(desk: Desk, working: UUID) -> None:
    turn_mail_on(desk)
    browser, page = desk.browser(), page_of(desk, working)
    shown = make(browser, page)
    answer = post(browser, shown, f"{shown}/mail")
    assert (answer.status_code, answer.location) == (303, page)
    with desk.database.transaction() as session:
        mail = session.scalars(sa.select(Mail)).one()
        assert (mail.kind, mail.state) == (MailKind.INVITATION, MailState.WAITING)
        assert str(mail.link_id) == shown.rpartition("/")[2]
        assert mail.due_at is not None
    text = browser.get(page).text
    assert "The link is being mailed." in text
    assert "<strong>Mail: invitation, waits to be sent</strong>" in text
    assert "<strong>Link mailed to the grower</strong>" in text
    assert "Mailed waits since" in words(text)
    for state, said in (
        (MailState.SENT, "Mailed now"),
        (MailState.FAILED, "Mailed failed now"),
        (MailState.NOT_SENT, "Mailed left out now"),
    ):
        with desk.database.transaction() as session:
            session.execute(sa.update(Mail).values(state=state, due_at=None, ended_at=now()))
        assert said in words(browser.get(page).text)
    assert audited(desk) == ["connection.new_link", "connection.mail_link"]


@pytest.mark.parametrize(
    ("address", "is_on", "advice", "refusal"),
    [
        (
            "miller@farm.example",
            False,
            "Mail is off (MAIL_URL is not set): send it yourself.",
            "Mail is off (MAIL_URL is not set): send the link yourself.",
        ),
        (
            None,
            True,
            "no e-mail address: send it yourself, or import the grower again with one.",
            "no e-mail address: send the link yourself, or import the grower again with one.",
        ),
    ],
)
@pytest.mark.parametrize("fresh_url", ["sqlite"], indirect=True)
def test_where_nothing_can_be_mailed_the_page_says_what_to_do_instead(
    desk: Desk, working: UUID, address: str | None, is_on: bool, advice: str, refusal: str
) -> None:
    give_address(desk, working, address)
    if is_on:
        turn_mail_on(desk)
    browser, page = desk.browser(), page_of(desk, working)
    shown = make(browser, page)
    text = browser.get(shown).text
    assert advice in text
    assert f"{shown}/mail" not in text
    answer = browser.post(f"{shown}/mail", data={"csrf_token": desk.token(browser)})
    assert answer.location == page
    assert refusal in browser.get(page).text
    with desk.database.reading() as session:
        assert session.scalars(sa.select(Mail)).all() == []
    assert audited(desk) == ["connection.new_link"]


def test_page_says_whether_and_when_a_link_was_opened(desk: Desk) -> None:
    first = invited(desk.database)
    with desk.database.reading() as session:
        reference = session.scalars(sa.select(Connection.reference)).one()
    second = invited(desk.database)
    page, browser, grower = f"/staff/connections/{reference}", desk.browser(), desk.nobody()
    before = words(browser.get(page).text)
    assert before.count("Opened not yet") == 2
    assert "Opened a link" not in before

    path = f"/c/{desk.app.extensions['onboarding'].links.token(first.id)}"
    for _ in range(2):
        assert grower.get(path, headers=BY_A_BROWSER).status_code == 200
    shown = words(browser.get(page).text)
    assert shown.count("Opened not yet") == 1
    assert "Opened now" in shown
    assert shown.count("Opened a link") == 1
    with desk.database.reading() as session:
        opened = dict(session.execute(sa.select(Link.id, Link.opened_at)).all())
    assert opened[first.id] is not None
    assert opened[second.id] is None
