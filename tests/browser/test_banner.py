"""The banner of each world that the tests' own processes, all in the sandbox, do not run in."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from axe_playwright_python.sync_playwright import Axe
from flask.testing import FlaskClient
from playwright.sync_api import Browser, Route

from tests.browser.watch import too_wide
from tests.support.browser import NARROWEST, PHONE, visitor
from tests.unit.test_app import client
from tests.unit.test_settings import REQUIRED

ORIGIN = REQUIRED["PUBLIC_URL"]


@pytest.mark.parametrize(
    ("name", "changes", "said"),
    [
        ("stage", {"DEERE_ENVIRONMENT": "STAGE"}, "Test environment (STAGE)."),
        ("local", {"LOCAL_RUN": "1"}, "Local run"),
    ],
)
@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_banner_can_be_read_on_the_narrowest_phone(
    chromium: Browser,
    artifacts: Path,
    tmp_path: Path,
    name: str,
    changes: dict[str, str],
    said: str,
    dark: bool,
) -> None:
    app = client(tmp_path, **changes)
    with visitor(chromium, dark=dark) as context:
        context.route(f"{ORIGIN}/**", lambda route: _answer(app, route))
        page = context.new_page()
        page.goto(f"{ORIGIN}/")
        assert page.locator("aside strong").inner_text() == said
        assert Axe().run(page, options={"runOnly": ["color-contrast"]}).violations_count == 0
        page.set_viewport_size(NARROWEST)
        assert too_wide(page) == []
        page.set_viewport_size(PHONE)
        scheme = "dark" if dark else "light"
        page.screenshot(path=artifacts / f"banner-{name}-360-{scheme}.png", full_page=True)


def _answer(app: FlaskClient, route: Route) -> None:
    """Play the host of the settings, which no browser of a test can reach."""
    with closing(app.get(urlsplit(route.request.url).path, base_url=ORIGIN)) as answer:
        route.fulfill(status=answer.status_code, headers=dict(answer.headers), body=answer.data)
