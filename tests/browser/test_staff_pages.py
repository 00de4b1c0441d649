"""Every page of the dashboard over the demo world: pictures of it, and what must hold on each."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, ViewportSize

from onboarding.states import Role
from tests.browser import staff_steps
from tests.browser.staff import DESK, PHONE, World
from tests.browser.watch import FOCUSED, Watch, too_wide
from tests.support.browser import NARROWEST, visitor

SCHEMES: tuple[Literal["light", "dark"], ...] = ("light", "dark")
WIDEST: ViewportSize = {"width": 2560, "height": 1300}
WITH_TARGETS = {"rules": {"target-size": {"enabled": True}}}
"""WCAG 2.2 asks for it, and axe only if it is told to."""
MOST_STEPS = 60
HARMLESS = frozenset({"/staff/connections.csv", "/staff/connections/views"})
"""What a viewer may send: which rows are exported, and a view of their own."""
OWN = frozenset({"account", "confirm", "sign_in", "set_password"})
"""Pages on which a person acts on nothing but their own account."""


def test_every_page_in_both_sizes_and_colours(
    world: World, chromium: Browser, artifacts: Path
) -> None:
    world.wait_for_figures()
    wrong: list[str] = []

    def look(page: Page, name: str) -> None:
        page.wait_for_load_state()
        width = (page.viewport_size or DESK)["width"]
        wrong.extend(f"{name} {width}: {one}" for one in _faults(page))
        _take_pictures(page, artifacts / f"staff-{name}-{width}")

    for size in (PHONE, DESK):
        with world.at_desk(chromium, size=size) as context:
            watch, page = Watch(context), context.new_page()
            for name, path in world.pages().items():
                assert world.open(page, path) == 200, path
                look(page, name)
            wrong += watch.complaints
            for name, step in staff_steps.ADMINISTRATORS.items():
                step(world, page)
                look(page, name)
        for who, steps in (
            (world.at_desk(chromium, Role.VIEWER, size=size), staff_steps.VIEWERS),
            (visitor(chromium, size=size), staff_steps.OUTSIDE),
        ):
            with who as context:
                page = context.new_page()
                for name, step in steps.items():
                    step(world, page)
                    look(page, name)
    assert not wrong, "\n".join(wrong)


def test_every_page_is_whole_without_script(world: World, chromium: Browser) -> None:
    with world.at_desk(chromium, script=False) as without, world.at_desk(chromium) as with_script:
        bare, full = without.new_page(), with_script.new_page()
        for path in world.pages().values():
            assert world.open(bare, path) == world.open(full, path) == 200
            assert _headings(bare) == _headings(full) != []
            assert bare.locator("[data-copy]:visible").count() == 0, f"{path}: needs script"


def test_keyboard_sees_where_it_is_on_every_page(world: World, chromium: Browser) -> None:
    with world.at_desk(chromium) as context:
        page = context.new_page()
        for path in world.pages().values():
            world.open(page, path)
            begins = page.evaluate(FOCUSED)
            page.keyboard.press("Tab")
            # A page that has but one thing to fill in begins there.
            assert begins or page.evaluate(FOCUSED)["text"] == "Skip to the text"
            for _ in range(MOST_STEPS):
                page.keyboard.press("Tab")
                step = page.evaluate(FOCUSED)
                if step is None or step["text"] == "Skip to the text":
                    break  # around once
                assert step["ring"], (path, step)
                assert step["seen"] or step["tall"], (path, step)


def test_viewer_sees_and_cannot_act(world: World, chromium: Browser) -> None:
    with world.at_desk(chromium, Role.VIEWER) as context:
        page = context.new_page()
        for name, path in world.pages().items():
            if world.open(page, path) == 200 and name not in OWN:
                forms = page.locator("main form[method=post]").all()
                assert {str(one.get_attribute("action")) for one in forms} <= HARMLESS, path
                assert page.locator("main [formaction]").count() == 0, path


def test_who_is_limited_to_a_partner_reads_of_no_other(world: World, chromium: Browser) -> None:
    others = ("Blue River Agronomy", "Summit Crop Insurance")
    with world.at_desk(chromium, Role.OPERATOR, partners=(world.partner,)) as context:
        page = context.new_page()
        for path in world.pages().values():
            world.open(page, path)
            text = page.locator("body").inner_text()
            assert not [name for name in others if name in text], path


def _faults(page: Page) -> Iterator[str]:
    """What is wrong with a page as it is on this screen, in both colours."""
    if len(_headings(page)) != 1:
        yield f"headings: {_headings(page)}"
    yield from too_wide(page)
    found = Axe().run(page, options=WITH_TARGETS)
    if found.violations_count:
        yield found.generate_report()
    page.emulate_media(color_scheme="dark")
    found = Axe().run(page, options={"runOnly": ["color-contrast"]})
    if found.violations_count:
        yield f"dark: {found.generate_report()}"
    size = page.viewport_size
    for other in (NARROWEST, WIDEST):
        page.set_viewport_size(other)
        yield from (f"at {other['width']}: {one}" for one in too_wide(page))
    if size is not None:
        page.set_viewport_size(size)


def _take_pictures(page: Page, place: Path) -> None:
    for scheme in SCHEMES:
        page.emulate_media(color_scheme=scheme)
        picture = place.with_name(f"{place.name}-{scheme}.png")
        page.screenshot(path=picture, full_page=True, animations="disabled")
    page.emulate_media(color_scheme="light")


def _headings(page: Page) -> list[str]:
    return page.locator("h1").all_inner_texts()
