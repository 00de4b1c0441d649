"""The table of connections: what is found, in what order, by whom, and how it leaves as a file."""

from __future__ import annotations

import csv
import io
from datetime import timedelta
from urllib.parse import parse_qsl, urlsplit
from uuid import UUID

import html5lib
import pytest
import sqlalchemy as sa
from flask.testing import FlaskClient

from onboarding.clock import now
from onboarding.connections import listing
from onboarding.db import Database
from onboarding.errors import InputInvalid
from onboarding.models import Connection, Grower, Listing, Organization
from onboarding.staff import finding
from onboarding.staff.roles import Member
from onboarding.staff.rows import Place
from onboarding.staff.table import Filter, Sort
from onboarding.states import Environment, Health, Role, Stage, Turn
from tests.support.desk import Desk
from tests.support.queries import counted
from tests.unit.rows import connection_of, invited, watched

DAY = timedelta(days=1)
ALL = Member(UUID(int=1), "a@example.com", "A", Role.VIEWER, None)


def many(database: Database, count: int) -> list[UUID]:
    """Connections that differ in what the table sorts and narrows by."""
    moment, ids = now(), watched(database, count)
    with database.transaction() as session:
        for number, key in enumerate(ids):
            one = session.get_one(Connection, key)
            one.grower.name = f"Farm {number % 7} {chr(97 + number % 5)}"
            one.environment = Environment.STAGE if number % 3 else Environment.PRODUCTION
            one.checked_at = moment - number % 4 * DAY if number % 5 else None
            if number % 6 == 0:
                one.health, one.health_text = Health.UNAUTHENTICATED, "UNAUTHENTICATED"
    with database.transaction() as session:
        for number, row in enumerate(session.scalars(sa.select(Listing).order_by(Listing.number))):
            row.since = row.created_at = moment - number % 10 * DAY
            row.opened_at = moment if number % 2 else None
    return ids


def walked(database: Database, asked: Filter, *, backwards: bool = False) -> list[str]:
    """The references on all pages, to the end and, if asked for, back again."""
    found: list[str] = []
    place: dict[str, Place] = {}
    while True:
        with database.reading() as session:
            page = finding.page(session, ALL, asked, partner_id=None, **place)
        found += [row.reference for row in page.rows]
        if not page.has_next:
            break
        place = {"after": page.rows[-1].place(asked.sort)}
    if not backwards:
        return found
    back = [row.reference for row in page.rows]
    while page.has_previous:
        with database.reading() as session:
            before = page.rows[0].place(asked.sort)
            page = finding.page(session, ALL, asked, partner_id=None, before=before)
        back = [row.reference for row in page.rows] + back
    assert back == found
    return found


def references(page: str) -> list[str]:
    """Those of the rows of a page."""
    tree = html5lib.parse(page, namespaceHTMLElements=False)
    return [one.get("value") or "" for one in tree.findall(".//input[@name='reference']")]


def csrf_token(page: str) -> str:
    """That of a page's forms."""
    tree = html5lib.parse(page, namespaceHTMLElements=False)
    return next(one.get("value") or "" for one in tree.iterfind(".//input[@name='csrf_token']"))


def exported(text: str) -> list[dict[str, str]]:
    """The rows of a file."""
    return list(csv.DictReader(io.StringIO(text.lstrip("\ufeff"))))


def test_pages_show_every_row_once_in_each_order_and_back_again(fresh_database: Database) -> None:
    many(fresh_database, 60)
    with fresh_database.reading() as session:
        rows = session.execute(
            sa.select(
                Connection.reference, Listing.since, Listing.name_key, Listing.created_at,
                Connection.checked_at,
            ).join(Listing, Listing.connection_id == Connection.id)
        ).all()  # fmt: skip
    for sort, column in ((Sort.SINCE, 1), (Sort.NAME, 2), (Sort.CREATED, 3), (Sort.CHECKED, 4)):
        expected = {row[0]: str(row[column]) for row in rows if row[column] is not None}
        for descending in (True, False):
            asked = Filter(sort=sort, descending=descending, size=25)
            found = walked(fresh_database, asked, backwards=True)
            assert sorted(found) == sorted(expected)
            values = [expected[one] for one in found]
            assert values == sorted(values, reverse=descending)


