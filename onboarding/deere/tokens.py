"""John Deere's tokens: where the grower is sent for them, and what its answer means."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from onboarding import http, oauth
from onboarding.http import Answer, Timeout
from onboarding.settings import Settings

SERVICE = "John Deere"
LONGEST_LIFETIME = timedelta(days=366).total_seconds()
"""Seconds; an access token that claims to live longer does not say anything."""


@dataclass(frozen=True)
class Tokens:
    """What the authorization code was exchanged for."""

    access_token: str = field(repr=False)
    refresh_token: str | None = field(repr=False)
    """None: John Deere gave none; nothing can be handed to Leaf."""
    scopes: frozenset[str]
    """Granted scopes; compare them with those asked for as sets."""
    expires_in: int | None
    """Seconds that the access token lives; None: John Deere did not say."""


def consent_url(
    settings: Settings, endpoint: str, *, state: str, code_verifier: str, prompt: str | None
) -> str:
    """The authorization request; see `oauth.Client.authorization_url`."""
    more = {} if prompt is None else {"prompt": prompt}
    return _client(settings).authorization_url(
        endpoint, state=state, code_verifier=code_verifier, **more
    )


def exchange(
    settings: Settings, endpoint: str, *, code: str, code_verifier: str, timeout: Timeout
) -> Tokens:
    """The access token request; see `oauth.Client.exchange`, which says what is raised."""
    answer = _client(settings).exchange(
        endpoint, code=code, code_verifier=code_verifier, timeout=timeout
    )
    return _tokens(answer, asked=settings.deere_scopes)


def _client(settings: Settings) -> oauth.Client:
    return oauth.Client(
        service=SERVICE,
        client_id=settings.deere_client_key,
        client_secret=settings.deere_client_secret,
        redirect_uri=settings.callback_url,
        scopes=settings.deere_scopes,
    )


def _tokens(answer: Answer, *, asked: Collection[str]) -> Tokens:
    """RFC 6749 section 5.1; without `scope`, what was asked for is granted."""
    access_token = oauth.access_token(answer, service=SERVICE)
    body: dict[str, Any] = answer.body
    refresh_token = body.get("refresh_token")
    # Visible ASCII as well (RFC 6749, appendix A.17); anything else could not be handed over.
    is_usable = isinstance(refresh_token, str) and http.is_header_safe(refresh_token)
    scope = body.get("scope")
    return Tokens(
        access_token=access_token,
        refresh_token=refresh_token if is_usable else None,
        scopes=frozenset(scope.split() if isinstance(scope, str) else asked),
        expires_in=_seconds(body.get("expires_in")),
    )


def _seconds(value: Any) -> int | None:
    """`expires_in`, which RFC 6749 section 5.1 only recommends; nonsense says nothing either."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        seconds = float(value)
    except (ValueError, OverflowError):
        return None
    return int(seconds) if 0 <= seconds <= LONGEST_LIFETIME else None
