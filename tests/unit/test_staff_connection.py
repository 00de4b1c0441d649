"""The page of one connection: how it is, what happened, and what staff do there."""

from __future__ import annotations

import re
from datetime import timedelta
from uuid import UUID

import pytest
import sqlalchemy as sa
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from onboarding.clock import now
from onboarding.connections import history
from onboarding.models import Attempt, Audit, Connection, LeafEvent, Link, Mail
from onboarding.states import Cause, Health, MailKind, MailState, Outcome, Role, Stage, Urgency
from tests.support.desk import Desk
from tests.support.queries import counted
from tests.unit.rows import invited, watched


def reference_of(desk: Desk, connection_id: UUID) -> str:
    with desk.database.reading() as session:
        return session.get_one(Connection, connection_id).reference


@pytest.fixture
def working(desk: Desk) -> UUID:
    """A connection that works."""
    (connection_id,) = watched(desk.database, 1, check_due_at=now() + timedelta(hours=6))
    return connection_id


def post(browser: FlaskClient, page: str, action: str, **fields: str) -> TestResponse:
    """Press a button of a page."""
    shown = browser.get(page).text
    assert f'action="{action}"' in shown, f"no form for {action} on {page}"
    token = re.search(r'name="csrf_token" type="hidden" value="([^"]+)"', shown)
    assert token
    return browser.post(action, data={"csrf_token": token[1], **fields})


def audited(desk: Desk) -> list[str]:
    with desk.database.reading() as session:
        return list(session.scalars(sa.select(Audit.action).order_by(Audit.id)))


def test_page_says_how_it_is_whose_turn_it_is_and_why(desk: Desk) -> None:
    (connection_id,) = watched(
        desk.database,
        1,
        stage=Stage.FAILED,
        cause=Cause.LEAF_REFUSED,
        detail="Leaf: HTTP 400: no such client",
        refresh_token=b"sealed",
        scopes_asked=["ag1", "org1"],
        scopes_granted=["org1"],
        token_received_at=now(),
        leaf_credential_id="cred-77",
    )
    page = desk.browser().get(f"/staff/connections/{reference_of(desk, connection_id)}").text
    assert "Hand-over failed" in page
    assert "Our turn." in page
    assert "Leaf: HTTP 400: no such client" in page
    assert "leaf_refused" in page
    assert page.count("not granted") == 1
    for raw in ("leaf-1", "g-1", "cred-77", str(connection_id)):
        assert f"<code>{raw}</code>" in page
    assert "sealed" not in page


def test_timeline_tells_what_everybody_knows_newest_first(desk: Desk, working: UUID) -> None:
    moment = now()
    with desk.database.transaction() as session:
        connection = session.get_one(Connection, working)
        link = Link(
            grower=connection.grower, created_at=moment, expires_at=moment + timedelta(days=1)
        )
        session.add(link)
        session.flush()
        history.record(session, connection, "repaired")
        session.add_all(
            [
                Attempt(
                    connection_id=working,
                    link_id=link.id,
                    state_digest=b"s" * 32,
                    browser_digest=b"b" * 32,
                    created_at=moment - timedelta(hours=3),
                    ended_at=moment - timedelta(hours=2),
                    outcome=Outcome.DENIED,
                ),
                LeafEvent(
                    connection_id=working,
                    leaf_id="e-1",
                    at=moment - timedelta(hours=1),
                    status_code=401,
                    body='{"error":"invalid_grant"}',
                    copied_at=moment,
                ),
                Mail(
                    connection_id=working,
                    kind=MailKind.INVITATION,
                    state=MailState.SENT,
                    created_at=moment,
                    ended_at=moment - timedelta(minutes=30),
                ),
            ]
        )
    browser, page = desk.browser(), f"/staff/connections/{reference_of(desk, working)}"
    post(browser, page, f"{page}/notes", text="Called:\n<b>calls back</b>")
    shown = browser.get(page).text
    told = [
        "Note written",
        "Works again",
        "Mail: invitation, sent",
        "John Deere answered Leaf: HTTP 401",
        "Declined",
    ]
    places = [shown.index(f"<strong>{text}</strong>") for text in told]
    assert places == sorted(places)
    assert "&#34;error&#34;: &#34;invalid_grant&#34;" in shown, "with a space: it is set out"
    assert "operator@example.com" in shown
    assert "&lt;b&gt;calls back&lt;/b&gt;" in shown


