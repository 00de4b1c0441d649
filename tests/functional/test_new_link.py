"""Growers whose link has expired have a new one mailed, and nobody learns whether there is a mail.

From the page of the old link to the mailbox: real SMTP, as the sandbox's server takes it.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
import requests
import sqlalchemy as sa

from onboarding.clock import now
from onboarding.connections import invitations
from onboarding.links import grower_cookie
from onboarding.models import Link, Mail
from onboarding.states import MailKind, MailState
from tests.support.mailed import Mailed, header, link_in, stop_by_program
from tests.support.page import Page
from tests.support.people import People, Person
from tests.support.stack import PARTNER, WEB, Stack
from tests.support.wait import wait_until

SEND = "Send me a new link"
ASKED = "Look for our e-mail"
EXPIRED = "This link has expired"

CSRF_TOKEN = re.compile(r'(?<=name="csrf_token" )[^>]*value="[^"]+"')

MailedFor = Callable[..., Mailed]


@pytest.fixture
def mailed(stack: Stack, people: People) -> MailedFor:
    """Makes growers with an address whose link has expired."""

    def make(**more: Any) -> Mailed:
        grower = Mailed.invited(stack, people, **more)
        grower.person.expire_link()
        return grower

    return make


def test_grower_comes_back_after_weeks_and_goes_on_with_the_link_that_is_mailed(
    mailed: MailedFor, people: People
) -> None:
    grower = mailed(name="Quiet Valley Farm")
    page = grower.person.open()
    assert (page.status, page.heading) == (410, EXPIRED)
    assert "Quiet Valley Farm" not in page.html

    page = grower.person.press(SEND)
    assert (page.status, page.heading) == (200, ASKED)
    assert "If we have an e-mail address for this link" in page.text
    assert "Quiet Valley Farm" not in page.html
    assert page.forms == []

    (mail,) = grower.deliver()
    assert mail["subject"] == "Demo Co-op: your new link"
    assert "because a new link was asked for on the page of your old one" in " ".join(
        mail["text"].split()
    )
    assert link_in(mail) != grower.person.link
    phone = people.visitor(link_in(mail), grower.person.external_id)
    assert phone.open().heading == "Connect John Deere"
    phone.connect("already-connected")
    phone.wait_for_code("connected")
    kinds = [event.kind for event in phone.events()]
    assert "new_link_asked" in kinds
    assert "mail_sent" in kinds
    (asked,) = phone.events("new_link_asked")
    assert (asked.who, asked.data) == ("grower", {})
    link = _link_of(grower)
    assert link.expires_at - link.created_at == timedelta(days=14)


def test_new_link_of_a_grower_whose_turn_it_is_leads_straight_to_what_is_to_be_done(
    stack: Stack, people: People
) -> None:
    grower = Mailed.invited(stack, people)
    grower.connect()
    grower.leaf_says("UNAUTHENTICATED")
    grower.person.expire_link()
    elsewhere = people.visitor(grower.person.link)
    elsewhere.open()
    elsewhere.press(SEND)
    wait_until(lambda: len(grower.mails()) == 2, what="the new link has come")
    mail = grower.mails()[-1]
    assert "The page says at present: Please connect again." in mail["text"]
    assert people.visitor(link_in(mail)).open().heading == "Please connect again"


def test_nobody_learns_whether_there_is_an_address(stack: Stack, people: People) -> None:
    with_address = Mailed.invited(stack, people)
    stopped, refused = Mailed.invited(stack, people), Mailed.invited(stack, people)
    without = people.invited()
    stack.control.add_fault(
        "mail.recipient", "status", status=550, match={"recipient": refused.address}
    )
    growers = [with_address.person, without, stopped.person, refused.person]
    for grower in growers:
        grower.expire_link()
    seen = [_all_that_is_seen(grower) for grower in growers]
    assert seen[0] == seen[1] == seen[2] == seen[3]
    assert [status for status, *_ in seen[0]] == [410, 303, 200, 200, 410, 303, 200]
    with_address.deliver()
    wait_until(lambda: _ended(stack, without), what="it was seen that there is no address")
    # Nor does anybody once all is done.
    seen = [_all_that_is_seen(grower) for grower in growers]
    assert seen[0] == seen[1] == seen[2] == seen[3]


def test_staff_see_who_asks_for_a_link_and_has_no_address(stack: Stack, people: People) -> None:
    grower = people.invited()
    grower.expire_link()
    grower.open()
    grower.press(SEND)
    wait_until(lambda: _ended(stack, grower), what="it was seen that there is no address")
    reference = grower.connection().reference
    listed = stack.cli("mail", "list").stdout
    assert f"{reference}  {PARTNER}/{grower.external_id}" in listed
    assert "there is no address: give one with link … --email" in listed
    stack.invite(grower.external_id)  # and pass it on by hand
    assert reference not in stack.cli("mail", "list").stdout


def test_staff_see_who_asks_for_a_link_and_has_an_address_that_was_refused(
    mailed: MailedFor, stack: Stack
) -> None:
    grower = mailed()
    gone = {"recipient": grower.address}
    stack.control.add_fault("mail.recipient", "status", status=550, match=gone)
    for words in ("550 A fault of the sandbox", "the mail server has refused the address"):
        _let_an_hour_pass(grower)
        grower.person.open()
        grower.person.press(SEND)
        assert grower.deliver() == []
        assert words in stack.cli("mail", "list").stdout
        assert stack.control.faults()[0]["struck"] == 1, words
    assert [row.state for row in grower.rows()] == [MailState.FAILED] * 2
    listed = stack.cli("mail", "list").stdout
    assert "the mail server has refused the address: correct it with link … --email" in listed


def test_one_mail_an_hour_and_three_a_day_are_sent_however_often_somebody_asks(
    mailed: MailedFor, people: People
) -> None:
    grower = mailed()
    for number in (1, 2, 3):
        for _ in range(3):
            anybody = people.visitor(grower.person.link)
            anybody.open()
            assert anybody.press(SEND).heading == ASKED
        assert len(grower.deliver()) == number
        _let_an_hour_pass(grower)
    grower.person.open()
    assert grower.person.press(SEND).heading == ASKED
    assert len(grower.deliver()) == 3
    assert len(grower.person.events("new_link_asked")) == 3
    for row in grower.rows():
        _change(grower, row, created_at=now() - timedelta(days=1, minutes=1))
    grower.person.open()
    grower.person.press(SEND)
    assert len(grower.deliver()) == 4


def test_loading_again_going_back_and_sending_again_asks_no_more(mailed: MailedFor) -> None:
    grower = mailed()
    person = grower.person
    form = person.open().form_to("/new-link")
    assert form
    person.submit(form)
    asked = person.page.url
    for _ in range(2):
        assert person.open(asked).heading == ASKED
        assert person.submit(form).heading == ASKED
    assert len(grower.deliver()) == 1
    assert len(person.events("new_link_asked")) == 1


def test_page_that_says_what_to_expect_is_only_there_when_somebody_has_asked(
    mailed: MailedFor,
) -> None:
    grower = mailed()
    page = grower.person.open(f"{grower.person.link}/new-link/asked")
    assert (page.status, page.heading) == (410, EXPIRED)
    assert grower.person.open(f"{grower.person.link}/new-link").status == 405
    assert grower.rows() == []


def test_grower_who_wants_no_mails_gets_the_link_that_they_ask_for(
    stack: Stack, people: People
) -> None:
    grower = Mailed.invited(stack, people)
    stop_by_program(grower.connect()[0])
    grower.person.expire_link()
    elsewhere = people.visitor(grower.person.link)
    elsewhere.open()
    elsewhere.press(SEND)
    wait_until(lambda: len(grower.mails()) == 2, what="the new link has come")
    mail = grower.mails()[-1]
    assert "No more such mails" not in mail["text"] + mail["html"]
    assert "List-Unsubscribe" not in [name for name, _ in mail["headers"]]
    assert header(mail, "Auto-Submitted") == "auto-generated"


def test_link_that_is_not_ours_or_not_over_brings_no_new_one(people: People) -> None:
    grower = people.invited(email="miller@farm.example")
    page = grower.open()
    sent = page.forms[0].sent_by(page.forms[0].buttons[0])
    prefix, _, token = grower.link.rpartition("/")
    for forged in (token[:-1], f"{token}A", "x"):
        page = grower.open(f"{prefix}/{forged}")
        assert (page.status, page.forms) == (404, [])
        for path, ask in (("", grower.session.post), ("/asked", grower.session.get)):
            answer = ask(f"{prefix}/{forged}/new-link{path}", data=sent)
            assert answer.status_code == 404
            assert Page.of(answer).heading == "This link is not complete"
    answer = grower.session.post(f"{grower.link}/new-link", data=sent)
    assert (answer.url, answer.status_code) == (grower.link, 200)
    assert grower.events("new_link_asked") == []


def test_browser_that_connected_is_led_to_its_page_instead(stack: Stack, people: People) -> None:
    grower = Mailed.invited(stack, people)
    grower.connect()
    grower.person.expire_link()
    page = grower.person.open()
    assert page.heading == "Connected"
    sent = page.forms[0].sent_by(page.forms[0].buttons[0])
    assert grower_cookie(grower.person.connection().id) in grower.person.session.cookies
    answer = grower.person.session.post(f"{grower.person.link}/new-link", data=sent)
    assert Page.of(answer).heading == "Connected"
    assert len(grower.deliver()) == 1


def test_withdrawn_link_brings_no_new_one_and_neither_do_those_before_it(
    stack: Stack, people: People, mailed: MailedFor
) -> None:
    grower = mailed()
    form = grower.person.open().form_to("/new-link")
    assert form
    later = people.visitor(stack.invite(grower.person.external_id), grower.person.external_id)
    later.revoke_link()
    for person, heading in (
        (grower.person, EXPIRED),
        (later, "This link is no longer valid"),
    ):
        for page in (person.open(), person.open(f"{person.link}/new-link/asked")):
            assert (page.status, page.heading, page.forms) == (410, heading, [])
        answer = grower.person.session.post(
            f"{person.link}/new-link", data=form.sent_by(form.buttons[0])
        )
        assert (answer.status_code, Page.of(answer).heading) == (410, heading)
    assert grower.rows() == []

    # Staff have thought again: what they make from now on is as any other.
    newest = people.visitor(stack.invite(grower.person.external_id), grower.person.external_id)
    newest.expire_link()
    newest.open()
    assert newest.press(SEND).heading == ASKED


def test_link_that_is_withdrawn_before_the_mail_goes_out_stops_it(
    mailed: MailedFor, people: People, stack: Stack
) -> None:
    grower = mailed()
    stack.control.add_fault("mail.connect", "status", status=421)
    grower.person.open()
    grower.person.press(SEND)
    grower.sweep()
    wait_until(lambda: grower.row().detail, what="the mail was not taken")
    with stack.installation.database.transaction() as session:
        invitations.revoke(session, session.get_one(Link, _link_of(grower).id))
    stack.control.clear_faults()
    grower.let_time_pass()
    assert grower.deliver() == []
    assert grower.row().state is MailState.NOT_SENT
    assert "was revoked since" in grower.row().detail


def test_form_without_its_token_asks_for_nothing(mailed: MailedFor) -> None:
    grower = mailed()
    grower.person.open()
    for sent in ({}, {"csrf_token": "forged"}):
        answer = grower.person.session.post(f"{grower.person.link}/new-link", data=sent)
        assert answer.status_code == 400
        assert Page.of(answer).heading == "Please open the page again"
    assert grower.rows() == []


def test_while_mail_is_off_the_page_offers_nothing(mailed: MailedFor, stack: Stack) -> None:
    grower = mailed()
    form = grower.person.open().form_to("/new-link")
    assert form
    kept = {name: stack.environment.pop(name) for name in ("MAIL_URL", "MAIL_FROM")}
    stack.stop(WEB)
    try:
        stack.start_web()
        pages = [grower.person.open(), grower.person.submit(form)]
        for page in pages:
            assert (page.status, page.heading, page.forms) == (410, EXPIRED, [])
            assert "for your protection. Ask for a new one." in page.text
        assert grower.rows() == []
    finally:
        stack.environment.update(kept)
        stack.stop(WEB)
        stack.start_web()


def _all_that_is_seen(grower: Person) -> list[tuple[int, dict[str, str], str]]:
    """All that the holder of the link is answered: before asking, on asking, and on asking again.

    Each as status, headers and body, without what is different each time for everybody.
    """
    before = len(grower.answers)
    grower.open()
    grower.press(SEND)
    grower.open(grower.page.url)
    grower.open()
    grower.press(SEND)
    return [_without_tokens(answer, grower) for answer in grower.answers[before:]]


def _without_tokens(answer: requests.Response, grower: Person) -> tuple[int, dict[str, str], str]:
    token = grower.link.rpartition("/")[2]
    headers = {
        name: value.replace(token, "LINK")
        for name, value in answer.headers.items()
        if name not in {"Date", "Content-Length", "Set-Cookie"}
    }
    body = CSRF_TOKEN.sub("CSRF", answer.text.replace(token, "LINK"))
    return answer.status_code, headers, body


def _link_of(grower: Mailed) -> Link:
    """The link in the first mail."""
    with grower.stack.installation.database.reading() as session:
        return session.get_one(Link, grower.rows()[0].link_id)


def _ended(stack: Stack, grower: Person) -> bool:
    query = sa.select(Mail.state).where(Mail.connection_id == grower.connection().id)
    with stack.installation.database.reading() as session:
        return session.scalar(query) is MailState.FAILED


def _let_an_hour_pass(grower: Mailed) -> None:
    for row in grower.rows():
        if row.kind is MailKind.NEW_LINK:
            _change(grower, row, created_at=row.created_at - timedelta(hours=1, minutes=1))


def _change(grower: Mailed, row: Mail, **values: Any) -> None:
    with grower.stack.installation.database.transaction() as session:
        session.execute(sa.update(Mail).where(Mail.id == row.id).values(**values))
