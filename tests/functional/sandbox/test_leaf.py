"""The simulated Leaf, over real sockets."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import requests

from onboarding.sandbox.accounts import ACCOUNTS
from tests.functional.sandbox.support import (
    CLIENT,
    PUBLIC_URL,
    TIMEOUT_SECONDS,
    Grower,
    Owner,
    links,
    serving,
)
from tests.support.control import Control
from tests.support.ports import free_port
from tests.support.stack import ROOT
from tests.support.wait import wait_until


@pytest.fixture
def token(grower: Grower) -> str:
    return str(grower.tokens("one-farm")["refresh_token"])


def share(grower: Grower, account: str, *ids: str) -> None:
    access = grower.tokens(account)["access_token"]
    first = grower.organizations(access).json()["values"][0]
    grower.share(links(first)["connections"], *ids)


def test_signing_in_needs_the_right_password(owner: Owner) -> None:
    assert owner.sign_in(password="wrong").status_code == 401
    assert owner.sign_in(username=None).status_code == 400
    for remember, seconds in (("true", 30 * 86400), (True, 30 * 86400), (None, 86400)):
        assert lifetime(owner.sign_in(rememberMe=remember).json()["id_token"]) == seconds


def lifetime(token: str) -> int:
    """Whole days until the token's `exp`, in seconds."""
    claims = json.loads(base64.urlsafe_b64decode(token.split(".")[1] + "=="))
    return round((int(claims["exp"]) - time.time()) / 86400) * 86400


def test_every_call_needs_a_token_that_is_valid_now(owner: Owner) -> None:
    user = owner.new_user()
    requests.post(f"{owner.url}/control/leaf/tokens/expire", timeout=TIMEOUT_SECONDS)
    for path in (
        "/users",
        f"/users/{user}/john-deere-credentials",
        "/services/config/api/configs/x",
    ):
        answer = owner.call("GET", path)
        assert answer.status_code == 401
        assert answer.headers["Content-Type"] == "application/problem+json"
        assert answer.json()["title"] == "Unauthorized"
    owner.session.headers["Authorization"] = "Bearer nonsense"
    assert owner.call("GET", "/users").status_code == 401


def test_a_user_is_made_found_changed_and_deleted(owner: Owner) -> None:
    body = {"name": "Ann", "email": "ann@example.com", "externalId": "grower-7"}
    made = owner.call("POST", "/users", json=body)
    assert made.status_code == 201
    user = made.json()
    assert user["johnDeereCredentials"] == user["trimbleCredentials"] == {}
    path = f"/users/{user['id']}"
    assert owner.call("GET", path).json() == user
    changed = owner.call("PATCH", path, json={"phone": "+1555"}).json()
    assert (changed["phone"], changed["name"]) == ("+1555", "Ann")
    assert owner.call("DELETE", path).status_code == 204
    assert owner.call("GET", path).status_code == 404


def test_an_external_id_may_be_found_exactly_or_in_part(owner: Owner, control: Control) -> None:
    exact, longer = owner.new_user("farm-1"), owner.new_user("Farm-12")
    for policy, found in (("contains", [exact, longer]), ("exact", [exact])):
        control.set_policies(leaf_external_id_filter=policy)
        answer = owner.call("GET", "/users", params={"externalId": "farm-1"})
        assert [user["id"] for user in answer.json()] == found


def test_a_filter_finds_what_contains_its_text_in_pages(owner: Owner) -> None:
    for number in range(25):
        owner.new_user(f"grower-{number}")
    first = owner.call("GET", "/users", params={"externalId": "grower-1"})
    assert [one["externalId"] for one in first.json()] == ["grower-1"] + [
        f"grower-{number}" for number in range(10, 20)
    ]
    page = owner.call("GET", "/users", params={"name": "A", "page": 1, "size": 10})
    assert page.links["next"]["url"].endswith("/users?name=A&page=2&size=10")
    assert page.headers["X-Total-Count"] == "25"
    assert len(page.json()) == 10
    assert [one.partition('rel="')[2][:-1] for one in page.headers["Link"].split(",")] == [
        "next",
        "last",
        "first",
    ]
    assert owner.call("GET", "/users", params={"page": "x"}).status_code == 400
    assert owner.call("GET", "/users", params={"externalId": "none"}).json() == []


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({}, 400),
        ({"name": ""}, 400),
        ({"name": 1}, 400),
        ({"name": "A", "email": 1}, 400),
        ({"name": "A", "id": "x"}, 400),
        ([], 400),
    ],
)
def test_a_wrong_user_is_refused(owner: Owner, body: Any, status: int) -> None:
    answer = owner.call("POST", "/users", json=body)
    assert answer.status_code == status
    assert answer.json()["status"] == status


