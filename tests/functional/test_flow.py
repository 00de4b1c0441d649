"""The ways a grower may take through the whole walk."""

from __future__ import annotations

import threading
from urllib.parse import parse_qs, urlsplit

import pytest

from onboarding import describe
from onboarding.connections import embedding
from onboarding.models import Connection
from onboarding.states import Outcome, Stage
from tests.support.control import Control, Entry
from tests.support.people import People, Person
from tests.support.stack import Stack
from tests.support.wait import wait_until

SLOW_LOOKS_SECONDS = 3.5
"""Two looks and the pause of 2 seconds between them; from 4 on the app begins no third one."""

CHOOSING = "/connections/"
BACK = "https://portal.example/back"


def test_no_page_to_choose_for_a_grower_who_shares_already(people: People) -> None:
    grower = people.invited()
    grower.connect("already-connected")
    assert grower.page.url == grower.link
    assert not any("organizations" in _place(one.url) for one in grower.answers)
    assert grower.shared() == {"Harper Grain"}


def test_difference_of_scopes_is_recorded_for_staff(people: People) -> None:
    grower = people.invited()
    grower.connect("fewer-scopes")
    row = grower.connection()
    assert set(row.scopes_asked) - set(row.scopes_granted) == {"ag3", "files"}
    assert [event.data for event in grower.events("scopes_missing")] == [
        {"scopes": ["ag3", "files"]}
    ]
    assert "missing: ag3 files." in describe.for_staff(row)
    page = grower.wait_for_code("connected")
    assert "some data may be missing" in page.text
    grower.press("Connect again")
    assert len(grower.attempts()) == 2


def test_connecting_again_with_more_scopes_replaces_what_was_granted(people: People) -> None:
    grower = people.invited()
    grower.connect("fewer-scopes")
    grower.wait_for_code("connected")
    (fewer,) = grower.at_leaf()
    before = grower.connection()
    grower.start(other_account=True)
    grower.sign_in("three-farms")
    grower.allow()
    grower.choose()
    grower.wait_for(
        lambda _: [one["account"] for one in grower.at_leaf()] == ["three-farms"],
        what="Leaf holds the new permission alone",
    )
    page = grower.wait_for_code("connected")
    assert "some data may be missing" not in page.text
    row = grower.connection()
    assert set(row.scopes_asked) <= set(row.scopes_granted)
    assert "missing" not in describe.for_staff(row)
    assert (row.id, row.reference) == (before.id, before.reference)
    assert row.leaf_credential_id not in {None, fewer["id"]}
    # What was so is history, and stays.
    assert [event.data for event in grower.events("scopes_missing")] == [
        {"scopes": ["ag3", "files"]}
    ]
    assert len(grower.events("handed_over")) == 2


def test_what_is_shared_can_be_changed_although_all_of_it_is_shared(people: People) -> None:
    grower = people.invited()
    grower.connect("one-farm")
    grower.wait_for_code("connected")
    grower.press("Change what is shared")
    assert CHOOSING in grower.page.url
    assert "orgId=450101" in grower.page.url


def test_what_is_not_ticked_is_listed_and_can_be_added_later(people: People) -> None:
    grower = people.invited()
    grower.connect("three-farms", ["Oak Hollow"])
    grower.wait_for_code("connected")
    assert grower.shared() == {"Oak Hollow"}
    assert "Shared with Demo Co-op Oak Hollow Not shared (2) Miller Creek Farm" in grower.page.text
    grower.press("Add an organization")
    grower.choose(["Oak Hollow", "Miller Creek Farm"])
    assert grower.page.url == grower.link
    # Nobody reloads: the page that the grower lands on must find out by itself.
    is_new = "Shared with Demo Co-op (2) Miller" in grower.page.text
    assert is_new or grower.page.refresh_seconds
    grower.wait_for(lambda _: len(grower.shared()) == 2, what="the second organization is there")
    grower.wait_for(lambda _: not grower.state()["polling"], what="nothing more is awaited")
    assert "Shared with Demo Co-op (2) Miller Creek Farm Oak Hollow" in grower.page.text


