"""How much a program may still ask, told with every answer.

Headers: draft-ietf-httpapi-ratelimit-headers. With a key it is the key's; else the address's.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from flask import Response, g

from onboarding import clock
from onboarding.models import ApiKey
from onboarding.partners import quota
from onboarding.views.limits import WRONG_KEYS_PER_ADDRESS, address, limiter
from onboarding.views.parts import installation

KEY, ADDRESS, WRONG_KEYS = "default", "address", "wrong-keys"
"""Names of the policies."""


@dataclass(frozen=True)
class Allowance:
    """What one limit leaves.

    :ivar window: in seconds, as is `resets_in`
    """

    name: str
    quota: int
    window: int
    remaining: int
    resets_in: int


def is_spent(key: ApiKey) -> bool:
    """Count a request with a key; whether there were too many."""
    left = quota.spend(installation().database, key)
    window = int(quota.WINDOW.total_seconds())
    g.allowance = Allowance(KEY, quota.REQUESTS, window, left.remaining, left.resets_in)
    return left.is_too_much


def is_trying_keys() -> bool:
    """Count a key that does not work; whether there were too many from one address."""
    item, names = WRONG_KEYS_PER_ADDRESS, ("wrong-key", address())
    window = item.get_expiry()
    is_let_in = limiter.limiter.hit(item, *names)
    left = limiter.limiter.get_window_stats(item, *names)
    g.allowance = Allowance(
        WRONG_KEYS, item.amount, window, left.remaining, _seconds_to(left.reset_time, window)
    )
    return not is_let_in


def current() -> Allowance | None:
    """That of this request; None: none has been looked at."""
    if "allowance" in g:
        found: Allowance = g.allowance
        return found
    reached = limiter.current_limit
    if reached is None:
        return None
    window = reached.limit.get_expiry()
    return Allowance(
        ADDRESS,
        reached.limit.amount,
        window,
        max(0, reached.remaining),
        _seconds_to(reached.reset_at, window),
    )


def tell(answer: Response) -> Response:
    """Say with an answer what is left."""
    left = current()
    if left is not None:
        answer.headers["RateLimit-Policy"] = f'"{left.name}";q={left.quota};w={left.window}'
        answer.headers["RateLimit"] = f'"{left.name}";r={left.remaining};t={left.resets_in}'
        if answer.status_code == 429:
            answer.headers["Retry-After"] = str(left.resets_in)
    return answer


def _seconds_to(moment: float, window: int) -> int:
    """Within the window: flask-limiter rounds its end up."""
    return min(window, max(1, math.ceil(moment - clock.real().timestamp())))