def test_what_leaf_does_not_have_is_answered_in_json(owner: Owner) -> None:
    assert owner.call("PUT", "/users", json={}).json() == {
        "title": "Method Not Allowed",
        "status": 405,
    }
    assert owner.call("GET", "/nothing").json()["status"] == 404


def test_a_body_must_be_json_and_say_so(owner: Owner) -> None:
    plain = owner.call("POST", "/users", data='{"name": "A"}')
    assert plain.status_code == 415
    broken = owner.call("POST", "/users", data="{", headers={"Content-Type": "application/json"})
    assert broken.status_code == 400


def test_a_credential_is_answered_with_all_its_secrets(owner: Owner, token: str) -> None:
    user = owner.new_user()
    assert owner.credential(user).status_code == 404
    made = owner.attach(user, token)
    assert made.status_code == 201
    credential = made.json()
    assert list(credential) == [
        "id",
        "createdTime",
        "tokenMetadata",
        "status",
        "clientKey",
        "clientSecret",
        "accessToken",
        "refreshToken",
        "clientEnvironment",
    ]
    assert (credential["clientSecret"], credential["refreshToken"]) == (CLIENT[1], token)
    assert owner.credential(user).json() == credential
    assert owner.call("GET", f"/users/{user}").json()["johnDeereCredentials"] == credential
    assert owner.credential(user, "/status").json() == {"status": "OK"}


def test_a_deleted_credential_takes_its_events_along(owner: Owner, token: str) -> None:
    user = owner.new_user()
    owner.attach(user, token)
    event = owner.credential(user, "/events").json()[0]
    assert event["statusCode"] == 200
    assert isinstance(event["body"], str)
    path = f"/users/{user}/john-deere-credentials"
    assert owner.call("DELETE", path).status_code == 204
    assert owner.call("DELETE", path).status_code == 404
    assert owner.credential(user, "/events").json() == []
    assert owner.credential(user, "/status").status_code == 404


def test_credential_that_leaf_loses_is_gone_with_its_events_and_nobody_asked_for_it(
    owner: Owner, control: Control, grower: Grower
) -> None:
    users = [owner.new_user(f"grower-{number}") for number in range(3)]
    for user in users:
        owner.attach(user, grower.tokens("one-farm")["refresh_token"])
    assert control.lose_credentials("grower-0") == 1
    assert owner.credential(users[0]).status_code == 404
    assert owner.credential(users[0], "/status").status_code == 404
    assert owner.credential(users[0], "/events").json() == []
    assert owner.call("GET", f"/users/{users[0]}").json()["johnDeereCredentials"] == {}
    assert owner.call("GET", f"/users/{users[0]}/organizations/JohnDeere").status_code == 404
    assert owner.call("DELETE", f"/users/{users[0]}/john-deere-credentials").status_code == 404
    assert owner.credential(users[1], "/events").json() != []
    assert control.lose_credentials("grower-0") == 0
    assert control.lose_credentials() == 2
    assert [owner.credential(user).status_code for user in users] == [404] * 3
    assert control.journal(point="leaf.credentials.delete", status=204) == []
    # The grant is as good as before: the grower's connection at John Deere is untouched.
    tokens = grower.tokens("one-farm")
    assert owner.attach(users[0], tokens["refresh_token"]).status_code == 201
    assert len(owner.credential(users[0], "/events").json()) == 1


