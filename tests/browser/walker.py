"""A grower who walks through a real browser, seeing and pressing what is on the screen."""

from __future__ import annotations

from collections.abc import Collection

from playwright.sync_api import Page, expect

UPDATE_MILLISECONDS = 60_000
"""For what a page has to find out by itself, without script by loading itself again."""


class Walker:
    """One person in front of one page; each step presses what a person would press."""

    def __init__(self, page: Page) -> None:
        self.page = page

    def press(self, name: str) -> None:
        """Press the button with this text."""
        self.page.get_by_role("button", name=name, exact=True).click()

    def connect(self, link: str, account: str, organizations: Collection[str]) -> None:
        """From the link to the page that says what happened."""
        self.authorize(link, account)
        self.choose(organizations)

    def authorize(self, link: str, account: str) -> None:
        """From the link through sign-in and consent."""
        self.page.goto(link)
        self.press("Connect John Deere")
        self.reads("Sign in")
        self.press(account)
        self.reads("Allow access?")
        self.press("Allow Access")

    def choose(self, organizations: Collection[str]) -> None:
        """Tick organizations on John Deere's page and save."""
        self.reads("Choose organizations")
        for name in organizations:
            self.page.get_by_label(name, exact=True).check()
        self.press("Save")

    def reads(self, heading: str) -> None:
        """Wait until a page has this heading; the person only looks."""
        expect(self.page.get_by_role("heading", level=1)).to_have_text(heading)