def test_organization_that_is_no_longer_ticked_is_no_longer_shown_as_shared(
    people: People,
) -> None:
    grower = people.invited()
    grower.connect("three-farms", ["Oak Hollow", "Miller Creek Farm"])
    grower.wait_for_code("connected")
    grower.choose_more()
    grower.choose(["Oak Hollow"])
    grower.wait_for(lambda _: grower.shared() == {"Oak Hollow"}, what="one is left")


def test_grower_is_sent_to_choose_once_per_attempt(people: People) -> None:
    grower = people.invited()
    grower.authorize("one-farm")
    assert CHOOSING in grower.page.url
    grower.cancel()
    assert grower.page.heading == "No organization is shared yet"
    grower.come_back()
    assert grower.page.url == grower.link
    assert grower.page.heading == "No organization is shared yet"
    grower.start(other_account=True)  # the second attempt
    grower.sign_in("one-farm")
    assert CHOOSING in grower.page.url
    grower.choose()
    grower.wait_for_code("connected")


def test_cancel_at_choosing_leaves_the_permission_at_leaf_and_a_way_on(people: People) -> None:
    grower = people.invited()
    grower.authorize("one-farm")
    grower.cancel()
    assert "No data is shared." in grower.page.text
    grower.wait_for(lambda _: grower.at_leaf() != [], what="Leaf has it all the same")
    grower.press("Choose organizations")
    grower.choose()
    grower.wait_for_code("connected")
    assert len(grower.attempts()) == 1


@pytest.mark.parametrize("way", ["PREVIEW", "SELECTED"])
def test_leaf_fetches_what_is_chosen_after_it_has_the_permission(
    people: People, control: Control, way: str
) -> None:
    control.set_policies(leaf_connected_later=way)
    grower = people.invited()
    grower.authorize("three-farms")
    wait_until(lambda: "BLOCKED" in _fetched(grower).values(), what="Leaf has seen none shared")
    before = control.last_seq()
    grower.choose(["Oak Hollow", "Miller Creek Farm"])
    grower.wait_for_code("connected")
    _wait_until_fetched(grower, {"Oak Hollow", "Miller Creek Farm"})
    assert len(grower.fetched()) == 3
    assert _syncs(grower, control, after=before)


@pytest.mark.parametrize("way", ["PREVIEW", "SELECTED"])
def test_leaf_fetches_what_a_grower_saved_who_did_not_come_back(
    people: People, control: Control, stack: Stack, way: str
) -> None:
    control.set_policies(leaf_connected_later=way)
    grower = people.invited()
    grower.authorize("one-farm")
    wait_until(lambda: "BLOCKED" in _fetched(grower).values(), what="Leaf has seen none shared")
    before = control.last_seq()
    grower.session.stop_before = f"{stack.public_url}/deere/organizations"
    grower.choose()
    grower.session.stop_before = None
    assert not any(_place(one.url) == "/deere/organizations" for one in grower.answers)
    grower.wait_for_code("connected", limit=90)
    _wait_until_fetched(grower, {"Smith Farms"})
    assert _syncs(grower, control, after=before)


def test_leaf_that_does_not_begin_to_fetch_is_not_called_connected(
    people: People, control: Control
) -> None:
    control.add_fault("leaf.choices.set", "status", status=403)
    grower = people.invited()
    grower.authorize("one-farm")
    wait_until(lambda: "BLOCKED" in _fetched(grower).values(), what="Leaf has seen none shared")
    grower.choose()
    page = grower.wait_for_code("nothing_fetched")
    assert page.heading == "Leaf does not fetch your data yet"
    assert "can now flow" not in page.text
    assert f"Reference code {grower.connection().reference}" in page.text
    control.clear_faults()
    grower.come_back()
    grower.wait_for_code("connected")
    _wait_until_fetched(grower, {"Smith Farms"})


def test_choice_saved_while_leaf_takes_no_token_is_not_denied_after_an_hour(
    people: People, control: Control
) -> None:
    control.add_fault("leaf.credentials.create", "status", status=503)
    grower = people.invited()
    grower.authorize("one-farm")
    _save_after_an_hour(grower)
    control.clear_faults()
    grower.wait_for_code("connected")
    _wait_until_fetched(grower, {"Smith Farms"})


