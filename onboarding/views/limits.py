"""How often one address and one link may begin and come back.

Counted in each web process's memory: enough against a flood, and nothing to run beside it. What
must not be guessed (links, states) is too long to be guessed at any rate.
"""

from __future__ import annotations

from flask import request
from flask_limiter import Limiter
from flask_limiter.util import get_remote_address

START_PER_ADDRESS = "60 per minute"
START_PER_LINK = "30 per hour"
CALLBACK_PER_ADDRESS = "120 per minute"
CALLBACK_PER_LINK = "60 per hour"

limiter = Limiter(key_func=get_remote_address, storage_uri="memory://", strategy="moving-window")


def link_in_path() -> str:
    """The link that a request names in its path."""
    return str((request.view_args or {}).get("token", ""))
