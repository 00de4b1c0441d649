"""Growers and staff end a connection: it is said at once, and done whatever happens meanwhile."""

from __future__ import annotations

from datetime import timedelta

from onboarding.clock import now
from onboarding.states import Cause, Stage
from tests.support.control import Control, hold, points, wait_for_held
from tests.support.people import People, Person
from tests.support.stack import WORKER, Stack
from tests.support.tokens import (
    POST,
    assert_delivered,
    assert_no_token_stored,
    attempts_of,
    change,
    happened,
    issued,
    let_stray_requests_end,
    posts,
)
from tests.support.wait import wait_until

DELETE = "leaf.credentials.delete"
PAUSE = timedelta(minutes=5)
TAKEN_OVER_SECONDS = 60.0


def connected(people: People, account: str = "one-farm") -> Person:
    """A grower whose data flows."""
    grower = people.invited()
    grower.connect(account)
    grower.wait_for_code("connected")
    return grower


def disconnect(grower: Person) -> None:
    """From the page of the link, as it says."""
    grower.open()
    grower.open(grower.page.links["Disconnect …"])
    assert grower.page.heading == "Disconnect John Deere?"
    grower.press("Disconnect")
    assert grower.page.url == grower.link


def assert_ended(stack: Stack, grower: Person) -> None:
    """Nothing is left of it with Leaf, and only what is needed with us."""
    row = grower.connection()
    assert row.stage is Stage.DISCONNECTED
    assert grower.at_leaf() == []
    assert row.organizations == []
    assert (row.refresh_token, row.leaf_credential_id, row.cause) == (None, None, None)
    assert (row.hand_over_due_at, row.check_due_at, row.stray_since) == (None, None, None)
    assert not any(attempt.access_token for attempt in attempts_of(stack, row))


def test_grower_disconnects_removes_it_at_john_deere_and_connects_again_with_the_same_link(
    people: People, stack: Stack, control: Control
) -> None:
    grower = connected(people)
    before = grower.connection()
    disconnect(grower)
    assert grower.page.heading in {"Disconnecting", "Disconnected"}
    page = grower.wait_for_code("disconnected")
    assert "Leaf no longer has your permission." in page.text
    assert "choose Manage, Access, Remove Connection for each organization." in page.text
    assert "Disconnect …" not in page.links
    assert_ended(stack, grower)
    (token,) = issued(stack, "one-farm")
    at_deere = page.links["Open my connections at John Deere"]
    assert at_deere.startswith(f"{stack.sandbox_url}/")
    grower.open(at_deere)
    assert "Smith Farms" in grower.page.text
    grower.press("Remove Connection")
    assert "No organization is shared" in grower.page.text
    (account,) = [one for one in control.accounts() if one["name"] == "one-farm"]
    assert not account["organizations"][0]["connected"]
    grower.open()
    grower.press("Connect again")
    grower.choose()
    grower.wait_for_code("connected")
    after = grower.connection()
    assert after.reference == before.reference
    assert after.grower.leaf_user_id == before.grower.leaf_user_id
    credential = assert_delivered(stack, grower.external_id, "one-farm")
    assert credential["givenRefreshToken"] != token
    kinds = [event.kind for event in grower.events()]
    assert [kind for kind in kinds if kind.startswith("disconnect")] == [
        "disconnect_asked",
        "disconnected",
    ]
    assert kinds.count("handed_over") == 2
    assert grower.events("disconnect_asked")[0].who == "grower"
    assert_no_token_stored(stack, "one-farm")


def test_looking_at_what_it_means_changes_nothing(people: People, control: Control) -> None:
    grower = connected(people)
    page = grower.open(f"{grower.link}/disconnect")
    assert "No new data will go to Demo Co-op." in page.text
    assert "What has arrived already stays with Demo Co-op." in page.text
    grower.open(page.links["No, keep it connected"])
    assert grower.page.heading == "Connected"
    assert control.journal(point=DELETE) == []


def test_button_of_another_site_ends_nothing(people: People) -> None:
    grower = connected(people)
    answer = grower.session.post(f"{grower.link}/disconnect", timeout=60)
    assert answer.status_code == 400
    assert grower.connection().stage is Stage.CONNECTED


def test_pressing_twice_and_in_two_tabs_is_pressing_once(people: People, stack: Stack) -> None:
    grower = connected(people)
    for_later = [grower.open(f"{grower.link}/disconnect").find("Disconnect") for _ in range(2)]
    for found in for_later:
        assert found is not None
        assert grower.submit(*found).heading in {"Disconnecting", "Disconnected"}
    grower.wait_for_code("disconnected")
    found = for_later[0]
    assert found is not None
    assert grower.submit(*found).heading == "Disconnected"
    assert grower.open(f"{grower.link}/disconnect").url == grower.link
    assert len(grower.events("disconnect_asked")) == 1
    assert_ended(stack, grower)


