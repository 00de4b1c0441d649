"""Links, and the cookies that tie a browser to an attempt or to a connection.

Every purpose has its own salt, so a signature made for one is worthless for another. What is
signed is an id only; expiry and revocation stand in the database.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from uuid import UUID

from itsdangerous import BadSignature, Signer, TimestampSigner

from onboarding import clock
from onboarding.errors import LinkInvalid

STATE_BYTES = 32
ATTEMPT_COOKIE_PREFIX = "__Host-attempt-"
GROWER_COOKIE_PREFIX = "__Host-grower-"
CHOICE_COOKIE = "__Host-choice"
ATTEMPT_COOKIES_KEPT = 20
GROWER_COOKIES_KEPT = 30
"""Both kinds together stay well below the 8 kB that servers allow a header."""
GROWER_COOKIE_LIFETIME = timedelta(days=90)
CHOICE_COOKIE_LIFETIME = timedelta(hours=1)
NOT_OURS = "this installation did not make this link, or a part of it is missing"


class DatedSigner(TimestampSigner):
    """Dates what it signs by our clock."""

    def get_timestamp(self) -> int:
        """Whole seconds since 1970."""
        return int(clock.seconds())


class Links:
    """Signs and reads what growers carry.

    :param secret_key: the installation's `SECRET_KEY`
    """

    def __init__(self, secret_key: str) -> None:
        self._link = Signer(secret_key, salt="onboarding.link", digest_method=hashlib.sha256)
        self._browser = DatedSigner(
            secret_key, salt="onboarding.browser", digest_method=hashlib.sha256
        )
        self._stop = Signer(secret_key, salt="onboarding.mail-stop", digest_method=hashlib.sha256)

    def token(self, link_id: UUID) -> str:
        """The part of a link's URL behind `/c/`."""
        return self._link.sign(_pack(link_id)).decode()

    def url(self, public_url: str, link_id: UUID) -> str:
        """A link's whole URL, which is stored nowhere.

        :param public_url: the installation's `PUBLIC_URL`
        """
        return f"{public_url}/c/{self.token(link_id)}"

    def link_id(self, token: str) -> UUID:
        """The id of a link, from its URL.

        :raise LinkInvalid: if this installation did not sign it
        """
        try:
            link_id = _unpack(self._link.unsign(token))
        except (BadSignature, ValueError) as err:
            raise LinkInvalid(NOT_OURS) from err
        if token != self.token(link_id):
            # Base64 has spare bits and padding: the same link in another spelling would be
            # another one to the limits per link.
            raise LinkInvalid(NOT_OURS)
        return link_id

    def stop_token(self, grower_id: UUID) -> str:
        """What stops mails to a grower, behind `/m/`. It opens nothing else, and never expires."""
        return self._stop.sign(_pack(grower_id)).decode()

    def stopped_grower_id(self, token: str) -> UUID:
        """The id of the grower whose mails are to be stopped.

        :raise LinkInvalid: if this installation did not sign it
        """
        try:
            return _unpack(self._stop.unsign(token))
        except (BadSignature, ValueError) as err:
            raise LinkInvalid(NOT_OURS) from err

    def browser_value(self, connection_id: UUID) -> str:
        """The value of the cookie with which the browser that connected keeps its access."""
        return self._browser.sign(_pack(connection_id)).decode()

    def is_browser_of(self, connection_id: UUID, value: str | None) -> bool:
        """Whether a cookie's value was given to this connection in the last 90 days."""
        if not value:
            return False
        try:
            packed = self._browser.unsign(
                value, max_age=int(GROWER_COOKIE_LIFETIME.total_seconds())
            )
            return _unpack(packed) == connection_id
        except (BadSignature, ValueError):
            return False

    def surplus_browsers(self, cookies: Mapping[str, str]) -> list[str]:
        """The cookies of growers that a browser can forget: forged ones, and the oldest.

        Whoever connects one grower after the other in the same browser would one day overflow
        the request's headers.

        :param cookies: the values of a browser's cookies by their names
        """
        given = {
            name: self._given(value)
            for name, value in cookies.items()
            if name.startswith(GROWER_COOKIE_PREFIX)
        }
        names = sorted(given, key=lambda name: given[name])
        return names[: max(0, len(names) - GROWER_COOKIES_KEPT)]

    def _given(self, value: str) -> float:
        """When a browser's value was signed, in seconds since 1970; 0 if never."""
        try:
            return self._browser.unsign(value, return_timestamp=True)[1].timestamp()
        except BadSignature:
            return 0.0


def new_secret() -> str:
    """256 random bits as letters, digits, `-` and `_` (all that Okta allows in `state`)."""
    return secrets.token_urlsafe(STATE_BYTES)


def digest(secret: str) -> bytes:
    """What is stored of a secret that only has to be recognized: its SHA-256."""
    return hashlib.sha256(secret.encode()).digest()


def matches(secret: str, stored: bytes) -> bool:
    """Whether a secret is the one whose digest was stored; in constant time."""
    return hmac.compare_digest(digest(secret), stored)


def attempt_cookie(attempt_id: UUID, began: datetime) -> str:
    """The name of the cookie that binds one attempt to one browser; names sort by age."""
    return f"{ATTEMPT_COOKIE_PREFIX}{int(began.timestamp()):010x}-{attempt_id.hex[:12]}"


def surplus_cookies(cookies: Iterable[str]) -> list[str]:
    """The attempt cookies that a browser can forget, the oldest first.

    Every tab has its own; so many of them would one day overflow the request's headers.
    """
    names = sorted(name for name in cookies if name.startswith(ATTEMPT_COOKIE_PREFIX))
    return names[: max(0, len(names) - ATTEMPT_COOKIES_KEPT)]


def grower_cookie(connection_id: UUID) -> str:
    """The name of the cookie with which a browser keeps access to a connection."""
    return GROWER_COOKIE_PREFIX + connection_id.hex


def connection_ids(cookies: Iterable[str]) -> list[UUID]:
    """The connections that a browser's cookies name (names are claims: check the values)."""
    found = []
    for name in cookies:
        if name.startswith(GROWER_COOKIE_PREFIX):
            try:
                found.append(UUID(hex=name.removeprefix(GROWER_COOKIE_PREFIX)))
            except ValueError:
                continue
    return found


def _pack(identity: UUID) -> bytes:
    return base64.urlsafe_b64encode(identity.bytes).rstrip(b"=")


def _unpack(text: bytes) -> UUID:
    return UUID(bytes=base64.urlsafe_b64decode(text + b"=="))
