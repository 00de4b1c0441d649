"""Take the pictures in docs/img anew: `.venv/bin/python -m scripts.take_pictures`.

It starts the demo world in a folder of its own, and needs what the browser tests need
(`make test` installs it). Look at what comes out before it is committed.
"""

from __future__ import annotations

import base64
import sys
import tempfile
from pathlib import Path

from playwright.sync_api import BrowserContext, ViewportSize, sync_playwright

from tests.browser.staff import World
from tests.support.browser import launch

PLACE = Path(__file__).resolve().parents[1] / "docs" / "img"
DESK: ViewportSize = {"width": 1280, "height": 860}
PHONE: ViewportSize = {"width": 390, "height": 844}
PICTURES = {
    "overview": ("home", DESK, False),
    "overview-dark": ("home", DESK, True),
    "overview-phone": ("home", PHONE, False),
    "connections": ("connections", DESK, False),
    "connection": ("connection", DESK, False),
    "attempts": ("attempts", DESK, False),
    "bulk": ("bulk_jobs", DESK, False),
    "imports": ("imports", DESK, False),
    "partner": ("partner", DESK, False),
    "audit": ("audit", DESK, False),
    "system": ("system", DESK, False),
}
"""Each with its page, how large it is, and whether it is dark."""
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
            for name, (endpoint, size, dark) in PICTURES.items():
                if endpoint in pages:
                    with world.at_desk(browser, size=size, dark=dark) as context:
                        picture = _taken(world, context, pages[endpoint])
                    (PLACE / f"{name}.webp").write_bytes(picture)
                    sys.stdout.write(f"{name}.webp: {len(picture)} bytes\n")
        finally:
            browser.close()
            world.close()
    return 0


def _taken(world: World, context: BrowserContext, path: str) -> bytes:
    page = context.new_page()
    world.open(page, path)
    page.wait_for_load_state("networkidle")
    session = context.new_cdp_session(page)
    for quality in QUALITIES:
        how = {"format": "webp", "quality": quality}
        picture = base64.b64decode(session.send("Page.captureScreenshot", how)["data"])
        if len(picture) <= LARGEST:
            break
    return picture


if __name__ == "__main__":
    sys.exit(main())
