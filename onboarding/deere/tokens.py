"""The authorization code flow, by Authlib: where the grower is sent, and what the code buys.

Authlib makes the two requests: PKCE S256 (RFC 7636), and `client_secret_basic` and nothing else,
since credentials in header and body at once are an error at Okta, which John Deere runs on. Its
reading of the answer is not used: it returns a 400 without `error` as if it were a token, and a
200 without tokens silently.
"""

from __future__ import annotations

import time
from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import requests
from authlib.integrations.requests_client import OAuth2Session

from onboarding import http
from onboarding.errors import CodeRefused, SignInRefused, UpstreamUnavailable
from onboarding.http import Answer, Timeout
from onboarding.settings import Settings

SERVICE = "John Deere"
ACTION = "exchange the code"
CLIENT_AUTHENTICATION = "client_secret_basic"
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
    """The authorization request (RFC 6749 section 4.1.1, RFC 7636 section 4.3)."""
    extra = {} if prompt is None else {"prompt": prompt}
    url, _ = _client(settings).create_authorization_url(
        endpoint, state=state, code_verifier=code_verifier, **extra
    )
    return str(url)


def exchange(
    settings: Settings, endpoint: str, *, code: str, code_verifier: str, timeout: Timeout
) -> Tokens:
    """The access token request (RFC 6749 section 4.1.3).

    It uses a connection of its own: one from a pool may have died unnoticed, and a code can't be
    sent twice.

    :raise CodeRefused: the code is used, too old, or does not fit the verifier
    :raise SignInRefused: John Deere does not accept our key and secret
    :raise UpstreamRejected: any other refusal
    :raise UpstreamUnavailable: no answer, or none that is understood
    """
    until = time.monotonic() + timeout.total
    with _client(settings, timeout=timeout) as client:
        try:
            response = client.fetch_token(
                endpoint,
                grant_type="authorization_code",
                code=code,
                code_verifier=code_verifier,
                allow_redirects=False,
                stream=True,
            )
        except requests.RequestException as err:
            failure = http.why(err)
        else:
            secrets = (code, code_verifier, settings.deere_client_secret)
            return _receive(response, settings, until=until, secrets=secrets)
    raise UpstreamUnavailable(SERVICE, ACTION, reason=failure)


class _TokenClient(OAuth2Session):  # type: ignore[misc]  # Authlib has no types
    """Authlib's client, except that the token endpoint's answer comes back unread."""

    def parse_response_token(self, resp: requests.Response) -> requests.Response:
        return resp


def _client(settings: Settings, *, timeout: Timeout | None = None) -> _TokenClient:
    return _TokenClient(
        client_id=settings.deere_client_key,
        client_secret=settings.deere_client_secret,
        token_endpoint_auth_method=CLIENT_AUTHENTICATION,
        scope=" ".join(settings.deere_scopes),
        redirect_uri=settings.callback_url,
        code_challenge_method="S256",
        default_timeout=timeout.for_urllib3() if timeout else None,
    )


def _receive(
    response: requests.Response, settings: Settings, *, until: float, secrets: Collection[str]
) -> Tokens:
    answer = http.receive(
        response,
        service=SERVICE,
        action=ACTION,
        accept=(400, 401),
        until=until,
        secrets=secrets,
    )
    if answer.status in {400, 401}:
        raise _refusal(answer, secrets)
    return _tokens(answer, asked=settings.deere_scopes)


def _refusal(answer: Answer, secrets: Collection[str]) -> Exception:
    """RFC 6749 section 5.2."""
    refused = http.refusal(answer, service=SERVICE, action=ACTION, secrets=secrets)
    error = answer.body.get("error") if isinstance(answer.body, dict) else None
    if error == "invalid_client" or answer.status == 401:
        return SignInRefused(SERVICE, ACTION, status=answer.status, reason=refused.reason)
    if error == "invalid_grant":
        return CodeRefused(SERVICE, ACTION, status=answer.status, reason=refused.reason)
    return refused


def _tokens(answer: Answer, *, asked: Collection[str]) -> Tokens:
    """RFC 6749 section 5.1; without `scope`, what was asked for is granted."""
    body: dict[str, Any] = answer.body if isinstance(answer.body, dict) else {}
    access_token = body.get("access_token")
    if not isinstance(access_token, str) or not http.is_header_safe(access_token):
        raise http.malformed(answer, service=SERVICE, action=ACTION, missing="access_token")
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
