"""What happens to a grant after consent: it expires, and loses organizations and permissions."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

import pytest
import requests

from tests.functional.sandbox.support import (
    TIMEOUT_SECONDS,
    Grower,
    Owner,
    links,
    serving,
)
from tests.support.control import Control
from tests.support.page import Page

ACCOUNT = "three-farms"
FIRST, SECOND, THIRD = "450201", "450202", "450203"
UNAUTHENTICATED, LIMITED = "UNAUTHENTICATED", "MISSING_PERMISSION"


@pytest.fixture
def tokens(grower: Grower) -> dict[str, Any]:
    """Those of an account that shares two of its three organizations."""
    tokens = grower.tokens(ACCOUNT)
    listed = grower.organizations(tokens["access_token"]).json()["values"]
    grower.share(links(listed[0])["connections"], FIRST, SECOND)
    return tokens


@pytest.fixture
def user(owner: Owner, tokens: dict[str, Any]) -> str:
    """A Leaf user with the account's credential."""
    user = owner.new_user()
    assert owner.attach(user, tokens["refresh_token"]).status_code == 201
    return user


def refresh(grower: Grower, tokens: dict[str, Any]) -> requests.Response:
    form = {"grant_type": "refresh_token", "refresh_token": tokens["refresh_token"]}
    return grower.token(form)


def told(owner: Owner, user: str) -> str:
    """What Leaf says of a credential, in both of its ways."""
    status = owner.credential(user, "/status").json()["status"]
    assert owner.credential(user).json()["status"] == status
    return str(status)


def described(url: str, tokens: dict[str, Any]) -> dict[str, Any]:
    params = {"refresh_token": tokens["refresh_token"]}
    answer = requests.get(f"{url}/control/token", params=params, timeout=TIMEOUT_SECONDS)
    found: dict[str, Any] = answer.json()
    return found


def account(control: Control, name: str = ACCOUNT) -> dict[str, Any]:
    return next(one for one in control.accounts() if one["name"] == name)


def connected(owner: Owner, user: str) -> list[str]:
    lists = owner.call("GET", f"/users/{user}/organizations/JohnDeere").json()
    return [one["id"] for one in lists["connectedOrganizations"]]


def named(owner: Owner, user: str) -> list[str]:
    lists = owner.call("GET", f"/users/{user}/organizations/JohnDeere").json()
    return sorted(one["id"] for found in lists.values() for one in found)


def test_expired_grant_is_refused_at_john_deere_and_found_by_leaf(
    grower: Grower, owner: Owner, control: Control, tokens: dict[str, Any], user: str
) -> None:
    assert told(owner, user) == "OK"
    assert account(control)["live_grants"] == 1
    control.expire(ACCOUNT)
    answer = refresh(grower, tokens)
    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_grant")
    assert told(owner, user) == UNAUTHENTICATED
    newest = owner.credential(user, "/events").json()[0]
    assert (newest["statusCode"], newest["body"]) == (400, '{"error": "invalid_grant"}')
    assert described(owner.url, tokens)["expired"] is True
    assert described(owner.url, tokens)["revoked"] is False
    assert account(control)["live_grants"] == 0


def test_expired_grant_says_nothing_of_one_that_is_given_later(
    grower: Grower, owner: Owner, control: Control, tokens: dict[str, Any]
) -> None:
    control.expire(ACCOUNT)
    later = grower.exchange(
        grower.decide(ACCOUNT, prompt="consent", state="state-2")["code"]
    ).json()
    user = owner.new_user()
    assert owner.attach(user, tokens["refresh_token"]).status_code == 400
    assert owner.attach(user, later["refresh_token"]).status_code == 201
    assert told(owner, user) == "OK"


def test_refresh_token_that_nobody_uses_expires(
    grower: Grower, control: Control, tokens: dict[str, Any]
) -> None:
    assert control.policies()["deere_refresh_token_days"] == 365
    assert refresh(grower, tokens).status_code == 200
    control.set_policies(deere_refresh_token_days=0)
    assert refresh(grower, tokens).status_code == 400
    control.set_policies(deere_refresh_token_days=1)
    assert refresh(grower, tokens).status_code == 200


def test_leaf_uses_its_tokens_daily_so_that_they_do_not_expire_unless_it_stops(
    owner: Owner, control: Control, user: str
) -> None:
    control.set_policies(deere_refresh_token_days=0)
    assert told(owner, user) == "OK"
    assert control.credentials("grower-1")[0]["live"] is True
    control.set_policies(leaf_uses_tokens="never")
    assert told(owner, user) == UNAUTHENTICATED
    assert control.credentials("grower-1")[0]["live"] is False


