"""Every route of the dashboard, asked for by everybody: each lets in whom it should, nobody else.

A new page has to be entered in `NEEDED`, with the role that it is for.
"""

from __future__ import annotations

import re
import uuid
from typing import Any

import pytest
from flask import Flask, url_for
from flask.testing import FlaskClient
from werkzeug.routing import Rule

from onboarding.states import Role
from tests.support.desk import Desk
from tests.unit.rows import connection_of, invited

ANYBODY = "anybody"
VIEWER, OPERATOR, ADMINISTRATOR = Role
NEEDED: dict[str, Role | str] = {
    "account": VIEWER,
    "add_application": ADMINISTRATOR,
    "add_note": OPERATOR,
    "add_partner": ADMINISTRATOR,
    "api_keys": ADMINISTRATOR,
    "application": ADMINISTRATOR,
    "applications": VIEWER,
    "attempts": VIEWER,
    "audit": VIEWER,
    "audit_csv": VIEWER,
    "bulk": OPERATOR,
    "bulk_job": VIEWER,
    "bulk_jobs": VIEWER,
    "bulk_links": OPERATOR,
    "bulk_stop": OPERATOR,
    "change_application": ADMINISTRATOR,
    "change_partner": ADMINISTRATOR,
    "change_password": VIEWER,
    "choose": OPERATOR,
    "colour": VIEWER,
    "company_callback": ANYBODY,
    "confirm": VIEWER,
    "confirm_by_company": VIEWER,
    "connection": VIEWER,
    "connections": VIEWER,
    "connections_csv": VIEWER,
    "delete_application": ADMINISTRATOR,
    "delete_view": VIEWER,
    "disconnect_connection": OPERATOR,
    "draft": VIEWER,
    "disconnect_now": OPERATOR,
    "end_other_sessions": VIEWER,
    "end_session": VIEWER,
    "enter": ANYBODY,
    "figures_csv": VIEWER,
    "home": VIEWER,
    "import_confirm": OPERATOR,
    "import_file": OPERATOR,
    "import_links": OPERATOR,
    "import_mail": OPERATOR,
    "import_show": OPERATOR,
    "import_template": OPERATOR,
    "imports": OPERATOR,
    "keep_password": ANYBODY,
    "link": OPERATOR,
    "mail_link": OPERATOR,
    "make_application": ADMINISTRATOR,
    "make_key": ADMINISTRATOR,
    "make_link": OPERATOR,
    "make_partner": ADMINISTRATOR,
    "partner": VIEWER,
    "partners": VIEWER,
    "picked_csv": VIEWER,
    "prove": VIEWER,
    "recheck": OPERATOR,
    "rotate_key": ADMINISTRATOR,
    "resync": OPERATOR,
    "retry": OPERATOR,
    "revoke_key": ADMINISTRATOR,
    "revoke_link": OPERATOR,
    "save_view": VIEWER,
    "set_password": ANYBODY,
    "sign_in": ANYBODY,
    "sign_in_by_company": ANYBODY,
    "sign_out": ANYBODY,
    "system": VIEWER,
    "team": ADMINISTRATOR,
    "team_add": ADMINISTRATOR,
    "team_change": ADMINISTRATOR,
    "team_disable": ADMINISTRATOR,
    "team_enable": ADMINISTRATOR,
    "team_link": ADMINISTRATOR,
    "team_member": ADMINISTRATOR,
    "team_new": ADMINISTRATOR,
    "team_part": ADMINISTRATOR,
    "add_webhook": ADMINISTRATOR,
    "change_webhook": ADMINISTRATOR,
    "make_webhook": ADMINISTRATOR,
    "pause_webhook": OPERATOR,
    "remove_webhook": ADMINISTRATOR,
    "resume_webhook": OPERATOR,
    "rotate_webhook": ADMINISTRATOR,
    "send_delivery_again": OPERATOR,
    "send_range_again": OPERATOR,
    "test_webhook": OPERATOR,
    "webhook": VIEWER,
    "webhook_delivery": VIEWER,
    "webhook_settings": ADMINISTRATOR,
    "webhooks": VIEWER,
}
OF_NO_PARTNER = {
    "add_application",
    "add_partner",
    "application",
    "change_application",
    "delete_application",
    "make_application",
    "make_partner",
}
ONLY_WHO_SEES_ALL = OF_NO_PARTNER | {name for name in NEEDED if name.startswith("team")}
"""Administrators who are limited to some partners get 403."""
OWN, OTHER = "acme", "other"
MENU = re.compile(r'<nav aria-label="Pages">(.*?)</nav>', re.DOTALL)
TOKEN = re.compile(r'name="csrf_token"[^>]* value="([^"]+)"')


