"""The simulated Leaf sends alerts as the real one does, and as it might."""

from __future__ import annotations

import base64
import hmac
import json
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from pytest_httpserver import HTTPServer
from werkzeug import Request, Response

from tests.functional.sandbox.support import Grower, Owner, serving
from tests.support.control import Control
from tests.support.wait import wait_until

WEBHOOKS = "/services/alerts/api/alerts/webhooks"
SECRET = "mRyT257XpFWX-longer"
GONE, LIMITED = "credentialsUnauthenticated", "credentialsLimitedPermission"
SOON = {"leaf_alert_minute_ms": 1}


@dataclass
class Receiver:
    """Somebody's webhook: what arrived, and how it answers next."""

    url: str
    requests: list[Request] = field(default_factory=list)
    answers: list[int] = field(default_factory=list)

    def alerts(self) -> list[dict[str, Any]]:
        return [json.loads(one.data) for one in self.requests if b'"type"' in one.data]

    def wait(self, number: int) -> list[dict[str, Any]]:
        wait_until(lambda: len(self.alerts()) >= number, what=f"{number} alerts arrive", limit=30)
        return self.alerts()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with HTTPServer(host="127.0.0.1", threaded=True) as server:
        receiver = Receiver(server.url_for("/leaf/alerts"))

        def answer(request: Request) -> Response:
            request.get_data()
            receiver.requests.append(request)
            is_alert = b'"type"' in request.data
            return Response(
                status=receiver.answers.pop(0) if is_alert and receiver.answers else 204
            )

        server.expect_request("/leaf/alerts").respond_with_handler(answer)
        yield receiver


@pytest.fixture
def user(owner: Owner, origin: str) -> str:
    """A Leaf user with the credential of `one-farm`."""
    user = owner.new_user()
    owner.attach(user, str(Grower(origin).tokens("one-farm")["refresh_token"]))
    return user


def register(owner: Owner, url: str, *events: str) -> str:
    body = {"name": "ours", "url": url, "secret": SECRET, "events": list(events)}
    answer = owner.call("POST", WEBHOOKS, json=body)
    assert answer.status_code == 201, answer.text
    return str(answer.json()["id"])


def failed(owner: Owner) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = owner.call("GET", f"{WEBHOOKS}/failed-calls").json()["items"]
    return items


def test_registration_is_pinged_without_a_signature(owner: Owner, receiver: Receiver) -> None:
    register(owner, receiver.url, GONE)
    wait_until(lambda: receiver.requests, what="the ping arrives", limit=30)
    (ping,) = receiver.requests
    assert ping.data == b'{"message": "confirmation of webhook upon registration"}'
    assert "X-Leaf-Signature" not in ping.headers


def test_revoked_grant_is_told_at_once_and_signed(
    owner: Owner, control: Control, receiver: Receiver, user: str
) -> None:
    register(owner, receiver.url, GONE)
    control.revoke("one-farm")
    (alert,) = receiver.wait(1)
    assert alert["type"] == GONE
    assert alert["status"] == "UNAUTHENTICATED"
    assert alert["credentialId"] == owner.credential(user).json()["id"]
    assert "leafUserId" not in alert
    request = receiver.requests[-1]
    digest = hmac.digest(SECRET.encode(), request.data, "sha256")
    assert request.headers["X-Leaf-Signature"] == base64.b64encode(digest).decode()
    assert b'", "' in request.data
    assert owner.credential(user).json()["status"] == "UNAUTHENTICATED"
    assert len(receiver.alerts()) == 1


def test_leaf_may_take_its_time_to_find_out(
    owner: Owner, control: Control, receiver: Receiver, user: str
) -> None:
    register(owner, receiver.url, GONE)
    control.set_policies(leaf_finds_out_after_seconds=100_000)
    control.revoke("one-farm")
    assert owner.credential(user).json()["status"] == "OK"
    assert owner.credential(user, "/status").json()["status"] == "OK"
    assert receiver.alerts() == []
    control.set_policies(leaf_finds_out_after_seconds=1)
    receiver.wait(1)
    assert owner.credential(user).json()["status"] == "UNAUTHENTICATED"


