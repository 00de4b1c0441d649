"""What the identity provider publishes of itself: its metadata, and the keys that it signs with."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import requests
from joserfc.errors import JoseError
from joserfc.jwk import Key, KeySet, import_key

from onboarding import http, oauth
from onboarding.clock import Span
from onboarding.company import WELL_KNOWN
from onboarding.errors import UpstreamError, UpstreamRejected, UpstreamUnavailable
from onboarding.http import Timeout
from onboarding.urls import fault_of_url

SERVICE = "The company’s sign-in"
TIMEOUT = Timeout(connect=3, read=5, total=8)
FRESH_FOR = 3600.0
"""Seconds for which metadata and keys are used without asking again."""
PAUSE_AFTER_FAILURE = 5.0
"""Seconds before it is asked again; whoever comes in between is told at once."""
PAUSE_FOR_UNKNOWN = 60.0
"""Seconds before keys are asked for again because of a key that is not among them."""
ALGORITHMS = (
    *("RS256", "RS384", "RS512"),
    *("PS256", "PS384", "PS512"),
    *("ES256", "ES384", "ES512"),
)
"""Those with a public key. A signature with a secret that both sides know is none of theirs."""
Value = TypeVar("Value")
NEEDED = ("authorization_endpoint", "token_endpoint", "jwks_uri")


@dataclass(frozen=True)
class Published:
    """The metadata, checked (OpenID Connect Discovery 1.0 section 3)."""

    issuer: str
    authorization_endpoint: str
    token_endpoint: str
    jwks_uri: str
    userinfo_endpoint: str | None
    algorithms: tuple[str, ...]
    """With which it signs ID tokens, of those that are understood."""
    authentication: str
    """How an application proves who it is at the token endpoint."""
    names_itself: bool
    """Whether its answers say by `iss` whose they are (RFC 9207)."""


class _Kept(Generic[Value]):
    """Something that is fetched when it is needed, and kept for a while."""

    def __init__(self) -> None:
        self.value: Value | None = None
        self.fresh = Span()
        self._pause = Span()
        self._failure: UpstreamError | None = None

    def get(self, fetch: Callable[[], Value], moment: float) -> Value:
        """What is kept, else what is fetched; if that fails, what was kept for too long.

        While a failure is new, nobody waits for the next one.
        """
        if self.value is not None and self.fresh.holds(moment):
            return self.value
        if not self._pause.holds(moment):
            self._pause = Span(moment, moment + PAUSE_AFTER_FAILURE)
            try:
                self.value, self._failure = fetch(), None
                self.fresh = Span(moment, moment + FRESH_FOR)
            except UpstreamError as err:
                self._failure = err
        if self.value is not None and not isinstance(self._failure, UpstreamRejected):
            return self.value
        raise self._failure or UpstreamUnavailable(SERVICE, "read its metadata")

    def forget(self) -> None:
        """Fetch it the next time."""
        self.fresh = self._pause = Span()


class Publications:
    """Fetched when they are needed, and kept. Any number of threads may share it."""

    def __init__(self, url: str, session: requests.Session, clock: Callable[[], float]) -> None:
        self._url = url
        self._session = session
        self._clock = clock
        self._lock = threading.Lock()
        self._metadata: _Kept[Published] = _Kept()
        self._keys: _Kept[KeySet] = _Kept()
        self._asked_for_unknown = Span()

    def metadata(self) -> Published:
        """The metadata; when it can't be had, that which was had last.

        :raise UpstreamUnavailable: it can't be fetched, and never could in this process
        :raise UpstreamRejected: it is refused, or can't be used
        """
        with self._lock:
            return self._metadata.get(self._fetch_metadata, self._clock())

    def keys(self, key_id: str | None) -> KeySet:
        """The keys; asked for anew if the one that is wanted is not among them.

        :param key_id: what the token's header says (`kid`)
        :raise UpstreamUnavailable: they can't be fetched, and never could in this process
        :raise UpstreamRejected: they are refused
        """
        url = self.metadata().jwks_uri
        with self._lock:
            moment = self._clock()
            found = self._keys.get(lambda: self._fetch_keys(url), moment)
            is_known = key_id is None or any(key.kid == key_id for key in found)
            if is_known or self._asked_for_unknown.holds(moment):
                return found
            self._asked_for_unknown = Span(moment, moment + PAUSE_FOR_UNKNOWN)
            self._keys.forget()
            return self._keys.get(lambda: self._fetch_keys(url), moment)

    def _fetch_metadata(self) -> Published:
        body, status = self._get(self._url, "read its metadata")
        try:
            return _read(body, self._url)
        except ValueError as err:
            raise UpstreamRejected(
                SERVICE, "read its metadata", status=status, reason=str(err)
            ) from err

    def _fetch_keys(self, url: str) -> KeySet:
        body, status = self._get(url, "read its keys")
        given = body.get("keys")
        found = [key for one in given if (key := _key(one))] if isinstance(given, list) else []
        if not found:
            raise UpstreamUnavailable(
                SERVICE, "read its keys", status=status, reason="there is none that can be used"
            )
        return KeySet(found)

    def _get(self, url: str, action: str) -> tuple[Mapping[str, Any], int]:
        answer = http.call(
            self._session, "GET", url, service=SERVICE, action=action, timeout=TIMEOUT
        )
        if not isinstance(answer.body, dict):
            raise http.malformed(answer, service=SERVICE, action=action, missing="JSON object")
        return answer.body, answer.status


def _read(body: Mapping[str, Any], url: str) -> Published:
    issuer = body.get("issuer")
    if not isinstance(issuer, str) or issuer.rstrip("/") + WELL_KNOWN != url:
        raise ValueError(
            "it names another issuer; STAFF_OIDC_METADATA_URL must be the issuer's own address "
            f"with {WELL_KNOWN} after it"
        )
    for name in NEEDED:
        value = body.get(name)
        if not isinstance(value, str) or fault_of_url(value.partition("?")[0]):
            raise ValueError(f"it has no {name} that can be used")
    offered = _words(body, "id_token_signing_alg_values_supported") or ALGORITHMS[:1]
    algorithms = tuple(one for one in ALGORITHMS if one in offered)
    if not algorithms:
        raise ValueError(f"it signs with none of {', '.join(ALGORITHMS)}")
    ways = _words(body, "token_endpoint_auth_methods_supported") or (oauth.BASIC,)
    userinfo = body.get("userinfo_endpoint")
    is_usable = isinstance(userinfo, str) and not fault_of_url(userinfo)
    return Published(
        issuer=issuer,
        authorization_endpoint=body["authorization_endpoint"],
        token_endpoint=body["token_endpoint"],
        jwks_uri=body["jwks_uri"],
        userinfo_endpoint=userinfo if is_usable else None,
        algorithms=algorithms,
        authentication=oauth.BASIC if oauth.BASIC in ways else oauth.POST,
        names_itself=body.get("authorization_response_iss_parameter_supported") is True,
    )


def _words(body: Mapping[str, Any], name: str) -> tuple[str, ...]:
    found = body.get(name)
    return tuple(one for one in found if isinstance(one, str)) if isinstance(found, list) else ()


def _key(given: Any) -> Key | None:
    """A key of those kinds that sign ID tokens; others may stand beside them."""
    if not isinstance(given, dict) or given.get("use", "sig") != "sig":
        return None
    if given.get("kty") not in {"RSA", "EC"}:
        return None
    try:
        return import_key(given)
    except (JoseError, ValueError):
        return None