def test_use_counts_from_when_leaf_last_looked(tmp_path: Path) -> None:
    database = tmp_path / "sandbox.sqlite"
    with serving(database) as url:
        owner, control = Owner(url), Control(url)
        user = owner.new_user()
        owner.attach(user, str(Grower(url).tokens("one-farm")["refresh_token"]))
        _let_two_years_pass(database)
        assert told(owner, user) == "OK"
        control.set_policies(leaf_uses_tokens="never")
        assert told(owner, user) == "OK"
        _let_two_years_pass(database)
        assert told(owner, user) == UNAUTHENTICATED
        control.close()


def _let_two_years_pass(database: Path) -> None:
    with sqlite3.connect(database) as connection:
        connection.execute("UPDATE grants SET created = created - 730 * 86400")
        connection.execute("UPDATE grants SET used = used - 730 * 86400")
    connection.close()


def test_removed_connection_takes_one_organization_and_the_last_one_the_grant(
    grower: Grower, owner: Owner, control: Control, tokens: dict[str, Any], user: str
) -> None:
    control.change_organization(ACCOUNT, FIRST, connected=False)
    assert connected(owner, user) == [SECOND]
    assert named(owner, user) == [FIRST, SECOND, THIRD]
    assert told(owner, user) == "OK"
    assert refresh(grower, tokens).status_code == 200
    control.change_organization(ACCOUNT, SECOND, connected=False)
    assert told(owner, user) == UNAUTHENTICATED
    assert refresh(grower, tokens).status_code == 400


def test_organization_that_a_member_leaves_is_named_nowhere_until_they_join_again(
    grower: Grower, owner: Owner, control: Control, tokens: dict[str, Any], user: str
) -> None:
    control.change_organization(ACCOUNT, FIRST, left=True)
    values = grower.organizations(tokens["access_token"]).json()["values"]
    assert [one["id"] for one in values] == [SECOND, THIRD]
    assert named(owner, user) == [SECOND, THIRD]
    assert connected(owner, user) == [SECOND]
    assert told(owner, user) == "OK"
    page = grower.get(f"{grower.url}/connections")
    assert "Prairie View Acres" in page.text
    assert "Miller Creek Farm" not in page.text
    # What is saved meanwhile is about what the account sees.
    control.change_organization(ACCOUNT, THIRD, connected=True)
    control.change_organization(ACCOUNT, FIRST, left=False)
    assert connected(owner, user) == [FIRST, SECOND, THIRD]


def test_lost_permission_is_found_by_leaf_and_given_back_on_the_organizations_own_page(
    grower: Grower, owner: Owner, control: Control, tokens: dict[str, Any], user: str
) -> None:
    control.change_organization(ACCOUNT, SECOND, permitted=False)
    assert told(owner, user) == LIMITED
    assert owner.credential(user, "/events").json()[0]["statusCode"] == 403
    listed = grower.organizations(tokens["access_token"]).json()["values"]
    uri = links(listed[1])["manage_connections"]
    page = Page.of(grower.get(uri))
    assert "At the moment it may see only a part of Prairie View Acres." in page.text
    grower.share(uri, SECOND)
    assert told(owner, user) == LIMITED
    grower.post(uri, organization=SECOND, permission=SECOND, decision="save")
    assert told(owner, user) == "OK"
    assert owner.credential(user, "/events").json()[0]["statusCode"] == 200
    assert "may see only a part" not in grower.get(uri).text


def test_permission_of_an_organization_that_is_not_shared_is_missed_by_nobody(
    owner: Owner, control: Control, user: str
) -> None:
    control.change_organization(ACCOUNT, THIRD, permitted=False)
    assert told(owner, user) == "OK"
    control.change_organization(ACCOUNT, FIRST, permitted=False)
    assert told(owner, user) == LIMITED
    control.change_organization(ACCOUNT, FIRST, connected=False)
    assert told(owner, user) == "OK"


def test_page_of_one_organization_changes_no_permission_of_another(
    grower: Grower, owner: Owner, control: Control, tokens: dict[str, Any], user: str
) -> None:
    control.change_organization(ACCOUNT, FIRST, permitted=False)
    listed = grower.organizations(tokens["access_token"]).json()["values"]
    uri = links(listed[1])["manage_connections"]
    grower.post(uri, organization=SECOND, permission=FIRST, decision="save")
    assert told(owner, user) == LIMITED


