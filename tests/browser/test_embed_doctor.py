"""What the console of a portal in development says, and the page for its developer."""

from __future__ import annotations

import re
import socket
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, BrowserContext, Route, expect

from onboarding.models import Link
from onboarding.staff import partners
from onboarding.states import LinkKind
from tests.browser.portal import Portal, portal
from tests.browser.watch import too_wide
from tests.support.browser import DESKTOP, NARROWEST, PHONE, visitor
from tests.support.people import People, Person
from tests.support.ports import free_ports
from tests.support.stack import ROOT, Stack
from tests.support.tls import certificate, https_in_front
from tests.support.wait import wait_until

pytestmark = pytest.mark.parametrize("database", ["sqlite"], indirect=True, scope="session")

SLUG = "examined"
OURS = "[connect-john-deere] "
LAST = ("Nothing to change", "The same as a page:", "The same by hand:")
WAIT_MILLISECONDS, PAUSE_MILLISECONDS = 3100, 250
"""Of the browser's clock, which the tests move; see embed.js and embed-doctor.js."""
SCRIPT = '<script src="https://connect.example/static/embed.js"></script>'


@pytest.fixture
def examined(stack: Stack) -> Iterator[Portal]:
    with portal(stack, SLUG) as made:
        yield made


def console(
    browser: Browser, made: Portal, *, ahead: timedelta = timedelta(0), frames: int = 1
) -> str:
    """All that the doctor says on a page of the portal's.

    :param frames: that differ; there is a last line for each
    :param ahead: how fast the clock of the browser's machine is
    """
    with visitor(browser, size=DESKTOP) as context:
        return console_in(context, made, ahead=ahead, frames=frames)


def console_in(
    context: BrowserContext,
    made: Portal,
    *,
    ahead: timedelta = timedelta(0),
    frames: int = 1,
    after: str = "",
) -> str:
    """The same, in a browser that was prepared for it.

    :param after: an event that the portal is told before the doctor comes
    """
    said: list[str] = []
    page = context.new_page()
    page.clock.install(time=datetime.now(UTC) + ahead)
    page.on("console", lambda line: said.append(line.text) if OURS in line.text else None)
    page.goto(f"{made.origin}/")
    expect(page.locator("#log")).to_contain_text(after)
    page.clock.run_for(WAIT_MILLISECONDS)

    def ended() -> bool:
        page.clock.run_for(PAUSE_MILLISECONDS)
        return sum(any(last in one for last in LAST) for one in said) == frames

    wait_until(ended, what="the doctor has looked at the page")
    return "\n".join(one.removeprefix(OURS) for one in said)


def doctors(asked: list[str]) -> list[str]:
    """What of that was asked is the doctor."""
    return [one for one in asked if "doctor" in one]


def put(made: Portal, person: Person, *, headers: dict[str, str] | None = None) -> None:
    """Let the portal's page show the grower's frame, and send these headers."""
    made.headers = headers or {}
    made.embed(person)


def test_console_of_a_portal_in_order_says_so_in_a_line(
    examined: Portal, people: People, chromium: Browser
) -> None:
    put(examined, people.invited(partner=SLUG))
    with visitor(chromium, size=DESKTOP) as context:
        said = console_in(context, examined, after="ready")
        assert said == "✓ Nothing to change; looked at: partner, origin, policy, token, answered."
        events = context.pages[0].locator("#log li")
        expect(events).to_have_count(1)  # as growers' browsers are told it, who have no doctor


def test_console_says_what_to_register_and_that_the_token_is_over(
    stack: Stack, people: People, chromium: Browser
) -> None:
    with portal(stack, "stranger", registered=False) as made:
        put(made, people.invited(partner="stranger"))
        with stack.installation.database.transaction() as session:
            long_ago = datetime.now(UTC) - timedelta(hours=2)
            session.execute(
                sa.update(Link).where(Link.kind == LinkKind.EMBED).values(expires_at=long_ago)
            )
        said = console(chromium, made)
    assert "✗ http://portal.localhost" in said
    assert f"\n    {made.origin}\n" in said, "what to register, exactly"
    assert "✗ The token is over" in said
    assert "elsewhere.example" not in said, "who is registered is nobody's business"


