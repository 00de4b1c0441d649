"""Which of the two it is, sandbox or the real services, and the environment that follows."""

from __future__ import annotations

import base64
import os
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from onboarding.errors import SettingsInvalid
from onboarding.settings import DEERE_METADATA_URL, ENCRYPTION_KEY_BYTES, LOCAL_RUN, read_file

REAL_SERVICES = (
    "DEERE_CLIENT_KEY",
    "DEERE_CLIENT_SECRET",
    "DEERE_ENVIRONMENT",
    "LEAF_USERNAME",
    "LEAF_PASSWORD",
)
"""With all of these it runs against John Deere and Leaf, with none of them on the sandbox."""
KEYS_FILE = "local-keys.env"
RESIDENTS_FILE = "sandbox-residents.jsonl"
PORTS = {"PORT": 8000, "SANDBOX_PORT": 8001, "SANDBOX_MAIL_PORT": 8002, "PORTAL_PORT": 8003}
"""Where it listens unless told otherwise."""
HIGHEST_PORT = 65_535
EMPTY = "EMPTY"
"""Set to anything, the sandbox starts without the demo world."""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What to start.

    :ivar sandbox: whether a sandbox is started, and used
    :ivar residents: the file of those who live in the demo world; None: without it
    :ivar environ: the whole environment of every program
    """

    sandbox: bool
    port: int
    sandbox_port: int
    mail_port: int
    portal_port: int
    public_url: str
    residents: Path | None
    environ: Mapping[str, str] = field(repr=False)

    @property
    def sandbox_url(self) -> str:
        """Origin of the sandbox; another than the app's, so that browsers behave as in life."""
        return f"http://127.0.0.1:{self.sandbox_port}"

    @property
    def portal_url(self) -> str:
        """Origin of the sample portal; another site than the app's, as partners' are."""
        return f"http://127.0.0.1:{self.portal_port}"

    @property
    def ports(self) -> dict[str, int]:
        """The ports that are listened on, by the names of their settings."""
        ours = {
            "SANDBOX_PORT": self.sandbox_port,
            "SANDBOX_MAIL_PORT": self.mail_port,
            "PORTAL_PORT": self.portal_port,
        }
        return {"PORT": self.port} | (ours if self.sandbox else {})


def make(environ: Mapping[str, str], instance: Path) -> Plan:
    """Decide from the settings that are there.

    :param environ: `.env` and the process's environment; an empty value counts as not set
    :param instance: folder for databases and for keys of this machine, made if needed
    :raise SettingsInvalid: if only some of the settings of the real services are there
    """
    found = {name: value for name, value in environ.items() if value.strip()}
    missing = [name for name in REAL_SERVICES if name not in found]
    sandbox = len(missing) == len(REAL_SERVICES)
    if missing and not sandbox:
        raise SettingsInvalid(
            "Some settings of John Deere and Leaf are there, but these are missing: "
            + ", ".join(missing)
            + "\nSet them in the environment or in .env (.env.example explains each), or unset "
            "all of\n" + ", ".join(REAL_SERVICES) + "\nto run with the sandbox."
        )
    port, sandbox_port, mail_port, portal_port = (_port(found, name) for name in PORTS)
    public_url = found.get("PUBLIC_URL", f"http://localhost:{port}").rstrip("/")
    instance.mkdir(mode=0o700, parents=True, exist_ok=True)
    keys = _keys(instance / KEYS_FILE)
    is_empty = not sandbox or EMPTY in found
    return Plan(
        sandbox=sandbox,
        port=port,
        sandbox_port=sandbox_port,
        mail_port=mail_port,
        portal_port=portal_port,
        public_url=public_url,
        residents=None if is_empty else instance.resolve() / RESIDENTS_FILE,
        # Empty values stay, since each program reads .env again below its environment.
        environ=dict(environ)
        | {name: value for name, value in keys.items() if name not in found}
        | {"PUBLIC_URL": public_url, LOCAL_RUN: "1"}
        | (_sandbox(found, sandbox_port, mail_port, instance) if sandbox else {}),
    )


def _sandbox(found: Mapping[str, str], port: int, mail_port: int, instance: Path) -> dict[str, str]:
    url = f"http://127.0.0.1:{port}"
    # Growers of the sandbox do not mix with real ones, unless DATABASE_URL says so.
    database = f"sqlite:///{instance.resolve() / 'with-sandbox.sqlite'}"
    return {
        "DATABASE_URL": found.get("DATABASE_URL", database),
        "SANDBOX_URL": url,
        "SANDBOX_DATABASE": str(instance.resolve() / "sandbox.sqlite"),
        "SANDBOX_CLOCK": str(instance.resolve() / "sandbox.clock"),
        # Also without the demo world: those who were there once stay.
        "SANDBOX_RESIDENTS": str(instance.resolve() / RESIDENTS_FILE),
        "DEERE_METADATA_URL": url + urlsplit(DEERE_METADATA_URL).path,
        "DEERE_API_URL": f"{url}/platform",
        "DEERE_CLIENT_KEY": "sandbox-client",
        "DEERE_CLIENT_SECRET": "sandbox-secret",
        "DEERE_ENVIRONMENT": "STAGE",
        "LEAF_API_URL": url,
        "LEAF_USERNAME": "sandbox@example.com",
        "LEAF_PASSWORD": "sandbox-password",
        "LEAF_ALERT_SECRET": "sandbox-alert-secret",
        # The sample portal is on this machine, too.
        "WEBHOOKS_ALLOW_PRIVATE": "127.0.0.0/8, ::1",
        "STAFF_OIDC_METADATA_URL": f"{url}/company/.well-known/openid-configuration",
        "STAFF_OIDC_CLIENT_ID": "sandbox-company",
        "STAFF_OIDC_CLIENT_SECRET": "sandbox-company-secret",
        "STAFF_OIDC_ROLE_CLAIM": "groups",
        "STAFF_OIDC_ROLES": "",
        "STAFF_OIDC_VOUCHES_FOR_ADDRESSES": "",
        # Whatever mail server .env names: a simulated grower's mails reach nobody.
        "SANDBOX_MAIL_PORT": str(mail_port),
        "MAIL_URL": f"smtp://127.0.0.1:{mail_port}",
        "MAIL_FROM": "Sandbox <connect@sandbox.example>",
    }


def _port(found: Mapping[str, str], name: str) -> int:
    text = found.get(name, str(PORTS[name])).strip()
    if not text.isdecimal() or not 0 < int(text) <= HIGHEST_PORT:
        raise SettingsInvalid(f"{name} must be a port number")
    return int(text)


def _keys(path: Path) -> dict[str, str]:
    """Keys of this machine, made on the first run and kept: without them no token is readable."""
    if not path.exists():
        lines = [f"{name}={_new_key()}\n" for name in ("SECRET_KEY", "ENCRYPTION_KEYS")]
        half_made = path.with_suffix(".new")
        half_made.unlink(missing_ok=True)
        with open(os.open(half_made, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.writelines(lines)
        half_made.rename(path)
    return {name: value for name, value in read_file(path).items() if value}


def _new_key() -> str:
    return base64.urlsafe_b64encode(secrets.token_bytes(ENCRYPTION_KEY_BYTES)).decode()
