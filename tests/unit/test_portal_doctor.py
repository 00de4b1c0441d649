"""What is wrong with the frame in a portal: what is found, for whom, and what is not told."""

from __future__ import annotations

import json
import re
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import hypothesis
import pytest
import sqlalchemy as sa
from flask import Flask
from flask.testing import FlaskClient
from hypothesis import strategies as st
from werkzeug.test import TestResponse

from onboarding.clock import now
from onboarding.db import Database
from onboarding.errors import InputInvalid
from onboarding.links import Links
from onboarding.models import Link
from onboarding.partners import portal
from onboarding.partners.portal.policy import refused_by, with_source
from tests.unit.rows import invited
from tests.unit.test_embed import PORTAL, app, embed

__all__ = ["app"]  # the fixture

APP = "https://connect.example"
FRAME, LOADER = f"{APP}/embed/prairie", f"{APP}/static/embed.js"
MOMENT = datetime(2026, 7, 1, 12, 0, tzinfo=UTC)
SANDBOX = (
    "allow-scripts allow-same-origin allow-forms allow-popups allow-popups-to-escape-sandbox "
    "allow-top-navigation-by-user-activation"
)
PIECES = (
    *("<", ">", "!", "[", "]", "/", "=", "'", '"', ";", " ", "\n", "\0", "<!", "<![", "]]>", "--"),
    *("</", "<?", "&", "&#", "&#x", "&lt", "9" * 5000, "CDATA[", "doctype", "<script ", "src="),
    *("<iframe ", "sandbox", "allow=", "/embed/x", "/static/embed.js", "http://[", "ä." * 200),
    *("<meta ", "http-equiv=", "content=", "content-security-policy", "<connect-john-deere token="),
)
"""What a page's HTML is of, and what readers of it stumble over."""
PASTED = st.lists(st.sampled_from(PIECES) | st.text(max_size=5), max_size=30).map("".join)
VISIT = portal.Visit(
    slug="prairie",
    registered=frozenset({PORTAL}),
    page=portal.Page(origin=PORTAL, headers={}, loader=APP),
    token=portal.TokenState(None, MOMENT + timedelta(minutes=30)),
    public_url=APP,
    is_sandbox=False,
    moment=MOMENT,
)


def found(visit: portal.Visit) -> dict[str, portal.Finding]:
    """What is not as it should be, by its code."""
    return {one.code: one for one in portal.examine(visit) if one.kind != "fine"}


def of_page(**known: Any) -> dict[str, portal.Finding]:
    return found(replace(VISIT, page=portal.Page(**VISIT.page.model_dump() | known)))


@pytest.mark.parametrize(
    ("policy", "frame", "script"),
    [
        ("", None, None),
        ("img-src 'self'", None, None),
        ("default-src 'self'", "default-src", "default-src"),
        ("default-src 'none'; frame-src *; script-src https:", None, None),
        (f"default-src 'self'; child-src {APP}", None, "default-src"),
        (f"frame-src {APP}/; script-src-elem {APP}/static/; script-src 'none'", None, None),
        (f"frame-src {APP}/embed; script-src {APP}/static/embed.js", "frame-src", None),
        ("frame-src *.example; script-src connect.example:443", None, None),
        ("frame-src https://a:" + "9" * 5000, "frame-src", None),
        ("frame-src https://*.connect.example; script-src example", "frame-src", "script-src"),
        ("frame-src connect.example:8443; script-src http:", "frame-src", None),
        ("frame-src connect.example:*; frame-src 'none'", None, None),
        (f"script-src 'strict-dynamic' {APP}", None, "script-src"),
        ("FRAME-SRC HTTPS://CONNECT.EXAMPLE; Script-Src 'NONE'", None, "script-src"),
        ("frame-src http://[::1]:8000 x@y", "frame-src", None),
    ],
)
def test_policies_are_read_as_browsers_read_them(
    policy: str, frame: str | None, script: str | None
) -> None:
    assert refused_by(policy, "frame-src", FRAME, PORTAL) == frame
    assert refused_by(policy, "script-src", LOADER, PORTAL) == script
    for kind, url, refused in (
        ("frame-src", FRAME, frame),
        ("script-src", LOADER, script),
    ):
        if refused and "strict-dynamic" not in policy:
            better = with_source(policy, kind, APP)  # type: ignore[arg-type]
            assert refused_by(better, kind, url, PORTAL) is None  # type: ignore[arg-type]


