"""Leaf's client: what it sends, what it understands, and what every failure becomes."""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import pytest
from werkzeug import Request, Response

from onboarding.errors import (
    EnvironmentMismatch,
    InputInvalid,
    SignInRefused,
    UpstreamError,
    UpstreamRejected,
    UpstreamUnavailable,
)
from onboarding.http import Timeout
from onboarding.leaf import (
    Credential,
    CredentialEvent,
    Leaf,
    LeafOrganization,
    LeafOrganizations,
    LeafUser,
    OrganizationChoice,
    Report,
    Summary,
)
from onboarding.leaf.shapes import read_date
from onboarding.states import Environment, Health, SyncChoice
from tests.unit.failures import (
    FAILURES,
    PATIENT,
    Failure,
    Server,
    every_failure,
    everything_said,
)

SIGN_IN = "/api/authenticate"
API = "/services/usermanagement/api"
USERS = API + "/users"
USER = USERS + "/u-1"
CREDENTIALS = USER + "/john-deere-credentials"
STATUS = CREDENTIALS + "/status"
EVENTS = CREDENTIALS + "/events"
CONFIG = "/services/config/api/configs/u-1"
RESOURCES = "/services/integrations/api/resources"
SYNC = USER + "/JohnDeere/organizations"
REFRESH = "refresh-7Hq2Zx81kP0_wVbN3m"
SECRET = "secret-Zz91LmPq07_kkWw2"
ACCESS = "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiIxIn0.c2ln-YWNjZXNz"
NEWER = {
    "id": "c0ffee00-0000-4000-8000-000000000001",
    "status": "OK",
    "createdTime": "2026-03-09T10:20:30.123456Z",
    "tokenMetadata": {"scopes": ["ag1", "ag2"]},
    "clientKey": "client-key",
    "clientSecret": SECRET,
    "accessToken": ACCESS,
    "refreshToken": REFRESH,
    "clientEnvironment": "PRODUCTION",
}
OLDER = {
    "clientKey": "client-key",
    "clientSecret": SECRET,
    "tokenId": "token-id-0123456789",
    "tokenSecretKey": SECRET,
    "accessToken": ACCESS,
    "refreshToken": REFRESH,
    "status": "MISSING_PERMISSION",
    "clientEnvironment": "STAGE",
    "scopes": ["ag1", "files"],
}
UNUSABLE_IDS: tuple[Any, ...] = ("x" * 65, "nul\0", "half a pair: \ud800", True, [])
"""PostgreSQL refuses them, or the tables have no room."""
Build = Callable[..., Leaf]


@dataclass
class Clock:
    """Seconds since 1970, which pass when a test says so."""

    now: float = 1_700_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def build(server: Server, clock: Clock) -> Build:
    def make(timeout: Timeout = PATIENT) -> Leaf:
        return Leaf(server.url, "owner@example.com", "owner password", clock=clock, timeout=timeout)

    return make


@pytest.fixture
def leaf(build: Build, server: Server) -> Leaf:
    """A client whose sign-in works."""
    server.json("POST", SIGN_IN, {"id_token": "token-1"})
    return build()


def calls(server: Server) -> list[tuple[str, str]]:
    """Method and address of what was sent, the sign-in left out."""
    return [
        (request.method, request.full_path.removesuffix("?"))
        for request in server.sent
        if request.path != SIGN_IN
    ]


def sign_ins(server: Server) -> int:
    return sum(request.path == SIGN_IN for request in server.sent)


def jwt(**claims: Any) -> str:
    payload = base64.urlsafe_b64encode(json.dumps(claims).encode()).rstrip(b"=").decode()
    return f"e30.{payload}.c2ln"


def attach(leaf: Leaf, environment: Environment = Environment.STAGE) -> Credential:
    return leaf.attach(
        "u-1",
        client_key="client-key",
        client_secret=SECRET,
        refresh_token=REFRESH,
        environment=environment,
    )