def test_console_reads_the_headers_of_its_own_page(
    examined: Portal, people: People, chromium: Browser
) -> None:
    app = examined.stack.public_url
    policy = f"default-src 'self'; script-src 'unsafe-inline' {app}; connect-src 'self' {app}"
    person = people.invited(partner=SLUG)
    put(
        examined,
        person,
        headers={
            "Content-Security-Policy": policy,
            "Cross-Origin-Opener-Policy": "same-origin",
            "Cross-Origin-Embedder-Policy": "require-corp",
            "Permissions-Policy": "clipboard-write=()",
        },
    )
    said = console(chromium, examined, ahead=timedelta(hours=1))
    assert (
        f"lets no frame of {app} in (default-src). Write into it:\n    frame-src 'self' {app}"
        in said
    )
    assert "Your page sends Cross-Origin-Opener-Policy: same-origin" in said
    assert "✗ Your page sends Cross-Origin-Embedder-Policy: require-corp" in said
    assert f'\n    clipboard-write=(self "{app}")' in said
    assert "The clock of this machine is 60 min fast." in said
    assert "To change: 2." in said
    assert "did not answer" not in said, "what is refused needs no second word"

    put(examined, person, headers={"Content-Security-Policy": policy.rpartition(" ")[0]})
    said = console(chromium, examined)
    assert f"While you develop, add to it:\n    connect-src 'self' {app}" in said
    assert f"{app}/embed/{SLUG}/doctor?address=" in said


def test_console_of_a_portal_with_https_says_that_this_service_has_none(
    examined: Portal, people: People, chromium: Browser, tmp_path: Path
) -> None:
    """On this machine Chromium shows the frame nevertheless, so that development goes on."""
    (port,) = free_ports(1)
    examined.front = f"https://localhost:{port}"
    with examined.stack.installation.database.transaction() as session:
        partner = partners.named(session, SLUG)
        partner.frame_origins = [examined.origin]
    person = people.invited(partner=SLUG)
    put(examined, person)
    with https_in_front(examined.port, port=port, certificate=certificate(tmp_path)):
        wait_until(lambda: is_open(port), what="the portal has https")
        context = chromium.new_context(ignore_https_errors=True)
        try:
            said = console_in(context, examined, after="ready")
            reference = person.connection().reference
            expect(context.pages[0].locator("#log")).to_have_text(f"ready {reference} invited")
        finally:
            context.close()
    assert "Your portal has https and this service has not. Safari refuses that also on" in said
    assert said.endswith(
        "Nothing to change; looked at: partner, origin, mixed, policy, token, answered."
    )


def is_open(port: int) -> bool:
    try:
        socket.create_connection(("localhost", port)).close()
    except OSError:
        return False
    return True


def test_console_names_what_a_sandbox_lacks(
    examined: Portal, people: People, chromium: Browser
) -> None:
    examined.sandbox = "allow-scripts allow-forms"
    put(examined, people.invited(partner=SLUG))
    said = console(chromium, examined)
    assert "allow-top-navigation-by-user-activation. So it can open no window" in said
    assert (
        '\n    sandbox="allow-scripts allow-same-origin allow-forms allow-popups allow-popups-to'
        in said
    )
    assert '\n    allow="clipboard-write"' in said


def test_console_knows_elements_that_are_not_complete_and_partners_that_are_not(
    examined: Portal, people: People, chromium: Browser
) -> None:
    token = examined.embed(people.invited(partner=SLUG))
    element = '<connect-john-deere partner="{}" token="{}"></connect-john-deere>'
    wrong = (("other", token), ("none-such", token), (SLUG, "cjd_0123abcd_x"), (SLUG, ""))
    with portal(examined.stack, "other") as other:
        other.element = "".join(element.format(*one) for one in wrong)
        with examined.stack.installation.database.transaction() as session:
            partner = partners.named(session, SLUG)
            partner.frame_origins = [other.origin]
        said = console(chromium, other, frames=3)
    assert "✗ This token is another partner’s." in said
    assert "✗ There is no partner “none-such” here." in said
    assert "✗ This is a key of the API, and whoever opens your page can read it." in said
    assert "✗ The element has no token" in said
    assert token not in said


