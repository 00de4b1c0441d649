"""What people set in their browser or system: larger text, less motion, their own colours."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest
from playwright.sync_api import Browser, CDPSession, Page, ViewportSize

from onboarding.states import Cause, Health, Stage
from tests.browser.scenes import Scenes
from tests.browser.watch import too_wide
from tests.support.browser import DESKTOP, NARROWEST, PHONE, visitor

pytestmark = pytest.mark.parametrize("database", ["sqlite"], indirect=True, scope="session")

USUAL_FONT_PIXELS, USUAL_FIXED_PIXELS = 16, 13
TORN_WORDS = """() => {
  const torn = [];
  const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walk.nextNode()) {
    const text = walk.currentNode;
    if (text.parentElement.closest(".unseen, .skip, a, .reference")) continue;
    for (const word of text.data.matchAll(/\\p{L}+/gu)) {
      const range = document.createRange();
      range.setStart(text, word.index);
      range.setEnd(text, word.index + word[0].length);
      if (new Set([...range.getClientRects()].map((box) => box.top)).size > 1) torn.push(word[0]);
    }
  }
  return torn;
}"""
"""Words that are broken at no hyphen, beside addresses and codes."""
INK_ON_MARKS = """() => [...document.querySelectorAll(".mark")].map((mark) => {
  const icon = mark.querySelector("svg");
  return [getComputedStyle(icon).stroke, getComputedStyle(mark).backgroundColor];
})"""


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("size", [NARROWEST, PHONE, DESKTOP], ids=["narrow", "phone", "desk"])
def test_text_of_twice_the_size_fits(
    scenes: Scenes, chromium: Browser, artifacts: Path, size: ViewportSize, dark: bool
) -> None:
    links = {
        "start": scenes.link(),
        "connected": scenes.walked("three-farms", ["Oak Hollow"]),
        "unauthenticated": scenes.at_leaf(health=Health.UNAUTHENTICATED),
        "failed": scenes.at_leaf(stage=Stage.FAILED, cause=Cause.GIVEN_UP, handed_over_at=None),
    }
    with visitor(chromium, size=size, dark=dark) as context:
        for name, link in links.items():
            page = context.new_page()
            page.goto(link)
            session = _enlarge_text(page, 2)
            assert too_wide(page) == []
            assert page.evaluate(TORN_WORDS) == []
            path = artifacts / f"{name}-{size['width']}-200{'-dark' if dark else ''}.png"
            path.write_bytes(_picture(page, session))


def test_nothing_moves_for_those_who_do_not_want_it(scenes: Scenes, chromium: Browser) -> None:
    with visitor(chromium) as context:
        page = context.new_page()
        page.goto(scenes.at_leaf(health=Health.UNKNOWN))
        assert page.evaluate("document.getAnimations().length") == 0
        page.emulate_media(reduced_motion="no-preference")
        assert page.evaluate("document.getAnimations().length") > 0


def test_marks_can_be_seen_in_the_colours_of_the_system(
    scenes: Scenes, chromium: Browser, artifacts: Path
) -> None:
    with visitor(chromium) as context:
        page = context.new_page()
        page.emulate_media(forced_colors="active")
        page.goto(scenes.at_leaf(health=Health.MISSING_PERMISSION))
        page.screenshot(path=artifacts / "missing-permission-360-forced.png", full_page=True)
        for ink, ground in page.evaluate(INK_ON_MARKS):
            assert ink != ground


def _enlarge_text(page: Page, times: int) -> CDPSession:
    """As in the browser's settings, so that lengths and breakpoints in `rem` follow."""
    sizes = {"standard": USUAL_FONT_PIXELS * times, "fixed": USUAL_FIXED_PIXELS * times}
    session = page.context.new_cdp_session(page)
    session.send("Page.setFontSizes", {"fontSizes": sizes})
    expected = f"{USUAL_FONT_PIXELS * times}px"
    assert page.evaluate("getComputedStyle(document.documentElement).fontSize") == expected
    return session


def _picture(page: Page, session: CDPSession) -> bytes:
    """The whole page; Playwright's own screenshot would take it with text of the usual size."""
    width, height = page.evaluate("[innerWidth, document.documentElement.scrollHeight]")
    metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
    session.send("Emulation.setDeviceMetricsOverride", metrics)
    return base64.b64decode(session.send("Page.captureScreenshot")["data"])
