"""Work on many connections at once: what it does, leaves out, and who sees it."""

from __future__ import annotations

import re
import threading
from collections import Counter
from dataclasses import replace
from datetime import timedelta
from uuid import UUID, uuid4

import html5lib
import pytest
import sqlalchemy as sa
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from onboarding.clock import now
from onboarding.connections import growers, invitations, listing
from onboarding.db import Database
from onboarding.mail.address import Mailing, MailServer, Sender
from onboarding.models import Audit, BulkJob, BulkRow, Connection, Grower, Link, Mail, Staff
from onboarding.settings import Settings
from onboarding.staff import partners
from onboarding.staff.bulk import jobs, work
from onboarding.staff.rounds import Rounds
from onboarding.states import (
    BulkKind,
    BulkRowState,
    BulkState,
    LeftOut,
    MailState,
    Role,
    Stage,
    StoppedFor,
    Urgency,
)
from tests.support.desk import Desk
from tests.support.queries import counted
from tests.support.wait import wait_until
from tests.unit.rows import connection_of, invited, watched

MAIL = Mailing(
    server=MailServer(host="127.0.0.1", port=25, implicit_tls=False, is_here=True),
    sender=Sender(name="", address="connect@onboarding.example"),
)


@pytest.fixture
def desk(desk: Desk) -> Desk:
    """With mail on."""
    parts = desk.app.extensions["onboarding"]
    desk.app.extensions["onboarding"] = replace(parts, settings=replace(parts.settings, mail=MAIL))
    return desk


def settings_of(desk: Desk) -> Settings:
    found: Settings = desk.app.extensions["onboarding"].settings
    return found


def references(database: Database) -> list[str]:
    with database.reading() as session:
        return list(session.scalars(sa.select(Connection.reference).order_by(Connection.id)))


def post(desk: Desk, browser: FlaskClient, path: str, **data: object) -> TestResponse:
    """Send a form as a page of ours does."""
    return browser.post(path, data={"csrf_token": desk.token(browser), **data})


def asked(desk: Desk, browser: FlaskClient, kind: BulkKind, picked: list[str]) -> str:
    """The page that asks whether to begin."""
    page = post(desk, browser, "/staff/bulk", kind=kind.value, reference=picked)
    assert page.status_code == 200, page.location
    html5lib.HTMLParser(strict=True).parse(page.text)
    return page.text


def begun(desk: Desk, browser: FlaskClient, kind: BulkKind, picked: list[str]) -> UUID:
    """A job that was asked for and confirmed."""
    found = re.search('name="job" value="([0-9a-f-]+)"', asked(desk, browser, kind, picked))
    assert found
    data = {"kind": kind.value, "reference": picked, "job": found[1]}
    answers = [post(desk, browser, "/staff/bulk", **data) for _ in range(2)]
    assert [one.status_code for one in answers] == [303, 303], "a double click is one"
    return UUID(found[1])


def worked_off(desk: Desk) -> None:
    """All that is to be done, whatever its pace."""
    is_open = sa.update(BulkJob).where(BulkJob.due_at.is_not(None))
    while True:
        with desk.database.transaction() as session:
            session.execute(is_open.values(due_at=now()))
        if not work.step(desk.database, settings_of(desk)):
            return


def viewed(desk: Desk, browser: FlaskClient, view: str) -> UUID:
    """New links for all that a view of the table shows, confirmed."""
    job_id = uuid4()
    data = {"kind": "new_link", "all": "1", "view": view, "job": str(job_id)}
    assert post(desk, browser, "/staff/bulk", **data).status_code == 303
    assert job_of(desk, job_id).view == view
    return job_id


def ended_by_a_worker(desk: Desk, job_id: UUID) -> tuple[BulkState, StoppedFor | None, int]:
    """What comes of it where a worker's thread does what is due: how, why, how many were done."""
    rounds = Rounds(desk.database, settings_of(desk))
    worker = threading.Thread(target=rounds.run)
    worker.start()
    try:
        wait_until(lambda: job_of(desk, job_id).ended_at, what="the worker is done with it")
    finally:
        rounds.stop()
        worker.join()
    job = job_of(desk, job_id)
    return job.state, job.stopped_for, job.done


