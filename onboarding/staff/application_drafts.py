"""Applications as somebody types them: checked, and tried out before they are kept."""

from __future__ import annotations

import re
from dataclasses import dataclass
from uuid import uuid4

from onboarding.deere import Deere
from onboarding.errors import InputInvalid, UpstreamError
from onboarding.models import Application
from onboarding.settings import WELL_KNOWN, Settings
from onboarding.states import Environment
from onboarding.urls import fault_of_url, is_loopback

NAME_MAX = 200
KEY_MAX = 200
SECRET_MAX = 500
URL_MAX = 500
VISIBLE = re.compile(r"[!-~]+")
"""What a key or a secret is made of (RFC 6749, appendix A)."""
SCOPE = re.compile(r"[!#-\[\]-~]+")
"""RFC 6749 section 3.3."""


@dataclass(frozen=True)
class Trial:
    """What John Deere's metadata say of an application."""

    is_fine: bool
    sentences: tuple[str, ...]


def try_out(deere: Deere) -> Trial:
    """Ask John Deere for the metadata of the sign-in, and compare.

    Key and secret can't be tried so: only a grower's sign-in shows whether they are right.
    """
    try:
        found, scopes = deere.examine_metadata()
    except UpstreamError as err:
        return Trial(False, (f"{err}.", "Check the metadata URL."))
    sentences = [
        f"The issuer is {found['issuer']}.",
        f"Growers sign in at {found['authorization_endpoint']}.",
        f"Codes are exchanged at {found['token_endpoint']}.",
    ]
    if scopes is None:
        return Trial(True, (*sentences, "It does not say which scopes there are."))
    unknown = [scope for scope in deere.settings.deere_scopes if scope not in scopes]
    if unknown:
        return Trial(False, (*sentences, f"It knows no such scopes: {', '.join(unknown)}."))
    return Trial(True, (*sentences, "It knows all of these scopes."))


def draft(
    settings: Settings,
    *,
    name: str,
    environment: str,
    client_key: str,
    scopes: str = "",
    metadata_url: str = "",
    api_url: str = "",
) -> Application:
    """An application as it was typed, checked, without a secret and not in the database.

    :param scopes: with spaces between them; none: as the settings say
    :raise InputInvalid: saying which value to change and how
    """
    if environment not in set(Environment):
        raise InputInvalid("The environment must be STAGE or PRODUCTION.")
    return Application(
        id=uuid4(),
        name=_name(name),
        environment=Environment(environment),
        client_key=visible_text(client_key, "client key", KEY_MAX),
        scopes=_scopes(settings, scopes),
        metadata_url=_metadata_url(settings, metadata_url),
        api_url=_url(settings, api_url, "API URL"),
    )


def _name(value: str) -> str:
    name = " ".join(value.split())
    if not name or len(name) > NAME_MAX or not name.isprintable():
        raise InputInvalid(f"The name must have 1 to {NAME_MAX} characters.")
    return name


def visible_text(value: str, what: str, limit: int) -> str:
    """A key or a secret.

    :raise InputInvalid: if it can't be one; without the value
    """
    text = value.strip()
    if not VISIBLE.fullmatch(text) or len(text) > limit:
        # Without the value: it may be a secret.
        raise InputInvalid(
            f"The {what} must have 1 to {limit} letters, digits and signs, without spaces: copy "
            "it from developer.deere.com."
        )
    return text


def _scopes(settings: Settings, value: str) -> list[str]:
    scopes = list(dict.fromkeys(value.split())) or list(settings.deere_scopes)
    if wrong := [scope for scope in scopes if not SCOPE.fullmatch(scope)]:
        raise InputInvalid(f"{wrong[0]!r} is not a scope.")
    if "offline_access" not in scopes:
        raise InputInvalid(
            "The scopes must contain offline_access; without it John Deere gives no refresh token."
        )
    return scopes


def _metadata_url(settings: Settings, value: str) -> str | None:
    url = _url(settings, value, "metadata URL")
    if url is not None and not url.endswith(WELL_KNOWN):
        raise InputInvalid(f"The metadata URL must end with {WELL_KNOWN}.")
    return url


def _url(settings: Settings, value: str, what: str) -> str | None:
    url = value.strip().rstrip("/")
    if not url:
        return None
    if fault := fault_of_url(url):
        raise InputInvalid(f"The {what} {fault}.")
    if len(url) > URL_MAX:
        raise InputInvalid(f"The {what} is longer than {URL_MAX} characters.")
    if is_loopback(url) != settings.is_sandbox:
        raise InputInvalid(
            f"The {what} must be on this machine, where the sandbox is."
            if settings.is_sandbox
            else f"The {what} must not be on this machine: a simulation would get real tokens."
        )
    return url
