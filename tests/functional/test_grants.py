"""What becomes of a grant after the hand-over: each loss is told with its cause, and is mended."""

from __future__ import annotations

from datetime import timedelta

import pytest

from onboarding.clock import now
from onboarding.states import Cause, Health, Stage, Urgency
from tests.support.control import Control
from tests.support.people import People, Person
from tests.support.stack import Stack
from tests.support.tokens import assert_no_token_stored, change
from tests.support.wait import wait_until

ACCOUNT = "three-farms"
FARMS = {"450201": "Miller Creek Farm", "450202": "Prairie View Acres", "450203": "Oak Hollow"}
GONE, LIMITED = "credentialsUnauthenticated", "credentialsLimitedPermission"
HOURS = timedelta(hours=6)


@pytest.fixture
def grower(stack: Stack, people: People) -> Person:
    """One who shares three organizations, and about whom Leaf would not be asked for hours."""
    grower = people.invited()
    grower.connect(ACCOUNT)
    grower.wait_for_code("connected")
    wait_until(lambda: fetches_all(grower), what="Leaf fetches what is shared")
    let_hours_pass(stack, grower)
    return grower


def fetches_all(grower: Person) -> bool:
    """Whether Leaf has nothing left to be told: what was chosen at last comes after "connected"."""
    connection = grower.connection()
    return not connection.sync_owed and not connection.selection_owed


def let_hours_pass(stack: Stack, grower: Person) -> None:
    """All is quiet: John Deere's own word is old, and the next check is far away."""
    connection, hours_ago = grower.connection(), now() - HOURS
    change(
        stack,
        connection,
        check_number=connection.check_number + 1,
        check_due_at=now() + HOURS,
        check_urgency=Urgency.ROUTINE,
        check_began_at=hours_ago,
        checked_at=hours_ago,
        handed_over_at=hours_ago,
        organizations_seen_at=hours_ago,
        sync_owed=False,
    )


def wait_for_check(grower: Person) -> None:
    """Wait until Leaf has been asked after the hours that passed."""

    def is_checked() -> bool:
        checked = grower.connection().checked_at
        return checked is not None and checked > now() - HOURS / 2

    wait_until(is_checked, what="Leaf has been asked")


def connect_again(grower: Person) -> None:
    """By the page's own button, until Leaf holds the new permission alone."""
    received = grower.connection().token_received_at
    grower.press("Connect again")
    if grower.page.find(ACCOUNT):
        grower.sign_in(ACCOUNT)
    wait_until(
        lambda: (
            grower.connection().token_received_at != received
            and grower.connection().stage is Stage.CONNECTED
        ),
        what="the new permission is at Leaf",
    )
    grower.wait_for_code("connected")
    assert [one["live"] for one in grower.at_leaf()] == [True]


@pytest.mark.usefixtures("registered")
@pytest.mark.parametrize("end", ["expired", "revoked"])
def test_grant_that_ends_asks_the_grower_to_connect_again_and_names_the_cause(
    stack: Stack, control: Control, grower: Person, end: str
) -> None:
    if end == "expired":
        control.expire(ACCOUNT)
    else:
        control.revoke(ACCOUNT)
    page = grower.wait_for_code("reconnect")
    assert page.heading == "Please connect again"
    assert "John Deere no longer accepts the permission that you gave." in page.text
    assert "It may have been withdrawn at John Deere, or have expired." in page.text
    assert "No new data arrives until you connect again." in page.text
    assert grower.connection().health is Health.UNAUTHENTICATED
    connect_again(grower)
    shown = stack.cli("connection", "show", grower.connection().reference).stdout
    assert 'John Deere answered Leaf: HTTP 400 {"error": "invalid_grant"}' in shown
    assert "invalid_grant" not in grower.open().html  # that is for staff alone
    assert_no_token_stored(stack, ACCOUNT)


def test_grant_of_which_leaf_makes_no_use_ends_by_itself(control: Control, grower: Person) -> None:
    control.set_policies(leaf_uses_tokens="never", deere_refresh_token_days=0)
    grower.open()
    grower.wait_for_code("reconnect")


