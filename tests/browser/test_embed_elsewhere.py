"""The frame in Firefox and in WebKitGTK, which block windows and part cookies in their own ways."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from functools import partial
from typing import NoReturn
from urllib.parse import parse_qs

import pytest

from onboarding import clock
from tests.browser.portal import LOOSE, WITHOUT_ORIGIN, WITHOUT_POPUPS, Portal, portal
from tests.support import webdriver
from tests.support.people import People, Person
from tests.support.ports import free_ports
from tests.support.stack import Stack
from tests.support.tls import certificate, https_in_front
from tests.support.wait import wait_until
from tests.support.webdriver import Driver, Refused

SLUG = "elsewhere"
BUTTON, LADDER = "#go", "#ladder"
SEEN_NOTHING = 20.0
"""Seconds."""
SEVERED = {"Cross-Origin-Opener-Policy": "same-origin"}

FRAME = """return document.querySelector("iframe") ||
  document.querySelector("connect-john-deere").shadowRoot?.querySelector("iframe")"""


@pytest.fixture(scope="module", params=["firefox", "webkit"])
def driver(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Driver]:
    start = {"firefox": webdriver.firefox, "webkit": webdriver.webkit}[request.param]

    def skip(reason: str) -> NoReturn:
        pytest.skip(f"{reason} (as root `make test` installs it from Debian)")

    with start(tmp_path_factory.mktemp(request.param), skip) as one:
        yield one


@pytest.fixture(scope="module")
def secure_stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """By HTTPS, as WebKitGTK keeps no cookie of ours without it on this machine either."""
    folder, (port,) = tmp_path_factory.mktemp("stack"), free_ports(1)
    stack = Stack(folder, f"sqlite:///{folder}/test.sqlite")
    web = int(stack.public_url.rpartition(":")[2])
    stack.public_url = stack.environment["PUBLIC_URL"] = f"https://localhost:{port}"
    try:
        with https_in_front(web, port=port, certificate=certificate(folder)):
            stack.start()
            yield stack
    finally:
        stack.close()


@pytest.fixture
def stack(secure_stack: Stack) -> Iterator[Stack]:
    secure_stack.restore()
    clock.follow(secure_stack.clock)
    yield secure_stack
    clock.follow(None)


@pytest.fixture
def framed(stack: Stack) -> Iterator[Portal]:
    with portal(stack, SLUG) as made:
        yield made


class Visitor:
    """A person before a portal's page, and before the windows that it opens."""

    def __init__(self, driver: Driver, url: str) -> None:
        self.driver = driver
        driver.open(url)
        self.portal = driver.windows()[0]
        self.sees("Connect John Deere")

    def sees(self, title: str) -> None:
        """Wait until the frame shows it."""
        self.driver.to(self.portal)
        self.driver.into(None)
        frame = wait_until(lambda: self.driver.run(FRAME), what="the frame is there")
        self.driver.into(frame[webdriver.ELEMENT])
        wait_until(lambda: self.driver.text("h1") == title, what=f"the frame shows {title}")

    def press_in_frame(self, css: str = BUTTON) -> None:
        """Press what stands in the frame, once the portal has given it room: else it moves."""
        has_room = "return innerHeight >= document.documentElement.scrollHeight"
        wait_until(lambda: self.driver.run(has_room), what="the frame has grown")
        self.driver.click(self.driver.find(css)[0])

    def opened(self) -> None:
        """Turn to the window that has opened."""
        wait_until(lambda: len(self.driver.windows()) == 2, what="a window opens")
        self.driver.to(next(one for one in self.driver.windows() if one != self.portal))

    def press(self, *texts: str) -> None:
        """Press one button after the other, each as soon as it is there."""
        for text in texts:
            wait_until(partial(self._pressed, text), what=text)

    def finds(self, text: str) -> None:
        """Wait until there is such a button."""
        wait_until(partial(self._has, text), what=text)

    def _has(self, text: str) -> bool:
        try:
            return self.driver.button(text) != []
        except Refused:  # between two pages
            return False

    def _pressed(self, text: str) -> bool:
        # What is pressed while its page is still loading may come to nothing.
        if not self.driver.run("return document.readyState == 'complete'"):
            return False
        try:
            found = self.driver.button(text)
            if found:
                self.driver.click(found[0])
        except Refused:  # the page went before the finger came down
            return False
        return found != [] and self._has_gone(found[0])

    def _has_gone(self, element: str) -> bool:
        """Whether the page did what was pressed; who sees nothing happen presses again."""

        def is_gone() -> bool:
            try:
                self.driver.do("GetElementText", id=element)
            except Refused:
                return True
            return False

        try:
            return wait_until(is_gone, what="the next page", limit=SEEN_NOTHING)
        except AssertionError:
            return False

    def consent(self) -> None:
        """From our page through sign-in and consent."""
        self.press("Connect John Deere", "already-connected", "Allow Access")

    def leave(self) -> None:
        """Close what did not close by itself."""
        for window in self.driver.windows():
            if window != self.portal:
                with suppress(Refused):  # it did so at this moment
                    self.driver.to(window)
                    self.driver.do("CloseWindow")
        self.driver.to(self.portal)


