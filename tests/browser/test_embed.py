"""Inside a partner's portal, in a browser that keeps sites apart as users' browsers do."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
import sqlalchemy as sa
from playwright.sync_api import Browser, BrowserContext, FrameLocator, Page, expect

from onboarding.models import Link
from onboarding.states import LinkKind
from tests.browser.portal import LOOSE, WITHOUT_ORIGIN, WITHOUT_POPUPS, Portal, portal
from tests.browser.walker import Walker
from tests.support.browser import ARGUMENTS, DESKTOP, program, visitor
from tests.support.people import People, Person
from tests.support.stack import Stack
from tests.support.wait import wait_until

pytestmark = pytest.mark.parametrize("database", ["sqlite"], indirect=True, scope="session")

APART = (
    "--test-third-party-cookie-phaseout",
    "--enable-features=ThirdPartyStoragePartitioning",
)
"""No third-party cookie, and storage for each top-level site; Playwright's own start switches the
second off."""
SLUG = "framed"


@pytest.fixture(scope="module")
def apart(chromium: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """Chromium as users have it."""
    folder = tmp_path_factory.mktemp("chromium")
    started = subprocess.Popen(
        [
            str(program()),
            "--headless=new",
            "--no-sandbox",
            "--remote-debugging-port=0",
            f"--user-data-dir={folder}",
            *APART,
            *ARGUMENTS,
            "about:blank",
        ],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        told = folder / "DevToolsActivePort"
        wait_until(lambda: told.exists() and told.read_text().count("\n"), what="Chromium is there")
        port = told.read_text().splitlines()[0]
        browser = chromium.browser_type.connect_over_cdp(f"http://127.0.0.1:{port}")
        yield browser
        browser.close()
    finally:
        started.terminate()
        started.wait(timeout=30)


@pytest.fixture
def framed(stack: Stack) -> Iterator[Portal]:
    with portal(stack, SLUG) as made:
        yield made


@contextmanager
def at(browser: Browser, made: Portal) -> Iterator[tuple[BrowserContext, Page]]:
    """A browser that has opened the portal."""
    with visitor(browser, size=DESKTOP) as context:
        page = context.new_page()
        page.goto(f"{made.origin}/")
        yield context, page


def frame(page: Page) -> FrameLocator:
    return page.frame_locator("iframe")


def opened_by(context: BrowserContext, page: Page) -> Walker:
    """Press the frame's button; who then sits before the window that opens."""
    with context.expect_page() as opened:
        frame(page).get_by_role("link", name="Connect John Deere").click()
    return Walker(opened.value)


def consent(walker: Walker) -> None:
    walker.press("Connect John Deere")
    walker.reads("Sign in")
    walker.press("already-connected")
    walker.reads("Allow access?")
    walker.press("Allow Access")


def shows(page: Page, title: str) -> None:
    expect(frame(page).get_by_role("heading", level=1)).to_have_text(title)


def hears(page: Page, event: str, person: Person, state: str) -> None:
    line = f"{event} {person.connection().reference} {state}"
    expect(page.locator("#log")).to_contain_text(line)


@pytest.mark.parametrize(
    ("headers", "sandbox"),
    [
        ({}, None),
        ({"Cross-Origin-Opener-Policy": "same-origin"}, None),
        ({}, LOOSE),
        ({}, WITHOUT_ORIGIN),
    ],
    ids=["plain", "opener severed", "sandbox", "sandbox without origin"],
)
def test_frame_knows_the_truth_whatever_the_portal_is_like(
    people: People,
    framed: Portal,
    apart: Browser,
    headers: dict[str, str],
    sandbox: str | None,
) -> None:
    person = people.invited(partner=SLUG)
    framed.headers, framed.sandbox = headers, sandbox
    framed.embed(person)
    with at(apart, framed) as (context, page):
        shows(page, "Connect John Deere")
        consent(opened_by(context, page))
        shows(page, "Connected")
        assert context.cookies(framed.origin) == []
        if sandbox is None:
            for event, state in (("ready", "invited"), ("connected", "connected")):
                hears(page, event, person, state)
    assert person.at_leaf() != []


def test_frame_knows_it_although_the_sign_in_cuts_its_opener_off(
    people: People, framed: Portal, apart: Browser
) -> None:
    person = people.invited(partner=SLUG)
    framed.embed(person)
    framed.stack.control.set_policies(deere_opener="severed")
    with at(apart, framed) as (context, page):
        walker = opened_by(context, page)
        consent(walker)
        shows(page, "Connected")
        # What the browser does not let us close says so.
        if not walker.page.is_closed():
            expect(walker.page.get_by_text("You can close this window")).to_be_visible()


def test_where_no_window_opens_there_is_a_ladder(
    people: People, framed: Portal, apart: Browser, chromium: Browser
) -> None:
    person = people.invited(partner=SLUG)
    framed.sandbox = WITHOUT_POPUPS
    token = framed.embed(person)
    with at(apart, framed) as (context, page):
        frame(page).get_by_role("link", name="Connect John Deere").click()
        ladder = frame(page).get_by_role("region", name="Did no window open?")
        expect(ladder).to_be_visible()
        expect(ladder.get_by_text("Go on in this window")).to_be_hidden()
        assert len(context.pages) == 1
        ladder.get_by_role("button", name="Go on with a phone: show the code").click()
        expect(ladder.get_by_role("img", name="Code with the link")).to_be_visible()
        with visitor(chromium) as phone:
            walker = Walker(phone.new_page())
            walker.page.goto(f"{framed.stack.public_url}/c/{token}")
            expect(ladder).to_be_hidden()
            consent(walker)
            shows(page, "Connected")


