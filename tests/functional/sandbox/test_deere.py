"""The simulated John Deere, over real sockets."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest
import requests

from onboarding.sandbox.accounts import ACCOUNTS
from tests.functional.sandbox.support import (
    AXIOM,
    CALLBACK,
    CLIENT,
    ISSUER_PATH,
    ORGANIZATIONS,
    SCOPES,
    TIMEOUT_SECONDS,
    Grower,
    links,
    returned,
    serving,
)
from tests.support.control import Control
from tests.support.ports import free_port
from tests.support.wait import wait_until


def get_metadata(origin: str) -> requests.Response:
    url = f"{origin}{ISSUER_PATH}/.well-known/oauth-authorization-server"
    return requests.get(url, timeout=TIMEOUT_SECONDS)


def test_metadata_names_the_issuer_and_may_be_cached_for_a_day(origin: str) -> None:
    answer = get_metadata(origin)
    assert answer.headers["Cache-Control"] == "max-age=86400, must-revalidate"
    metadata = answer.json()
    assert metadata["issuer"] == f"{origin}{ISSUER_PATH}"
    assert metadata["token_endpoint"] == f"{origin}{ISSUER_PATH}/v1/token"
    assert metadata["code_challenge_methods_supported"] == ["S256"]


def test_the_whole_walk_ends_with_a_shared_organization(grower: Grower) -> None:
    asked = grower.get(grower.authorize_url())
    assert asked.headers["Location"].startswith("/sign-in?next=")
    assert grower.sign_in("three-farms").status_code == 303
    page = grower.get(grower.authorize_url())
    assert "Edit and delete locations" in page.text
    back = grower.post(grower.authorize_url(), decision="allow")
    assert back.headers["Referrer-Policy"] == "no-referrer"
    query = returned(back)
    assert query["state"] == "state-1"
    tokens = grower.exchange(query["code"]).json()
    assert tokens["expires_in"] == 43200
    assert set(tokens["scope"].split()) == set(SCOPES.split())
    assert tokens["scope"] != SCOPES
    listed = grower.organizations(tokens["access_token"])
    assert listed.headers["Content-Type"] == f"{AXIOM};charset=UTF-8"
    first = listed.json()["values"][0]
    saved = grower.share(links(first)["connections"], first["id"])
    assert saved.headers["Location"] == ORGANIZATIONS
    values = grower.organizations(tokens["access_token"]).json()["values"]
    assert [sorted(links(one)) for one in values] == [
        ["manage_connections", "self"],
        ["connections", "self"],
        ["connections", "self"],
    ]


def test_a_second_consent_is_silent_and_login_asks_again(grower: Grower) -> None:
    grower.decide("one-farm")
    assert "code" in returned(grower.get(grower.authorize_url()))
    assert grower.get(grower.authorize_url(prompt="consent")).status_code == 200
    asked = grower.get(grower.authorize_url(prompt="login"))
    assert asked.status_code == 303
    assert "prompt" not in asked.headers["Location"]
    more = grower.get(grower.authorize_url(scope=f"{SCOPES} work1"))
    assert "View Work and Crop Plans" in more.text
    assert "Edit and delete" not in more.text


def test_a_prompt_of_none_never_shows_a_page(grower: Grower) -> None:
    assert returned(grower.get(grower.authorize_url(prompt="none")))["error"] == "login_required"
    grower.sign_in("one-farm")
    assert returned(grower.get(grower.authorize_url(prompt="none")))["error"] == "consent_required"


@pytest.mark.parametrize("prompt", ["create", "select_account", "login create", "none login"])
def test_a_prompt_that_okta_does_not_know_is_refused(grower: Grower, prompt: str) -> None:
    grower.sign_in("one-farm")
    told = returned(grower.get(grower.authorize_url(prompt=prompt)))
    assert (told["error"], told["state"]) == ("invalid_request", "state-1")
    assert "'prompt'" in told["error_description"]


@pytest.mark.parametrize("prompt", ["login consent", "consent login"])
def test_login_and_consent_may_be_asked_for_together(grower: Grower, prompt: str) -> None:
    assert grower.get(grower.authorize_url(prompt=prompt)).status_code == 303


def test_the_typed_sign_in_wants_the_right_password(grower: Grower) -> None:
    url = f"{grower.url}/sign-in"
    wrong = grower.post(url, username="one-farm", password="x", next="/control")
    assert wrong.status_code == 400
    assert "no account with this user name" in wrong.text
    right = grower.post(url, username="one-farm", password="sandbox", next="/control")
    assert right.headers["Location"] == "/control"
    assert grower.post(url, account="one-farm", next="//example.net").status_code == 400


@pytest.mark.parametrize(
    "changes",
    [
        {"redirect_uri": f"{CALLBACK}/"},
        {"redirect_uri": CALLBACK.replace("localhost", "127.0.0.1")},
        {"redirect_uri": None},
        {"client_id": "another"},
        {"client_id": None},
    ],
)
def test_a_wrong_address_or_client_never_returns(
    grower: Grower, changes: dict[str, str | None]
) -> None:
    answer = grower.get(grower.authorize_url(**changes))
    assert answer.status_code == 400
    assert "Location" not in answer.headers


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"scope": "ag1 nonsense"}, "invalid_scope"),
        ({"scope": "ag1 finance1"}, "access_denied"),
        ({"state": None}, "invalid_request"),
        ({"state": '{"a":1}'}, "invalid_request"),
        ({"response_type": "token"}, "unsupported_response_type"),
        ({"response_mode": "form_post"}, "unsupported_response_type"),
        ({"code_challenge_method": "plain"}, "invalid_request"),
        ({"code_challenge_method": None}, "invalid_request"),
        ({"code_challenge": "short"}, "invalid_request"),
    ],
)
def test_a_wrong_request_returns_with_its_error(
    grower: Grower, changes: dict[str, str | None], error: str
) -> None:
    grower.sign_in("one-farm")
    query = returned(grower.get(grower.authorize_url(**changes)))
    assert query["error"] == error
    assert "code" not in query


def test_cancel_and_a_refused_application_both_deny(grower: Grower) -> None:
    denied = grower.decide("one-farm", decision="cancel")
    assert denied["error"] == "access_denied"
    assert denied["state"] == "state-1"
    refused = grower.decide("application-refused")
    assert refused["error"] == "access_denied"
    assert refused["error_description"].startswith("Policy evaluation failed for this request")


def test_a_code_works_once(grower: Grower) -> None:
    code = grower.decide("one-farm")["code"]
    assert grower.exchange(code).status_code == 200
    again = grower.exchange(code)
    assert again.status_code == 400
    assert again.json()["error"] == "invalid_grant"


def test_a_code_raced_for_works_once(grower: Grower) -> None:
    code = grower.decide("one-farm")["code"]
    answers: list[int] = []
    racers = [
        threading.Thread(target=lambda: answers.append(grower.exchange(code).status_code))
        for _ in range(8)
    ]
    for racer in racers:
        racer.start()
    for racer in racers:
        racer.join()
    assert sorted(answers) == [200] + [400] * 7


@pytest.mark.parametrize(
    "changes",
    [
        {"code_verifier": "x" * 43},
        {"code_verifier": None},
        {"redirect_uri": ORGANIZATIONS},
        {"code": "unknown"},
    ],
)
def test_a_wrong_exchange_gets_no_token(grower: Grower, changes: dict[str, str | None]) -> None:
    code = grower.decide("one-farm")["code"]
    answer = grower.exchange(code, **changes) if "code" not in changes else grower.exchange("no")
    assert answer.status_code == 400
    assert answer.json()["error"] in {"invalid_grant", "invalid_request"}
    assert grower.exchange(code).status_code == 200


def test_a_code_grows_old(grower: Grower, control: Control) -> None:
    control.set_policies(deere_code_seconds=0)
    answer = grower.exchange(grower.decide("one-farm")["code"])
    assert answer.json()["error"] == "invalid_grant"


def test_the_client_must_use_basic_and_nothing_else(grower: Grower, control: Control) -> None:
    form = {"grant_type": "authorization_code", "redirect_uri": CALLBACK}
    form |= {
        "code": grower.decide("one-farm", code_challenge=None, code_challenge_method=None)["code"]
    }
    body = {"client_id": CLIENT[0], "client_secret": CLIENT[1]}
    assert grower.token(form | body, auth=None).status_code == 401
    both = grower.token(form | body)
    assert (both.status_code, both.json()["error"]) == (400, "invalid_request")
    wrong = grower.token(form, auth=(CLIENT[0], "wrong"))
    assert (wrong.status_code, wrong.json()["error"]) == (401, "invalid_client")
    control.set_policies(deere_client="refused")
    assert grower.token(form).status_code == 401
    control.set_policies(deere_client="accepted")
    assert grower.token(form).status_code == 200


def test_without_offline_access_there_is_no_refresh_token(grower: Grower) -> None:
    assert "refresh_token" not in grower.tokens("one-farm", scope="ag1 org1")
    assert "refresh_token" not in grower.tokens("no-refresh-token")


def test_fewer_scopes_are_granted_than_asked_for(grower: Grower) -> None:
    granted = set(grower.tokens("fewer-scopes")["scope"].split())
    assert set(SCOPES.split()) - granted == {"ag3", "files"}


def refresh(grower: Grower, token: str) -> requests.Response:
    return grower.token({"grant_type": "refresh_token", "refresh_token": token})


def test_a_refresh_token_persists(grower: Grower) -> None:
    token = grower.tokens("one-farm")["refresh_token"]
    assert refresh(grower, token).json()["refresh_token"] == token
    assert refresh(grower, token).status_code == 200


def test_reuse_of_a_rotated_token_kills_its_family(grower: Grower, control: Control) -> None:
    control.set_policies(deere_refresh_tokens="rotating")
    first = grower.tokens("one-farm")["refresh_token"]
    second = refresh(grower, first).json()["refresh_token"]
    assert second != first
    assert refresh(grower, first).json()["error"] == "invalid_grant"
    assert refresh(grower, second).json()["error"] == "invalid_grant"


def test_a_revoked_token_is_dead(grower: Grower) -> None:
    token = grower.tokens("one-farm")["refresh_token"]
    for given in (token, "unknown"):
        answer = requests.post(
            f"{grower.url}{ISSUER_PATH}/v1/revoke",
            data={"token": given, "token_type_hint": "refresh_token"},
            auth=CLIENT,
            timeout=TIMEOUT_SECONDS,
        )
        assert answer.status_code == 200
    assert refresh(grower, token).status_code == 400


def test_organizations_come_in_pages_of_ten(grower: Grower) -> None:
    access = grower.tokens("many-farms")["access_token"]
    page: str | None = ""
    names = []
    while page is not None:
        listed = grower.organizations(access, path=page).json()
        names.append([one["name"] for one in listed["values"]])
        page = {link["rel"]: link["uri"] for link in listed["links"]}.get("nextPage")
    assert [len(some) for some in names] == [10, 10, 3]
    assert len({name for some in names for name in some}) == listed["total"] == 23


def test_organizations_want_a_token_and_the_right_accept(grower: Grower) -> None:
    assert grower.organizations("unknown").status_code == 401
    access = grower.tokens("one-farm")["access_token"]
    answer = requests.get(
        f"{grower.url}/platform/organizations",
        headers={"Authorization": f"Bearer {access}", "Accept": "*/*"},
        timeout=TIMEOUT_SECONDS,
    )
    assert answer.status_code == 406


@pytest.mark.parametrize("account", ["no-organization", "dealer", "staff-sees-nothing"])
def test_an_account_may_have_no_organization(grower: Grower, account: str) -> None:
    access = grower.tokens(account)["access_token"]
    assert grower.organizations(access).json()["values"] == []


def test_organizations_are_answered_in_odd_ways(grower: Grower, control: Control) -> None:
    access = {name: grower.tokens(name)["access_token"] for name in ACCOUNTS if name in ODD}
    assert "values" not in grower.organizations(access["missing-values"]).json()
    assert grower.organizations(access["staff-refused"]).status_code == 403
    partners = grower.organizations(access["partners-only"]).json()["values"]
    assert [one["member"] for one in partners] == [False, False]
    already = grower.organizations(access["already-connected"]).json()["values"]
    assert "connections-dialog?orgId=450401" in links(already[0])["manage_connections"]
    foreign = grower.organizations(access["foreign-terms"])
    assert foreign.headers["X-Deere-Terms-Location"].startswith("https://deere.com.terms.example")


ODD = {"missing-values", "staff-refused", "partners-only", "already-connected", "foreign-terms"}


def test_terms_stand_in_the_way_until_accepted(grower: Grower) -> None:
    access = grower.tokens("terms-not-accepted")["access_token"]
    refused = grower.organizations(access)
    assert refused.status_code == 403
    assert refused.headers["X-Deere-Terms-Location"].startswith(
        "https://operationscenter.deere.com"
    )
    url = f"{grower.url}/control/accounts/terms-not-accepted/terms"
    assert requests.post(url, json={"accepted": True}, timeout=TIMEOUT_SECONDS).status_code == 200
    assert len(grower.organizations(access).json()["values"]) == 1


def select_page(grower: Grower, account: str) -> str:
    access = grower.tokens(account)["access_token"]
    return links(grower.organizations(access).json()["values"][0])["connections"]


def test_the_connections_page_asks_to_sign_in(grower: Grower) -> None:
    uri = select_page(grower, "one-farm")
    stranger = Grower(grower.url)
    assert stranger.get(uri).headers["Location"].startswith("/sign-in?next=%2Fconnections%2F")
    assert 'for="org-450101">Smith Farms</label>' in grower.get(uri).text
    by_key = f"{grower.url}/connections/{CLIENT[0]}/select-organizations"
    assert grower.get(by_key).status_code == 200
    assert grower.get(f"{grower.url}/connections/other/select-organizations").status_code == 404


def test_the_connections_page_returns_to_registered_addresses_only(grower: Grower) -> None:
    uri = select_page(grower, "one-farm")
    assert grower.get(f"{uri}?redirect_uri=https://example.net/").status_code == 400
    assert grower.share(uri, "450101", decision="cancel").headers["Location"] == ORGANIZATIONS
    assert "connections" in select_page(grower, "one-farm")


def test_a_box_that_may_not_be_ticked_is_not_saved(grower: Grower) -> None:
    uri = select_page(grower, "staff-cannot-share")
    assert "disabled" in grower.get(uri).text
    grower.share(uri, "450501")
    assert select_page(grower, "staff-cannot-share")


def test_a_full_application_saves_nothing(grower: Grower) -> None:
    answer = grower.share(select_page(grower, "stage-full"), "450901")
    assert answer.status_code == 409
    assert "Nothing was saved" in answer.text


def test_a_saved_organization_appears_two_reads_later(grower: Grower) -> None:
    access = grower.tokens("slow-to-appear")["access_token"]
    uri = links(grower.organizations(access).json()["values"][0])["connections"]
    grower.share(uri, "450902")
    seen = [sorted(links(grower.organizations(access).json()["values"][0])) for _ in range(3)]
    assert seen == [["connections", "self"]] * 2 + [["manage_connections", "self"]]


def test_without_any_connection_the_refresh_token_is_dead(grower: Grower) -> None:
    tokens = grower.tokens("already-connected")
    first = grower.organizations(tokens["access_token"]).json()["values"][0]
    dialog = links(first)["manage_connections"]
    assert refresh(grower, tokens["refresh_token"]).status_code == 200
    grower.share(dialog)
    assert refresh(grower, tokens["refresh_token"]).json()["error"] == "invalid_grant"


def fault(kind: str, where: str = "deere.metadata", **more: object) -> dict[str, object]:
    return {"where": where, "kind": kind, **more}


def test_faults_change_the_answer(origin: str, control: Control) -> None:
    control.set_faults(
        fault("status", status=503, headers={"Retry-After": "7"}, times=1),
        fault("html", status=502, times=1),
        fault("json", body=["odd"], times=1),
        fault("reset", times=1),
    )
    unavailable = get_metadata(origin)
    assert (unavailable.status_code, unavailable.headers["Retry-After"]) == (503, "7")
    html = get_metadata(origin)
    assert (html.status_code, html.headers["Content-Type"]) == (502, "text/html;charset=UTF-8")
    assert get_metadata(origin).json() == ["odd"]
    with pytest.raises(requests.ConnectionError, match="Connection reset"):
        get_metadata(origin)
    assert get_metadata(origin).status_code == 200
    kinds = [entry["fault"] for entry in control.journal(point="deere.metadata")]
    assert kinds == ["status", "html", "json", "reset", None]


def test_latency_delays_and_a_hang_ends_with_its_fault(origin: str, control: Control) -> None:
    control.set_faults(fault("latency", seconds=0.2, times=1), fault("hang"))
    assert get_metadata(origin).elapsed.total_seconds() > 0.2
    seq = control.last_seq()
    answers: list[int] = []
    waiting = threading.Thread(target=lambda: answers.append(get_metadata(origin).status_code))
    waiting.start()
    try:
        held = control.wait_for(lambda one: one["fault"] == "hang", what="held", after=seq)
        assert (held["status"], held["stored"], answers) == (None, None, [])
    finally:
        control.clear_faults()
        waiting.join(5)
    assert answers == [200]


def test_a_fault_before_has_no_effect_and_one_after_has(grower: Grower, control: Control) -> None:
    code = grower.decide("one-farm")["code"]
    control.set_faults(fault("status", "deere.token", times=1))
    assert grower.exchange(code).status_code == 500
    control.set_faults(fault("reset", "deere.token", when="after", times=1))
    with pytest.raises(requests.ConnectionError, match="Connection reset"):
        grower.exchange(code)
    assert grower.exchange(code).json()["error"] == "invalid_grant"
    stored = [entry["stored"] for entry in control.journal(point="deere.token")]
    assert stored[0] is None
    assert stored[1] is not None


def test_a_fault_may_strike_one_account(grower: Grower, control: Control) -> None:
    control.set_faults(fault("status", "deere.organizations", match={"account": "three-farms"}))
    one, three = grower.tokens("one-farm"), grower.tokens("three-farms")
    assert grower.organizations(one["access_token"]).status_code == 200
    assert grower.organizations(three["access_token"]).status_code == 500


@pytest.mark.parametrize(
    "wrong",
    [
        {"where": "deere.nothing", "kind": "hang"},
        {"where": "deere.token", "kind": "explode"},
        {"where": "deere.token", "kind": "hang", "seconds": 121},
        {"where": "deere.token", "kind": "hang", "when": "later"},
        {"where": "deere.token", "kind": "status", "status": 99},
        {"where": "deere.token", "kind": "hang", "match": {"colour": "red"}},
        {"where": "deere.token", "kind": "hang", "surprise": 1},
        {"kind": "hang"},
        "hang",
    ],
)
def test_a_wrong_fault_is_refused(origin: str, control: Control, wrong: object) -> None:
    answer = requests.put(f"{origin}/control/faults", json=[wrong], timeout=TIMEOUT_SECONDS)
    assert answer.status_code == 400
    assert answer.json()["error"]
    assert control.faults() == []


def test_a_wrong_policy_is_refused(origin: str, control: Control) -> None:
    before = control.policies()
    wrongs: list[Any] = [{"deere_client": "maybe"}, {"nothing": 1}, {"deere_code_seconds": "60"}, 1]
    wrongs += [{"deere_code_seconds": 601}, {"leaf_requests_per_minute": -1}]
    for wrong in wrongs:
        answer = requests.patch(f"{origin}/control/policies", json=wrong, timeout=TIMEOUT_SECONDS)
        assert answer.status_code == 400
    assert control.policies() == before


def test_the_state_survives_a_restart(tmp_path: Path) -> None:
    database, port = tmp_path / "sandbox.sqlite", free_port()
    with serving(database, port=port) as url:
        grower, control = Grower(url), Control(url)
        token = grower.tokens("one-farm")["refresh_token"]
        control.set_policies(deere_code_seconds=120)
        control.set_faults(fault("html"))
        seen = control.journal()
        control.close()
    with serving(database, port=port) as url:
        control = Control(url)
        assert refresh(grower, token).status_code == 200
        assert "code" in returned(grower.get(grower.authorize_url()))
        assert control.policies()["deere_code_seconds"] == 120
        assert [one["kind"] for one in control.faults()] == ["html"]
        assert control.journal()[: len(seen)] == seen
        control.close()


def test_the_control_page_does_what_its_buttons_say(grower: Grower, control: Control) -> None:
    url = f"{grower.url}/control"
    page = grower.get(url).text
    assert "Where the documentation is silent" in page
    assert all(f'name="{name}"' in page for name in control.policies())
    token = grower.tokens("one-farm")["refresh_token"]
    form = {"where": "deere.token", "kind": "hang", "when": "after", "times": "2", "seconds": "3"}
    assert grower.post(url, action="add-fault", **form).status_code == 303
    added = control.faults()[0]
    assert (added["times"], added["seconds"], added["match"]) == (2, 3.0, {})
    assert "Struck 0 times" in grower.get(url).text
    grower.post(url, action="remove-fault", id=added["id"])
    assert control.faults() == []
    chosen = control.policies() | {"leaf_answers": "older", "leaf_requests_per_minute": 30}
    grower.post(url, action="policies", **chosen)
    assert control.policies() == chosen
    grower.post(url, action="terms", account="terms-not-accepted")
    grower.post(url, action="revoke", account="one-farm")
    assert refresh(grower, token).status_code == 400
    assert grower.post(url, action="explode").status_code == 400
    grower.post(url, action="reset")
    assert control.policies()["leaf_answers"] == "current"


def test_every_account_is_shown_with_what_it_does(grower: Grower) -> None:
    page = grower.get(f"{grower.url}/sign-in").text
    shown = requests.get(f"{grower.url}/control/accounts", timeout=TIMEOUT_SECONDS).json()
    assert shown["password"] == "sandbox"
    assert [account["name"] for account in shown["accounts"]] == list(ACCOUNTS)
    for account in shown["accounts"]:
        assert f">{account['name']}</button>" in page
        assert account["does"] in page.replace("&#39;", "'")


def test_pages_run_no_script_and_cannot_be_framed(grower: Grower) -> None:
    answer = grower.get(f"{grower.url}/sign-in")
    policy = answer.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "<script" not in answer.text
    assert "style=" not in answer.text
    assert grower.get(f"{grower.url}/favicon.ico").status_code == 204
    assert grower.get(f"{grower.url}/").headers["Location"] == "/control"
    assert grower.get(f"{grower.url}/sandbox.css").headers["Content-Type"].startswith("text/css")


def test_the_journal_holds_no_secret(grower: Grower, control: Control) -> None:
    code = grower.decide("one-farm")["code"]
    tokens = grower.exchange(code).json()
    wait_until(lambda: control.journal(point="deere.token"), what="journal")
    text = str(control.journal())
    for secret in (code, tokens["access_token"], tokens["refresh_token"], CLIENT[1]):
        assert secret not in text
