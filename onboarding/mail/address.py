"""What `MAIL_URL` and `MAIL_FROM` say: the mail server, and whose address mails come from."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from email.errors import MessageError
from email.headerregistry import Address
from email.utils import getaddresses
from urllib.parse import unquote, urlsplit

PORTS = {"smtp": 587, "smtps": 465}
"""Submission (RFC 6409), and submission over TLS from the first byte (RFC 8314)."""
HOST = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?|[0-9a-f:.]*:[0-9a-f:.]*", re.ASCII)
BAD_PERCENT = re.compile(r"%(?![0-9A-Fa-f]{2})")


@dataclass(frozen=True, kw_only=True)
class MailServer:
    """Where mails are handed in."""

    host: str
    port: int
    implicit_tls: bool
    """TLS from the first byte (`smtps`); otherwise STARTTLS."""
    is_here: bool
    """On this machine: then STARTTLS is not insisted on, and no certificate is checked."""
    user: str = field(default="", repr=False)
    password: str = field(default="", repr=False)


@dataclass(frozen=True, kw_only=True)
class Sender:
    """Whose address mails come from."""

    name: str
    address: str

    @property
    def domain(self) -> str:
        """The part behind the `@`."""
        return self.address.rpartition("@")[2]


@dataclass(frozen=True, kw_only=True)
class Mailing:
    """What is needed to send mails."""

    server: MailServer
    sender: Sender


def mail_server(url: str, *, is_here: bool) -> MailServer:
    """Read `MAIL_URL`.

    :param is_here: whether its host is this machine
    :raise ValueError: saying what to write instead; never with the value, which holds a password
    """
    scheme, separator, _ = url.partition("://")
    if not separator or scheme not in PORTS:
        raise ValueError("must begin with smtp:// or smtps://")
    if BAD_PERCENT.search(url):
        raise ValueError("has a % without two digits behind it; write %25 for a percent sign")
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        raise ValueError(
            f"can't be read; write {scheme}://user:password@host:port, with special characters of "
            "the password percent-encoded"
        ) from None  # its message may quote the password
    if not HOST.fullmatch(host) or port == 0:
        raise ValueError(
            f"names no host; write {scheme}://user:password@host:port, with special characters of "
            "the password percent-encoded"
        )
    if parts.path.rstrip("/") or parts.query or parts.fragment:
        raise ValueError(
            "must end behind the port; percent-encode /, ? and # if they belong to the password"
        )
    user, password = unquote(parts.username or ""), unquote(parts.password or "")
    if bool(user) != bool(password):
        raise ValueError("has a user without a password, or a password without a user")
    if not (user + password).isascii() or not (user + password).isprintable():
        raise ValueError("must have a user and a password of ASCII characters")
    return MailServer(
        host=host,
        port=port or PORTS[scheme],
        implicit_tls=scheme == "smtps",
        is_here=is_here,
        user=user,
        password=password,
    )


def sender(text: str) -> Sender:
    """Read `MAIL_FROM`: an address, perhaps with a name before it.

    :raise ValueError: saying what to write instead
    """
    if not text.isprintable():
        raise ValueError("must be one line of printable characters")
    found = getaddresses([text])
    name, written = found[0] if len(found) == 1 else ("", "")
    address = on_the_wire(written)
    if address is None or "." not in address.rpartition("@")[2]:
        raise ValueError('must be an address, perhaps with a name: "Farm data <connect@host.tld>"')
    return Sender(name=name, address=address)


def on_the_wire(address: str) -> str | None:
    """An address as every mail server takes it: a domain of another script as `xn--…`.

    :return: None if it is no address, or one that only few servers take (RFC 6531)
    """
    local, _, domain = address.rpartition("@")
    try:
        plain = f"{local}@{domain.encode('idna').decode()}"
        return plain if Address(addr_spec=plain).addr_spec == plain else None
    except (ValueError, IndexError, MessageError):
        return None
