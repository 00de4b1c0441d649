"""Files of growers: read however they were written, shown first, done as they were shown."""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import UUID

import html5lib
import pytest
import sqlalchemy as sa
from flask.testing import FlaskClient
from sqlalchemy.orm import Session
from werkzeug.test import TestResponse

from onboarding.clock import now
from onboarding.connections import enrolment
from onboarding.connections.enrolment import Newcomer
from onboarding.db import DATABASE_ERRORS
from onboarding.errors import InputInvalid
from onboarding.models import (
    Audit,
    BulkJob,
    BulkRow,
    Connection,
    Grower,
    Import,
    ImportRow,
    Link,
    Staff,
)
from onboarding.models import Mail as MailRow
from onboarding.staff import partners
from onboarding.staff.bulk import work
from onboarding.staff.imports import doing, file
from onboarding.staff.imports import work as importing
from onboarding.states import ImportState, Role, RowOutcome, RowVerdict
from onboarding.views.staff import imports as views
from tests.support.desk import Desk
from tests.support.queries import counted
from tests.unit.rows import add_partner, history_of, invited
from tests.unit.test_staff_bulk import MAIL

GOOD = """external id;Name;E-Mail;Phone;Leaf user id;Acres
a-1;Müller & Söhne;a@farm.example;+49 30 1234567;;12
a-2;"Smith; Bill";;;leaf-2;
"""

WRITTEN: dict[str, Callable[[str], bytes]] = {
    "utf-8": str.encode,
    "utf-8 with a mark": lambda text: text.encode("utf-8-sig"),
    "unicode text of Excel": lambda text: with_delimiter(text, "\t").encode("utf-16"),
    "windows": lambda text: text.replace("\n", "\r\n").encode("cp1252"),
    "commas": lambda text: with_delimiter(text, ",").encode(),
    "said in the first line": lambda text: f"sep=;\r\n{text}".encode(),
}


def with_delimiter(text: str, delimiter: str) -> str:
    """The same file, separated by something else; what stands in quotes stays."""
    return text.replace(";", delimiter).replace(f"Smith{delimiter}", "Smith;")


@pytest.mark.parametrize("way", WRITTEN)
def test_file_is_read_however_it_was_written(way: str) -> None:
    found = file.read(WRITTEN[way](GOOD))
    assert [file.values(line) for line in found.lines] == [
        ("a-1", "Müller & Söhne", "a@farm.example", "+49 30 1234567", ""),
        ("a-2", "Smith; Bill", "", "", "leaf-2"),
    ]
    first = 3 if way.startswith("said") else 2
    assert [line.line for line in found.lines] == [first, first + 1]
    assert found.ignored == ["Acres"]


def test_headings_are_found_in_other_spellings_and_order() -> None:
    heading = b"Farm Name,E-mail address,CUSTOMER_NO,Tel."
    found = file.read(heading + b"\nMaple,a@b.example,7,'+1 555 0100\n")
    assert [file.values(line) for line in found.lines] == [
        ("7", "Maple", "a@b.example", "+1 555 0100", "")
    ]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "is empty"),
        (b"\n , \n", "is empty"),
        (b"name,id\n", "no rows below"),
        (b"Maple Farm,7\n", "'external id' and 'name' can't be found in it. It has 'Maple Farm'"),
        (b"name,mail\nMaple,a@b.example\n", "'external id' can't be found"),
        (b"id,name,farm\n1,a,b\n", "Two columns mean the same: 'name' and 'farm'"),
        (b'id,name\n1,"Maple\n', "can't be read as CSV"),
        (b"PK\x03\x04\x00\x00\x81", "is no text"),
        (b"id,name\n" + b"1,a\n" * (file.ROWS_AT_MOST + 1), "10,001 rows, and 10,000"),
    ],
)
def test_file_that_can_not_be_taken_says_what_to_change(data: bytes, message: str) -> None:
    with pytest.raises(InputInvalid, match=re.escape(message)):
        file.read(data)


@pytest.fixture
def desk(desk: Desk) -> Desk:
    """With mail on, and two partners."""
    parts = desk.app.extensions["onboarding"]
    desk.app.extensions["onboarding"] = replace(parts, settings=replace(parts.settings, mail=MAIL))
    add_partner(desk.database, "ours")
    add_partner(desk.database, "others")
    return desk


