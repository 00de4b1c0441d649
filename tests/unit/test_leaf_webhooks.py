"""Leaf's alerts API as the client speaks it, and what registering makes of it."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from werkzeug import Request, Response

from onboarding.connections import registration
from onboarding.connections.registration import CREDENTIAL_EVENTS, ORGANIZATION_EVENTS
from onboarding.errors import (
    EventRegisteredTwice,
    InputInvalid,
    SignInRefused,
    UpstreamError,
    UpstreamRejected,
    UpstreamUnavailable,
)
from onboarding.leaf import FailedCall, Leaf, Webhook
from tests.unit.failures import FAILURES, JSON, PATIENT, Server, everything_said

SIGN_IN = "/api/authenticate"
WEBHOOKS = "/services/alerts/api/alerts/webhooks"
FAILED = WEBHOOKS + "/failed-calls"
URL = "https://connect.example/leaf/alerts"
SECRET = "alert-secret-Zz91LmPq07_kk"
BOTH = {*CREDENTIAL_EVENTS}
ALL = {*CREDENTIAL_EVENTS, *ORGANIZATION_EVENTS}
TWICE = {"title": "Bad Request", "message": "error.eventRegisteredTwice"}


@pytest.fixture
def leaf(server: Server) -> Leaf:
    server.json("POST", SIGN_IN, {"id_token": "token-1"})
    return Leaf(server.url, "owner@example.com", "owner password", timeout=PATIENT)


def webhook(**changes: Any) -> dict[str, Any]:
    return {
        "id": "w-1",
        "name": "ours",
        "url": URL,
        "secret": SECRET,
        "events": [*CREDENTIAL_EVENTS],
    } | changes


def create(leaf: Leaf) -> None:
    leaf.webhooks.create(name="ours", url=URL, secret=SECRET, events=["b", "a"])


def sent(server: Server, method: str) -> list[Request]:
    return [one for one in server.sent if one.method == method and one.path != SIGN_IN]


class TestClient:
    def test_webhooks_are_listed_without_their_secrets(self, leaf: Leaf, server: Server) -> None:
        other = webhook(id="w-2", secret="another-secret-of-theirs", events=["fieldCreated"])
        hidden = webhook(id="w-3", secret="****")
        server.json("GET", WEBHOOKS, [webhook(), other, hidden, {"name": "no id"}, None])
        found = leaf.webhooks.all(secret=SECRET)
        assert found == (
            Webhook("w-1", "ours", URL, frozenset(CREDENTIAL_EVENTS), True),
            Webhook("w-2", "ours", URL, frozenset({"fieldCreated"}), False),
            Webhook("w-3", "ours", URL, frozenset(CREDENTIAL_EVENTS), None),
        )
        for secret in (SECRET, "another-secret-of-theirs"):
            assert secret not in repr([vars(one) for one in found])

    @pytest.mark.parametrize(
        "odd",
        [{"events": None}, {"events": [7, None]}, {"url": 7}, {"name": "\0"}, {"secret": "\ud800"}],
        ids=repr,
    )
    def test_odd_webhooks_are_read_as_far_as_they_go(
        self, leaf: Leaf, server: Server, odd: dict[str, Any]
    ) -> None:
        server.json("GET", WEBHOOKS, [webhook(**odd)])
        assert [one.id for one in leaf.webhooks.all(secret=SECRET)] == ["w-1"]

    def test_a_webhook_is_registered_with_what_leaf_wants(self, leaf: Leaf, server: Server) -> None:
        server.json("POST", WEBHOOKS, webhook(), 201)
        create(leaf)
        assert sent(server, "POST")[0].get_json() == {
            "name": "ours",
            "url": URL,
            "secret": SECRET,
            "events": ["a", "b"],
        }

    @pytest.mark.parametrize("key", ["title", "error", "detail", "message"])
    def test_an_event_that_is_taken_is_an_error_of_its_own(
        self, leaf: Leaf, server: Server, key: str
    ) -> None:
        server.json("POST", WEBHOOKS, {key: f"eventRegisteredTwice {SECRET}"}, 400)
        with pytest.raises(EventRegisteredTwice) as caught:
            create(leaf)
        assert SECRET not in everything_said(caught.value)

    @pytest.mark.parametrize(("status", "removed"), [(204, True), (404, False)])
    def test_a_webhook_is_removed_or_was_gone(
        self, leaf: Leaf, server: Server, status: int, removed: bool
    ) -> None:
        server.data("DELETE", WEBHOOKS + "/w-1", status=status)
        assert leaf.webhooks.delete("w-1") is removed

    @pytest.mark.parametrize("identifier", ["", ".", ".."])
    def test_what_is_no_id_climbs_no_path(self, leaf: Leaf, identifier: str) -> None:
        with pytest.raises(InputInvalid):
            leaf.webhooks.delete(identifier)

    @pytest.mark.parametrize("wrapped", [True, False])
    def test_failed_calls_are_read(self, leaf: Leaf, server: Server, wrapped: bool) -> None:
        items = [
            {"createdAt": "2023-04-21T12:16:30Z", "url": URL, "status": 502, "requestBody": "{}"},
            {"createdAt": "?", "connectionError": "ConnectionError: …", "requestBody": "[]"},
            {"createdAt": "2023-04-21T12:16:30Z", "requestBody": {"type": "x"}},
            None,
        ]
        server.json("GET", FAILED, {"items": items} if wrapped else items)
        assert leaf.webhooks.failed_calls() == (
            FailedCall(datetime(2023, 4, 21, 12, 16, 30, tzinfo=UTC), "{}"),
            FailedCall(None, "[]"),
        )

    @pytest.mark.parametrize("body", ["text", None, 5, {}, {"items": None}])
    def test_failed_calls_in_another_form_are_later(
        self, leaf: Leaf, server: Server, body: Any
    ) -> None:
        server.json("GET", FAILED, body)
        with pytest.raises(UpstreamUnavailable, match="the answer has no items"):
            leaf.webhooks.failed_calls()

    @pytest.mark.parametrize("name", ["400", "403", "429 with Retry-After", "503", "HTML", "reset"])
    @pytest.mark.parametrize(
        ("method", "path", "run"),
        [
            ("GET", WEBHOOKS, lambda leaf: leaf.webhooks.all(secret=SECRET)),
            ("POST", WEBHOOKS, create),
            ("DELETE", WEBHOOKS + "/w-1", lambda leaf: leaf.webhooks.delete("w-1")),
            ("GET", FAILED, lambda leaf: leaf.webhooks.failed_calls()),
        ],
        ids=["all", "create", "delete", "failed_calls"],
    )
    def test_failure_of_any_operation_becomes_the_error_of_the_table(
        self,
        leaf: Leaf,
        server: Server,
        method: str,
        path: str,
        run: Callable[[Leaf], object],
        name: str,
    ) -> None:
        server.fail(method, path, FAILURES[name])
        with pytest.raises(UpstreamError) as caught:
            run(leaf)
        FAILURES[name].check(caught.value, service="Leaf")


class Leafs:
    """Leaf's webhooks, each event once; `refuses` are events that it does not know."""

    def __init__(self, server: Server, *held: dict[str, Any]) -> None:
        self.held = list(held)
        self.refuses: set[str] = set()
        self.number = 0
        server.http.expect_request(WEBHOOKS, method="GET").respond_with_handler(
            lambda _: self._json([one for one in self.held if not one.get("unlisted")])
        )
        server.http.expect_request(WEBHOOKS, method="POST").respond_with_handler(self._create)
        for one in held:
            server.http.expect_request(
                f"{WEBHOOKS}/{one['id']}", method="DELETE"
            ).respond_with_handler(self._delete)

    def events(self) -> dict[str, str]:
        """Where each event goes."""
        return {event: one["url"] for one in self.held for event in one["events"]}

    def _create(self, request: Request) -> Response:
        body = request.get_json()
        if self.refuses & set(body["events"]):
            return self._json({"title": "Bad Request", "detail": "unknown event"}, 400)
        if self.events().keys() & set(body["events"]):
            return self._json(TWICE, 400)
        self.number += 1
        self.held.append(body | {"id": f"made-{self.number}"})
        return self._json(self.held[-1], 201)

    def _delete(self, request: Request) -> Response:
        self.held = [one for one in self.held if not request.path.endswith(f"/{one['id']}")]
        return Response(status=204)

    def _json(self, body: Any, status: int = 200) -> Response:
        return Response(json.dumps(body), status, content_type=JSON)


