"""Debian's Chromium, driven by Playwright."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from playwright.sync_api import Browser, BrowserContext, Playwright, ViewportSize

PHONE: ViewportSize = {"width": 360, "height": 740}
NARROWEST: ViewportSize = {"width": 320, "height": 568}
DESKTOP: ViewportSize = {"width": 1280, "height": 800}
STEP_MILLISECONDS = 60_000
"""How long a click or a navigation may take on a busy machine."""

ARGUMENTS = (
    "--disable-domain-reliability",
    "--host-resolver-rules=MAP * ~NOTFOUND,EXCLUDE localhost,EXCLUDE *.localhost,EXCLUDE 127.0.0.1",
)
"""Beside Playwright's own, which end most of what a browser does unasked."""


def program() -> str | None:
    """Chromium's path, or None if it is not installed. No browser is ever downloaded."""
    return shutil.which("chromium") or shutil.which("chromium-browser")


def missing() -> str | None:
    """What keeps browser tests from running here, or None if nothing does."""
    if program() is None:
        return "Chromium is not installed"
    driver = [sys.executable, "-m", "playwright", "--version"]
    done = subprocess.run(driver, capture_output=True, text=True, check=False)
    return f"Playwright's driver doesn't start: {done.stderr.strip()}" if done.returncode else None


def launch(playwright: Playwright) -> Browser:
    """Start Chromium without a window; it reaches nothing but this machine.

    Also without its sandbox (Playwright's default): root and containers can't have one, and all
    that it opens is our own.
    """
    return playwright.chromium.launch(executable_path=program(), args=list(ARGUMENTS))


@contextmanager
def visitor(
    browser: Browser,
    *,
    size: ViewportSize = PHONE,
    script: bool = True,
    dark: bool = False,
    address: str | None = None,
) -> Iterator[BrowserContext]:
    """A browser of one person, without cookies; closed at the end.

    :param script: whether JavaScript runs
    :param dark: whether the person prefers dark pages
    :param address: where the person comes from, as a proxy in front would say it
    """
    context = browser.new_context(
        viewport=size,
        device_scale_factor=2 if size["width"] < DESKTOP["width"] else 1,
        has_touch=size["width"] < DESKTOP["width"],
        java_script_enabled=script,
        color_scheme="dark" if dark else "light",
        reduced_motion="reduce",
        locale="en-US",
        timezone_id="America/Chicago",
        extra_http_headers={"X-Forwarded-For": address} if address else {},
    )
    context.set_default_timeout(STEP_MILLISECONDS)
    try:
        yield context
    finally:
        context.close()
