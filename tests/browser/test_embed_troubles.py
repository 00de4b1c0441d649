"""What growers see of a frame that comes late, is answered badly, or has lost what they were at."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Locator, Page, Route, expect

from onboarding.staff import partners
from tests.browser.camera import photograph
from tests.browser.portal import WITHOUT_POPUPS, Portal, portal
from tests.browser.test_embed import SLUG, frame, framed, hears, pytestmark, shows
from tests.support.browser import DESKTOP, visitor
from tests.support.people import People
from tests.support.stack import Stack
from tests.support.wait import wait_until

__all__ = ["framed", "pytestmark"]  # the fixture

PATIENCE = 8000
"""Milliseconds in which a frame has to come."""
OWN_WORDS = "Connect John Deere by a link"


@pytest.fixture
def page(chromium: Browser) -> Iterator[Page]:
    with visitor(chromium, size=DESKTOP) as context:
        yield context.new_page()


def is_asked_for(page: Page, path: str) -> None:
    """Wait until it was answered anew, and all is done that the answer before brought."""
    for _ in range(2):
        page.wait_for_event("response", lambda answer: answer.url.endswith(path))


def is_refused(page: Page, made: Portal) -> None:
    """Open the portal and wait so long that its loader gives the frame up."""
    page.clock.install()
    page.goto(f"{made.origin}/", wait_until="domcontentloaded")
    page.clock.fast_forward(PATIENCE)
    expect(page.locator("#log")).to_contain_text("failed undefined frame_refused")
    expect(page.get_by_role("link", name=OWN_WORDS)).to_be_visible()
    expect(page.locator("iframe")).to_be_hidden()


def comes(page: Page) -> None:
    """Wait for the frame, instead of what stands inside the element."""
    shows(page, "Connect John Deere")
    expect(page.locator("iframe")).to_be_visible()
    expect(page.get_by_role("link", name=OWN_WORDS)).to_be_hidden()


def ladder(page: Page) -> Locator:
    """What is offered to who sees no window."""
    return frame(page).get_by_role("region", name="Did no window open?")


def shown_ladder(page: Page) -> Locator:
    """As who can open no window would come to it."""
    shows(page, "Connect John Deere")
    frame(page).locator("#ladder").evaluate("ladder => (ladder.hidden = false)")
    return ladder(page)


def test_frame_that_comes_late_is_shown_after_all(
    people: People, framed: Portal, page: Page
) -> None:
    person = people.invited(partner=SLUG)
    framed.embed(person)
    held: list[Route] = []
    page.route(re.compile(f"/embed/{SLUG}$"), lambda route: held.append(route))
    is_refused(page, framed)
    held[0].continue_()
    comes(page)
    hears(page, "ready", person, "invited")


def test_new_token_after_a_refusal_brings_the_frame_alone(
    stack: Stack, people: People, page: Page
) -> None:
    person = people.invited(partner="elsewhere")
    with portal(stack, "elsewhere", registered=False) as made:
        token = made.embed(person)
        is_refused(page, made)
        with stack.installation.database.transaction() as session:
            partner = partners.named(session, "elsewhere")
            partner.frame_origins = [made.origin]
        give = "(element, token) => element.setAttribute('token', token)"
        element = page.locator("connect-john-deere")
        element.evaluate(give, token)
        comes(page)
        hears(page, "ready", person, "invited")
        element.evaluate(give, "")
        expect(page.get_by_role("link", name=OWN_WORDS)).to_be_visible()
        expect(page.locator("iframe")).to_have_count(0)


def test_who_listens_late_finds_the_last_event(people: People, framed: Portal, page: Page) -> None:
    person = people.invited(partner=SLUG)
    framed.embed(person)
    page.goto(f"{framed.origin}/")
    hears(page, "ready", person, "invited")
    element = page.locator("connect-john-deere")
    told = "({ told: { type, detail } }) => [type, detail.connection, detail.state]"
    assert element.evaluate(told) == ["ready", person.connection().reference, "invited"]
    # Nothing yet of another token.
    again = "element => { element.setAttribute('token', 'another'); return element.told }"
    assert element.evaluate(again) is None
    expect(page.locator("#log")).to_contain_text("failed undefined token_invalid")
    assert element.evaluate("({ told }) => told.detail.state") == "token_invalid"


def test_page_without_elements_has_the_frame_by_a_function(
    people: People, framed: Portal, page: Page
) -> None:
    person = people.invited(partner=SLUG)
    token = framed.embed(person)
    framed.element = '<div id="target"></div>'
    page.goto(f"{framed.origin}/")
    page.evaluate(
        "options => (window.made = connectJohnDeere(document.getElementById('target'), options))",
        {"partner": SLUG, "token": token},
    )
    shows(page, "Connect John Deere")
    hears(page, "ready", person, "invited")
    page.evaluate("made.close()")
    expect(page.locator("iframe")).to_have_count(0)


def test_link_stays_where_it_can_not_be_copied_until_the_grower_has_gone_on(
    people: People, framed: Portal, page: Page
) -> None:
    person = people.invited(partner=SLUG)
    framed.sandbox = WITHOUT_POPUPS
    token = framed.embed(person)
    page.goto(f"{framed.origin}/")
    # What appears in it later is read out.
    expect(frame(page).locator("[aria-live=polite] #ladder")).to_be_hidden()
    frame(page).get_by_role("link", name="Connect John Deere").click()
    ladder(page).get_by_role("button", name="Copy the link").click()
    link = ladder(page).get_by_text(f"{framed.stack.public_url}/c/{token}")
    expect(link).to_be_visible()
    is_asked_for(page, "/state")
    expect(link).to_be_visible()
    person.authorize("already-connected")  # by the link that came by mail
    shows(page, "Connected")
    expect(ladder(page)).to_be_hidden()


def test_that_the_link_was_copied_stays_to_be_read(
    people: People, framed: Portal, page: Page
) -> None:
    framed.embed(people.invited(partner=SLUG))
    page.context.grant_permissions(["clipboard-write"])
    page.goto(f"{framed.origin}/")
    shown_ladder(page).get_by_role("button", name="Copy the link").click()
    expect(ladder(page).get_by_text("Copied.")).to_be_visible()
    is_asked_for(page, "/state")
    expect(ladder(page).get_by_text("Copied.")).to_be_visible()


def test_code_that_is_slow_comes_once_and_one_that_is_refused_leaves_the_link(
    people: People, framed: Portal, page: Page
) -> None:
    token = framed.embed(people.invited(partner=SLUG))
    held: list[Route] = []
    page.route("**/qr", lambda route: held.append(route))
    page.goto(f"{framed.origin}/")
    button = shown_ladder(page).get_by_role("button", name="Go on with a phone")
    code = frame(page).locator("#code")

    def are_held(times: int) -> bool:
        page.evaluate("() => {}")  # lets the events of the browser in
        return len(held) == times

    def asked(times: int) -> list[Route]:
        for _ in range(times):
            button.click()
        wait_until(lambda: are_held(times), what="the code is asked for")
        return [held.pop() for _ in range(times)]

    link = ladder(page).get_by_text(f"{framed.stack.public_url}/c/{token}")
    (refused,) = asked(1)
    expect(link).to_have_count(0)
    refused.fulfill(status=429, json={"error": "too_many_requests"})
    expect(link).to_be_visible()
    assert code.evaluate("box => box.childElementCount") == 0

    for one in asked(2):
        with page.expect_response("**/qr"):
            one.continue_()
    expect(code.locator("svg")).to_be_visible()
    is_asked_for(page, "/state")
    expect(code.locator("svg")).to_have_count(1)
    expect(button).to_have_attribute("aria-expanded", "true")
    assert photograph(code) == f"{framed.stack.public_url}/c/{token}"


@pytest.mark.parametrize("status", [503, 429])
def test_frame_that_learns_nothing_says_so_once_and_goes_on_by_itself(
    people: People, framed: Portal, page: Page, status: int
) -> None:
    framed.embed(people.invited(partner=SLUG))
    page.route("**/state", lambda route: route.fulfill(status=status, body="not now"))
    page.goto(f"{framed.origin}/")
    note = frame(page).get_by_text("No connection just now.")
    expect(note).to_be_visible()
    note.evaluate(
        """note => new MutationObserver(() => (note.dataset.again = "yes"))
        .observe(note, { childList: true })"""
    )
    is_asked_for(page, "/state")
    expect(note).not_to_have_attribute("data-again", "yes")
    page.unroute("**/state")
    shows(page, "Connect John Deere")
    expect(note).to_have_count(0)


def test_focus_goes_to_the_heading_when_its_button_goes_and_is_never_taken_from_the_portal(
    people: People, framed: Portal, page: Page
) -> None:
    for is_in_the_frame in (True, False):
        person = people.invited(partner=SLUG)
        framed.embed(person)
        framed.element += '<input id="own">'
        page.goto(f"{framed.origin}/")
        frame(page).get_by_role("link", name="Connect John Deere").focus()
        expect(frame(page).locator("#go")).to_be_focused()
        if not is_in_the_frame:
            page.locator("#own").focus()
        person.authorize("already-connected")
        shows(page, "Connected")
        expect(frame(page).locator("#go")).to_be_hidden()
        focused = frame(page).locator("h1") if is_in_the_frame else page.locator("#own")
        expect(focused).to_be_focused()