class TestSignIn:
    def test_username_and_password_are_sent_and_the_token_is_used(
        self, leaf: Leaf, server: Server
    ) -> None:
        server.json("GET", CREDENTIALS, NEWER)
        leaf.credential("u-1")
        first, second = server.sent
        assert (first.method, first.path) == ("POST", "/api/authenticate")
        assert first.get_json() == {"username": "owner@example.com", "password": "owner password"}
        assert "Authorization" not in first.headers
        assert second.headers["Authorization"] == "Bearer token-1"
        assert second.headers["Accept"] == "application/json"

    def serve(self, server: Server, token: str) -> None:
        server.json("POST", SIGN_IN, {"id_token": token})
        server.json("GET", CREDENTIALS, NEWER)

    @pytest.mark.parametrize(
        ("claims", "seconds"),
        [
            ({"exp": 1_700_000_000 + 3600}, 3600 - 300),
            ({"exp": 1_700_000_000 + 60}, 30),
            ({"sub": "owner"}, 23 * 3600 - 300),
            ({"exp": "never"}, 23 * 3600 - 300),
        ],
    )
    def test_token_is_kept_until_shortly_before_it_expires(
        self, build: Build, server: Server, clock: Clock, claims: dict[str, Any], seconds: int
    ) -> None:
        self.serve(server, jwt(**claims))
        leaf = build()
        leaf.credential("u-1")
        clock.now += seconds - 1
        leaf.credential("u-1")
        assert sign_ins(server) == 1
        clock.now += 1
        leaf.credential("u-1")
        assert sign_ins(server) == 2

    @pytest.mark.parametrize("token", ["opaque", "a.b.c", "a.W10.c", "a.bnVsbA.c", "e30..c"])
    def test_token_that_does_not_say_is_kept_for_most_of_a_day(
        self, build: Build, server: Server, clock: Clock, token: str
    ) -> None:
        self.serve(server, token)
        leaf = build()
        leaf.credential("u-1")
        clock.now += 22 * 3600
        leaf.credential("u-1")
        assert sign_ins(server) == 1

    def test_401_is_answered_by_one_new_sign_in(self, build: Build, server: Server) -> None:
        for token in ("old", "new"):
            server.http.expect_ordered_request(SIGN_IN).respond_with_json({"id_token": token})
            status = 401 if token == "old" else 201
            server.http.expect_ordered_request(CREDENTIALS, method="POST").respond_with_json(
                NEWER, status=status
            )
        attach(build())
        assert [r.headers.get("Authorization") for r in server.sent] == [
            None,
            "Bearer old",
            None,
            "Bearer new",
        ]
        assert server.sent[1].get_json() == server.sent[3].get_json()

    def test_second_401_is_rejected(self, leaf: Leaf, server: Server) -> None:
        server.json("GET", CREDENTIALS, {}, status=401)
        with pytest.raises(UpstreamRejected) as caught:
            leaf.credential("u-1")
        assert caught.value.status == 401
        assert sign_ins(server) == 2

    def test_threads_share_one_sign_in_and_one_renewal(self, build: Build, server: Server) -> None:
        tokens = iter(["old", "new", "never"])
        barrier = threading.Barrier(8)

        def credential(request: Request) -> Response:
            if request.headers["Authorization"] == "Bearer new":
                return Response('{"id": "c-1"}')
            barrier.wait(20)
            return Response("{}", 401)

        server.http.expect_request(SIGN_IN).respond_with_handler(
            lambda _: Response(json.dumps({"id_token": next(tokens)}))
        )
        server.http.expect_request(CREDENTIALS).respond_with_handler(credential)
        leaf = build()
        with ThreadPoolExecutor(8) as pool:
            found = list(pool.map(lambda _: leaf.credential("u-1"), range(8)))
        assert [credential and credential.id for credential in found] == ["c-1"] * 8
        assert sign_ins(server) == 2

    @pytest.mark.parametrize("status", [400, 401, 403, 404, 422])
    def test_refusal_is_its_own_error_and_not_tried_again_for_a_minute(
        self, build: Build, server: Server, clock: Clock, status: int
    ) -> None:
        body = {"detail": "Bad credentials for 'owner password'"}
        server.json("POST", SIGN_IN, body, status=status)
        leaf = build()
        for _ in range(3):
            with pytest.raises(SignInRefused) as caught:
                leaf.credential("u-1")
            assert caught.value.reason == "Bad credentials for '***'"
            assert caught.value.status == status
            clock.now += 20
        assert len(server.sent) == 1
        clock.now += 1
        server.http.clear_all_handlers()
        self.serve(server, "token-1")
        assert leaf.credential("u-1") is not None

    @every_failure(but=("400", "401", "403", "404", "409", "422"))
    def test_outage_of_the_sign_in_is_later_and_not_tried_again_for_five_seconds(
        self, build: Build, server: Server, clock: Clock, failure: Failure
    ) -> None:
        server.fail("POST", SIGN_IN, failure)
        leaf = build(failure.timeout)
        for asked, seconds in ((1, 4), (1, 1), (2, 0)):
            with pytest.raises(UpstreamError) as caught:
                leaf.credential("u-1")
            failure.check(caught.value, service="Leaf")
            assert caught.value.action == "sign in"
            assert sign_ins(server) == asked
            clock.now += seconds

    def test_sign_in_works_again_after_an_outage(
        self, build: Build, server: Server, clock: Clock
    ) -> None:
        server.fail("POST", SIGN_IN, FAILURES["503"])
        leaf = build()
        with pytest.raises(UpstreamUnavailable):
            leaf.credential("u-1")
        server.http.clear_all_handlers()
        self.serve(server, "token-1")
        clock.now += 5
        assert leaf.credential("u-1") is not None

    def test_clock_that_is_put_back_keeps_nobody_from_signing_in(
        self, build: Build, server: Server, clock: Clock
    ) -> None:
        server.json("POST", SIGN_IN, {}, status=401)
        leaf = build()
        with pytest.raises(SignInRefused):
            leaf.credential("u-1")
        server.http.clear_all_handlers()
        self.serve(server, jwt(exp=clock.now + 3600))
        clock.now -= 60 * 86_400
        assert leaf.credential("u-1") is not None
        clock.now -= 60 * 86_400
        assert leaf.credential("u-1") is not None
        assert sign_ins(server) == 3, "what was signed later is not trusted either"

    def test_threads_that_wait_for_a_sign_in_that_hangs_share_its_failure(
        self, build: Build, server: Server
    ) -> None:
        server.fail("POST", SIGN_IN, FAILURES["timeout"])
        leaf = build(Timeout(connect=5, read=2, total=2))

        def failed(_: int) -> UpstreamError:
            with pytest.raises(UpstreamError) as caught:
                leaf.credential("u-1")
            return caught.value

        with ThreadPoolExecutor(8) as pool:
            errors = list(pool.map(failed, range(8)))
        for error in errors:
            FAILURES["timeout"].check(error, service="Leaf")
        assert len({id(error) for error in errors}) == 8
        assert sign_ins(server) == 1

    @pytest.mark.parametrize(
        "body", [{}, [], None, "text", {"id_token": None}, {"id_token": ""}, {"id_token": "a\nb"}]
    )
    def test_answer_without_a_token_is_later(self, build: Build, server: Server, body: Any) -> None:
        server.json("POST", SIGN_IN, body)
        with pytest.raises(UpstreamUnavailable, match="no id_token"):
            build().sign_in()

    def test_sign_in_asks_even_when_there_is_a_token(self, leaf: Leaf, server: Server) -> None:
        leaf.sign_in()
        leaf.sign_in()
        assert sign_ins(server) == 2