@pytest.mark.parametrize("way", ["DELETE", "second POST", "user deleted", "lost"])
def test_events_are_gone_with_their_credential_whatever_took_it(
    owner: Owner, control: Control, grower: Grower, way: str
) -> None:
    control.set_policies(leaf_second_post="replaced")
    user, path = owner.new_user(), "john-deere-credentials"
    owner.attach(user, grower.tokens("one-farm")["refresh_token"])
    before = {one["id"] for one in owner.credential(user, "/events").json()}
    match way:
        case "DELETE":
            owner.call("DELETE", f"/users/{user}/{path}")
        case "second POST":
            owner.attach(user, grower.tokens("one-farm")["refresh_token"])
        case "user deleted":
            owner.call("DELETE", f"/users/{user}")
        case "lost":
            control.lose_credentials()
    after = {one["id"] for one in owner.credential(user, "/events").json()}
    assert before
    assert not before & after
    assert len(after) == (way == "second POST")


def test_control_page_says_and_loses(owner: Owner, control: Control, token: str) -> None:
    user, visitor = owner.new_user(), Grower(owner.url)
    owner.attach(user, token)
    url = f"{owner.url}/control"
    form = {"leaf_user_id": user, "status": "TEMPORARILY_UNAVAILABLE"}
    assert visitor.post(url, action="say", **form).status_code == 303
    assert owner.credential(user, "/status").json() == {"status": "TEMPORARILY_UNAVAILABLE"}
    assert "as it was made to say" in visitor.get(url).text
    visitor.post(url, action="say", leaf_user_id=user, status="")
    assert owner.credential(user, "/status").json() == {"status": "OK"}
    assert visitor.post(url, action="say", leaf_user_id="").status_code == 400
    visitor.post(url, action="lose", leaf_user_id=user)
    assert owner.credential(user).status_code == 404
    owner.attach(user, token)
    visitor.post(url, action="lose-all")
    assert control.credentials("grower-1") == []


@pytest.mark.parametrize(
    "body", [{"status": "OK"}, {"leafUserId": 5, "status": "OK"}, {"leafUserId": "a", "status": 5}]
)
def test_wrong_word_for_leaf_is_refused(owner: Owner, body: dict[str, Any]) -> None:
    url = f"{owner.url}/control/leaf/status"
    answer = requests.post(url, json=body, timeout=TIMEOUT_SECONDS)
    assert answer.status_code == 400
    assert "error" in answer.json()


@pytest.mark.parametrize(
    ("changes", "status", "words"),
    [
        ({"clientKey": None}, 400, "clientKey is required"),
        ({"clientSecret": ""}, 400, "clientSecret is required"),
        ({"refreshToken": None}, 400, "refreshToken is required"),
        ({"clientEnvironment": None}, 400, "clientEnvironment is required"),
        ({"clientEnvironment": "stage"}, 400, "must be STAGE or PRODUCTION"),
        ({"clientEnvironment": "PRODUCTION"}, 400, "does not match the environment"),
        ({"clientKey": "other"}, 400, "invalid_client"),
        ({"clientSecret": "other"}, 400, "invalid_client"),
        ({"refreshToken": "other"}, 400, "invalid_grant"),
        ({"refreshToken": 5}, 400, "refreshToken is required"),
    ],
)
def test_a_wrong_credential_is_refused(
    owner: Owner, token: str, changes: dict[str, Any], status: int, words: str
) -> None:
    user = owner.new_user()
    answer = owner.attach(user, token, **changes)
    assert answer.status_code == status
    assert words in answer.json()["detail"]
    assert owner.credential(user).status_code == 404


def test_a_credential_for_nobody_is_refused(owner: Owner, control: Control, token: str) -> None:
    for policy, status in (("not_found", 404), ("bad_request", 400)):
        control.set_policies(leaf_unknown_user=policy)
        answer = owner.attach("00000000-0000-0000-0000-000000000000", token)
        assert answer.status_code == status
        assert answer.json()["detail"] == "The user was not found."


def test_a_second_post_goes_the_way_of_the_policy(
    owner: Owner, control: Control, grower: Grower, token: str
) -> None:
    second = str(grower.tokens("three-farms")["refresh_token"])
    expected = {"refused": [token], "replaced": [second], "doubled": [token, second]}
    for policy, held in expected.items():
        control.set_policies(leaf_second_post=policy)
        user = owner.new_user(policy)
        assert owner.attach(user, token).status_code == 201
        assert owner.attach(user, second).status_code == (409 if policy == "refused" else 201)
        assert [one["refreshToken"] for one in control.credentials(policy)] == held
        assert owner.credential(user).json()["refreshToken"] == held[-1]
        owner.call("DELETE", f"/users/{user}/john-deere-credentials")
        assert control.credentials(policy) == []