def routes(app: Flask, **given: str) -> list[tuple[str, str, str]]:
    """Endpoint, method and path of each; ids that are not given are of nothing that there is."""
    found = []
    with app.test_request_context():
        for rule in app.url_map.iter_rules():
            if rule.endpoint.startswith("staff."):
                values: dict[str, Any] = {
                    name: given.get(name) or _unknown(rule, name) for name in rule.arguments
                }
                path = url_for(rule.endpoint, **values)
                methods = (rule.methods or set()) - {"HEAD", "OPTIONS"}
                found += [(rule.endpoint.removeprefix("staff."), one, path) for one in methods]
    return found


def _unknown(rule: Rule, name: str) -> Any:
    kind = type(rule._converters[name]).__name__
    return {"UUIDConverter": uuid.UUID(int=7), "IntegerConverter": 987_654}.get(kind, "unknown")


def token_of(browser: FlaskClient, page: str) -> str:
    """What a form of a page carries against forgery."""
    found = TOKEN.search(browser.get(page).text)
    assert found is not None
    return found[1]


def test_every_route_says_here_whom_it_is_for(desk: Desk) -> None:
    assert {name for name, _, _ in routes(desk.app)} == NEEDED.keys()


@pytest.mark.parametrize("fresh_url", ["sqlite"], indirect=True)
@pytest.mark.parametrize("role", [None, *Role])
@pytest.mark.parametrize("is_limited", [False, True])
def test_every_route_lets_in_whom_it_should_and_nobody_else(
    desk: Desk, role: Role | None, is_limited: bool
) -> None:
    connections = [
        connection_of(desk.database, invited(desk.database, partner=one)) for one in (OWN, OTHER)
    ]
    partners = [OWN] if is_limited else None
    given = {"reference": connections[0].reference, "slug": OWN}
    wrong = []
    for name, method, path in routes(desk.app, **given):
        browser = desk.nobody() if role is None else desk.browser(role, partners=partners)
        page = "/staff/sign-in" if role is None else "/staff/account"
        data = {"csrf_token": token_of(browser, page)} if method != "GET" else None
        answer = browser.open(path, method=method, data=data)
        is_sent_away = answer.status_code == 303 and "/staff/sign-in?" in answer.location
        needed = NEEDED[name]
        if isinstance(needed, Role):
            may = role is not None and role.includes(needed)
            may = may and not (is_limited and name in ONLY_WHO_SEES_ALL)
        else:
            may = True
        outcome = (is_sent_away, answer.status_code == 403)
        expected = (False, False) if may else (role is None, role is not None)
        if outcome != expected or answer.status_code >= 500:
            wrong.append((name, method, answer.status_code, answer.location))
    assert not wrong


@pytest.mark.parametrize("fresh_url", ["sqlite"], indirect=True)
def test_menu_of_everybody_names_what_they_may_open_and_nothing_else(desk: Desk) -> None:
    invited(desk.database, partner=OWN)
    all_have = ["", "connections", "attempts", "bulk", "partners", "applications", "audit"]
    for role in Role:
        for partners in (None, [OWN]):
            email = f"{role}-{partners}@example.com"
            browser = desk.browser(role, email=email, partners=partners)
            menu = MENU.search(browser.get("/staff/").text)
            assert menu is not None
            paths = re.findall(r'href="([^"]+)"', menu[1])
            assert [browser.get(path).status_code for path in paths] == [200] * len(paths)
            more = {"system", *(["imports"] if role.includes(OPERATOR) else [])}
            more |= {"team"} if role is ADMINISTRATOR and partners is None else set()
            assert {path.removeprefix("/staff/") for path in paths} == {*all_have, *more}


@pytest.mark.parametrize("fresh_url", ["sqlite"], indirect=True)
def test_what_is_posted_without_the_token_of_a_form_is_refused(desk: Desk) -> None:
    browser = desk.browser(Role.ADMINISTRATOR)
    posts = [(name, path) for name, method, path in routes(desk.app) if method == "POST"]
    assert len(posts) > 10
    assert not [name for name, path in posts if browser.post(path).status_code != 400]
    assert browser.get("/staff/").status_code == 200, "nor did any of it sign them out"


@pytest.mark.parametrize("fresh_url", ["sqlite"], indirect=True)
def test_what_is_of_another_partner_is_not_there(desk: Desk) -> None:
    other = connection_of(desk.database, invited(desk.database, partner=OTHER))
    invited(desk.database, partner=OWN)
    given = {"reference": other.reference, "slug": OTHER}
    limited = desk.browser(Role.ADMINISTRATOR, email="limited@example.com", partners=[OWN])
    token = token_of(limited, "/staff/account")
    found = []
    with desk.app.test_request_context():
        named = {
            rule.endpoint.removeprefix("staff.")
            for rule in desk.app.url_map.iter_rules()
            if rule.endpoint.startswith("staff.") and rule.arguments & set(given)
        }
    for name, method, path in routes(desk.app, **given):
        if name in named:
            data = {"csrf_token": token} if method == "POST" else None
            answer = limited.open(path, method=method, data=data)
            if answer.status_code != 404:
                found.append((name, method, answer.status_code))
    assert not found
