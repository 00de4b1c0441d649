"""Signing in to Leaf: one token for all threads, kept until shortly before it expires."""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Callable
from datetime import timedelta
from functools import partial

import requests

from onboarding import http
from onboarding.clock import Span
from onboarding.errors import (
    SignInRefused,
    UpstreamError,
    UpstreamRejected,
    UpstreamUnavailable,
)
from onboarding.http import Timeout
from onboarding.leaf.turn import Turn

SERVICE = "Leaf"
ACTION = "sign in"
TOKEN_LIFETIME = timedelta(hours=23).total_seconds()
"""Seconds that a token is used if it does not say when it expires; Leaf's lives for 24 hours
(docs.withleaf.io, api-reference/authentication)."""
MARGIN = timedelta(minutes=5).total_seconds()
"""Seconds before its end from which on a token is not used any more."""
REFUSAL_LASTS = 60.0
"""Seconds for which a refused sign-in is not tried again, so that no account gets locked."""
OUTAGE_LASTS = 5.0
"""Seconds for which a sign-in without a useful answer is not tried again: threads that waited for
one that hangs would else wait for the next, each in its turn."""


class SignIn:
    """Holds Leaf's token. Threads that need one at once share one sign-in and its failure."""

    def __init__(
        self,
        api_url: str,
        username: str,
        password: str,
        *,
        session: requests.Session,
        timeout: Timeout,
        clock: Callable[[], float],
    ) -> None:
        self._url = f"{api_url}/api/authenticate"
        self._username = username
        self._password = password
        self._session = session
        self._timeout = timeout
        self._clock = clock
        self._lock = threading.Lock()
        self._token = ""
        self._usable = Span()
        self._failure: Callable[[], UpstreamError] | None = None
        self._not_again = Span()

    def token(self, turn: Turn, *, instead_of: str = "") -> str:
        """A token that Leaf should accept.

        :param turn: of who asks, for the case that a new one is needed
        :param instead_of: one that Leaf has just refused
        :raise SignInRefused: Leaf does not accept username and password, or did not within the
            last minute
        :raise UpstreamUnavailable: Leaf can't be asked, or could not within the last seconds
        """
        with self._lock:
            if self._token in {"", instead_of} or not self._usable.holds(self._clock()):
                self._renew(turn)
            return self._token

    def renew(self, turn: Turn) -> None:
        """Sign in now.

        :raise SignInRefused: as `token`
        :raise UpstreamUnavailable: as `token`
        """
        with self._lock:
            self._renew(turn)

    def _renew(self, turn: Turn) -> None:
        if self._failure and self._not_again.holds(self._clock()):
            raise self._failure()
        turn.before(for_all=True)  # if it never comes, that is no failure to remember
        try:
            token = self._ask()
        except UpstreamUnavailable as err:
            turn.after(err)
            later = partial(UpstreamUnavailable, retry_after=err.retry_after)
            raise self._remember(later, err, OUTAGE_LASTS) from err
        except UpstreamRejected as err:
            turn.after(err)
            raise self._remember(SignInRefused, err, REFUSAL_LASTS) from err
        turn.after(None)
        now = self._clock()
        lasts = (_expiry(token) or now + TOKEN_LIFETIME) - now
        self._token = token
        self._usable = Span(now, now + lasts - min(MARGIN, lasts / 2))

    def _remember(
        self, kind: Callable[..., UpstreamError], err: UpstreamError, lasts: float
    ) -> UpstreamError:
        """Make of a failure an error, now and for everybody who asks within so many seconds."""
        self._failure = partial(kind, SERVICE, ACTION, status=err.status, reason=err.reason)
        now = self._clock()
        self._not_again = Span(now, now + lasts)
        return self._failure()

    def _ask(self) -> str:
        """`POST /api/authenticate` (docs.withleaf.io, api-reference/authentication)."""
        answer = http.call(
            self._session,
            "POST",
            self._url,
            service=SERVICE,
            action=ACTION,
            json={"username": self._username, "password": self._password},
            timeout=self._timeout,
            secrets=(self._password,),
        )
        token = answer.body.get("id_token") if isinstance(answer.body, dict) else None
        if not isinstance(token, str) or not http.is_header_safe(token):
            raise http.malformed(answer, service=SERVICE, action=ACTION, missing="id_token")
        return token


def _expiry(token: str) -> float | None:
    """When a JWT expires, in seconds since 1970; None if it does not say (RFC 7519 4.1.4)."""
    try:
        payload = token.split(".")[1]
        claims = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
        return float(claims["exp"])
    except (ValueError, TypeError, LookupError, RecursionError):
        return None
