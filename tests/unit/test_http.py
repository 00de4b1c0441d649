"""http.call(): what is sent, what is understood, and what every failure becomes."""

from __future__ import annotations

import gzip
import json
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import requests
from werkzeug import Response

from onboarding import http
from onboarding.errors import UpstreamError, UpstreamRejected, UpstreamUnavailable
from onboarding.redaction import redact
from tests.unit.failures import (
    FAILURES,
    IMPATIENT,
    JSON,
    PATIENT,
    Failure,
    Server,
    every_failure,
    everything_said,
)

TOKEN = "kT7-8f2Qz_0aLw93.xY~5bNm1"
LETTERS = "fjKdWqLpZxCvBnMaSdFgHjKlQwErTyUiOpAsDfGhJkL"
"""A token of 43 characters without a digit."""
JWT = "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJncm93ZXIifQ.c2lnbmF0dXJl"


@pytest.fixture
def session() -> Iterator[requests.Session]:
    with http.new_session() as session:
        yield session


def call(
    session: requests.Session, server: Server, method: str = "GET", **more: Any
) -> http.Answer:
    values: dict[str, Any] = {"service": "Leaf", "action": "do it", "timeout": PATIENT} | more
    return http.call(session, method, server.url + "/thing", **values)


def failing(session: requests.Session, server: Server, **more: Any) -> UpstreamError:
    with pytest.raises(UpstreamError) as caught:
        call(session, server, **more)
    return caught.value


def refused(session: requests.Session, server: Server, body: Any, **more: Any) -> str:
    server.json("GET", "/thing", body, status=400)
    return failing(session, server, **more).reason


