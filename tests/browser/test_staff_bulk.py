"""Bulk work in Chromium: begun in the table, watched until it is done."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from onboarding.states import Role
from tests.browser.staff import World
from tests.support.browser import STEP_MILLISECONDS


def test_all_that_match_are_rechecked_while_the_page_tells_how_far_it_is(
    tmp_path_factory: pytest.TempPathFactory, chromium: Browser
) -> None:
    folder: Path = tmp_path_factory.mktemp("bulk")
    world = World(folder, f"sqlite:///{folder}/world.sqlite")
    try:
        with world.at_desk(chromium, Role.OPERATOR) as context:
            page = context.new_page()
            world.open(page, "/staff/connections?status=connected&size=25")
            page.locator("#pick-all").check()
            page.get_by_role("button", name="Recheck").click()
            expect(page.get_by_role("heading", level=1)).to_have_text("Recheck")
            page.get_by_role("button", name="Recheck").click()
            page.evaluate("window.still = true")
            expect(page.locator("#progress")).to_contain_text("Done", timeout=STEP_MILLISECONDS)
            bar = page.locator("#progress progress")
            assert bar.get_attribute("value") == bar.get_attribute("max") != "1"
            assert page.evaluate("window.still"), "the page has not been loaded anew"
    finally:
        world.close()
