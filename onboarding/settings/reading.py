"""Reads every setting by its name, and checks it."""

from __future__ import annotations

import base64
import ipaddress
import os
from collections.abc import Mapping
from pathlib import Path

from dotenv import dotenv_values

from onboarding import company
from onboarding.company import Company
from onboarding.environment import Reader
from onboarding.mail import address
from onboarding.mail.address import Mailing, MailServer, Sender
from onboarding.settings.fields import (
    DEERE_API_URLS,
    DEERE_METADATA_URL,
    DEERE_SCOPES,
    LEAF_API_URL,
    WELL_KNOWN,
    Network,
    Settings,
)
from onboarding.states import Environment, Role
from onboarding.urls import is_loopback

ENCRYPTION_KEY_BYTES = 32
SQLITE_FILE = "onboarding.sqlite"
POSTGRESQL_SCHEMES = ("postgres", "postgresql", "postgresql+psycopg")
SECRET_KEY_MIN_CHARS = 32
ALERT_SECRET_MIN_CHARS = 16
LOCAL_RUN = "LOCAL_RUN"
"""Set by `make run` alone."""


def load(environ: Mapping[str, str] | None = None, *, instance: Path | None = None) -> Settings:
    """Read and check every setting.

    :param environ: what to read; default: `.env` in the working directory, overridden by the
        process's environment. An empty value counts as not set
    :param instance: folder of the default SQLite database; default `instance/`, made if needed
    :raise SettingsInvalid: naming every missing and every wrong setting at once
    """
    if environ is None:
        environ = read_environment()
    return _Reader(environ).read(instance or Path("instance"))


def read_environment() -> dict[str, str]:
    """`.env` in the working directory, overridden by the process's environment."""
    file = Path(".env")
    # Flask's command line has put the file into the environment before, with `${…}` replaced.
    replaced = dotenv_values(file)
    own = {name: value for name, value in os.environ.items() if value != replaced.get(name)}
    return read_file(file) | own


def read_file(path: Path) -> dict[str, str]:
    """The settings in a file like `.env`; none if there is no such file.

    A `$` stands for itself: passwords hold it, and one that is changed unseen is hard to find.
    """
    found = dotenv_values(path, interpolate=False)
    return {name: value for name, value in found.items() if value is not None}


