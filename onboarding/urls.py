"""Addresses of services, as settings and forms have them."""

from __future__ import annotations

import ipaddress
import re
from urllib.parse import urlsplit

USUAL_PORTS = {"http": 80, "https": 443}
HOST_AND_PORT = re.compile(r"(?:[\w.-]+|\[[0-9a-fA-F:.]+\])(?::[0-9]{1,5})?", re.ASCII)


def is_loopback(url: str) -> bool:
    """Whether a URL names this machine: localhost, *.localhost or a loopback address."""
    try:
        host = urlsplit(url).hostname or ""
        if host == "localhost" or host.endswith(".localhost"):
            return True
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def fault_of_url(value: str, *, origin: bool = False) -> str | None:
    """What is wrong with the address of a service, to be read after its name; None: nothing.

    :param origin: whether it must have no path
    """
    try:
        parts = urlsplit(value)
        port_is_fine = parts.port is None or parts.port > 0
    except ValueError:
        return "is not a URL"
    plain_is_fine = parts.scheme == "http" and is_loopback(value)
    if not parts.hostname or not port_is_fine or not (parts.scheme == "https" or plain_is_fine):
        return "must be an https:// URL (http:// on loopback only)"
    if any(mark in value for mark in "@?#"):
        return "must hold no user name, query or fragment"
    if not HOST_AND_PORT.fullmatch(parts.netloc):
        return "is not a URL: a host has letters, digits, '-' and '.'"
    if origin and parts.path:
        return f"must be an origin, without the path {parts.path}"
    return None
