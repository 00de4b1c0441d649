"""How somebody else's API fails, made real on a socket, and what must come of each way."""

from __future__ import annotations

import socket
import struct
import threading
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from pytest_httpserver import HTTPServer
from werkzeug import Request, Response

from onboarding.errors import UpstreamError, UpstreamRejected, UpstreamUnavailable
from onboarding.http import Timeout

PATIENT = Timeout(connect=5, read=20, total=25)
IMPATIENT = Timeout(connect=5, read=0.3, total=0.6)
HALF_PATIENT = Timeout(connect=5, read=5, total=1.5)
"""For answers that begin, which a busy machine may do late, and do not end."""
HANG_LIMIT = 20.0
"""Seconds after which a hanging answer gives up, in case a test never ends it."""
JSON = "application/json"
Answering = Callable[[Request, threading.Event], Response]


class ThreadedServer(HTTPServer):
    """pytest-httpserver's, with a thread for each connection, since some of them hang on purpose.

    It notes a request when it arrives, not when it has been answered.
    """

    def __init__(self) -> None:
        super().__init__(host="127.0.0.1", threaded=True)
        self.arrived: list[Request] = []
        self._busy = 0
        self._changed = threading.Condition()

    def dispatch(self, request: Request) -> Response:
        """Note the request and answer it."""
        with self._changed:
            self.arrived.append(request)
            self._busy += 1
        try:
            return super().dispatch(request)
        finally:
            with self._changed:
                self._busy -= 1
                self._changed.notify_all()

    def forget(self) -> None:
        """Wait for the end of what is being answered, and forget what arrived."""
        with self._changed:
            assert self._changed.wait_for(lambda: self._busy == 0, HANG_LIMIT)
            self.arrived.clear()


