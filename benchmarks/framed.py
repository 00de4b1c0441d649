"""The frame in real Chromium: what it loads, and how soon it shows what has happened."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from time import perf_counter
from urllib.parse import urlsplit

from playwright.sync_api import Browser, Frame, Page, expect

from tests.browser.portal import Portal
from tests.browser.walker import Walker
from tests.support.browser import DESKTOP, visitor
from tests.support.people import People, Person
from tests.support.wait import wait_until

SLUG = "framed"
LOADER = "embed.js"
LOADER_PATH = f"/static/{LOADER}"
BUTTON = "Connect John Deere"
MS = 1000
ACCOUNTS = ("one-farm", "already-connected")
"""With the first the window stays open, and nothing but its own asking tells the frame; with the
second it closes itself, and the portal's window has the focus again."""
NOTE_CHANGES = """() => {
  window.changes = [];
  const title = document.getElementById("title");
  new MutationObserver(() => changes.push(Date.now())).observe(title, {childList: true});
}"""


@dataclass(frozen=True)
class Opening:
    """All that a browser loads until the frame's button can be pressed.

    :ivar sizes: bytes of the bodies as they are sent, by path; the portal's own page is not there
    :ivar ms: how long it took each time, from the start of the portal's page, with an empty cache
    """

    sizes: dict[str, int]
    ms: Sequence[float]

    @property
    def of_frame(self) -> int:
        """Bytes without the loader, which is the portal's."""
        return sum(size for path, size in self.sizes.items() if path != LOADER_PATH)


def opening(browser: Browser, people: People, portal: Portal, times: int) -> Opening:
    """Open the portal so many times, each time in a new browser."""
    portal.embed(people.invited(partner=SLUG))
    took: list[float] = []
    sizes: dict[str, int] = {}
    for _ in range(times):
        sizes.clear()
        with visitor(browser, size=DESKTOP) as context:
            page = context.new_page()
            page.on(
                "requestfinished",
                lambda request: sizes.update({request.url: request.sizes()["responseBodySize"]}),
            )
            began = perf_counter()
            page.goto(f"{portal.origin}/")
            page.frame_locator("iframe").get_by_role("link", name=BUTTON).wait_for()
            took.append((perf_counter() - began) * MS)
    app = urlsplit(portal.stack.public_url).netloc
    return Opening(
        {urlsplit(url).path: size for url, size in sizes.items() if urlsplit(url).netloc == app},
        took,
    )


def lags(browser: Browser, people: People, portal: Portal, walks: int) -> dict[str, list[float]]:
    """How many seconds after the callback's commit the frame shows it, by account.

    The moment is the one that the callback writes into the row, just before it commits.
    """
    found: dict[str, list[float]] = {account: [] for account in ACCOUNTS}
    for number in range(walks):
        account = ACCOUNTS[number % len(ACCOUNTS)]
        person = people.invited(partner=SLUG)
        portal.embed(person)
        portal.stack.control.reset()  # nobody has consented with this account yet
        with visitor(browser, size=DESKTOP) as context:
            found[account].append(_lag(context.new_page(), portal, person, account))
    return found


def _lag(page: Page, portal: Portal, person: Person, account: str) -> float:
    page.goto(f"{portal.origin}/")
    button = page.frame_locator("iframe").get_by_role("link", name=BUTTON)
    button.wait_for()
    frame = page.frames[1]
    frame.evaluate(NOTE_CHANGES)
    with page.expect_popup() as opened:
        button.click()
    walker = Walker(opened.value)
    walker.press(BUTTON)
    walker.reads("Sign in")
    walker.press(account)
    walker.reads("Allow access?")
    expect(page.frame_locator("iframe").get_by_role("heading", level=1)).not_to_have_text(BUTTON)
    # At any moment between two questions of the frame, not always soon after one.
    page.wait_for_timeout(random.uniform(0, MS))
    walker.press("Allow Access")
    wait_until(lambda: person.connection().token_received_at is not None, what="the callback")
    received = person.connection().token_received_at
    assert received is not None
    since = received.timestamp() * MS
    wait_until(lambda: bool(_changes(frame, since)), what="the frame shows it")
    return (_changes(frame, since)[0] - since) / MS


def _changes(frame: Frame, since: float) -> list[float]:
    noted: list[float] = frame.evaluate("changes")
    return [moment for moment in noted if moment >= since]