@pytest.mark.parametrize("fresh_url", ["sqlite"], indirect=True)
@pytest.mark.parametrize(("text", "wrong"), [(" \n", "This is missing."), ("x" * 2001, "2000")])
def test_note_that_is_none_is_not_kept_and_what_was_typed_stays(
    desk: Desk, working: UUID, text: str, wrong: str
) -> None:
    browser, page = desk.browser(), f"/staff/connections/{reference_of(desk, working)}"
    answer = post(browser, page, f"{page}/notes", text=text)
    assert answer.status_code == 400
    assert wrong in answer.text
    assert f">\r\n{text}</textarea>" in answer.text
    assert re.search(r'<details class="add-note"[^>]* open', answer.text)
    assert audited(desk) == []


def test_timeline_is_shown_in_parts(desk: Desk, working: UUID) -> None:
    with desk.database.transaction() as session:
        connection = session.get_one(Connection, working)
        for number in range(60):
            history.record(session, connection, "status_changed", text=f"number-{number}")
    browser, page = desk.browser(), f"/staff/connections/{reference_of(desk, working)}"
    first = browser.get(page).text
    assert "number-59" in first
    assert "number-9<" not in first
    (older,) = re.findall(rf'href="{page}\?(after=[^"#]+)#timeline"', first)
    second = browser.get(page, query_string=older).text
    assert "number-10<" not in second
    assert "number-9<" in second
    assert "?after=" not in second
    assert f'href="{page}#timeline"' in second
    assert "hx-trigger" not in second, "it would begin anew under the reader's eyes"
    assert browser.get(f"{page}?after=nowhere").text.count("number-59") == 1


def test_recheck_is_a_look_that_somebody_waits_for(desk: Desk, working: UUID) -> None:
    browser, page = desk.browser(), f"/staff/connections/{reference_of(desk, working)}"
    answer = post(browser, page, f"{page}/recheck")
    assert answer.location == page
    with desk.database.reading() as session:
        connection = session.get_one(Connection, working)
        assert connection.check_urgency == Urgency.LOOK
        assert connection.check_due_at is not None
        assert connection.check_due_at <= now()
    shown = browser.get(page).text
    assert "Leaf is being asked" in shown
    assert 'hx-trigger="every 3s"' in shown
    assert audited(desk) == ["connection.recheck"]


def test_what_cant_be_done_is_said_on_the_page(desk: Desk) -> None:
    invited(desk.database)
    with desk.database.reading() as session:
        reference = session.scalars(sa.select(Connection.reference)).one()
    page = f"/staff/connections/{reference}"
    browser = desk.browser()
    shown = browser.get(page).text
    assert f"{page}/retry" not in shown
    token = re.search(r'name="csrf_token" type="hidden" value="([^"]+)"', shown)
    assert token
    answer = browser.post(f"{page}/retry", data={"csrf_token": token[1]})
    assert answer.location == page
    assert "the grower must connect again" in browser.get(page).text
    assert audited(desk) == []


def test_staff_choose_what_leaf_fetches(desk: Desk, working: UUID) -> None:
    browser, page = desk.browser(), f"/staff/connections/{reference_of(desk, working)}"
    post(browser, page, f"{page}/organizations", organization="1", choice="PREVIEW")
    shown = browser.get(page).text
    assert "Leaf is to stop fetching it, and has not confirmed yet." in shown
    post(browser, page, f"{page}/organizations", organization="7", choice="PREVIEW")
    assert "no such organization" in browser.get(page).text
    blocked = post(browser, page, f"{page}/organizations", organization="1", choice="BLOCKED")
    assert blocked.status_code == 400
    post(browser, page, f"{page}/resync")
    assert audited(desk) == ["connection.choose", "connection.resync"]
    with desk.database.reading() as session:
        connection = session.get_one(Connection, working)
        assert connection.sync_owed
        assert [row.sync_chosen for row in connection.organizations] == ["PREVIEW"]


