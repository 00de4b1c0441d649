"""The page of a partner's keys."""

from __future__ import annotations

import re

import sqlalchemy as sa

from onboarding.models import ApiKey, Audit
from onboarding.partners import keys
from onboarding.states import ApiScope, Role
from onboarding.views.staff.api_keys import SCOPES
from tests.support.desk import Desk
from tests.support.program import Program
from tests.unit.rows import add_partner

KEY = re.compile(r'id="key">(cjd_[0-9a-f]{8}_[^<]+)<')
PAGE = "/staff/partners/acme/keys"


def test_key_is_made_rotated_and_revoked_and_shown_once(desk: Desk) -> None:
    for slug in ("acme", "other"):
        add_partner(desk.database, slug)
    browser = desk.browser(Role.ADMINISTRATOR)
    token = desk.token(browser)
    empty = browser.get(PAGE).text
    assert "No program of this partner has a key yet" in empty
    ticks = re.findall(r'<input (checked )?[^>]*type="checkbox" value="(\w+)"', empty)
    assert ticks == [("checked ", "read"), ("checked ", "write"), ("", "act"), ("", "webhooks")]
    made = browser.post(
        PAGE, data={"csrf_token": token, "name": "Portal", "scopes": ["read", "write"]}
    )
    first = KEY.search(made.text)
    assert first is not None
    page = browser.get(PAGE).text
    prefix = "_".join(first[1].split("_")[:2])
    assert f"{prefix}…" in page
    assert first[1] not in page
    assert "read, write" in page

    wrong = browser.post(PAGE, data={"csrf_token": token, "name": "Portal"})
    assert wrong.status_code == 422
    assert "The scopes are some of" in wrong.text

    rotated = browser.post(f"{PAGE}/{prefix}/rotate", data={"csrf_token": token})
    second = KEY.search(rotated.text)
    assert second is not None
    with desk.database.reading() as session:
        assert keys.find(session, first[1]) is not None, "for a day more"
    assert browser.post(f"{PAGE}/{prefix}/revoke", data={"csrf_token": token}).status_code == 303
    with desk.database.reading() as session:
        assert keys.find(session, first[1]) is None
        assert keys.find(session, second[1]) is not None
        lines = session.scalars(sa.select(Audit)).all()
    assert [line.action for line in lines] == ["key.add", "key.rotate", "key.revoke"]
    assert not any(key[1] in str(line.data) for key in (first, second) for line in lines)
    others = f"/staff/partners/other/keys/{prefix}/revoke"
    assert browser.post(others, data={"csrf_token": token}).status_code == 404
    assert browser.post(f"{PAGE}/none/rotate", data={"csrf_token": token}).status_code == 404
    again = browser.post(f"{PAGE}/{prefix}/rotate", data={"csrf_token": token})
    assert again.status_code == 303
    with desk.database.reading() as session:
        assert session.scalar(sa.select(sa.func.count()).select_from(ApiKey)) == 2


def test_what_a_program_does_is_told_as_its_deed(desk: Desk) -> None:
    add_partner(desk.database, "acme")
    program = Program(desk.app, "acme")
    reference = program.grower()["connection"]
    link = program.call("POST", "/growers/7/links", {}).get_json()["id"]
    assert program.call("DELETE", f"/links/{link}").status_code == 204
    page = desk.browser(Role.VIEWER).get(f"/staff/connections/{reference}").text
    for deed in ("A link was made", "A link was revoked"):
        assert re.search(rf"{deed}(?:(?!</li>).)*The partner’s program", page, re.DOTALL)


def test_a_key_can_be_given_every_scope() -> None:
    assert set(SCOPES) == set(ApiScope)
