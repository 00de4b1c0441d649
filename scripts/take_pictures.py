"""Take the pictures in docs/img anew: `.venv/bin/python -m scripts.take_pictures`.

It starts the demo world in a folder of its own, and needs what the browser tests need
(`make test` installs it). Look at what comes out before it is committed.
"""

from __future__ import annotations

import base64
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

from playwright.sync_api import BrowserContext, ViewportSize, sync_playwright

from tests.browser.staff import World
from tests.support.browser import launch

PLACE = Path(__file__).resolve().parents[1] / "docs" / "img"
DESK: ViewportSize = {"width": 1280, "height": 860}
PHONE: ViewportSize = {"width": 390, "height": 844}


class Picture(NamedTuple):
    """What a picture shows, and how large."""

    page: str
    size: ViewportSize = DESK
    dark: bool = False
    at: str = ""
    """The id of what stands at the top of it."""


PICTURES = {
    "overview": Picture("home"),
    "overview-health": Picture("home", dark=True, at="health"),
    "overview-phone": Picture("home", PHONE),
    "connections": Picture("connections"),
    "connection": Picture("connection"),
    "attempts": Picture("attempts"),
    "bulk": Picture("bulk_jobs"),
    "imports": Picture("imports"),
    "partner": Picture("partner"),
    "audit": Picture("audit"),
    "system": Picture("system"),
}
"""By their names; of a page that there is not yet, there is no picture."""
LARGEST = 60_000
QUALITIES = (80, 65, 50, 35, 20)
"""Of WebP: the best that is small enough is kept."""


def main() -> int:
    """Take all of them."""
    PLACE.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        world = World(Path(folder), f"sqlite:///{folder}/world.sqlite")
        browser = launch(playwright)
        try:
            world.wait_for_figures()
            pages = world.pages()
            for name, wanted in PICTURES.items():
                if wanted.page in pages:
                    with world.at_desk(browser, size=wanted.size, dark=wanted.dark) as context:
                        picture = _taken(world, context, pages[wanted.page], wanted.at)
                    (PLACE / f"{name}.webp").write_bytes(picture)
                    sys.stdout.write(f"{name}.webp: {len(picture)} bytes\n")
        finally:
            browser.close()
            world.close()
    return 0


def _taken(world: World, context: BrowserContext, path: str, place: str) -> bytes:
    page = context.new_page()
    world.open(page, path)
    page.wait_for_load_state("networkidle")
    if place:
        page.locator(f"#{place}").evaluate("one => one.scrollIntoView()")
    session = context.new_cdp_session(page)
    for quality in QUALITIES:
        how = {"format": "webp", "quality": quality}
        picture = base64.b64decode(session.send("Page.captureScreenshot", how)["data"])
        if len(picture) <= LARGEST:
            break
    return picture


if __name__ == "__main__":
    sys.exit(main())