def test_choice_saved_while_leaf_does_not_answer_is_not_denied_after_an_hour(
    people: People, control: Control
) -> None:
    grower = people.invited()
    grower.authorize("one-farm")
    wait_until(lambda: grower.connection().leaf_listed_at, what="Leaf has been asked")
    for point in ("leaf.organizations", "leaf.status", "leaf.credentials.get"):
        control.add_fault(point, "status", status=503)
    _save_after_an_hour(grower)
    control.clear_faults()
    grower.come_back()
    grower.wait_for_code("connected")


def _save_after_an_hour(grower: Person) -> None:
    """Choose when only Leaf could say what was chosen, and find that nothing is denied."""
    grower.forget_access_tokens()
    grower.open()
    assert "No data is shared" in grower.page.text
    grower.choose_more()
    page = grower.choose()
    assert page.heading == "You are back from John Deere"
    assert "What you chose at John Deere is kept there." in page.text
    assert "Not shared" not in page.text
    assert "No data is shared" not in page.text
    assert page.refresh_seconds


def test_organization_that_appears_late_at_john_deere_is_seen_on_the_way_back(
    people: People, control: Control
) -> None:
    grower = people.invited()
    grower.authorize("slow-to-appear")
    seen = control.last_seq()
    grower.choose()  # the return itself looks three times in six seconds; Leaf isn't needed for it
    looks = control.journal(point="deere.organizations", after=seen)
    if len(looks) == 2 and looks[1]["answered"] - looks[0]["received"] > SLOW_LOOKS_SECONDS:
        grower.come_back()  # the machine was too slow for a third look in that time
    assert grower.shared() == {"Long Lane Farm"}
    assert grower.page.heading in {"Connecting to Leaf", "Connected"}


def test_tab_closed_at_choosing_is_made_good_by_the_link(people: People) -> None:
    grower = people.invited()
    grower.authorize("one-farm")
    assert CHOOSING in grower.page.url
    grower.open()
    assert grower.state()["code"] == "choose_organizations"
    assert grower.page.refresh_seconds  # it may still be saved in another tab
    grower.press("Choose organizations")
    grower.choose()
    grower.wait_for_code("connected")


def test_another_browser_with_the_link_can_choose_and_comes_back_to_it(people: People) -> None:
    office = people.invited()
    office.authorize("one-farm")
    phone = people.visitor(office.link)
    phone.open()
    phone.press("Choose organizations")
    phone.sign_in("one-farm")
    phone.choose()
    assert phone.page.url == office.link
    office.wait_for_code("connected")
    assert office.shared() == {"Smith Farms"}


def test_who_consented_in_a_popup_and_chooses_in_the_portals_window_goes_back_from_there(
    people: People, stack: Stack
) -> None:
    grower = _of_portal(people, "portal-window")
    popup, here = (_framed(stack, grower) for _ in range(2))
    grower.open(f"{popup}?window=popup")
    grower.press("Connect John Deere")
    grower.sign_in("one-farm")
    grower.allow()
    assert CHOOSING in grower.page.url
    # The popup is closed there, and no other one opens: "Go on in this window, and come back here".
    grower.open(here)
    grower.press("Choose organizations")
    grower.choose()
    assert grower.page.url == f"{here}/back"
    back = urlsplit(grower.page.links["Go on to Prairie Co-op"])
    assert back.geturl().startswith(f"{BACK}?")
    assert parse_qs(back.query).keys() == {"connection", "state"}


def test_popup_that_took_the_place_of_the_portal_leads_back_to_it(
    people: People, stack: Stack
) -> None:
    grower = _of_portal(people, "portal-view")
    grower.open(f"{_framed(stack, grower)}?window=popup")
    grower.press("Connect John Deere")
    grower.sign_in("already-connected")
    grower.allow()
    assert grower.page.url.endswith("?window=popup")
    assert "You can close this window" in grower.page.text
    assert grower.page.links["Back to Prairie Co-op"].startswith(f"{BACK}?")


def test_popup_stays_one_although_another_browser_has_consented(people: People) -> None:
    office = people.invited()
    office.authorize("one-farm")
    portal = people.visitor(f"{office.link}?window=popup")
    portal.open()
    portal.press("Choose organizations")
    portal.sign_in("one-farm")
    portal.choose()
    assert portal.page.url == portal.link
    assert "You can close this window" in portal.page.text


