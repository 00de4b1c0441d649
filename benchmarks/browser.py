"""A grower's browser that costs next to nothing, and the walk through the whole flow."""

from __future__ import annotations

import re
import socket
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import count
from urllib.parse import parse_qs, urlencode, urlsplit

import brotli

TIMEOUT_SECONDS = 60.0
STEPS = ("start page", "start", "callback", "back from organizations", "status page", "state")
CSRF_TOKEN = re.compile(rb'name="csrf_token"[^>]*value="([^"]+)"')
LENGTH = re.compile(rb"\r\nContent-Length: (\d+)")
LOCATION = re.compile(rb"\r\nLocation: ([^\r]+)")
COOKIE = re.compile(rb"\r\nSet-Cookie: ([^=]+)=([^;\r]*)")
_addresses = count()


class FlowBroken(Exception):
    """An answer was not the one that the flow has at this point."""


@dataclass(frozen=True)
class Answer:
    """What the server sent; `location` is empty if there was none."""

    status: int
    location: str
    body: bytes


class Browser:
    """One connection, kept alive, and cookies. Every browser comes from an address of its own."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), TIMEOUT_SECONDS)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        number = next(_addresses)
        # The block that is kept for benchmarks (RFC 2544).
        address = f"198.{18 + number // 65536 % 2}.{number // 256 % 256}.{number % 256}"
        self._common = (
            f" HTTP/1.1\r\nHost: localhost:{port}\r\nAccept: text/html\r\n"
            f"Accept-Encoding: br\r\nX-Forwarded-For: {address}\r\n"
        )
        self._cookies: dict[str, str] = {}

    def get(self, path: str) -> Answer:
        """Ask for a page."""
        return self._send("GET", path)

    def post(self, path: str, form: Mapping[str, str]) -> Answer:
        """Send a form."""
        return self._send("POST", path, urlencode(form))

    def close(self) -> None:
        """Close the connection."""
        self._socket.close()

    def _send(self, method: str, path: str, body: str = "") -> Answer:
        head = f"{method} {path}{self._common}"
        if self._cookies:
            pairs = "; ".join(f"{name}={value}" for name, value in self._cookies.items())
            head += f"Cookie: {pairs}\r\n"
        if body:
            head += "Content-Type: application/x-www-form-urlencoded\r\n"
            head += f"Content-Length: {len(body)}\r\n"
        self._socket.sendall(f"{head}\r\n{body}".encode())
        return self._receive()

    def _receive(self) -> Answer:
        received = b""
        while b"\r\n\r\n" not in received:
            received += self._more()
        head, _, body = received.partition(b"\r\n\r\n")
        length = LENGTH.search(head)
        while length and len(body) < int(length[1]):
            body += self._more()
        for name, value in COOKIE.findall(head):
            self._cookies[name.decode()] = value.decode()
        if body and b"\r\nContent-Encoding: br" in head:
            body = brotli.decompress(body)
        location = LOCATION.search(head)
        return Answer(int(head[9:12]), location[1].decode() if location else "", body)

    def _more(self) -> bytes:
        data = self._socket.recv(65536)
        if not data:
            raise FlowBroken("the server closed the connection")
        return data


@dataclass(frozen=True)
class Walk:
    """A finished flow: when it ended (`time.perf_counter`), and seconds for each step."""

    ended: float
    seconds: tuple[float, ...]


def walk(port: int, link: str, *, after: Callable[[str], None] = lambda _step: None) -> Walk:
    """One grower's whole flow, without the pages of John Deere in between.

    :param link: path of the grower's link
    :param after: called with the name of each step that has ended
    :raise FlowBroken: if a step is not answered as it should be
    """
    browser = Browser(port)
    seconds: list[float] = []

    def timed(step: str, send: Callable[[], Answer], status: int, location: str = "") -> Answer:
        began = time.perf_counter()
        answer = send()
        seconds.append(time.perf_counter() - began)
        if answer.status != status or location not in answer.location:
            raise FlowBroken(f"{step}: {answer.status} {answer.location} {answer.body[:300]!r}")
        after(step)
        return answer

    try:
        _walk(browser, link, timed)
    finally:
        browser.close()
    return Walk(time.perf_counter(), tuple(seconds))


def _walk(browser: Browser, link: str, timed: Callable[..., Answer]) -> None:
    page, start, callback, back, status, state = STEPS
    token = CSRF_TOKEN.search(timed(page, lambda: browser.get(link), 200).body)
    if token is None:
        raise FlowBroken("the start page has no form")
    form = {"csrf_token": token[1].decode()}
    sent = timed(start, lambda: browser.post(f"{link}/start", form), 303, "/v1/authorize?")
    given = parse_qs(urlsplit(sent.location).query)["state"][0]
    query = urlencode({"code": f"code-of-{given}", "state": given})
    timed(callback, lambda: browser.get(f"/deere/callback?{query}"), 303, "/select-organizations")
    timed(back, lambda: browser.get("/deere/organizations"), 303, link)
    timed(status, lambda: browser.get(link), 200)
    timed(state, lambda: browser.get(f"{link}/state"), 200)


def bare_pages(port: int, *, pages: int = len(STEPS)) -> Walk:
    """As many requests to the bare page as a flow has, on one connection."""
    browser = Browser(port)
    seconds = []
    try:
        for _ in range(pages):
            began = time.perf_counter()
            answer = browser.get("/")
            seconds.append(time.perf_counter() - began)
            if answer.status != 200:
                raise FlowBroken(f"bare page: {answer.status}")
    finally:
        browser.close()
    return Walk(time.perf_counter(), tuple(seconds))
