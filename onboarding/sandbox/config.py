"""What a sandbox process is told from outside."""

from __future__ import annotations

import os
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from onboarding.errors import SettingsInvalid
from onboarding.states import Environment
from onboarding.urls import is_loopback

AUTHORIZATION_SERVER = "/oauth2/aus78tnlaysMraFhC1t7"
"""Path of John Deere's authorization server; the id is the real one, so paths look as in life."""


SECOND = ("sandbox-second-client", "sandbox-second-secret", Environment.PRODUCTION)
"""Another application that is always registered, for a partner that has its own."""


@dataclass(frozen=True)
class Registered:
    """An application that is registered at the simulated John Deere."""

    client_key: str
    client_secret: str
    environment: Environment

    @property
    def connections_id(self) -> str:
        """The id in links to the connections page: a UUID that is not the client key."""
        return str(uuid.uuid5(uuid.NAMESPACE_URL, f"connections/{self.client_key}"))


@dataclass(frozen=True, kw_only=True)
class Config:
    """Addresses, and the applications that are registered at the simulated John Deere."""

    database: str
    """Path of the sandbox's own SQLite file."""
    url: str
    """Origin of the sandbox itself."""
    public_url: str
    """Origin of the onboarding app: the redirect URIs stand below it."""
    client_key: str
    client_secret: str
    environment: Environment
    leaf_username: str
    leaf_password: str
    mail_port: int | None = None
    """Where the simulated mail server listens; None: there is none."""
    clock: Path | None = None
    """The file that makes the app's clock stand ahead; None: the clock can't be moved."""
    residents: Path | None = None
    """The file of those who are here before the first visitor (see `residents`)."""

    @property
    def issuer(self) -> str:
        """The `issuer` of the metadata, without a trailing slash."""
        return self.url + AUTHORIZATION_SERVER

    @property
    def redirect_uris(self) -> tuple[str, ...]:
        """What is registered; compared character by character, as John Deere does."""
        return (f"{self.public_url}/deere/callback", f"{self.public_url}/deere/organizations")

    @property
    def applications(self) -> tuple[Registered, ...]:
        """All that are registered, that of the settings first."""
        own = Registered(self.client_key, self.client_secret, self.environment)
        return (own, Registered(*SECOND))

    def registered(self, client_key: str) -> Registered | None:
        """The application with this key, if there is one."""
        return next((one for one in self.applications if one.client_key == client_key), None)

    @property
    def connections_id(self) -> str:
        """That of the first application."""
        return self.applications[0].connections_id


def load(environ: Mapping[str, str] | None = None) -> Config:
    """Read the environment. Everything but the database has the default of `make run`.

    :raise SettingsInvalid: if the database is not named, or an address is not on this machine:
        a simulation with published passwords must never be reachable from elsewhere
    """
    values = os.environ if environ is None else environ
    database = values.get("SANDBOX_DATABASE", "")
    if not database:
        raise SettingsInvalid("Missing settings: SANDBOX_DATABASE (path of an SQLite file)")
    return Config(
        database=database,
        url=_loopback(values, "SANDBOX_URL", "http://127.0.0.1:8001"),
        public_url=_loopback(values, "PUBLIC_URL", "http://localhost:8000"),
        client_key=values.get("DEERE_CLIENT_KEY") or "sandbox-client",
        client_secret=values.get("DEERE_CLIENT_SECRET") or "sandbox-secret",
        environment=_environment(values.get("DEERE_ENVIRONMENT") or Environment.STAGE),
        leaf_username=values.get("LEAF_USERNAME") or "sandbox@example.com",
        leaf_password=values.get("LEAF_PASSWORD") or "sandbox-password",
        mail_port=_port(values.get("SANDBOX_MAIL_PORT", "")),
        clock=Path(file) if (file := values.get("SANDBOX_CLOCK")) else None,
        residents=Path(file) if (file := values.get("SANDBOX_RESIDENTS")) else None,
    )


def _port(text: str) -> int | None:
    if text and not text.isdecimal():
        raise SettingsInvalid("SANDBOX_MAIL_PORT must be a port number")
    return int(text) if text else None


def _environment(value: str) -> Environment:
    if value not in set(Environment):
        raise SettingsInvalid("DEERE_ENVIRONMENT must be STAGE or PRODUCTION")
    return Environment(value)


def _loopback(values: Mapping[str, str], name: str, default: str) -> str:
    url = (values.get(name) or default).rstrip("/")
    if not is_loopback(url):
        raise SettingsInvalid(f"{name} must be on loopback: the sandbox is for one machine only")
    return url