def test_grower_who_never_connected_is_offered_nothing_to_end(people: People) -> None:
    grower = people.invited()
    assert "Disconnect …" not in grower.open().links
    assert grower.open(f"{grower.link}/disconnect").url == grower.link


def test_browser_that_connected_can_end_it_after_the_link_and_a_stranger_can_not(
    people: People, stack: Stack
) -> None:
    grower = connected(people)
    stranger = people.visitor(grower.link)
    form = stranger.open(f"{grower.link}/disconnect").find("Disconnect")
    assert form is not None
    grower.expire_link()
    assert stranger.submit(*form).status == 410
    assert stranger.open(f"{grower.link}/disconnect").status == 410
    assert grower.connection().stage is Stage.CONNECTED
    disconnect(grower)
    grower.wait_for_code("disconnected")
    assert_ended(stack, grower)


def test_leaf_being_down_is_said_and_outlasted(
    people: People, stack: Stack, control: Control
) -> None:
    grower = connected(people)
    control.add_fault(DELETE, "status", status=503)
    disconnect(grower)
    wait_until(lambda: grower.connection().waiting_since, what="Leaf did not answer")
    assert grower.state() | {"code": "disconnecting", "polling": True} == grower.state()
    assert "Until it has stopped, new data may still arrive." in grower.open().text
    change(stack, grower.connection(), waiting_since=now() - timedelta(hours=3))
    page = grower.open()
    assert page.heading == "Disconnecting takes longer than usual"
    assert page.links["Open my connections at John Deere"].startswith(stack.sandbox_url)
    shown = stack.cli("connection", "show", grower.connection().reference).stdout
    assert "stage disconnecting" in shown
    assert "HTTP 503" in shown
    control.clear_faults()
    let_stray_requests_end(stack, grower.connection())
    grower.wait_for_code("disconnected")
    assert_ended(stack, grower)


def test_staff_end_a_connection_with_a_reason(people: People, stack: Stack) -> None:
    grower = connected(people)
    reference = grower.connection().reference
    refused = stack.cli("connection", "disconnect", reference, "--reason", " ", check=False)
    assert "The reason must be one line" in refused.stderr
    assert "--reason" in stack.cli("connection", "disconnect", reference, check=False).stderr
    done = stack.cli("connection", "disconnect", reference.lower(), "--reason", "sold the farm")
    assert "It is being disconnected" in done.stderr
    grower.wait_for_code("disconnected")
    assert_ended(stack, grower)
    shown = stack.cli("connection", "show", reference).stdout
    assert "staff disconnect_asked reason=sold the farm" in shown
    again = stack.cli("connection", "disconnect", reference, "--reason", "again", check=False)
    assert (again.returncode, "is disconnected already" in again.stderr) == (1, True)
    other = people.invited().connection().reference
    refused = stack.cli("connection", "disconnect", other, "--reason", "a mistake", check=False)
    assert (refused.returncode, "nothing to end" in refused.stderr) == (1, True)


def test_refusal_of_leaf_is_for_staff_and_the_grower_reads_that_we_are_on_it(
    people: People, stack: Stack, control: Control
) -> None:
    grower = connected(people)
    control.add_fault(DELETE, "status", status=403, body={"detail": "The credential is locked."})
    disconnect(grower)
    page = grower.wait_for_code("disconnecting_held_up")
    row = grower.connection()
    assert "we are on it" in page.text
    assert row.reference in page.text
    assert row.cause is Cause.DELETE_REFUSED
    listed = stack.cli("connection", "list").stdout
    (line,) = [line for line in listed.splitlines() if line.startswith(row.reference)]
    assert "Leaf refuses to delete the credential" in line
    assert "HTTP 403: The credential is locked." in line
    assert f"Disconnect of {row.reference} waits for staff" in stack.log(WORKER)
    change(stack, row, waiting_since=now() - timedelta(hours=3))
    wait_until_the_next_try_is_far_away(grower)
    control.clear_faults()
    stack.cli("connection", "retry", row.reference)
    grower.wait_for_code("disconnected")
    assert row.reference not in stack.cli("connection", "list").stdout
    assert_ended(stack, grower)


def wait_until_the_next_try_is_far_away(grower: Person) -> None:
    wait_until(
        lambda: (due := grower.connection().hand_over_due_at) and due > now() + PAUSE,
        what="the next try is far away",
    )


