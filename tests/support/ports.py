"""Free ports on loopback."""

from __future__ import annotations

import random
import socket

FIRST, LAST = 15_000, 32_000
"""Below those from which Linux takes the near end of a connection: a server that is killed and
started again finds its port free."""


def free_ports(count: int) -> list[int]:
    """Different ports of 127.0.0.1 on which nothing listens now."""
    found: list[int] = []
    while len(found) < count:
        port = random.randint(FIRST, LAST)
        if port not in found and _is_free(port):
            found.append(port)
    return found


def free_port() -> int:
    """One of them."""
    return free_ports(1)[0]


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True