def test_two_posts_at_once_leave_one_credential(owner: Owner, control: Control, token: str) -> None:
    user = owner.new_user()
    answers: list[int] = []
    posts = [
        threading.Thread(target=lambda: answers.append(owner.attach(user, token).status_code))
        for _ in range(6)
    ]
    for post in posts:
        post.start()
    for post in posts:
        post.join()
    assert sorted(answers) == [201] + [409] * 5
    assert len(control.credentials("grower-1")) == 1


WRONG: dict[str, dict[str, Any]] = {
    "leaf_bad_token": {"refreshToken": "other"},
    "leaf_wrong_client": {"clientSecret": "other"},
    "leaf_wrong_environment": {"clientEnvironment": "PRODUCTION"},
}


@pytest.mark.parametrize("policy", WRONG)
def test_what_is_wrong_may_be_found_out_later_each_by_itself(
    owner: Owner, control: Control, token: str, policy: str
) -> None:
    control.set_policies(**{policy: "found_later"})
    for name, changes in WRONG.items():
        user = owner.new_user(name)
        made = owner.attach(user, token, **changes)
        if name != policy:
            assert made.status_code == 400
            continue
        assert (made.status_code, made.json()["status"]) == (201, "OK")
        assert owner.credential(user).json()["status"] == "UNAUTHENTICATED"
        assert owner.credential(user, "/events").json()[0]["statusCode"] == 400


def test_more_requests_in_a_minute_than_allowed_are_refused(owner: Owner, control: Control) -> None:
    assert control.policies()["leaf_requests_per_minute"] == 1000
    control.set_policies(leaf_requests_per_minute=30)
    got = [owner.call("GET", "/users").status_code for _ in range(29)]  # the sign-in counts, too
    assert got == [200] * 29
    refused = owner.call("GET", "/users")
    assert refused.status_code == 429
    assert refused.json() == {
        "error": "Request limit exceeded",
        "message": "You have exceeded the maximum allowed requests of 30 per minute. "
        "Please reduce your request rate and try again after a short delay.",
        "status_code": 429,
    }
    assert "Retry-After" not in refused.headers
    assert owner.sign_in().status_code == 429
    control.set_policies(leaf_requests_per_minute=1000)
    assert owner.sign_in().status_code == 200


def test_an_older_answer_has_the_older_fields(owner: Owner, control: Control, token: str) -> None:
    control.set_policies(leaf_answers="older")
    user = owner.new_user()
    made = owner.attach(user, token).json()
    assert {"id", "createdTime", "tokenMetadata", "scopes"} & made.keys() == set()
    assert {"tokenId", "tokenSecretKey", "status"} <= made.keys()
    assert "ag1" in owner.credential(user).json()["scopes"]


def test_the_status_call_may_be_gone_and_the_status_absent_at_first(
    owner: Owner, control: Control, token: str
) -> None:
    control.set_policies(leaf_status_endpoint="gone", leaf_initial_status="absent")
    user = owner.new_user()
    assert "status" not in owner.attach(user, token).json()
    assert owner.credential(user, "/status").status_code == 404
    seen = [owner.credential(user).json().get("status") for _ in range(3)]
    assert seen == [None, None, "OK"]


@pytest.mark.parametrize(
    ("account", "status"),
    [
        ("missing-permission", "MISSING_PERMISSION"),
        ("leaf-cannot-reach", "TEMPORARILY_UNAVAILABLE"),
    ],
)
def test_an_account_may_be_unwell_at_leaf(
    owner: Owner, grower: Grower, account: str, status: str
) -> None:
    user = owner.new_user()
    share(grower, account, *(farm.id for farm in ACCOUNTS[account].farms))
    owner.attach(user, grower.tokens(account)["refresh_token"])
    assert owner.credential(user, "/status").json() == {"status": status}


def test_a_revoked_grant_shows_at_leaf(owner: Owner, control: Control, token: str) -> None:
    user = owner.new_user()
    owner.attach(user, token)
    url = f"{owner.url}/control/grants/revoke"
    assert requests.post(url, json={"account": "one-farm"}, timeout=TIMEOUT_SECONDS).json() == {
        "revoked": 1
    }
    assert owner.credential(user, "/status").json() == {"status": "UNAUTHENTICATED"}
    assert owner.call("GET", f"/users/{user}/organizations/JohnDeere").json() == {
        "connectedOrganizations": [],
        "notConnectedOrganizations": [],
    }
    assert [one["live"] for one in control.credentials("grower-1")] == [False]