@pytest.mark.parametrize(
    ("policy", "types"),
    [
        ("once", [GONE]),
        ("twice", [GONE, GONE]),
        ("out_of_order", [GONE]),
        ("never", []),
    ],
)
def test_alerts_go_out_only_once_leaf_has_found_out_whatever_their_way(
    owner: Owner, control: Control, receiver: Receiver, user: str, policy: str, types: list[str]
) -> None:
    register(owner, receiver.url, GONE, LIMITED)
    control.set_policies(
        leaf_alerts=policy, leaf_finds_out_after_seconds=100_000, leaf_alert_minute_ms=1
    )
    control.expire("one-farm")
    for part in ("", "/status"):
        assert owner.credential(user, part).json()["status"] == "OK"
    assert owner.credential(user, "/events").json()[0]["statusCode"] == 200
    assert control.alerts(GONE) == []
    control.set_policies(leaf_finds_out_after_seconds=0)
    wait_until(
        lambda: owner.credential(user, "/status").json()["status"] == "UNAUTHENTICATED",
        what="Leaf has found out",
        limit=30,
    )
    assert owner.credential(user).json()["status"] == "UNAUTHENTICATED"
    assert [one["type"] for one in receiver.wait(len(types))] == types
    assert len(control.alerts(GONE)) == len(types)


def test_trouble_that_passes_before_leaf_looks_is_never_told_and_the_next_is_as_late(
    tmp_path: Path,
) -> None:
    database, account, farm = tmp_path / "sandbox.sqlite", "missing-permission", "451001"
    with serving(database) as url:
        owner, control = Owner(url), Control(url)
        user = owner.new_user()
        owner.attach(user, str(Grower(url).tokens(account)["refresh_token"]))
        control.set_policies(leaf_finds_out_after_seconds=1000)

        def told(*, permitted: bool) -> str:
            control.change_organization(account, farm, connected=True, permitted=permitted)
            return str(owner.credential(user, "/status").json()["status"])

        assert told(permitted=False) == "OK"
        assert told(permitted=True) == "OK"
        with sqlite3.connect(database) as connection:
            connection.execute("UPDATE leaf_doubts SET since = since - 2000")
        connection.close()
        assert told(permitted=False) == "OK"
        with sqlite3.connect(database) as connection:
            connection.execute("UPDATE leaf_doubts SET since = since - 2000")
        connection.close()
        assert told(permitted=False) == "MISSING_PERMISSION"
        control.close()


def test_permission_that_is_given_back_is_found_out_late_as_well_and_told_by_no_alert(
    owner: Owner, control: Control, receiver: Receiver, user: str
) -> None:
    register(owner, receiver.url, GONE, LIMITED)
    control.change_organization("one-farm", "450101", connected=True, permitted=False)
    receiver.wait(1)
    control.set_policies(leaf_finds_out_after_seconds=100_000)
    control.change_organization("one-farm", "450101", permitted=True)
    assert owner.credential(user, "/status").json() == {"status": "MISSING_PERMISSION"}
    control.set_policies(leaf_finds_out_after_seconds=0)
    assert owner.credential(user, "/status").json() == {"status": "OK"}
    assert [one["type"] for one in receiver.alerts()] == [LIMITED]


def test_alert_is_tried_again_until_it_is_taken(
    owner: Owner, control: Control, receiver: Receiver, user: str
) -> None:
    control.set_policies(**SOON)
    receiver.answers = [500, 404, 302]
    register(owner, receiver.url, GONE)
    control.revoke("one-farm")
    alerts = receiver.wait(4)
    assert alerts == [alerts[0]] * 4
    wait_until(lambda: not control.alerts(GONE)[0]["waits"], what="it is taken", limit=30)
    assert control.alerts(GONE)[0]["attempts"] == 4
    assert failed(owner) == []


def test_alert_that_nobody_takes_ends_among_the_failed_calls(
    owner: Owner, control: Control, receiver: Receiver, user: str
) -> None:
    control.set_policies(**SOON)
    receiver.answers = [503] * 5
    register(owner, receiver.url, GONE)
    control.revoke("one-farm")
    wait_until(lambda: failed(owner), what="it is given up", limit=30)
    (call,) = failed(owner)
    assert (call["status"], call["url"]) == (503, receiver.url)
    assert json.loads(call["requestBody"])["type"] == GONE
    assert len(receiver.alerts()) == 5
    assert SECRET not in json.dumps(call)


def test_receiver_that_is_away_is_a_connection_error(
    owner: Owner, control: Control, user: str
) -> None:
    control.set_policies(**SOON)
    register(owner, "http://127.0.0.1:1/leaf/alerts", GONE)
    control.revoke("one-farm")
    wait_until(lambda: failed(owner), what="it is given up", limit=30)
    assert failed(owner)[0]["connectionError"].startswith("ConnectionError")
    assert "status" not in failed(owner)[0]


