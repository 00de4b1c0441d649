"""Settings: read once from the environment (and `.env`), checked, then frozen."""

from __future__ import annotations

import base64
import binascii
import ipaddress
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from dotenv import dotenv_values

from onboarding.errors import SettingsInvalid
from onboarding.states import Environment

WELL_KNOWN = "/.well-known/oauth-authorization-server"
DEERE_METADATA_URL = "https://signin.johndeere.com/oauth2/aus78tnlaysMraFhC1t7" + WELL_KNOWN
DEERE_API_URLS = {
    Environment.STAGE: "https://sandboxapi.deere.com/platform",
    Environment.PRODUCTION: "https://api.deere.com/platform",
}
DEERE_SCOPES = "ag1 ag2 ag3 eq1 org1 files offline_access"
LEAF_API_URL = "https://api.withleaf.io"
ENCRYPTION_KEY_BYTES = 32
SECRET_KEY_MIN_CHARS = 32


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What an installation is told from outside. Secrets are left out of its repr."""

    secret_key: str = field(repr=False)
    encryption_keys: tuple[bytes, ...] = field(repr=False)
    """AES-256 keys; the first encrypts, all decrypt."""
    database_url: str = field(repr=False)
    public_url: str
    """Origin of this app as browsers see it, without a trailing slash."""
    trusted_proxies: int
    """How many proxies stand in front and append to `X-Forwarded-For`."""
    deere_client_key: str
    deere_client_secret: str = field(repr=False)
    deere_environment: Environment
    deere_metadata_url: str
    deere_api_url: str
    deere_scopes: tuple[str, ...]
    leaf_api_url: str
    leaf_username: str
    leaf_password: str = field(repr=False)
    leaf_requests_per_minute: int
    link_lifetime_days: int

    @property
    def deere_issuer(self) -> str:
        """The issuer that John Deere's metadata must name (RFC 8414 section 3.3)."""
        return self.deere_metadata_url.removesuffix(WELL_KNOWN)

    @property
    def callback_url(self) -> str:
        """The first redirect URI to register at John Deere."""
        return f"{self.public_url}/deere/callback"

    @property
    def organizations_url(self) -> str:
        """The second redirect URI to register at John Deere."""
        return f"{self.public_url}/deere/organizations"

    @property
    def is_sandbox(self) -> bool:
        """Whether John Deere or Leaf is a simulation on this machine."""
        return is_loopback(self.deere_metadata_url) or is_loopback(self.leaf_api_url)

    @property
    def is_local(self) -> bool:
        """Whether only browsers on this machine can open the app."""
        return is_loopback(self.public_url)


def is_loopback(url: str) -> bool:
    """Whether a URL names this machine: localhost, *.localhost or a loopback address."""
    host = urlsplit(url).hostname or ""
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def load(environ: Mapping[str, str] | None = None, *, instance: Path | None = None) -> Settings:
    """Read and check every setting.

    :param environ: what to read; default: `.env` in the working directory, overridden by the
        process's environment. An empty value counts as not set
    :param instance: folder of the default SQLite database; default `instance/`, made if needed
    :raise SettingsInvalid: naming every missing and every wrong setting at once
    """
    if environ is None:
        found = {k: v for k, v in dotenv_values(".env").items() if v is not None}
        environ = found | dict(os.environ)
    return _Reader(environ).read(instance or Path("instance"))