class TestUsers:
    def test_user_is_read_without_its_credentials(self, leaf: Leaf, server: Server) -> None:
        body = {"id": "u-1", "name": "Jane", "externalId": "g-1", "johnDeereCredentials": NEWER}
        server.json("GET", USERS, [body])
        found = LeafUser(id="u-1", external_id="g-1", name="Jane", is_connected=True)
        assert list(leaf.users(external_id="g-1")) == [found]

    def test_users_are_those_with_exactly_this_external_id(
        self, leaf: Leaf, server: Server
    ) -> None:
        body = [
            {"id": "1", "externalId": "grower-10"},
            {"id": "2", "externalId": "GROWER-1"},
            {"id": "3"},
            None,
            {"externalId": "grower-10", "id": UNUSABLE_IDS[0]},
            {"id": "4", "externalId": "grower-1", "name": "A"},
            {"id": "5", "externalId": "grower-1", "name": "B"},
        ]
        server.json("GET", USERS, body)
        found = [LeafUser("4", "grower-1", "A"), LeafUser("5", "grower-1", "B")]
        assert list(leaf.users(external_id="grower-1")) == found

    @pytest.mark.parametrize("body", [{}, *({"id": value} for value in UNUSABLE_IDS)])
    def test_user_whose_id_we_cannot_use_is_not_taken_for_none(
        self, leaf: Leaf, server: Server, body: dict[str, Any]
    ) -> None:
        unusable, usable = body | {"externalId": "g-1"}, {"id": "u-1", "externalId": "g-1"}
        server.json("GET", USERS, [unusable, usable])
        users = leaf.users(external_id="g-1")
        assert next(users).id == "u-1"
        with pytest.raises(UpstreamUnavailable, match="a user has no usable id"):
            next(users)

    def test_external_id_is_quoted(self, leaf: Leaf, server: Server) -> None:
        server.json("GET", USERS, [])
        assert list(leaf.users(external_id="a&b=c d")) == []
        assert calls(server) == [("GET", USERS + "?externalId=a%26b%3Dc+d&page=0&size=100")]

    @pytest.mark.parametrize("count", [True, False], ids=["X-Total-Count", "no count"])
    def test_every_page_is_searched(self, leaf: Leaf, server: Server, count: bool) -> None:
        def page(request: Request) -> Response:
            first = 100 * int(request.args["page"])
            users = [{"id": str(n), "externalId": f"g-{n}"} for n in range(first, first + 100)]
            headers = {"X-Total-Count": "230"} if count else {}
            return Response(json.dumps(users[: 230 - first]), headers=headers)

        server.http.expect_request(USERS).respond_with_handler(page)
        assert list(leaf.users(external_id="g-229")) == [LeafUser("229", "g-229", "")]
        assert list(leaf.users(external_id="g-230")) == []
        assert [request.args["page"] for request in server.sent[1:]] == list("012012")

    def test_endless_list_is_rejected_and_not_taken_for_none(
        self, leaf: Leaf, server: Server
    ) -> None:
        users = [{"id": str(n), "externalId": "other"} for n in range(100)]
        server.json("GET", USERS, users)
        with pytest.raises(UpstreamRejected, match="more than 100 pages"):
            list(leaf.users(external_id="g-1"))

    def test_create_sends_what_is_known(self, leaf: Leaf, server: Server) -> None:
        server.json("POST", USERS, {"id": "u-9", "externalId": "g-1", "name": "Jané"}, status=201)
        created = leaf.create_user(name="Jané", external_id="g-1", email="j@example.com")
        assert created == LeafUser("u-9", "g-1", "Jané")
        assert server.sent[-1].get_json() == {
            "name": "Jané",
            "externalId": "g-1",
            "email": "j@example.com",
        }
        leaf.create_user(name="Jané", external_id="g-1", phone="+1555")
        assert server.sent[-1].get_json() == {
            "name": "Jané",
            "externalId": "g-1",
            "phone": "+1555",
        }