def test_return_from_choosing_can_be_repeated(people: People, control: Control) -> None:
    grower = people.invited()
    grower.connect("one-farm")
    grower.wait_for_code("connected")
    before = grower.connection()
    for _ in range(3):
        assert grower.come_back().url == grower.link
    grower.wait_for(lambda _: not grower.state()["polling"], what="it has looked again")
    after = grower.connection()
    assert (after.stage, after.health, after.handed_over_at) == (
        before.stage,
        before.health,
        before.handed_over_at,
    )
    assert grower.shared() == {"Smith Farms"}
    assert len(grower.at_leaf()) == 1
    exchanges = control.journal(point="deere.token", account="one-farm")
    assert len(exchanges) == 1


def test_return_of_a_stranger_reads_nothing_and_names_nobody(
    people: People, control: Control
) -> None:
    grower = people.invited(name="Quiet Valley Farm")
    grower.connect("one-farm")
    seq = control.last_seq()
    stranger = people.visitor(grower.link)
    page = stranger.come_back()
    assert page.status == 400
    assert page.heading == "Please open your link again"
    assert "Quiet Valley" not in page.text
    assert "Demo Co-op" not in page.text
    assert control.journal(after=seq, point="deere.organizations") == []


def test_deny_shares_nothing_and_offers_the_same_button_again(people: People) -> None:
    grower = people.invited()
    grower.open()
    grower.start()
    grower.sign_in("one-farm")
    page = grower.cancel()
    assert page.url == grower.link
    assert grower.state()["code"] == "denied"
    assert "Access was not given" in page.text
    assert "Nothing was shared." in page.text
    assert grower.connection().stage is Stage.INVITED
    assert [attempt.outcome for attempt in grower.attempts()] == [Outcome.DENIED]
    grower.start()
    assert grower.page.find("Allow Access")  # nothing was remembered
    grower.allow()
    grower.choose()
    grower.wait_for_code("connected")


def test_different_account_gets_johns_deeres_sign_in_although_one_is_signed_in(
    people: People,
) -> None:
    grower = people.invited()
    grower.connect("partners-only")
    assert grower.page.heading == "Is this the right John Deere account?"
    assert "belong to someone else and are not shared." in grower.page.text
    assert "Only their owners" not in grower.page.text  # there is a button for it, after all
    grower.start(other_account=True)
    sent = [one.headers.get("Location", "") for one in grower.answers if one.status_code == 303]
    assert parse_qs(urlsplit(sent[-1]).query)["prompt"] == ["login"]
    assert grower.page.heading == "Sign in"
    grower.sign_in("one-farm")
    grower.allow()
    grower.choose()
    grower.wait_for_code("connected")
    assert grower.shared() == {"Smith Farms"}
    assert [one["account"] for one in grower.at_leaf()] == ["one-farm"]


def test_two_growers_in_one_browser_stay_apart(people: People) -> None:
    first = people.invited(name="First Farm")
    second = people.invited(name="Second Farm")
    second.session.cookies = first.session.cookies
    first.connect("one-farm")
    second.open()
    second.start(other_account=False)  # signed in as one-farm still: straight on to our callback
    second.wait_for_code("connected")
    assert second.page.url == second.link
    third = people.invited(name="Third Farm")
    third.session.cookies = first.session.cookies
    third.open()
    third.start()
    assert third.page.url == third.link
    for grower, name in ((first, "First Farm"), (second, "Second Farm"), (third, "Third Farm")):
        grower.wait_for_code("connected")
        assert name in grower.page.text
        assert len(grower.at_leaf()) == 1
    tokens = {one.at_leaf()[0]["refreshToken"] for one in (first, second, third)}
    assert len(tokens) == 3


@pytest.mark.parametrize("first_back", [0, 1])
def test_two_tabs_at_once_both_arrive_in_either_order(people: People, first_back: int) -> None:
    grower = people.invited()
    callbacks = [grower.until_callback("one-farm")]
    grower.open()
    callbacks.append(grower.until_callback("one-farm"))
    grower.open(callbacks[first_back])
    grower.choose()
    grower.wait_for_code("connected")
    grower.open(callbacks[1 - first_back])
    assert grower.page.url == grower.link
    grower.wait_for_code("connected")
    assert {attempt.outcome for attempt in grower.attempts()} == {Outcome.AUTHORIZED}
    grower.wait_for(lambda _: grower.connection().refresh_token is None, what="both are at Leaf")
    (credential,) = grower.at_leaf()
    assert credential["live"]


