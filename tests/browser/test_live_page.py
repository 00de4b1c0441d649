"""What `connect.js` does for a page that waits, and for buttons that are pressed twice."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from playwright.sync_api import Browser, Page, Request, Response, expect

from onboarding.clock import now
from onboarding.states import Health, Stage
from tests.browser.scenes import Scenes
from tests.browser.walker import Walker
from tests.browser.watch import Watch
from tests.support.browser import visitor
from tests.support.wait import wait_until

pytestmark = pytest.mark.parametrize("database", ["sqlite"], indirect=True, scope="session")

BEGIN = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
FIRST_PAUSE, SECOND_PAUSE, LONGEST_PAUSE = 1000, 1500, 10_000
STEP = 250
"""Milliseconds by which a test sets the page's clock forward."""
MINUTE = 60_000


class Polls:
    """Counts how often a page asked for its state, and keeps the answers' statuses.

    The page's clock stands still; `pause` sets it forward.

    :ivar asked: how often it has asked; once when it is opened here
    """

    def __init__(self, page: Page, link: str) -> None:
        self.statuses: list[int] = []
        self._open: set[Request] = set()
        self._page = page
        self.asked = 0
        page.on("request", self._begins)
        page.on("response", self._answered)
        page.on("requestfailed", self._failed)
        page.clock.install(time=BEGIN)
        page.clock.pause_at(BEGIN + timedelta(minutes=1))
        page.goto(link)
        page.clock.run_for(FIRST_PAUSE)
        wait_until(self._has_ended, what="the page has its first answer")

    def pause(self) -> int:
        """Set the clock forward until the page asks again; for how long, in milliseconds."""
        asked, waited = self.asked, 0
        while self.asked == asked:
            assert waited <= LONGEST_PAUSE + STEP, "it has stopped asking"
            self._page.clock.run_for(STEP)
            waited += STEP
        wait_until(self._has_ended, what="the page has its answer")
        return waited

    def _has_ended(self) -> bool:
        self._page.evaluate("() => {}")  # lets the events of the browser in
        return bool(self.asked) and not self._open

    def _begins(self, request: Request) -> None:
        if request.url.endswith("/state"):
            self.asked += 1
            self._open.add(request)

    def _answered(self, response: Response) -> None:
        if response.url.endswith("/state"):
            self._open.discard(response.request)
            self.statuses.append(response.status)

    def _failed(self, request: Request) -> None:
        self._open.discard(request)


@pytest.fixture
def page(chromium: Browser) -> Iterator[Page]:
    """A page on a phone."""
    with visitor(chromium) as context:
        yield context.new_page()


@pytest.fixture
def waiting(scenes: Scenes) -> str:
    """The link of a page that waits for Leaf's word, which only a test will change."""
    return scenes.at_leaf(health=Health.UNKNOWN)


def leaf_says_ok(scenes: Scenes, link: str) -> None:
    """What the worker writes down when Leaf confirms the credential."""
    with scenes.connection(link) as connection:
        connection.stage, connection.health = Stage.CONNECTED, Health.OK


def test_page_updates_by_itself_and_announces_it(scenes: Scenes, page: Page, waiting: str) -> None:
    watch = Watch(page.context)
    page.goto(waiting)
    Walker(page).reads("Leaf is checking your connection")
    expect(page.get_by_role("status")).to_be_empty()
    leaf_says_ok(scenes, waiting)
    Walker(page).reads("Connected")
    expect(page.get_by_role("status")).to_have_text("Connected")
    expect(page).to_have_title("Connected · Prairie Co-op")
    assert watch.loads(waiting) == 1
    assert watch.complaints == []


def test_change_under_the_same_heading_is_shown_and_not_announced(
    scenes: Scenes, page: Page, waiting: str
) -> None:
    page.goto(waiting)
    with scenes.connection(waiting) as connection:
        connection.organizations[0].name = "Smith & Daughters"
    expect(page.get_by_text("Smith & Daughters")).to_be_visible()
    expect(page.get_by_role("status")).to_be_empty()


def test_focus_stays_on_what_is_still_there(scenes: Scenes, page: Page, waiting: str) -> None:
    page.goto(waiting)
    page.locator("#e-mail").focus()
    leaf_says_ok(scenes, waiting)
    Walker(page).reads("Connected")
    expect(page.locator("#e-mail")).to_be_focused()


def test_focus_goes_to_the_text_when_the_button_is_gone(scenes: Scenes, page: Page) -> None:
    link = scenes.started()
    page.goto(link)
    page.locator("#next").focus()
    with scenes.attempt(link) as attempt:
        attempt.used_at = now()
    Walker(page).reads("Finishing with John Deere")
    expect(page.locator("main")).to_be_focused()


def test_page_is_fetched_only_when_it_has_changed(scenes: Scenes, page: Page, waiting: str) -> None:
    polls = Polls(page, waiting)
    polls.pause()
    polls.pause()
    assert polls.statuses == [200, 304, 304]
    leaf_says_ok(scenes, waiting)
    polls.pause()
    Walker(page).reads("Connected")
    assert polls.statuses == [200, 304, 304, 200]


