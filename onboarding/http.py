"""call(): the one place that sends requests to other people's APIs.

Every request has a timeout, no redirect is followed, no cookie is kept, no more than
`BODY_LIMIT` bytes are read, and what comes out is either an `Answer` or one of two errors:
`UpstreamUnavailable` (later) and `UpstreamRejected` (a person must look). An error holds no URL,
header or body, and no cause that does: those of `requests` carry all three, so errors are raised
here outside of `except`.
"""

from __future__ import annotations

import json as json_module
import re
import threading
import time
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from http.cookiejar import DefaultCookiePolicy
from typing import Any

import requests
import urllib3
from requests.adapters import HTTPAdapter

from onboarding.clock import now
from onboarding.errors import UpstreamError, UpstreamRejected, UpstreamUnavailable
from onboarding.redaction import reason_in

BODY_LIMIT = 4 * 1024 * 1024
"""Bytes of a body, unpacked, that are read before the answer is given up."""
CHUNK = 64 * 1024
"""Bytes read at once."""
RETRY_AFTER_LIMIT = 3600.0
"""Seconds; a service that asks for a longer pause is asked again after this."""
LATER = frozenset({408, 425, 429})
"""Statuses below 500 that ask us to come back (RFC 9110 15.5.9, RFC 8470 5.2, RFC 6585 4)."""

Authorize = Callable[[requests.PreparedRequest], requests.PreparedRequest]


@dataclass(frozen=True)
class Timeout:
    """How long a call may take, in seconds."""

    connect: float
    """For each address that the host's name has."""
    read: float
    """The longest silence."""
    total: float
    """From the start of the call on: a silence before the headers ends then, and the body, however
    slowly it comes, is cut off. Not bounded: the system's look-up of the host's name, a second
    and further addresses of it, and headers that trickle, each piece before `read` is over."""

    def within(self, left: float) -> Timeout:
        """The same for a call that has so many seconds left, more than 0."""
        return Timeout(min(self.connect, left), min(self.read, left), min(self.total, left))

    def for_urllib3(self) -> urllib3.Timeout:
        """What `requests` hands on to urllib3: unlike its own two numbers it has a total."""
        return urllib3.Timeout(connect=self.connect, read=self.read, total=self.total)


DEFAULT_TIMEOUT = Timeout(connect=5, read=10, total=15)


@dataclass(frozen=True)
class Answer:
    """What a service said."""

    status: int
    headers: Mapping[str, str] = field(repr=False)
    """Names in any case."""
    body: Any = field(repr=False)
    """Parsed JSON; None if there was no body, or only plain text."""


def new_session(*, connections: int = 64) -> requests.Session:
    """A session that any number of threads may share.

    What makes `requests.Session` unsafe to share are its cookies; these refuse all of them. The
    connections behind it are urllib3's pool, which is made for threads.

    :param connections: how many idle connections are kept for each host
    """
    session = requests.Session()
    session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
    adapter = HTTPAdapter(pool_maxsize=connections)
    session.mount("https://", adapter)
    session.mount("http://", adapter)
    return session


