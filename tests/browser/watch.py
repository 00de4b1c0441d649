"""What a browser noticed: complaints on its console, requests that left, bytes that came."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from playwright.sync_api import BrowserContext, ConsoleMessage, Page, Request, WebError

from tests.browser.cases import Case

OURS = {"localhost", "127.0.0.1"}
LOUD = {"error", "warning"}


TOO_WIDE = """() =>
  [...document.querySelectorAll("body *:not(.unseen, .unseen *, .skip)")]
    .filter((one) => {
      if (one.parentElement.closest(".scrolled")) return false;
      const box = one.getBoundingClientRect();
      return box.width && (box.right > innerWidth + 0.5 || box.left < -0.5
        || (one.matches("h1, h2, p, li, a, button, strong")
            && one.clientWidth && one.scrollWidth > one.clientWidth + 1));
    })
    .map((one) => `${one.tagName}.${one.className}: ${one.textContent.trim().slice(0, 60)}`)
"""

FOCUSED = """() => {
  const one = document.activeElement;
  if (one === document.body) return null;
  const box = one.getBoundingClientRect();
  const style = getComputedStyle(one);
  return {
    id: one.id, text: one.textContent.trim(), place: one.closest("main") ? "main" : "outside",
    x: box.x, y: box.y + scrollY, seen: box.top >= 0 && box.bottom <= innerHeight + 1,
    tall: box.height > innerHeight,
    // The parts of a date draw their rings themselves, where no script sees them.
    ring: one.type === "date"
      || (style.outlineStyle !== "none" && parseFloat(style.outlineWidth) >= 2),
  };
}"""


class Watch:
    """Notes everything that a browser complains about, violations of the CSP included."""

    def __init__(self, *contexts: BrowserContext) -> None:
        self.complaints: list[str] = []
        self._loaded: list[str] = []
        for context in contexts:
            context.on("console", self._said)
            context.on("weberror", self._failed)
            context.on("request", self._asked)

    def loads(self, url: str) -> int:
        """How often a page was navigated to, by whomever."""
        return self._loaded.count(url)

    def _said(self, message: ConsoleMessage) -> None:
        page = message.page
        about_the_page = page is not None and message.location.get("url") == page.url
        # That a page has an error's status is what a test asks for by its status.
        if about_the_page and message.text.startswith("Failed to load resource"):
            return
        if message.type in LOUD:
            self.complaints.append(f"{message.type}: {message.text} ({message.location})")

    def _failed(self, error: WebError) -> None:
        self.complaints.append(f"uncaught: {error.error}")

    def _asked(self, request: Request) -> None:
        if request.is_navigation_request():
            self._loaded.append(request.url)
        if urlsplit(request.url).hostname not in OURS:
            self.complaints.append(f"left the machine: {request.url}")


class Weight:
    """The bytes of the newest page and of everything that it loads, as they are sent.

    :ivar sizes: answers, headers included, in bytes by address
    :ivar kinds: what the browser takes each for, by address
    """

    def __init__(self, page: Page) -> None:
        self.sizes: dict[str, int] = {}
        self.kinds: dict[str, str] = {}
        self._page = page
        self._asked: dict[str, str] = {}
        self._session = session = page.context.new_cdp_session(page)
        session.on("Network.requestWillBeSent", self._begins)
        session.on("Network.loadingFinished", self._ends)
        session.send("Network.enable")
        session.send("Network.setCacheDisabled", {"cacheDisabled": True})

    def stop(self) -> None:
        """The page is there; what it asks for later, to keep itself up to date, is not counted."""
        self._session.detach()

    def icon(self) -> dict[str, int]:
        """The icon, which a browser without a window does not load by itself."""
        url = self._page.locator("link[rel=icon]").evaluate("one => one.href")
        answer = self._page.request.get(url)
        headers = sum(len(one["name"] + one["value"]) + 4 for one in answer.headers_array)
        return {url: len(answer.body()) + headers}

    def _begins(self, event: dict[str, Any]) -> None:
        if event["type"] == "Document":
            for noted in (self._asked, self.sizes, self.kinds):
                noted.clear()
        url = event["request"]["url"]
        self._asked[event["requestId"]] = url
        self.kinds[url] = event["type"]

    def _ends(self, event: dict[str, Any]) -> None:
        if url := self._asked.get(event["requestId"]):
            self.sizes[url] = int(event["encodedDataLength"])


@dataclass(frozen=True)
class Shown:
    """A page as it is on a phone and on a desk."""

    case: Case
    phone: Page
    desk: Page
    weight: Weight
    watch: Watch


def too_wide(page: Page) -> list[str]:
    """What reaches beyond the screen, or has text that does; empty if all is well.

    The page itself never scrolls sideways then, even where it would hide what is too wide.
    """
    found: list[str] = page.evaluate(TOO_WIDE)
    if page.evaluate("document.documentElement.scrollWidth > innerWidth"):
        found.append("the page scrolls sideways")
    return found