@pytest.mark.parametrize("url", ["https://127.0.0.1/x", "http://example.net/x"])
def test_sandbox_reaches_nobody_elsewhere(
    owner: Owner, control: Control, user: str, url: str
) -> None:
    register(owner, url, GONE)
    wait_until(lambda: control.alerts("ping")[0]["attempts"], what="the ping", limit=30)
    assert control.alerts("ping")[0]["error"].endswith("this machine only")


def test_alert_may_come_twice(
    owner: Owner, control: Control, receiver: Receiver, user: str
) -> None:
    control.set_policies(leaf_alerts="twice")
    register(owner, receiver.url, GONE)
    control.revoke("one-farm")
    first, second = receiver.wait(2)
    assert first == second


def test_alerts_may_come_in_another_order(
    owner: Owner, control: Control, receiver: Receiver, user: str
) -> None:
    control.set_policies(leaf_alerts="out_of_order", leaf_alert_minute_ms=1000)
    register(owner, receiver.url, GONE, LIMITED)
    for kind in (LIMITED, GONE):
        assert control.send_alert(user, kind) == 1
    assert [alert["type"] for alert in receiver.wait(2)] == [GONE, LIMITED]


def test_alert_may_never_come(
    owner: Owner, control: Control, receiver: Receiver, user: str
) -> None:
    control.set_policies(leaf_alerts="never")
    register(owner, receiver.url, GONE)
    control.revoke("one-farm")
    wait_until(
        lambda: owner.credential(user).json()["status"] == "UNAUTHENTICATED",
        what="Leaf has found out",
        limit=30,
    )
    assert control.alerts(GONE) == []
    assert receiver.alerts() == []


def test_status_that_is_set_by_hand_is_told_as_well(
    owner: Owner, control: Control, receiver: Receiver, user: str
) -> None:
    register(owner, receiver.url, GONE, LIMITED)
    for status in ("TEMPORARILY_UNAVAILABLE", "MISSING_PERMISSION", "OK", None):
        control.set_leaf_status(user, status)
    assert [alert["type"] for alert in receiver.wait(1)] == [LIMITED]


def test_what_leaf_was_made_to_say_is_what_it_believes_until_it_looks_again(
    owner: Owner, control: Control, receiver: Receiver, user: str
) -> None:
    register(owner, receiver.url, GONE, LIMITED)
    control.set_leaf_status(user, "MISSING_PERMISSION")
    control.set_leaf_status(user, "MISSING_PERMISSION")
    control.revoke("one-farm")
    assert owner.credential(user, "/status").json() == {"status": "MISSING_PERMISSION"}
    assert [one["kind"] for one in control.alerts() if one["kind"] != "ping"] == [LIMITED]
    control.set_leaf_status(user, None)
    assert [one["type"] for one in receiver.wait(2)] == [LIMITED, GONE]


def test_alert_about_a_credential_that_leaf_has_lost_still_comes(
    owner: Owner, control: Control, receiver: Receiver, user: str
) -> None:
    control.set_policies(leaf_alert_minute_ms=500)
    receiver.answers = [500]
    register(owner, receiver.url, GONE)
    control.revoke("one-farm")
    receiver.wait(1)
    assert control.lose_credentials("grower-1") == 1
    first, second = receiver.wait(2)
    assert first == second


def test_what_is_not_delivered_survives_a_restart(tmp_path: Path, receiver: Receiver) -> None:
    database = tmp_path / "sandbox.sqlite"
    with serving(database) as url:
        owner, control = Owner(url), Control(url)
        user = owner.new_user()
        owner.attach(user, str(Grower(url).tokens("one-farm")["refresh_token"]))
        control.set_policies(leaf_alert_minute_ms=1000)
        receiver.answers = [500]
        register(owner, receiver.url, GONE)
        control.revoke("one-farm")
        receiver.wait(1)
        control.close()
    with serving(database):
        receiver.wait(2)


def test_control_page_sends_alerts_and_shows_them(
    owner: Owner, origin: str, control: Control, receiver: Receiver, user: str
) -> None:
    visitor = Grower(origin)
    form = {"action": "alert", "leaf_user_id": user, "kind": GONE}
    refused = visitor.post(f"{origin}/control", **form)
    assert refused.status_code == 400
    assert "no webhook is registered" in refused.text
    register(owner, receiver.url, GONE)
    assert visitor.post(f"{origin}/control", **form).status_code == 303
    receiver.wait(1)
    page = visitor.get(f"{origin}/control").text
    assert receiver.url in page
    assert GONE in page
    assert SECRET not in page
