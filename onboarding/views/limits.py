"""How often one address and one link may begin and come back.

Counted in each web process's memory: enough against a flood, and nothing to run beside it. What
must not be guessed (links, states) is too long to be guessed at any rate.
"""

from __future__ import annotations

import ipaddress
from uuid import UUID

from flask import abort, request
from flask_limiter import Limiter
from flask_limiter.util import get_remote_address
from limits import parse

START_PER_ADDRESS = "60 per minute"
START_PER_LINK = "30 per hour"
CALLBACK_PER_ADDRESS = "120 per minute"
SIGN_IN_PER_ADDRESS = "20 per minute; 200 per hour"
"""Passwords of staff; a whole office may have one address."""
EMBED_PER_ADDRESS = "600 per minute"
"""A frame asks once a second; a whole office may have one address."""
DOCTOR_PER_ADDRESS = "60 per minute"
"""What a developer does by hand, or a page once when it is loaded."""
API_PER_ADDRESS = "600 per minute"
"""Without a key. With one it is counted in the key's row, for all processes."""
WRONG_KEYS_PER_ADDRESS = parse("60 per minute")
CALLBACK_PER_LINK = parse("60 per hour")
OPENINGS_PER_LINK = parse("60 per hour")
"""Of a frame's link, that are written down: as many as it is pressed by people while it lasts."""
OPEN_LINK_PER_ADDRESS = parse("30 per hour")
"""A whole co-op's meeting may have one address; a mailbox has a limit of its own in the rows."""
OPEN_LINK_PER_PARTNER = parse("300 per hour")
NETWORK_BITS = 64


def address() -> str:
    """Whose request it is: an IPv4 address, or the network of an IPv6 one, of which one household
    has as many as it likes."""
    text = get_remote_address()
    try:
        found = ipaddress.ip_address(text)
    except ValueError:
        return text
    if isinstance(found, ipaddress.IPv4Address):
        return text
    return str(found.ipv4_mapped or ipaddress.ip_network((found, NETWORK_BITS), strict=False))


limiter = Limiter(key_func=address, storage_uri="memory://", strategy="moving-window")


def count_return(link_id: UUID) -> None:
    """Count a return from John Deere for a link; too many of them end the request with 429.

    Not by `limiter.limit(…)`: used inside a view, it shares its key between threads.
    """
    if not limiter.limiter.hit(CALLBACK_PER_LINK, "return", str(link_id)):
        abort(429)


def may_note_opening(link_id: UUID) -> bool:
    """Count an opening of a link; False: so many were written down that the next is not."""
    return limiter.limiter.hit(OPENINGS_PER_LINK, "opened", str(link_id))


def may_ask_openly(slug: str) -> bool:
    """Count a request at a partner's open link; False: there have been too many."""
    hit = limiter.limiter.hit
    return hit(OPEN_LINK_PER_ADDRESS, "open", address()) and hit(
        OPEN_LINK_PER_PARTNER, "open", slug
    )


def link_in_path() -> str:
    """The link that a request names in its path."""
    return str((request.view_args or {}).get("token", ""))
