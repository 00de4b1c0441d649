"""Months pass: the sandbox's clock is moved, and all processes follow at once."""

from __future__ import annotations

from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest
import sqlalchemy as sa

from onboarding import clock
from onboarding.clock import now
from onboarding.models import LeafEvent, Mail
from onboarding.states import Health, MailState, Stage
from tests.support.control import Control, points
from tests.support.mailed import Mailed, header, link_in, until_march
from tests.support.people import People, Person
from tests.support.stack import PARTNER, WORKER, Stack
from tests.support.wait import wait_until

HOUR, DAY, WEEK = timedelta(hours=1), timedelta(days=1), timedelta(days=7)
ACCOUNT = "already-connected"
TOLD_AFTER = "TROUBLE_VISIBLE_AFTER_MINUTES"
WORTH_WAITING_FOR = timedelta(minutes=5)
"""What is due by then is waited for; whatever comes later, the clock has to be moved for."""


def connected(people: People, **more: Any) -> Person:
    grower = people.invited(**more)
    grower.connect(ACCOUNT)
    grower.wait_for_code("connected")
    return grower


def until_checked(grower: Person, since: datetime) -> None:
    """Wait for the check that is due since then."""

    def is_checked() -> bool:
        checked = grower.connection().checked_at
        return checked is not None and checked > since

    wait_until(is_checked, what="Leaf has been asked")


def settle(grower: Person, control: Control) -> None:
    """Let days pass until Leaf is asked about the grower once a day."""
    for _ in range(8):
        control.move_clock(DAY + DAY / 2)
        until_checked(grower, now() - HOUR)


def test_link_that_nobody_opens_for_fifteen_days_has_expired(
    people: People, control: Control
) -> None:
    grower, late = people.invited(), people.invited()
    control.move_clock(13 * DAY)
    assert grower.open().status == 200
    assert grower.page.heading != "This link has expired"
    control.move_clock(2 * DAY)
    assert late.open().heading == "This link has expired"
    assert late.page.status == 410
    assert "Maple Farm" not in late.page.html


def test_attempt_that_a_grower_left_open_is_over_after_the_move(
    people: People, control: Control
) -> None:
    grower = people.invited()
    callback = grower.until_callback(ACCOUNT)
    assert grower.connection().stage is Stage.AUTHORIZING
    control.move_clock(HOUR)
    wait_until(
        lambda: grower.connection().stage is Stage.INVITED, what="the sweep has ended the attempt"
    )
    assert grower.open(callback).heading == "That took too long"
    assert grower.connection().stage is Stage.INVITED


def test_connection_that_is_left_alone_is_checked_once_a_day(
    people: People, control: Control
) -> None:
    grower = connected(people)
    settle(grower, control)
    due = grower.connection().check_due_at
    assert due is not None
    assert due > now() + DAY / 2
    seen = control.last_seq()
    control.move_clock(DAY / 2)
    assert grower.connection().check_due_at == due, "not yet"
    control.move_clock(DAY)
    asked = control.wait_for(
        lambda one: one["point"] == "leaf.status" and one["external_id"] == grower.external_id,
        what="Leaf is asked",
        after=seen,
    )
    assert asked["status"] == 200
    # Its token of 24 hours has expired as well, and nobody had to be refused to find that out.
    entries = control.journal(after=seen)
    assert "leaf.authenticate" in points(entries)
    assert {one["status"] for one in entries if one["point"].startswith("leaf.")} == {200}


def test_pause_is_told_once_it_has_lasted_and_its_end_is_a_repair(
    people: People, control: Control
) -> None:
    grower = connected(people)
    leaf_says(grower, control, Health.TEMPORARILY_UNAVAILABLE)
    assert grower.open().heading == "Connected"
    control.move_clock(timedelta(minutes=12))
    assert grower.open().heading == "Connected"
    control.move_clock(timedelta(minutes=4))
    assert grower.open().heading == "A pause at John Deere"
    leaf_says(grower, control, Health.OK)
    assert grower.open().heading == "Connected"
    assert grower.events("repaired")


