"""Which addresses webhooks are sent to: public ones, and those that the settings allow.

Asked of the address itself, at the moment of connecting: a name may mean another one then than
when it was entered.
"""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Callable, Sequence
from ipaddress import IPv4Address, IPv6Address

from onboarding.settings import Network

Address = IPv4Address | IPv6Address
AddressInfo = tuple[int, int, int, str, tuple[str, int] | tuple[str, int, int, int]]
"""As `socket.getaddrinfo` gives one, and aiohttp hands it on."""
TRANSLATED = ipaddress.IPv6Network("64:ff9b::/96")
"""Addresses of IPv4 for networks of IPv6 alone (RFC 6052)."""

GLOBAL = ipaddress.IPv6Network("2000::/3")
"""All that is given out for the public Internet (RFC 4291). Python takes much else for public, too:
`fec0::/10`, and ranges within which routers read an address of IPv4."""

FOR_EXAMPLES = ipaddress.IPv6Network("3fff::/20")
"""For documents alone (RFC 9637)."""

PROTOCOLS = ipaddress.IPv4Network("192.0.0.0/24")
"""For protocols alone (RFC 6890); not every release of Python knows that of all of them."""


class NotAllowed(OSError):
    """The address is not a public one."""


def is_public(address: Address) -> bool:
    """Whether it is an address in the public Internet, and of one machine.

    Not: private, loopback, link-local, shared by carriers (RFC 6598), multicast, reserved; nor an
    IPv6 address within which one of those is written.
    """
    if isinstance(address, IPv4Address):
        return address.is_global and not address.is_multicast and address not in PROTOCOLS
    if address not in GLOBAL and address not in TRANSLATED:
        return False
    is_fine = address.is_global and address not in FOR_EXAMPLES
    return is_fine and all(map(is_public, _within(address)))


def is_allowed(address: Address, allowed: Sequence[Network]) -> bool:
    """Whether webhooks may go there."""
    candidates = (address, *_within(address))
    if any(one in network for one in candidates for network in allowed):
        return True
    return is_public(address)


def factory(allowed: Sequence[Network]) -> Callable[[AddressInfo], socket.socket]:
    """What makes the socket for an address, or refuses to.

    :return: raises `NotAllowed`
    """

    def make(info: AddressInfo) -> socket.socket:
        family, kind, protocol, _, target = info
        if not is_allowed(ipaddress.ip_address(target[0].partition("%")[0]), allowed):
            raise NotAllowed("the address is not in the public Internet")
        made = socket.socket(family, kind, protocol)
        made.setblocking(False)
        return made

    return make


def _within(address: Address) -> tuple[IPv4Address, ...]:
    """The addresses of IPv4 that are written in one of IPv6."""
    if isinstance(address, IPv4Address):
        return ()
    found = [address.ipv4_mapped, address.sixtofour, *(address.teredo or ())]
    if address in TRANSLATED:
        found.append(IPv4Address(int(address) & 0xFFFFFFFF))
    return tuple(one for one in found if one is not None)
