"""Every page: a picture of it in both sizes and colours, and what must hold on each."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page

from tests.browser.watch import FOCUSED, Shown, too_wide
from tests.support.browser import NARROWEST, PHONE

pytestmark = pytest.mark.parametrize("database", ["sqlite"], indirect=True, scope="session")

TARGET_PIXELS = 44
MOST_STEPS = 40
SCHEMES: tuple[Literal["light", "dark"], ...] = ("light", "dark")

TOO_SMALL = f"""() =>
  [...document.querySelectorAll("main a, main button, main input:not([type=hidden], .unseen *)")]
    .map((one) => [one.textContent.trim(), one.getBoundingClientRect()])
    .filter(([, box]) => box.height < {TARGET_PIXELS} || box.width < {TARGET_PIXELS})
    .map(([text, box]) => `${{text}}: ${{box.width}} by ${{box.height}}`)
"""


def test_page_is_the_one_that_it_should_be(shown: Shown) -> None:
    for page in (shown.phone, shown.desk):
        assert [one.inner_text() for one in page.locator("h1").all()] == [shown.case.heading]
        assert page.title().startswith(shown.case.heading)


def test_pictures_of_the_page(shown: Shown, artifacts: Path) -> None:
    for page, width in ((shown.phone, 360), (shown.desk, 1280)):
        for scheme in SCHEMES:
            page.emulate_media(color_scheme=scheme)
            picture = artifacts / f"{shown.case.name}-{width}-{scheme}.png"
            page.screenshot(path=picture, full_page=True, animations="disabled")
            assert picture.stat().st_size > 0
        page.emulate_media(color_scheme="light")


def test_axe_finds_nothing_wrong(shown: Shown) -> None:
    found = Axe().run(shown.phone)
    assert found.violations_count == 0, found.generate_report()
    # The other size and the other colours: what else axe looks at is the same page.
    shown.desk.emulate_media(color_scheme="dark")
    found = Axe().run(shown.desk, options={"runOnly": ["color-contrast"]})
    assert found.violations_count == 0, found.generate_report()
    shown.desk.emulate_media(color_scheme="light")


def test_nothing_is_wider_than_the_narrowest_phone(shown: Shown, artifacts: Path) -> None:
    shown.phone.set_viewport_size(NARROWEST)
    picture = artifacts / f"{shown.case.name}-320-light.png"
    shown.phone.screenshot(path=picture, full_page=True, animations="disabled")
    assert too_wide(shown.phone) == []
    shown.phone.set_viewport_size(PHONE)


def test_every_target_is_as_large_as_a_finger(shown: Shown) -> None:
    assert shown.phone.evaluate(TOO_SMALL) == []


def test_keyboard_leads_to_the_next_step_in_the_order_of_reading(shown: Shown) -> None:
    for page in (shown.phone, shown.desk):
        steps = _tab_through(page)
        assert steps[0]["text"] == "Skip to the text"
        assert all(step["ring"] for step in steps), steps
        assert all(step["seen"] for step in steps), steps
        inside = [step for step in steps if step["place"] == "main"]
        assert inside == sorted(inside, key=lambda step: (round(step["y"]), step["x"]))
        if page.locator("#next").count():
            assert inside[0]["id"] == "next"


def test_browser_has_nothing_to_complain_about(shown: Shown) -> None:
    assert shown.watch.complaints == []


def _tab_through(page: Page) -> list[dict[str, Any]]:
    """What the Tab key comes by, from the top of the page to its end."""
    page.evaluate("() => { document.activeElement.blur(); scrollTo(0, 0); }")
    steps: list[dict[str, Any]] = []
    for _ in range(MOST_STEPS):
        page.keyboard.press("Tab")
        step = page.evaluate(FOCUSED)
        if step is None or (steps and step["text"] == steps[0]["text"]):
            return steps
        steps.append(step)
    raise AssertionError(f"no end after {MOST_STEPS} steps: {steps}")
