"""What an installation is told, and what it is taken for where nothing is said."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass, field
from pathlib import Path

from onboarding.company import Company
from onboarding.mail.address import Mailing
from onboarding.states import Environment
from onboarding.urls import is_loopback

WELL_KNOWN = "/.well-known/oauth-authorization-server"
DEERE_METADATA_URL = "https://signin.johndeere.com/oauth2/aus78tnlaysMraFhC1t7" + WELL_KNOWN
DEERE_API_URLS = {
    Environment.STAGE: "https://sandboxapi.deere.com/platform",
    Environment.PRODUCTION: "https://api.deere.com/platform",
}
DEERE_SCOPES = "ag1 ag2 ag3 eq1 org1 files offline_access"
LEAF_API_URL = "https://api.withleaf.io"
Network = ipaddress.IPv4Network | ipaddress.IPv6Network


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
    local_run: bool = False
    """Whether `make run` started this."""
    leaf_alert_secret: str = field(default="", repr=False)
    """Signs Leaf's alerts; empty: none is taken."""
    events_kept_days: int = 400
    """How long copies of Leaf's events are kept."""
    mail: Mailing | None = None
    """None: mail is off."""
    mail_per_minute: int = 60
    company: Company | None = None
    """By whose identity provider staff sign in; None: by passwords alone."""
    trouble_visible_after_minutes: int = 15
    """So long a pause at John Deere lasts before growers and staff are told of it."""
    incident_share_percent: int = 20
    incident_within_minutes: int = 10
    """When so many of the connections that Leaf was asked about within these minutes stopped
    working within them, it is one incident."""
    webhooks_allow_private: tuple[Network, ...] = ()
    """Networks to which webhooks go although they are not in the public Internet."""
    sandbox_clock: Path | None = None
    """The file by which the sandbox moves the clock; None, as in production: it can't be moved."""

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
    def company_callback_url(self) -> str:
        """The redirect URI to register at the company's identity provider."""
        return f"{self.public_url}/staff/sign-in/company/callback"

    @property
    def alerts_url(self) -> str:
        """Where Leaf's alerts arrive."""
        return f"{self.public_url}/leaf/alerts"

    @property
    def is_sandbox(self) -> bool:
        """Whether John Deere and Leaf are simulations on this machine, all of them."""
        services = (self.deere_metadata_url, self.deere_api_url, self.leaf_api_url)
        return all(map(is_loopback, services))

    @property
    def is_local(self) -> bool:
        """Whether this is a run for trying: by `make run`, or for browsers on this machine only."""
        return self.local_run or is_loopback(self.public_url)
