"""A grower with a browser that runs no script, walking through real servers."""

from __future__ import annotations

import random
from collections.abc import Callable, Collection
from http.cookiejar import DefaultCookiePolicy
from typing import Any

import requests

from tests.support.page import Button, Form, Page
from tests.support.wait import wait_until

TIMEOUT_SECONDS = 60.0
"""Longer than any answer that a test with slow upstreams waits for."""


class Grower:
    """One person with one browser; `page` is what they see now.

    Each step does what a person would do on the page that is open: it fails if the button isn't
    there. Cookies are kept as browsers keep them on loopback, `Secure` ones included.
    """

    def __init__(self, link: str, *, address: str | None = None) -> None:
        """
        :param link: the grower's link
        :param address: where the person comes from; default: an address of their own, so that
            limits per address don't touch other tests
        """
        self.link = link
        self.session = _Browser()
        self.session.headers.update(
            {
                "Accept": "text/html,application/xhtml+xml",
                "Accept-Language": "en-US,en;q=0.9",
                "User-Agent": "Mozilla/5.0 (Linux; Android 14) Mobile",
                "X-Forwarded-For": address or _address(),
            }
        )
        self._page: Page | None = None

    @property
    def page(self) -> Page:
        """What the person sees now."""
        assert self._page is not None, "nothing is open yet"
        return self._page

    def open(self, url: str | None = None) -> Page:
        """Open the link, or another address."""
        answer = self.session.get(url or self.link, timeout=TIMEOUT_SECONDS)
        self._page = Page.of(answer)
        return self._page

    def press(self, text: str) -> Page:
        """Press the button with this text."""
        found = self.page.find(text)
        texts = [button.text for form in self.page.forms for button in form.buttons]
        assert found is not None, f"no button {text!r} on {self.page.url}, only {texts}"
        return self.submit(*found)

    def submit(self, form: Form, button: Button | None = None) -> Page:
        """Send a form by its first button, or by another one."""
        sent = form.sent_by(button or form.buttons[0])
        answer = self.session.request(
            form.method,
            form.action,
            params=sent if form.method == "get" else None,
            data=sent if form.method == "post" else None,
            timeout=TIMEOUT_SECONDS,
        )
        self._page = Page.of(answer)
        return self._page

    def start(self, *, other_account: bool = False) -> Page:
        """Go to John Deere from the page of the link.

        :param other_account: by "Use a different John Deere account"
        """
        hidden = {"prompt": "login"} if other_account else {}
        form = self.page.form_to("/start", **hidden)
        assert form is not None, f"no way to start on {self.page.url}: {self.page.text}"
        return self.submit(form)

    def sign_in(self, account: str) -> Page:
        """Choose an account on the sandbox's sign-in page."""
        return self.press(account)

    def allow(self) -> Page:
        """Press "Allow Access" on the consent page."""
        return self.press("Allow Access")

    def cancel(self) -> Page:
        """Press "Cancel" on the consent page or on the page to choose organizations."""
        return self.press("Cancel")

    def choose(self, organizations: Collection[str] | None = None) -> Page:
        """Tick exactly these organizations and save.

        :param organizations: names; None: all that may be ticked
        """
        found = self.page.find("Save")
        assert found is not None, f"nothing to choose on {self.page.url}: {self.page.text}"
        form, button = found
        names = {box.label for box in form.boxes()}
        assert names >= set(organizations or ()), f"there are only {names}"
        for box in form.boxes():
            box.checked = organizations is None or box.label in organizations
        return self.submit(form, button)

    def choose_more(self, organization_id: str | None = None) -> Page:
        """Go to John Deere's page to choose organizations, from the page of the link."""
        hidden = {"organization": organization_id} if organization_id else {}
        form = self.page.form_to("/organizations", **hidden)
        assert form is not None, f"no way to organizations on {self.page.url}: {self.page.text}"
        return self.submit(form)

    def authorize(self, account: str) -> Page:
        """From the link through sign-in and consent; ends where John Deere sends the person."""
        self.open()
        self.start()
        self.sign_in(account)
        # An account that has allowed everything before isn't asked again.
        return self.allow() if self.page.find("Allow Access") else self.page

    def connect(self, account: str, organizations: Collection[str] | None = None) -> Page:
        """The whole way, from the link to the page that says what happened."""
        self.authorize(account)
        return self.choose(organizations) if self.page.find("Save") else self.page

    def state(self) -> dict[str, Any]:
        """What the page asks for to find out whether anything is new."""
        answer = self.session.get(f"{self.link}/state", timeout=TIMEOUT_SECONDS)
        answer.raise_for_status()
        found: dict[str, Any] = answer.json()
        return found

    def wait_for(
        self, condition: Callable[[Page], bool], *, what: str, limit: float = 60.0
    ) -> Page:
        """Load the page of the link again and again until it shows something.

        :param limit: seconds
        """
        wait_until(lambda: condition(self.open()), what=what, limit=limit)
        return self.page

    def close(self) -> None:
        """Close the browser."""
        self.session.close()


class _Browser(requests.Session):
    """Sends `Secure` cookies over http, too, as browsers do on loopback.

    :ivar stop_before: a redirect to a URL that begins so is not followed
    """

    def __init__(self) -> None:
        super().__init__()
        self.trust_env = False
        self.stop_before: str | None = None
        self.cookies.set_policy(DefaultCookiePolicy(secure_protocols=("http", "https")))

    def prepare_request(self, request: requests.Request) -> requests.PreparedRequest:
        """requests copies the cookies into a jar of its own, without our policy."""
        prepared = super().prepare_request(request)
        prepared.headers.pop("Cookie", None)
        prepared.prepare_cookies(self.cookies.copy())
        return prepared

    def get_redirect_target(self, resp: requests.Response) -> str | None:
        """Where requests goes next by itself."""
        target = super().get_redirect_target(resp)
        stops = target and self.stop_before and target.startswith(self.stop_before)
        return None if stops else target


def _address() -> str:
    """An address of the block that is kept for benchmarks (RFC 2544)."""
    return f"198.{random.randint(18, 19)}.{random.randint(0, 255)}.{random.randint(1, 254)}"