@pytest.mark.parametrize(
    ("headers", "sandbox"),
    [({}, None), (SEVERED, None), ({}, LOOSE), ({}, WITHOUT_ORIGIN)],
    ids=["plain", "opener severed", "sandbox", "sandbox without origin"],
)
def test_frame_knows_the_truth_whatever_the_portal_is_like(
    driver: Driver,
    people: People,
    framed: Portal,
    headers: dict[str, str],
    sandbox: str | None,
) -> None:
    person = people.invited(partner=SLUG)
    framed.headers, framed.sandbox = headers, sandbox
    framed.embed(person)
    visitor = Visitor(driver, f"{framed.origin}/")
    visitor.press_in_frame()
    visitor.opened()
    visitor.consent()
    visitor.sees("Connected")
    if sandbox is None:
        assert driver.run("return document.cookie") == ""
        driver.into(None)
        hears(driver, person)
    visitor.leave()
    assert person.at_leaf() != []


def test_frame_knows_it_although_the_sign_in_cuts_its_opener_off(
    driver: Driver, people: People, framed: Portal
) -> None:
    person = people.invited(partner=SLUG)
    framed.embed(person)
    visitor = Visitor(driver, f"{framed.origin}/")
    framed.stack.control.set_policies(deere_opener="severed")
    visitor.press_in_frame()
    visitor.opened()
    assert driver.run("return window.opener !== null"), "our page has it"
    visitor.press("Connect John Deere", "already-connected")
    visitor.finds("Allow Access")
    assert driver.run("return window.opener === null"), "and John Deere's has not"
    visitor.press("Allow Access")
    visitor.sees("Connected")
    driver.into(None)
    hears(driver, person)
    visitor.leave()
    assert person.at_leaf() != []


def test_where_no_window_may_open_the_frame_offers_a_ladder_and_learns_the_rest(
    driver: Driver, people: People, framed: Portal
) -> None:
    person = people.invited(partner=SLUG)
    framed.sandbox = WITHOUT_POPUPS
    token = framed.embed(person)
    visitor = Visitor(driver, f"{framed.origin}/")
    assert driver.text(LADDER) == ""
    visitor.press_in_frame()
    wait_until(lambda: "phone" in driver.text(LADDER), what="the ladder")
    assert len(driver.windows()) == 1
    phone = people.visitor(f"{framed.stack.public_url}/c/{token}")
    phone.session.verify = str(framed.stack.folder / "localhost.pem")
    phone.authorize("already-connected")
    visitor.sees("Connected")


def test_in_the_same_window_the_grower_comes_back_to_the_portal(
    driver: Driver, people: People, framed: Portal
) -> None:
    person = people.invited(partner=SLUG)
    framed.embed(person, return_url=f"{framed.origin}/back?order=5")
    visitor = Visitor(driver, f"{framed.origin}/")
    # As who can open no window would come to it; the ladder shows it then.
    driver.run("document.getElementById('ladder').hidden = false")
    visitor.press_in_frame("#here")
    driver.into(None)
    # The portal has a link of nearly the same name.
    wait_until(lambda: driver.where().path.startswith("/c/"), what="our page, in this window")
    visitor.consent()
    wait_until(lambda: driver.where().path == "/back", what="back at the portal")
    query = parse_qs(driver.where().query)
    assert query.keys() == {"order", "connection", "state"}
    visitor.sees("Connected")


def hears(driver: Driver, person: Person) -> None:
    """Wait until the portal has been told."""
    line = f"connected {person.connection().reference} connected"
    wait_until(lambda: line in driver.text("#log"), what=line)