def job_of(desk: Desk, job_id: UUID) -> BulkJob:
    with desk.database.reading() as session:
        return session.get_one(BulkJob, job_id)


def set_grower(database: Database, link: Link, **values: object) -> None:
    with database.transaction() as session:
        session.execute(sa.update(Grower).where(Grower.id == link.grower_id).values(**values))


def test_recheck_asks_leaf_about_all_that_it_holds_and_lets_others_go_first(desk: Desk) -> None:
    later = now() + timedelta(hours=20)
    watched(desk.database, 30, check_due_at=later, check_urgency=Urgency.ROUTINE)
    invited(desk.database)
    operator = desk.browser()
    picked = references(desk.database)

    page = asked(desk, operator, BulkKind.RECHECK, picked)
    assert "30 connections" in page
    assert "Leaf holds no access" in page
    job_id = begun(desk, operator, BulkKind.RECHECK, picked)
    assert work.step(desk.database, settings_of(desk))
    assert not work.step(desk.database, settings_of(desk)), "the pace that Leaf allows"
    assert job_of(desk, job_id).worked == work.AT_ONCE[BulkKind.RECHECK]
    with desk.database.transaction() as session:
        session.get_one(BulkJob, job_id).created_at = now() - timedelta(minutes=26)
    assert "in 6 min" in operator.get(f"/staff/bulk/{job_id}").text, "6 of 31 are left"
    worked_off(desk)

    job = job_of(desk, job_id)
    assert (job.state, job.total, job.done, job.left_out) == (BulkState.DONE, 31, 30, 1)
    assert job.reasons == {"not_at_leaf": 1}
    due = sa.select(Connection.check_urgency, Connection.check_due_at <= now())
    with desk.database.transaction() as session:
        at_leaf = due.where(Connection.stage == Stage.CONNECTED)
        assert Counter(tuple(row) for row in session.execute(at_leaf)) == {
            (Urgency.CHANGED, True): 30
        }
        lines = session.scalars(sa.select(Audit.action)).all()
        assert Counter(lines) == {"bulk.recheck": 1, "connection.recheck": 30}
        session.execute(
            sa.update(Connection)
            .where(Connection.reference.in_(picked[:7]), Connection.check_due_at.is_not(None))
            .values(checked_at=now())
        )
        answered = session.scalar(sa.select(sa.func.count(Connection.checked_at)))

    with counted(desk.app.extensions["onboarding"].database.engine) as sent:
        page = operator.get(f"/staff/bulk/{job_id}").text
    assert len(sent) <= 6, sent
    html5lib.HTMLParser(strict=True).parse(page)
    assert f'<p class="number">{answered}</p>\n    <p>answered by Leaf since' in page
    assert "<strong>1</strong> Leaf holds no access" in page
    assert "Leaf has answered." in page
    assert "Recheck" in operator.get("/staff/bulk").text


