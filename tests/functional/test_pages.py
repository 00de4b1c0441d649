"""The grower's pages: what a link shows, to whom, and that looking at it changes nothing.

That every page is well formed and has the right headers is asserted after each test that walks
(`conftest.py`).
"""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID, uuid4

import pytest
import requests
import sqlalchemy as sa
import time_machine

from onboarding.clock import now
from onboarding.links import grower_cookie
from tests.support.contents import tables
from tests.support.control import Control
from tests.support.people import People, Person
from tests.support.stack import WORKER, Stack
from tests.support.wait import wait_until

NAME = "Quiet Valley Farm"


def test_first_page_says_that_a_link_is_needed(people: People, stack: Stack) -> None:
    page = people.visitor(f"{stack.public_url}/").open()
    assert page.status == 200
    assert page.heading == "Connect your John Deere data"
    assert "You need a link from that company" in page.text
    assert page.forms == []


def test_link_says_who_asks_for_whom_and_what(people: People) -> None:
    grower = people.invited(name=NAME)
    page = grower.open()
    assert page.heading == "Connect John Deere"
    assert f"Demo Co-op asks to receive data of {NAME}" in page.text
    for words in (
        "Fields and their boundaries",
        "Your password at John Deere",
        "If John Deere says “edit and delete”",
        "Open your link and choose “Disconnect”, remove the connection on John Deere’s page",
        "This is not me",
    ):
        assert words in page.text
    assert [button.text for form in page.forms for button in form.buttons] == ["Connect John Deere"]


def test_names_are_shown_as_text_whatever_they_hold(people: People, control: Control) -> None:
    name = "<script>alert(1)</script>{{ 7*7 }}\"'&amp;"
    organization = {
        "id": "1",
        "name": "<img src=x onerror=alert(2)>",
        "links": [{"rel": "manage_connections", "uri": "javascript:alert(3)"}],
    }
    control.add_fault("deere.organizations", "json", body={"values": [organization]})
    grower = people.invited(name=name)
    assert name in grower.open().text
    grower.connect("one-farm")
    grower.wait_for(lambda page: "alert(2)" in page.text, what="the organization is shown")
    assert "<img src=x onerror=alert(2)>" in grower.page.text
    assert name in grower.page.text


@pytest.mark.parametrize(
    "uri",
    [
        "https://connections.deere.com.example.net/select-organizations",
        "http://connections.deere.com/select-organizations",
        "https://connections.deere.com@example.net/",
        "javascript:alert(1)",
        "//example.net/",
    ],
)
def test_page_to_choose_is_john_deeres_own_whatever_the_api_says(
    people: People, control: Control, stack: Stack, uri: str
) -> None:
    organization = {"id": "1", "name": "A", "links": [{"rel": "connections", "uri": uri}]}
    control.add_fault("deere.organizations", "json", body={"values": [organization]})
    grower = people.invited()
    grower.authorize("one-farm")
    assert grower.page.url.startswith(f"{stack.sandbox_url}/connections/sandbox-client/")


def test_state_answers_304_until_something_happens(people: People) -> None:
    grower = people.invited()
    url = f"{grower.link}/state"
    first = grower.session.get(url)
    assert set(first.json()) == {"code", "fingerprint", "polling"}
    assert first.json()["code"] == "invited"
    again = grower.session.get(url, headers={"If-None-Match": first.headers["ETag"]})
    assert (again.status_code, again.content) == (304, b"")
    assert again.headers["ETag"] == first.headers["ETag"]
    grower.connect("already-connected")
    grower.wait_for_code("connected")
    _wait_for_rest(grower)
    last = grower.session.get(url, headers={"If-None-Match": first.headers["ETag"]})
    assert last.status_code == 200
    assert last.json()["fingerprint"] == grower.open().main["data-fingerprint"]
    assert not last.json()["polling"]