def register(leaf: Leaf) -> registration.Registered:
    return registration.register(leaf, url=URL, secret=SECRET)


class TestRegistering:
    def test_all_events_are_registered_once(self, leaf: Leaf, server: Server) -> None:
        there = Leafs(server)
        done = register(leaf)
        assert set(done.new) == ALL
        assert there.events() == dict.fromkeys(ALL, URL)
        assert {one["secret"] for one in there.held} == {SECRET}

        again = register(leaf)
        assert (again.new, set(again.before), again.is_complete) == ([], ALL, True)
        assert len(there.held) == 2

    def test_events_that_leaf_does_not_know_do_not_matter(self, leaf: Leaf, server: Server) -> None:
        there = Leafs(server)
        there.refuses = {*ORGANIZATION_EVENTS}
        done = register(leaf)
        assert (set(done.new), set(done.unknown)) == (BOTH, {*ORGANIZATION_EVENTS})
        assert done.is_complete
        assert there.events() == dict.fromkeys(BOTH, URL)

    def test_a_refusal_of_what_matters_is_an_error(self, leaf: Leaf, server: Server) -> None:
        there = Leafs(server)
        there.refuses = BOTH
        with pytest.raises(UpstreamRejected):
            register(leaf)

    def test_a_webhook_of_ours_with_an_old_secret_is_replaced(
        self, leaf: Leaf, server: Server
    ) -> None:
        there = Leafs(server, webhook(secret="the-secret-of-last-year"))
        done = register(leaf)
        assert set(done.new) == ALL
        assert {one["secret"] for one in there.held} == {SECRET}

    def test_a_webhook_of_ours_that_hides_its_secret_is_kept(
        self, leaf: Leaf, server: Server
    ) -> None:
        there = Leafs(server, webhook(secret=None))
        assert set(register(leaf).before) == BOTH
        assert there.held[0]["id"] == "w-1"

    def test_an_event_of_somebody_else_is_named_and_left_alone(
        self, leaf: Leaf, server: Server
    ) -> None:
        other = webhook(url="https://other.example/hook", events=[CREDENTIAL_EVENTS[0]])
        there = Leafs(server, other)
        done = register(leaf)
        assert not done.is_complete
        assert {event: found and found.id for event, found in done.elsewhere.items()} == {
            CREDENTIAL_EVENTS[0]: "w-1"
        }
        assert there.events()[CREDENTIAL_EVENTS[0]] == "https://other.example/hook"
        assert there.events()[CREDENTIAL_EVENTS[1]] == URL

    def test_an_event_that_leaf_says_is_taken_though_it_lists_nobody_is_told(
        self, leaf: Leaf, server: Server
    ) -> None:
        Leafs(server, webhook(url="https://other.example", unlisted=True))
        done = register(leaf)
        assert done.elsewhere == dict.fromkeys(CREDENTIAL_EVENTS)
        assert not done.is_complete

    def test_one_event_that_leaf_does_not_take_keeps_it_from_no_other(
        self, leaf: Leaf, server: Server
    ) -> None:
        taken, free = CREDENTIAL_EVENTS
        there = Leafs(server, webhook(url="https://other.example", events=[taken], unlisted=True))
        there.refuses = {ORGANIZATION_EVENTS[0]}
        done = register(leaf)
        assert done.elsewhere == {taken: None}
        assert not done.is_complete
        assert done.unknown == [ORGANIZATION_EVENTS[0]]
        assert set(done.new) == {free, *ORGANIZATION_EVENTS[1:]}
        assert {event for event, url in there.events().items() if url == URL} == set(done.new)

    def test_a_refused_sign_in_is_no_unknown_event(self, server: Server) -> None:
        statuses = [200, 401]
        server.http.expect_request(SIGN_IN).respond_with_handler(
            lambda _: Response('{"id_token": "token-1"}', statuses.pop(0), content_type=JSON)
        )
        server.json("GET", WEBHOOKS, [webhook()])
        server.json("POST", WEBHOOKS, {}, 401)
        with pytest.raises(SignInRefused):
            register(Leaf(server.url, "owner@example.com", "owner password", timeout=PATIENT))

    def test_only_ours_are_removed(self, leaf: Leaf, server: Server) -> None:
        other = webhook(id="w-2", url="https://other.example", events=["fieldCreated"])
        there = Leafs(server, webhook(), other)
        removed = registration.remove_ours(leaf, url=URL, secret=SECRET)
        assert [one.id for one in removed] == ["w-1"]
        assert [one["id"] for one in there.held] == ["w-2"]
