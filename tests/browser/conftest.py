"""Pages on two screens, each prepared once for all that is looked at on it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, BrowserContext, expect

from tests.browser.cases import CASES, Case, Opening
from tests.browser.scenes import Scenes
from tests.browser.staff import World
from tests.browser.walker import UPDATE_MILLISECONDS
from tests.browser.watch import Shown, Watch, Weight
from tests.support.browser import DESKTOP, PHONE, visitor
from tests.support.people import People
from tests.support.stack import Stack

expect.set_options(timeout=UPDATE_MILLISECONDS)


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """The dashboard, web and worker and all, over the demo world."""
    folder = tmp_path_factory.mktemp("world")
    made = World(folder, f"sqlite:///{folder}/world.sqlite")
    try:
        yield made
    finally:
        made.close()


@pytest.fixture
def people(stack: Stack) -> Iterator[People]:
    """Makes growers, who consent by themselves or in a browser."""
    made = People(stack)
    yield made
    made.close()


@pytest.fixture
def scenes(stack: Stack) -> Iterator[Scenes]:
    """Makes growers in every situation."""
    made = Scenes(stack)
    try:
        yield made
    finally:
        made.close()


@pytest.fixture(scope="session", params=CASES, ids=lambda case: case.name)
def shown(
    request: pytest.FixtureRequest, running_stack: Stack, chromium: Browser
) -> Iterator[Shown]:
    """Each page of the product in turn, on a phone and on a desk.

    The situation lasts as long as all tests look at the page: of the session's scope, and with
    the sandbox as new before, not before each test.
    """
    running_stack.restore()
    scenes = Scenes(running_stack)
    try:
        opening = request.param.opening(scenes)
        with visitor(chromium, size=PHONE) as phone, visitor(chromium, size=DESKTOP) as desk:
            yield _show(request.param, opening, phone, desk)
    finally:
        scenes.close()


def _show(case: Case, opening: Opening, phone: BrowserContext, desk: BrowserContext) -> Shown:
    watch = Watch(phone, desk)
    first, second = phone.new_page(), desk.new_page()
    weight = Weight(first)
    opening(first)
    first.wait_for_load_state()
    weight.stop()
    opening(second)
    second.wait_for_load_state()
    return Shown(case, first, second, weight=weight, watch=watch)
