"""The pages that describe the API, as a partner's developer reads them."""

from __future__ import annotations

from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, ViewportSize

from onboarding.views.api import PREFIX
from tests.browser.watch import Watch, too_wide
from tests.support.browser import DESKTOP, NARROWEST, PHONE, visitor
from tests.support.stack import Stack

pytestmark = pytest.mark.parametrize("database", ["sqlite"], indirect=True, scope="session")

LAST = "#events"
"""What stands at the end of the page."""


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("size", [PHONE, DESKTOP], ids=["phone", "desktop"])
def test_description_and_problems_can_be_read(
    stack: Stack, chromium: Browser, artifacts: Path, size: ViewportSize, dark: bool
) -> None:
    with visitor(chromium, size=size, dark=dark) as context:
        watch, page = Watch(context), context.new_page()
        for name in ("docs", "problems"):
            page.set_viewport_size(size)
            page.goto(f"{stack.public_url}{PREFIX}/{name}")
            scheme = "dark" if dark else "light"
            page.screenshot(path=artifacts / f"api-{name}-{size['width']}-{scheme}.png")
            found = Axe().run(page)
            assert found.violations_count == 0, found.generate_report()
            page.set_viewport_size(NARROWEST)
            assert too_wide(page) == []
        assert watch.complaints == []


def test_contents_stay_beside_the_text_on_a_desk(stack: Stack, chromium: Browser) -> None:
    with visitor(chromium, size=DESKTOP, script=False) as context:
        page = context.new_page()
        page.goto(f"{stack.public_url}{PREFIX}/docs{LAST}")
        first = page.locator("nav a").first
        assert (first.bounding_box() or {"y": -1})["y"] >= 0
        first.click()
        assert page.url.endswith("#put_grower")
        assert page.locator("details.above").is_hidden()


def test_contents_open_on_a_phone(stack: Stack, chromium: Browser) -> None:
    with visitor(chromium, size=PHONE, script=False) as context:
        page = context.new_page()
        page.goto(f"{stack.public_url}{PREFIX}/docs")
        assert page.locator("nav").is_hidden()
        page.locator("details.above > summary").click()
        page.locator(f"details.above a[href='{LAST}']").click()
        assert page.locator(LAST).bounding_box() is not None
        assert page.url.endswith(LAST)
