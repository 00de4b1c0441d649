"""Which process a worker is, and whether another one of this machine has ended."""

from __future__ import annotations

import os
import socket
from contextlib import suppress
from pathlib import Path

from onboarding.models import Worker

BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
"""Random, one for each start of a machine (Linux)."""


def host() -> str:
    """This machine, or this container of it: where a process number means one process.

    Names of machines repeat, and so do namespaces: the first of every machine has the same number.
    """
    parts = [socket.gethostname()]
    with suppress(OSError):
        parts.append(BOOT_ID.read_text().strip())
    with suppress(OSError):
        parts.append(os.readlink("/proc/self/ns/pid"))
    return " ".join(parts)


def is_gone(other: Worker, worker: Worker) -> bool:
    """Whether another worker of this machine has ended, seen from its process."""
    if other.host != worker.host or other.id == worker.id:
        return False
    if other.pid == worker.pid:
        return True  # a container that was started anew: the same number, another process
    try:
        os.kill(other.pid, 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        return False
    return False