def hand_in(desk: Desk, browser: FlaskClient, data: bytes, partner: str = "ours") -> TestResponse:
    form = {
        "csrf_token": desk.token(browser),
        "partner": partner,
        "file": (io.BytesIO(data), "growers.csv"),
    }
    return browser.post("/staff/imports", data=form)


def press(desk: Desk, browser: FlaskClient, path: str) -> TestResponse:
    return browser.post(path, data={"csrf_token": desk.token(browser)})


def confirm(desk: Desk, browser: FlaskClient, where: str, seen: int = 0) -> TestResponse:
    """Press the button below what is shown, of which one has seen so many showings before."""
    token = desk.token(browser)
    return browser.post(f"{where}/confirm", data={"csrf_token": token, "seen": str(seen)})


def imported(desk: Desk, browser: FlaskClient, where: str, seen: int = 0) -> None:
    """Confirm, and let the worker do it."""
    assert confirm(desk, browser, where, seen).status_code == 303
    while step(desk):
        pass


def step(desk: Desk) -> bool:
    """One part of the worker's."""
    return importing.step(desk.database, desk.app.extensions["onboarding"].settings)


def rows_of(desk: Desk) -> dict[int, tuple[RowVerdict, list[str]]]:
    with desk.database.reading() as session:
        return {row.line: (row.verdict, row.notes) for row in session.scalars(sa.select(ImportRow))}


EVERY_ERROR = f"""id,name,email,phone,leaf user
,No id,,,
b-2,,,,
{"b" * 201},Long id,,,
b-4,{"n" * 201},,,
b-5,Bad mail,who at farm,,
b-6,Unfit mail,a@bad..example,,
b-7,Bad phone,,call me,
b-8,Bad Leaf user,,,not/an/id
b-9,First,,,
b-9,Again,,,
b-11,Leaf twice,,,leaf-11
b-12,Leaf twice,,,leaf-11
b-13,Taken here,,,leaf-ours
b-14,Taken elsewhere,,,leaf-others
known-1,Other Leaf user,,,leaf-new
b-16,"Bell\a",,,
known-2,Maple Farm,,,
known-2b,All is well,fine@farm.example,555 0100,leaf-17
,,x,call,/
"""


def test_every_error_is_said_in_its_row_and_the_good_rows_go_in(desk: Desk) -> None:
    for name, partner, leaf in (
        ("known-1", "ours", "leaf-ours"),
        ("known-2", "ours", None),
        ("theirs", "others", "leaf-others"),
    ):
        link = invited(desk.database, name, partner=partner)
        with desk.database.transaction() as session:
            session.get_one(Grower, link.grower_id).leaf_user_id = leaf
    operator = desk.browser()

    answer = hand_in(desk, operator, EVERY_ERROR.encode())

    assert answer.status_code == 303
    with counted(desk.app.extensions["onboarding"].database.engine) as sent:
        page = operator.get(answer.location).text
    assert len(sent) <= 6, sent
    html5lib.HTMLParser(strict=True).parse(page)
    expected = {
        2: "The external id is missing: fill it in.",
        3: "The name is missing: fill it in.",
        4: "The external id is too long: at most 200 characters.",
        5: "The name is too long: at most 200 characters.",
        6: "who at farm is not an e-mail address.",
        7: "a@bad..example is not an e-mail address.",
        8: "call me is not a telephone number: digits, spaces and + ( ) / . - only.",
        9: "not/an/id is not the id of a Leaf user: copy it from Leaf.",
        11: "Line 10 has the same external id: keep one of them.",
        13: "Line 12 has the same Leaf user.",
        14: "Leaf user leaf-ours belongs to grower known-1: two can’t share one.",
        15: "Leaf user leaf-others belongs to another grower: two can’t share one.",
        16: "The grower has another Leaf user already: empty the cell, or mend it by hand.",
        17: "There are characters in it that can’t be shown: type it anew.",
    }
    found = rows_of(desk)
    said = {line: notes for line, (_, notes) in found.items() if notes and line < 20}
    assert said == {line: [note] for line, note in expected.items()}
    assert len(found[20][1]) == 5, "all that is wrong with a row is said at once"
    good = {line: verdict for line, (verdict, _) in found.items() if verdict != "wrong"}
    assert good == {10: "new", 12: "new", 18: "same", 19: "new"}
    assert "theirs" not in page, "it is of another partner"
    assert "Add 3, change 0, leave out 15" in page

    imported(desk, operator, answer.location)
    with desk.database.reading() as session:
        added = sa.select(Grower.external_id).where(Grower.external_id.like("b-%"))
        assert set(session.scalars(added)) == {"b-9", "b-11"}
        last = session.scalars(sa.select(Grower).where(Grower.external_id == "known-2b")).one()
    assert (last.email, last.phone, last.leaf_user_id) == (
        "fine@farm.example",
        "555 0100",
        "leaf-17",
    )


