"""What is taken as a name, an e-mail address, a telephone number, a URL, and what is not.

Each function gives the value as it is kept, or raises `InputInvalid`, which says what to change.
"""

from __future__ import annotations

import re
from urllib.parse import urlsplit

from onboarding.errors import InputInvalid
from onboarding.urls import HOST_AND_PORT, USUAL_PORTS, is_loopback

EMAIL = re.compile(r"[^@\s]+@[^@\s]+\.[^@\s]+")
PHONE = re.compile(r"\+?[0-9(][0-9 ()/.x-]{3,}")
NAME_MAX = 200
EMAIL_MAX = 254
PHONE_MAX = 40
URL_MAX = 500


def text(value: str, what: str, limit: int) -> str:
    """One that is not empty.

    :param what: how it is called, for who has to change it
    :param limit: so many characters at most
    """
    trimmed = value.strip()
    if not trimmed or len(trimmed) > limit:
        raise InputInvalid(f"The {what} must have 1 to {limit} characters.")
    return trimmed


def optional(value: str | None, what: str, limit: int) -> str | None:
    """The same, or nothing."""
    return text(value, what, limit) if value else None


def email(value: str | None) -> str | None:
    """An e-mail address, or nothing."""
    if value and (len(value) > EMAIL_MAX or not EMAIL.fullmatch(value)):
        raise InputInvalid(f"{value!r} is not an e-mail address.")
    return value or None


def phone(value: str) -> str:
    """A telephone number as people write it."""
    number = value.strip()
    if len(number) > PHONE_MAX or not PHONE.fullmatch(number):
        raise InputInvalid(
            f"{value!r} is not a telephone number: write at most {PHONE_MAX} digits, spaces and "
            "+ ( ) / . -"
        )
    return number


def url(value: str, what: str) -> str:
    """Where a browser may be sent.

    :param what: how it is called, for who has to change it
    """
    text(value, what, URL_MAX)
    if not _is_url(value):
        raise InputInvalid(f"The {what} must be an https:// URL; {value!r} is not.")
    return value


def return_url(value: str) -> str:
    """Where growers may be sent back to; what becomes of them is written into its query."""
    if "#" in url(value, "return URL"):
        raise InputInvalid(f"A return URL has no fragment: leave out # and the rest of {value!r}.")
    return value


def origin(value: str) -> str:
    """As browsers write it (RFC 6454): small letters, and no port where it is the usual one."""
    parts = urlsplit(url(value, "frame origin"))
    host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname
    usual = parts.port in {None, USUAL_PORTS[parts.scheme]}
    written = f"{parts.scheme}://{host}" if usual else f"{parts.scheme}://{host}:{parts.port}"
    if parts.path not in {"", "/"} or parts.query or parts.fragment:
        raise InputInvalid(
            f"A frame origin has a scheme, a host and perhaps a port, and no path: write "
            f"{written} instead of {value!r}."
        )
    return written


def _is_url(value: str) -> bool:
    """Whether a browser reads it as we do: what it would strip or repair is refused."""
    try:
        parts = urlsplit(value)
        secure = parts.scheme == "https" or (parts.scheme == "http" and is_loopback(value))
        has_host = bool(HOST_AND_PORT.fullmatch(parts.netloc)) and parts.port != 0
    except ValueError:
        return False
    return secure and has_host and value.isprintable() and " " not in value
