"""What Leaf says of a connection, in both forms of its answers, and what the page makes of it."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from datetime import timedelta

import pytest
import requests

from onboarding import describe
from onboarding.clock import now
from onboarding.states import Cause, Environment, Health, Stage
from tests.support.control import Control, points
from tests.support.people import People, Person
from tests.support.stack import PARTNER, WORKER, Stack
from tests.support.tokens import change
from tests.support.wait import wait_until

CREDENTIALS = "/services/usermanagement/api/users/{}/john-deere-credentials"
SELECTIVE = f"{PARTNER}-selective"


@pytest.fixture
def fresh_worker(stack: Stack) -> Iterator[None]:
    """A worker that has learned nothing of Leaf yet; what it learns is forgotten afterwards."""
    stack.kill(WORKER)
    stack.start_worker()
    yield
    stack.kill(WORKER)


def test_configuration_is_set_before_leaf_gets_the_credentials(
    people: People, control: Control, stack: Stack
) -> None:
    stack.cli("partner", "add", SELECTIVE, "--name", "Picky Co-op", "--select-organizations")
    grower = people.invited(partner=SELECTIVE)
    grower.connect("already-connected")
    grower.wait_for_code("connected")
    asked = points(control.journal(external_id=grower.external_id))
    assert asked.index("leaf.config") < asked.index("leaf.credentials.create")
    assert _configuration(stack, grower) == '{"organizationDataSync": "SELECTED_ONLY"}'
    grower.start(other_account=True)
    grower.sign_in("already-connected")
    grower.wait_for_code("connected")  # the configuration is there: it is changed, not made
    assert _configuration(stack, grower) == '{"organizationDataSync": "SELECTED_ONLY"}'


def test_without_that_wish_nothing_is_configured(people: People, control: Control) -> None:
    grower = people.invited()
    grower.connect("already-connected")
    grower.wait_for_code("connected")
    assert "leaf.config" not in points(control.journal(external_id=grower.external_id))


@pytest.mark.usefixtures("fresh_worker")
@pytest.mark.parametrize("answers", ["current", "older"])
def test_status_is_read_from_the_credentials_where_the_status_call_is_gone(
    people: People, control: Control, answers: str
) -> None:
    control.set_policies(leaf_status_endpoint="gone", leaf_answers=answers)
    grower = people.invited()
    grower.connect("already-connected")
    grower.wait_for_code("connected")
    _look_again(grower)
    asked = control.journal(external_id=grower.external_id, point="leaf.status")
    _leaf_says(grower, control, "UNAUTHENTICATED")
    grower.wait_for_code("reconnect")
    assert control.journal(external_id=grower.external_id, point="leaf.status") == asked


def test_older_answers_without_id_are_understood_and_replaced(
    people: People, control: Control
) -> None:
    control.set_policies(leaf_answers="older")
    grower = people.invited()
    grower.connect("already-connected")
    grower.wait_for_code("connected")
    assert grower.connection().leaf_credential_id is None
    (first,) = grower.at_leaf()
    _connect_again(grower, "already-connected")
    (second,) = grower.at_leaf()
    assert second["live"]
    assert second["refreshToken"] != first["refreshToken"]


def test_status_that_comes_later_is_waited_for_without_a_green_tick(
    people: People, control: Control
) -> None:
    control.set_policies(leaf_initial_status="absent")
    grower = people.invited()
    grower.connect("already-connected")
    page = grower.wait_for_code("checking")
    assert page.heading == "Leaf is checking your connection"
    assert page.refresh_seconds
    assert grower.connection().health is Health.UNKNOWN
    for _ in range(3):  # after at most as many looks Leaf shows it
        _look_again(grower)
    grower.wait_for_code("connected")


def test_status_that_nobody_knows_is_never_called_connected(
    people: People, control: Control
) -> None:
    grower = people.invited()
    grower.connect("already-connected")
    grower.wait_for_code("connected")
    _leaf_says(grower, control, "PARTLY_SUNNY")
    page = grower.wait_for_code("unknown_health")
    assert page.heading == "We are looking into your connection"
    assert "PARTLY_SUNNY" not in page.html
    row = grower.connection()
    assert (row.health, row.health_text) == (Health.UNKNOWN, "PARTLY_SUNNY")
    assert "Leaf says: PARTLY_SUNNY" in describe.for_staff(row)


def test_token_that_leaf_finds_bad_later_asks_to_connect_again(
    people: People, control: Control
) -> None:
    control.set_policies(leaf_bad_token="found_later")
    grower = people.invited()
    control.add_fault("leaf.users.list", "hang", match={"external_id": grower.external_id})
    grower.connect("already-connected")
    control.wait_for(lambda entry: entry["fault"] == "hang", what="Leaf is being asked")
    control.revoke("already-connected")
    control.clear_faults()
    page = grower.wait_for_code("reconnect")
    assert page.heading == "Please connect again"
    assert "No new data arrives until you connect again." in page.text
    _connect_again(grower, "already-connected")
    assert [one["live"] for one in grower.at_leaf()] == [True]


def test_token_that_leaf_refuses_at_once_is_for_staff_and_can_be_given_anew(
    people: People, control: Control
) -> None:
    grower = people.invited()
    control.add_fault("leaf.users.list", "hang", match={"external_id": grower.external_id})
    grower.connect("already-connected")
    control.wait_for(lambda entry: entry["fault"] == "hang", what="Leaf is being asked")
    control.revoke("already-connected")
    control.clear_faults()
    page = grower.wait_for_code("failed")
    assert page.heading == "Something went wrong on our side"
    assert "You did everything right." in page.text
    assert f"Reference code {grower.connection().reference}" in page.text
    why = describe.for_staff(grower.connection())
    assert "Leaf refused the credentials." in why
    assert "invalid_grant" in why
    assert grower.at_leaf() == []
    # Retrying a dead token helps nobody: once staff ask for it, the grower can connect again.
    grower.start()
    grower.wait_for_code("connected")
    assert [one["live"] for one in grower.at_leaf()] == [True]


def test_wrong_environment_is_told_to_staff_and_mended_by_a_retry(
    people: People, control: Control, stack: Stack
) -> None:
    detail = "clientEnvironment does not match the environment of the application."
    body = {"title": "Bad Request", "detail": detail}
    control.add_fault("leaf.credentials.create", "json", status=400, body=body)
    grower = people.invited()
    grower.connect("already-connected")
    page = grower.wait_for_code("failed")
    assert "STAGE" not in page.text
    row = grower.connection()
    assert (row.stage, row.cause) == (Stage.FAILED, Cause.ENVIRONMENT_MISMATCH)
    shown = stack.cli("connection", "show", row.reference).stdout
    assert "is DEERE_ENVIRONMENT (STAGE or PRODUCTION) that of the application" in shown
    control.clear_faults()
    stack.cli("connection", "retry", row.reference)
    grower.wait_for_code("connected")
    assert [one["clientEnvironment"] for one in grower.at_leaf()] == [Environment.STAGE]


def test_permission_withdrawn_at_john_deere_is_told_and_given_again(
    people: People, control: Control
) -> None:
    grower = people.invited()
    grower.connect("already-connected")
    grower.wait_for_code("connected")
    control.revoke("already-connected")
    _look_again(grower)
    page = grower.wait_for_code("reconnect")
    assert "No new data arrives until you connect again." in page.text
    assert "Leaf can fetch data Done" not in page.text
    _connect_again(grower, "already-connected")
    assert [one["live"] for one in grower.at_leaf()] == [True]


def test_credential_that_is_gone_at_leaf_asks_to_connect_again(
    people: People, stack: Stack
) -> None:
    grower = people.invited()
    grower.connect("already-connected")
    grower.wait_for_code("connected")
    _delete_at_leaf(stack, grower)
    _look_again(grower)
    page = grower.wait_for_code("credential_missing")
    assert page.heading == "Please connect again"
    assert grower.connection().cause is Cause.CREDENTIAL_MISSING
    _connect_again(grower, "already-connected")
    assert [one["live"] for one in grower.at_leaf()] == [True]


def test_missing_permission_leads_to_the_page_of_that_organization_and_is_mended_there(
    people: People,
) -> None:
    grower = people.invited()
    grower.connect("missing-permission")
    grower.wait_for_code("missing_permission")
    grower.press("Open John Deere’s page")
    assert "/connections-dialog?orgId=451001&" in grower.page.url
    assert "At the moment it may see only a part of Low Meadow Farm." in grower.page.text
    # Who saves without allowing more is told again.
    grower.choose({"Low Meadow Farm"})
    assert grower.page.url == grower.link
    assert grower.shared() == {"Low Meadow Farm"}
    wait_until(lambda: not grower.connection().sync_owed, what="Leaf has looked")
    grower.wait_for_code("missing_permission")
    grower.press("Open John Deere’s page")
    grower.choose()
    grower.wait_for_code("connected")
    assert grower.connection().health is Health.OK


def test_page_that_is_opened_with_an_old_answer_lets_leaf_be_asked_at_once(
    people: People, control: Control, stack: Stack
) -> None:
    grower = people.invited()
    grower.connect("already-connected")
    grower.wait_for_code("connected")
    grower.wait_for(lambda _: not grower.state()["polling"], what="nothing more is awaited")
    leaf_user_id = grower.connection().grower.leaf_user_id
    assert leaf_user_id
    control.set_leaf_status(leaf_user_id, "UNAUTHENTICATED")
    hours_ago = now() - timedelta(hours=2)
    change(
        stack,
        grower.connection(),
        check_due_at=now() + timedelta(hours=20),
        checked_at=hours_ago,
        handed_over_at=hours_ago,
        check_began_at=hours_ago,
    )
    assert grower.open().main["data-polling"] == "true"
    grower.wait_for_code("reconnect")
    # The next one, a moment later, asks nothing.
    number = grower.connection().check_number
    due = grower.connection().check_due_at
    grower.open()
    assert (grower.connection().check_number, grower.connection().check_due_at) == (number, due)
    # Staff look as well.
    change(
        stack,
        grower.connection(),
        check_due_at=now() + timedelta(hours=20),
        checked_at=hours_ago,
        check_began_at=hours_ago,
    )
    shown = stack.cli("connection", "show", grower.connection().reference)
    assert "Leaf is being asked again" in shown.stderr
    wait_until(lambda: grower.connection().checked_at != hours_ago, what="Leaf was asked")


def test_missing_permission_of_one_of_three_is_mended_on_its_own_page_and_looked_at_afresh(
    people: People, control: Control
) -> None:
    grower = people.invited()
    grower.connect("three-farms")
    grower.wait_for_code("connected")
    control.change_organization("three-farms", "450203", permitted=False)
    _look_again(grower)
    page = grower.wait_for_code("missing_permission")
    assert "We are not told which of your organizations it is." in page.text
    grower.press("Open the page of Oak Hollow")
    assert "/connections-dialog?orgId=450203&" in grower.page.url
    seen = control.last_seq()
    grower.choose()
    assert grower.page.url == grower.link
    grower.wait_for_code("connected")
    asked = points(control.journal(external_id=grower.external_id, after=seen))
    assert "leaf.sync" in asked
    assert grower.shared() == {"Miller Creek Farm", "Oak Hollow", "Prairie View Acres"}


def _leaf_says(grower: Person, control: Control, status: str) -> None:
    """Let Leaf say a status from now on, and look."""
    leaf_user_id = grower.connection().grower.leaf_user_id
    assert leaf_user_id
    control.set_leaf_status(leaf_user_id, status)
    _look_again(grower)


def _look_again(grower: Person) -> None:
    """The next check is minutes away; coming back from John Deere's page brings one at once."""
    before = grower.connection().checked_at
    grower.come_back()
    wait_until(lambda: grower.connection().checked_at != before, what="Leaf was asked")