def test_each_filter_finds_what_is_so_and_the_count_says_how_many(
    fresh_database: Database,
) -> None:
    many(fresh_database, 60)
    before = now() - 7 * DAY
    cases = {
        "status=reconnect": Listing.code == "reconnect",
        "turn=grower": Listing.turn == Turn.GROWER,
        "health=OK": Listing.health == Health.OK,
        "environment=STAGE": Listing.environment == Environment.STAGE,
        "older=7": Listing.since <= before,
        "unopened=1": Listing.opened_at.is_(None),
        "status=reconnect&unopened=1&sort=name": sa.and_(
            Listing.code == "reconnect", Listing.opened_at.is_(None)
        ),
    }
    for query, condition in cases.items():
        asked = Filter.parse_query(query)
        assert Filter.parse_query(asked.query()) == asked
        with fresh_database.reading() as session:
            expected = set(session.scalars(sa.select(Listing.connection_id).where(condition)))
            assert set(session.scalars(finding.select_ids(session, ALL, asked))) == expected
            page = finding.page(session, ALL, asked, partner_id=None)
        assert page.total == len(expected) == len(page.rows) > 0, query


def test_search_finds_each_word_of_a_row_and_only_those(fresh_database: Database) -> None:
    ids = many(fresh_database, 12)
    with fresh_database.transaction() as session:
        one = session.get_one(Connection, ids[3])
        one.grower.name, one.grower.email = "Élodie Ñandú", "elodie%_farm@example.com"
        session.add(
            Organization(connection_id=one.id, deere_id="77", name='Gut "Höfe"', connected=True)
        )
        reference, leaf_user = one.reference, one.grower.leaf_user_id
    split = f"{reference[:4]} {reference[4:]}".lower()
    hyphenated = f"{reference[:4]}-{reference[4:]}"
    for found in ("elodie", "ELODIE nandu", "e%_farm", '"hofe"', split, hyphenated, "Gut nan"):
        assert walked(fresh_database, Filter(q=found)) == [reference], found
    assert reference in walked(fresh_database, Filter(q=leaf_user or ""))
    for absent in ("elodie xyz", "f%m@", "elodie_", "ndu gut 0o"):
        assert walked(fresh_database, Filter(q=absent)) == [], absent


