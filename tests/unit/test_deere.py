"""John Deere's client: what it sends, what it understands, and what every failure becomes."""

from __future__ import annotations

import base64
import hashlib
import json
import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, parse_qsl, urlsplit

import pytest
from pytest_httpserver import URIPattern
from werkzeug import Request, Response

from onboarding.deere import Deere, Organization, Tokens, quiet_logs
from onboarding.errors import (
    CodeRefused,
    OrganizationsLeftOut,
    SignInRefused,
    TermsNotAccepted,
    UpstreamError,
    UpstreamRejected,
    UpstreamUnavailable,
)
from onboarding.http import Timeout
from onboarding.settings import WELL_KNOWN
from tests.unit.conftest import ISSUER_PATH, SettingsFor
from tests.unit.failures import (
    FAILURES,
    HANG_LIMIT,
    IMPATIENT,
    PATIENT,
    Failure,
    Server,
    every_failure,
    everything_said,
)

METADATA_PATH = ISSUER_PATH + WELL_KNOWN
TOKEN_PATH = ISSUER_PATH + "/v1/token"
AUTHORIZE_PATH = ISSUER_PATH + "/v1/authorize"
ORGANIZATIONS_PATH = "/platform/organizations"
STATE = "Ab0_-.,x" * 5
VERIFIER = "verifier-0123456789-0123456789-0123456789-abc"
CODE = "code-9Qx7z2LkM4_aBcDeF"
ACCESS = "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiIxIn0.c2ln-YWNjZXNz"
REFRESH = "refresh-7Hq2Zx81kP0_wVbN3m"
DEERE = "https://connections.deere.com/connections/28efb3cb/"
REDIRECT = "https://connect.example/deere/organizations"
TOKENS = {
    "token_type": "Bearer",
    "expires_in": 43200,
    "access_token": ACCESS,
    "scope": "org1 offline_access ag1",
    "refresh_token": REFRESH,
}


@dataclass
class Kept:
    """What the caller of `Deere` keeps: the last good metadata."""

    text: str | None = None
    stored: list[str] = field(default_factory=list)

    def remember(self, text: str) -> None:
        self.text = text
        self.stored.append(text)


@dataclass
class Clock:
    """Seconds since 1970, which pass when a test says so."""

    now: float = 1_700_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def kept() -> Kept:
    return Kept()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def build(
    server: Server, settings_for: SettingsFor, kept: Kept, clock: Clock
) -> Callable[..., Deere]:
    def make(timeout: Timeout = PATIENT, **fields: Any) -> Deere:
        return Deere(
            settings_for(server.http, **fields),
            remembered=lambda: kept.text,
            remember=kept.remember,
            clock=clock,
            metadata_timeout=timeout,
            token_timeout=timeout,
            api_timeout=timeout,
        )

    return make


@pytest.fixture
def deere(build: Callable[..., Deere]) -> Deere:
    return build()


def metadata(server: Server, **changed: Any) -> dict[str, Any]:
    """Recorded from John Deere, shortened."""
    issuer = server.url + ISSUER_PATH
    return {
        "issuer": issuer,
        "authorization_endpoint": issuer + "/v1/authorize",
        "token_endpoint": issuer + "/v1/token",
        "revocation_endpoint": issuer + "/v1/revoke",
        "code_challenge_methods_supported": ["S256"],
    } | changed


def serve_metadata(server: Server, cache: str = "max-age=86400", **changed: Any) -> None:
    server.json("GET", METADATA_PATH, metadata(server, **changed), Cache_Control=cache)


def exchange(deere: Deere) -> Tokens:
    return deere.exchange(code=CODE, code_verifier=VERIFIER)


def fetches(server: Server) -> int:
    return sum(request.path == METADATA_PATH for request in server.sent)


class TestConsentUrl:
    def query(self, deere: Deere, **more: Any) -> dict[str, str]:
        url = deere.consent_url(state=STATE, code_verifier=VERIFIER, **more)
        pairs = parse_qsl(urlsplit(url).query, strict_parsing=True)
        assert len(pairs) == len(dict(pairs))
        return dict(pairs)

    def test_it_asks_for_a_code_with_pkce_s256_and_state_unchanged(
        self, deere: Deere, server: Server
    ) -> None:
        serve_metadata(server)
        digest = hashlib.sha256(VERIFIER.encode()).digest()
        assert self.query(deere) == {
            "response_type": "code",
            "client_id": "client-key",
            "redirect_uri": "https://connect.example/deere/callback",
            "scope": "ag1 org1 offline_access",
            "state": STATE,
            "code_challenge": base64.urlsafe_b64encode(digest).rstrip(b"=").decode(),
            "code_challenge_method": "S256",
        }

    def test_prompt_is_passed_on(self, deere: Deere, server: Server) -> None:
        serve_metadata(server)
        assert self.query(deere, prompt="login")["prompt"] == "login"

    def test_it_leads_to_the_endpoint_that_the_metadata_names(
        self, deere: Deere, server: Server
    ) -> None:
        serve_metadata(server, authorization_endpoint=server.url + "/new/authorize")
        url = deere.consent_url(state=STATE, code_verifier=VERIFIER)
        assert url.startswith(server.url + "/new/authorize?")

    def test_secret_and_verifier_are_not_in_it(self, deere: Deere, server: Server) -> None:
        serve_metadata(server)
        url = deere.consent_url(state=STATE, code_verifier=VERIFIER)
        assert VERIFIER not in url
        assert "client-secret" not in url