def test_import_makes_growers_and_links_once_which_can_be_downloaded_and_mailed(desk: Desk) -> None:
    known = invited(desk.database, "a-2", partner="ours")
    operator = desk.browser()
    where = hand_in(desk, operator, GOOD.encode()).location
    page = operator.get(where).text
    assert "name: Maple Farm → Smith; Bill" in page
    assert "Leaf user: empty → leaf-2" in page
    assert "Columns that are left out: Acres." in page
    with desk.database.reading() as session:
        assert session.scalars(sa.select(Grower.external_id)).all() == ["a-2"], "only shown so far"

    for _ in range(2):
        imported(desk, operator, where)
    assert "Mail 1 invitation" in operator.get(where).text

    with desk.database.reading() as session:
        growers = {one.external_id: one for one in session.scalars(sa.select(Grower))}
        new = session.scalars(
            sa.select(Connection).where(Connection.grower_id == growers["a-1"].id)
        ).one()
        assert session.scalar(sa.select(sa.func.count()).select_from(Link)) == 2
    assert growers["a-2"].name == "Smith; Bill"
    assert growers["a-2"].leaf_user_id == "leaf-2"
    assert growers["a-2"].id == known.grower_id
    assert history_of(desk.database, new.id) == ["link_made"]
    links = press(desk, operator, f"{where}/links.csv").text.splitlines()
    assert len(links) == 2
    assert links[1].startswith("a-1,Müller & Söhne,a@farm.example,https://connect.example/c/")

    jobs = [press(desk, operator, f"{where}/mail").location for _ in range(2)]
    assert jobs[0] == jobs[1], "a double click is one"
    while work.step(desk.database, desk.app.extensions["onboarding"].settings):
        pass
    with desk.database.reading() as session:
        assert session.scalars(sa.select(BulkJob.done)).one() == 1
        mail = session.scalars(sa.select(MailRow)).one()
        row = session.scalars(sa.select(BulkRow)).one()
        made = session.scalars(sa.select(ImportRow.link_id).where(ImportRow.line == 2)).one()
        assert mail.link_id == row.link_id == made, "the one that can be downloaded"
        actions = session.scalars(sa.select(Audit.action).order_by(Audit.id)).all()
    assert actions == [
        "import.show",
        "import.confirm",
        "import.done",
        "import.links",
        "bulk.mail",
        "connection.mail",
    ]
    other = desk.browser(email="other@example.com")
    assert press(desk, other, f"{where}/links.csv").status_code == 404


def test_nothing_is_imported_when_the_world_is_another_than_was_shown(desk: Desk) -> None:
    operator = desk.browser()
    where = hand_in(desk, operator, b"id,name\nc-1,Maple Farm\nc-2,Elm Farm\n").location
    invited(desk.database, "c-1", partner="ours")

    imported(desk, operator, where)
    page = operator.get(where).text
    assert "Nothing was imported: since you looked, something has changed." in page
    assert "Add 1, change 0, leave out 0" in page
    with desk.database.reading() as session:
        assert session.scalars(sa.select(Grower.external_id)).all() == ["c-1"]
    confirm(desk, operator, where)
    assert "it has been shown anew since you looked" in operator.get(where).text
    assert not step(desk), "nobody has confirmed what is shown now"
    imported(desk, operator, where, seen=1)
    with desk.database.reading() as session:
        assert set(session.scalars(sa.select(Grower.external_id))) == {"c-1", "c-2"}


