"""The authorization server's metadata (RFC 8414), which must never keep a grower from starting."""

from __future__ import annotations

import json
import logging
import re
import threading
from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any

import requests

from onboarding import http
from onboarding.clock import Span
from onboarding.deere.hosts import has_origin_of
from onboarding.errors import UpstreamError, UpstreamRejected
from onboarding.http import Answer, Timeout

SERVICE = "John Deere"
ACTION = "read the sign-in's metadata"
LONGEST = timedelta(hours=24).total_seconds()
"""Seconds for which a copy is used without asking; what John Deere itself allows."""
SHORTEST = 60.0
"""Seconds before the next try after a failure, and the least that a copy is used."""
ENDPOINTS = ("authorization_endpoint", "token_endpoint")

log = logging.getLogger(__name__)


class Metadata:
    """Fetched by one thread at a time while the others go on with the copy at hand."""

    def __init__(
        self,
        url: str,
        issuer: str,
        *,
        remembered: Callable[[], str | None],
        remember: Callable[[str], None],
        session: requests.Session,
        timeout: Timeout,
        clock: Callable[[], float],
    ) -> None:
        self._url = url
        self._issuer = issuer
        self._remembered = remembered
        self._remember = remember
        self._session = session
        self._timeout = timeout
        self._clock = clock
        self._fetching = threading.Lock()
        self._current: Mapping[str, str] | None = None
        self._fresh = Span()

    def current(self) -> Mapping[str, str]:
        """The metadata: fetched, else the last good copy, else the one built in.

        Never fails because of John Deere.
        """
        if not self._fresh.holds(self._clock()) and self._fetching.acquire(blocking=False):
            try:
                self._refresh()
            finally:
                self._fetching.release()
        return self.at_hand()

    def at_hand(self) -> Mapping[str, str]:
        """The metadata as it is known now, without asking John Deere."""
        return self._current or self._fallback()

    def fetch(self) -> tuple[Mapping[str, str], float]:
        """Ask John Deere now.

        :returns: the metadata, and for how many seconds it may be used
        :raise UpstreamUnavailable: it can't be fetched
        :raise UpstreamRejected: it is refused, or names another issuer, or endpoints elsewhere
        """
        answer = self._ask()
        return self._checked(answer.body, status=answer.status), _max_age(answer)

    def examine(self) -> tuple[Mapping[str, str], frozenset[str] | None]:
        """Ask John Deere now, for who looks at an application before it is used.

        :returns: the metadata, and the scopes that it names; None: it names none
        :raise UpstreamUnavailable: as `fetch`
        :raise UpstreamRejected: as `fetch`
        """
        answer = self._ask()
        found = self._checked(answer.body, status=answer.status)
        scopes = answer.body.get("scopes_supported")
        if not isinstance(scopes, list):
            return found, None
        return found, frozenset(scope for scope in scopes if isinstance(scope, str))

    def _ask(self) -> Answer:
        return http.call(
            self._session,
            "GET",
            self._url,
            service=SERVICE,
            action=ACTION,
            timeout=self._timeout,
        )

    def _refresh(self) -> None:
        try:
            self._current, lasts = self.fetch()
        except UpstreamError as err:
            log.warning("%s; using the last good copy", err)
            self._current = self._current or self._fallback()
            self._use_for(SHORTEST)
        else:
            self._use_for(lasts)
            self._remember(json.dumps(self._current))

    def _use_for(self, seconds: float) -> None:
        now = self._clock()
        self._fresh = Span(now, now + seconds)

    def _fallback(self) -> Mapping[str, str]:
        if text := self._remembered():
            try:
                return self._checked(json.loads(text), status=None)
            except (ValueError, UpstreamRejected):
                log.warning("The stored metadata is not of this issuer; using the built-in copy")
        return {
            "issuer": self._issuer,
            "authorization_endpoint": f"{self._issuer}/v1/authorize",
            "token_endpoint": f"{self._issuer}/v1/token",
        }

    def _checked(self, body: Any, *, status: int | None) -> Mapping[str, str]:
        """The fields used here (RFC 8414 section 3.3: another issuer's must not be used)."""
        found = body if isinstance(body, dict) else {}
        if found.get("issuer") != self._issuer:
            raise _wrong("names another issuer", status)
        for name in ENDPOINTS:
            url = found.get(name)
            if not isinstance(url, str) or not has_origin_of(url, self._issuer):
                raise _wrong(f"has its {name} elsewhere", status)
        return {name: found[name] for name in ("issuer", *ENDPOINTS)}


def _wrong(what: str, status: int | None) -> UpstreamRejected:
    return UpstreamRejected(SERVICE, ACTION, status=status, reason=f"the metadata {what}")


def _max_age(answer: Answer) -> float:
    found = re.search(r"\bmax-age=(\d{1,9})\b", answer.headers.get("Cache-Control", ""))
    return min(max(float(found[1]), SHORTEST), LONGEST) if found else LONGEST