def test_two_tabs_that_come_back_in_the_same_moment_leave_one_good_credential(
    people: People,
) -> None:
    grower = people.invited()
    callbacks = [grower.until_callback("already-connected")]
    grower.open()
    callbacks.append(grower.until_callback("already-connected"))
    _at_once(grower, callbacks)
    grower.wait_for_code("connected")
    grower.wait_for(lambda _: grower.connection().refresh_token is None, what="both are at Leaf")
    assert [one["live"] for one in grower.at_leaf()] == [True]
    assert {attempt.outcome for attempt in grower.attempts()} == {Outcome.AUTHORIZED}


def test_double_click_on_the_callback_exchanges_once(people: People, control: Control) -> None:
    grower = people.invited()
    callback = grower.until_callback("already-connected")
    _at_once(grower, [callback, callback])
    grower.wait_for_code("connected")
    assert len(control.journal(point="deere.token", account="already-connected")) == 1
    assert len(grower.at_leaf()) == 1


def test_terms_can_be_accepted_afterwards_on_the_same_attempt(
    people: People, control: Control
) -> None:
    grower = people.invited()
    grower.connect("terms-not-accepted")
    terms = grower.page.links["Read the terms"]
    assert terms == "https://operationscenter.deere.com/terms"
    grower.press("I have accepted them")  # not true yet
    assert grower.page.heading == "John Deere has new terms for you"
    control.accept_terms("terms-not-accepted")
    grower.press("I have accepted them")
    grower.choose()
    grower.wait_for_code("connected")
    assert len(grower.attempts()) == 1


def test_terms_can_be_accepted_when_john_deere_can_no_longer_be_asked_directly(
    people: People, control: Control
) -> None:
    grower = people.invited()
    grower.connect("terms-not-accepted")
    grower.wait_for(lambda _: grower.at_leaf() != [], what="Leaf has the permission")
    grower.forget_access_tokens()
    control.accept_terms("terms-not-accepted")
    grower.open()
    grower.press("I have accepted them")
    grower.choose()
    grower.wait_for_code("connected")


def test_terms_somewhere_else_are_not_linked(people: People) -> None:
    grower = people.invited()
    grower.connect("foreign-terms")
    assert grower.connection().terms_url is None
    assert "example.net" not in grower.page.html
    assert "operationscenter.deere.com, then press “I have accepted them”" in grower.page.text


def _of_portal(people: People, slug: str) -> Person:
    """A grower of a partner to whose portal one may return."""
    people.partner(slug, name="Prairie Co-op", return_urls=[BACK])
    return people.invited(partner=slug)


def _framed(stack: Stack, grower: Person) -> str:
    """The page of a new frame's link."""
    parts = stack.installation
    with parts.database.transaction() as session:
        connection = session.get_one(Connection, grower.connection().id)
        link = embedding.new_link(session, connection, return_url=BACK)
        session.flush()
        return f"{stack.public_url}/c/{parts.links.token(link.id)}"


def _fetched(grower: Person) -> dict[str, str]:
    """What Leaf fetches; nothing before it has the permission."""
    return grower.fetched() if grower.at_leaf() else {}


def _syncs(grower: Person, control: Control, *, after: int) -> list[Entry]:
    """How often Leaf has taken the call to look at John Deere again for this grower."""
    wanted = {"point": "leaf.sync", "status": 200, "external_id": grower.external_id}
    return control.journal(after=after, **wanted)


def _wait_until_fetched(grower: Person, names: set[str]) -> None:
    """Leaf fetches these, all of them, and nothing else."""

    def selected() -> bool:
        return {name for name, choice in grower.fetched().items() if choice == "SELECTED"} == names

    wait_until(selected, what=f"Leaf fetches {names}")


def _at_once(grower: Person, urls: list[str]) -> None:
    """Open URLs in one browser at the same time, in a tab each."""
    cookies = grower.session.cookies
    tabs = [threading.Thread(target=_open_tab, args=(grower, url)) for url in urls]
    assert cookies
    for tab in tabs:
        tab.start()
    for tab in tabs:
        tab.join()


def _open_tab(grower: Person, url: str) -> None:
    grower.session.get(url, timeout=60)


def _place(url: str) -> str:
    return urlsplit(url).path