def test_file_goes_in_by_parts_and_only_rows_that_have_become_others_meanwhile_are_left_out(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(importing, "AT_ONCE", 2)
    whole = enrolment.enrol

    def broken(session: Session, partner_id: UUID, new: list[Newcomer], **more: Any) -> list[UUID]:
        if any(one.external_id == "f-4" for one in new):
            raise RuntimeError("a fault of ours")
        return whole(session, partner_id, new, **more)

    monkeypatch.setattr(enrolment, "enrol", broken)
    operator = desk.browser()
    known = invited(desk.database, "f-2", partner="ours")
    rows = [f"f-{number},Farm {number}" for number in range(6)]
    where = hand_in(desk, operator, "\n".join(["id,name", *rows, ",no id"]).encode()).location
    confirm(desk, operator, where)
    assert "7 rows are being checked" in operator.get(where).text
    for _ in range(2):
        assert step(desk)
    page = operator.get(where).text
    html5lib.HTMLParser(strict=True).parse(page)
    assert "2 of 6 rows worked on" in page
    assert "Download the links" not in page
    assert press(desk, operator, f"{where}/links.csv").status_code == 404
    with desk.database.transaction() as session:
        session.get_one(Grower, known.grower_id).name = "Another name"
    invited(desk.database, "f-5", partner="ours")
    while step(desk):
        pass

    with desk.database.reading() as session:
        found = session.execute(sa.select(ImportRow.external_id, ImportRow.outcome))
        assert {row.external_id: row.outcome for row in found} == {
            "f-0": RowOutcome.DONE,
            "f-1": RowOutcome.DONE,
            "f-2": RowOutcome.OVERTAKEN,
            "f-3": RowOutcome.DONE,
            "f-4": RowOutcome.FAILED,
            "f-5": RowOutcome.OVERTAKEN,
            "": None,
        }
        assert session.get_one(Grower, known.grower_id).name == "Another name"
        growers = session.scalars(sa.select(Grower.external_id)).all()
        assert sorted(growers) == ["f-0", "f-1", "f-2", "f-3", "f-5"]
        told = session.scalars(sa.select(Audit.data).where(Audit.action == "import.done")).one()
    assert told == {"rows": {"done": 3, "overtaken": 2, "failed": 1}}
    assert "a fault of ours" in caplog.text
    with counted(desk.app.extensions["onboarding"].database.engine) as sent:
        page = operator.get(f"{where}?only=overtaken").text
    assert len(sent) <= 6, sent
    html5lib.HTMLParser(strict=True).parse(page)
    assert "Somebody has changed or added the grower since it was confirmed." in page
    assert ("f-5" in page, "f-1" in page) == (True, False)
    assert len(press(desk, operator, f"{where}/links.csv").text.splitlines()) == 1 + 3


def test_fault_of_the_database_fails_no_row_and_the_part_comes_again(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    operator = desk.browser()
    where = hand_in(desk, operator, b"id,name\nc-1,Maple Farm\n").location
    confirm(desk, operator, where)
    assert step(desk)

    def unfit(session: Session, *_args: Any, **_more: Any) -> None:
        session.execute(sa.text("SELECT nothing FROM nowhere"))

    with monkeypatch.context() as patched:
        patched.setattr(enrolment, "enrol", unfit)
        with pytest.raises(DATABASE_ERRORS):
            step(desk)
    while step(desk):
        pass
    assert "Imported" in operator.get(where).text
    with desk.database.reading() as session:
        assert session.scalars(sa.select(ImportRow.outcome)).all() == [RowOutcome.DONE]


def test_file_of_who_may_no_longer_import_is_only_shown_again(desk: Desk) -> None:
    operator = desk.browser()
    where = hand_in(desk, operator, b"id,name\nc-1,Maple Farm\n").location
    confirm(desk, operator, where)
    with desk.database.transaction() as session:
        session.scalars(sa.select(Staff)).one().role = Role.VIEWER
    assert step(desk)
    assert not step(desk)

    other = desk.browser(email="other@example.com")
    assert "who confirmed it may not do that any more" in other.get(where).text
    with desk.database.reading() as session:
        assert session.scalars(sa.select(Grower.external_id)).all() == []
    imported(desk, other, where, seen=1)
    with desk.database.reading() as session:
        assert session.scalars(sa.select(Grower.external_id)).all() == ["c-1"]


def test_changed_address_is_written_to_again_and_empty_cells_change_nothing(desk: Desk) -> None:
    link = invited(desk.database, "c-1", partner="ours")
    with desk.database.transaction() as session:
        grower = session.get_one(Grower, link.grower_id)
        grower.email, grower.phone, grower.address_refused_at = "old@farm.example", "555", now()
    operator = desk.browser()
    data = b"id,name,email,phone\nc-1,Maple Farm,new@farm.example,\n"
    where = hand_in(desk, operator, data).location
    imported(desk, operator, where)
    with desk.database.reading() as session:
        grower = session.get_one(Grower, link.grower_id)
    assert (grower.email, grower.phone, grower.address_refused_at) == (
        "new@farm.example",
        "555",
        None,
    )


def test_limited_members_import_for_their_partners_and_see_no_other_files(desk: Desk) -> None:
    everybody = desk.browser()
    where = hand_in(desk, everybody, b"id,name\nd-1,Maple\n", "others").location
    limited = desk.browser(email="limited@example.com", partners=["ours"])
    assert hand_in(desk, limited, b"id,name\nd-2,Elm\n", "others").status_code == 400
    assert hand_in(desk, limited, b"id,name\nd-2,Elm\n", "ours").status_code == 303
    assert limited.get(where).status_code == 404
    for action in ("confirm", "mail", "links.csv"):
        assert press(desk, limited, f"{where}/{action}").status_code == 404
    assert where not in limited.get("/staff/imports").text
    assert where in everybody.get("/staff/imports").text
    viewer = desk.browser(Role.VIEWER)
    assert viewer.get("/staff/imports").status_code == 403
    assert viewer.get(where).status_code == 403


def test_form_says_what_is_missing_and_what_is_too_much(desk: Desk) -> None:
    operator = desk.browser()
    answer = operator.post("/staff/imports", data={"csrf_token": desk.token(operator)})
    assert answer.status_code == 400
    html5lib.HTMLParser(strict=True).parse(answer.text)
    assert "Choose the partner." in answer.text
    assert "Choose a file to hand in." in answer.text
    unasked = {"partner": "ours", "file": (io.BytesIO(b"id,name\n1,a\n"), "growers.csv")}
    answer = operator.post("/staff/imports", data=unasked)
    assert (answer.status_code, "open for too long" in answer.text) == (400, True)
    with desk.database.reading() as session:
        assert session.scalars(sa.select(Import)).all() == []
    template = operator.get("/staff/imports/template.csv").data
    assert len(file.read(template).lines) == 1


@pytest.mark.parametrize("size", [100_000, 300_000], ids=["file", "request"])
def test_file_that_is_too_large_is_told_so_even_if_it_is_not_read(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    monkeypatch.setattr(views, "FILE_MAX_BYTES", 90_000)
    monkeypatch.setattr(views, "REQUEST_MAX_BYTES", 200_000)
    large = b"id,name\n" + b"1,Maple Farm\n" * (size // 13)
    answer = hand_in(desk, desk.browser(), large)
    assert "The file is larger than 4 MB: split it." in answer.text
    assert hand_in(desk, desk.browser(), large[: 80_000 // 13 * 13 + 8]).status_code == 303


def test_what_nobody_confirms_is_over_after_a_day_and_deleted(desk: Desk) -> None:
    operator = desk.browser()
    where = hand_in(desk, operator, b"id,name\ne-1,Maple\n").location
    done = hand_in(desk, operator, b"id,name\ne-2,Elm\n").location
    imported(desk, operator, done)
    with desk.database.transaction() as session:
        doing.tidy(session)
        session.execute(sa.update(Import).values(expires_at=now() - timedelta(seconds=1)))
    assert operator.get(where).status_code == 404
    for _ in range(2):
        with desk.database.transaction() as session:
            doing.tidy(session)
    with desk.database.reading() as session:
        assert session.scalars(sa.select(Import.state)).all() == [ImportState.DONE]
        assert session.scalars(sa.select(ImportRow)).all() == []
        assert partners.named(session, "ours")