def test_a_page_on_the_same_host_is_itself_with_its_own_port() -> None:
    here = "http://localhost:8000"
    assert refused_by("frame-src 'self'", "frame-src", f"{here}/embed/x", here) is None
    for other in ("http://localhost:3000", "http://127.0.0.1:8000"):
        assert refused_by("frame-src 'self'", "frame-src", f"{here}/embed/x", other) == "frame-src"


def test_nothing_is_said_of_a_page_that_is_as_it_should_be() -> None:
    policy = f"default-src 'self'; frame-src {APP}; script-src 'self' {APP}"
    frames = [{"answered": True}, {"sandbox": SANDBOX, "allow": "clipboard-write"}]
    headers = {"content-security-policy": policy}
    assert of_page(headers=headers, clock=MOMENT.timestamp() + 3, frames=frames) == {}


@pytest.mark.parametrize(
    ("known", "code", "value"),
    [
        ({"origin": "https://portal.example:8443"}, "origin", "https://portal.example:8443"),
        ({"origin": "http://portal.example"}, "origin", PORTAL),
        ({"origin": "http://localhost:3000"}, "origin", ""),
        ({"origin": "null"}, "origin", ""),
        ({"ancestors": [PORTAL, "https://shell.example"]}, "ancestor", "https://shell.example"),
        ({"loader": "https://old.example"}, "loader", f'<script src="{LOADER}"></script>'),
        (
            {"headers": {"content-security-policy": "default-src 'self'; script-src *"}},
            "frame-src",
            f"frame-src 'self' {APP}",
        ),
        (
            {"policies": ["default-src 'self' 'unsafe-inline'; script-src *"]},
            "frame-src",
            f"frame-src 'self' {APP}",
        ),
        ({"policies": ["frame-src 'none'"]}, "frame-src", f"frame-src {APP}"),
        (
            {"policies": [f"frame-src {APP}; script-src a.example"]},
            "script-src",
            f"script-src a.example {APP}",
        ),
        (
            {"headers": {"content-security-policy": "sandbox allow-scripts"}},
            "page-sandbox",
            f"sandbox {SANDBOX}",
        ),
        ({"headers": {"cross-origin-embedder-policy": "require-corp"}}, "embedder", ""),
        ({"frames": [{"sandbox": ""}]}, "sandbox", f'sandbox="{SANDBOX}"'),
        (
            {"frames": [{"sandbox": "allow-scripts allow-same-origin allow-forms"}]},
            "sandbox",
            f'sandbox="{SANDBOX}"',
        ),
        (
            {"frames": [{"sandbox": "allow-scripts allow-popups"}]},
            "sandbox",
            f'sandbox="{SANDBOX}"',
        ),
        ({"frames": [{"answered": False}]}, "answered", FRAME),
    ],
)
def test_what_keeps_it_from_working_is_said_with_what_to_write(
    known: dict[str, Any], code: str, value: str
) -> None:
    said = of_page(**known)
    assert {one.code: one.kind for one in said.values()} == {code: "wrong"}
    assert said[code].value == value


@pytest.mark.parametrize(
    ("known", "code", "words"),
    [
        ({"headers": None}, "policy", "Not looked at"),
        (
            {"frames": [{"sandbox": SANDBOX.rpartition(" ")[0]}]},
            "sandbox",
            "Where no window can open",
        ),
        (
            {"frames": [{"sandbox": SANDBOX.replace("allow-popups-to-escape-sandbox ", "")}]},
            "sandbox",
            "inherit",
        ),
        (
            {"policies": [f"frame-src {APP}; script-src 'nonce-x'"]},
            "script-src",
            "nonces or hashes",
        ),
        ({"headers": {"permissions-policy": "clipboard-write=()"}}, "permissions", "copying"),
        ({"frames": [{"allow": ""}]}, "allow", "copy the link"),
        ({"headers": {"cross-origin-opener-policy": "same-origin"}}, "opener", "It may stay"),
        ({"clock": MOMENT.timestamp() - 900}, "clock", "15 min slow"),
    ],
)
def test_what_works_but_should_be_known_is_a_note(
    known: dict[str, Any], code: str, words: str
) -> None:
    said = of_page(**known)
    assert {one.code: one.kind for one in said.values()} == {code: "note"}
    assert words in said[code].text


def test_a_frame_that_says_nothing_is_explained_by_what_is_wrong() -> None:
    silent = [{"answered": False}]
    assert "answered" not in of_page(origin="https://other.example", frames=silent)
    visit = replace(VISIT, token=portal.TokenState("expired", MOMENT))
    page = portal.Page(**VISIT.page.model_dump() | {"frames": silent})
    assert set(found(replace(visit, page=page))) == {"token", "answered"}