def _connect_again(grower: Person, account: str) -> None:
    received = grower.connection().token_received_at
    grower.open()
    grower.start(other_account=grower.page.form_to("/start") is None)
    if grower.page.find(account):
        grower.sign_in(account)
    assert grower.connection().token_received_at != received
    grower.wait_for_code("connected")


def _configuration(stack: Stack, grower: Person) -> str:
    leaf_user_id = grower.connection().grower.leaf_user_id
    with closing(sqlite3.connect(stack.environment["SANDBOX_DATABASE"])) as leaf:
        query = "SELECT data FROM leaf_configs WHERE leaf_user_id = ?"
        return str(leaf.execute(query, (leaf_user_id,)).fetchone()[0])


def _delete_at_leaf(stack: Stack, grower: Person) -> None:
    """As somebody with the same Leaf account may do it, past us."""
    owner = {name: stack.environment[f"LEAF_{name.upper()}"] for name in ("username", "password")}
    url = stack.sandbox_url
    token = requests.post(f"{url}/api/authenticate", json=owner, timeout=10).json()["id_token"]
    path = CREDENTIALS.format(grower.connection().grower.leaf_user_id)
    header = {"Authorization": f"Bearer {token}"}
    assert requests.delete(url + path, headers=header, timeout=10).status_code == 204