def test_page_that_waits_for_something_loads_itself_again_without_script(
    people: People, control: Control
) -> None:
    grower = people.invited()
    grower.open()
    assert grower.page.refresh_seconds is None
    grower.start()
    assert grower.open().refresh_seconds
    control.add_fault("leaf.users.list", "hang", match={"external_id": grower.external_id})
    grower.start()
    grower.sign_in("already-connected")
    grower.allow()
    assert grower.page.heading == "Connecting to Leaf"
    assert grower.page.refresh_seconds == 5
    control.clear_faults()
    grower.wait_for_code("connected")
    _wait_for_rest(grower)


def test_link_that_is_not_ours_opens_nothing(people: People) -> None:
    grower = people.invited(name=NAME)
    prefix, _, token = grower.link.rpartition("/")
    stem, signature = token.split(".")
    foreign = people.invited().link.rpartition(".")[2]
    wrong = [
        *(stem, signature, f"{stem}.", f".{signature}", token[:-1], f"{token}A", token.swapcase()),
        *(f"{stem}.{foreign}", f"{token}=", f"{token}.", f"{stem}=.{signature}"),
        *("%00", "%ff%fe", "a" * 4000, "%E2%80%AE", "..%2f..%2fetc"),
    ]
    for one in wrong:
        page = grower.open(f"{prefix}/{one}")
        assert page.status == 404, one
        assert NAME not in page.html
    assert grower.open(f"{prefix}/{token[:-1]}").heading == "This link is not complete"


def test_link_that_is_over_names_the_partner_and_never_the_grower(people: People) -> None:
    expired, revoked = people.invited(name=NAME), people.invited(name=NAME)
    for grower in (expired, revoked):
        grower.open()  # with a form that could still be sent
    expired.expire_link()
    revoked.revoke_link()
    for grower, heading in (
        (expired, "This link has expired"),
        (revoked, "This link is no longer valid"),
    ):
        form = grower.page.form_to("/start")
        assert form
        pages = [grower.submit(form), grower.open(), grower.open(f"{grower.link}/state")]
        for page in pages:
            assert page.status == 410
            assert page.heading == heading
            assert NAME not in page.html
            assert "Demo Co-op" in page.text
            assert not page.form_to("/start")
        assert grower.attempts() == []


def test_browser_that_connected_keeps_its_access_for_ninety_days(
    people: People, stack: Stack
) -> None:
    grower = people.invited(name=NAME)
    grower.connect("already-connected")
    grower.wait_for_code("connected")
    grower.expire_link()
    assert NAME in grower.open().text
    grower.revoke_link()
    assert NAME in grower.open().text
    connection = grower.connection().id
    for days, status in ((89, 200), (91, 410)):
        with time_machine.travel(now() - timedelta(days=days)):
            value = stack.installation.links.browser_value(connection)
        later = _with_cookie(people, grower, grower_cookie(connection), value)
        assert later.open().status == status


def test_cookie_of_another_grower_or_none_gives_no_access(people: People, stack: Stack) -> None:
    grower, other = people.invited(name=NAME), people.invited()
    for one in (grower, other):
        one.open()
        one.start()
    grower.revoke_link()
    mine, theirs = grower.connection().id, other.connection().id
    values = {
        stack.installation.links.browser_value(theirs),
        grower.link.rpartition("/")[2],
        str(mine),
        "",
    }
    for value in values:
        stranger = _with_cookie(people, grower, grower_cookie(mine), value)
        assert stranger.open().status == 410


def test_holder_of_a_forwarded_link_gets_no_access_that_outlives_it(people: People) -> None:
    grower = people.invited(name=NAME)
    grower.authorize("one-farm")
    stranger = people.visitor(grower.link)
    stranger.open()
    stranger.press("Choose organizations")
    grower.revoke_link()
    assert stranger.open().status == 410
    assert NAME not in stranger.page.html