def test_https_in_front_of_http_is_mixed() -> None:
    page = portal.Page(origin=PORTAL, headers={})
    plain = replace(VISIT, page=page, public_url="http://connect.example")
    assert found(plain)["mixed"].kind == "wrong"
    assert found(replace(plain, public_url="http://localhost:8000"))["mixed"].kind == "note"


def test_only_a_sandbox_lets_portals_on_ones_own_machine_in() -> None:
    page = portal.Page(origin="http://localhost:3000", headers={})
    sandbox = found(replace(VISIT, page=page, is_sandbox=True))["origin"]
    assert sandbox.value == "http://localhost:3000"
    assert "localhost and 127.0.0.1" in sandbox.text


def check(browser: FlaskClient, token: str = "", slug: str = "prairie", **page: Any) -> Any:
    """What the console of a portal is told."""
    answer = browser.post(
        f"/embed/{slug}/check",
        data=json.dumps({"origin": PORTAL, "frames": [{}], **page}),
        headers={"Authorization": f"Bearer {token}"} if token else {},
    )
    assert answer.headers["Access-Control-Allow-Origin"] == "*"
    return answer.get_json()


def test_console_is_told_what_is_wrong_with_its_token_and_nothing_of_growers(
    app: Flask, browser: FlaskClient, fresh_database: Database
) -> None:
    token = embed(app)
    invitation = Links("a-secret-key-for-tests-of-32-chars").token(
        invited(fresh_database, partner="prairie").id
    )
    for given, slug, words in (
        (token, "prairie", "The token is good until"),
        ("", "prairie", "There is no token."),
        (token[:-1], "prairie", "none of ours"),
        ("cjd_0123abcd_secret", "prairie", "Replace the key at once"),
        (invitation, "prairie", "the token of a link to send to growers"),
        (invitation, "acme", "another partner’s"),
        (token, "acme", "another partner’s"),
    ):
        told = check(browser, given, slug)
        assert [words in one["text"] for one in told["findings"] if one["code"] == "token"] == [
            True
        ], words
        assert "Maple" not in str(told)
        assert given[5:] not in str(told) or not given
    with fresh_database.transaction() as session:
        session.execute(sa.update(Link).values(expires_at=now() - timedelta(seconds=1)))
    assert "The token is over" in str(check(browser, token))
    assert [one["code"] for one in check(browser, token, "none-such")["findings"]] == ["partner"]


def test_console_of_another_site_is_not_told_who_is_registered(
    app: Flask, browser: FlaskClient
) -> None:
    told = check(browser, origin="https://other.example", clock=0)
    assert [one["value"] for one in told["findings"] if one["code"] == "origin"] == [
        "https://other.example"
    ]
    assert "portal.example" not in str(told)
    assert told["page"] == f"{APP}/embed/prairie/doctor?address=https://other.example"
    allowed = browser.options("/embed/prairie/check").headers
    assert "Content-Type" in allowed["Access-Control-Allow-Headers"]
    for wrong in ("", "[]", '{"origin": 5}', '{"origin": "null", "clock": NaN}'):
        answer = browser.post("/embed/prairie/check", data=wrong)
        assert (answer.status_code, answer.get_json()) == (422, {"error": "page_unreadable"})
    odd = check(browser, origin="http://[", ancestors=["http://[", "chrome-extension://x"])
    assert [one["kind"] for one in odd["findings"] if one["code"] == "origin"] == ["wrong"]


def paste(browser: FlaskClient, **typed: str) -> TestResponse:
    """Fill the page's form in, and send it."""
    shown = browser.get("/embed/prairie/doctor").text
    token = re.search(r'name="csrf_token" type="hidden" value="([^"]+)"', shown)
    assert token is not None
    return browser.post("/embed/prairie/doctor", data={"csrf_token": token[1], **typed})


def test_page_for_developers_looks_at_what_is_pasted_and_shows_no_token_again(
    app: Flask, browser: FlaskClient
) -> None:
    token = embed(app)
    headers = "HTTP/1.1 200 OK\r\nContent-Security-Policy: default-src 'none'\r\nServer: x\r\n"
    markup = (
        f'<![x[> <script src="http://old.example/static/embed.js"></script><b">&lt;'
        f'<iframe sandbox="allow-scripts" src="{APP}/embed/prairie#{token}"></iframe>'
    )
    said = paste(browser, address=f"{PORTAL}/farm?id=1", headers=headers, markup=markup)
    assert said.status_code == 200
    assert token not in said.text
    for words in (
        f"{PORTAL} is registered",
        f"frame-src {APP}",
        "Your page has embed.js from http://old.example",
        "lacks allow-same-origin",
        "The token is good until",
        "#TOKEN",
        f"curl -sI &#39;{PORTAL}/farm?id=1&#39;",
        "default-src &#39;none&#39;",
    ):
        assert words in said.text, words
    assert said.headers["X-Frame-Options"] == "DENY"
    field = paste(browser, address=PORTAL, token=token).text
    assert "The token is good until" in field
    assert token not in field