class TestCredential:
    def test_newer_form_is_understood(self, leaf: Leaf, server: Server) -> None:
        server.json("GET", CREDENTIALS, NEWER)
        assert leaf.credential("u-1") == Credential(
            id="c0ffee00-0000-4000-8000-000000000001",
            health=Health.OK,
            raw_status="OK",
            created=datetime(2026, 3, 9, 10, 20, 30, 123456, tzinfo=UTC),
            scopes=frozenset({"ag1", "ag2"}),
            environment=Environment.PRODUCTION,
            client_key="client-key",
            holds_token=None,
        )

    def test_older_form_is_understood(self, leaf: Leaf, server: Server) -> None:
        server.json("GET", CREDENTIALS, OLDER)
        assert leaf.credential("u-1") == Credential(
            id=None,
            health=Health.MISSING_PERMISSION,
            raw_status="MISSING_PERMISSION",
            created=None,
            scopes=frozenset({"ag1", "files"}),
            environment=Environment.STAGE,
            client_key="client-key",
            holds_token=None,
        )

    @pytest.mark.parametrize(
        "odd",
        [
            {},
            {
                "id": None,
                "status": None,
                "createdTime": 5,
                "tokenMetadata": [],
                "scopes": {},
                "clientEnvironment": "MOON",
                "clientKey": ["0oa1"],
                "refreshToken": {},
            },
        ],
    )
    def test_absence_and_oddness_of_every_field_is_tolerated(
        self, leaf: Leaf, server: Server, odd: dict[str, Any]
    ) -> None:
        server.json("GET", CREDENTIALS, odd)
        nothing = Credential(None, Health.UNKNOWN, "", None, frozenset(), None, None, None)
        assert leaf.credential("u-1", refresh_token=REFRESH) == nothing

    @pytest.mark.parametrize(
        ("status", "health", "raw"),
        [
            ("OK", Health.OK, "OK"),
            ("UNAUTHENTICATED", Health.UNAUTHENTICATED, "UNAUTHENTICATED"),
            ("MISSING_PERMISSION", Health.MISSING_PERMISSION, "MISSING_PERMISSION"),
            ("TEMPORARILY_UNAVAILABLE", Health.TEMPORARILY_UNAVAILABLE, "TEMPORARILY_UNAVAILABLE"),
            ("UNKNOWN", Health.UNKNOWN, "UNKNOWN"),
            ("ok", Health.UNKNOWN, "ok"),
            ("OKAY", Health.UNKNOWN, "OKAY"),
            ("invalid", Health.UNKNOWN, "invalid"),
            ("being checked " * 9, Health.UNKNOWN, ("being checked " * 9)[:63] + "…"),
            (3, Health.UNKNOWN, "3"),
            (True, Health.UNKNOWN, ""),
            (["OK"], Health.UNKNOWN, ""),
            ({"OK": 1}, Health.UNKNOWN, ""),
            (f"OK {REFRESH}", Health.UNKNOWN, "OK ***"),
        ],
    )
    def test_only_a_known_status_is_a_health(
        self, leaf: Leaf, server: Server, status: Any, health: Health, raw: str
    ) -> None:
        server.json("GET", CREDENTIALS, NEWER | {"status": status})
        found = leaf.credential("u-1")
        assert found is not None
        assert (found.health, found.raw_status) == (health, raw)

    @pytest.mark.parametrize(
        ("shown", "asked", "holds"),
        [
            (REFRESH, REFRESH, True),
            (REFRESH + "x", REFRESH, False),
            ("ünï", REFRESH, False),
            ("half a pair: \ud800", REFRESH, False),
            (REFRESH, None, None),
            (None, REFRESH, None),
            ("", REFRESH, None),
            ("********", REFRESH, None),
            ("refr****", REFRESH, None),
        ],
    )
    def test_token_is_compared_when_leaf_shows_it(
        self, leaf: Leaf, server: Server, shown: Any, asked: str | None, holds: bool | None
    ) -> None:
        server.json("GET", CREDENTIALS, NEWER | {"refreshToken": shown})
        found = leaf.credential("u-1", refresh_token=asked)
        assert found is not None
        assert found.holds_token is holds

    @pytest.mark.parametrize("unusable", UNUSABLE_IDS)
    def test_id_that_we_cannot_use_counts_as_absent(
        self, leaf: Leaf, server: Server, unusable: Any
    ) -> None:
        server.json("GET", CREDENTIALS, NEWER | {"id": unusable})
        found = leaf.credential("u-1", refresh_token=REFRESH)
        assert found is not None
        assert (found.id, found.holds_token) == (None, True)

    def test_no_credential_is_none(self, leaf: Leaf, server: Server) -> None:
        server.http.expect_request(CREDENTIALS).respond_with_data("<h1>404</h1>", status=404)
        assert leaf.credential("u-1") is None

    @pytest.mark.parametrize("environment", Environment)
    def test_attach_sends_the_four_fields(
        self, leaf: Leaf, server: Server, environment: Environment
    ) -> None:
        server.json("POST", CREDENTIALS, NEWER, status=201)
        credential = attach(leaf, environment)
        assert credential.health is Health.OK
        assert credential.holds_token is True
        assert calls(server) == [("POST", CREDENTIALS)]
        assert server.sent[-1].mimetype == "application/json"
        assert server.sent[-1].get_json() == {
            "clientKey": "client-key",
            "clientSecret": SECRET,
            "refreshToken": REFRESH,
            "clientEnvironment": environment.value,
        }

    @pytest.mark.parametrize(("body", "status"), [(OLDER, 200), ({"status": "OK"}, 202), ({}, 201)])
    def test_any_2xx_with_an_object_is_attached(
        self, leaf: Leaf, server: Server, body: dict[str, Any], status: int
    ) -> None:
        server.json("POST", CREDENTIALS, body, status=status)
        assert attach(leaf).raw_status == body.get("status", "")

    @pytest.mark.parametrize(
        "reason",
        [
            "The environment does not match",
            "clientEnvironment must be PRODUCTION",
            "not a STAGE application",
            "invalid_client",
            "Application is not approved",
        ],
    )
    @pytest.mark.parametrize("status", [400, 403, 422])
    def test_refusal_that_smells_of_a_mismatch_says_so(
        self, leaf: Leaf, server: Server, reason: str, status: int
    ) -> None:
        server.json("POST", CREDENTIALS, {"message": reason}, status=status)
        with pytest.raises(EnvironmentMismatch) as caught:
            attach(leaf)
        assert caught.value.reason == reason
        assert caught.value.status == status

    @pytest.mark.parametrize(
        ("status", "reason"),
        [
            (400, "The refresh token is invalid"),
            (400, ""),
            (401, "the client is not signed in"),
            (404, "no such user of this application"),
            (409, "the client has credentials already"),
        ],
    )
    def test_other_refusals_are_just_rejected(
        self, leaf: Leaf, server: Server, status: int, reason: str
    ) -> None:
        server.json("POST", CREDENTIALS, {"message": reason}, status=status)
        with pytest.raises(UpstreamRejected) as caught:
            attach(leaf)
        assert type(caught.value) is UpstreamRejected
        assert (caught.value.status, caught.value.reason) == (status, reason)

    def test_refused_sign_in_is_no_mismatch_whatever_it_says(
        self, build: Build, server: Server
    ) -> None:
        server.json("POST", SIGN_IN, {"message": "Application user locked"}, status=403)
        with pytest.raises(SignInRefused) as caught:
            attach(build())
        assert caught.value.reason == "Application user locked"

    def test_post_is_sent_once_only(self, leaf: Leaf, server: Server) -> None:
        server.data("POST", CREDENTIALS, status=503)
        with pytest.raises(UpstreamUnavailable):
            attach(leaf)
        assert calls(server) == [("POST", CREDENTIALS)]

    @pytest.mark.parametrize(("status", "was_there"), [(204, True), (200, True), (404, False)])
    def test_detach_says_whether_there_was_one(
        self, leaf: Leaf, server: Server, status: int, was_there: bool
    ) -> None:
        server.data("DELETE", CREDENTIALS, status=status)
        assert leaf.detach("u-1") is was_there
        assert calls(server) == [("DELETE", CREDENTIALS)]