def test_a_common_word_is_found_by_walking(
    fresh_database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    many(fresh_database, 30)
    by_index = walked(fresh_database, Filter(q="farm 3", size=25))
    monkeypatch.setattr(finding, "COUNTED", 5)
    with counted(fresh_database.engine) as sent:
        assert walked(fresh_database, Filter(q="farm 3", size=25)) == by_index != []
    assert fresh_database.engine.dialect.name != "sqlite" or "instr" in sent[-1]


@pytest.mark.parametrize(
    "query",
    ["q=ab", "status=nope", "turn=me", "health=GOOD", "older=3", "sort=x", "size=7", "partner=x"],
)
def test_what_cannot_be_meant_is_said_and_nothing_is_found_instead(desk: Desk, query: str) -> None:
    many(desk.database, 3)
    answer = desk.browser().get(f"/staff/connections?{query}&unopened=1")
    assert answer.status_code == 400
    assert 'role="alert"' in answer.text
    assert references(answer.text) == []
    assert 'name="unopened" value="1" checked' in " ".join(answer.text.split())
    export = desk.browser().get(f"/staff/connections.csv?{query}")
    assert export.status_code == 303
    if query != "partner=x":
        with pytest.raises(InputInvalid):
            Filter.parse_query(query)


def test_a_page_takes_few_queries_however_many_rows(desk: Desk) -> None:
    engine = desk.app.extensions["onboarding"].database.engine
    many(desk.database, 10)
    for size in (10, 1000):
        if size == 1000:
            many(desk.database, 990)
        browser = desk.browser(Role.VIEWER, email=f"l-{size}@example.com", partners=["watched"])
        for query in ("", "q=farm", "q=farm 3 a&sort=name", "turn=grower&sort=checked&size=100"):
            with counted(engine) as sent:
                answer = browser.get(f"/staff/connections?{query}")
            assert answer.status_code == 200
            assert len(sent) <= 6, (query, sent)


def test_table_shows_what_it_is_about_and_walks_by_its_own_links(desk: Desk) -> None:
    ids = many(desk.database, 60)
    browser, seen = desk.browser(Role.OPERATOR), list[str]()
    url: str | None = "/staff/connections?size=25&sort=name"
    while url:
        answer = browser.get(url)
        assert answer.status_code == 200
        html5lib.HTMLParser(strict=True).parse(answer.text)
        seen += references(answer.text)
        link = html5lib.parse(answer.text, namespaceHTMLElements=False).find(".//a[@rel='next']")
        url = None if link is None else link.get("href")
    assert len(seen) == len(set(seen)) == len(ids)
    assert "60 connections" in answer.text
    assert "Must connect again" in browser.get("/staff/connections?status=reconnect").text
    assert "Nothing matches" in browser.get("/staff/connections?q=nobody+here").text


def test_nothing_of_other_partners_is_shown_counted_found_or_exported(desk: Desk) -> None:
    ours, theirs = invited(desk.database, "ours-1", partner="ours"), invited(desk.database, "not-1")
    own = connection_of(desk.database, ours).reference
    other = connection_of(desk.database, theirs).reference
    browser = desk.browser(Role.OPERATOR, email="limited@example.com", partners=["ours"])
    page = browser.get("/staff/connections")
    assert references(page.text) == [own]
    assert "1 connection" in page.text
    assert references(browser.get(f"/staff/connections?q={other}").text) == []
    assert browser.get("/staff/connections?partner=demo").status_code == 400
    assert [one["reference"] for one in exported(browser.get("/staff/connections.csv").text)] == [
        own
    ]
    form = {"csrf_token": csrf_token(page.text), "reference": [own, other], "view": ""}
    picked = browser.post("/staff/connections.csv", data=form)
    assert [one["reference"] for one in exported(picked.text)] == [own]


def test_export_holds_all_rows_and_no_formula(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    ids = many(desk.database, 40)
    with desk.database.transaction() as session:
        session.get_one(Connection, ids[0]).grower.name = '=HYPERLINK("http://evil")'
        session.get_one(Connection, ids[1]).grower.name = "@SUM(1)"
    every = finding.every
    monkeypatch.setattr(finding, "every", lambda *args, **more: every(*args, **more, at_once=7))
    rows = exported(desk.browser(Role.VIEWER).get("/staff/connections.csv?sort=created").text)
    assert len({one["reference"] for one in rows}) == len(rows) == len(ids)
    names = {one["grower"] for one in rows}
    assert {'\'=HYPERLINK("http://evil")', "'@SUM(1)"} <= names
    narrowed = exported(desk.browser(Role.VIEWER).get("/staff/connections.csv?turn=grower").text)
    assert {one["turn"] for one in narrowed} == {"grower"}


def test_views_are_kept_under_a_name_shared_and_deleted(desk: Desk) -> None:
    many(desk.database, 3)
    browser, other = desk.browser(Role.OPERATOR), desk.browser(Role.VIEWER)

    def save(client: FlaskClient, **fields: str) -> str:
        page = client.get("/staff/connections?turn=grower&sort=name").text
        data = {"csrf_token": csrf_token(page), "view": "sort=name&turn=grower"} | fields
        answer = client.post("/staff/connections/views", data=data)
        assert answer.status_code == 303
        assert dict(parse_qsl(urlsplit(answer.location).query)) == {
            "turn": "grower",
            "sort": "name",
        }
        return client.get(answer.location).text

    assert "name of 1 to 60" in save(browser, name=" ")
    assert ">Mornings<" in save(browser, name="Mornings")
    assert ">Mornings<" not in other.get("/staff/connections").text
    assert ">Mornings<" in save(browser, name="Mornings", shared="1")
    shown = other.get("/staff/connections").text
    assert ">Mornings<" in shown
    assert "/delete" not in shown

    page = browser.get("/staff/connections").text
    tree = html5lib.parse(page, namespaceHTMLElements=False)
    action = next(
        action
        for one in tree.iter("form")
        if (action := one.get("action") or "").endswith("/delete")
    )
    assert other.post(action, data={"csrf_token": csrf_token(shown)}).status_code == 404
    assert browser.post(action, data={"csrf_token": csrf_token(page)}).status_code == 303
    assert ">Mornings<" not in browser.get("/staff/connections").text


def test_a_row_that_has_yet_to_be_computed_is_shown_all_the_same(desk: Desk) -> None:
    ids = watched(desk.database, 1)
    with desk.database.transaction() as session:
        session.execute(sa.update(Listing).values(code="", text="", due_at=now() - DAY))
        assert session.get_one(Connection, ids[0]).stage is Stage.CONNECTED
        assert session.scalar(sa.select(Grower.id)) is not None
    assert len(references(desk.browser(Role.OPERATOR).get("/staff/connections").text)) == 1
    listing.refresh_due(desk.database)
    assert "Not confirmed" in desk.browser().get("/staff/connections").text
