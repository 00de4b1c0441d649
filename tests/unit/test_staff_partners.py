"""The pages of partners and of applications."""

from __future__ import annotations

from dataclasses import replace
from typing import Any
from urllib.parse import urlsplit

import pytest
import sqlalchemy as sa

from onboarding.connections import partnership
from onboarding.db import Database
from onboarding.errors import InputInvalid
from onboarding.models import Application, Audit, Partner
from onboarding.staff import partners
from onboarding.states import Role
from tests.support.desk import Desk
from tests.support.queries import counted
from tests.unit.conftest import SettingsFor
from tests.unit.failures import Server, ThreadedServer
from tests.unit.rows import add_partner
from tests.unit.test_deere import serve_metadata

SECRET = "own-secret-5Tq8Zx"
PARTNER = {"name": "Blue River", "slug": "blue", "colour": "#1d4b5c", "application": ""}


class Hand:
    """An administrator who sends forms."""

    def __init__(self, desk: Desk, role: Role = Role.ADMINISTRATOR, **more: Any) -> None:
        self.browser = desk.browser(role, **more)
        self._token = desk.token(self.browser)

    def send(self, path: str, do: str = "save", **fields: str) -> Any:
        return self.browser.post(path, data={"csrf_token": self._token, "do": do, **fields})


def kept(desk: Desk) -> list[str]:
    with desk.database.reading() as session:
        return list(session.scalars(sa.select(Partner.slug).order_by(Partner.slug)))


def test_partner_is_previewed_added_and_changed(desk: Desk) -> None:
    hand = Hand(desk)
    shown = hand.send("/staff/add-partner", "preview", **PARTNER, support_name="Ann at Blue")
    assert shown.status_code == 200
    for text in ("Preview.", "Blue River", "Ann at Blue", "/staff/colour.css?of=1d4b5c"):
        assert text in shown.text
    assert kept(desk) == [], "a preview keeps nothing"
    css = hand.browser.get("/staff/colour.css?of=1d4b5c")
    assert (css.mimetype, "--accent:#1d4b5c" in css.text) == ("text/css", True)
    assert hand.browser.get("/staff/colour.css?of=fff;}x").status_code == 404

    assert hand.send("/staff/add-partner", **PARTNER).location == "/staff/partners/blue"
    pale = {
        **PARTNER,
        "colour": "#ffee88",
        "return_urls": "https://a.example/x\nhttps://b.example/",
    }
    assert hand.send("/staff/partners/blue", **pale).status_code == 303
    page = hand.browser.get("/staff/partners/blue").text
    assert "Growers see our own colour instead" in page
    with desk.database.reading() as session:
        partner = session.scalars(sa.select(Partner)).one()
        assert partner.return_urls == ["https://a.example/x", "https://b.example/"]
        done = session.scalars(sa.select(Audit).order_by(Audit.id)).all()
    assert [line.action for line in done] == ["partner.add", "partner.change"]
    assert done[1].data == {"changed": ["colour", "return_urls"]}


def test_a_return_url_that_was_taken_once_may_stay_in_a_preview_too(desk: Desk) -> None:
    add_partner(desk.database, "blue")
    with desk.database.transaction() as session:
        session.scalars(sa.select(Partner)).one().return_urls = ["https://portal.example/#/farm"]
    hand = Hand(desk)
    for urls, is_kept in (
        ("https://portal.example/#/farm\nhttps://portal.example/back", True),
        ("https://portal.example/#/other", False),
    ):
        for do, done in (("preview", 200), ("save", 303)):
            answer = hand.send("/staff/partners/blue", do, **PARTNER, return_urls=urls)
            assert answer.status_code == (done if is_kept else 422), (urls, do)


def test_what_is_wrong_is_said_and_nothing_typed_is_lost(desk: Desk) -> None:
    hand = Hand(desk)
    for wrong, says in {
        "colour": ("blue", "must look like #1a2b3c"),
        "slug": ("Blue River", "small letters and digits"),
        "frame_origins": ("https://a.example/path", "no path"),
        "return_urls": ("http://a.example/", "must be an https:// URL"),
    }.items():
        answer = hand.send("/staff/add-partner", **{**PARTNER, wrong: says[0]}, support_name="Ann")
        assert answer.status_code == 422, wrong
        assert says[1] in answer.text, wrong
        assert says[0] in answer.text, wrong
        assert 'value="Ann"' in answer.text, wrong
    assert kept(desk) == []


