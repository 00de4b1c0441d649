"""Mails to growers, from the reason to the mailbox: real SMTP, as the sandbox's server takes it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
import requests

from onboarding.clock import now
from onboarding.states import Health, MailKind, MailState, Stage
from tests.support.control import Control
from tests.support.mailed import (
    Mailed,
    header,
    link_in,
    new_address,
    stop_by_program,
    stop_url_in,
)
from tests.support.people import People
from tests.support.stack import PARTNER, WORKER, Stack
from tests.support.wait import wait_until

MailedFor = Callable[..., Mailed]


@pytest.fixture
def mailed(stack: Stack, people: People) -> MailedFor:
    """Makes growers with an address."""

    def make(**more: Any) -> Mailed:
        return Mailed.invited(stack, people, **more)

    return make


def test_grower_is_invited_connects_loses_the_connection_and_connects_again(
    stack: Stack, people: People, control: Control
) -> None:
    address, partner = new_address(), f"prairie-{uuid4().hex[:8]}"
    people.partner(partner, name="Prairie Co-op", support_email="help@prairie.example")
    command = ("link", partner, "--external-id", partner, "--name", "Miller Creek", "--send")
    done = stack.cli(*command, "--email", address)

    wait_until(lambda: control.mails(address), what="the invitation has come")
    (invitation,) = control.mails(address)
    assert invitation["subject"] == "Prairie Co-op asks for your John Deere data"
    assert header(invitation, "Reply-To") == "Prairie Co-op <help@prairie.example>"
    assert link_in(invitation) == done.stdout.strip()
    grower = Mailed(stack, people.visitor(link_in(invitation), partner), address)

    connected = grower.connect()[-1]
    assert connected["subject"] == "Prairie Co-op: John Deere is connected"

    control.revoke("already-connected")
    grower.look_at_leaf()
    assert len(grower.deliver()) == 2, "not in the first hour"
    grower.let_time_pass()
    attention = grower.deliver()[-1]
    assert attention["subject"] == "Prairie Co-op: Please connect again"
    assert "John Deere no longer accepts the permission that you gave." in attention["text"]

    phone = people.visitor(link_in(attention), partner)
    assert phone.open().heading == "Please connect again"
    grower.person = phone
    phone.connect("one-farm")
    phone.wait_for_code("connected")
    grower.look_at_leaf()
    grower.let_time_pass()
    assert [one["subject"] for one in grower.deliver()] == [
        "Prairie Co-op asks for your John Deere data",
        "Prairie Co-op: John Deere is connected",
        "Prairie Co-op: Please connect again",
        "Prairie Co-op: John Deere is connected",
    ]
    kinds = [event.kind for event in phone.events() if event.kind.startswith("mail_")]
    assert kinds == ["mail_sent"] * 4


def test_trouble_that_lasts_is_told_once_a_week_and_three_times_in_all(mailed: MailedFor) -> None:
    grower = mailed()
    grower.connect()
    grower.leaf_says("UNAUTHENTICATED")
    for number in (1, 2, 3):
        waiting = grower.row()
        assert (waiting.state, waiting.number) == (MailState.WAITING, number)
        pause = timedelta(hours=1) if number == 1 else timedelta(days=7)
        assert waiting.due_at is not None
        assert abs(waiting.due_at - now() - pause) < timedelta(minutes=5)
        grower.look_at_leaf()  # hearing it again changes nothing
        grower.let_time_pass()
        grower.deliver()
    subjects = [one["subject"] for one in grower.mails()[1:]]
    assert subjects == [
        "Demo Co-op: Please connect again",
        "Reminder of Demo Co-op: Please connect again",
        "Reminder of Demo Co-op: Please connect again",
    ]
    assert "This is the last mail about it." in grower.mails()[-1]["text"]
    assert len({link_in(one) for one in grower.mails()}) == 4, "a link for each mail"
    grower.look_at_leaf()
    assert not [row for row in grower.rows() if row.state is MailState.WAITING]


def test_trouble_that_ends_within_the_hour_is_not_written_about(mailed: MailedFor) -> None:
    grower = mailed()
    grower.connect()
    grower.leaf_says("UNAUTHENTICATED")
    grower.leaf_says("OK")
    grower.let_time_pass()
    assert len(grower.deliver()) == 1
    assert [row.kind for row in grower.rows()] == [MailKind.CONNECTED]


def test_new_trouble_within_the_week_waits_for_its_end(mailed: MailedFor) -> None:
    grower = mailed()
    grower.connect()
    for _ in range(2):
        grower.leaf_says("MISSING_PERMISSION")
        if grower.rows()[-1].state is MailState.WAITING and len(grower.mails()) == 1:
            grower.let_time_pass()
            assert grower.deliver()[-1]["subject"] == "Demo Co-op: A permission is missing"
            grower.leaf_says("OK")
    due = grower.row().due_at
    assert due is not None
    assert due > now() + timedelta(days=6)
    assert grower.row().number == 1


@pytest.mark.parametrize("status", ["TEMPORARILY_UNAVAILABLE", "SOMETHING_NEW"])
def test_what_asks_nothing_of_the_grower_is_not_written_about(
    mailed: MailedFor, status: str
) -> None:
    grower = mailed()
    grower.connect()
    grower.leaf_says(status)
    assert len(grower.rows()) == 1


def test_grower_who_is_at_it_or_whose_turn_it_is_no_more_is_asked_later(
    mailed: MailedFor, control: Control
) -> None:
    grower = mailed()
    grower.connect()
    grower.leaf_says("UNAUTHENTICATED")
    grower.leaf_says("TEMPORARILY_UNAVAILABLE")
    grower.let_time_pass()
    assert len(grower.deliver()) == 1
    control.add_fault("leaf.status", "status", status=503)
    grower.change(health=Health.UNAUTHENTICATED, failed_checks=1)
    grower.let_time_pass()
    assert len(grower.deliver()) == 1
    grower.change(failed_checks=0)
    grower.let_time_pass()
    assert grower.deliver()[-1]["subject"] == "Demo Co-op: Please connect again"


def test_disconnected_grower_is_left_alone(mailed: MailedFor) -> None:
    grower = mailed()
    grower.connect()
    grower.leaf_says("UNAUTHENTICATED")
    grower.change(stage=Stage.DISCONNECTED)
    grower.let_time_pass()
    assert len(grower.deliver()) == 1
    assert grower.row().kind is MailKind.CONNECTED


def test_grower_without_an_address_gets_no_mail_and_none_is_owed(
    stack: Stack, people: People
) -> None:
    grower = Mailed(stack, people.invited(), "nobody@farm.example")
    grower.connect()
    grower.leaf_says("UNAUTHENTICATED")
    assert grower.rows() == []


def test_mail_program_stops_the_mails_with_one_click_and_the_page_sends_them_again(
    mailed: MailedFor, people: People
) -> None:
    grower = mailed()
    (connected,) = grower.connect()
    answer = stop_by_program(connected)
    assert answer.status_code == 200
    assert "No more mails" in answer.text
    assert stop_by_program(connected).status_code == 200

    grower.leaf_says("UNAUTHENTICATED")
    grower.let_time_pass()
    assert len(grower.deliver()) == 1
    assert grower.row().state is MailState.NOT_SENT
    assert "the grower wants no such mails" in grower.row().detail

    reader = people.visitor(stop_url_in(connected))
    assert reader.open().heading == "No more mails"
    assert "Maple Farm" not in reader.page.html
    assert reader.press("Send me such mails again").heading == "Stop these mails?"
    assert reader.press("Stop these mails").heading == "No more mails"
    kinds = [event.kind for event in grower.person.events() if event.who == "grower"]
    assert kinds[-3:] == ["mails_stopped", "mails_resumed", "mails_stopped"]


def test_invitation_by_staff_comes_in_spite_of_a_stop(mailed: MailedFor, stack: Stack) -> None:
    grower = mailed()
    stop_by_program(grower.connect()[0])
    command = ("link", PARTNER, "--external-id", grower.person.external_id, "--name", "Maple Farm")
    stack.cli(*command, "--send")
    wait_until(lambda: len(grower.mails()) == 2, what="the link has come")
    assert grower.mails()[-1]["subject"] == "Demo Co-op: your link to the John Deere connection"
    assert "Connected" in grower.mails()[-1]["text"]


def test_forged_address_stops_nothing_and_tells_nothing(mailed: MailedFor, stack: Stack) -> None:
    grower = mailed()
    (connected,) = grower.connect()
    token = link_in(connected).rpartition("/")[2]  # signed by us, for something else
    for forged in (token, "x", stop_url_in(connected).split("/")[-2][:-1]):
        url = f"{stack.public_url}/m/{forged}/stop"
        for answer in (requests.get(url, timeout=30), requests.post(url, timeout=30)):
            assert answer.status_code == 404
            assert "This link is not complete" in answer.text
    assert not grower.person.events("mails_stopped")


def test_token_for_stopping_opens_no_page_of_a_grower(mailed: MailedFor, stack: Stack) -> None:
    (connected,) = mailed().connect()
    token = stop_url_in(connected).split("/")[-2]
    assert requests.get(f"{stack.public_url}/c/{token}", timeout=30).status_code == 404


@pytest.mark.parametrize(
    ("where", "kind", "status"),
    [
        ("mail.connect", "status", 421),
        ("mail.connect", "reset", None),
        ("mail.sender", "status", 550),
        ("mail.recipient", "status", 450),
        ("mail.data", "status", 451),
        ("mail.data", "reset", None),
    ],
)
def test_mail_that_is_not_taken_now_comes_later(
    mailed: MailedFor, control: Control, where: str, kind: str, status: int | None
) -> None:
    grower = mailed()
    control.add_fault(where, kind, times=1, status=status)
    grower.person.connect("already-connected")
    grower.person.wait_for_code("connected")
    grower.look_at_leaf()
    grower.sweep()
    wait_until(lambda: grower.row().detail, what="the mail was not taken")
    assert grower.row().state is MailState.WAITING
    grower.let_time_pass()
    assert len(grower.deliver()) == 1
    assert grower.row().state is MailState.SENT
    assert grower.row().detail == ""


@pytest.mark.parametrize("where", ["mail.recipient", "mail.data"])
def test_mail_that_is_refused_for_good_is_tried_once_and_staff_see_it(
    mailed: MailedFor, control: Control, stack: Stack, where: str
) -> None:
    grower = mailed()
    why = f"No such user {grower.address} here"
    control.add_fault(where, "status", status=550, body=why)
    grower.person.connect("already-connected")
    grower.person.wait_for_code("connected")
    grower.look_at_leaf()
    assert grower.deliver() == []
    assert grower.row().state is MailState.FAILED
    reference = grower.person.connection().reference
    listed = stack.cli("mail", "list").stdout
    assert f"{reference}  {PARTNER}/{grower.person.external_id}" in listed
    assert "550 No such user *** here" in listed
    assert grower.address not in listed + stack.log(WORKER)
    shown = stack.cli("connection", "show", reference).stdout
    assert "mail connected.failed" in shown
    control.clear_faults()
    command = ("link", PARTNER, "--external-id", grower.person.external_id, "--name", "Maple Farm")
    stack.cli(*command, "--send")
    wait_until(grower.mails, what="the link has come")
    assert reference not in stack.cli("mail", "list").stdout


def test_address_that_is_refused_is_left_alone_until_staff_give_another(
    mailed: MailedFor, control: Control, stack: Stack
) -> None:
    grower = mailed()
    gone = {"recipient": grower.address}
    why = f"5.1.1 <{grower.address}> No such user"
    control.add_fault("mail.recipient", "status", status=550, body=why, match=gone)
    assert grower.connect() == []
    assert [row.state for row in grower.rows()] == [MailState.FAILED]
    reference = grower.person.connection().reference
    shown = stack.cli("connection", "show", reference).stdout
    assert "the mail server refused the address on" in shown
    assert "address_refused" in shown
    assert grower.address not in shown + stack.log(WORKER)

    grower.leaf_says("UNAUTHENTICATED")
    grower.let_time_pass()
    assert grower.deliver() == []
    assert len(grower.rows()) == 1, "no other mail is even tried"
    assert control.faults()[0]["struck"] == 1
    assert reference in stack.cli("mail", "list").stdout

    address = new_address()
    command = ("link", PARTNER, "--external-id", grower.person.external_id, "--name", "Maple Farm")
    stack.cli(*command, "--email", address)
    grower.address = address
    grower.look_at_leaf()
    grower.let_time_pass()
    (attention,) = grower.deliver()
    assert attention["subject"] == "Demo Co-op: Please connect again"
    assert reference not in stack.cli("mail", "list").stdout


def test_answer_that_is_lost_doubles_the_mail_once_under_the_same_id(
    mailed: MailedFor, control: Control
) -> None:
    grower = mailed()
    control.add_fault("mail.data", "reset", when="after", times=1)
    grower.person.connect("already-connected")
    grower.person.wait_for_code("connected")
    grower.look_at_leaf()
    grower.sweep()
    wait_until(lambda: grower.row().detail, what="the answer was lost")
    grower.let_time_pass()
    first, second = grower.deliver()
    assert header(first, "Message-ID") == header(second, "Message-ID")
    assert link_in(first) == link_in(second)


@pytest.mark.parametrize("when", ["before", "after"])
def test_worker_that_is_killed_while_it_sends_loses_no_mail_and_doubles_at_most_one(
    mailed: MailedFor, control: Control, stack: Stack, when: str
) -> None:
    growers = [mailed() for _ in range(3)]
    held = growers[1]
    control.add_fault("mail.data", "hang", when=when, match={"recipient": held.address})
    for grower in growers:
        grower.person.connect("already-connected")
        grower.person.wait_for_code("connected")
        grower.look_at_leaf()
    held.sweep()
    wait_until(lambda: control.faults()[0]["struck"], what="the mail is being sent")
    stack.kill(WORKER)
    control.clear_faults()
    stack.start_worker()
    wait_until(lambda: held.row().state is MailState.SENT, what="the mail is sent", limit=180)
    for grower in growers:
        grower.deliver()
    assert [len(grower.mails()) for grower in (growers[0], growers[2])] == [1, 1]
    assert 1 <= len(held.mails()) <= 2
    assert len({header(one, "Message-ID") for one in held.mails()}) == 1


def test_mail_server_that_is_silent_holds_up_no_hand_over(
    mailed: MailedFor, control: Control
) -> None:
    control.add_fault("mail.connect", "hang")
    for _ in range(6):  # more than are sent at once
        grower = mailed()
        grower.person.connect("already-connected")
        grower.person.wait_for_code("connected")
        grower.look_at_leaf()
        grower.sweep()
    control.clear_faults()
    grower.look_at_leaf()
    wait_until(grower.mails, what="the last mail has come")


def test_nothing_of_a_link_is_stored_or_logged(
    mailed: MailedFor, stack: Stack, control: Control
) -> None:
    from tests.support.contents import everything, forms

    grower = mailed()
    connected = grower.connect()[0]
    grower.leaf_says("UNAUTHENTICATED")
    control.add_fault("mail.data", "status", status=451, times=1, body=connected["text"][-400:])
    grower.let_time_pass()
    grower.sweep()
    wait_until(lambda: grower.row().detail, what="the mail was not taken")
    grower.let_time_pass()
    tokens = {link_in(one).rpartition("/")[2] for one in grower.deliver()}
    tokens.add(stop_url_in(connected).split("/")[-2])
    stored = everything(stack.installation.database.engine)
    logs = {name: log.encode() for name, log in stack.logs().items()}
    for place, content in (stored | logs).items():
        for token in tokens:
            assert not any(form in content for form in forms(token)), place
