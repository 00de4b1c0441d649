"""A grower without a link, on a phone without script: from the partner's address to connected."""

from __future__ import annotations

from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, expect

from tests.browser.scenes import Scenes
from tests.browser.test_walk import watched
from tests.browser.walker import Walker
from tests.browser.watch import too_wide
from tests.support.browser import NARROWEST
from tests.support.control import Control
from tests.support.mailed import link_in, new_address
from tests.support.wait import wait_until

pytestmark = pytest.mark.parametrize("database", ["sqlite"], indirect=True, scope="session")


def test_grower_asks_for_a_link_and_connects_with_the_one_in_the_mail(
    scenes: Scenes, control: Control, chromium: Browser
) -> None:
    slug, address = scenes.partner("open-walk", "Open Walk Co-op", open_link=True), new_address()
    with watched(chromium, script=False) as (page, _):
        grower = Walker(page)
        page.goto(f"{scenes.stack.public_url}/j/{slug}")
        grower.reads("Connect John Deere")
        # By the keyboard alone, past the field that is for programs.
        page.get_by_label("Farm").focus()
        for typed in ("Elm Farm", "Anna Miller", "anna@farm", "(515) 555-0142"):
            page.keyboard.type(typed)
            page.keyboard.press("Tab")
        page.keyboard.press("Enter")
        expect(page.get_by_text("Write the whole address")).to_be_visible()
        expect(page.get_by_label("E-mail")).to_be_focused()
        expect(page.get_by_label("Your name")).to_have_value("Anna Miller")
        page.get_by_label("E-mail").fill(address)
        page.keyboard.press("Enter")
        grower.reads("Look for our e-mail")

        wait_until(lambda: control.mails(address), what="the worker has mailed the link")
        (mail,) = control.mails(address)
        grower.connect(link_in(mail), "one-farm", ["Smith Farms"])
        grower.reads("Connected")
    with scenes.connection(link_in(mail)) as connection:
        assert connection.grower.external_id == f"open-{connection.reference}"
        assert (connection.grower.name, connection.grower.email) == ("Elm Farm", address)


def test_form_with_what_is_wrong_can_be_read_by_everybody(
    scenes: Scenes, chromium: Browser, artifacts: Path
) -> None:
    slug = scenes.partner("open-walk", "Open Walk Co-op", open_link=True)
    with watched(chromium) as (page, _):
        page.goto(f"{scenes.stack.public_url}/j/{slug}")
        for label, typed in {"Farm": "Elm", "Your name": "Anna", "E-mail": "a@b"}.items():
            page.get_by_label(label).fill(typed)
        Walker(page).press("Send me the link")
        expect(page.get_by_label("E-mail")).to_be_focused()
        found = Axe().run(page)
        assert found.violations_count == 0, found.generate_report()
        page.emulate_media(color_scheme="dark")
        found = Axe().run(page, options={"runOnly": ["color-contrast"]})
        assert found.violations_count == 0, found.generate_report()
        page.set_viewport_size(NARROWEST)
        assert too_wide(page) == []
        page.screenshot(path=artifacts / "open-link-refused-320-dark.png", full_page=True)