def test_failed_hand_over_is_tried_again(desk: Desk) -> None:
    (connection_id,) = watched(
        desk.database, 1, stage=Stage.FAILED, cause=Cause.LEAF_REFUSED, refresh_token=b"sealed"
    )
    browser, page = desk.browser(), f"/staff/connections/{reference_of(desk, connection_id)}"
    post(browser, page, f"{page}/retry")
    with desk.database.reading() as session:
        assert session.get_one(Connection, connection_id).stage is Stage.HANDING_OVER
    assert audited(desk) == ["connection.retry"]


def test_disconnect_wants_a_reason_and_says_what_it_means(desk: Desk, working: UUID) -> None:
    browser, page = desk.browser(), f"/staff/connections/{reference_of(desk, working)}"
    asked = browser.get(f"{page}/disconnect").text
    assert "no more data flows" in asked
    blank = post(browser, f"{page}/disconnect", f"{page}/disconnect", reason=" ")
    assert blank.status_code == 400
    post(browser, f"{page}/disconnect", f"{page}/disconnect", reason="The farm was sold")
    with desk.database.reading() as session:
        assert session.get_one(Connection, working).stage is Stage.DISCONNECTING
    assert "The farm was sold" in browser.get(page).text
    assert audited(desk) == ["connection.disconnect"]


def test_viewer_sees_all_and_can_do_nothing(desk: Desk, working: UUID) -> None:
    browser, page = desk.browser(Role.VIEWER), f"/staff/connections/{reference_of(desk, working)}"
    shown = browser.get(page).text
    assert "What happened" in shown
    assert "<form" not in shown
    link_id = invited(desk.database).id
    with_token = {"csrf_token": desk.token(browser)}
    actions = ("recheck", "retry", "resync", "organizations", "links", "notes", "disconnect")
    of_a_link = (f"links/{link_id}/mail", f"links/{link_id}/revoke")
    for action in (*actions, *of_a_link):
        assert browser.post(f"{page}/{action}", data=with_token).status_code == 403, action
    for secret in ("disconnect", f"links/{link_id}"):
        assert browser.get(f"{page}/{secret}").status_code == 403
    assert audited(desk) == []


def test_connection_of_another_partner_does_not_exist(desk: Desk, working: UUID) -> None:
    invited(desk.database, partner="other")
    browser = desk.browser(email="limited@example.com", partners=["other"])
    page = f"/staff/connections/{reference_of(desk, working)}"
    assert browser.get(page).status_code == 404
    assert browser.get(f"{page}/disconnect").status_code == 404


def test_six_queries_are_enough_however_much_has_happened(desk: Desk, working: UUID) -> None:
    moment = now()
    with desk.database.transaction() as session:
        connection = session.get_one(Connection, working)
        connection.health, connection.health_text = Health.UNAUTHENTICATED, "UNAUTHENTICATED"
        for _number in range(100):
            history.record(session, connection, "repaired")
            link = Link(grower=connection.grower, created_at=moment, expires_at=moment)
            session.add(link)
            session.add(
                Mail(
                    connection_id=working,
                    link=link,
                    kind=MailKind.INVITATION,
                    created_at=moment,
                )
            )
    browser, page = desk.browser(), f"/staff/connections/{reference_of(desk, working)}"
    engine = desk.app.extensions["onboarding"].database.engine
    with counted(engine) as first:
        shown = browser.get(page).text
    assert "Leaf is being asked" in shown
    *read, written = first
    assert written.startswith("UPDATE"), "since the page lets Leaf be asked"
    (older,) = re.findall(rf'href="{page}\?(after=[^"#]+)#timeline"', shown)
    with counted(engine) as second:
        assert browser.get(page, query_string=older).status_code == 200
    for queries in (read, second):
        assert len(queries) <= 6, "\n\n".join(queries)