def test_browser_that_connects_many_growers_forgets_the_oldest_in_time(
    people: People, stack: Stack
) -> None:
    adviser = people.invited(name=NAME)
    earlier = [uuid4() for _ in range(30)]
    for number, connection in enumerate(earlier):
        with time_machine.travel(now() - timedelta(days=60 - number)):
            _give_cookie(adviser, stack, connection)
    _give_cookie(adviser, stack, uuid4(), value="forged")
    _give_cookie(adviser, stack, uuid4(), value="forged")
    adviser.connect("already-connected")
    assert NAME in adviser.page.text
    kept = {name for name in adviser.session.cookies.keys() if "grower" in name}  # noqa: SIM118
    assert kept == {grower_cookie(one) for one in [*earlier, adviser.connection().id]}
    sent = adviser.answers[-1].request.headers["Cookie"]
    assert len(sent) < 8190 - 20 * 90  # as much as gunicorn reads, with twenty open attempts
    assert requests.get(adviser.link, headers={"Cookie": sent}, timeout=10).status_code == 200


def test_partners_colour_comes_as_a_file_of_its_own(people: People, stack: Stack) -> None:
    people.partner("blue", name="Blue Co-op", colour="#1a4d8f")
    grower = people.invited(partner="blue")
    assert "/p/blue.css?v=1a4d8f" in grower.open().html
    css = grower.session.get(f"{stack.public_url}/p/blue.css")
    assert css.headers["Content-Type"].startswith("text/css")
    assert "#1a4d8f" in css.text


@pytest.mark.parametrize("slug", ["nobody", "demo", "%00", "..%2f..%2fapp", "a" * 300])
def test_no_colour_is_a_page_that_is_not_there(people: People, stack: Stack, slug: str) -> None:
    page = people.visitor(f"{stack.public_url}/p/{slug}.css").open()
    assert page.status == 404
    assert page.heading == "There is no such page"


def test_looking_changes_nothing_in_any_table(people: People, stack: Stack) -> None:
    new, connected, expired = people.invited(), people.invited(), people.invited()
    connected.connect("already-connected")
    connected.wait_for_code("connected")
    expired.expire_link()
    stack.kill(WORKER)  # it never rests
    engine = stack.installation.database.engine
    before = _at_rest(engine)
    for grower in (new, connected, expired, people.visitor(new.link)):
        _look_everywhere(grower, stack)
    assert tables(engine) == before
    assert new.events("attempt_started") == []


def _at_rest(engine: sa.Engine) -> dict[str, str]:
    """The tables once PostgreSQL has carried out what a killed worker had sent."""
    seen: list[dict[str, str]] = []

    def thrice_the_same() -> bool:
        seen.append(tables(engine))
        return len(seen) >= 3 and seen[-1] == seen[-2] == seen[-3]

    wait_until(thrice_the_same, what="the tables are at rest")
    return seen[-1]


def _wait_for_rest(grower: Person) -> None:
    """Leaf is asked once more after the hand-over; then there is nothing to wait for."""
    grower.wait_for(lambda page: page.refresh_seconds is None, what="the page is at rest")


def _look_everywhere(grower: Person, stack: Stack) -> None:
    """Open every page that has an address, as people, mail scanners and preview makers do."""
    origin = stack.public_url
    urls = [
        *(grower.link, f"{grower.link}?utm_source=mail", f"{grower.link}/state", f"{origin}/"),
        *(f"{grower.link}/start", f"{grower.link}/organizations", f"{origin}/nothing"),
        *(f"{origin}/deere/callback", f"{origin}/deere/callback?state=x&code=y"),
        *(f"{origin}/deere/callback?error=access_denied", f"{origin}/p/demo.css"),
        *(f"{origin}/health/live", f"{origin}/health/ready"),
    ]
    for url in urls:
        for method in ("GET", "HEAD", "OPTIONS"):
            answer = grower.session.request(method, url)
            assert answer.status_code < 500
            assert method != "HEAD" or answer.content == b""


def _with_cookie(people: People, grower: Person, name: str, value: str) -> Person:
    """Another browser with the same link and one cookie."""
    visitor = people.visitor(grower.link)
    visitor.session.cookies.set(name, value, domain="localhost.local", secure=True)
    return visitor


def _give_cookie(
    person: Person, stack: Stack, connection: UUID, *, value: str | None = None
) -> None:
    """As if this browser had connected a grower at this moment."""
    value = value or stack.installation.links.browser_value(connection)
    person.session.cookies.set(
        grower_cookie(connection), value, domain="localhost.local", secure=True
    )
