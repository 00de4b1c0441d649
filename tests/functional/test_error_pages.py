"""Pages for what went wrong: in our words, without a query, and deaf to what a request claims."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import requests

from tests.support.inspection import complaints
from tests.support.page import Page
from tests.support.people import People
from tests.support.serving import serving
from tests.support.stack import Stack

TIMEOUT = 30
LIMIT_BYTES = 64 * 1024


@pytest.fixture
def broken(stack: Stack, tmp_path: Path) -> Iterator[str]:
    """The origin of an app whose database cannot be reached: what it shows, it shows by itself."""
    if stack.database_url.startswith("sqlite"):
        url = f"sqlite:///{tmp_path}/no/such/folder/db.sqlite"
    else:
        url = stack.database_url.replace("/test_", "/no_such_database_")
    with serving(stack.environment | {"DATABASE_URL": url}, tmp_path) as origin:
        yield origin


@pytest.mark.parametrize(
    ("method", "path", "status", "heading"),
    [
        ("GET", "/nothing", 404, "There is no such page"),
        ("GET", "/static/nothing.css", 404, "There is no such page"),
        ("DELETE", "/", 405, "There is no such page"),
        ("POST", "/deere/callback", 405, "There is no such page"),
        ("GET", "/c/{link}/start", 405, "Please open the page again"),
        ("POST", "/c/{link}/start", 400, "Please open the page again"),
        ("POST", "/c/{link}/organizations", 400, "Please open the page again"),
        ("GET", "/c/{link}", 500, "Something went wrong on our side"),
        ("GET", "/c/{link}/state", 500, "Something went wrong on our side"),
        ("GET", "/deere/callback?state=a-state&code=a-code", 500, "Something went wrong on our"),
    ],
)
def test_error_is_told_in_our_words_although_the_database_is_gone(
    people: People,
    stack: Stack,
    broken: str,
    caplog: pytest.LogCaptureFixture,
    method: str,
    path: str,
    status: int,
    heading: str,
) -> None:
    token = people.invited().link.rpartition("/")[2]
    url = broken + path.format(link=token)
    with caplog.at_level(logging.INFO):
        answer = requests.request(method, url, timeout=TIMEOUT)
    page = Page.of(answer)
    assert page.status == status
    assert page.heading.startswith(heading)
    assert complaints(answer, origin=broken, deere=stack.sandbox_url) == []
    for secret in (token, "a-state", "a-code", stack.environment["SECRET_KEY"]):
        assert secret not in caplog.text
    for secret in ("a-state", "a-code", stack.environment["SECRET_KEY"]):
        assert secret not in page.html
    assert "Traceback" not in page.html
    assert "sqlalchemy" not in page.html.lower()


def test_crash_has_a_reference_that_staff_find_in_the_log(
    people: People, broken: str, caplog: pytest.LogCaptureFixture
) -> None:
    token = people.invited().link.rpartition("/")[2]
    page = Page.of(requests.get(f"{broken}/c/{token}", timeout=TIMEOUT))
    (line,) = [one for one in caplog.records if "Unhandled error" in one.getMessage()]
    reference = next(word for word in line.getMessage().split() if word.startswith("E-"))
    assert f"Reference code {reference}" in page.text
    assert "GET /c/<token>" in line.getMessage()


def test_process_without_database_is_alive_and_not_ready(broken: str) -> None:
    assert requests.get(f"{broken}/health/live", timeout=TIMEOUT).status_code == 200
    ready = requests.get(f"{broken}/health/ready", timeout=TIMEOUT)
    assert (ready.status_code, ready.json()) == (503, {"ready": False})


def test_only_what_may_be_done_is_named_with_a_405(people: People) -> None:
    grower = people.invited()
    answer = grower.session.delete(grower.link)
    assert answer.status_code == 405
    assert set(answer.headers["Allow"].split(", ")) == {"GET", "HEAD", "OPTIONS"}


@pytest.mark.parametrize("step", ["start", "organizations"])
def test_tab_restored_where_a_button_led_offers_the_growers_page(people: People, step: str) -> None:
    grower = people.invited()
    page = grower.open(f"{grower.link}/{step}")
    assert (page.status, page.heading) == (405, "Please open the page again")
    assert page.links["Open the page again"] == grower.link
    assert grower.attempts() == []


@pytest.mark.parametrize("chunked", [False, True], ids=["length", "chunked"])
def test_body_that_is_too_large_is_refused_unread(people: People, chunked: bool) -> None:
    grower = people.invited()
    grower.open()
    (form,) = grower.page.forms
    body = b"csrf_token=x&padding=" + b"a" * (LIMIT_BYTES + 1)
    answer = grower.session.post(
        form.action,
        data=iter([body]) if chunked else body,
        headers={"Content-Type": "application/x-www-form-urlencoded"},
        timeout=TIMEOUT,
    )
    assert answer.status_code in {413, 400 if chunked else 413}
    assert Page.of(answer).heading
    assert grower.attempts() == []


@pytest.mark.parametrize("host", ["evil.example.net", "localhost:1", "[::1]:443", "a b"])
def test_host_that_a_request_claims_is_nowhere_believed(
    people: People, stack: Stack, host: str
) -> None:
    grower = people.invited()
    grower.open()
    grower.until_callback("one-farm")
    claims = {
        "Host": host,
        "X-Forwarded-Host": "evil.example.net",
        "X-Forwarded-Proto": "gopher",
        "X-Forwarded-Port": "666",
        "X-Forwarded-Prefix": "/evil",
        "Forwarded": "host=evil.example.net;proto=gopher",
        "X-Original-URL": "/evil",
        "X-Rewrite-URL": "/evil",
    }
    for path in ("/", urlsplit(grower.link).path, "/nothing", "/deere/organizations", "//c//x"):
        answer = requests.get(
            stack.public_url + path, headers=claims, allow_redirects=False, timeout=TIMEOUT
        )
        seen = answer.text + str(answer.headers)
        assert answer.status_code in {200, 308, 400, 404}
        assert "evil" not in seen
        assert "gopher" not in seen


def test_redirects_lead_only_to_us_and_to_john_deere(stack: Stack) -> None:
    for path in (
        *("//evil.example.net/", "/%2f%2fevil.example.net", "/\\evil.example.net", "/c//evil"),
        *("///evil.example.net/c/x", "/.//evil.example.net", "//evil.example.net/%2e%2e"),
        *("/static//evil.example.net", "/deere/organizations?next=//evil.example.net"),
        "/deere/callback?redirect_uri=https://evil.example.net&return_url=//evil.example.net",
    ):
        answer = requests.get(stack.public_url + path, allow_redirects=False, timeout=TIMEOUT)
        location = answer.headers.get("Location", "")
        assert answer.status_code < 500
        assert not location or location.startswith((stack.public_url + "/", "/"))
        assert not location.startswith("//")


@pytest.mark.parametrize(("proxies", "believed"), [("0", False), ("1", True), ("2", True)])
def test_address_is_taken_from_as_many_proxies_as_are_trusted(
    stack: Stack, tmp_path: Path, proxies: str, believed: bool
) -> None:
    """What stands left of the trusted proxies' entries is the visitor's own invention."""
    with serving(stack.environment | {"TRUSTED_PROXIES": proxies}, tmp_path) as origin:
        statuses = []
        for number in range(121):
            invented, true = f"203.0.113.{number}", f"198.51.100.{number}"
            chains = {"0": [invented], "1": [invented, true], "2": [invented, true, "10.0.0.1"]}
            header = {"X-Forwarded-For": ", ".join(chains[proxies])}
            statuses.append(_callback(origin, header))
        assert statuses[:120] == [400] * 120
        assert statuses[120] == (400 if believed else 429)
        if believed:
            # Now the invention changes, and the address that the proxy saw does not.
            chain = {"1": "198.51.100.1", "2": "198.51.100.1, 10.0.0.1"}
            many = {
                _callback(origin, {"X-Forwarded-For": f"192.0.2.{n}, {chain[proxies]}"})
                for n in range(121)
            }
            assert many == {400, 429}


def _callback(origin: str, headers: dict[str, str]) -> int:
    url = f"{origin}/deere/callback?iss=somebody-else"
    return requests.get(url, headers=headers, timeout=TIMEOUT).status_code
