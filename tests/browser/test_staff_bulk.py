"""Much at once in Chromium: begun, and watched until it is done."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from onboarding.states import Role
from tests.browser.staff import World
from tests.support.browser import STEP_MILLISECONDS


@pytest.fixture(scope="module")
def small_world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """One of its own: what is done here is done with many."""
    folder: Path = tmp_path_factory.mktemp("bulk")
    world = World(folder, f"sqlite:///{folder}/world.sqlite")
    yield world
    world.close()


def test_all_that_match_are_rechecked_while_the_page_tells_how_far_it_is(
    small_world: World, chromium: Browser
) -> None:
    with small_world.at_desk(chromium, Role.OPERATOR) as context:
        page = context.new_page()
        small_world.open(page, "/staff/connections?status=connected&size=25")
        page.locator("#pick-all").check()
        page.get_by_role("button", name="Recheck").click()
        expect(page.get_by_role("heading", level=1)).to_have_text("Recheck")
        page.get_by_role("button", name="Recheck").click()
        page.evaluate("window.still = true")
        expect(page.locator("#progress")).to_contain_text("Done", timeout=STEP_MILLISECONDS)
        bar = page.locator("#progress progress")
        assert bar.get_attribute("value") == bar.get_attribute("max") != "1"
        assert page.evaluate("window.still"), "the page has not been loaded anew"


def test_file_is_confirmed_and_its_links_are_offered_when_the_worker_has_ended_it(
    small_world: World, chromium: Browser
) -> None:
    data = "id,name\n" + "".join(f"seen-{one},Farm {one}\n" for one in range(400))
    with small_world.at_desk(chromium, Role.OPERATOR) as context:
        page = context.new_page()
        small_world.open(page, "/staff/imports")
        page.get_by_label("Partner").select_option(small_world.partner)
        file = {"name": "growers.csv", "mimeType": "text/csv", "buffer": data.encode()}
        page.locator("input[type=file]").set_input_files(file)  # type: ignore[arg-type]
        page.get_by_role("button", name="Show what would happen").click()
        page.get_by_role("button", name="Add 400").click()
        page.evaluate("window.still = true")
        progress = page.locator("#progress")
        expect(progress).to_contain_text("Imported", timeout=STEP_MILLISECONDS)
        expect(progress.get_by_role("button", name="Download the links")).to_be_visible()
        assert page.evaluate("window.still"), "the page has not been loaded anew"