def test_in_the_same_window_the_grower_comes_back_to_the_portal(
    people: People, framed: Portal, apart: Browser
) -> None:
    person = people.invited(partner=SLUG)
    framed.embed(person, return_url=f"{framed.origin}/back?order=5")
    with at(apart, framed) as (_context, page):
        shows(page, "Connect John Deere")
        # As who can open no window would come to it; the ladder shows it then.
        frame(page).locator("#ladder").evaluate("ladder => (ladder.hidden = false)")
        frame(page).get_by_role("link", name="Go on in this window, and come back here").click()
        consent(Walker(page))
        page.wait_for_url(f"{framed.origin}/back?*")
        query = parse_qs(urlsplit(page.url).query)
        assert query.keys() == {"order", "connection", "state"}
        assert query["connection"] == [person.connection().reference]
        shows(page, "Connected")


def test_portal_that_is_loaded_again_and_a_second_frame_know_it_as_well(
    people: People, framed: Portal, apart: Browser
) -> None:
    person = people.invited(partner=SLUG)
    framed.embed(person, theme="dark")
    with at(apart, framed) as (context, page):
        walker = opened_by(context, page)
        walker.press("Connect John Deere")
        walker.reads("Sign in")
        hears(page, "opened", person, "authorizing")
        page.reload()
        second = context.new_page()
        second.goto(f"{framed.origin}/")
        walker.press("already-connected")
        walker.reads("Allow access?")
        walker.press("Allow Access")
        for one in (page, second):
            shows(one, "Connected")
            hears(one, "connected", person, "connected")
        ground = (
            frame(page).locator("main").evaluate("one => getComputedStyle(one).backgroundColor")
        )
        assert ground == "rgb(29, 25, 20)", "dark, as the portal asked"


def test_grower_who_declines_closes_it_and_may_begin_again(
    people: People, framed: Portal, apart: Browser
) -> None:
    person = people.invited(partner=SLUG)
    framed.embed(person)
    with at(apart, framed) as (context, page):
        walker = opened_by(context, page)
        walker.press("Connect John Deere")
        walker.reads("Sign in")
        walker.press("one-farm")
        walker.reads("Allow access?")
        walker.press("Cancel")
        hears(page, "closed", person, "denied")


def test_site_that_is_not_registered_shows_its_own_words_instead(
    stack: Stack, people: People, apart: Browser
) -> None:
    with portal(stack, "elsewhere", registered=False) as made:
        person = people.invited(partner="elsewhere")
        made.embed(person)
        with at(apart, made) as (_context, page):
            expect(page.locator("#log")).to_contain_text("failed undefined frame_refused")
            expect(page.get_by_role("link", name="Connect John Deere by a link")).to_be_visible()
            expect(page.locator("iframe")).to_be_hidden()


def test_token_that_is_over_is_said_in_the_frame_and_to_the_portal(
    people: People, framed: Portal, apart: Browser
) -> None:
    person = people.invited(partner=SLUG)
    framed.embed(person)
    with framed.stack.installation.database.transaction() as session:
        session.execute(
            sa.update(Link)
            .where(Link.kind == LinkKind.EMBED)
            .values(expires_at=person.connection().created_at)
        )
    with at(apart, framed) as (_context, page):
        expect(frame(page).get_by_text("This page was open for too long.")).to_be_visible()
        expect(page.locator("#log")).to_contain_text("token_expired")


def test_without_script_the_portal_shows_what_stands_in_the_element(
    people: People, framed: Portal, chromium: Browser
) -> None:
    framed.embed(people.invited(partner=SLUG))
    with visitor(chromium, script=False) as context:
        page = context.new_page()
        page.goto(f"{framed.origin}/")
        expect(page.get_by_role("link", name="Connect John Deere by a link")).to_be_visible()


def test_loader_that_is_there_twice_does_its_work_once(
    stack: Stack, people: People, framed: Portal, chromium: Browser
) -> None:
    person = people.invited(partner=SLUG)
    framed.embed(person)
    framed.element += f'<script src="{stack.public_url}/static/embed.js"></script>'
    with visitor(chromium, size=DESKTOP) as context:
        page = context.new_page()
        failed: list[str] = []
        page.on("pageerror", lambda error: failed.append(str(error)))
        page.goto(f"{framed.origin}/")
        shows(page, "Connect John Deere")
        hears(page, "ready", person, "invited")
        expect(page.locator("#log li")).to_have_count(1)
    assert failed == []


def test_loader_and_frame_are_light(
    people: People, framed: Portal, chromium: Browser, artifacts: Path
) -> None:
    framed.embed(people.invited(partner=SLUG))
    sizes: dict[str, int] = {}
    with visitor(chromium, size=DESKTOP) as context:
        page = context.new_page()
        page.on(
            "requestfinished",
            lambda request: sizes.update(
                {urlsplit(request.url).path: request.sizes()["responseBodySize"]}
            ),
        )
        page.goto(f"{framed.origin}/")
        shows(page, "Connect John Deere")
        wider = "one => one.scrollWidth - one.clientWidth"
        assert frame(page).locator("html").evaluate(wider) == 0, "with the notice of the sandbox"
        page.screenshot(path=artifacts / "embed-frame.png")
    assert sizes["/static/embed.js"] <= 2048
    # The doctor comes to developers alone.
    others = {"/", "/static/embed.js", "/static/embed-doctor.js", f"/embed/{SLUG}/check"}
    of_frame = [size for path, size in sizes.items() if path not in others]
    assert sum(of_frame) <= 12 * 1024, sizes
