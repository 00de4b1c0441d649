"""Frames that ask where their growers stand, many at once: what `static/frame.js` does of it.

They are part of this process, each a bare connection with next to no work of its own, since they
share the machine with what is measured.
"""

from __future__ import annotations

import asyncio
import os
import random
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from time import perf_counter

ETAG = re.compile(rb"\r\nETag: ([^\r]+)", re.IGNORECASE)
LENGTH = re.compile(rb"\r\nContent-Length: (\d+)", re.IGNORECASE)
UNCHANGED = 304
MS = 1000
ANSWER_SECONDS = 30.0


@dataclass
class Heard:
    """What all frames were answered in the measured time.

    :ivar seconds: how long each answer took, in the order of the answers
    """

    until: float
    since: float
    seconds: list[float] = field(default_factory=list)
    all: int = 0
    """Before and after the measured time, too."""
    unchanged: int = 0
    broken: list[str] = field(default_factory=list)

    def note(self, began: float, status: int) -> None:
        """An answer has come."""
        self.all += 1
        if self.since <= began < self.until:
            self.seconds.append(perf_counter() - began)
            self.unchanged += status == UNCHANGED


@dataclass(frozen=True)
class Asked:
    """How a crowd of frames was answered.

    :ivar answers: how long each took, in seconds
    :ivar all: answers before and after the measured time, too
    :ivar own_cpu: seconds of CPU that the frames themselves took for all of them
    """

    answers: Sequence[float]
    unchanged: int
    all: int
    own_cpu: float


class Frame(asyncio.Protocol):
    """One frame: asks, waits for the answer, pauses, asks again."""

    def __init__(self, heard: Heard, head: str, pause: float) -> None:
        self._heard, self._head, self._pause = heard, head, pause
        self._etag = b""
        self._received = b""
        self._began = 0.0
        self.over: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The first question."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._ask()

    def data_received(self, data: bytes) -> None:
        """A part of an answer, or all of it."""
        self._received += data
        head, end, body = self._received.partition(b"\r\n\r\n")
        status = int(head[9:12]) if end else 0
        length = LENGTH.search(head) if end and status != UNCHANGED else None
        if not end or (length and len(body) < int(length[1])):
            return
        self._received = b""
        self._heard.note(self._began, status)
        if etag := ETAG.search(head):
            self._etag = etag[1]
        if status not in {200, UNCHANGED}:
            self._end(f"answered {status}")
        elif perf_counter() > self._heard.until:
            self._end()
        else:
            asyncio.get_running_loop().call_later(self._pause, self._ask)

    def connection_lost(self, exc: Exception | None) -> None:
        """The server has closed it, or we have."""
        self._end(f"connection lost: {exc}")

    def _ask(self) -> None:
        if self.over.done():
            return
        if perf_counter() > self._heard.until:
            self._end()
            return
        self._began = perf_counter()
        known = f"If-None-Match: {self._etag.decode()}\r\n" if self._etag else ""
        self._transport.write(f"{self._head}{known}\r\n".encode())

    def _end(self, trouble: str = "") -> None:
        if self.over.done():
            return
        if trouble:
            self._heard.broken.append(trouble)
        self.over.set_result(None)
        self._transport.close()


def poll(
    port: int, slug: str, tokens: Sequence[str], *, pause: float, warm_up: float, seconds: float
) -> Asked:
    """One frame for each token, all at once.

    :param port: of web, on loopback
    :param pause: seconds between an answer and the next question
    :param warm_up: seconds within which they come; then the measured time begins
    :raise RuntimeError: if any frame was not answered as it should be
    """
    before = sum(os.times()[:2])
    heard = asyncio.run(_poll(port, slug, tokens, pause, warm_up, seconds))
    if heard.broken:
        raise RuntimeError(f"{len(heard.broken)} frames were not answered: {heard.broken[0]}")
    own_cpu = sum(os.times()[:2]) - before
    return Asked(heard.seconds, heard.unchanged, heard.all, own_cpu)


async def _poll(
    port: int, slug: str, tokens: Sequence[str], pause: float, warm_up: float, seconds: float
) -> Heard:
    since = perf_counter() + warm_up
    heard = Heard(since + seconds, since)

    async def come(number: int, token: str) -> None:
        await asyncio.sleep(random.uniform(0, warm_up))
        made = partial(Frame, heard, _head(port, slug, token, number), pause)
        _, frame = await asyncio.get_running_loop().create_connection(made, "127.0.0.1", port)
        await frame.over

    async with asyncio.timeout(warm_up + seconds + pause + ANSWER_SECONDS):
        await asyncio.gather(*(come(number, token) for number, token in enumerate(tokens)))
    return heard


def _head(port: int, slug: str, token: str, number: int) -> str:
    # Each comes from an address of its own, of the block that is kept for benchmarks (RFC 2544).
    address = f"198.{18 + number // 65536 % 2}.{number // 256 % 256}.{number % 256}"
    return (
        f"GET /embed/{slug}/state HTTP/1.1\r\nHost: localhost:{port}\r\n"
        f"Authorization: Bearer {token}\r\nX-Forwarded-For: {address}\r\n"
        "Accept: */*\r\nAccept-Encoding: gzip, deflate, br\r\n"
        "Sec-Fetch-Mode: cors\r\nSec-Fetch-Dest: empty\r\n"
    )