def test_leaf_can_be_made_to_say_anything(owner: Owner, control: Control, token: str) -> None:
    user = owner.new_user()
    owner.attach(user, token)
    control.set_leaf_status(user, "SOMETHING_NEW")
    assert owner.credential(user).json()["status"] == "SOMETHING_NEW"
    control.set_leaf_status(user, "")
    assert "status" not in owner.credential(user).json(), "it has not looked yet"
    control.set_leaf_status(user, None)
    assert owner.credential(user).json()["status"] == "OK"


def test_what_leaf_fetches_can_be_chosen_by_hand(owner: Owner, grower: Grower, token: str) -> None:
    share(grower, "one-farm", "450101")
    user = owner.new_user()
    owner.attach(user, token)
    url = f"{owner.url}/control/leaf/choices"

    def choose(status: str) -> requests.Response:
        body = {"leafUserId": user, "status": status}
        return requests.post(url, json=body, timeout=TIMEOUT_SECONDS)

    def chosen() -> set[str]:
        listed = owner.call("GET", f"/users/{user}/JohnDeere/organizations").json()
        return {one["status"] for one in listed}

    assert choose("BLOCKED").status_code == 400
    assert chosen() == {"SELECTED"}
    for status, changed in (("PREVIEW", 1), ("PREVIEW", 0), ("SELECTED", 1)):
        assert choose(status).json() == {"changed": changed}
        assert chosen() == {status}


def test_leaf_keeps_the_token_that_was_rotated(
    owner: Owner, control: Control, grower: Grower
) -> None:
    control.set_policies(deere_refresh_tokens="rotating")
    given = grower.tokens("one-farm")["refresh_token"]
    user = owner.new_user()
    owner.attach(user, given)
    held = control.credentials("grower-1")[0]
    assert held["givenRefreshToken"] == given
    assert held["refreshToken"] != given
    assert owner.credential(user).json()["status"] == "OK"
    again = grower.token({"grant_type": "refresh_token", "refresh_token": given})
    assert again.status_code == 400
    assert owner.credential(user).json()["status"] == "UNAUTHENTICATED"


def info(origin: str, token: str) -> requests.Response:
    url = f"{origin}/control/token"
    return requests.get(url, params={"refresh_token": token}, timeout=TIMEOUT_SECONDS)


def test_the_control_api_tells_about_a_token(owner: Owner, token: str) -> None:
    before = info(owner.url, token).json()
    assert (before["account"], before["live"], before["uses"]) == ("one-farm", True, 0)
    owner.attach(owner.new_user(), token)
    assert info(owner.url, token).json()["uses"] == 1
    assert info(owner.url, "unknown").status_code == 404


def test_leaf_lists_what_is_shared(owner: Owner, grower: Grower) -> None:
    share(grower, "three-farms", "450201")
    user = owner.new_user()
    path = f"/users/{user}/organizations/JohnDeere"
    assert owner.call("GET", path).status_code == 404
    owner.attach(user, grower.tokens("three-farms")["refresh_token"])
    lists = owner.call("GET", path).json()
    assert [one["id"] for one in lists["connectedOrganizations"]] == ["450201"]
    assert [one["id"] for one in lists["notConnectedOrganizations"]] == ["450202", "450203"]
    assert "connections-dialog?orgId=450201" in lists["connectedOrganizations"][0]["managementUri"]
    summary = owner.call(
        "GET", "/services/integrations/api/resources", params={"leafUserId": user}
    ).json()
    assert summary["summaries"][0]["farms"] == 0


def test_data_comes_some_time_after_the_credential_and_of_what_is_selected(
    owner: Owner, grower: Grower, control: Control
) -> None:
    share(grower, "three-farms", "450201", "450202")
    user = owner.new_user()
    owner.attach(user, grower.tokens("three-farms")["refresh_token"])
    owner.call("PATCH", f"/users/{user}/JohnDeere/organizations/450202/PREVIEW")

    def counts() -> tuple[int, int]:
        (summary,) = owner.call(
            "GET", "/services/integrations/api/resources", params={"leafUserId": user}
        ).json()["summaries"]
        return summary["farms"], summary["fields"]

    assert counts() == (0, 0)
    control.set_policies(leaf_data_seconds=0)
    assert counts() == (1, 12)