class TestHealth:
    @pytest.mark.parametrize(
        ("body", "report"),
        [
            ({"status": "OK"}, Report(Health.OK, "OK")),
            ({"message": "UNAUTHENTICATED"}, Report(Health.UNAUTHENTICATED, "UNAUTHENTICATED")),
            ("MISSING_PERMISSION", Report(Health.MISSING_PERMISSION, "MISSING_PERMISSION")),
            ({"status": "later"}, Report(Health.UNKNOWN, "later")),
            ({}, Report(Health.UNKNOWN, "")),
            (["OK"], Report(Health.UNKNOWN, "")),
            (None, Report(Health.UNKNOWN, "")),
        ],
    )
    def test_status_answer_is_the_report(
        self, leaf: Leaf, server: Server, body: Any, report: Report
    ) -> None:
        server.json("GET", STATUS, body)
        assert leaf.health("u-1") == report
        assert calls(server) == [("GET", STATUS)]

    def test_where_status_is_gone_the_credentials_own_counts_for_a_day(
        self, leaf: Leaf, server: Server, clock: Clock
    ) -> None:
        server.data("GET", STATUS, status=404)
        server.json("GET", CREDENTIALS, NEWER)
        report = Report(Health.OK, "OK", credential_id=str(NEWER["id"]))
        assert leaf.health("u-1") == report
        assert calls(server) == [("GET", STATUS), ("GET", CREDENTIALS)]
        clock.now += 23 * 3600
        assert leaf.health("u-1") == report
        assert calls(server)[2:] == [("GET", CREDENTIALS)]
        clock.now += 3600
        leaf.health("u-1")
        assert calls(server)[3:] == [("GET", STATUS), ("GET", CREDENTIALS)]
        clock.now -= 60 * 86_400  # put back
        leaf.health("u-1")
        assert ("GET", STATUS) in calls(server)[5:]

    @pytest.mark.parametrize("status", [403, 405, 410, 501])
    def test_status_is_gone_in_whatever_way_leaf_says_so(
        self, leaf: Leaf, server: Server, status: int
    ) -> None:
        server.data("GET", STATUS, status=status)
        server.json("GET", CREDENTIALS, NEWER)
        report = Report(Health.OK, "OK", credential_id=str(NEWER["id"]))
        assert [leaf.health("u-1") for _ in range(2)] == [report, report]
        assert calls(server) == [("GET", STATUS), ("GET", CREDENTIALS), ("GET", CREDENTIALS)]

    @pytest.mark.parametrize("status", [403, 405, 410])
    def test_refusal_of_the_credential_itself_does_not_mean_that_status_is_gone(
        self, leaf: Leaf, server: Server, status: int
    ) -> None:
        server.data("GET", STATUS, status=status)
        server.data("GET", CREDENTIALS, status=403)
        for _ in range(2):
            with pytest.raises(UpstreamRejected) as caught:
                leaf.health("u-1")
            assert caught.value.status == 403
        assert calls(server) == [("GET", STATUS), ("GET", CREDENTIALS)] * 2

    def test_404_of_both_is_no_credential_and_does_not_mean_that_status_is_gone(
        self, leaf: Leaf, server: Server
    ) -> None:
        server.data("GET", STATUS, status=404)
        server.data("GET", CREDENTIALS, status=404)
        assert leaf.health("u-1") is None
        assert leaf.health("u-1") is None
        assert calls(server) == [("GET", STATUS), ("GET", CREDENTIALS)] * 2

    def test_outage_of_status_is_later_and_nothing_else_is_asked(
        self, leaf: Leaf, server: Server
    ) -> None:
        server.data("GET", STATUS, status=503)
        with pytest.raises(UpstreamUnavailable):
            leaf.health("u-1")
        assert calls(server) == [("GET", STATUS)]


class TestEvents:
    def test_events_are_read_newest_first_without_headers_and_secrets(
        self, leaf: Leaf, server: Server
    ) -> None:
        body = [
            {
                "id": "e2",
                "statusCode": 400,
                "createdDate": "2026-03-09T10:20:30.123456Z",
                "headers": f"Authorization: Bearer {ACCESS}",
                "body": json.dumps({"error": "invalid_grant", "refresh_token": REFRESH}),
            },
            {"id": "e1", "statusCode": "200", "body": f'{{"access_token":"{ACCESS}"}}'},
            {"id": "e0", "statusCode": "int", "createdDate": "?", "body": None},
            None,
        ]
        server.json("GET", EVENTS, body)
        created = datetime(2026, 3, 9, 10, 20, 30, 123456, tzinfo=UTC)
        text = '{"error": "invalid_grant", "refresh_token": "***"}'
        assert list(leaf.events("u-1")) == [
            CredentialEvent("e2", 400, created, text),
            CredentialEvent("e1", 200, None, '{"access_token":"***"}'),
            CredentialEvent("e0", None, None, ""),
            CredentialEvent("", None, None, ""),
        ]
        assert calls(server) == [("GET", EVENTS + "?sort=createdDate%2Cdesc&page=0&size=100")]

    def test_pages_are_fetched_as_they_are_needed(self, leaf: Leaf, server: Server) -> None:
        server.http.expect_request(EVENTS).respond_with_handler(
            lambda request: Response(
                json.dumps([{"id": f"{request.args['page']}/{n}"} for n in range(100)]),
                headers={"X-Total-Count": "300"},
            )
        )
        events = leaf.events("u-1")
        assert calls(server) == []
        assert [next(events).id for _ in range(101)][-1] == "1/0"
        assert len(calls(server)) == 2
        assert len(list(events)) == 199
        assert len(calls(server)) == 3


