"""Nothing that a test does in this process leaves the machine."""

from __future__ import annotations

import ipaddress
import socket
import sys
from typing import Any

OURS = {"localhost", "localhost.localdomain", ""}


class LeftTheMachine(AssertionError):
    """A test tried to reach another machine."""


def allow_loopback_only() -> None:
    """Refuse, from now on, every connection and name look-up beyond loopback."""
    sys.addaudithook(_audit)


def _audit(event: str, arguments: tuple[Any, ...]) -> None:
    if event in {"socket.connect", "socket.sendto"}:
        sock, address = arguments
        if sock.family in {socket.AF_INET, socket.AF_INET6}:
            _check(address[0])
    elif event == "socket.getaddrinfo":
        _check(arguments[0])


def _check(host: str | bytes | None) -> None:
    name = (host.decode() if isinstance(host, bytes) else host or "").lower()
    if name in OURS or name.endswith(".localhost"):
        return
    try:
        if ipaddress.ip_address(name).is_loopback or ipaddress.ip_address(name).is_unspecified:
            return
    except ValueError:
        pass
    raise LeftTheMachine(f"tests stay on this machine; this one wanted {name}")