def test_blocked_becomes_preview_after_a_sync(owner: Owner, grower: Grower) -> None:
    user = owner.new_user()
    owner.attach(user, grower.tokens("three-farms")["refresh_token"])
    path = f"/users/{user}/JohnDeere/organizations"
    assert {one["status"] for one in owner.call("GET", path).json()} == {"BLOCKED"}
    assert owner.call("PATCH", f"{path}/450201/SELECTED").status_code == 400
    share(grower, "three-farms", "450201")
    assert owner.call("POST", f"{path}/sync").status_code == 200
    assert owner.call("GET", f"{path}/450201").json()["status"] == "PREVIEW"
    assert owner.call("PATCH", f"{path}/450201/BLOCKED").status_code == 400
    assert owner.call("PATCH", f"{path}/450201/SELECTED").json()["status"] == "SELECTED"
    assert owner.call("PATCH", f"{path}/1/SELECTED").status_code == 404
    page = owner.call("GET", path, params={"size": 2})
    assert (len(page.json()), page.headers["X-Total-Count"]) == (2, "3")


@pytest.mark.parametrize(("sync", "status"), [("ALL", "SELECTED"), ("SELECTED_ONLY", "PREVIEW")])
def test_the_configuration_decides_how_organizations_start(
    owner: Owner, grower: Grower, sync: str, status: str
) -> None:
    user = owner.new_user()
    body = {"organizationDataSync": sync}
    owner.call("POST", f"/services/config/api/configs/{user}", json=body)
    owner.attach(user, grower.tokens("already-connected")["refresh_token"])
    path = f"/users/{user}/JohnDeere/organizations"
    assert owner.call("GET", f"{path}/450401").json()["status"] == status


@pytest.mark.parametrize(
    ("sync", "later", "status"),
    [
        ("ALL", "PREVIEW", "PREVIEW"),
        ("ALL", "SELECTED", "SELECTED"),
        ("SELECTED_ONLY", "SELECTED", "PREVIEW"),
    ],
)
def test_a_policy_decides_how_an_organization_starts_that_is_connected_later(
    owner: Owner, control: Control, grower: Grower, sync: str, later: str, status: str
) -> None:
    control.set_policies(leaf_connected_later=later)
    user = owner.new_user()
    body = {"organizationDataSync": sync}
    owner.call("POST", f"/services/config/api/configs/{user}", json=body)
    owner.attach(user, grower.tokens("one-farm")["refresh_token"])
    path = f"/users/{user}/JohnDeere/organizations"
    assert owner.call("GET", f"{path}/450101").json()["status"] == "BLOCKED"
    share(grower, "one-farm", "450101")
    owner.call("POST", f"{path}/sync")
    assert owner.call("GET", f"{path}/450101").json()["status"] == status


def test_partners_organizations_are_not_synced(owner: Owner, grower: Grower) -> None:
    user = owner.new_user()
    owner.attach(user, grower.tokens("partners-only")["refresh_token"])
    assert owner.call("GET", f"/users/{user}/JohnDeere/organizations").json() == []


def test_a_configuration_is_made_once_then_changed(owner: Owner) -> None:
    path = f"/services/config/api/configs/{owner.new_user()}"
    body = {"organizationDataSync": "ALL"}
    assert owner.call("GET", path).status_code == 404
    assert owner.call("PATCH", path, json=body).status_code == 404
    assert owner.call("POST", path, json=body).status_code == 201
    assert owner.call("POST", path, json=body).status_code == 400
    owner.call("PATCH", path, json={"customDataSync": False})
    stored = owner.call("GET", path).json()
    assert (stored["organizationDataSync"], stored["customDataSync"]) == ("ALL", False)
    for wrong in (
        {"organizationsDataSync": "ALL"},
        {"organizationDataSync": "SOME"},
        {"customDataSync": "true"},
    ):
        assert owner.call("PATCH", path, json=wrong).status_code == 400
    assert owner.call("POST", "/services/config/api/configs/nobody", json=body).status_code == 404