class TestSending:
    def test_json_query_headers_and_authorization_arrive(
        self, session: requests.Session, server: Server
    ) -> None:
        server.json("POST", "/thing", {"id": 1}, status=201)
        answer = call(
            session,
            server,
            "POST",
            params={"page": 0},
            headers={"X-Own": "1"},
            json={"name": "Änne"},
            auth=http.bearer("abc"),
        )
        (sent,) = server.sent
        assert (answer.status, answer.body) == (201, {"id": 1})
        assert sent.method == "POST"
        assert sent.full_path == "/thing?page=0"
        assert sent.get_json() == {"name": "Änne"}
        assert sent.headers["Authorization"] == "Bearer abc"
        assert sent.headers["Accept"] == "application/json"
        assert sent.headers["X-Own"] == "1"

    def test_form_arrives_and_accept_can_be_chosen(
        self, session: requests.Session, server: Server
    ) -> None:
        server.json("POST", "/thing", {})
        call(session, server, "POST", data={"a": "b c"}, headers={"Accept": "text/x"})
        (sent,) = server.sent
        assert sent.form.to_dict() == {"a": "b c"}
        assert sent.headers["Accept"] == "text/x"

    def test_netrc_is_not_sent(
        self,
        session: requests.Session,
        server: Server,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        netrc = tmp_path / "netrc"
        netrc.write_text("machine 127.0.0.1 login somebody password else\n")
        monkeypatch.setenv("NETRC", str(netrc))
        server.json("GET", "/thing", {})
        call(session, server)
        call(session, server, auth=http.bearer("abc"))
        sent = [request.headers.get("Authorization") for request in server.sent]
        assert sent == [None, "Bearer abc"]

    def test_cookies_are_not_kept(self, session: requests.Session, server: Server) -> None:
        server.json("GET", "/thing", {}, Set_Cookie="sticky=1; Path=/")
        call(session, server)
        call(session, server)
        assert [request.headers.get("Cookie") for request in server.sent] == [None, None]


class TestConnections:
    def test_one_connection_serves_one_call_after_another(
        self, session: requests.Session, keep_alive: KeepAlive
    ) -> None:
        for _ in range(5):
            keep_alive.call(session)
        assert keep_alive.connections == 1

    def test_threads_share_a_session_and_get_their_own_answers(
        self, session: requests.Session, keep_alive: KeepAlive
    ) -> None:
        with ThreadPoolExecutor(8) as pool:
            numbers = list(pool.map(lambda n: keep_alive.call(session, n), range(200)))
        assert numbers == list(range(200))
        assert keep_alive.connections <= 8

    def test_a_connection_that_trickled_is_not_used_again(
        self, session: requests.Session, server: Server
    ) -> None:
        server.http.expect_ordered_request("/thing").respond_with_handler(
            lambda _: Response(iter_slowly(server.released), content_type=JSON)
        )
        server.http.expect_ordered_request("/thing").respond_with_json({"whole": True})
        failing(session, server, timeout=IMPATIENT)
        assert call(session, server).body == {"whole": True}


class TestUnderstanding:
    @pytest.mark.parametrize("status", [200, 201, 202, 204])
    def test_no_body_is_none(self, session: requests.Session, server: Server, status: int) -> None:
        server.data("GET", "/thing", status=status)
        answer = call(session, server)
        assert (answer.status, answer.body) == (status, None)

    def test_plain_text_counts_as_no_body(self, session: requests.Session, server: Server) -> None:
        server.data("GET", "/thing", "done")
        assert call(session, server).body is None

    @pytest.mark.parametrize("body", [[1], "word", 5, {"a": None}])
    def test_any_json_is_understood(
        self, session: requests.Session, server: Server, body: Any
    ) -> None:
        server.json("GET", "/thing", body)
        assert call(session, server).body == body

    def test_json_under_another_name_is_understood(
        self, session: requests.Session, server: Server
    ) -> None:
        kind = "application/vnd.deere.axiom.v3+json;charset=UTF-8"
        server.http.expect_request("/thing").respond_with_data('{"a": 1}', content_type=kind)
        assert call(session, server).body == {"a": 1}

    def test_compressed_and_chunked_json_is_understood(
        self, session: requests.Session, server: Server
    ) -> None:
        packed = gzip.compress(json.dumps({"a": "b" * 300_000}).encode())
        server.http.expect_request("/thing").respond_with_handler(
            lambda _: Response([packed[:20], packed[20:]], headers={"Content-Encoding": "gzip"})
        )
        assert len(call(session, server).body["a"]) == 300_000

    def test_what_unpacks_to_too_much_is_given_up(
        self, session: requests.Session, server: Server
    ) -> None:
        bomb = gzip.compress(b" " * (64 * 1024 * 1024))
        server.http.expect_request("/thing").respond_with_data(
            bomb, headers={"Content-Encoding": "gzip"}
        )
        assert "more than 4194304 bytes" in failing(session, server).reason

    @pytest.mark.parametrize("body", ['{"a": 1}', "", "<h1>None</h1>"])
    def test_accepted_status_is_an_answer_whatever_its_body(
        self, session: requests.Session, server: Server, body: str
    ) -> None:
        server.http.expect_request("/thing").respond_with_data(
            body, status=404, content_type="text/html"
        )
        answer = call(session, server, accept=(404,))
        assert (answer.status, answer.body) == (404, {"a": 1} if body.startswith("{") else None)

    def test_header_names_are_found_in_any_case(
        self, session: requests.Session, server: Server
    ) -> None:
        server.json("GET", "/thing", [], X_Total_Count="7")
        assert call(session, server).headers["x-total-count"] == "7"

    def test_repr_of_an_answer_shows_its_status_only(
        self, session: requests.Session, server: Server
    ) -> None:
        server.json("GET", "/thing", {"accessToken": TOKEN}, X_Token=TOKEN)
        assert repr(call(session, server)) == "Answer(status=200)"


class TestFailures:
    @every_failure()
    def test_failure_becomes_the_error_of_the_table(
        self, session: requests.Session, server: Server, failure: Failure
    ) -> None:
        server.fail("GET", "/thing", failure)
        error = failing(session, server, timeout=failure.timeout)
        failure.check(error, service="Leaf")
        assert error.action == "do it"

    def test_nobody_listening_is_later(self, session: requests.Session) -> None:
        with pytest.raises(UpstreamUnavailable, match="no answer: the connection failed"):
            http.call(session, "GET", "http://127.0.0.1:1/", service="Leaf", action="do it")

    def test_plain_text_where_tls_is_expected_is_later(
        self, session: requests.Session, server: Server
    ) -> None:
        url = server.url.replace("http:", "https:")
        with pytest.raises(UpstreamUnavailable, match="no trusted TLS connection"):
            http.call(session, "GET", url, service="Leaf", action="do it")

    def test_redirect_is_not_followed(self, session: requests.Session, server: Server) -> None:
        server.json("GET", "/thing", {}, status=307, Location=server.url + "/elsewhere")
        server.json("GET", "/elsewhere", {})
        assert "redirect" in failing(session, server).reason
        assert [request.path for request in server.sent] == ["/thing"]

    def test_trickle_ends_at_the_deadline(self, session: requests.Session, server: Server) -> None:
        server.http.expect_request("/thing").respond_with_handler(
            lambda _: Response(iter_slowly(server.released), content_type=JSON)
        )
        began = time.monotonic()
        failing(session, server, timeout=http.Timeout(connect=5, read=15, total=0.5))
        assert time.monotonic() - began < 12

    def test_stalled_body_ends_at_the_deadline_and_not_a_silence_later(
        self, session: requests.Session, server: Server
    ) -> None:
        def beginning() -> Iterator[bytes]:
            yield b"{"
            server.released.wait(20)

        server.http.expect_request("/thing").respond_with_handler(lambda _: Response(beginning()))
        began = time.monotonic()
        failing(session, server, timeout=http.Timeout(connect=5, read=15, total=0.5))
        assert time.monotonic() - began < 12

    def test_silence_ends_at_the_deadline_if_that_comes_first(
        self, session: requests.Session, server: Server
    ) -> None:
        server.fail("GET", "/thing", FAILURES["timeout"])
        began = time.monotonic()
        error = failing(session, server, timeout=http.Timeout(connect=5, read=15, total=0.5))
        assert error.reason == "no answer in time"
        assert time.monotonic() - began < 12

    def test_http_date_is_a_pause(self, session: requests.Session, server: Server) -> None:
        when = format_datetime(datetime.now(UTC) + timedelta(seconds=90), usegmt=True)
        server.json("GET", "/thing", {}, status=503, Retry_After=when)
        error = failing(session, server)
        assert isinstance(error, UpstreamUnavailable)
        assert error.retry_after == pytest.approx(90, abs=30)

    def test_error_has_no_cause_that_could_hold_the_request(
        self, session: requests.Session
    ) -> None:
        with pytest.raises(UpstreamUnavailable) as caught:
            http.call(
                session,
                "POST",
                f"http://127.0.0.1:1/?code={TOKEN}",
                service="Leaf",
                action="do it",
                json={"refreshToken": TOKEN},
            )
        assert caught.value.__cause__ is None
        assert caught.value.__context__ is None
        assert TOKEN not in everything_said(caught.value)


class TestReasons:
    @pytest.mark.parametrize(
        ("body", "reason"),
        [
            ({"title": "Bad Request", "detail": "no name"}, "Bad Request: no name"),
            ({"error": "invalid_grant", "error_description": "used"}, "invalid_grant: used"),
            ({"error": "Too much", "message": "wait a bit"}, "Too much: wait a bit"),
            ({"title": "same", "detail": "same"}, "same"),
            ({"@type": "Errors", "errors": [{"guid": "1", "message": "no access"}]}, "no access"),
            ({"title": {"a": 1}, "errors": ["x", None], "message": 5}, ""),
            (["list"], ""),
            ("text", ""),
            ({"detail": "two\nlines\tand\x00control"}, "two lines and control"),
        ],
    )
    def test_reason_is_what_the_service_said(
        self, session: requests.Session, server: Server, body: Any, reason: str
    ) -> None:
        assert refused(session, server, body) == reason

    def test_reason_is_cut_at_200_characters(
        self, session: requests.Session, server: Server
    ) -> None:
        assert len(refused(session, server, {"detail": "long " * 100})) == 200

    def test_html_of_a_refusal_is_not_shown(
        self, session: requests.Session, server: Server
    ) -> None:
        server.http.expect_request("/thing").respond_with_data("<p>Denied</p>", status=403)
        error = failing(session, server)
        assert isinstance(error, UpstreamRejected)
        assert str(error) == "Leaf: do it: HTTP 403"

    @pytest.mark.parametrize(
        "text",
        [
            f"token {TOKEN} is bad",
            f"{JWT}",
            f"Bearer {JWT}!",
            f"url https://x.example/cb?code={TOKEN}&state=1",
            "refresh_token=onlyletters&x",
            '{"refreshToken": "onlyletters", "clientSecret":"onlyletters"}',
            "Authorization: Basic onlyletters",
            '{"body": "{\\"refresh_token\\": \\"onlyletters\\"}"}',
            r'"{\\\"clientSecret\\\":\\\"onlyletters\\\"}"',
            '{"accessToken": ["onlyletters"]}',
            f"code {LETTERS} is bad",
        ],
    )
    def test_what_looks_like_a_token_is_masked(self, text: str) -> None:
        shown = redact(text)
        assert "***" in shown
        for secret in (TOKEN, JWT, LETTERS, "onlyletters"):
            assert secret not in shown

    def test_plain_words_are_left_as_they_are(self) -> None:
        text = "The client does not have a proper access for this API: UNAUTHENTICATED_CREDENTIALS"
        assert redact(text) == text

    def test_given_secrets_are_masked_whatever_they_look_like(self) -> None:
        text = "password 'two words' or two%20words, longer two words still"
        shown = redact(text, ["two words", "longer two words", ""])
        assert shown == "password '***' or ***, *** still"

    def test_masking_a_megabyte_of_anything_is_quick(self) -> None:
        began = time.monotonic()
        for piece in ("a", "token", "token=", "eyJ", '"token" : "', "1.", r"token\\\":\["):
            redact(piece * (1_000_000 // len(piece)), [TOKEN])
        assert time.monotonic() - began < 20


def test_no_part_of_a_call_outlasts_the_time_that_is_left() -> None:
    timeout = http.Timeout(connect=3, read=10, total=15)
    assert timeout.within(60) == timeout
    assert timeout.within(12) == http.Timeout(connect=3, read=10, total=12)
    assert timeout.within(0.5) == http.Timeout(connect=0.5, read=0.5, total=0.5)


def test_only_visible_ascii_can_stand_in_a_header() -> None:
    assert http.is_header_safe(TOKEN)
    assert not any(map(http.is_header_safe, ["", "a b", "a\r\nb", "ä", "a\n"]))


def test_every_status_of_the_table_is_later_or_rejected() -> None:
    later = {408, 425, 429, *range(500, 600)}
    for status in range(400, 600):
        error = http.refusal(http.Answer(status, {}, None), service="Leaf", action="do it")
        assert type(error) is (UpstreamUnavailable if status in later else UpstreamRejected)


def iter_slowly(released: threading.Event) -> Iterator[bytes]:
    while not released.wait(0.02):
        yield b" "


class KeepAlive:
    """A server that keeps connections open, which pytest-httpserver's does not, and counts them."""

    def __init__(self, url: str, connections: set[Any]) -> None:
        self._url = url
        self._connections = connections

    @property
    def connections(self) -> int:
        return len(self._connections)

    def call(self, session: requests.Session, number: int = 0) -> Any:
        answer = http.call(
            session, "GET", f"{self._url}/{number}", service="Leaf", action="do it", timeout=PATIENT
        )
        return answer.body


@pytest.fixture
def keep_alive() -> Iterator[KeepAlive]:
    connections: set[Any] = set()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            connections.add(self.client_address)
            body = self.path[1:].encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield KeepAlive(f"http://127.0.0.1:{server.server_port}", connections)
    server.shutdown()
    thread.join()
    server.server_close()
