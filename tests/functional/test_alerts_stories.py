"""Leaf tells us of trouble: registered by staff, delivered somehow, and found out in any case."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest
import sqlalchemy as sa

from onboarding.clock import now
from onboarding.models import LeafEvent, SeenAlert
from tests.functional.sandbox.support import Owner
from tests.support.control import Control
from tests.support.people import People, Person
from tests.support.stack import WEB, WORKER, Stack
from tests.support.tokens import assert_no_token_stored, change
from tests.support.wait import wait_until

ACCOUNT = "already-connected"
GONE, LIMITED = "credentialsUnauthenticated", "credentialsLimitedPermission"
WEBHOOKS = "/services/alerts/api/alerts/webhooks"
FAILED_CALLS = "leaf.webhooks.failed"
GIVEN_UP_SECONDS = 60.0
HOURS = timedelta(hours=6)


@pytest.fixture
def grower(stack: Stack, people: People) -> Person:
    """One whose connection works, and about whom Leaf would not be asked for hours."""
    grower = people.invited()
    grower.connect(ACCOUNT)
    grower.wait_for_code("connected")
    connection = grower.connection()
    later = {"check_number": connection.check_number + 1, "check_due_at": now() + HOURS}
    change(stack, connection, **later)
    return grower


def received(grower: Person) -> list[dict[str, str]]:
    return [event.data for event in grower.events("alert_received")]


def secret(stack: Stack) -> str:
    return stack.environment["LEAF_ALERT_SECRET"]


@pytest.mark.usefixtures("registered")
def test_access_withdrawn_at_john_deere_is_told_at_once_and_staff_see_why(
    stack: Stack, control: Control, grower: Person
) -> None:
    control.revoke(ACCOUNT)
    grower.wait_for_code("reconnect")
    assert received(grower) == [{"type": GONE}]

    reference = grower.connection().reference

    def shown() -> str:
        text = stack.cli("connection", "show", reference).stdout
        return text if "invalid_grant" in text else ""

    text = wait_until(shown, what="staff see what John Deere answered Leaf")
    lines = text.splitlines()
    assert "Whose turn: grower." in lines[1]
    assert f"system alert_received type={GONE}" in text
    assert 'leaf John Deere answered Leaf: HTTP 400 {"error": "invalid_grant"}' in text
    assert "access_token" in text  # of the event before, and its value masked
    assert secret(stack) not in text
    assert_no_token_stored(stack, ACCOUNT)

    # The grower connects again, and the old history is still there.
    grower.open()
    grower.start()
    grower.wait_for_code("connected")
    assert "invalid_grant" in stack.cli("connection", "show", reference).stdout


@pytest.mark.usefixtures("registered")
def test_alert_that_comes_twice_is_written_down_once(control: Control, grower: Person) -> None:
    control.set_policies(leaf_alerts="twice")
    control.revoke(ACCOUNT)
    grower.wait_for_code("reconnect")
    wait_until(
        lambda: [alert["status"] for alert in control.alerts(GONE)] == [204, 204],
        what="both were delivered",
    )
    assert received(grower) == [{"type": GONE}]


@pytest.mark.usefixtures("registered")
def test_alerts_in_another_order_end_with_what_is_true(control: Control, grower: Person) -> None:
    control.set_policies(leaf_alerts="out_of_order", leaf_alert_minute_ms=5000)
    leaf_user_id = grower.connection().grower.leaf_user_id or ""
    control.set_leaf_status(leaf_user_id, "MISSING_PERMISSION")
    control.set_leaf_status(leaf_user_id, "UNAUTHENTICATED")
    grower.wait_for_code("reconnect")
    wait_until(lambda: len(received(grower)) == 2, what="both arrived")
    assert received(grower) == [{"type": GONE}, {"type": LIMITED}]
    assert grower.state()["code"] == "reconnect"


@pytest.mark.usefixtures("registered")
def test_alert_is_delivered_once_web_is_back(
    stack: Stack, control: Control, grower: Person
) -> None:
    control.set_policies(leaf_alert_minute_ms=100)
    stack.kill(WEB)
    control.revoke(ACCOUNT)
    wait_until(
        lambda: control.alerts(GONE)[:1] and control.alerts(GONE)[0]["attempts"],
        what="an attempt failed",
    )
    stack.start_web()
    grower.wait_for_code("reconnect")
    wait_until(
        lambda: not control.alerts(GONE)[0]["waits"],
        what="Leaf tried again, which may be after a worker has looked",
        limit=GIVEN_UP_SECONDS,
    )
    assert received(grower) == [{"type": GONE}]


@pytest.mark.usefixtures("registered")
def test_alert_that_leaf_gave_up_is_found_when_a_worker_starts(
    stack: Stack, control: Control, grower: Person
) -> None:
    control.set_policies(leaf_alert_minute_ms=1)
    stack.stop(WORKER)
    stack.kill(WEB)
    control.revoke(ACCOUNT)
    wait_until(
        lambda: [alert["waits"] for alert in control.alerts(GONE)] == [False],
        what="Leaf has given up",
        limit=GIVEN_UP_SECONDS,
    )
    stack.start_web()
    assert grower.state()["code"] == "connected"
    stack.start_worker()
    grower.wait_for_code("reconnect")
    assert received(grower) == [{"type": GONE, "found": "among the calls that failed"}]

    # And no more often, however often workers start.
    number = grower.connection().check_number
    asked = control.last_seq()
    stack.stop(WORKER)
    stack.start_worker()
    control.wait_for(
        lambda entry: entry["point"] == FAILED_CALLS, what="it is read again", after=asked
    )
    assert len(received(grower)) == 1
    assert grower.connection().check_number >= number


@pytest.mark.usefixtures("registered")
def test_worker_that_cannot_read_failed_calls_works_all_the_same(
    stack: Stack, control: Control, people: People
) -> None:
    control.add_fault(FAILED_CALLS, "status", status=403)
    stack.stop(WORKER)
    stack.start_worker()
    wait_until(lambda: "Leaf's failed calls were not read" in stack.log(WORKER), what="it says so")
    grower = people.invited()
    grower.connect(ACCOUNT)
    grower.wait_for_code("connected")


@pytest.mark.usefixtures("registered")
def test_alert_taken_while_the_worker_is_dead_waits_for_the_next(
    stack: Stack, control: Control, grower: Person
) -> None:
    stack.kill(WORKER)
    control.revoke(ACCOUNT)
    wait_until(lambda: received(grower), what="the alert has arrived")
    assert grower.state()["code"] == "connected"
    stack.start_worker()
    grower.wait_for_code("reconnect")


def test_what_was_kept_long_enough_is_deleted(stack: Stack, people: People) -> None:
    connection = people.invited().connection()
    moments = {"old": now() - timedelta(days=400, minutes=1), "new": now() - timedelta(days=399)}
    with stack.installation.database.transaction() as session:
        for name, moment in moments.items():
            session.add(
                LeafEvent(
                    connection_id=connection.id,
                    leaf_id=name,
                    at=moment,
                    body="",
                    copied_at=moment,
                )
            )
            session.add(SeenAlert(digest=name.encode(), received_at=moment))

    def left() -> tuple[list[str], int]:
        of_it = sa.select(LeafEvent.leaf_id).where(LeafEvent.connection_id == connection.id)
        alerts = sa.select(SeenAlert).where(SeenAlert.digest.in_([b"old", b"new"]))
        with stack.installation.database.reading() as session:
            return list(session.scalars(of_it)), len(session.scalars(alerts).all())

    wait_until(lambda: left() == (["new"], 0), what="a sweep has deleted the old ones")


def test_staff_register_list_and_remove(stack: Stack, control: Control) -> None:
    url = f"{stack.public_url}/leaf/alerts"
    empty = stack.cli("leaf", "alerts", "list")
    assert (empty.stdout, "leaf alerts register" in empty.stderr) == ("", True)

    first = stack.cli("leaf", "alerts", "register")
    assert f"Registered: {GONE}, {LIMITED}, providerOrganization" in first.stdout
    assert first.stderr == ""
    wait_until(
        lambda: [ping["status"] for ping in control.alerts("ping")] == [204, 204],
        what="Leaf's pings are answered",
    )
    assert stack.cli("leaf", "alerts", "register").stdout.startswith(f"Registered before: {GONE}")

    listed = stack.cli("leaf", "alerts", "list")
    assert [line.split()[1:3] for line in listed.stdout.splitlines()] == [["ours", url]] * 2
    doctor = stack.cli("doctor", check=False)
    assert f"ok    Leaf sends its alerts to {url}." in doctor.stdout

    webhook_id = listed.stdout.split()[0]
    assert stack.cli("leaf", "alerts", "remove", webhook_id).stderr == "Removed: 1.\n"
    again = stack.cli("leaf", "alerts", "remove", webhook_id, check=False)
    assert (again.returncode, "Leaf has no webhook" in again.stderr) == (1, True)
    assert stack.cli("leaf", "alerts", "remove").stderr == "Removed: 1.\n"
    assert stack.cli("leaf", "alerts", "list").stdout == ""
    for done in (first, listed, doctor):
        assert secret(stack) not in done.stdout + done.stderr


def test_event_that_somebody_else_has_is_explained(stack: Stack, control: Control) -> None:
    owner = Owner(stack.sandbox_url)
    theirs = "https://hooks.other.example/x?key=theirs-secret"
    body = {"name": "billing", "url": theirs, "secret": "theirs-secret", "events": [GONE]}
    webhook_id = owner.call("POST", WEBHOOKS, json=body).json()["id"]

    done = stack.cli("leaf", "alerts", "register", check=False)
    assert done.returncode == 1
    assert f"Registered: {LIMITED}, " in done.stdout
    assert f"{GONE} is sent to https://hooks.other.example by webhook {webhook_id}" in done.stderr
    assert "leaf alerts remove ID" in done.stderr
    listed = stack.cli("leaf", "alerts", "list").stdout
    assert f"{webhook_id}  other  https://hooks.other.example  {GONE}" in listed
    assert "theirs-secret" not in done.stderr + listed

    stack.cli("leaf", "alerts", "remove", webhook_id)
    assert f"Registered: {GONE}\n" in stack.cli("leaf", "alerts", "register").stdout


def test_new_secret_replaces_the_webhooks(stack: Stack, control: Control) -> None:
    stack.cli("leaf", "alerts", "register")
    old = secret(stack)
    stack.environment["LEAF_ALERT_SECRET"] = "another-secret-of-24-chars"
    try:
        assert stack.cli("leaf", "alerts", "list").stderr.count("with another secret") == 2
        assert stack.cli("leaf", "alerts", "register").stdout.startswith(f"Registered: {GONE}")
    finally:
        stack.environment["LEAF_ALERT_SECRET"] = old
    held = Owner(stack.sandbox_url).call("GET", WEBHOOKS).json()
    assert {webhook["secret"] for webhook in held} == {"another-secret-of-24-chars"}


def test_registering_without_a_secret_says_how_to_make_one(stack: Stack) -> None:
    old = stack.environment.pop("LEAF_ALERT_SECRET")
    try:
        done = stack.cli("leaf", "alerts", "register", check=False)
    finally:
        stack.environment["LEAF_ALERT_SECRET"] = old
    assert done.returncode == 1
    assert "Make one with flask --app wsgi keys new" in done.stderr
    assert json.loads(Owner(stack.sandbox_url).call("GET", WEBHOOKS).text) == []


def test_wrong_password_at_leaf_is_one_line(stack: Stack) -> None:
    old = stack.environment["LEAF_PASSWORD"]
    stack.environment["LEAF_PASSWORD"] = "not-the-password"
    try:
        for command in ("register", "list", "remove"):
            done = stack.cli("leaf", "alerts", command, check=False)
            assert (done.returncode, len(done.stderr.splitlines())) == (1, 1)
            assert "HTTP 401" in done.stderr
            assert "not-the-password" not in done.stderr
    finally:
        stack.environment["LEAF_PASSWORD"] = old