@pytest.mark.parametrize(
    ("name", "id", "changes", "words"),
    [
        ("nobody", FIRST, {"left": True}, "no account 'nobody'"),
        (ACCOUNT, "1", {"left": True}, "no organization '1'"),
        (ACCOUNT, FIRST, {"gone": True}, "Known are connected, left, permitted, not gone"),
        (ACCOUNT, FIRST, {"left": "yes"}, "are true or false"),
        (ACCOUNT, FIRST, [], "must be an object"),
        (ACCOUNT, FIRST, {"left": True, "connected": True}, "has left Miller Creek Farm"),
        ("staff-cannot-share", "450501", {"connected": True}, "too low rights to share"),
    ],
)
def test_change_that_cannot_be_says_why(
    origin: str, control: Control, name: str, id: str, changes: object, words: str
) -> None:
    url = f"{origin}/control/accounts/{name}/organizations/{id}"
    answer = requests.patch(url, json=changes, timeout=TIMEOUT_SECONDS)
    assert answer.status_code == 400
    assert words in answer.json()["error"]
    assert not account(control)["organizations"][0]["left"]


def test_everything_can_be_done_with_the_buttons_of_the_control_page(
    grower: Grower, owner: Owner, control: Control, tokens: dict[str, Any], user: str
) -> None:
    url = f"{grower.url}/control"

    def press(change: str, organization: str) -> None:
        form = {"account": ACCOUNT, "organization": organization, "change": change}
        answer = grower.post(url, action="organization", **form)
        assert answer.status_code == 303
        # Its controls are open again, and so are the next buttons.
        page = grower.get(grower.url + answer.headers["Location"]).text
        assert f'id="account-{ACCOUNT}" open' in page

    press("permitted=false", FIRST)
    assert told(owner, user) == LIMITED
    press("permitted=true", FIRST)
    assert told(owner, user) == "OK"
    press("left=true", FIRST)
    assert named(owner, user) == [SECOND, THIRD]
    press("left=false", FIRST)
    press("connected=false", FIRST)
    assert connected(owner, user) == [SECOND]
    press("connected=true", FIRST)
    assert connected(owner, user) == [FIRST, SECOND]
    grower.post(url, action="expire", account=ACCOUNT)
    assert told(owner, user) == UNAUTHENTICATED
    refused = grower.post(url, action="organization", account=ACCOUNT, organization="1")
    assert refused.status_code == 400


def test_every_button_that_the_control_page_shows_does_something(
    grower: Grower, control: Control, tokens: dict[str, Any], user: str
) -> None:
    control.set_faults({"where": "leaf.sync", "kind": "html"})
    control.change_organization(ACCOUNT, THIRD, left=True)
    page = Page.of(grower.get(f"{grower.url}/control"))
    for form in page.forms:
        for button in form.buttons:
            answer = grower.post(f"{grower.url}/control", **dict(form.sent_by(button)))
            # Without a webhook no alert can be sent.
            assert answer.status_code in {303, 400}, button.text
            assert "There is no such action." not in answer.text


def test_state_of_grants_and_organizations_survives_a_restart(tmp_path: Path) -> None:
    database = tmp_path / "sandbox.sqlite"
    with serving(database) as url:
        control, grower = Control(url), Grower(url)
        tokens = grower.tokens("one-farm")
        control.expire("one-farm")
        control.change_organization(ACCOUNT, FIRST, left=True, permitted=False)
        control.close()
    with serving(database) as url:
        control, grower = Control(url), Grower(url)
        assert refresh(grower, tokens).status_code == 400
        first = account(control)["organizations"][0]
        assert (first["left"], first["permitted"]) == (True, False)
        control.close()


def test_file_of_an_earlier_version_is_taken_over(tmp_path: Path) -> None:
    database = tmp_path / "sandbox.sqlite"
    with serving(database) as url:
        tokens = Grower(url).tokens("one-farm")
    with sqlite3.connect(database) as connection:
        for column in ("used", "expired"):
            connection.execute(f"ALTER TABLE grants DROP COLUMN {column}")
        connection.execute("DROP TABLE standings")
    connection.close()
    with serving(database) as url:
        grower, control = Grower(url), Control(url)
        assert refresh(grower, tokens).status_code == 200
        control.expire("one-farm")
        assert refresh(grower, tokens).status_code == 400
        control.close()