def test_page_asks_less_often_while_it_is_offline_and_at_once_when_it_is_back(
    scenes: Scenes, page: Page, waiting: str
) -> None:
    polls = Polls(page, waiting)
    page.context.set_offline(True)
    pauses = [polls.pause() for _ in range(8)]
    assert pauses[0] <= SECOND_PAUSE + STEP
    assert pauses == sorted(pauses)
    assert pauses[-1] >= LONGEST_PAUSE - STEP
    Walker(page).reads("Leaf is checking your connection")
    leaf_says_ok(scenes, waiting)
    page.context.set_offline(False)
    Walker(page).reads("Connected")


def test_page_that_has_nothing_to_wait_for_asks_no_more(
    scenes: Scenes, page: Page, waiting: str
) -> None:
    polls = Polls(page, waiting)
    leaf_says_ok(scenes, waiting)
    polls.pause()
    Walker(page).reads("Connected")
    asked = polls.asked
    page.clock.run_for(MINUTE)
    assert polls.asked == asked


def test_hidden_page_asks_nothing_and_asks_at_once_when_it_is_seen(
    page: Page, waiting: str
) -> None:
    polls = Polls(page, waiting)
    _set_visible(page, False)
    asked = polls.asked
    page.clock.run_for(MINUTE)
    assert polls.asked == asked
    _set_visible(page, True)
    wait_until(lambda: page.evaluate("1") and polls.asked > asked, what="it asks at once")


def test_page_of_a_link_that_is_withdrawn_tells_it_and_asks_no_more(
    scenes: Scenes, page: Page, waiting: str
) -> None:
    polls = Polls(page, waiting)
    scenes.change_link(waiting, revoked_at=now())
    polls.pause()
    Walker(page).reads("This link is no longer valid")
    assert "Maple Farm" not in page.locator("body").inner_text()
    asked = polls.asked
    page.clock.run_for(MINUTE)
    assert polls.asked == asked


def test_button_pressed_twice_starts_once(scenes: Scenes, page: Page) -> None:
    link = scenes.link()
    page.goto(link)
    sent: list[Request] = []
    page.on("request", lambda request: sent.append(request) if request.method == "POST" else None)

    def is_sent() -> bool:
        page.mouse.move(0, 0)  # lets the events of the browser in
        return bool(sent)

    button = _place_of_button(page)
    with scenes.stack.installation.database.transaction() as session:
        session.connection()  # takes SQLite's lock: the answer to the first press does not come
        page.mouse.click(*button)
        wait_until(is_sent, what="the form is on its way")
        page.mouse.click(*button)
    Walker(page).reads("Sign in")
    assert len(sent) == scenes.attempts(link) == 1


def test_grower_who_comes_back_from_john_deere_can_go_on(scenes: Scenes, page: Page) -> None:
    link = scenes.link()
    page.goto(link)
    Walker(page).press("Connect John Deere")
    Walker(page).reads("Sign in")
    page.go_back()
    Walker(page).reads("Waiting for you at John Deere")
    Walker(page).press("Continue at John Deere")
    Walker(page).reads("Sign in")
    assert scenes.attempts(link) == 2


def test_button_is_as_before_on_a_page_that_the_browser_had_kept(
    scenes: Scenes, page: Page
) -> None:
    """Safari and Firefox show a page as it was left; Chromium under Playwright loads it again."""
    page.goto(scenes.link())
    _press_and_stop(page)
    page.evaluate("dispatchEvent(new PageTransitionEvent('pageshow', { persisted: true }))")
    expect(page.locator("#next")).to_have_text("Connect John Deere")
    expect(page.locator("#next")).to_be_enabled()


def test_button_is_as_before_when_nothing_came_for_half_a_minute(
    scenes: Scenes, page: Page
) -> None:
    page.clock.install()
    page.goto(scenes.link())
    _press_and_stop(page)
    page.clock.run_for(MINUTE // 2)
    expect(page.locator("#next")).to_have_text("Connect John Deere")
    expect(page.locator("#next")).to_be_enabled()


def _set_visible(page: Page, visible: bool) -> None:
    """As when the person changes to another tab; Playwright keeps every tab in front."""
    page.evaluate(
        """visible => {
          Object.defineProperty(document, "hidden", { value: !visible, configurable: true });
          document.dispatchEvent(new Event("visibilitychange", { bubbles: true }));
        }""",
        visible,
    )


def _place_of_button(page: Page) -> tuple[float, float]:
    """Where to click with the mouse, which unlike a locator doesn't wait for what follows."""
    box = page.locator("#next").bounding_box()
    assert box is not None
    return box["x"] + box["width"] / 2, box["y"] + box["height"] / 2


def _press_and_stop(page: Page) -> None:
    """Press the button, then stop loading: the page stays, as it was when the form was sent."""
    page.route("**/start", lambda route: route.abort("aborted"))
    page.mouse.click(*_place_of_button(page))
    expect(page.locator("#next")).to_have_text("Opening John Deere…")
    expect(page.get_by_role("status")).to_have_text("Opening John Deere…")
