"""What a browser noticed: complaints on its console, requests that left, bytes that came."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from playwright.sync_api import BrowserContext, ConsoleMessage, Page, Request, WebError

from tests.browser.cases import Case

OURS = {"localhost", "127.0.0.1"}
LOUD = {"error", "warning"}


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
    """

    def __init__(self, page: Page) -> None:
        self.sizes: dict[str, int] = {}
        self._asked: dict[str, str] = {}
        session = page.context.new_cdp_session(page)
        session.on("Network.requestWillBeSent", self._begins)
        session.on("Network.loadingFinished", self._ends)
        session.send("Network.enable")
        session.send("Network.setCacheDisabled", {"cacheDisabled": True})

    @property
    def total(self) -> int:
        """Bytes in all."""
        return sum(self.sizes.values())

    def _begins(self, event: dict[str, Any]) -> None:
        if event["type"] == "Document":
            self._asked.clear()
            self.sizes.clear()
        self._asked[event["requestId"]] = event["request"]["url"]

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