def test_all_that_a_view_shows_are_collected_first_in_parts_and_then_worked_on(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(work, "COLLECTED_AT_ONCE", 2)
    for number in range(5):
        link = invited(desk.database, f"g-{number}", partner="ours")
        set_grower(desk.database, link, name="Elm Farm" if number else "Oak Farm")
        with desk.database.transaction() as session:
            listing.touch(session, growers.connection_id_of(session, link.grower_id))
    invited(desk.database, "g-x", partner="others")
    operator = desk.browser()
    view = {"all": "1", "view": "q=elm&partner=ours&sort=name", "kind": "new_link"}

    page = post(desk, operator, "/staff/bulk", **view).text
    assert "Make links for 4" in page
    found = re.search('name="job" value="([0-9a-f-]+)"', page)
    assert found
    answers = [post(desk, operator, "/staff/bulk", job=found[1], **view) for _ in range(2)]
    assert [one.status_code for one in answers] == [303, 303]
    work.step(desk.database, settings_of(desk))
    assert "2 found so far" in operator.get(answers[0].location).text
    worked_off(desk)

    job = job_of(desk, UUID(found[1]))
    assert (job.state, job.total, job.done) == (BulkState.DONE, 4, 4)
    assert len(job.partners) == 1
    for bad in ("partner=nobody", "turn=moon"):
        answer = post(desk, operator, "/staff/bulk", **view | {"view": bad})
        assert answer.status_code == 303, "nothing, rather than all"
    limited = desk.browser(email="limited@example.com", partners=["others"])
    everything = post(desk, limited, "/staff/bulk", **view | {"view": ""}).text
    assert "Make links for 1" in everything


def test_new_links_are_one_for_each_and_can_be_downloaded_by_who_had_them_made(desk: Desk) -> None:
    first = invited(desk.database, "=cmd()")
    invited(desk.database, "g-2")
    third = invited(desk.database, "g-3")
    operator = desk.browser()
    job_id = begun(desk, operator, BulkKind.NEW_LINK, references(desk.database))
    worked_off(desk)

    with desk.database.transaction() as session:
        made = session.scalars(sa.select(BulkRow.link_id).where(BulkRow.job_id == job_id)).all()
        assert len(set(made) - {None}) == 3
        query = sa.select(Link).where(Link.grower_id == first.grower_id)
        assert all(link.is_usable(now()) for link in session.scalars(query)), "old ones go on"
        gone = sa.select(Link).where(Link.id.in_(made), Link.grower_id == third.grower_id)
        invitations.revoke(session, session.scalars(gone).one())

    file = post(desk, operator, f"/staff/bulk/{job_id}/links.csv")
    assert file.headers["Cache-Control"] == "no-store"
    lines = file.text.splitlines()
    assert lines[0] == "\ufeffexternal id,name,e-mail,link,works until (UTC)"
    assert {line.split(",")[0] for line in lines[1:]} == {"'=cmd()", "g-2"}, "those that work"
    assert all("https://connect.example/c/" in line for line in lines[1:])
    with desk.database.reading() as session:
        downloads = sa.select(Audit).where(Audit.action == "bulk.links")
        assert session.scalars(downloads).one().who == "operator@example.com"
        assert "/c/" not in str([one.data for one in session.scalars(sa.select(Audit))])
    other = desk.browser(email="other@example.com")
    assert other.get(f"/staff/bulk/{job_id}").status_code == 200
    assert post(desk, other, f"/staff/bulk/{job_id}/links.csv").status_code == 404


def test_mail_goes_to_who_can_be_written_to_and_says_why_not_to_others(desk: Desk) -> None:
    fields: dict[str, dict[str, object]] = {
        "fine": {"email": "a@farm.example"},
        "none": {},
        "unfit": {"email": "a@bad..example"},
        "refused": {"email": "b@farm.example", "address_refused_at": now()},
        "stopped": {"email": "c@farm.example", "mail_stopped_at": now()},
        "waits": {"email": "d@farm.example"},
    }
    links = {name: invited(desk.database, name) for name in fields}
    for name, values in fields.items():
        if values:
            set_grower(desk.database, links[name], **values)
    operator = desk.browser()
    begun(desk, operator, BulkKind.MAIL, [connection_of(desk.database, links["waits"]).reference])
    worked_off(desk)

    page = asked(desk, operator, BulkKind.MAIL, references(desk.database))
    assert "Send to 2" in page, "the unfit address is found when its turn comes"
    job_id = begun(desk, operator, BulkKind.MAIL, references(desk.database))
    worked_off(desk)

    with desk.database.reading() as session:
        found = session.execute(
            sa.select(Grower.external_id, BulkRow.reason)
            .join(Connection, Connection.grower_id == Grower.id)
            .join(BulkRow, BulkRow.connection_id == Connection.id)
            .where(BulkRow.job_id == job_id)
        )
        assert {row.external_id: row.reason for row in found} == {
            "fine": None,
            "none": LeftOut.NO_ADDRESS,
            "unfit": LeftOut.ADDRESS_UNFIT,
            "refused": LeftOut.ADDRESS_REFUSED,
            "stopped": LeftOut.MAIL_STOPPED,
            "waits": LeftOut.MAIL_WAITS,
        }
        mails = session.scalars(sa.select(Mail)).all()
        assert [one.state for one in mails] == [MailState.WAITING] * 2
        assert all(one.link is not None for one in mails)
        left = session.scalar(sa.select(sa.func.count()).select_from(Link))
        assert left == len(fields) + 2, "no link is left of a mail that was not to be"


def test_stopped_work_goes_no_further_and_says_how_far_it_went(desk: Desk) -> None:
    watched(desk.database, 60, check_due_at=now(), check_urgency=Urgency.ROUTINE)
    operator = desk.browser()
    job_id = begun(desk, operator, BulkKind.RECHECK, references(desk.database))
    work.step(desk.database, settings_of(desk))

    assert post(desk, operator, f"/staff/bulk/{job_id}/stop").status_code == 303
    page = operator.get(f"/staff/bulk/{job_id}").text
    assert "Stopped. 25 were worked on before" in page
    assert "operator@example.com stopped it." in page
    assert "hx-trigger" not in page, "nothing more will change"
    worked_off(desk)
    assert job_of(desk, job_id).worked == 25
    assert post(desk, operator, f"/staff/bulk/{job_id}/stop").status_code == 303
    assert "It had ended already." in operator.get(f"/staff/bulk/{job_id}").text


@pytest.mark.parametrize(
    "change", [{"disabled_at": now()}, {"role": Role.VIEWER}], ids=["disabled", "viewer"]
)
def test_work_of_who_may_no_longer_do_it_stops_and_says_so(
    desk: Desk, change: dict[str, object]
) -> None:
    invited(desk.database)
    job_id = begun(desk, desk.browser(), BulkKind.NEW_LINK, references(desk.database))
    with desk.database.transaction() as session:
        session.execute(sa.update(Staff).values(**change))
    worked_off(desk)
    job = job_of(desk, job_id)
    assert (job.state, job.stopped_for, job.done) == (
        BulkState.STOPPED,
        StoppedFor.NOT_ALLOWED,
        0,
    )
    other = desk.browser(Role.VIEWER, email="other@example.com")
    page = other.get(f"/staff/bulk/{job_id}").text
    assert "operator@example.com, who began it, may not do this any more." in page
    assert "Stop</button>" not in page


def test_limited_members_reach_only_what_they_see_when_asked_and_when_worked_on(
    desk: Desk,
) -> None:
    ours = [invited(desk.database, "a", partner="ours"), invited(desk.database, "b", partner="too")]
    invited(desk.database, "c", partner="others")
    limited = desk.browser(email="limited@example.com", partners=["ours", "too"])
    job_id = begun(desk, limited, BulkKind.NEW_LINK, references(desk.database))
    assert job_of(desk, job_id).total == 2
    with desk.database.transaction() as session:
        session.scalars(sa.select(Staff)).one().partners = [partners.named(session, "ours")]
    worked_off(desk)

    job = job_of(desk, job_id)
    assert (job.done, job.reasons) == (1, {"not_seen": 1})
    with desk.database.reading() as session:
        done = sa.select(BulkRow.connection_id).where(BulkRow.state == BulkRowState.DONE)
        assert session.scalars(done).one() == connection_of(desk.database, ours[0]).id
    assert limited.get(f"/staff/bulk/{job_id}").status_code == 404, "it holds what they do not see"
    assert str(job_id) not in limited.get("/staff/bulk").text


def test_limited_members_see_work_on_nothing_but_what_they_see_whoever_began_it(
    desk: Desk,
) -> None:
    for slug in ("ours", "others"):
        invited(desk.database, slug, partner=slug)
    limited = desk.browser(email="limited@example.com", partners=["ours"])
    everybody = desk.browser(email="all@example.com")
    with desk.database.reading() as session:
        own = sa.select(Connection.reference).join(Grower).where(Grower.external_id == "ours")
        ours = session.scalars(own).all()

    for_us = begun(desk, everybody, BulkKind.NEW_LINK, list(ours))
    for_all = begun(desk, everybody, BulkKind.NEW_LINK, references(desk.database))
    assert limited.get(f"/staff/bulk/{for_us}").status_code == 200
    assert limited.get(f"/staff/bulk/{for_all}").status_code == 404
    assert post(desk, limited, f"/staff/bulk/{for_all}/stop").status_code == 404
    listed = limited.get("/staff/bulk").text
    assert (str(for_us) in listed, str(for_all) in listed) == (True, False)
    assert post(desk, limited, f"/staff/bulk/{for_us}/links.csv").status_code == 404, "not theirs"

    for_view = viewed(desk, everybody, "partner=ours")
    assert limited.get(f"/staff/bulk/{for_view}").status_code == 404, "who knows what it will hold"
    assert everybody.get(f"/staff/bulk/{for_view}").status_code == 200
    worked_off(desk)
    assert limited.get(f"/staff/bulk/{for_view}").status_code == 200


def test_work_on_a_view_that_is_gone_stops_and_says_so(desk: Desk) -> None:
    for slug in ("ours", "others"):
        invited(desk.database, slug, partner=slug)
    operator = desk.browser(partners=["ours", "others"])
    job_id = viewed(desk, operator, "partner=ours")
    desk.browser(partners=["others"])  # from now on they see these alone

    assert ended_by_a_worker(desk, job_id) == (BulkState.STOPPED, StoppedFor.VIEW_GONE, 0)
    page = operator.get(f"/staff/bulk/{job_id}").text
    assert "What the table was asked for is not there any more." in page


def test_mails_stop_and_say_so_where_mail_is_off_by_now(desk: Desk) -> None:
    set_grower(desk.database, invited(desk.database), email="a@farm.example")
    operator = desk.browser()
    job_id = begun(desk, operator, BulkKind.MAIL, references(desk.database))
    parts = desk.app.extensions["onboarding"]
    desk.app.extensions["onboarding"] = replace(parts, settings=replace(parts.settings, mail=None))

    assert ended_by_a_worker(desk, job_id) == (BulkState.STOPPED, StoppedFor.MAIL_OFF, 0)
    assert "Mail is off: MAIL_URL is not set." in operator.get(f"/staff/bulk/{job_id}").text
    with desk.database.reading() as session:
        assert session.scalars(sa.select(Mail)).all() == []


def test_row_that_can_not_be_worked_on_holds_up_no_other(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    for number in range(3):
        invited(desk.database, f"g-{number}")
    picked = references(desk.database)
    whole = invitations.new_link

    def broken(session: object, connection: Connection, **more: object) -> Link:
        link = whole(session, connection, **more)  # type: ignore[arg-type]
        if connection.reference == picked[1]:
            raise RuntimeError("a fault of ours")
        return link

    monkeypatch.setattr(invitations, "new_link", broken)
    job_id = begun(desk, desk.browser(), BulkKind.NEW_LINK, picked)
    worked_off(desk)
    job = job_of(desk, job_id)
    assert (job.state, job.done, job.failed) == (BulkState.DONE, 2, 1)
    assert picked[1] in caplog.text
    with desk.database.reading() as session:
        assert session.scalar(sa.select(sa.func.count()).select_from(Link)) == 3 + 2


def test_rows_of_work_that_ended_long_ago_are_forgotten_and_how_it_ended_is_not(
    desk: Desk,
) -> None:
    invited(desk.database)
    operator = desk.browser()
    old, new = (
        begun(desk, operator, BulkKind.NEW_LINK, references(desk.database)) for _ in range(2)
    )
    worked_off(desk)
    with desk.database.transaction() as session:
        session.get_one(BulkJob, old).ended_at = now() - timedelta(days=91)
        session.flush()
        jobs.tidy(session)
        assert session.scalars(sa.select(BulkRow.job_id)).all() == [new]
    assert job_of(desk, old).done == 1
    assert operator.get(f"/staff/bulk/{old}").status_code == 200


def test_bulk_work_needs_an_operator_a_token_and_a_selection(desk: Desk) -> None:
    invited(desk.database)
    data = {"kind": "recheck", "reference": references(desk.database)}
    assert post(desk, desk.browser(Role.VIEWER), "/staff/bulk", **data).status_code == 403
    operator = desk.browser()
    assert operator.post("/staff/bulk", data=data).status_code == 400
    assert post(desk, operator, "/staff/bulk", kind="delete", reference="A").status_code == 400
    assert post(desk, operator, "/staff/bulk", kind="recheck").status_code == 303
    assert "Nothing was selected." in operator.get("/staff/bulk").text