def test_an_event_is_registered_once(owner: Owner) -> None:
    path = "/services/alerts/api/alerts/webhooks"
    webhook = {
        "name": "A",
        "url": "https://example.com/",
        "secret": "s",
        "events": ["fieldCreated"],
    }
    made = owner.call("POST", path, json=webhook)
    assert made.status_code == 201
    assert made.headers["Location"].endswith(made.json()["id"])
    again = owner.call("POST", path, json=webhook)
    assert (again.status_code, again.json()["errorKey"]) == (400, "eventRegisteredTwice")
    for missing in webhook:
        rest = {name: value for name, value in webhook.items() if name != missing}
        assert owner.call("POST", path, json=rest).status_code == 400
    one = f"{path}/{made.json()['id']}"
    assert owner.call("GET", one).json()["secret"] == "s"
    assert owner.call("GET", path).json() == [made.json()]
    assert owner.call("GET", f"{path}/failed-calls").json() == {"items": []}
    assert owner.call("DELETE", one).status_code == 204
    assert owner.call("DELETE", one).status_code == 404


def test_the_journal_names_tokens_by_their_hash(owner: Owner, control: Control, token: str) -> None:
    user = owner.new_user()
    owner.attach(user, token)
    entry = control.journal(point="leaf.credentials.create")[0]
    held = control.credentials("grower-1")[0]
    assert entry["refresh_token_sha256"] == held["refreshTokenSha256"]
    assert entry["fields"] == ["clientEnvironment", "clientKey", "clientSecret", "refreshToken"]
    assert (entry["account"], entry["external_id"]) == ("one-farm", "grower-1")
    assert (entry["leaf_user_id"], entry["status"]) == (user, 201)
    assert token not in str(control.journal())


def test_a_lost_answer_leaves_the_credential_behind(
    owner: Owner, control: Control, token: str
) -> None:
    user = owner.new_user()
    lost = {"where": "leaf.credentials.create", "kind": "reset", "when": "after", "times": 1}
    control.set_faults(lost | {"match": {"external_id": "grower-1"}})
    with pytest.raises(requests.ConnectionError, match="Connection reset"):
        owner.attach(user, token)
    assert len(control.credentials("grower-1")) == 1


def test_gunicorn_resets_and_survives_being_killed(tmp_path: Path) -> None:
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    with gunicorn(tmp_path, port) as process:
        control = Control(url)
        wait_until(lambda: listens(url), what="sandbox", limit=60)
        owner, grower = Owner(url), Grower(url)
        user = owner.new_user()
        token = grower.tokens("one-farm")["refresh_token"]
        reset = {"where": "leaf.credentials.create", "kind": "reset", "when": "after", "times": 1}
        control.set_faults(reset)
        with pytest.raises(requests.ConnectionError, match="Connection reset"):
            owner.attach(user, token)
        assert owner.credential(user).status_code == 200
        os.killpg(process.pid, 9)
        process.wait()
        control.close()
        wait_until(lambda: not listens(url), what="its processes are gone, too")
    with serving(tmp_path / "sandbox.sqlite", port=port):
        assert owner.credential(user).json()["refreshToken"] == token


@contextmanager
def gunicorn(folder: Path, port: int) -> Iterator[subprocess.Popen[bytes]]:
    """The sandbox as `make run` starts it."""
    options = ["--config", "python:onboarding.sandbox.gunicorn_conf", "--bind", f"127.0.0.1:{port}"]
    process = subprocess.Popen(
        [sys.executable, "-m", "gunicorn", *options, "onboarding.sandbox:create_app()"],
        env=os.environ
        | {
            "PYTHONPATH": str(ROOT),
            "SANDBOX_DATABASE": str(folder / "sandbox.sqlite"),
            "SANDBOX_URL": f"http://127.0.0.1:{port}",
            "PUBLIC_URL": PUBLIC_URL,
        },
        start_new_session=True,
    )
    try:
        yield process
    finally:
        if process.poll() is None:
            process.terminate()
            process.wait(10)


def listens(url: str) -> bool:
    try:
        return requests.get(f"{url}/control/policies", timeout=TIMEOUT_SECONDS).ok
    except requests.ConnectionError:
        return False