def test_page_for_developers_can_be_linked_to_and_says_what_to_write(
    app: Flask, browser: FlaskClient
) -> None:
    linked = browser.get("/embed/prairie/doctor?address=https://other.example/x")
    assert linked.status_code == 200
    assert "https://other.example is not registered for “prairie”" in linked.text
    for secret in ("other-portal.example", "Prairie Co-op"):
        assert secret not in linked.text
    for wrong in ("", "portal", "javascript:alert(1)"):
        answer = paste(browser, address=wrong, headers="X: kept")
        assert answer.status_code == 422
        assert "Write the whole address, like https://portal.example.com/farm" in answer.text
        assert "X: kept" in answer.text
    # Each is short enough to be typed, and ten times as long as browsers write it.
    endless = f"http://{'ä.' * 200}com"
    for answer in (
        browser.get("/embed/prairie/doctor", query_string={"address": endless}),
        paste(browser, address=endless),
    ):
        assert answer.status_code == 422
        assert "Write the whole address, like https://portal.example.com/farm" in answer.text
    too_long = paste(browser, address=PORTAL, markup="<p>" * 6000)
    assert too_long.status_code == 422
    assert "longer than 16384 characters" in too_long.text
    unread = paste(browser, address=PORTAL, markup=f"<iframe allow='&#{'9' * 5000}'>")
    assert unread.status_code == 422
    assert "The HTML can’t be read" in unread.text
    assert paste(browser, address=PORTAL, markup="<<![![x[ a").status_code == 200
    assert browser.get("/embed/none-such/doctor").status_code == 404
    assert browser.post("/embed/prairie/doctor", data={"address": PORTAL}).status_code == 400


def test_terminal_says_the_same_and_fails_if_anything_is_wrong(
    app: Flask, fresh_database: Database
) -> None:
    shell = app.test_cli_runner()
    asked = ["partner", "doctor", "prairie", "--address", f"{PORTAL}/farm", "--headers", "-"]
    fine = shell.invoke(args=asked, input=f"content-security-policy:\nframe-src {APP}\n")
    assert (fine.exit_code, "WRONG" in fine.output) == (0, False)
    assert f"ok    {PORTAL} is registered." in fine.output
    wrong = shell.invoke(args=asked, input="content-security-policy: frame-src a.example")
    assert wrong.exit_code == 1
    assert f"\n      frame-src a.example {APP}\n" in wrong.output
    endless = shell.invoke(args=asked, input=f"content-security-policy: {'a' * 20_000}")
    assert endless.exit_code == 1
    assert "Error: A header, or an attribute of a frame, has more than 16384" in endless.output
    for named, address, words in (
        ("none-such", PORTAL, "no partner"),
        ("prairie", "portal", "is no address"),
    ):
        refused = shell.invoke(args=["partner", "doctor", named, "--address", address])
        assert refused.exit_code == 1
        assert words in refused.output


@pytest.mark.parametrize(
    ("address", "origin"),
    [
        ("https://Portal.Example:443/x?y#z", PORTAL),
        ("http://portal.example:443", "http://portal.example:443"),
        ("https://bücher.example", "https://xn--bcher-kva.example"),
        ("http://[::1]:3000/", "http://[::1]:3000"),
        ("https://a@b:c/", None),
        ("https://$(x).example", None),
        ("ftp://portal.example", None),
        ("//portal.example", None),
        ("http://[", None),
        (f"http://{'ä.' * 200}com", None),
    ],
)
def test_origins_are_written_as_browsers_write_them(address: str, origin: str | None) -> None:
    assert portal.origin_of(address) == origin


@hypothesis.settings(max_examples=300)
@hypothesis.example(address="", headers="", markup="<<![![x[ a")
@hypothesis.example(address="", headers="", markup=f"<iframe allow='&#{'9' * 5000}'>")
@hypothesis.given(address=PASTED, headers=PASTED, markup=PASTED)
def test_whatever_is_pasted_is_read_or_refused(address: str, headers: str, markup: str) -> None:
    origin = portal.origin_of(f"https://{address}") or PORTAL
    with suppress(InputInvalid):
        page, _token = portal.page_in(origin, headers, markup)
        portal.examine(replace(VISIT, page=page))
