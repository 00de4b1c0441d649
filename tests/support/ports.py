"""Free ports on loopback."""

from __future__ import annotations

import os
import random
import socket

EACH = 4000
PROCESS = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
FIRST = 15_000 + EACH * (PROCESS % 4)
"""All are below those from which Linux takes the near end of a connection. A server that is
killed and started again finds its port free: nobody else draws from this process's share, and the
process gives none out twice."""

_given: set[int] = set()


def free_ports(count: int) -> list[int]:
    """Different ports of 127.0.0.1 on which nothing listens."""
    found: list[int] = []
    while len(found) < count:
        port = random.randrange(FIRST, FIRST + EACH)
        if port not in _given and _is_free(port):
            _given.add(port)
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