@dataclass(frozen=True)
class Server:
    """A real server on loopback, and the event that ends what hangs in it."""

    http: ThreadedServer
    released: threading.Event

    @property
    def url(self) -> str:
        """Its origin, without a trailing slash."""
        return self.http.url_for("").rstrip("/")

    @property
    def sent(self) -> list[Request]:
        """What it was asked, oldest first."""
        return list(self.http.arrived)

    def json(self, method: str, path: str, body: Any, status: int = 200, **headers: str) -> None:
        """Answer from now on with JSON. `Cache_Control="no-store"` makes a header."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        self.http.expect_request(path, method=method).respond_with_json(
            body, status=status, headers=named
        )

    def data(self, method: str, path: str, body: str = "", status: int = 200) -> None:
        """Answer from now on with plain text, or with nothing."""
        self.http.expect_request(path, method=method).respond_with_data(body, status=status)

    def fail(self, method: str, path: str, failure: Failure) -> None:
        """Fail from now on."""
        self.http.expect_request(path, method=method).respond_with_handler(
            lambda request: failure.answer(request, self.released)
        )


@dataclass(frozen=True)
class Failure:
    """One way to fail."""

    answer: Answering
    raises: type[UpstreamError]
    status: int | None
    retry_after: float | None = None
    timeout: Timeout = field(default=PATIENT)
    reason: str = ""

    def check(self, error: UpstreamError, *, service: str) -> None:
        """Assert that this error is what must come of it."""
        assert type(error) is self.raises
        assert error.service == service
        assert error.status == self.status
        assert self.reason in error.reason
        if isinstance(error, UpstreamUnavailable):
            assert error.retry_after == self.retry_after


def everything_said(error: BaseException) -> str:
    """All that an error and its causes could put into a log: text, repr, arguments, traceback."""
    said = "".join(traceback.format_exception(error))
    link: BaseException | None = error
    while link is not None:
        said += f"{link!s} {link!r} {link.args!r} {vars(link)!r}"
        link = link.__cause__ or link.__context__
    return said


def _status(status: int, body: str = "{}", **headers: str) -> Answering:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return lambda _, __: Response(body, status, named, content_type=JSON)


def _text(body: str | bytes, content_type: str = JSON) -> Answering:
    return lambda _, __: Response(body, 200, content_type=content_type)


def _silence(_: Request, released: threading.Event) -> Response:
    released.wait(HANG_LIMIT)
    return Response("{}", content_type=JSON)


def _reset(request: Request, _: threading.Event) -> Response:
    """Close with a RST, as a crashing process or a firewall does."""
    connection = request.environ["werkzeug.socket"]
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.shutdown(socket.SHUT_RDWR)
    return Response()


def _half(_: Request, __: threading.Event) -> Response:
    def broken() -> Iterator[bytes]:
        yield b'{"id": '
        raise ConnectionResetError

    return Response(broken(), content_type=JSON, headers={"Content-Length": "1000"})


def _trickle(_: Request, released: threading.Event) -> Response:
    def drops() -> Iterator[bytes]:
        while not released.wait(0.02):
            yield b" "

    return Response(drops(), content_type=JSON)


def _stall(_: Request, released: threading.Event) -> Response:
    def beginning() -> Iterator[bytes]:
        yield b"{"
        released.wait(HANG_LIMIT)

    return Response(beginning(), content_type=JSON)


def rejected(status: int, **more: Any) -> Failure:
    """A refusal that a person must look at."""
    return Failure(_status(status, '{"detail": "not so"}'), UpstreamRejected, status, **more)


def later(status: int, *, retry_after: float | None = None, **headers: str) -> Failure:
    """A refusal that will pass."""
    return Failure(_status(status, **headers), UpstreamUnavailable, status, retry_after)


def unreadable(answer: Answering, **more: Any) -> Failure:
    """A 200 that says nothing."""
    return Failure(answer, UpstreamUnavailable, 200, **more)


FAILURES = {
    "400": rejected(400, reason="not so"),
    "401": rejected(401),
    "403": rejected(403),
    "404": rejected(404),
    "409": rejected(409),
    "422": rejected(422),
    "408": later(408),
    "429": later(429),
    "429 with Retry-After": later(429, retry_after=7.0, Retry_After="7"),
    "500": later(500),
    "503": later(503),
    "503 with Retry-After": later(503, retry_after=120.0, Retry_After="120"),
    "503 for days": later(503, retry_after=3600.0, Retry_After="200000"),
    "503 with an absurd zone": later(503, Retry_After=f"Wed, 21 Oct 2015 07:28:00 +{'9' * 17}"),
    "503 until a date that is past": later(
        503, retry_after=0.0, Retry_After="Wed, 21 Oct 2015 07:28:00 GMT"
    ),
    "503 until nonsense": later(503, Retry_After="soon"),
    "redirect": later(302, Location="http://127.0.0.1:1/"),
    "timeout": Failure(
        _silence, UpstreamUnavailable, None, timeout=IMPATIENT, reason="no answer in time"
    ),
    "trickling": unreadable(_trickle, timeout=HALF_PATIENT, reason="in time"),
    "stalled body": unreadable(_stall, timeout=HALF_PATIENT),
    "reset": Failure(_reset, UpstreamUnavailable, None, reason="the connection failed"),
    "broken off": unreadable(_half, reason="broke off"),
    "HTML": unreadable(_text("<h1>Maintenance</h1>", "text/html"), reason="HTML"),
    "wrong JSON": unreadable(_text('{"id": '), reason="not JSON"),
    "not UTF-8": unreadable(_text(b'{"id": "\xff"}'), reason="not JSON"),
    "deep JSON": unreadable(_text("[" * 200_000), reason="not JSON"),
    "huge": unreadable(_text(b" " * (4 * 1024 * 1024 + 1)), reason="more than 4194304 bytes"),
}
"""For every client alike. What JSON of the wrong form does is each client's own table."""


def every_failure(*, but: tuple[str, ...] = ()) -> pytest.MarkDecorator:
    """Run a test with each `failure` of the table."""
    chosen = {name: failure for name, failure in FAILURES.items() if name not in but}
    return pytest.mark.parametrize("failure", chosen.values(), ids=chosen.keys())