def test_how_long_a_pause_lasts_before_it_is_told_can_be_set(
    stack: Stack, people: People, control: Control
) -> None:
    grower = connected(people)
    stack.environment[TOLD_AFTER] = "0"
    try:
        stack.kill(WORKER)
        stack.start_worker()
        leaf_says(grower, control, Health.TEMPORARILY_UNAVAILABLE)
        assert grower.open().heading == "A pause at John Deere"
    finally:
        del stack.environment[TOLD_AFTER]
        stack.kill(WORKER)
        stack.start_worker()


def leaf_says(grower: Person, control: Control, word: Health) -> None:
    """Let Leaf say something, and be asked."""
    user = grower.connection().grower.leaf_user_id
    assert user is not None
    control.set_leaf_status(user, word)
    control.move_clock(2 * HOUR if word is Health.OK else timedelta(minutes=2))
    wait_until(lambda: grower.connection().health is word, what="Leaf has been asked")


def test_trouble_is_told_at_once_then_weekly_three_times_in_all_and_never_again(
    stack: Stack, people: People, control: Control
) -> None:
    grower = Mailed.invited(stack, people)
    grower.person.connect(ACCOUNT)
    grower.person.wait_for_code("connected")
    wait_until(grower.mails, what="the mail that says so has come")
    settle(grower.person, control)
    control.revoke(ACCOUNT)
    revoked_at = now()
    pass_time(grower, 2 * DAY)
    assert grower.person.connection().health is Health.UNAUTHENTICATED
    for _ in range(4):
        pass_time(grower, HOUR)
    assert len(told(grower)) == 1, "once at first"
    for _ in range(12):  # weeks
        pass_time(grower, WEEK - HOUR)
        pass_time(grower, HOUR)
    assert [one["subject"] for one in told(grower)] == [
        "Demo Co-op: Please connect again",
        "Reminder of Demo Co-op: Please connect again",
        "Reminder of Demo Co-op: Please connect again",
    ]
    moments = [datetime.fromisoformat(one["received"]) for one in told(grower)]
    assert revoked_at < moments[0] < revoked_at + 3 * DAY
    pauses = [later - earlier for earlier, later in pairwise(moments)]
    assert all(WEEK <= pause < WEEK + DAY for pause in pauses), pauses
    for mail, moment in zip(told(grower), moments, strict=True):
        assert moment.strftime("%d %b %Y") in header(mail, "Date")


def test_grower_revokes_in_march_and_leaf_notices_in_the_night(
    stack: Stack, people: People, control: Control
) -> None:
    stack.cli("leaf", "alerts", "register")
    grower = Mailed.invited(stack, people)
    grower.person.connect(ACCOUNT)
    grower.person.wait_for_code("connected")
    wait_until(grower.mails, what="the mail that says so has come")
    control.move_clock(until_march(hour=20))
    until_checked(grower.person, now() - HOUR)
    assert grower.person.connection().health is Health.OK

    control.set_policies(leaf_finds_out_after_seconds=6 * 3600)
    control.revoke(ACCOUNT)
    grower.look_at_leaf()
    assert grower.person.connection().health is Health.OK, "Leaf does not know yet"
    pass_time(grower, 7 * HOUR)
    wait_until(
        lambda: grower.person.connection().health is Health.UNAUTHENTICATED,
        what="Leaf's alert has made us look",
    )
    assert (grower.person.connection().health_since or now()).hour == 3
    pass_time(grower, 2 * HOUR)
    (mail,) = told(grower)
    assert mail["subject"] == "Demo Co-op: Please connect again"

    pass_time(grower, 5 * HOUR)
    phone = people.visitor(link_in(mail), grower.person.external_id)
    assert phone.open().heading == "Please connect again"
    phone.connect(ACCOUNT)
    phone.wait_for_code("connected")
    wait_until(lambda: len(grower.mails()) == 3, what="the mail that it works again has come")
    pass_time(grower, 30 * DAY)
    assert [one["subject"] for one in told(grower)] == [
        "Demo Co-op: Please connect again",
        "Demo Co-op: John Deere is connected",
    ]
    assert len(phone.at_leaf()) == 1
    shown = stack.cli("connection", "show", phone.connection().reference).stdout
    assert "repaired" in shown
    assert "alert_received" in shown