class TestOrganizations:
    def test_both_lists_are_read(self, leaf: Leaf, server: Server) -> None:
        uri = "https://connections.deere.com/connections/key/connections-dialog?orgId=1"
        server.json(
            "GET",
            USER + "/organizations/JohnDeere",
            {
                "connectedOrganizations": [{"id": "1", "name": "Smith", "managementUri": uri}],
                "notConnectedOrganizations": [{"id": 2}, {"name": "without id"}, None],
            },
        )
        assert leaf.organizations("u-1") == LeafOrganizations(
            connected=(LeafOrganization("1", "Smith", uri),),
            not_connected=(LeafOrganization("2", "", None),),
        )

    def test_only_what_we_can_keep_is_taken_from_them(self, leaf: Leaf, server: Server) -> None:
        entries = [
            {"id": "1", "name": "Tab\tand\0nul\ud800 ", "managementUri": "https://nul\0/"},
            {"id": "x" * 64, "name": "n" * 301},
            *({"id": value, "name": "Smith"} for value in UNUSABLE_IDS),
        ]
        server.json("GET", USER + "/organizations/JohnDeere", {"connectedOrganizations": entries})
        assert leaf.organizations("u-1").connected == (
            LeafOrganization("1", "Tab and nul", None),
            LeafOrganization("x" * 64, "n" * 299 + "…", None),
        )

    @pytest.mark.parametrize("name", ["connectedOrganizations", "notConnectedOrganizations"])
    def test_one_missing_list_is_empty(self, leaf: Leaf, server: Server, name: str) -> None:
        server.json("GET", USER + "/organizations/JohnDeere", {name: []})
        assert leaf.organizations("u-1") == LeafOrganizations((), ())

    @pytest.mark.parametrize(
        "body", [{}, {"message": "in progress"}, {"connectedOrganizations": None}]
    )
    def test_an_answer_without_any_list_does_not_say_that_nothing_is_shared(
        self, leaf: Leaf, server: Server, body: Any
    ) -> None:
        server.json("GET", USER + "/organizations/JohnDeere", body)
        with pytest.raises(UpstreamUnavailable, match="the answer has no organizations"):
            leaf.organizations("u-1")

    def test_choices_of_every_page_are_read(self, leaf: Leaf, server: Server) -> None:
        def page(request: Request) -> Response:
            first = 100 * int(request.args["page"])
            words = ["SELECTED", "PREVIEW", "BLOCKED", "NEW", None]
            found = [
                {
                    "providerOrgId": f"{n:03}",
                    "providerOrgName": f"Farm {n}",
                    "status": words[n % 5],
                    "managementUri": "https://connections.deere.com/x",
                }
                for n in range(first, min(first + 100, 105))
            ]
            return Response(json.dumps([*found, {"status": "SELECTED"}]))

        server.http.expect_request(SYNC).respond_with_handler(page)
        choices = leaf.sync_choices("u-1")
        assert len(choices) == 105
        uri = "https://connections.deere.com/x"
        assert choices[100:] == (
            OrganizationChoice("100", "Farm 100", SyncChoice.SELECTED, uri),
            OrganizationChoice("101", "Farm 101", SyncChoice.PREVIEW, uri),
            OrganizationChoice("102", "Farm 102", SyncChoice.BLOCKED, uri),
            OrganizationChoice("103", "Farm 103", None, uri),
            OrganizationChoice("104", "Farm 104", None, uri),
        )

    @pytest.mark.parametrize("body", ["", "done", '{"status": "SELECTED"}', "[]"])
    def test_choice_is_set_in_the_path(self, leaf: Leaf, server: Server, body: str) -> None:
        server.data("PATCH", SYNC + "/0101/SELECTED", body)
        leaf.set_sync_choice("u-1", "0101", SyncChoice.SELECTED)
        assert calls(server) == [("PATCH", SYNC + "/0101/SELECTED")]
        assert server.sent[-1].get_data() == b""

    @pytest.mark.parametrize(("body", "status"), [("", 204), ("", 200), ("[]", 202), ("ok", 200)])
    def test_sync_is_asked_for(self, leaf: Leaf, server: Server, body: str, status: int) -> None:
        server.data("POST", SYNC + "/sync", body, status=status)
        leaf.sync_organizations("u-1")
        assert calls(server) == [("POST", SYNC + "/sync")]
        assert server.sent[-1].get_data() == b""

    def test_sync_that_ends_on_a_maintenance_page_has_not_happened(
        self, leaf: Leaf, server: Server
    ) -> None:
        server.http.expect_request(SYNC + "/sync").respond_with_data(
            "<p>Back soon</p>", content_type="text/html"
        )
        with pytest.raises(UpstreamUnavailable):
            leaf.sync_organizations("u-1")


class TestSummary:
    @pytest.mark.parametrize(
        ("summaries", "expected"),
        [
            ([{"provider": "JohnDeere", "growers": 2, "farms": 4, "fields": 37}], (2, 4, 37)),
            ([{"provider": "Trimble", "fields": 9}, {"provider": "JohnDeere"}], (0, 0, 0)),
            ([], (0, 0, 0)),
            ([{"growers": -1, "farms": 2**40, "fields": "many"}], (0, 0, 0)),
            ([None, {"provider": None, "growers": True, "farms": 1, "fields": 2}], (0, 1, 2)),
        ],
    )
    def test_john_deeres_part_counts(
        self, leaf: Leaf, server: Server, summaries: list[Any], expected: tuple[int, int, int]
    ) -> None:
        body = {"message": "SUCCESS", "summaries": summaries}
        query = {"leafUserId": "u-1", "provider": "JohnDeere"}
        server.json("GET", RESOURCES, body)
        assert leaf.summary("u-1") == Summary(*expected)
        assert server.sent[-1].args.to_dict() == query

    def test_an_answer_without_a_summary_is_no_zero(self, leaf: Leaf, server: Server) -> None:
        server.json("GET", RESOURCES, {"message": "SUCCESS"})
        with pytest.raises(UpstreamUnavailable, match="the answer has no summaries"):
            leaf.summary("u-1")