class _Reader:
    """Collects complaints instead of stopping at the first."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._environ = environ
        self._missing: list[str] = []
        self._wrong: list[str] = []

    def read(self, instance: Path) -> Settings:
        environment = self._environment()
        settings = Settings(
            secret_key=self._secret_key(),
            encryption_keys=self._encryption_keys(),
            database_url=self._database_url(instance),
            public_url=self._url("PUBLIC_URL", origin=True),
            trusted_proxies=self._number("TRUSTED_PROXIES", default=0, least=0),
            deere_client_key=self._text("DEERE_CLIENT_KEY"),
            deere_client_secret=self._text("DEERE_CLIENT_SECRET"),
            deere_environment=environment,
            deere_metadata_url=self._metadata_url(),
            deere_api_url=self._url("DEERE_API_URL", default=DEERE_API_URLS[environment]),
            deere_scopes=self._scopes(),
            leaf_api_url=self._url("LEAF_API_URL", default=LEAF_API_URL, origin=True),
            leaf_username=self._text("LEAF_USERNAME"),
            leaf_password=self._text("LEAF_PASSWORD"),
            leaf_requests_per_minute=self._number("LEAF_REQUESTS_PER_MINUTE", default=900, least=1),
            link_lifetime_days=self._number("LINK_LIFETIME_DAYS", default=14, least=1),
        )
        self._complain()
        return settings

    def _get(self, name: str) -> str:
        return self._environ.get(name, "").strip()

    def _text(self, name: str) -> str:
        value = self._get(name)
        if not value:
            self._missing.append(name)
        return value

    def _secret_key(self) -> str:
        value = self._text("SECRET_KEY")
        if value and len(value) < SECRET_KEY_MIN_CHARS:
            self._wrong.append(
                f"SECRET_KEY has fewer than {SECRET_KEY_MIN_CHARS} characters; "
                "make one with: flask --app wsgi keys new"
            )
        return value

    def _encryption_keys(self) -> tuple[bytes, ...]:
        keys = []
        for number, text in enumerate(self._text("ENCRYPTION_KEYS").split(","), start=1):
            if not text.strip():
                continue
            try:
                key = base64.urlsafe_b64decode(text.strip())
            except (ValueError, binascii.Error):
                key = b""
            if len(key) != ENCRYPTION_KEY_BYTES:
                self._wrong.append(
                    f"ENCRYPTION_KEYS: key {number} is not {ENCRYPTION_KEY_BYTES} bytes in "
                    "base64url; make one with: flask --app wsgi keys new"
                )
            keys.append(key)
        return tuple(keys)

    def _environment(self) -> Environment:
        value = self._text("DEERE_ENVIRONMENT")
        if value in set(Environment):
            return Environment(value)
        if value:
            self._wrong.append("DEERE_ENVIRONMENT must be STAGE or PRODUCTION")
        return Environment.STAGE

    def _metadata_url(self) -> str:
        value = self._url("DEERE_METADATA_URL", default=DEERE_METADATA_URL)
        if value and not value.endswith(WELL_KNOWN):
            self._wrong.append(f"DEERE_METADATA_URL must end with {WELL_KNOWN}")
        return value

    def _scopes(self) -> tuple[str, ...]:
        scopes = tuple((self._get("DEERE_SCOPES") or DEERE_SCOPES).split())
        if "offline_access" not in scopes:
            self._wrong.append(
                "DEERE_SCOPES must contain offline_access; without it John Deere gives no "
                "refresh token"
            )
        return scopes

    def _database_url(self, instance: Path) -> str:
        value = self._get("DATABASE_URL")
        if not value:
            return f"sqlite:///{instance.resolve() / 'onboarding.sqlite'}"
        scheme, separator, rest = value.partition("://")
        if separator and scheme in {"postgres", "postgresql", "postgresql+psycopg"}:
            return f"postgresql+psycopg://{rest}"
        if separator and scheme == "sqlite":
            return value
        self._wrong.append("DATABASE_URL must begin with postgresql:// or sqlite://")
        return value

    def _url(self, name: str, *, default: str = "", origin: bool = False) -> str:
        value = (self._get(name) or default).rstrip("/")
        if not value:
            self._missing.append(name)
            return value
        try:
            parts = urlsplit(value)
            port_is_fine = parts.port is None or parts.port > 0
        except ValueError:
            self._wrong.append(f"{name} is not a URL")
            return value
        plain_is_fine = parts.scheme == "http" and is_loopback(value)
        if not parts.hostname or not port_is_fine or not (parts.scheme == "https" or plain_is_fine):
            self._wrong.append(f"{name} must be an https:// URL (http:// on loopback only)")
        elif parts.username or parts.query or parts.fragment:
            self._wrong.append(f"{name} must hold no user name, query or fragment")
        elif origin and parts.path:
            self._wrong.append(f"{name} must be an origin, without the path {parts.path}")
        return value

    def _number(self, name: str, *, default: int, least: int) -> int:
        text = self._get(name)
        if not text:
            return default
        if not text.isdecimal() or int(text) < least:
            self._wrong.append(f"{name} must be a whole number, {least} or more")
            return default
        return int(text)

    def _complain(self) -> None:
        lines = []
        if self._missing:
            lines.append("Missing settings: " + ", ".join(self._missing))
        lines += self._wrong
        if lines:
            lines.append("Set them in the environment or in .env; .env.example explains each.")
            raise SettingsInvalid("\n".join(lines))
