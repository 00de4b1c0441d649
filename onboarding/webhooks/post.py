"""One request to a partner's server, and what came of it.

Whatever the server does, it costs ten seconds and 64 KB at most, and is an `Answer`.
"""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from uuid import UUID

import aiohttp
import certifi
from yarl import URL

from onboarding import clock
from onboarding.redaction import redact
from onboarding.settings import Network
from onboarding.webhooks import bounds
from onboarding.webhooks.addresses import NotAllowed, factory
from onboarding.webhooks.answer import Answer

READ_LIMIT = 64 * 1024
"""Bytes of an answer that are read."""
KEPT = 300
"""Characters of an answer that are kept."""
NAMES_KEPT_SECONDS = 10
IDLE_SECONDS = 15.0
LONGEST_PAUSE = 3600.0
"""Seconds; who asks for a longer one is tried again after this."""


@asynccontextmanager
async def client(allowed: Sequence[Network]) -> AsyncIterator[aiohttp.ClientSession]:
    """What sends: no cookies, no proxy, no address that is not allowed.

    :param allowed: networks beside the public Internet
    """
    context = ssl.create_default_context()
    context.load_verify_locations(certifi.where())
    connector = bounds.Connector(
        ssl=context,
        socket_factory=factory(allowed),
        limit=0,  # the courier counts
        ttl_dns_cache=NAMES_KEPT_SECONDS,
        keepalive_timeout=IDLE_SECONDS,
    )
    async with aiohttp.ClientSession(
        connector=connector,
        cookie_jar=aiohttp.DummyCookieJar(),
        auto_decompress=False,
        headers={"Accept-Encoding": "identity"},  # what is answered is shown to people
        timeout=aiohttp.ClientTimeout(total=None),
        trust_env=False,
    ) as session:
        yield session


async def post(
    session: aiohttp.ClientSession,
    url: str,
    body: str,
    headers: Mapping[str, str],
    *,
    partner: UUID,
) -> Answer:
    """Send it, and understand the answer. Redirects are not followed.

    :param partner: whose server it is
    """
    bounds.partner.set(partner)
    at, began = clock.now(), time.monotonic()

    def answered(status: int | None, text: str, pause: float | None = None) -> Answer:
        took = round((time.monotonic() - began) * 1000)
        return Answer(at, took, status, redact(text, limit=KEPT), pause)

    status: int | None = None
    try:
        async with (
            asyncio.timeout(bounds.SECONDS),
            session.post(
                URL(url, encoded=True),
                data=body.encode(),
                headers=headers,
                allow_redirects=False,
            ) as response,
        ):
            status = response.status
            pause = _pause(response.headers.get("Retry-After", ""))
            return answered(status, await _read(response), pause)
    except TimeoutError:
        text = "the answer did not end in time" if status else "no answer within 10 seconds"
        return answered(status, text)
    except aiohttp.ClientConnectorError as err:
        return answered(None, _why(err))
    except aiohttp.ClientError:
        return answered(status, "the connection broke off, or what came is no HTTP")
    except (OSError, ValueError):
        return answered(status, "the request could not be sent")


async def _read(response: aiohttp.ClientResponse) -> str:
    """The body, as far as it is read. More than that closes the connection."""
    found = bytearray()
    while len(found) <= READ_LIMIT and (chunk := await response.content.readany()):
        found += chunk
    if len(found) > READ_LIMIT:
        response.close()
    return bytes(found[: 4 * KEPT]).decode(errors="replace")


def _why(err: aiohttp.ClientConnectorError) -> str:
    """In a line that partners read, too: it does not tell which names there are within our network,
    by telling a name without an address from one with an address that is not public."""
    if isinstance(err, aiohttp.ClientConnectorDNSError) or _is_because_of(err, NotAllowed):
        return "not sent: the host has no address in the public Internet"
    if isinstance(err, aiohttp.ClientConnectorCertificateError | aiohttp.ClientSSLError):
        return "no trusted TLS connection"
    return "no connection"


def _is_because_of(err: BaseException | None, kind: type[BaseException]) -> bool:
    while err is not None:
        if isinstance(err, kind) or isinstance(getattr(err, "os_error", None), kind):
            return True
        err = err.__cause__ or err.__context__
    return False


def _pause(value: str) -> float | None:
    """Seconds of a `Retry-After`; dates are not understood, nor needed."""
    value = value.strip()
    if not (value.isascii() and value.isdecimal() and len(value) < 10):
        return None
    return min(float(value), LONGEST_PAUSE)
