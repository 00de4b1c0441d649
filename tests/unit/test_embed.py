"""The frame in a partner's portal: who may show it, what it is told, and where it leads."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import timedelta
from typing import get_args
from urllib.parse import parse_qs, urlsplit

import pytest
import sqlalchemy as sa
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from onboarding import create_app, describe
from onboarding.clock import now
from onboarding.connections import embedding, glance, growers, invitations, partnership
from onboarding.db import Database
from onboarding.errors import InputInvalid
from onboarding.links import Links
from onboarding.models import Attempt, Connection, Event, Link, Partner
from onboarding.partners import status
from onboarding.states import LinkKind, Outcome, Stage
from onboarding.views.embed import TOKEN_EXPIRED, TOKEN_INVALID, TOKEN_OF_ANOTHER
from onboarding.views.limits import OPENINGS_PER_LINK
from tests.support.queries import counted
from tests.support.stack import ROOT
from tests.unit.cases import NOW, every_case
from tests.unit.conftest import SettingsFor
from tests.unit.failures import ThreadedServer
from tests.unit.rows import invited

PORTAL = "https://portal.example"
BACK = f"{PORTAL}/connected"


@pytest.fixture
def app(
    settings_for: SettingsFor,
    httpserver: ThreadedServer,
    fresh_database: Database,
    fresh_url: str,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Flask]:
    # No frame asks twice in so short a time; tests do.
    monkeypatch.setattr(glance, "LOOKED_FOR", -1.0)
    made = create_app(settings_for(httpserver, database_url=fresh_url))
    with fresh_database.transaction() as session:
        partnership.add_partner(
            session,
            slug="prairie",
            name="Prairie Co-op",
            frame_origins=[PORTAL, "https://other-portal.example"],
            return_urls=[BACK, f"{PORTAL}/done?from=us"],
        )
        partnership.add_partner(session, slug="acme", name="Acme")
    yield made
    made.extensions["onboarding"].database.engine.dispose()


def connection_of(database: Database, *, partner: str = "prairie") -> Connection:
    with database.transaction() as session:
        link = invitations.invite(
            session,
            partner_slug=partner,
            external_id="7",
            name="Maple Farm",
            lifetime=timedelta(days=1),
        )
        session.flush()
        return growers.connection_of(session, link.grower_id)


def embed(app: Flask, *, partner: str = "prairie", return_url: str | None = None) -> str:
    """A token for a frame of a grower."""
    parts = app.extensions["onboarding"]
    connection = connection_of(parts.database, partner=partner)
    with parts.database.transaction() as session:
        found = session.get_one(Connection, connection.id)
        made = embedding.new_link(session, found, return_url=return_url)
        session.flush()
        token: str = parts.links.token(made.id)
        return token


def ask(browser: FlaskClient, token: str, *, slug: str = "prairie", **headers: str) -> TestResponse:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return browser.get(
        f"/embed/{slug}/state", headers={"Authorization": f"Bearer {token}", **named}
    )


def test_frame_is_for_the_partners_own_origins_and_knows_no_grower(
    app: Flask, browser: FlaskClient
) -> None:
    page = browser.get("/embed/prairie?theme=dark")
    policy = page.headers["Content-Security-Policy"]
    assert f"frame-ancestors {PORTAL} https://other-portal.example" in policy
    assert "X-Frame-Options" not in page.headers
    assert page.headers["Referrer-Policy"] == "no-referrer"
    assert page.headers["Cache-Control"] == "no-store"
    assert "Cross-Origin-Opener-Policy" not in page.headers
    assert "Set-Cookie" not in page.headers
    assert 'data-theme="dark"' in page.text
    assert "data-theme" not in browser.get("/embed/prairie?theme=%22%3E").text

    nobody = browser.get("/embed/acme")
    assert "frame-ancestors 'none'" in nobody.headers["Content-Security-Policy"]
    assert nobody.headers["X-Frame-Options"] == "DENY"
    for missing in ("/embed/none-such", "/embed/A%00"):
        answer = browser.get(missing)
        assert answer.status_code == 404
        assert "frame-ancestors 'none'" in answer.headers["Content-Security-Policy"]


def test_state_is_told_to_who_has_the_token_and_again_only_when_it_is_another(
    app: Flask, browser: FlaskClient
) -> None:
    token = embed(app)
    answer = ask(browser, token)
    told = answer.get_json()
    assert (told["state"], told["event"], told["action"]) == (
        "invited",
        "ready",
        "Connect John Deere",
    )
    assert told["page"] == f"https://connect.example/c/{token}"
    assert told["popup"] == f"{told['page']}?window=popup"
    assert "Maple" not in answer.text
    assert "Set-Cookie" not in answer.headers
    assert answer.headers["Access-Control-Allow-Origin"] == "*"
    with counted(app.extensions["onboarding"].database.engine) as sent:
        same = ask(browser, token, If_None_Match=answer.headers["ETag"])
    assert (same.status_code, same.headers["ETag"]) == (304, answer.headers["ETag"])
    assert same.headers["Access-Control-Allow-Origin"] == "*"
    assert len(sent) == 1
    weak = ask(browser, token, If_None_Match=f"W/{answer.headers['ETag']}")
    assert weak.status_code == 304, "proxies that compress make them weak"
    packed = ask(browser, token, Accept_Encoding="br")
    again = ask(
        browser, token, Accept_Encoding="br", If_None_Match=f'"x", {packed.headers["ETag"]}'
    )
    assert (again.status_code, again.data) == (304, b"")

    shown = {"Sec-Fetch-Dest": "document", "Sec-Fetch-Mode": "navigate"}
    browser.get(f"/c/{token}", headers=shown)
    first = ask(browser, token, If_None_Match=answer.headers["ETag"]).get_json()["seen"]
    assert first > told["seen"], "the frame learns that the window is there"
    browser.get(f"/c/{token}", headers=shown)
    assert ask(browser, token).get_json()["seen"] > first, "each time"


def test_links_of_frames_that_are_opened_without_end_write_no_more_than_people_do(
    app: Flask, browser: FlaskClient
) -> None:
    engine = app.extensions["onboarding"].database.engine
    token, other = embed(app), embed(app)

    def is_written(token: str) -> bool:
        shown = {"Sec-Fetch-Dest": "document", "Sec-Fetch-Mode": "navigate"}
        with counted(engine) as sent:
            assert browser.get(f"/c/{token}", headers=shown).status_code == 200
        return any(one.startswith("UPDATE") for one in sent)

    assert all(is_written(token) for _ in range(OPENINGS_PER_LINK.amount))
    assert not is_written(token)
    assert is_written(other)


def test_tokens_that_are_not_for_this_frame_are_refused_by_their_reason(
    app: Flask, browser: FlaskClient, fresh_database: Database
) -> None:
    token = embed(app)
    invitation = Links("a-secret-key-for-tests-of-32-chars").token(invited(fresh_database).id)
    for wrong in ("", "nonsense", token[:-1], invitation):
        answer = ask(browser, wrong)
        assert (answer.status_code, answer.get_json()) == (401, {"error": "token_invalid"})
        assert answer.headers["Access-Control-Allow-Origin"] == "*"
    assert ask(browser, token, slug="acme").get_json() == {"error": "token_of_another"}
    with fresh_database.transaction() as session:
        session.execute(sa.update(Link).values(expires_at=now() - timedelta(seconds=1)))
    answer = ask(browser, token)
    assert (answer.status_code, answer.get_json()) == (410, {"error": "token_expired"})


def test_frame_without_an_origin_may_ask_and_get_the_code_for_the_phone(
    app: Flask, browser: FlaskClient
) -> None:
    allowed = browser.options("/embed/prairie/state", headers={"Origin": "null"})
    assert allowed.headers["Access-Control-Allow-Origin"] == "*"
    assert "Authorization" in allowed.headers["Access-Control-Allow-Headers"]
    picture = browser.get("/embed/prairie/qr", headers={"Authorization": f"Bearer {embed(app)}"})
    assert picture.mimetype == "image/svg+xml"
    assert picture.text.startswith("<svg")


def test_links_of_frames_leave_no_line_and_go_when_they_were_not_used(
    app: Flask, fresh_database: Database
) -> None:
    embed(app)
    with fresh_database.reading() as session:
        reference = session.scalars(sa.select(Connection)).one()
        lines = list(session.scalars(sa.select(Event.kind)))
    assert lines.count("link_made") == 1, "that of the invitation"
    used = embed(app)
    parts = app.extensions["onboarding"]
    with fresh_database.transaction() as session:
        link = session.get_one(Link, parts.links.link_id(used))
        session.add(
            Attempt(
                connection_id=reference.id,
                link_id=link.id,
                state_digest=b"s" * 32,
                browser_digest=b"b" * 32,
                created_at=now(),
            )
        )
        session.execute(sa.update(Link).values(expires_at=now() - timedelta(days=2)))
    embedding.forget_old(fresh_database)
    with fresh_database.reading() as session:
        left = session.scalars(sa.select(Link).order_by(Link.kind)).all()
    assert [one.kind for one in left if one.id == link.id] == [LinkKind.EMBED]
    assert sum(one.kind is LinkKind.EMBED for one in left) == 1


@pytest.mark.parametrize(
    "url",
    [
        "https://portal.example/connected/more",
        "https://portal.example.evil.example/connected",
        "https://portal.example/connected#x",
        "https://portal.example@evil.example/connected",
        "//portal.example/connected",
        "javascript:alert(1)",
        "https://portal.example/connected?x=\n",
        "",
    ],
)
def test_return_url_has_to_be_one_of_the_list(
    app: Flask, fresh_database: Database, url: str
) -> None:
    partner = connection_of(fresh_database).grower.partner
    with pytest.raises(InputInvalid, match="is not among those of Prairie Co-op"):
        embedding.check_return_url(partner, url)


def test_grower_goes_on_to_the_return_url_with_what_has_become_of_it(
    app: Flask, fresh_database: Database
) -> None:
    connection = connection_of(fresh_database)
    forged = f"{BACK}?state=connected&order=5&%63onnection=OTHER"
    for given, query in (
        (BACK, {}),
        (f"{BACK}?order=5&order=6", {"order": ["5", "6"]}),
        (forged, {"order": ["5"]}),
    ):
        assert embedding.check_return_url(connection.grower.partner, given) == given
        link = Link(return_url=given)
        told = next(case.told() for case, *_ in every_case() if case.stage is Stage.CONNECTED)
        back = embedding.way_back(link, connection, told)
        assert back is not None
        assert back.startswith(BACK)
        said = {"connection": [connection.reference], "state": [told.code]}
        assert parse_qs(urlsplit(back).query) == {**query, **said}


def test_nobody_is_sent_where_the_partner_has_listed_nothing(
    app: Flask, browser: FlaskClient, fresh_database: Database
) -> None:
    token = embed(app, return_url=BACK)
    evil = "?return_url=https://evil.example/&next=//evil.example&window=popup"
    assert "evil.example" not in browser.get(f"/c/{token}{evil}").text
    assert ask(browser, token).get_json()["comes_back"] is True
    with fresh_database.transaction() as session:
        for partner in session.scalars(sa.select(Partner)):
            partner.return_urls = []
    assert ask(browser, token).get_json()["comes_back"] is False


def test_portals_are_told_connected_when_it_is_true_and_of_every_state_something() -> None:
    seen = set()
    for case, connection, _ in every_case():
        if case.outcome not in {Outcome.AUTHORIZED, Outcome.DENIED, "open", "never"}:
            continue
        case.put_in(connection)
        told = case.told()
        event = embedding.event_of(connection, told)
        seen.add(event)
        if event == "connected":
            assert case.is_truly_connected(), case
        if event == "needs-action":
            assert told.who == "grower", case
    assert seen == {"ready", "opened", "working", "connected", "needs-action", "failed", "closed"}


def test_types_have_every_event_and_state_and_no_other() -> None:
    types = (ROOT / "static/embed.d.ts").read_text()

    def union(name: str) -> list[str]:
        found = re.search(rf"type ConnectJohnDeere{name} =(.*?);\n", types, re.S)
        assert found, name
        return re.findall(r'^  \| "([a-z_-]+)"$', found[1].rstrip(";"), re.M)

    assert {*union("Event"), "working"} == {*get_args(embedding.Event)}
    assert union("Status") == [*status.CODES]
    refusals = {TOKEN_INVALID, TOKEN_EXPIRED, TOKEN_OF_ANOTHER}
    assert {*union("FrameState")} == {*refusals, "frame_refused"}


def test_guide_says_of_what_there_is_no_event() -> None:
    guide = (ROOT / "docs/partners.md").read_text()
    sentence = guide.partition("There is no event for what passes by itself:")[2].partition(".")[0]
    silent = set(re.findall(r"`(\w+)`", sentence))
    nobody = set(re.findall(r"^\| `(\w+)` \| nobody \|", guide, re.M))
    assert silent == nobody - {"connected", "disconnected"}
    for case, connection, attempt in every_case():
        told = describe.connection(connection, latest=attempt, moment=NOW, incident=case.incident)
        is_told = embedding.event_of(connection, told) != "working"
        assert is_told == (told.code not in silent), case