class TestConfiguration:
    @pytest.mark.parametrize(("stored", "method"), [(404, "POST"), (200, "PATCH")])
    def test_nothing_stored_is_created_and_something_is_updated(
        self, leaf: Leaf, server: Server, stored: int, method: str
    ) -> None:
        server.json("GET", CONFIG, {"fieldsAutoSync": True}, status=stored)
        server.json(method, CONFIG, {"organizationDataSync": "SELECTED_ONLY"})
        leaf.configure("u-1", organization_data_sync="SELECTED_ONLY")
        assert calls(server) == [("GET", CONFIG), (method, CONFIG)]
        assert server.sent[-1].get_json() == {"organizationDataSync": "SELECTED_ONLY"}


OPERATIONS: dict[str, tuple[str, str, Callable[[Leaf], Any]]] = {
    "users": ("GET", USERS, lambda leaf: list(leaf.users(external_id="g"))),
    "create_user": ("POST", USERS, lambda leaf: leaf.create_user(name="n", external_id="g")),
    "credential": ("GET", CREDENTIALS, lambda leaf: leaf.credential("u-1")),
    "attach": ("POST", CREDENTIALS, attach),
    "detach": ("DELETE", CREDENTIALS, lambda leaf: leaf.detach("u-1")),
    "health": ("GET", STATUS, lambda leaf: leaf.health("u-1")),
    "events": ("GET", EVENTS, lambda leaf: list(leaf.events("u-1"))),
    "organizations": (
        "GET",
        USER + "/organizations/JohnDeere",
        lambda leaf: leaf.organizations("u-1"),
    ),
    "sync_choices": ("GET", SYNC, lambda leaf: leaf.sync_choices("u-1")),
    "set_sync_choice": (
        "PATCH",
        SYNC + "/1/PREVIEW",
        lambda leaf: leaf.set_sync_choice("u-1", "1", SyncChoice.PREVIEW),
    ),
    "sync_organizations": ("POST", SYNC + "/sync", lambda leaf: leaf.sync_organizations("u-1")),
    "summary": ("GET", RESOURCES, lambda leaf: leaf.summary("u-1")),
    "configure": ("GET", CONFIG, lambda leaf: leaf.configure("u-1", organization_data_sync="ALL")),
}
LISTS = ("users", "events", "sync_choices")
OBJECTS = ("create_user", "credential", "attach", "organizations", "summary")
FOUR_OH_FOUR_IS_NONE = {"credential", "detach", "health", "configure"}
SHORT_TABLE = ("400", "403", "409", "422", "429 with Retry-After", "500", "503", "HTML", "reset")


class TestFailures:
    @every_failure()
    def test_failure_of_the_hand_over_becomes_the_error_of_the_table(
        self, build: Build, server: Server, failure: Failure
    ) -> None:
        server.json("POST", SIGN_IN, {"id_token": "token-1"})
        server.fail("POST", CREDENTIALS, failure)
        with pytest.raises(UpstreamError) as caught:
            attach(build(failure.timeout))
        failure.check(caught.value, service="Leaf")

    @pytest.mark.parametrize("operation", OPERATIONS)
    @pytest.mark.parametrize("name", SHORT_TABLE)
    def test_failure_of_any_operation_becomes_the_error_of_the_table(
        self, leaf: Leaf, server: Server, operation: str, name: str
    ) -> None:
        method, path, run = OPERATIONS[operation]
        server.fail(method, path, FAILURES[name])
        if operation == "health":  # what refuses the one may refuse the other
            server.fail("GET", CREDENTIALS, FAILURES[name])
        with pytest.raises(UpstreamError) as caught:
            run(leaf)
        FAILURES[name].check(caught.value, service="Leaf")

    @pytest.mark.parametrize("operation", sorted(OPERATIONS.keys() - FOUR_OH_FOUR_IS_NONE))
    def test_404_is_rejected_where_it_does_not_mean_none(
        self, leaf: Leaf, server: Server, operation: str
    ) -> None:
        method, path, run = OPERATIONS[operation]
        server.data(method, path, status=404)
        with pytest.raises(UpstreamRejected) as caught:
            run(leaf)
        assert caught.value.status == 404

    @pytest.mark.parametrize("body", [{}, "text", None, 5])
    @pytest.mark.parametrize("operation", LISTS)
    def test_anything_but_a_list_is_later(
        self, leaf: Leaf, server: Server, operation: str, body: Any
    ) -> None:
        method, path, run = OPERATIONS[operation]
        server.json(method, path, body)
        with pytest.raises(UpstreamUnavailable, match="the answer has no list"):
            run(leaf)

    @pytest.mark.parametrize("body", [[], [{"id": "u-1"}], "text", None, 5])
    @pytest.mark.parametrize("operation", OBJECTS)
    def test_anything_but_an_object_is_later(
        self, leaf: Leaf, server: Server, operation: str, body: Any
    ) -> None:
        method, path, run = OPERATIONS[operation]
        server.json(method, path, body)
        with pytest.raises(UpstreamUnavailable, match="the answer has no"):
            run(leaf)

    @pytest.mark.parametrize(
        "body", [{}, {"id": None}, {"id": ""}, {"id": {}}, *({"id": id_} for id_ in UNUSABLE_IDS)]
    )
    def test_created_user_without_an_id_is_later(
        self, leaf: Leaf, server: Server, body: Any
    ) -> None:
        server.json("POST", USERS, body)
        with pytest.raises(UpstreamUnavailable, match="the answer has no id"):
            leaf.create_user(name="n", external_id="g")


