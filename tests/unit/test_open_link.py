"""The open link: growers who come without a link, and what strangers learn and can do there."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from datetime import timedelta
from email import message_from_bytes, policy
from typing import Any

import pytest
import sqlalchemy as sa
import time_machine
from flask import Flask
from flask.testing import FlaskClient
from limits import parse
from werkzeug.test import TestResponse

from onboarding import create_app
from onboarding.clock import now
from onboarding.connections import growers, invitations, mails, open_link, partnership
from onboarding.connections.mails import renewal
from onboarding.db import Database
from onboarding.mail.address import Mailing, Sender
from onboarding.models import Audit, Connection, Event, Grower, Link, LinkRequest, Mail, Partner
from onboarding.states import MailKind, MailState, Role
from onboarding.views import limits
from tests.support.desk import Browser, Desk
from tests.support.wait import wait_until
from tests.unit.conftest import SettingsFor
from tests.unit.failures import ThreadedServer
from tests.unit.mail_server import Postbox, postbox

ADDRESS = "anna@farm.example"
TYPED = {"farm": "Elm Farm", "person": "Anna Miller", "email": ADDRESS, "phone": "555 0100"}
MANY = 3000
SENDER = Sender(name="", address="connect@onboarding.example")


@pytest.fixture
def post() -> Iterator[Postbox]:
    with postbox() as server:
        yield server


@pytest.fixture
def app(
    settings_for: SettingsFor,
    httpserver: ThreadedServer,
    fresh_database: Database,
    fresh_url: str,
    post: Postbox,
) -> Iterator[Flask]:
    mailing = Mailing(server=post.address(), sender=SENDER)
    made = create_app(settings_for(httpserver, database_url=fresh_url, mail=mailing))
    made.test_client_class = Browser
    with fresh_database.transaction() as session:
        partnership.add_partner(session, slug="prairie", name="Prairie Co-op", open_link=True)
        partnership.add_partner(session, slug="closed", name="Closed Co-op")
    yield made
    made.extensions["onboarding"].database.engine.dispose()


def send(browser: FlaskClient, *, slug: str = "prairie", **typed: str) -> TestResponse:
    """Open the page, fill it in, send it."""
    page = browser.get(f"/j/{slug}").text
    found = re.search(r'name="csrf_token"[^>]*value="([^"]+)"', page)
    token = {"csrf_token": found[1]} if found else {}
    return browser.post(f"/j/{slug}", data={**TYPED, **token, **typed})


def requests(database: Database) -> int:
    with database.reading() as session:
        return session.scalar(sa.select(sa.func.count()).select_from(LinkRequest)) or 0


def growers_of(database: Database) -> list[Grower]:
    with database.reading() as session:
        return list(session.scalars(sa.select(Grower).order_by(Grower.created_at)))


def owed(database: Database) -> list[Mail]:
    with database.reading() as session:
        return list(session.scalars(sa.select(Mail).order_by(Mail.created_at)))


def deliver(app: Flask, database: Database) -> None:
    """What the worker does with what waits."""
    parts = app.extensions["onboarding"]
    open_link.take_up(database)
    for mail in owed(database):
        if mail.state is MailState.WAITING:
            mails.send(database, parts.settings, parts.links, mail.id, number=mail.tries)


def known(database: Database, email: str | None = ADDRESS, **fields: Any) -> Connection:
    """A grower whom staff have invited."""
    with database.transaction() as session:
        link = invitations.invite(
            session,
            partner_slug="prairie",
            external_id="7",
            name="Maple Farm",
            email=email,
            lifetime=timedelta(days=14),
        )
        session.flush()
        connection = growers.connection_of(session, link.grower_id)
        for name, value in fields.items():
            setattr(connection, name, value)
        return connection


def test_a_grower_asks_gets_a_mail_and_stands_before_the_start(
    app: Flask, browser: FlaskClient, fresh_database: Database, post: Postbox
) -> None:
    answer = send(browser)
    assert (answer.status_code, answer.location) == (303, "/j/prairie/asked")
    page = browser.get("/j/prairie/asked")
    assert ADDRESS in page.text.replace("<wbr>", "")
    assert "Elm Farm" not in page.text
    assert growers_of(fresh_database) == []

    deliver(app, fresh_database)

    (grower,) = growers_of(fresh_database)
    assert (grower.name, grower.person, grower.email, grower.phone) == (
        "Elm Farm",
        "Anna Miller",
        ADDRESS,
        "555 0100",
    )
    assert grower.by_open_link
    assert requests(fresh_database) == 0
    with fresh_database.reading() as session:
        connection = growers.connection_of(session, grower.id)
        assert grower.external_id == f"open-{connection.reference}"
        event = session.scalars(sa.select(Event).order_by(Event.id)).first()
        assert event is not None
        assert (event.kind, event.who, event.data) == ("came_by_open_link", "grower", {})
    ((_, recipient, raw),) = post.mails
    assert recipient == f"TO:<{ADDRESS}>"
    mail = message_from_bytes(raw, policy=policy.default)
    text = mail.get_body(("plain",)).get_content()  # type: ignore[union-attr]
    start = browser.get(re.search(r"https://\S+(/c/\S+)", text)[1])  # type: ignore[index]
    assert start.status_code == 200
    assert "Elm Farm" in start.text
    assert "Connect John Deere" in start.text


def seen(app: Flask, email: str) -> tuple[list[tuple[int, str, str]], list[str]]:
    """All that a stranger sees who types an address, and what the database is told for it."""
    browser, engine = app.test_client(), app.extensions["onboarding"].database.engine
    told: list[str] = []

    def note(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        told.append(statement)

    sa.event.listen(engine, "before_cursor_execute", note)
    answers = [send(browser, email=email), browser.get("/j/prairie/asked"), send(browser)]
    sa.event.remove(engine, "before_cursor_execute", note)
    shown = [
        (
            one.status_code,
            one.headers.get("Location", ""),
            one.text.replace("<wbr>", "").replace(email, "ADDRESS"),
        )
        for one in answers
    ]
    return shown, told


def test_nobody_can_tell_whether_an_address_is_known(app: Flask, fresh_database: Database) -> None:
    known(fresh_database, "known@farm.example")
    for _ in range(2):  # also when the worker has taken up the first requests
        assert seen(app, "known@farm.example") == seen(app, "other@farm.example")
        open_link.take_up(fresh_database)


@pytest.mark.parametrize(
    ("typed", "kept"), [("Anna@Farm.EXAMPLE", ADDRESS), (ADDRESS, "ANNA@farm.example")]
)
def test_who_is_known_is_mailed_their_own_link_and_nothing_of_theirs_changes(
    app: Flask,
    browser: FlaskClient,
    fresh_database: Database,
    post: Postbox,
    typed: str,
    kept: str,
) -> None:
    connection = known(fresh_database, kept, token_received_at=now())
    for _ in range(2):
        send(browser, email=typed, farm="Of a stranger", phone="555 0666")
        deliver(app, fresh_database)
    (grower,) = growers_of(fresh_database)
    assert (grower.name, grower.email, grower.phone) == ("Maple Farm", kept, None)
    # A second request within the hour brings no second mail.
    ((_, recipient, raw),) = post.mails
    assert recipient == f"TO:<{kept}>"
    assert b"stranger" not in raw
    with fresh_database.reading() as session:
        kinds = list(session.scalars(sa.select(Event.kind).order_by(Event.id)))
        links = session.scalars(sa.select(Link).order_by(Link.created_at.desc())).all()
    assert kinds.count("open_link_asked") == 1
    assert "came_by_open_link" not in kinds
    assert links[0].grower_id == connection.grower_id


def test_an_address_in_another_script_is_the_same_in_both_its_forms() -> None:
    plain, written = "anna@xn--mller-kva.example", "Anna@Müller.example"
    assert set(open_link.spellings(plain)) & set(open_link.spellings(written))
    assert not set(open_link.spellings("anna@a.example")) & set(
        open_link.spellings("anna@b.example")
    )


def test_the_same_address_at_another_partner_is_another_grower(
    app: Flask, browser: FlaskClient, fresh_database: Database
) -> None:
    known(fresh_database)
    with fresh_database.transaction() as session:
        session.execute(sa.update(Partner).values(open_link=True))
    send(browser, slug="closed")
    deliver(app, fresh_database)
    assert [one.partner.slug for one in growers_of(fresh_database)] == ["prairie", "closed"]


def test_a_double_click_and_two_workers_make_one_grower(
    browser: FlaskClient, fresh_database: Database
) -> None:
    for _ in range(3):
        assert send(browser).status_code == 303
    with fresh_database.reading() as session:
        first, second, _ = session.scalars(sa.select(LinkRequest.id)).all()

    def work() -> None:
        with fresh_database.transaction() as session:
            open_link.take_up_one(session, second)

    other = threading.Thread(target=work)
    with fresh_database.transaction() as session:
        open_link.take_up_one(session, first)
        session.flush()
        other.start()
        # SQLite has one writer at a time anyway.
        if fresh_database.engine.dialect.name == "postgresql":
            wait_until(
                lambda: waits_for_a_lock(fresh_database) or not other.is_alive(),
                what="the other worker waits",
            )
    other.join()
    open_link.take_up(fresh_database)
    assert len(growers_of(fresh_database)) == 1
    assert [mail.kind for mail in owed(fresh_database)] == [MailKind.OPEN_LINK]
    assert requests(fresh_database) == 0


def waits_for_a_lock(database: Database) -> bool:
    """Whether somebody does, in PostgreSQL."""
    here = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
    with database.reading() as session:
        return bool(session.scalar(sa.text(f"{here} AND wait_event_type = 'Lock'")))


@pytest.mark.parametrize("why", ["revoked", "stopped"])
def test_no_mail_goes_where_staff_or_the_mailbox_said_no(
    app: Flask, browser: FlaskClient, fresh_database: Database, post: Postbox, why: str
) -> None:
    connection = known(fresh_database)
    with fresh_database.transaction() as session:
        grower = session.get_one(Grower, connection.grower_id)
        if why == "stopped":
            mails.stop(session, grower)
        else:
            invitations.revoke(session, session.scalars(sa.select(Link)).one())
    send(browser)
    deliver(app, fresh_database)
    assert post.mails == []
    (mail,) = owed(fresh_database)
    assert mail.state is MailState.NOT_SENT
    assert {"revoked": "newest link was revoked", "stopped": "wants no mails"}[why] in mail.detail


def test_a_stranger_stops_the_mails_by_what_stands_in_them(
    app: Flask, browser: FlaskClient, fresh_database: Database, post: Postbox
) -> None:
    with time_machine.travel(now(), tick=False) as clock:
        send(browser)
        deliver(app, fresh_database)
        ((_, _, raw),) = post.mails
        mail = message_from_bytes(raw, policy=policy.default)
        assert mail["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
        stop = re.fullmatch(r"<https://connect\.example(/m/\S+)>", mail["List-Unsubscribe"])
        assert stop is not None
        # By a mail program: without a cookie, and without having seen a page.
        pressed = app.test_client().post(stop[1], data={"List-Unsubscribe": "One-Click"})
        assert pressed.status_code == 200
        clock.shift(timedelta(days=2))
        send(browser)
        deliver(app, fresh_database)
        assert len(post.mails) == 1
        assert "wants no mails" in owed(fresh_database)[1].detail
        page = browser.get(stop[1]).text
        token = re.search(r'name="csrf_token"[^>]*value="([^"]+)"', page)
        assert token is not None
        resume = stop[1].replace("/stop", "/resume")
        assert browser.post(resume, data={"csrf_token": token[1]}).status_code == 303
        clock.shift(timedelta(days=2))
        send(browser)
        deliver(app, fresh_database)
        assert len(post.mails) == 2


def test_the_forms_of_many_partners_together_do_not_flood_one_address(
    app: Flask, fresh_database: Database, post: Postbox
) -> None:
    slugs = [f"partner-{number}" for number in range(renewal.OPEN_LINKS_A_DAY + 1)]
    with fresh_database.transaction() as session:
        for slug in slugs:
            partnership.add_partner(session, slug=slug, name=slug, open_link=True)

    def ask(slug: str, email: str = ADDRESS) -> tuple[str, str]:
        """What a stranger sees."""
        browser = app.test_client()
        sent = send(browser, slug=slug, email=email)
        page = browser.get(sent.location).text.replace(slug, "SLUG").replace("<wbr>", "")
        deliver(app, fresh_database)
        return sent.location.replace(slug, "SLUG"), page.replace(email, "ADDRESS")

    with time_machine.travel(now(), tick=False) as clock:
        seen = {ask(slug, ADDRESS.upper() if slug[-1] == "3" else ADDRESS) for slug in slugs}
        assert len(seen) == 1, "told the same, though the last ones got nothing"
        assert len(post.mails) == len(slugs) - 1
        assert sorted(one.partner.slug for one in growers_of(fresh_database)) == slugs[:-1]
        clock.shift(timedelta(hours=2))
        ask(slugs[0])
        assert len(post.mails) == len(slugs) - 1, "nor who is known by now"
        ask(slugs[-1], "other@farm.example")
        assert len(post.mails) == len(slugs), "others are nothing to it"
        assert requests(fresh_database) == 0
        clock.shift(timedelta(hours=23))
        ask(slugs[-1])
        assert len(post.mails) == len(slugs) + 1


def test_where_there_is_no_open_link_there_is_nothing(
    app: Flask, browser: FlaskClient, fresh_database: Database
) -> None:
    pages = [browser.get(f"/j/{slug}") for slug in ("closed", "none-such")]
    assert [page.status_code for page in pages] == [404, 404]
    assert pages[0].data == pages[1].data
    for path in ("/j/closed", "/j/none-such"):
        assert browser.post(path, data=TYPED).status_code == 404
        assert browser.get(f"{path}/asked").status_code == 404
    assert browser.get("/j/A%00").status_code == 404
    assert browser.get("/j/prairie/asked").location == "/j/prairie"
    assert requests(fresh_database) == 0


def test_without_mail_the_page_takes_nothing_and_says_whom_to_ask(
    settings_for: SettingsFor, httpserver: ThreadedServer, fresh_database: Database, fresh_url: str
) -> None:
    made = create_app(settings_for(httpserver, database_url=fresh_url))
    with fresh_database.transaction() as session:
        partnership.add_partner(
            session, slug="prairie", name="P", open_link=True, support_phone="555 0199"
        )
    browser = made.test_client()
    for answer in (browser.get("/j/prairie"), browser.post("/j/prairie", data=TYPED)):
        assert answer.status_code == 503
        assert "555 0199" in answer.text
        assert "<form" not in answer.text
    assert requests(fresh_database) == 0
    made.extensions["onboarding"].database.engine.dispose()


WRONG = {
    "farm": ["", "  ", "x" * 101, "\u202e\0"],
    "person": ["", "y" * 101],
    "email": [
        "",
        "anna",
        "anna@farm",
        "anna@farm.example, b@farm.example",
        "anna@farm.example\r\nBcc: b@farm.example",
        "a" * 250 + "@farm.example",
        "anna@[127.0.0.1]",
        "änna@farm.example",
    ],
    "phone": ["call me", "1" * 41, "<script>"],
}


def test_what_is_wrong_is_said_below_it_and_nothing_typed_is_lost(
    browser: FlaskClient, fresh_database: Database
) -> None:
    for name, values in WRONG.items():
        for value in values:
            answer = send(browser, **{name: value})
            assert answer.status_code == 422, (name, value)
            assert f'id="{name}-wrong"' in answer.text, (name, value)
            assert answer.text.count("autofocus") == 1
            for other in set(TYPED) - {name}:
                assert f'value="{TYPED[other]}"' in answer.text, (name, value, other)
    kept = browser.post("/j/prairie", data=TYPED)
    assert kept.status_code == 422
    assert "Nothing is lost" in kept.text
    assert 'value="Elm Farm"' in kept.text
    assert requests(fresh_database) == 0


def test_strange_names_stay_what_they_are_and_reach_no_stranger_by_mail(
    app: Flask, browser: FlaskClient, fresh_database: Database, post: Postbox
) -> None:
    farm = 'Bee <b>"Łąka"</b> 🐝 農場\r\nBcc: all@farm.example'
    assert send(browser, farm=farm, person="Visit https://evil.example").status_code == 303
    again = send(browser, farm=farm, phone="none")
    assert "&lt;b&gt;" in again.text
    assert "<b>" not in again.text
    deliver(app, fresh_database)
    (grower,) = growers_of(fresh_database)
    assert grower.name == 'Bee <b>"Łąka"</b> 🐝 農場 Bcc: all@farm.example'
    ((_, recipient, raw),) = post.mails
    mail = message_from_bytes(raw, policy=policy.default)
    assert recipient == f"TO:<{ADDRESS}>"
    assert mail["To"] == ADDRESS
    assert mail["Bcc"] is None
    said = "".join(part.get_content() for part in mail.walk() if not part.is_multipart())
    for typed in ("Bee", "Anna", "evil"):
        assert typed not in said + mail["Subject"], typed
    assert "List-Unsubscribe" in mail


def test_programs_that_fill_in_everything_are_answered_and_ignored(
    browser: FlaskClient, fresh_database: Database
) -> None:
    page = browser.get("/j/prairie").text
    trap = page[page.index('<div class="unseen" aria-hidden="true">') :]
    assert re.match(r'.*?<input[^>]*autocomplete="off"[^>]*tabindex="-1"', trap, re.DOTALL)
    answer = send(browser, website="https://spam.example")
    assert (answer.status_code, answer.location) == (303, "/j/prairie/asked")
    assert requests(fresh_database) == 0


@pytest.mark.parametrize("limit", ["OPEN_LINK_PER_ADDRESS", "OPEN_LINK_PER_PARTNER"])
def test_a_flood_is_told_to_wait_and_loses_nothing(
    browser: FlaskClient,
    fresh_database: Database,
    monkeypatch: pytest.MonkeyPatch,
    limit: str,
) -> None:
    monkeypatch.setattr(limits, limit, parse("2 per hour"))
    told = [send(browser, email=f"{number}@farm.example") for number in range(3)]
    assert [answer.status_code for answer in told] == [303, 303, 429]
    assert 'value="2@farm.example"' in told[2].text
    assert requests(fresh_database) == 2


def test_staff_and_commands_switch_it_and_see_who_came_by_it(
    app: Flask, browser: FlaskClient, fresh_database: Database
) -> None:
    send(browser)
    deliver(app, fresh_database)
    desk = Desk(app, fresh_database)
    boss = desk.browser(Role.ADMINISTRATOR)
    shown = boss.get("/staff/partners/prairie").text
    assert "https://connect.example/j/prairie" in shown
    data = {"name": "Prairie Co-op", "application": "", "csrf_token": desk.token(boss)}
    assert boss.post("/staff/partners/prairie", data=data).status_code == 303
    assert browser.get("/j/prairie").status_code == 404

    told = app.test_cli_runner().invoke(args=["partner", "edit", "prairie", "--open-link"])
    assert told.exit_code == 0, told.output
    assert browser.get("/j/prairie").status_code == 200
    with fresh_database.reading() as session:
        done = session.scalars(sa.select(Audit).order_by(Audit.id)).all()
    assert [(line.action, line.data) for line in done] == [
        ("partner.change", {"changed": ["open_link"]})
    ] * 2

    assert "by the open link" in boss.get("/staff/connections").text
    with fresh_database.reading() as session:
        reference = session.scalars(sa.select(Connection.reference)).one()
    page = boss.get(f"/staff/connections/{reference}").text
    for text in ("Came by the open link", "Mail: link from the open link, sent", "Anna Miller"):
        assert text in page, text


def test_what_an_address_was_mailed_is_found_without_the_mails_of_other_kinds(
    fresh_database: Database,
) -> None:
    with fresh_database.transaction() as session:
        partnership.add_partner(session, slug="prairie", name="Prairie Co-op")
    connection_id = known(fresh_database).id
    sent = {"connection_id": connection_id, "state": MailState.SENT}
    sent |= {"created_at": now(), "ended_at": now()}
    others = [sent | {"kind": MailKind.INVITATION} for _ in range(MANY)]
    asked: list[tuple[str, Any]] = []

    def note(_conn: Any, _cursor: Any, statement: str, parameters: Any, *_: Any) -> None:
        asked.append((statement, parameters))

    engine = fresh_database.engine
    word = "EXPLAIN QUERY PLAN" if engine.dialect.name == "sqlite" else "EXPLAIN"
    with fresh_database.transaction() as session:
        session.execute(sa.insert(Mail), [*others, sent | {"kind": MailKind.OPEN_LINK}])
        session.execute(sa.text("ANALYZE"))  # else a database would rather read the table
        sa.event.listen(engine, "after_cursor_execute", note)
        assert not renewal.has_enough(session, {ADDRESS})
        sa.event.remove(engine, "after_cursor_execute", note)
        ((statement, parameters),) = asked
        plan = session.connection().exec_driver_sql(f"{word} {statement}", parameters).all()
    assert "ix_mail_open_link" in str(plan)
