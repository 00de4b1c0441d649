"""What others try with a frame and its windows, and what happens when growers do things twice."""

from __future__ import annotations

import re

from playwright.sync_api import Browser, Route, expect

from tests.browser.portal import Portal, portal
from tests.browser.test_embed import (
    SLUG,
    apart,
    at,
    consent,
    framed,
    hears,
    opened_by,
    pytestmark,
    shows,
)
from tests.browser.walker import Walker
from tests.support.browser import DESKTOP, visitor
from tests.support.people import People
from tests.support.stack import Stack

__all__ = ["apart", "framed", "pytestmark"]  # the fixtures

FORGER = """<script>
  let heard = 0, said = 0;
  onmessage = ({ data }) => data?.from === "connect-john-deere" && (heard += 1);
  const forged = { from: "connect-john-deere", type: "event", event: "connected", state: "FORGED" };
  setInterval(() => {
    parent.postMessage(forged, "*");
    parent[0].postMessage({ to: "connect-john-deere", token: "STOLEN" }, "*");
    document.body.dataset.seen = `${(said += 1) > 5} ${heard}`;
  }, 50);
</script>"""


def test_callback_in_another_profile_or_a_second_time_changes_nothing(
    people: People, framed: Portal, apart: Browser, chromium: Browser
) -> None:
    person = people.invited(partner=SLUG)
    framed.embed(person)
    callbacks: list[str] = []

    def keep(route: Route) -> None:
        answer = route.fetch(max_redirects=0)
        if "/deere/callback" not in answer.headers.get("location", ""):
            route.fulfill(response=answer)
            return
        callbacks.append(answer.headers["location"])
        route.fulfill(body="<h1>The grower's network is gone</h1>", content_type="text/html")

    with at(apart, framed) as (context, page):
        walker = opened_by(context, page)
        context.route(re.compile("/authorize"), keep)
        consent(walker)
        walker.reads("The grower's network is gone")
        with visitor(chromium, size=DESKTOP) as stranger:
            elsewhere = Walker(stranger.new_page())
            elsewhere.page.goto(callbacks[0])
            elsewhere.reads("You started in another browser")
        assert person.connection().token_received_at is None
        hears(page, "opened", person, "authorizing")

        walker.page.goto(callbacks[0])
        shows(page, "Connected")
        again = context.new_page()
        again.goto(callbacks[0])
        expect(again.get_by_role("heading", level=1)).to_have_text("Connected")
        shows(page, "Connected")
        assert len(person.at_leaf()) == 1


def test_two_windows_at_once_end_in_one_connection(
    people: People, framed: Portal, apart: Browser
) -> None:
    person = people.invited(partner=SLUG)
    framed.embed(person)
    with at(apart, framed) as (context, page):
        second = context.new_page()
        second.goto(f"{framed.origin}/")
        walkers = [opened_by(context, one) for one in (page, second)]
        for walker in walkers:
            walker.press("Connect John Deere")
            if walker is walkers[0]:  # for both: it is one browser
                walker.press("already-connected")
            walker.reads("Allow access?")
        for walker in walkers:
            walker.press("Allow Access")
            for one in (page, second):
                shows(one, "Connected")
    assert len(person.at_leaf()) == 1


def test_foreign_windows_are_neither_believed_nor_told(
    stack: Stack, people: People, framed: Portal, chromium: Browser
) -> None:
    stolen = framed.embed(people.invited(partner=SLUG))
    person = people.invited(partner=SLUG)
    framed.embed(person)
    empty = f'<iframe src="{stack.public_url}/embed/{SLUG}"></iframe>'
    with portal(stack, "forger") as forger:
        forger.element = FORGER.replace("STOLEN", stolen)
        framed.element = f'{empty}{framed.element}<iframe src="{forger.origin}/"></iframe>'
        with visitor(chromium, size=DESKTOP) as context:
            page = context.new_page()
            page.goto(f"{framed.origin}/")
            hears(page, "ready", person, "invited")
            forged = page.frame_locator(f'iframe[src^="{forger.origin}"]').locator("body")
            expect(forged).to_have_attribute("data-seen", "true 0")
            expect(page.locator("#log")).not_to_contain_text("FORGED")
            # The frame that has no token took none from a page that does not hold it.
            bare = page.frame_locator("iframe").first
            expect(bare.locator("#told")).to_be_hidden()
            expect(bare.locator("#note")).to_contain_text("can’t be shown", timeout=10_000)
            page.evaluate(
                "token => frames[0].postMessage({ to: 'connect-john-deere', token }, '*')", stolen
            )
            expect(bare.locator("#told")).to_be_visible()