class TestPaths:
    @pytest.mark.parametrize(
        ("identifier", "quoted"),
        [
            ("a/b", "a%2Fb"),
            ("a b", "a%20b"),
            ("../../api", "..%2F..%2Fapi"),
            ("u?x=1#y", "u%3Fx%3D1%23y"),
            ("ü%", "%C3%BC%25"),
        ],
    )
    def test_ids_are_one_segment_each(
        self, leaf: Leaf, server: Server, identifier: str, quoted: str
    ) -> None:
        with pytest.raises(UpstreamError):
            leaf.detach(identifier)
        with pytest.raises(UpstreamError):
            leaf.set_sync_choice(identifier, identifier, SyncChoice.SELECTED)
        with pytest.raises(UpstreamError):
            leaf.configure(identifier, organization_data_sync="ALL")
        assert [request.environ["REQUEST_URI"] for request in server.sent[1:]] == [
            f"{USERS}/{quoted}/john-deere-credentials",
            f"{USERS}/{quoted}/JohnDeere/organizations/{quoted}/SELECTED",
            f"/services/config/api/configs/{quoted}",
        ]

    @pytest.mark.parametrize("identifier", ["", ".", ".."])
    def test_ids_that_would_climb_the_path_are_refused_unsent(
        self, leaf: Leaf, server: Server, identifier: str
    ) -> None:
        with pytest.raises(InputInvalid):
            leaf.credential(identifier)
        with pytest.raises(InputInvalid):
            leaf.set_sync_choice("u-1", identifier, SyncChoice.SELECTED)
        assert server.sent == []


class TestDates:
    @pytest.mark.parametrize(
        ("text", "micros"),
        [
            ("2026-03-09T10:20:30.123456Z", 123456),
            ("2026-03-09T10:20:30.123Z", 123000),
            ("2026-03-09T10:20:30Z", 0),
            ("2026-03-09T10:20:30.123456789Z", 123456),
            ("2026-03-09T10:20:30.530259", 530259),
            ("2026-03-09T10:20:30", 0),
            ("2026-03-09T12:20:30.5+02:00", 500000),
            ("2026-03-09T05:20:30-0500", 0),
        ],
    )
    def test_every_form_that_leaf_uses_is_read_as_utc(self, text: str, micros: int) -> None:
        read = read_date(text)
        assert read == datetime(2026, 3, 9, 10, 20, 30, micros, tzinfo=UTC)
        assert read is not None
        assert read.tzinfo is UTC

    @pytest.mark.parametrize(
        "value",
        [
            *["", "yesterday", "2026-13-09T10:20:30Z", "2026-03-09", None, 5, [], {}],
            "0001-01-01T00:00:00+14:00",
        ],
    )
    def test_anything_else_is_none(self, value: Any) -> None:
        assert read_date(value) is None


PLANTED = "planted-4Kq9Zr7xW2_mNbVc81"


def planted(value: Any) -> Any:
    """The same answer with a token in every text that is not among the named fields."""
    if isinstance(value, dict):
        kept = {"id", "createdTime", "clientEnvironment", "clientKey", "status"}
        return {k: v if k in kept else planted(v) for k, v in value.items()}
    if isinstance(value, list):
        return [planted(item) for item in value]
    return PLANTED


class TestSecrets:
    @pytest.mark.parametrize("form", [NEWER, OLDER])
    def test_only_named_fields_leave_and_nothing_is_logged(
        self, leaf: Leaf, server: Server, form: dict[str, Any], loud: pytest.LogCaptureFixture
    ) -> None:
        body = planted(form | {"unknown": {"deep": ["x"]}}) | {"scopes": [], "tokenMetadata": {}}
        server.json("GET", CREDENTIALS, body)
        user = {"id": "u-1", "name": "Jane", "externalId": "g", "johnDeereCredentials": body}
        server.json("GET", USERS, [user])
        server.json("GET", EVENTS, [{"id": "e", "headers": PLANTED, "body": json.dumps(body)}])
        said = [
            leaf.credential("u-1", refresh_token=REFRESH),
            *leaf.users(external_id="g"),
            *leaf.events("u-1"),
        ]
        assert PLANTED not in repr(said)
        assert PLANTED not in str([vars(thing) for thing in said])
        assert PLANTED not in loud.text

    @pytest.mark.parametrize("status", [200, 302, 400, 401, 403, 404, 409, 429, 500])
    @pytest.mark.parametrize("key", ["title", "error", "detail", "message", "error_description"])
    def test_error_says_no_secret_wherever_it_was(
        self, leaf: Leaf, server: Server, status: int, key: str, loud: pytest.LogCaptureFixture
    ) -> None:
        everything = f"{PLANTED} {SECRET} {REFRESH} {ACCESS} token-1 owner password"
        body = {key: everything, "refreshToken": REFRESH, "errors": [{"message": everything}]}
        answer = [body] if status == 200 else body
        server.json("POST", CREDENTIALS, answer, status=status, Location="/?t=" + PLANTED)
        with pytest.raises(UpstreamError) as caught:
            attach(leaf)
        for secret in (PLANTED, SECRET, REFRESH, ACCESS, "token-1"):
            assert secret not in everything_said(caught.value)
            assert secret not in loud.text

    def test_refused_sign_in_says_no_password(
        self, build: Build, server: Server, loud: pytest.LogCaptureFixture
    ) -> None:
        server.json("POST", SIGN_IN, {"detail": "not owner password"}, status=401)
        leaf = build()
        for _ in range(2):
            with pytest.raises(SignInRefused) as caught:
                leaf.sign_in()
            assert "owner password" not in everything_said(caught.value)
        assert "owner password" not in loud.text

    def test_repr_of_the_client_shows_nothing(self, leaf: Leaf) -> None:
        assert "password" not in repr(leaf)