@pytest.mark.usefixtures("registered")
@pytest.mark.parametrize("policy", ["once", "twice", "out_of_order", "never"])
def test_page_tells_the_old_state_until_leaf_has_found_out_however_its_alerts_come(
    stack: Stack, control: Control, grower: Person, policy: str
) -> None:
    control.set_policies(
        leaf_alerts=policy, leaf_finds_out_after_seconds=100_000, leaf_alert_minute_ms=100
    )
    control.expire(ACCOUNT)
    grower.open()  # asks Leaf
    wait_for_check(grower)
    assert grower.state()["code"] == "connected"
    assert grower.shared() == set(FARMS.values())
    assert grower.connection().health is Health.OK
    assert grower.events("alert_received") == []
    let_hours_pass(stack, grower)

    control.set_policies(leaf_finds_out_after_seconds=0)
    if policy == "never":
        wait_until(
            lambda: grower.at_leaf()[0]["status"] == "UNAUTHENTICATED", what="Leaf has found out"
        )
        assert grower.connection().health is Health.OK  # nobody has told us
        change(stack, grower.connection(), check_due_at=now())  # the daily check
    wait_until(
        lambda: grower.connection().health is Health.UNAUTHENTICATED, what="we have found out"
    )
    grower.wait_for_code("reconnect")
    types = [event.data["type"] for event in grower.events("alert_received")]
    assert types == ([] if policy == "never" else [GONE])


@pytest.mark.usefixtures("registered")
@pytest.mark.parametrize("organization", FARMS)
def test_lost_permission_leads_to_the_page_of_exactly_that_organization_and_is_seen_mended(
    stack: Stack, control: Control, grower: Person, organization: str
) -> None:
    # The only one that is still shared, so that it is known which one it must be.
    for other in FARMS.keys() - {organization}:
        control.change_organization(ACCOUNT, other, connected=False)
    control.change_organization(ACCOUNT, organization, permitted=False)
    page = grower.wait_for_code("missing_permission")
    assert f"Open John Deere’s page for {FARMS[organization]}, allow what is missing" in page.text
    assert [event.data["type"] for event in grower.events("alert_received")] == [LIMITED]
    grower.press("Open John Deere’s page")
    assert f"/connections-dialog?orgId={organization}&" in grower.page.url
    let_hours_pass(stack, grower)
    grower.choose()
    assert grower.page.url == grower.link
    grower.wait_for_code("connected")
    assert grower.shared() == {FARMS[organization]}
    assert grower.connection().health is Health.OK


def test_connection_that_is_removed_at_john_deere_is_one_that_is_not_shared(
    control: Control, grower: Person
) -> None:
    control.change_organization(ACCOUNT, "450201", connected=False)
    grower.open()
    wait_until(lambda: len(grower.shared()) == 2, what="it is not shared any more")
    assert grower.state()["code"] == "connected"
    # Once the last one is gone, John Deere lets the permission end as well.
    control.change_organization(ACCOUNT, "450202", connected=False)
    control.change_organization(ACCOUNT, "450203", connected=False)
    grower.come_back()
    grower.wait_for_code("reconnect")


def test_organization_that_the_grower_has_left_is_shared_no_more_and_the_history_names_it(
    control: Control, grower: Person
) -> None:
    control.change_organization(ACCOUNT, "450201", left=True)
    grower.open()
    wait_until(lambda: len(grower.shared()) == 2, what="it is not shared any more")
    assert grower.state()["code"] == "connected"
    (gone,) = grower.events("organization_gone")
    assert "Miller Creek Farm" in str(gone.data)


def test_credential_that_leaf_has_lost_is_told_as_a_cause_of_its_own(
    stack: Stack, control: Control, people: People, grower: Person
) -> None:
    other = people.invited()
    other.connect("already-connected")
    other.wait_for_code("connected")
    assert control.lose_credentials(grower.external_id) == 1
    grower.open()
    page = grower.wait_for_code("credential_missing")
    assert page.heading == "Please connect again"
    assert "Leaf, which brings your data, no longer has your permission." in page.text
    assert "withdrawn at John Deere" not in page.text
    assert grower.connection().cause is Cause.CREDENTIAL_MISSING
    shown = stack.cli("connection", "show", grower.connection().reference).stdout
    assert "Leaf has no credential any more" in shown
    connect_again(grower)
    assert other.state()["code"] == "connected"


def test_leaf_that_loses_all_credentials_loses_nobody_for_good(
    control: Control, people: People
) -> None:
    growers = [people.invited() for _ in range(2)]
    for one in growers:
        one.connect(ACCOUNT)
        one.wait_for_code("connected")
    assert control.lose_credentials() == len(growers)
    for one in growers:
        one.come_back()
        one.wait_for_code("credential_missing")
        connect_again(one)


def test_disconnect_ends_although_leaf_has_lost_the_credential(
    control: Control, grower: Person
) -> None:
    assert control.lose_credentials(grower.external_id) == 1
    grower.open()
    grower.wait_for_code("credential_missing")
    grower.open(grower.page.links["Disconnect …"])
    grower.press("Disconnect")
    grower.wait_for_code("disconnected")
    assert grower.at_leaf() == []
