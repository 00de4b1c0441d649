"""The whole flow in Chromium: on a phone and on a desk, with script and without."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

import pytest
from playwright.sync_api import Browser, Page, ViewportSize, expect

from onboarding.states import Health
from tests.browser.scenes import Scenes
from tests.browser.walker import Walker
from tests.browser.watch import Watch
from tests.support.browser import DESKTOP, PHONE, visitor
from tests.support.control import Control
from tests.support.mailed import until_march
from tests.support.wait import wait_until

EACH_WAY = pytest.mark.parametrize("script", [True, False], ids=["script", "no-script"])
ON_ONE_DATABASE = pytest.mark.parametrize("database", ["sqlite"], indirect=True, scope="session")


@pytest.fixture
def size(database: str, script: bool) -> ViewportSize:
    """A phone or a desk: both on both databases, and both with script and without."""
    return PHONE if database.startswith("sqlite") is script else DESKTOP


@contextmanager
def watched(
    browser: Browser, *, size: ViewportSize = PHONE, script: bool = True
) -> Iterator[tuple[Page, Watch]]:
    """A page in a new browser. At the end nothing may have been complained about."""
    with visitor(browser, size=size, script=script) as context:
        watch = Watch(context)
        yield context.new_page(), watch
    assert watch.complaints == []


@EACH_WAY
def test_grower_connects_and_the_page_says_so_by_itself(
    scenes: Scenes, control: Control, chromium: Browser, size: ViewportSize, script: bool
) -> None:
    person = scenes.person()
    match = {"external_id": person.external_id}
    control.add_fault("leaf.credentials.create", "hang", times=1, match=match)
    with watched(chromium, size=size, script=script) as (page, watch):
        grower = Walker(page)
        grower.connect(person.link, "three-farms", ["Oak Hollow", "Miller Creek Farm"])
        grower.reads("Connecting to Leaf")
        loads = watch.loads(person.link)
        control.clear_faults()
        grower.reads("Connected")
        assert page.url == person.link
        expect(page.get_by_text("Shared with Prairie Co-op")).to_be_visible()
        # Without script the page has to load itself again; with it, nobody sees it blink.
        assert (watch.loads(person.link) > loads) is (not script)
    (credential,) = person.at_leaf()
    assert (credential["account"], credential["live"]) == ("three-farms", True)
    assert person.shared() == {"Oak Hollow", "Miller Creek Farm"}


@EACH_WAY
def test_grower_who_cancels_reads_that_nothing_was_shared(
    scenes: Scenes, chromium: Browser, size: ViewportSize, script: bool
) -> None:
    person = scenes.person()
    with watched(chromium, size=size, script=script) as (page, _):
        grower = Walker(page)
        page.goto(person.link)
        grower.press("Connect John Deere")
        grower.press("one-farm")
        grower.press("Cancel")
        grower.reads("Access was not given")
        expect(page.get_by_text("Nothing was shared.")).to_be_visible()
        grower.press("Use a different John Deere account")
        grower.reads("Sign in")
    assert person.at_leaf() == []


@ON_ONE_DATABASE
def test_button_leads_through_when_john_deere_asks_for_nothing_on_the_way(
    scenes: Scenes, chromium: Browser
) -> None:
    """One press, answered by redirects through both servers and back: `form-action` allows all."""
    with watched(chromium) as (page, _):
        grower = Walker(page)
        grower.authorize(scenes.link(), "one-farm")
        grower.reads("Choose organizations")
        # Signed in and agreed already: from the press straight to the page for organizations.
        page.goto(scenes.link())
        grower.press("Connect John Deere")
        grower.choose(["Smith Farms"])
        grower.reads("Connected")
        # Now shared already, too: from the press straight to our own page.
        person = scenes.person()
        page.goto(person.link)
        grower.press("Connect John Deere")
        page.wait_for_url(person.link)
        grower.reads("Connected")


@ON_ONE_DATABASE
def test_grower_who_chose_nothing_goes_back_to_choose(scenes: Scenes, chromium: Browser) -> None:
    with watched(chromium) as (page, _):
        grower = Walker(page)
        grower.connect(scenes.link(), "one-farm", [])
        grower.reads("No organization is shared yet")
        grower.press("Choose organizations")
        grower.choose(["Smith Farms"])
        grower.reads("Connected")


@ON_ONE_DATABASE
def test_grower_whose_cookies_are_gone_gets_back_to_the_button(
    scenes: Scenes, chromium: Browser
) -> None:
    with watched(chromium) as (page, _):
        page.goto(scenes.link())
        page.context.clear_cookies()
        grower = Walker(page)
        grower.press("Connect John Deere")
        grower.reads("Please open the page again")
        page.get_by_role("link", name="Open the page again").click()
        grower.press("Connect John Deere")
        grower.reads("Sign in")


@ON_ONE_DATABASE
def test_the_way_is_walked_with_the_keyboard_alone(scenes: Scenes, chromium: Browser) -> None:
    with watched(chromium, size=DESKTOP) as (page, _):
        grower = Walker(page)
        page.goto(scenes.link())
        _tab_to(page, "Connect John Deere")
        page.keyboard.press("Enter")
        grower.reads("Sign in")
        _tab_to(page, "one-farm")
        page.keyboard.press("Enter")
        grower.reads("Allow access?")
        _tab_to(page, "Allow Access")
        page.keyboard.press("Enter")
        grower.reads("Choose organizations")
        _tab_to(page, "Smith Farms")
        page.keyboard.press("Space")
        _tab_to(page, "Save")
        page.keyboard.press("Enter")
        grower.reads("Connected")


@ON_ONE_DATABASE
def test_skip_link_leads_past_the_letterhead(scenes: Scenes, chromium: Browser) -> None:
    with watched(chromium) as (page, _):
        page.goto(scenes.link())
        page.keyboard.press("Tab")
        skip = page.get_by_role("link", name="Skip to the text")
        assert skip.bounding_box() is not None
        page.keyboard.press("Enter")
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.id") == "next"


def _tab_to(page: Page, name: str) -> None:
    """Press Tab until something with this text or label has the focus."""
    for _ in range(60):
        page.keyboard.press("Tab")
        if (
            page.evaluate(
                "() => { const one = document.activeElement;"
                " return (one.labels?.[0] ?? one).textContent.trim(); }"
            )
            == name
        ):
            return
    raise AssertionError(f"the Tab key never comes to {name!r} on {page.url}")


@EACH_WAY
def test_grower_disconnects_and_the_page_says_so_by_itself_once_it_is_true(
    scenes: Scenes, control: Control, chromium: Browser, size: ViewportSize, script: bool
) -> None:
    person = scenes.person()
    person.connect("one-farm")
    person.wait_for_code("connected")
    match = {"external_id": person.external_id}
    control.add_fault("leaf.credentials.delete", "hang", times=1, match=match)
    with watched(chromium, size=size, script=script) as (page, watch):
        grower = Walker(page)
        page.goto(person.link)
        page.get_by_role("link", name="Disconnect …").click()
        grower.reads("Disconnect John Deere?")
        page.get_by_role("link", name="No, keep it connected").click()
        grower.reads("Connected")
        page.get_by_role("link", name="Disconnect …").click()
        grower.press("Disconnect")
        grower.reads("Disconnecting")
        loads = watch.loads(person.link)
        assert person.at_leaf() != []
        control.clear_faults()
        grower.reads("Disconnected")
        assert page.url == person.link
        assert person.at_leaf() == []
        assert (watch.loads(person.link) > loads) is (not script)
        page.get_by_role("link", name="Open my connections at John Deere").click()
        grower.reads("Sign in")
        grower.press("one-farm")
        grower.reads("Connections")
        grower.press("Remove Connection of Smith Farms")
        expect(page.get_by_text("No organization is shared")).to_be_visible()


@ON_ONE_DATABASE
def test_grower_who_revoked_in_march_connects_again_on_the_phone_from_the_mail(
    scenes: Scenes, control: Control, chromium: Browser
) -> None:
    hour, account = timedelta(hours=1), "one-farm"
    scenes.stack.cli("leaf", "alerts", "register")
    grower = scenes.mailed()
    grower.person.connect(account)
    grower.person.wait_for_code("connected")
    wait_until(grower.mails, what="the mail that it works has come")
    control.move_clock(until_march(hour=20))
    grower.look_at_leaf()
    control.set_policies(leaf_finds_out_after_seconds=6 * 3600)
    control.revoke(account)
    grower.look_at_leaf()
    assert grower.person.connection().health is Health.OK, "Leaf does not know yet"
    control.move_clock(7 * hour)
    wait_until(
        lambda: grower.person.connection().health is Health.UNAUTHENTICATED,
        what="Leaf's alert has made us look",
    )
    control.move_clock(2 * hour)
    wait_until(lambda: len(grower.mails()) == 2, what="the mail about it has come")
    with watched(chromium) as (page, _):
        page.goto(f"{scenes.stack.sandbox_url}/mail")
        mine = page.get_by_role("row").filter(has_text=grower.address)
        mine.get_by_role("link", name="Please connect again").click()
        letter = page.frame_locator("iframe")
        with page.context.expect_page() as opened:
            letter.get_by_role("link", name="Open the page", exact=True).click()
        phone = Walker(opened.value)
        phone.reads("Please connect again")
        phone.press("Connect again")
        phone.reads("Sign in")
        # Agreed and shared already: from signing in straight to our own page.
        phone.press(account)
        phone.reads("Connected")
    wait_until(lambda: len(grower.mails()) == 3, what="the mail that it works again has come")
    control.move_clock(timedelta(days=10))  # longer than until a reminder
    grower.look_at_leaf()
    assert [mail["subject"] for mail in grower.deliver()] == [
        "Prairie Co-op: John Deere is connected",
        "Prairie Co-op: Please connect again",
        "Prairie Co-op: John Deere is connected",
    ]
    shown = scenes.stack.cli("connection", "show", grower.person.connection().reference).stdout
    assert "repaired" in shown