def test_consent_while_it_ends_is_the_newer_word(
    people: People, stack: Stack, control: Control
) -> None:
    grower = connected(people)
    control.add_fault(DELETE, "status", status=403)
    disconnect(grower)
    grower.wait_for_code("disconnecting_held_up")
    change(stack, grower.connection(), waiting_since=now() - timedelta(hours=3))
    wait_until_the_next_try_is_far_away(grower)
    control.clear_faults()  # before the press: a refusal that the hand-over meets is for staff
    grower.open()
    grower.press("Connect again")
    grower.wait_for_code("connected")
    assert_delivered(stack, grower.external_id, "one-farm")
    assert len(grower.events("disconnected")) == 0
    assert_no_token_stored(stack, "one-farm")


def test_page_of_organizations_that_was_left_open_brings_nothing_back(
    people: People, stack: Stack
) -> None:
    grower = people.invited()
    grower.authorize("three-farms")
    chooser = grower.page
    grower.wait_for(lambda _: grower.at_leaf() != [], what="Leaf has the credential")
    disconnect(grower)
    grower.wait_for_code("disconnected")
    found = chooser.find("Save")
    assert found is not None
    for box in found[0].boxes():
        box.checked = True
    grower.submit(*found)
    assert grower.page.heading == "Disconnected"
    assert_ended(stack, grower)


def test_events_are_copied_before_the_credential_goes(
    people: People, stack: Stack, control: Control
) -> None:
    grower = connected(people)
    seen = control.last_seq()
    disconnect(grower)
    grower.wait_for_code("disconnected")
    asked = points(control.journal(external_id=grower.external_id, after=seen))
    assert "leaf.events" in asked
    assert asked.index("leaf.events") < asked.index(DELETE)


PLACES = {
    "looking": ("leaf.credentials.get", "before"),
    "copying": ("leaf.events", "before"),
    "before-delete": (DELETE, "before"),
    "after-delete": (DELETE, "after"),
}
"""Where a worker may stand when it is killed."""


def test_worker_killed_anywhere_while_it_ends_a_connection_ends_it_after_a_restart(
    people: People, stack: Stack, control: Control
) -> None:
    growers = {name: connected(people) for name in PLACES}
    for name, (where, when) in PLACES.items():
        # The status is asked for elsewhere, but a check may look at the credential as well.
        change(stack, growers[name].connection(), check_due_at=None)
        hold(control, where, when=when, external_id=growers[name].external_id)
        disconnect(growers[name])
    for name, (where, _) in PLACES.items():
        wait_for_held(control, where, external_id=growers[name].external_id)
    stack.kill(WORKER)
    for grower in growers.values():
        assert grower.open().heading == "Disconnecting"
    control.clear_faults()  # the dead worker's requests are carried out now
    stack.start_worker()
    for grower in growers.values():
        wait_for_end(stack, grower)
        assert_ended(stack, grower)
        assert "disconnect_taken_up_again" in happened(stack, grower.connection())


def wait_for_end(stack: Stack, grower: Person) -> None:
    wait_until(
        lambda: _hurried(stack, grower) is Stage.DISCONNECTED,
        what="it has ended",
        limit=TAKEN_OVER_SECONDS,
    )


def _hurried(stack: Stack, grower: Person) -> Stage:
    """The stage; where it only waits until a stray request is harmless, that time passes."""
    row = grower.connection()
    if row.stray_since is not None and row.hand_over_taken_by is None:
        let_stray_requests_end(stack, row)
    return row.stage


def test_token_on_its_way_is_erased_and_what_its_lost_post_makes_is_deleted_as_well(
    people: People, stack: Stack, control: Control
) -> None:
    grower = people.invited()
    hold(control, POST, external_id=grower.external_id)
    grower.connect("one-farm")
    wait_for_held(control, POST, external_id=grower.external_id)
    disconnect(grower)
    assert grower.connection().refresh_token is None
    stack.kill(WORKER)
    stack.start_worker()
    wait_until(
        lambda: grower.connection().stray_since and not grower.connection().hand_over_taken_by,
        what="it waits for the lost request",
        limit=TAKEN_OVER_SECONDS,
    )
    assert grower.open().heading == "Disconnecting"
    control.clear_faults()  # Leaf carries the dead worker's POST out
    wait_until(lambda: grower.at_leaf(), what="the lost POST has made a credential")
    wait_for_end(stack, grower)
    assert_ended(stack, grower)
    assert len(posts(stack, grower.external_id)) == 1
    assert_no_token_stored(stack, "one-farm")
