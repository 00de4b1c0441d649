"""What a partner may cost the one loop that serves all: bytes of an answer, and look-ups of names.

A server can write interim answers (1xx) without end, which aiohttp passes by, and a name can hang:
nothing ends a look-up that has begun, and there are only so many threads for them.
"""

from __future__ import annotations

import asyncio
import socket
from collections import defaultdict
from contextvars import ContextVar
from functools import partial
from typing import Any, cast
from uuid import UUID

import aiohttp
from aiohttp.abc import ResolveResult
from aiohttp.client_proto import ResponseHandler
from aiohttp.http_parser import RawResponseMessage
from aiohttp.streams import StreamReader

HEAD_LIMIT = 16 * 1024
"""Bytes that are taken before the answer's own head has ended, interim answers and all."""
LIMIT = 128 * 1024
"""Bytes that are taken after it: of the body, and of what frames it."""
PART = 16 * 1024
"""So many bytes are parsed before what they were is looked at."""
LOOK_UPS = 8
"""Of one partner's names, at once."""
SECONDS = 10.0
"""For all of a request: finding the address, connecting, sending, and the whole answer. So long a
look-up waits for its turn as well: after that, nobody waits for it."""

partner: ContextVar[UUID] = ContextVar("partner")
"""To whom a request goes."""


class Handler(ResponseHandler):
    """What comes in on a connection: more than is worth reading ends it."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(loop)
        self._left, self._is_answered, self._is_over = HEAD_LIMIT, False, False

    def set_response_params(self, **params: Any) -> None:
        """Another request is about to be sent."""
        self._left, self._is_answered, self._is_over = HEAD_LIMIT, False, False
        super().set_response_params(**params)

    def feed_data(self, data: tuple[RawResponseMessage, StreamReader], size: int = 0) -> None:
        """An answer has begun: an interim one, or the one that was asked for."""
        if self._is_answered:
            self._is_over = True  # nobody has asked for another
            return
        if not 100 <= data[0].code < 200:
            self._is_answered = True
            self._left += LIMIT
        super().feed_data(data, size)

    def data_received(self, data: bytes) -> None:
        """Take it, a part at a time."""
        while not self._is_over:
            part = data[: min(PART, self._left)]
            data = data[len(part) :]
            self._left -= len(part)
            super().data_received(part)
            if not data:
                break
            self._is_over = self._is_over or not self._left
        if self._is_over and self.transport is not None:
            self.transport.abort()


class Resolver(aiohttp.ThreadedResolver):
    """Looks up a few names of each partner at once, so that those that hang hold up no other's."""

    def __init__(self) -> None:
        super().__init__()
        self._places: defaultdict[UUID, asyncio.Semaphore] = defaultdict(
            lambda: asyncio.Semaphore(LOOK_UPS)
        )

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """As every resolver. aiohttp lets it go on when nobody waits for it any more, so that the
        place is free when the thread is.

        :raise TimeoutError: if it has not been its turn
        """
        places = self._places[partner.get()]
        async with asyncio.timeout(SECONDS):
            await places.acquire()
        try:
            return await super().resolve(host, port, family)
        finally:
            places.release()


class Connector(aiohttp.TCPConnector):
    """Connects within these bounds."""

    def __init__(self, **options: Any) -> None:
        super().__init__(resolver=Resolver(), **options)
        # There is no public way to say it.
        self._factory = cast(Any, partial(Handler, loop=self._loop))