def pass_time(grower: Mailed, by: timedelta) -> None:
    """Let time pass, and the workers do what falls due in it by themselves."""
    grower.stack.control.move_clock(by)
    moved = now()
    if by >= DAY + DAY / 2:
        until_checked(grower.person, moved - WORTH_WAITING_FOR)
    wait_until(lambda: not waiting(grower), what="what is due has been done", limit=90)


def waiting(grower: Mailed) -> list[Mail]:
    due = now() + WORTH_WAITING_FOR
    return [row for row in grower.rows() if row.due_at is not None and row.due_at < due]


def told(grower: Mailed) -> list[dict[str, Any]]:
    """The mails about the trouble."""
    assert all(row.state in {MailState.SENT, MailState.WAITING} for row in grower.rows())
    return grower.mails()[1:]


def test_copies_of_leafs_events_are_erased_after_four_hundred_days(
    stack: Stack, people: People, control: Control
) -> None:
    grower = connected(people)
    control.move_clock(8 * DAY)  # they are copied weekly
    wait_until(lambda: copies(stack, grower), what="the events are copied")
    control.move_clock(398 * DAY)
    until_checked(grower, now() - HOUR)
    assert copies(stack, grower)
    control.move_clock(3 * DAY)
    wait_until(lambda: not copies(stack, grower), what="they are erased")
    # Leaf has forgotten them long ago, so that they do not come again.
    control.move_clock(8 * DAY)
    until_checked(grower, now() - HOUR)
    wait_until(
        lambda: (grower.connection().events_copied_at or clock.real()) > now() - HOUR,
        what="Leaf was asked for its events",
    )
    assert copies(stack, grower) == 0


def copies(stack: Stack, grower: Person) -> int:
    query = sa.select(sa.func.count()).where(LeafEvent.connection_id == grower.connection().id)
    with stack.installation.database.reading() as session:
        return session.scalar(query) or 0


def test_hand_over_that_waits_for_its_next_try_waits_no_longer_than_the_clock_says(
    people: People, control: Control
) -> None:
    grower = people.invited()
    control.add_fault("leaf.credentials.create", "status", status=503, match={"account": ACCOUNT})
    grower.connect(ACCOUNT)
    wait_until(lambda: grower.connection().waiting_since, what="the hand-over waits for Leaf")
    control.move_clock(HOUR)
    wait_until(
        lambda: (grower.connection().hand_over_due_at or now()) > now() + WORTH_WAITING_FOR,
        what="the next try comes in a quarter of an hour",
    )
    control.clear_faults()
    control.move_clock(HOUR)
    grower.wait_for_code("connected", limit=120)


@pytest.mark.parametrize("days", [1, 31])
def test_every_process_tells_the_same_time(
    stack: Stack, people: People, control: Control, days: int
) -> None:
    grower = connected(people)
    control.move_clock(days * DAY)
    told = stack.cli("doctor", check=False).stdout
    assert f"Its clock is ahead of the real time, in days: {days}." in told
    assert "Workers running: 1." in told, "its heartbeats have not grown old"
    until_checked(grower, now() - HOUR)
    made = stack.cli("link", PARTNER, "--external-id", f"late-{days}", "--name", "Late Farm").stdout
    control.move_clock(13 * DAY)
    assert people.visitor(made.strip()).open().status == 200
    assert abs(now() - clock.real() - (days + 13) * DAY) < HOUR


def test_reset_of_the_sandbox_brings_the_real_time_back_to_all(
    stack: Stack, people: People, control: Control
) -> None:
    control.move_clock(100 * DAY)
    early = people.invited()
    control.reset()
    assert abs(now() - clock.real()) < HOUR
    assert "Its clock" not in stack.cli("doctor", check=False).stdout
    grower = connected(people)
    until_checked(grower, clock.real() - HOUR)
    assert (grower.connection().checked_at or now() + DAY) < clock.real() + HOUR
    assert early.open().heading != "This link has expired"