def test_frame_that_says_nothing_though_all_is_right_is_said(
    examined: Portal, people: People, chromium: Browser
) -> None:
    put(examined, people.invited(partner=SLUG))
    with visitor(chromium, size=DESKTOP) as context:
        # As an extension of the browser does it.
        context.route("**/embed/examined", lambda route: route.abort())
        said = console_in(context, examined)
    assert "✗ The frame did not answer, though nothing else is wrong." in said


def test_doctor_comes_to_no_grower(examined: Portal, people: People, chromium: Browser) -> None:
    """On a site that is no developer's own machine nothing is loaded, unless it is asked for."""
    put(examined, people.invited(partner=SLUG))
    loader = (ROOT / "static" / "embed.js").read_text()
    with visitor(chromium, size=DESKTOP) as context:
        page = context.new_page()
        asked: list[str] = []

        def answer(route: Route) -> None:
            asked.append(route.request.url)
            script = route.request.url.endswith(".js")
            route.fulfill(
                body=loader if script else examined.element + SCRIPT,
                content_type="text/javascript" if script else "text/html",
            )

        context.route("https://*.example/**", answer)
        page.clock.install()
        page.goto("https://portal.example/")
        page.clock.run_for(WAIT_MILLISECONDS)
        assert doctors(asked) == []
        examined.element = examined.element.replace(
            "<connect-john-deere", "<connect-john-deere debug"
        )
        page.goto("https://portal.example/")
        page.clock.run_for(WAIT_MILLISECONDS)

        def came() -> list[str]:
            page.wait_for_timeout(20)
            return doctors(asked)

        wait_until(came, what="the doctor is loaded")


def test_developer_walks_through_the_page(
    examined: Portal, people: People, chromium: Browser, artifacts: Path
) -> None:
    put(examined, people.invited(partner=SLUG))
    url = f"{examined.stack.public_url}/embed/{SLUG}/doctor"
    for size, dark in ((PHONE, False), (DESKTOP, True)):
        with visitor(chromium, size=size, dark=dark) as context:
            page = context.new_page()
            page.goto(url)
            page.get_by_label("Address of your page").fill("portal")
            page.get_by_label("Its headers").fill("content-security-policy: default-src 'none'")
            page.get_by_role("button", name="Look at it").click()
            expect(page.get_by_label("Address of your page")).to_have_value("portal")
            expect(page.get_by_text("Write the whole address")).to_be_visible()
            page.set_viewport_size(NARROWEST)
            assert too_wide(page) == []
            page.set_viewport_size(size)
            page.get_by_label("Address of your page").fill(f"{examined.origin}/farm?id=7")
            page.get_by_label("Its HTML").fill(examined.element)
            page.keyboard.press("Tab")
            page.keyboard.press("Tab")
            page.keyboard.press("Enter")
            expect(page.get_by_role("heading", name="2 things to change")).to_be_visible()
            expect(page.get_by_text("The token is good until")).to_be_visible()
            expect(page.locator("textarea#markup")).to_have_value(re.compile('token="TOKEN"'))
            page.get_by_text(f"frame-src {examined.stack.public_url}", exact=True).click()
            chosen = page.evaluate("getSelection().toString()")
            assert chosen == f"frame-src {examined.stack.public_url}", "one press, to be copied"
            name = f"embed-doctor-{size['width']}-{'dark' if dark else 'light'}.png"
            page.screenshot(path=artifacts / name, full_page=True)
            found = Axe().run(page)
            assert found.violations_count == 0, found.generate_report()
            page.set_viewport_size(NARROWEST)
            assert too_wide(page) == []