class TestMetadata:
    @every_failure()
    def test_failed_fetch_falls_back_to_the_built_in_copy(
        self,
        build: Callable[..., Deere],
        server: Server,
        failure: Failure,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        server.fail("GET", METADATA_PATH, failure)
        url = build(failure.timeout).consent_url(state=STATE, code_verifier=VERIFIER)
        assert url.startswith(server.url + AUTHORIZE_PATH + "?")
        assert "read the sign-in's metadata" in caplog.text

    def test_failed_fetch_falls_back_to_the_last_good_copy_first(
        self, deere: Deere, server: Server, kept: Kept
    ) -> None:
        kept.text = json.dumps(metadata(server, token_endpoint=server.url + "/moved/token"))
        server.data("GET", METADATA_PATH, status=503)
        assert deere.metadata()["token_endpoint"] == server.url + "/moved/token"

    def test_good_copy_is_remembered_with_what_is_used_of_it(
        self, deere: Deere, server: Server, kept: Kept
    ) -> None:
        serve_metadata(server)
        deere.metadata()
        assert [json.loads(text) for text in kept.stored] == [deere.metadata()]
        assert set(deere.metadata()) == {"issuer", "authorization_endpoint", "token_endpoint"}

    @pytest.mark.parametrize("stored", ["{", "[]", '{"issuer": "https://other.example"}'])
    def test_stored_copy_of_no_use_gives_way_to_the_built_in_one(
        self, deere: Deere, server: Server, kept: Kept, stored: str
    ) -> None:
        kept.text = stored
        server.data("GET", METADATA_PATH, status=503)
        assert deere.metadata()["token_endpoint"] == server.url + TOKEN_PATH

    @pytest.mark.parametrize(
        "changed",
        [
            {"issuer": "https://signin.example/oauth2/aus78tnlaysMraFhC1t7"},
            {"issuer": None},
            {"token_endpoint": "https://signin.example/v1/token"},
            {"authorization_endpoint": "http://127.0.0.1:1/v1/authorize"},
            {"token_endpoint": "http://signin.example\\@127.0.0.1/v1/token"},
            {"token_endpoint": None},
            {"token_endpoint": "http://[/"},
        ],
    )
    def test_wrong_issuer_or_host_is_refused_logged_and_not_remembered(
        self,
        deere: Deere,
        server: Server,
        kept: Kept,
        changed: dict[str, Any],
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        serve_metadata(server, **changed)
        assert deere.metadata()["token_endpoint"] == server.url + TOKEN_PATH
        assert kept.stored == []
        assert "the metadata" in caplog.text
        with pytest.raises(UpstreamRejected, match="the metadata"):
            deere.check_metadata()

    def test_json_that_is_no_object_is_refused(self, deere: Deere, server: Server) -> None:
        server.json("GET", METADATA_PATH, ["list"])
        with pytest.raises(UpstreamRejected, match="another issuer"):
            deere.check_metadata()

    @pytest.mark.parametrize(
        ("cache", "seconds"),
        [
            ("max-age=600, must-revalidate", 600),
            ("max-age=86400, must-revalidate", 86400),
            ("public, max-age=999999999", 86400),
            ("max-age=0", 60),
            ("no-cache", 86400),
        ],
    )
    def test_copy_is_used_for_as_long_as_john_deere_allows(
        self, deere: Deere, server: Server, clock: Clock, cache: str, seconds: int
    ) -> None:
        serve_metadata(server, cache)
        deere.metadata()
        clock.now += seconds - 1
        deere.metadata()
        assert fetches(server) == 1
        clock.now += 1
        deere.metadata()
        assert fetches(server) == 2

    def test_failed_fetch_is_not_repeated_for_a_minute(
        self, deere: Deere, server: Server, clock: Clock
    ) -> None:
        server.data("GET", METADATA_PATH, status=503)
        deere.metadata()
        clock.now += 59
        deere.metadata()
        assert fetches(server) == 1
        clock.now += 1
        server.http.clear_all_handlers()
        serve_metadata(server, token_endpoint=server.url + "/moved/token")
        assert deere.metadata()["token_endpoint"] == server.url + "/moved/token"

    def test_clock_that_is_put_back_makes_no_copy_last_longer(
        self, deere: Deere, server: Server, clock: Clock
    ) -> None:
        serve_metadata(server)
        deere.metadata()
        clock.now -= 60 * 86_400
        deere.metadata()
        assert fetches(server) == 2

    def test_copy_outlives_an_outage(self, deere: Deere, server: Server, clock: Clock) -> None:
        serve_metadata(server, token_endpoint=server.url + "/moved/token")
        deere.metadata()
        clock.now += 86400
        server.http.clear_all_handlers()
        server.data("GET", METADATA_PATH, status=503)
        assert deere.metadata()["token_endpoint"] == server.url + "/moved/token"

    def test_nobody_waits_while_another_fetches(self, deere: Deere, server: Server) -> None:
        asked = threading.Event()

        def hang(_: Request) -> Response:
            asked.set()
            server.released.wait(20)
            return Response("{}")

        server.http.expect_request(METADATA_PATH).respond_with_handler(hang)
        first = threading.Thread(target=deere.metadata)
        first.start()
        assert asked.wait(10)
        assert deere.metadata()["token_endpoint"] == server.url + TOKEN_PATH
        assert not server.released.is_set()
        server.released.set()
        first.join()

    def test_check_passes_when_all_is_well_and_raises_during_an_outage(
        self, deere: Deere, server: Server
    ) -> None:
        server.http.expect_ordered_request(METADATA_PATH).respond_with_json(metadata(server))
        server.http.expect_ordered_request(METADATA_PATH).respond_with_data(status=503)
        deere.check_metadata()
        with pytest.raises(UpstreamUnavailable):
            deere.check_metadata()


class TestExchange:
    def test_code_and_verifier_go_out_with_basic_authentication_only(
        self, deere: Deere, server: Server
    ) -> None:
        server.json("POST", TOKEN_PATH, TOKENS)
        exchange(deere)
        sent = server.sent[-1]
        assert (sent.method, sent.full_path) == ("POST", TOKEN_PATH + "?")
        assert sent.headers["Authorization"] == "Basic " + base64.b64encode(
            b"client-key:client-secret"
        ).decode("ascii")
        assert sent.mimetype == "application/x-www-form-urlencoded"
        assert sent.headers["Accept"] == "application/json"
        assert dict(sent.form.lists()) == {
            "grant_type": ["authorization_code"],
            "redirect_uri": ["https://connect.example/deere/callback"],
            "code": [CODE],
            "code_verifier": [VERIFIER],
        }

    def test_redirect_uri_is_the_same_in_both_requests(self, deere: Deere, server: Server) -> None:
        serve_metadata(server)
        server.json("POST", TOKEN_PATH, TOKENS)
        url = deere.consent_url(state=STATE, code_verifier=VERIFIER)
        exchange(deere)
        asked = parse_qs(urlsplit(url).query)["redirect_uri"]
        assert server.sent[-1].form.getlist("redirect_uri") == asked

    def test_both_tokens_scopes_and_lifetime_are_read(self, deere: Deere, server: Server) -> None:
        server.json("POST", TOKEN_PATH, TOKENS)
        assert exchange(deere) == Tokens(
            access_token=ACCESS,
            refresh_token=REFRESH,
            scopes=frozenset({"ag1", "org1", "offline_access"}),
            expires_in=43200,
        )

    def test_repr_shows_no_token(self, deere: Deere, server: Server) -> None:
        server.json("POST", TOKEN_PATH, TOKENS)
        shown = repr(exchange(deere))
        assert ACCESS not in shown
        assert REFRESH not in shown

    @pytest.mark.parametrize(
        "answer",
        [
            {},
            {"refresh_token": None},
            {"refresh_token": ""},
            {"refresh_token": 5},
            {"refresh_token": "\ud800"},
            {"refresh_token": "two\nlines"},
        ],
    )
    def test_no_refresh_token_is_none(
        self, deere: Deere, server: Server, answer: dict[str, Any]
    ) -> None:
        server.json("POST", TOKEN_PATH, {"access_token": ACCESS} | answer)
        assert exchange(deere).refresh_token is None

    def test_without_scope_what_was_asked_for_is_granted(
        self, deere: Deere, server: Server
    ) -> None:
        server.json("POST", TOKEN_PATH, {"access_token": ACCESS})
        assert exchange(deere).scopes == {"ag1", "org1", "offline_access"}

    def test_fewer_scopes_than_asked_for_are_told(self, deere: Deere, server: Server) -> None:
        server.json("POST", TOKEN_PATH, TOKENS | {"scope": "ag1"})
        assert exchange(deere).scopes == {"ag1"}

    @pytest.mark.parametrize(
        ("value", "seconds"),
        [
            (3600, 3600),
            (43200.0, 43200),
            (59.9, 59),
            ("3600", 3600),
            ("43200.0", 43200),
            (0, 0),
            (None, None),
            ("", None),
            ("soon", None),
            ([], None),
            (True, None),
            (-5, None),
            ("-1", None),
            (1e300, None),
            pytest.param(10**400, None, id="401 digits"),
            ("inf", None),
            (float("nan"), None),
        ],
    )
    def test_lifetime_is_seconds_or_not_said(
        self, deere: Deere, server: Server, value: Any, seconds: int | None
    ) -> None:
        body = json.dumps({"access_token": ACCESS, "expires_in": value})
        server.data("POST", TOKEN_PATH, body)
        assert exchange(deere).expires_in == seconds

    def test_lifetime_that_is_left_out_is_not_said(self, deere: Deere, server: Server) -> None:
        server.json("POST", TOKEN_PATH, {"access_token": ACCESS})
        assert exchange(deere).expires_in is None

    @every_failure(but=("401",))
    def test_failure_becomes_the_error_of_the_table(
        self, build: Callable[..., Deere], server: Server, failure: Failure
    ) -> None:
        server.fail("POST", TOKEN_PATH, failure)
        with pytest.raises(UpstreamError) as caught:
            exchange(build(failure.timeout))
        failure.check(caught.value, service="John Deere")

    def test_silence_ends_at_the_deadline_if_that_comes_first(
        self, build: Callable[..., Deere], server: Server
    ) -> None:
        server.fail("POST", TOKEN_PATH, FAILURES["timeout"])
        began = time.monotonic()
        with pytest.raises(UpstreamUnavailable, match="no answer in time"):
            exchange(build(Timeout(connect=5, read=15, total=0.5)))
        assert time.monotonic() - began < 12

    @pytest.mark.parametrize(
        ("status", "body", "raises", "reason"),
        [
            (400, {"error": "invalid_grant", "error_description": "used"}, CodeRefused, "used"),
            (400, {"error": "invalid_client"}, SignInRefused, "invalid_client"),
            (401, {"error": "invalid_client", "error_description": "no"}, SignInRefused, "no"),
            (401, {}, SignInRefused, ""),
            (401, ["list"], SignInRefused, ""),
            (400, {"error": "invalid_request"}, UpstreamRejected, "invalid_request"),
            (400, {"error": "invalid_grant\n\u2028 «»"}, UpstreamRejected, "invalid_grant «»"),
            (400, {"error": {"a": 1}}, UpstreamRejected, ""),
            (400, {"access_token": ACCESS, "refresh_token": REFRESH}, UpstreamRejected, ""),
            (400, ["list"], UpstreamRejected, ""),
            (403, {"error": "invalid_grant"}, UpstreamRejected, "invalid_grant"),
            (200, {"error": "invalid_grant"}, UpstreamUnavailable, "no access_token"),
            (200, {}, UpstreamUnavailable, "no access_token"),
            (200, {"refresh_token": REFRESH}, UpstreamUnavailable, "no access_token"),
            (200, {"access_token": ""}, UpstreamUnavailable, "no access_token"),
            (200, {"access_token": "a\nb"}, UpstreamUnavailable, "no access_token"),
            (200, {"access_token": ["x"]}, UpstreamUnavailable, "no access_token"),
            (200, ["list"], UpstreamUnavailable, "no access_token"),
            (200, "text", UpstreamUnavailable, "no access_token"),
            (200, None, UpstreamUnavailable, "no access_token"),
        ],
    )
    def test_answer_that_is_no_token_is_an_error(
        self,
        deere: Deere,
        server: Server,
        status: int,
        body: Any,
        raises: type[UpstreamError],
        reason: str,
    ) -> None:
        server.json("POST", TOKEN_PATH, body, status=status)
        with pytest.raises(UpstreamError) as caught:
            exchange(deere)
        assert type(caught.value) is raises
        assert caught.value.status == status
        assert reason in caught.value.reason

    def test_200_that_is_no_json_is_later(self, deere: Deere, server: Server) -> None:
        server.data("POST", TOKEN_PATH, "access_token=abc&refresh_token=def")
        with pytest.raises(UpstreamUnavailable):
            exchange(deere)

    def test_400_of_html_is_rejected_without_its_text(self, deere: Deere, server: Server) -> None:
        server.http.expect_request(TOKEN_PATH).respond_with_data("<h1>Bad</h1>", status=400)
        with pytest.raises(UpstreamRejected) as caught:
            exchange(deere)
        assert caught.value.reason == ""

    def test_timeout_limits_the_token_call(
        self, build: Callable[..., Deere], server: Server
    ) -> None:
        server.http.expect_request(TOKEN_PATH).respond_with_handler(
            lambda _: Response("{}" if server.released.wait(20) else "")
        )
        began = time.monotonic()
        with pytest.raises(UpstreamUnavailable, match="no answer in time"):
            exchange(build(IMPATIENT))
        assert time.monotonic() - began < 12

    def test_code_is_sent_once_only(self, deere: Deere, server: Server) -> None:
        server.data("POST", TOKEN_PATH, status=503)
        with pytest.raises(UpstreamUnavailable):
            exchange(deere)
        assert [request.method for request in server.sent].count("POST") == 1

    def test_metadata_is_not_fetched_while_the_code_gets_old(
        self, deere: Deere, server: Server
    ) -> None:
        server.json("POST", TOKEN_PATH, TOKENS)
        assert exchange(deere).refresh_token == REFRESH
        assert fetches(server) == 0

    def test_endpoint_is_the_one_that_another_process_remembered(
        self, deere: Deere, server: Server, kept: Kept
    ) -> None:
        kept.text = json.dumps(metadata(server, token_endpoint=server.url + "/moved/token"))
        server.json("POST", "/moved/token", TOKENS)
        assert exchange(deere).refresh_token == REFRESH

    @pytest.mark.parametrize("status", [200, 400, 401, 403, 500])
    def test_error_says_no_secret_wherever_it_was(
        self, deere: Deere, server: Server, status: int, loud: pytest.LogCaptureFixture
    ) -> None:
        planted = f"{CODE} {VERIFIER} client-secret {REFRESH}"
        texts = dict.fromkeys(
            ("error", "error_description", "title", "detail", "message", "refresh_token"), planted
        )
        server.json("POST", TOKEN_PATH, texts, status=status, X_Token=REFRESH)
        with pytest.raises(UpstreamError) as caught:
            exchange(deere)
        for secret in (CODE, VERIFIER, "client-secret", REFRESH):
            assert secret not in everything_said(caught.value)
            assert secret not in loud.text

    def test_broken_call_says_no_secret(
        self, deere: Deere, settings_for: SettingsFor, server: Server
    ) -> None:
        nowhere = Deere(
            settings_for(server.http, deere_metadata_url="http://127.0.0.1:1" + METADATA_PATH),
            remembered=lambda: None,
            remember=lambda _: None,
        )
        with pytest.raises(UpstreamUnavailable) as caught:
            exchange(nowhere)
        assert caught.value.__context__ is None
        for secret in (CODE, VERIFIER, "client-secret"):
            assert secret not in everything_said(caught.value)


class TestLogs:
    def test_neither_verifier_nor_code_nor_token_is_logged_even_at_debug(
        self, deere: Deere, server: Server, loud: pytest.LogCaptureFixture
    ) -> None:
        quiet_logs()
        serve_metadata(server)
        server.json("POST", TOKEN_PATH, TOKENS)
        server.json("GET", ORGANIZATIONS_PATH, {"values": []})
        deere.consent_url(state=STATE, code_verifier=VERIFIER)
        deere.organizations(exchange(deere).access_token)
        for secret in (STATE, VERIFIER, CODE, ACCESS, REFRESH, "client-secret"):
            assert secret not in loud.text

    @pytest.mark.usefixtures("loud")
    @pytest.mark.parametrize(
        "name", ["authlib.integrations.base_client.sync_app", "urllib3.connectionpool"]
    )
    def test_libraries_that_would_log_them_are_quiet(self, name: str) -> None:
        assert logging.getLogger(name).isEnabledFor(logging.DEBUG)
        quiet_logs()
        assert not logging.getLogger(name).isEnabledFor(logging.DEBUG)
        assert logging.getLogger(name).isEnabledFor(logging.INFO)


def organization(number: int | str, *rels: str, **more: Any) -> dict[str, Any]:
    """As in John Deere's specification (organizations.yaml)."""
    uris = {
        "connections": DEERE + "select-organizations",
        "manage_connections": f"{DEERE}connections-dialog?orgId={number}",
        "manage_connection": f"{DEERE}connections-dialog?orgId={number}",
    }
    links = [{"@type": "Link", "rel": r, "uri": uris.get(r, "https://api.example/")} for r in rels]
    return {
        "@type": "Organization",
        "id": str(number),
        "name": f"Farm {number}",
        "member": True,
        "links": links,
    } | more


class Under(URIPattern):
    """Any path that begins with this one."""

    def __init__(self, beginning: str) -> None:
        self.beginning = beginning

    def match(self, uri: str) -> bool:
        return uri.startswith(self.beginning)


class TestOrganizations:
    def read(self, deere: Deere, server: Server, *values: Any) -> tuple[Organization, ...]:
        server.json("GET", ORGANIZATIONS_PATH, {"links": [], "values": list(values)})
        return deere.organizations(ACCESS)

    def test_token_and_accept_are_sent(self, deere: Deere, server: Server) -> None:
        self.read(deere, server)
        (sent,) = server.sent
        assert (sent.method, sent.full_path) == ("GET", ORGANIZATIONS_PATH + "?")
        assert sent.headers["Authorization"] == f"Bearer {ACCESS}"
        assert sent.headers["Accept"] == "application/vnd.deere.axiom.v3+json"

    def test_fields_are_read(self, deere: Deere, server: Server) -> None:
        found = self.read(
            deere,
            server,
            organization(1, "self", "manage_connections"),
            organization(2, "self", "connections", member=False),
        )
        assert found == (
            Organization("1", "Farm 1", True, True, DEERE + "connections-dialog?orgId=1", None),
            Organization("2", "Farm 2", False, False, None, DEERE + "select-organizations"),
        )

    @pytest.mark.parametrize(
        ("rels", "connected"),
        [
            (("self", "manage_connections"), True),
            (("self", "manage_connection"), True),
            (("self", "fields"), True),
            (("self", "connections"), False),
            (("self", "fields", "connections"), False),
            (("self", "connections", "manage_connections"), False),
            (("self",), False),
            ((), False),
        ],
    )
    def test_connected_is_told_by_links(
        self, deere: Deere, server: Server, rels: tuple[str, ...], connected: bool
    ) -> None:
        (found,) = self.read(deere, server, organization(1, *rels))
        assert found.connected is connected

    @pytest.mark.parametrize("body", [{"values": []}, {"links": None, "total": 0}])
    def test_no_organizations_is_empty(self, deere: Deere, server: Server, body: Any) -> None:
        server.json("GET", ORGANIZATIONS_PATH, body)
        assert deere.organizations(ACCESS) == ()

    @pytest.mark.parametrize("body", [{}, {"links": []}])
    def test_no_list_at_all_makes_staff_look_at_key_and_host(
        self, deere: Deere, server: Server, body: Any
    ) -> None:
        server.json("GET", ORGANIZATIONS_PATH, body)
        with pytest.raises(OrganizationsLeftOut, match="of the same environment"):
            deere.organizations(ACCESS)

    def test_what_is_missing_or_odd_is_tolerated(self, deere: Deere, server: Server) -> None:
        found = self.read(
            deere,
            server,
            {"id": 7},
            {"id": "8", "name": None, "links": "none", "member": "yes"},
            {"id": "9", "links": [None, {"rel": 1, "uri": 2}, {"rel": "connections"}]},
        )
        assert [(o.id, o.name, o.member, o.connected) for o in found] == [
            ("7", "", True, False),
            ("8", "", True, False),
            ("9", "", True, False),
        ]

    def test_only_what_we_can_keep_is_taken(self, deere: Deere, server: Server) -> None:
        bad = [
            {"rel": rel, "uri": "https://connections.deere.com/\0\ud800"}
            for rel in ("connections", "manage_connections")
        ]
        found = self.read(
            deere,
            server,
            {"id": "1", "name": "Tab\tand\0nul\ud800 ", "links": bad},
            {"id": "x" * 64, "name": "n" * 301},
        )
        assert found == (
            Organization("1", "Tab and nul", True, False, None, None),
            Organization("x" * 64, "n" * 299 + "…", True, False, None, None),
        )

    @pytest.mark.parametrize("unusable", [None, "", "x" * 65, "nul\0", "\ud800", True, []])
    def test_organization_whose_id_we_cannot_use_is_no_answer(
        self, deere: Deere, server: Server, unusable: Any
    ) -> None:
        with pytest.raises(UpstreamUnavailable, match="the answer has no id"):
            self.read(deere, server, {"id": "1"}, {"id": unusable})

    def serve_pages(
        self,
        server: Server,
        pages: int,
        origin: str | None = None,
        *,
        seconds: float = 0,
        hanging: int | None = None,
    ) -> None:
        """Ten organizations a page, so many seconds for each page; one may hang."""

        def page(request: Request) -> Response:
            number = int(request.path.partition("start=")[2] or 0)
            server.released.wait(HANG_LIMIT if number == hanging else seconds)
            links = [{"rel": "self", "uri": request.url}]
            if number + 1 < pages:
                base = origin or server.url
                uri = f"{base}{ORGANIZATIONS_PATH};start={number + 1}"
                links.append({"rel": "nextPage", "uri": uri})
            values = [organization(10 * number + n, "self", "connections") for n in range(10)]
            return Response(json.dumps({"links": links, "values": values}))

        path = ORGANIZATIONS_PATH.removesuffix("organizations")
        server.http.expect_request(Under(path)).respond_with_handler(page)

    def test_every_page_is_read(self, deere: Deere, server: Server) -> None:
        self.serve_pages(server, 4)
        assert [o.id for o in deere.organizations(ACCESS)] == [str(n) for n in range(40)]
        assert {request.headers["Authorization"] for request in server.sent} == {f"Bearer {ACCESS}"}

    def test_endless_pages_end_after_100(
        self, deere: Deere, server: Server, caplog: pytest.LogCaptureFixture
    ) -> None:
        self.serve_pages(server, 1000)
        assert len(deere.organizations(ACCESS, budget=60)) == 1000
        assert "more than 100 pages" in caplog.text

    def test_slow_pages_end_with_the_budget_and_do_not_pass_for_all(
        self, deere: Deere, server: Server
    ) -> None:
        self.serve_pages(server, 1000, seconds=0.3)
        began = time.monotonic()
        with pytest.raises(UpstreamUnavailable, match="time") as caught:
            deere.organizations(ACCESS, budget=1.0)
        assert time.monotonic() - began < 12
        assert caught.value.action == "read the organizations"
        assert 1 <= len(server.sent) <= 4

    @pytest.mark.parametrize("page", [0, 2])
    def test_page_that_hangs_ends_with_the_budget(
        self, deere: Deere, server: Server, page: int
    ) -> None:
        self.serve_pages(server, 3, hanging=page)
        began = time.monotonic()
        with pytest.raises(UpstreamUnavailable, match="in time"):
            deere.organizations(ACCESS, budget=1.0)
        assert time.monotonic() - began < 12

    def test_page_that_trickles_ends_with_the_budget(self, deere: Deere, server: Server) -> None:
        server.fail("GET", ORGANIZATIONS_PATH, FAILURES["trickling"])
        began = time.monotonic()
        with pytest.raises(UpstreamUnavailable, match="no whole answer in time"):
            deere.organizations(ACCESS, budget=1.0)
        assert time.monotonic() - began < 12

    def test_large_budget_leaves_each_page_its_own_limit(
        self, build: Callable[..., Deere], server: Server
    ) -> None:
        self.serve_pages(server, 2, hanging=1)
        began = time.monotonic()
        with pytest.raises(UpstreamUnavailable, match="no answer in time"):
            build(IMPATIENT).organizations(ACCESS, budget=60)
        assert time.monotonic() - began < 12

    def test_budget_that_is_used_up_asks_nothing_more(self, deere: Deere, server: Server) -> None:
        with pytest.raises(UpstreamUnavailable) as caught:
            deere.organizations(ACCESS, budget=0)
        assert caught.value.reason == "not all pages in time"
        assert server.sent == []

    @pytest.mark.parametrize(
        "origin",
        ["https://evil.example", "http://127.0.0.1:1", "https://api.deere.com", "//evil.example"],
    )
    def test_token_is_not_sent_to_a_next_page_elsewhere(
        self, deere: Deere, server: Server, origin: str
    ) -> None:
        self.serve_pages(server, 2, origin)
        with pytest.raises(UpstreamRejected, match="another host"):
            deere.organizations(ACCESS)
        assert len(server.sent) == 1

    @every_failure()
    def test_failure_becomes_the_error_of_the_table(
        self, build: Callable[..., Deere], server: Server, failure: Failure
    ) -> None:
        server.fail("GET", ORGANIZATIONS_PATH, failure)
        with pytest.raises(UpstreamError) as caught:
            build(failure.timeout).organizations(ACCESS)
        failure.check(caught.value, service="John Deere")

    @pytest.mark.parametrize(
        ("body", "reason"),
        [
            (["list"], "no values"),
            ("text", "no values"),
            (None, "no values"),
            ({"values": {}}, "no values"),
            ({"values": [{"name": "without id"}]}, "no id"),
            ({"values": [None]}, "no id"),
        ],
    )
    def test_json_of_the_wrong_form_is_later(
        self, deere: Deere, server: Server, body: Any, reason: str
    ) -> None:
        server.json("GET", ORGANIZATIONS_PATH, body)
        with pytest.raises(UpstreamUnavailable, match=reason):
            deere.organizations(ACCESS)

    def test_refusal_says_why_without_the_token(self, deere: Deere, server: Server) -> None:
        body = {"errors": [{"message": f"The client does not have a proper access {ACCESS}"}]}
        server.json("GET", ORGANIZATIONS_PATH, body, status=403)
        with pytest.raises(UpstreamRejected) as caught:
            deere.organizations(ACCESS)
        assert not isinstance(caught.value, TermsNotAccepted)
        assert caught.value.reason == "The client does not have a proper access ***"
        assert ACCESS not in everything_said(caught.value)


class TestTerms:
    @pytest.mark.parametrize(
        ("url", "shown"),
        [
            ("https://my.deere.com/terms?org=1", True),
            ("https://deere.com/", True),
            ("https://legal.johndeere.com:443/x", True),
            ("https://JohnDeere.com/x", True),
            ("http://my.deere.com/terms", False),
            ("https://evildeere.com/", False),
            ("https://deere.com.evil.example/", False),
            ("https://evil.example/deere.com", False),
            ("https://evil.example#.deere.com", False),
            ("https://deere.com@evil.example/", False),
            ("https://evil.example\\@my.deere.com/", False),
            ("https://my.deere.com:8443/", False),
            ("https://my.deere.com:port/", False),
            ("https://[my.deere.com/", False),
            ("javascript:alert(1)//my.deere.com", False),
            ("//my.deere.com/terms", False),
            ("/terms", False),
            ("", False),
        ],
    )
    def test_link_is_given_only_if_it_is_john_deeres_own(
        self, deere: Deere, server: Server, url: str, shown: bool
    ) -> None:
        server.json("GET", ORGANIZATIONS_PATH, {}, status=403, X_Deere_Terms_Location=url)
        with pytest.raises(TermsNotAccepted) as caught:
            deere.organizations(ACCESS)
        assert caught.value.terms_url == (url if shown else None)
        assert caught.value.status == 403


def an_organization(
    number: int, *, connect: str | None = None, manage: str | None = None, member: bool = True
) -> Organization:
    return Organization(str(number), "Farm", member, connect is None, manage, connect)


class TestPageToChoose:
    FALLBACK = "/connections/client-key/select-organizations"

    def choose(self, deere: Deere, *organizations: Organization, **more: Any) -> tuple[str, Any]:
        parts = urlsplit(deere.page_to_choose(organizations, **more))
        return f"{parts.scheme}://{parts.netloc}{parts.path}", parse_qs(parts.query)

    def test_own_organization_to_connect_comes_first(self, deere: Deere) -> None:
        page = self.choose(
            deere,
            an_organization(1, manage=DEERE + "connections-dialog?orgId=1"),
            an_organization(2, connect=DEERE + "partner", member=False),
            an_organization(3, connect=DEERE + "select-organizations"),
        )
        assert page == (DEERE + "select-organizations", {"redirect_uri": [REDIRECT]})

    def test_one_organization_is_managed_on_its_own_page(self, deere: Deere) -> None:
        page = self.choose(
            deere,
            an_organization(1, connect=DEERE + "select-organizations"),
            an_organization(2, manage=DEERE + "connections-dialog?orgId=2"),
            organization_id="2",
        )
        query = {"orgId": ["2"], "redirect_uri": [REDIRECT]}
        assert page == (DEERE + "connections-dialog", query)

    def test_all_connected_leads_to_managing(self, deere: Deere) -> None:
        page = self.choose(deere, an_organization(1, manage=DEERE + "connections-dialog"))
        assert page == (DEERE + "connections-dialog", {"redirect_uri": [REDIRECT]})

    def test_redirect_uri_replaces_the_one_that_is_there_and_leaves_the_rest(
        self, deere: Deere
    ) -> None:
        uri = DEERE + "x?a=1&redirect_uri=https%3A%2F%2Fold.example&b=&a=2"
        url = deere.page_to_choose([an_organization(1, connect=uri)])
        assert parse_qsl(urlsplit(url).query, keep_blank_values=True) == [
            ("a", "1"),
            ("b", ""),
            ("a", "2"),
            ("redirect_uri", REDIRECT),
        ]

    def test_page_on_the_apis_own_origin_is_trusted(self, deere: Deere, server: Server) -> None:
        uri = server.url + "/connections/1/select-organizations"
        assert self.choose(deere, an_organization(1, connect=uri))[0] == uri

    @pytest.mark.parametrize(
        "uri",
        [
            "https://connections.evil.example/select-organizations",
            "http://connections.deere.com/select-organizations",
            "http://127.0.0.1:1/select-organizations",
            "http://localhost/select-organizations",
            "javascript:alert(1)",
            "https://evil.example\\@connections.deere.com/",
        ],
    )
    def test_page_elsewhere_gives_way_to_the_documented_one(
        self, deere: Deere, server: Server, uri: str
    ) -> None:
        page = self.choose(deere, an_organization(1, connect=uri))
        assert page == (server.url + self.FALLBACK, {"redirect_uri": [REDIRECT]})

    @pytest.mark.parametrize("organization_id", [None, "7"])
    def test_nothing_known_leads_to_the_documented_page(
        self, deere: Deere, server: Server, organization_id: str | None
    ) -> None:
        page = self.choose(deere, organization_id=organization_id)
        assert page == (server.url + self.FALLBACK, {"redirect_uri": [REDIRECT]})

    def test_documented_page_of_the_real_service_is_john_deeres(
        self, build: Callable[..., Deere]
    ) -> None:
        page = self.choose(build(deere_api_url="https://api.deere.com/platform"))
        assert page == (
            "https://connections.deere.com" + self.FALLBACK,
            {"redirect_uri": [REDIRECT]},
        )

    def test_client_key_is_quoted(self, build: Callable[..., Deere]) -> None:
        url = build(deere_client_key="../a?b").page_to_choose([])
        assert "/connections/..%2Fa%3Fb/select-organizations?" in url

    @pytest.mark.parametrize("api", ["https://api.deere.com/platform", None])
    def test_page_of_all_connections_is_john_deeres_or_that_of_the_sandbox(
        self, build: Callable[..., Deere], server: Server, api: str | None
    ) -> None:
        deere = build(deere_api_url=api) if api else build()
        ours = f"{server.url}/connections"
        assert deere.connections_page == ("https://connections.deere.com" if api else ours)
