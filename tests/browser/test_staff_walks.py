"""What staff come to the dashboard for, in Chromium, over the demo world."""

from __future__ import annotations

import re
from collections.abc import Iterator

from playwright.sync_api import Browser, Page, expect

from onboarding.states import Role
from tests.browser.camera import photograph
from tests.browser.staff import DESK, World
from tests.browser.walker import Walker
from tests.browser.watch import Watch
from tests.support.browser import visitor

MANY = 500


def _press(page: Page, name: str) -> None:
    page.get_by_role("button", name=name, exact=True).click()


def _begin(page: Page) -> None:
    """Confirm what the page asks."""
    page.locator("main button.button").click()


def test_staff_sign_in_with_the_password_that_is_printed_and_come_where_they_wanted(
    world: World, chromium: Browser
) -> None:
    with visitor(chromium, size=DESK) as context:
        page = context.new_page()
        world.open(page, "/staff/system")
        expect(page.locator("h1")).to_have_text("Sign in")
        page.get_by_label("E-mail address").fill("admin@sandbox.example")
        page.get_by_label("Password").fill("not-the-one-that-was-printed")
        _press(page, "Sign in")
        assert page.get_by_label("E-mail address").input_value() == "admin@sandbox.example"
        page.get_by_label("Password").fill(world.passwords["admin@sandbox.example"])
        _press(page, "Sign in")
        expect(page.locator("h1")).to_have_text("System")
        expect(page.locator(".who")).to_contain_text("Robin Avery")


def test_operator_finds_a_broken_connection_sends_a_new_link_and_sees_it_repaired(
    world: World, chromium: Browser
) -> None:
    broken = world.broken()
    with (
        world.at_desk(chromium, Role.OPERATOR) as desk,
        visitor(chromium) as phone,
    ):
        watch, page = Watch(desk, phone), desk.new_page()
        world.open(page, "/staff/connections")
        # By the keyboard alone, from the search to the connection's page.
        page.keyboard.press("/")
        page.keyboard.type(broken.reference)
        page.keyboard.press("Enter")
        row = page.locator("tbody tr")
        expect(row).to_have_count(1)
        expect(row).to_contain_text("Must connect again")
        page.keyboard.press("j")
        page.keyboard.press("Enter")
        expect(page.locator("h1")).to_have_text(broken.grower.name)
        standing = page.locator(".standing")
        expect(standing).to_contain_text("Must connect again")
        expect(standing).to_contain_text("The grower’s turn.")
        _press(page, "New link")
        expect(page.locator("h1")).to_have_text("New link")
        link = photograph(page.locator("svg.qr"))
        assert link == page.locator("#address").inner_text()

        grower = Walker(phone.new_page())
        grower.page.goto(link)
        grower.reads("Please connect again")
        page.get_by_role("link", name="Back to the connection").click()
        expect(page.locator(".timeline li").first).to_contain_text("Opened a link")
        grower.press("Connect again")
        grower.reads("Sign in")
        grower.page.get_by_label("User name").fill(world.account_of(broken))
        grower.page.get_by_label("Password").fill("sandbox")
        grower.press("Sign in")
        grower.reads("Allow access?")
        grower.press("Allow Access")
        grower.reads("Connected")

        page.reload()
        expect(standing).to_contain_text("Connected")
        expect(standing).to_contain_text("Nobody has to do anything.")
        told = page.locator(".timeline")
        expect(told).to_contain_text("Leaf holds the new permission instead of the old one")
        expect(told).to_contain_text("New link made")
        assert watch.complaints == []


def test_table_answers_in_place_with_the_address_and_the_focus_and_by_plain_requests_alike(
    world: World, chromium: Browser
) -> None:
    seen = []
    for script in (True, False):
        with world.at_desk(chromium, script=script) as context:
            watch, page = Watch(context), context.new_page()
            world.open(page, "/staff/connections?size=25")
            if script:
                page.evaluate("window.still = true")
            else:
                page.get_by_text("Filters", exact=True).click()
            seen.append([*_questions(page, script=script)])
            if script:
                assert page.evaluate("window.still"), "the page has not been loaded anew"
                page.go_back()
                expect(page).to_have_url(re.compile(r"sort=name&size=25$"))
                expect(page.locator("#by-name-order")).to_be_visible()
                expect(page.locator("[aria-sort=ascending]")).to_contain_text("Grower")
            assert watch.complaints == []
            if script:
                context.set_offline(True)
                page.get_by_label("Whose turn").select_option("staff")
                # Nobody takes old rows for an answer: the browser itself says that it is offline.
                expect(page.locator("#found")).to_have_count(0)
    in_place, plain = seen
    assert in_place == plain
    grower, by_name, further, found, without = plain
    assert without == by_name
    assert len({tuple(rows) for rows in (grower, by_name, further, found)}) == 4


def _questions(page: Page, *, script: bool) -> Iterator[list[str]]:
    """Ask the table one thing after the other; the rows that it answers with."""
    count, live = page.locator("#count"), page.locator("#live")

    def rows(address: str, focused: str = "") -> list[str]:
        expect(page).to_have_url(re.compile(address))
        expect(page.locator("#found.htmx-request")).to_have_count(0)
        if script:
            expect(live).to_have_text(count.inner_text())
            expect(page.locator(f"#{focused or 'count'}")).to_be_focused()
        return [one.strip() for one in page.locator("td.code").all_inner_texts()]

    if script:
        page.get_by_text("Filters", exact=True).click()
    page.get_by_label("Whose turn").focus()
    page.get_by_label("Whose turn").select_option("grower")
    if not script:
        _press(page, "Show")
    yield rows("turn=grower", "by-turn")
    page.get_by_role("link", name="Grower", exact=True).focus()
    page.keyboard.press("Enter")
    yield rows("sort=name", "by-name-order")
    page.get_by_role("link", name="Next").click()
    yield rows("after=")
    page.get_by_label("Search").press_sequentially("ranch")
    if not script:
        page.keyboard.press("Enter")
    yield rows("q=ranch", "q")
    page.get_by_role("link", name="Without Search: ranch").click()
    expect(page.get_by_label("Search")).to_have_value("")
    yield rows("turn=grower")
    page.get_by_role("link", name="Show all").click()
    expect(page.get_by_label("Whose turn")).to_have_value("")


def test_many_are_rechecked_at_once_and_the_page_shows_how_far_it_is(
    world: World, chromium: Browser
) -> None:
    with world.at_desk(chromium, Role.OPERATOR) as desk:
        watch, page = Watch(desk), desk.new_page()
        world.open(page, "/staff/connections?turn=grower")
        page.locator("#pick-all").check()
        _press(page, "Recheck")
        _begin(page)
        progress = page.locator("#progress progress")
        page.wait_for_function(
            "() => { const bar = document.querySelector('#progress progress');"
            " return bar && bar.value && bar.value === bar.max; }"
        )
        assert int(progress.get_attribute("max") or 0) >= MANY
        expect(page.locator("#progress")).to_contain_text("answered by Leaf since")
        # The page kept itself up to date: nobody loaded it again.
        assert watch.loads(page.url) == 1
        assert watch.complaints == []