class _Reader(Reader):
    """Knows every setting by its name."""

    def read(self, instance: Path) -> Settings:
        environment = self._environment()
        settings = Settings(
            secret_key=self._secret_key(),
            encryption_keys=self._encryption_keys(),
            database_url=self._database_url() or f"sqlite:///{instance.resolve() / SQLITE_FILE}",
            public_url=self.url("PUBLIC_URL", origin=True),
            trusted_proxies=self.number("TRUSTED_PROXIES", default=0, least=0),
            deere_client_key=self.text("DEERE_CLIENT_KEY"),
            deere_client_secret=self.text("DEERE_CLIENT_SECRET"),
            deere_environment=environment,
            deere_metadata_url=self._metadata_url(),
            deere_api_url=self.url("DEERE_API_URL", default=DEERE_API_URLS[environment]),
            deere_scopes=self._scopes(),
            leaf_api_url=self.url("LEAF_API_URL", default=LEAF_API_URL, origin=True),
            leaf_username=self.text("LEAF_USERNAME"),
            leaf_password=self.text("LEAF_PASSWORD"),
            leaf_requests_per_minute=self.number("LEAF_REQUESTS_PER_MINUTE", default=900, least=1),
            link_lifetime_days=self.number("LINK_LIFETIME_DAYS", default=14, least=1),
            local_run=bool(self.get(LOCAL_RUN)),
            leaf_alert_secret=self._alert_secret(),
            events_kept_days=self.number("EVENTS_KEPT_DAYS", default=400, least=1),
            mail=self._mail(),
            mail_per_minute=self.number("MAIL_PER_MINUTE", default=60, least=1),
            company=self._company(),
            trouble_visible_after_minutes=self.number(
                "TROUBLE_VISIBLE_AFTER_MINUTES", default=15, least=0
            ),
            incident_share_percent=self.number(
                "INCIDENT_SHARE_PERCENT", default=20, least=1, most=100
            ),
            incident_within_minutes=self.number("INCIDENT_WITHIN_MINUTES", default=10, least=1),
            webhooks_allow_private=self._networks("WEBHOOKS_ALLOW_PRIVATE"),
            sandbox_clock=Path(file) if (file := self.get("SANDBOX_CLOCK")) else None,
        )
        self._all_or_none_simulated(settings)
        self._only_the_sandbox_moves_the_clock(settings)
        self._only_the_sandbox_simulates_the_company(settings)
        self.complain()
        if not self.get("DATABASE_URL"):
            self._make_folder(instance)
        return settings

    def _secret_key(self) -> str:
        value = self.text("SECRET_KEY")
        if value and len(value) < SECRET_KEY_MIN_CHARS:
            self.wrong.append(
                f"SECRET_KEY has fewer than {SECRET_KEY_MIN_CHARS} characters; "
                "make one with: flask --app wsgi keys new"
            )
        return value

    def _alert_secret(self) -> str:
        value = self.get("LEAF_ALERT_SECRET")
        if value and not (len(value) >= ALERT_SECRET_MIN_CHARS and value.isascii()):
            self.wrong.append(
                f"LEAF_ALERT_SECRET must have {ALERT_SECRET_MIN_CHARS} ASCII characters or more; "
                "make one with: flask --app wsgi keys new"
            )
        return value

    def _encryption_keys(self) -> tuple[bytes, ...]:
        texts = [text.strip() for text in self.get("ENCRYPTION_KEYS").split(",")]
        keys = tuple(_key(text) for text in texts if text)
        if not keys:
            self.missing.append("ENCRYPTION_KEYS")
        for number, key in enumerate(keys, start=1):
            if len(key) != ENCRYPTION_KEY_BYTES:
                self.wrong.append(
                    f"ENCRYPTION_KEYS: key {number} is not {ENCRYPTION_KEY_BYTES} bytes in "
                    "base64url; make one with: flask --app wsgi keys new"
                )
        return keys

    def _environment(self) -> Environment:
        value = self.text("DEERE_ENVIRONMENT")
        if value in set(Environment):
            return Environment(value)
        if value:
            self.wrong.append("DEERE_ENVIRONMENT must be STAGE or PRODUCTION")
        return Environment.STAGE

    def _metadata_url(self) -> str:
        value = self.url("DEERE_METADATA_URL", default=DEERE_METADATA_URL)
        if value and not value.endswith(WELL_KNOWN):
            self.wrong.append(f"DEERE_METADATA_URL must end with {WELL_KNOWN}")
        return value

    def _scopes(self) -> tuple[str, ...]:
        scopes = tuple((self.get("DEERE_SCOPES") or DEERE_SCOPES).split())
        if "offline_access" not in scopes:
            self.wrong.append(
                "DEERE_SCOPES must contain offline_access; without it John Deere gives no "
                "refresh token"
            )
        return scopes

    def _database_url(self) -> str:
        value = self.get("DATABASE_URL")
        if not value:
            return value
        scheme, separator, rest = value.partition("://")
        if not separator or scheme not in {"sqlite", *POSTGRESQL_SCHEMES}:
            self.wrong.append("DATABASE_URL must begin with postgresql:// or sqlite://")
            return value
        # Imported here: the sandbox and `make run` use this module, too, and start faster without.
        from sqlalchemy import exc, make_url

        url = value if scheme == "sqlite" else f"postgresql+psycopg://{rest}"
        try:
            database = make_url(url).database
        except (ValueError, exc.ArgumentError):
            self.wrong.append(
                "DATABASE_URL can't be read; write postgresql://user:password@host/database, with "
                "special characters of the password percent-encoded"
            )
            return value
        if scheme == "sqlite" and database in {None, "", ":memory:"}:
            self.wrong.append("DATABASE_URL must name a file: sqlite:////folder/file.sqlite")
        return url

    def _make_folder(self, instance: Path) -> None:
        try:
            instance.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as err:
            self.wrong.append(
                f"DATABASE_URL is not set, and the folder {instance} for SQLite can't be made: "
                f"{err.strerror}"
            )
            self.complain()

    def _mail(self) -> Mailing | None:
        server, sender = self._mail_server(), self._mail_from()
        return Mailing(server=server, sender=sender) if server and sender else None

    def _mail_server(self) -> MailServer | None:
        url = self.get("MAIL_URL")
        try:
            return address.mail_server(url, is_here=is_loopback(url)) if url else None
        except ValueError as err:
            self.wrong.append(f"MAIL_URL {err}")
            return None

    def _mail_from(self) -> Sender | None:
        text = self.get("MAIL_FROM")
        if not text and self.get("MAIL_URL"):
            self.missing.append("MAIL_FROM")
        try:
            return address.sender(text) if text else None
        except ValueError as err:
            self.wrong.append(f"MAIL_FROM {err}")
            return None

    def _company(self) -> Company | None:
        prefix = "STAFF_OIDC_"
        roles, vouches = self._company_roles(prefix), self._yes(prefix + "VOUCHES_FOR_ADDRESSES")
        role_claim = self.get(prefix + "ROLE_CLAIM")
        names = [prefix + part for part in ("METADATA_URL", "CLIENT_ID", "CLIENT_SECRET")]
        given = [self.get(name) for name in names]
        if not any(given):
            return None
        metadata_url, client_id, client_secret = self.url(names[0]), *map(self.text, names[1:])
        if metadata_url and not metadata_url.endswith(company.WELL_KNOWN):
            self.wrong.append(f"{names[0]} must end with {company.WELL_KNOWN}")
        return Company(
            metadata_url=metadata_url,
            client_id=client_id,
            client_secret=client_secret,
            role_claim=role_claim,
            roles=roles,
            vouches_for_addresses=vouches,
        )

    def _company_roles(self, prefix: str) -> Mapping[str, Role]:
        try:
            return company.roles(self.get(prefix + "ROLES"))
        except ValueError as err:
            self.wrong.append(f"{prefix}ROLES {err}")
            return company.OWN_NAMES

    def _networks(self, name: str) -> tuple[Network, ...]:
        texts = [text.strip() for text in self.get(name).split(",")]
        try:
            return tuple(ipaddress.ip_network(text) for text in texts if text)
        except ValueError:
            self.wrong.append(
                f"{name} must be addresses or networks with commas between them, as in "
                "127.0.0.1, 10.1.0.0/16"
            )
            return ()

    def _yes(self, name: str) -> bool:
        value = self.get(name)
        if value not in {"", "yes", "no"}:
            self.wrong.append(f"{name} must be yes or no")
        return value == "yes"

    def _all_or_none_simulated(self, settings: Settings) -> None:
        """A mixture would hand real tokens to a simulation, or the other way round."""
        services = {
            "DEERE_METADATA_URL": settings.deere_metadata_url,
            "DEERE_API_URL": settings.deere_api_url,
            "LEAF_API_URL": settings.leaf_api_url,
        }
        here = [name for name, url in services.items() if is_loopback(url)]
        elsewhere = [name for name in services if name not in here]
        if here and elsewhere:
            self.wrong.append(
                f"{', '.join(here)}: on this machine, but not {', '.join(elsewhere)}; "
                "set all three to a sandbox, or none of them"
            )

    def _only_the_sandbox_simulates_the_company(self, settings: Settings) -> None:
        """There everybody may be everybody."""
        told = settings.company
        if told is not None and is_loopback(told.metadata_url) and not settings.is_sandbox:
            self.wrong.append(
                "STAFF_OIDC_METADATA_URL is on this machine, as the sandbox’s is, but John Deere "
                "and Leaf are not: name your company’s identity provider, or unset it"
            )

    def _only_the_sandbox_moves_the_clock(self, settings: Settings) -> None:
        """A day that has not come would end links, send mails and erase copies, for good."""
        if settings.sandbox_clock is not None and not settings.is_sandbox:
            self.wrong.append(
                "SANDBOX_CLOCK moves the time and is for the sandbox alone: unset it, since John "
                "Deere and Leaf are not on this machine"
            )


def _key(text: str) -> bytes:
    """Base64, of either alphabet and with or without padding; empty if it is none.

    Strict: `base64.urlsafe_b64decode` would skip what does not belong in a key.
    """
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), altchars="-_", validate=True)
    except ValueError:
        return b""