def bearer(token: str) -> Authorize:
    """Authorize a request with a bearer token (RFC 6750 section 2.1)."""

    def authorize(request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers["Authorization"] = f"Bearer {token}"
        return request

    return authorize


def is_header_safe(token: str) -> bool:
    """Whether a token can stand in a header: visible ASCII only (RFC 6750 section 2.1)."""
    return bool(re.fullmatch(r"[!-~]+", token))


def call(
    session: requests.Session,
    method: str,
    url: str,
    *,
    service: str,
    action: str,
    accept: Collection[int] = (),
    headers: Mapping[str, str] | None = None,
    params: Mapping[str, str | int] | None = None,
    json: Any = None,
    data: Mapping[str, str] | None = None,
    auth: Authorize | None = None,
    timeout: Timeout = DEFAULT_TIMEOUT,
    secrets: Collection[str] = (),
) -> Answer:
    """Send one request and understand the answer.

    :param service: for errors: `John Deere` or `Leaf`
    :param action: for errors: what is being done, e.g. `create credentials`
    :param accept: statuses other than 2xx that the caller wants as an answer
    :param secrets: values that must not appear in an error's reason
    :raise UpstreamUnavailable: no answer in time, 408, 425, 429, 5xx, a redirect, or a 2xx that
        is not JSON
    :raise UpstreamRejected: any other 4xx
    """
    until = time.monotonic() + timeout.total
    try:
        response = session.request(
            method,
            url,
            headers={"Accept": "application/json", **(headers or {})},
            params=params,
            json=json,
            data=data,
            auth=auth or _unauthorized,
            timeout=timeout.for_urllib3(),  # type: ignore[arg-type]  # its adapter takes it
            allow_redirects=False,
            stream=True,
        )
    except requests.RequestException as err:
        failure = why(err)
    else:
        return receive(
            response, service=service, action=action, accept=accept, until=until, secrets=secrets
        )
    raise UpstreamUnavailable(service, action, reason=failure)


def receive(
    response: requests.Response,
    *,
    service: str,
    action: str,
    accept: Collection[int] = (),
    until: float,
    secrets: Collection[str] = (),
) -> Answer:
    """Read and understand an answer that was asked for with `stream=True`.

    :param until: when to stop reading, on the clock of `time.monotonic`
    :raise UpstreamUnavailable: as `call`
    :raise UpstreamRejected: as `call`
    """
    raw, problem = _read(response, until)
    wanted = 200 <= response.status_code < 300
    body, broken = _parse(raw, response.headers.get("Content-Type", ""))
    answer = Answer(response.status_code, response.headers, body)
    if not wanted and answer.status not in accept:
        raise refusal(answer, service=service, action=action, secrets=secrets)
    problem = problem or (broken if wanted else "")
    if problem:
        raise UpstreamUnavailable(service, action, status=answer.status, reason=problem)
    return answer


def refusal(
    answer: Answer, *, service: str, action: str, secrets: Collection[str] = ()
) -> UpstreamError:
    """The error that stands for an answer which is not what was asked for."""
    reason = reason_in(answer.body, secrets)
    if answer.status in LATER or answer.status >= 500:
        return UpstreamUnavailable(
            service,
            action,
            status=answer.status,
            reason=reason,
            retry_after=_retry_after(answer.headers.get("Retry-After", "")),
        )
    if answer.status < 400:
        # A maintenance page, or a wrong address of ours; the first passes, the second is seen.
        return UpstreamUnavailable(
            service, action, status=answer.status, reason="redirects are not followed"
        )
    return UpstreamRejected(service, action, status=answer.status, reason=reason)


def malformed(answer: Answer, *, service: str, action: str, missing: str) -> UpstreamUnavailable:
    """The error for a 2xx whose JSON lacks what is needed.

    :param missing: what is needed, e.g. `id`
    """
    return UpstreamUnavailable(
        service, action, status=answer.status, reason=f"the answer has no {missing}"
    )


def why(err: requests.RequestException) -> str:
    """Why no answer came, without the URL that the exception holds."""
    kinds = {
        requests.ConnectTimeout: "no connection in time",
        requests.Timeout: "no answer in time",
        requests.exceptions.SSLError: "no trusted TLS connection",
        requests.exceptions.ProxyError: "the proxy failed",
        requests.ConnectionError: "the connection failed",
    }
    for kind, text in kinds.items():
        if isinstance(err, kind):
            return text
    return "the request could not be sent"


def _unauthorized(request: requests.PreparedRequest) -> requests.PreparedRequest:
    """Without this, requests would send what ~/.netrc holds for the host."""
    return request


def _read(response: requests.Response, until: float) -> tuple[bytes, str]:
    """The body, and what went wrong while reading it (empty: nothing).

    A timeout of the socket starts anew with each byte; only closing the socket ends an answer
    that trickles.
    """
    late = threading.Event()
    watchdog = threading.Timer(max(until - time.monotonic(), 0), _cut, (response, late))
    watchdog.daemon = True
    watchdog.start()
    body = bytearray()
    problem = ""
    try:
        while len(body) <= BODY_LIMIT and (chunk := response.raw.read1(CHUNK, True)):
            body += chunk
    except (urllib3.exceptions.HTTPError, OSError):
        problem = "the answer broke off"
    finally:
        watchdog.cancel()
    if len(body) > BODY_LIMIT:
        problem = f"the answer has more than {BODY_LIMIT} bytes"
    if late.is_set():
        problem = "no whole answer in time"
    if problem:
        response.close()
    return bytes(body), problem


def _cut(response: requests.Response, late: threading.Event) -> None:
    late.set()
    with suppress(RuntimeError, ValueError, OSError):  # whole and released in the meantime
        response.raw.shutdown()


def _parse(raw: bytes, content_type: str) -> tuple[Any, str]:
    """The JSON in a body, and what is wrong with it (empty: nothing).

    Plain text counts as no body: answers whose form is not documented may be that.
    """
    if not raw.strip():
        return None, ""
    try:
        return json_module.loads(raw), ""
    except (ValueError, RecursionError):
        kind = content_type.partition(";")[0].strip().lower()
    if kind == "text/plain":
        return None, ""
    return None, "HTML instead of JSON" if kind == "text/html" else "the answer is not JSON"


def _retry_after(value: str) -> float | None:
    """Seconds to wait (RFC 9110 section 10.2.3: a number, or a date)."""
    try:
        if value.strip().isdecimal():
            seconds = float(value)
        else:
            seconds = (parsedate_to_datetime(value) - now()).total_seconds()
    except (TypeError, ValueError, OverflowError):  # no date, without a zone, or beyond all dates
        return None
    return min(max(seconds, 0.0), RETRY_AFTER_LIMIT)