def test_others_see_their_partners_and_change_nothing(desk: Desk) -> None:
    for slug in ("theirs", "other"):
        add_partner(desk.database, slug)
    for role in (Role.VIEWER, Role.OPERATOR):
        hand = Hand(desk, role)
        page = hand.browser.get("/staff/partners/theirs")
        assert page.status_code == 200
        assert "<form" not in page.text
        for path in ("partners/theirs", "add-partner", "add-application"):
            assert hand.send(f"/staff/{path}", **PARTNER).status_code == 403, path
    limited = Hand(desk, email="limited@example.com", partners=["theirs"])
    listed = limited.browser.get("/staff/partners").text
    assert "/staff/partners/theirs" in listed
    assert "/staff/partners/other" not in listed
    assert limited.browser.get("/staff/partners/other").status_code == 404
    assert limited.send("/staff/partners/other", **PARTNER).status_code == 404
    for path in ("/staff/add-partner", "/staff/add-application"):
        assert limited.browser.get(path).status_code == 403


def test_application_is_tested_kept_changed_and_deleted(desk: Desk, server: Server) -> None:
    serve_metadata(server)
    hand = Hand(desk)
    typed = {"name": "Own", "client_key": "own-key", "environment": "PRODUCTION", "secret": SECRET}
    tried = hand.send("/staff/add-application", "test", **typed)
    assert "It fits" in tried.text
    assert "The issuer is" in tried.text
    assert SECRET not in tried.text
    with desk.database.reading() as session:
        assert session.scalar(sa.select(Application)) is None

    assert hand.send("/staff/add-application", **typed).status_code == 303
    with counted(desk.app.extensions["onboarding"].database.engine) as sent:
        listed = hand.browser.get("/staff/applications").text
    assert len(sent) <= 6
    assert "own-key" in listed
    with desk.database.reading() as session:
        path = f"/staff/applications/{session.scalars(sa.select(Application.id)).one()}"
    assert SECRET not in hand.browser.get(path).text
    assert hand.send(path, name="Own", scopes="ag1 offline_access").status_code == 303
    with desk.database.reading() as session:
        assert session.scalars(sa.select(Application.scopes)).one() == ["ag1", "offline_access"]

    elsewhere = server.http.url_for("/other/.well-known/oauth-authorization-server")
    refused = hand.send(path, name="Own", metadata_url=elsewhere)
    assert "It does not fit" in refused.text
    assert "tick this" in refused.text
    assert hand.send(path, name="Own", metadata_url=elsewhere, anyway="y").status_code == 303

    add_partner(desk.database, "blue")
    assert hand.send("/staff/partners/blue", **{**PARTNER, "application": "Own"}).status_code == 303
    assert hand.send(f"{path}/delete").location == urlsplit(path).path
    assert "used by Blue River" in hand.browser.get(path).text
    hand.send("/staff/partners/blue", **PARTNER)
    assert hand.send(f"{path}/delete").location == "/staff/applications"
    with desk.database.reading() as session:
        assert session.scalar(sa.select(Application)) is None
        assert SECRET not in str(session.execute(sa.select(Audit.data)).all())


def test_further_addresses_are_listed_once_and_checked_as_all_are(
    fresh_database: Database, settings_for: SettingsFor, httpserver: ThreadedServer
) -> None:
    settings = settings_for(httpserver)
    portal, back = "https://portal.example", "https://portal.example/back"
    with fresh_database.transaction() as session:
        made = partnership.add_partner(session, slug="prairie", name="Prairie", colour="#2f6136")
        session.flush()
        for _ in range(2):
            partners.list_addresses(
                session, settings, made, frame_origins=[portal], return_urls=[back], by=None
            )
        with pytest.raises(InputInvalid, match="has a scheme, a host"):
            partners.list_addresses(
                session, settings, made, frame_origins=[back], return_urls=[], by=None
            )
        assert (made.frame_origins, made.return_urls, made.colour) == ([portal], [back], "#2f6136")
        real = replace(
            settings,
            deere_metadata_url="https://signin.deere.example",
            deere_api_url="https://api.deere.example",
            leaf_api_url="https://api.leaf.example",
        )
        with pytest.raises(InputInvalid, match="on the grower's own machine"):
            partners.list_addresses(
                session, real, made, frame_origins=["http://localhost:1"], return_urls=[], by=None
            )
    with fresh_database.reading() as session:
        lines = session.scalars(sa.select(Audit.action)).all()
    assert lines == ["partner.change"]
