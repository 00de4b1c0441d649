"""What a page costs on a slow rural line, and that it needs no script to be used."""

from __future__ import annotations

import json
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, Route

from tests.browser.scenes import Scenes
from tests.browser.walker import Walker
from tests.browser.watch import Shown
from tests.support.browser import visitor
from tests.support.wait import wait_until

pytestmark = pytest.mark.parametrize("database", ["sqlite"], indirect=True, scope="session")

MOST_BYTES = 12 * 1024


def test_page_with_all_that_it_loads_is_light(shown: Shown, artifacts: Path) -> None:
    sizes = shown.weight.sizes | shown.weight.icon()
    # Not the page's own address, which is a link.
    table = {
        "page" if url == shown.phone.url else urlsplit(url).path: size
        for url, size in sizes.items()
    }
    (artifacts / f"{shown.case.name}-weight.json").write_text(json.dumps(table, indent=2))
    assert sum(sizes.values()) <= MOST_BYTES, table


def test_page_loads_its_own_style_sheets_and_script_and_nothing_else(shown: Shown) -> None:
    own = urlsplit(shown.phone.url).netloc
    (icon,) = shown.weight.icon()
    for url, kind in shown.weight.kinds.items():
        assert urlsplit(url).netloc == own, url
        # A page that waits asks for its state every second or so, perhaps before it was weighed.
        is_poll = kind == "Fetch" and url.endswith("/state")
        is_known = kind in {"Document", "Stylesheet", "Script"} or url == icon
        assert is_known or is_poll, f"{kind}: {url}"


def test_flow_works_although_the_script_never_comes(scenes: Scenes, chromium: Browser) -> None:
    """As on a line that breaks off after the page: script is allowed, and is not there."""

    def never(route: Route) -> None:
        route.abort("connectionreset")

    with visitor(chromium) as context:
        context.route("**/connect.js*", never)
        page = context.new_page()
        link = scenes.link()
        Walker(page).connect(link, "one-farm", ["Smith Farms"])
        page.wait_for_url(link)  # else the way back from John Deere is cut off by what follows

        def reloaded() -> bool:
            page.reload()
            return page.get_by_role("heading", level=1).inner_text() == "Connected"

        wait_until(reloaded, what="the page says so when it is loaded again")


def test_page_can_be_read_although_the_style_sheet_never_comes(
    scenes: Scenes, chromium: Browser
) -> None:
    with visitor(chromium) as context:
        context.route("**/*.css*", lambda route: route.abort("connectionreset"))
        page = context.new_page()
        page.goto(scenes.link())
        assert page.get_by_role("heading", level=1).inner_text() == "Connect John Deere"
        Walker(page).press("Connect John Deere")
        Walker(page).reads("Sign in")
