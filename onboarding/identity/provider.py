"""Signing in at the company's identity provider, and what proves that somebody has."""

from __future__ import annotations

import hmac
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from authlib.oidc.core import CodeIDToken
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jws import JWSRegistry

from onboarding import http, oauth
from onboarding.clock import seconds
from onboarding.company import Company
from onboarding.errors import CodeRefused, IdentityUnproved
from onboarding.http import Answer, Timeout
from onboarding.identity.published import SERVICE, TIMEOUT, Publications, Published

SCOPES = ("openid", "email", "profile")
TOKEN_TIMEOUT = Timeout(connect=5, read=15, total=20)
LEEWAY = 60
"""Seconds by which two clocks may differ."""


@dataclass(frozen=True, kw_only=True)
class Pending:
    """A sign-in that has begun: what is sent, and what the answer has to fit."""

    state: str = field(repr=False)
    nonce: str = field(repr=False)
    code_verifier: str = field(repr=False)
    begun: float
    """In seconds since 1970."""
    again: bool
    """Whether the person has to prove anew who they are, also if the provider still knows."""


@dataclass(frozen=True, kw_only=True)
class Identity:
    """Who the provider says that it is."""

    subject: str
    """Issuer and subject: what stays the same for a person, at this provider."""
    email: str
    """Empty: it named none."""
    is_verified: bool
    """Whether it vouches for the address."""
    name: str
    groups: frozenset[str] = frozenset()
    """The values of the claim for roles."""


class Provider:
    """The provider of one installation. Any number of threads may share it."""

    def __init__(
        self, company: Company, *, redirect_uri: str, clock: Callable[[], float] = seconds
    ) -> None:
        """Nothing is sent yet."""
        self.company = company
        self._redirect_uri = redirect_uri
        self._clock = clock
        self._session = http.new_session(connections=8)
        self._published = Publications(company.metadata_url, self._session, clock)

    def sign_in_url(self, pending: Pending) -> str:
        """Where to send the browser (OpenID Connect Core 1.0 section 3.1.2.1).

        :raise UpstreamUnavailable: the provider's metadata can't be had
        :raise UpstreamRejected: it can't be used
        """
        published = self._published.metadata()
        more = {"prompt": "login", "max_age": "0"} if pending.again else {}
        return self._client(published).authorization_url(
            published.authorization_endpoint,
            state=pending.state,
            code_verifier=pending.code_verifier,
            nonce=pending.nonce,
            **more,
        )

    def check(self) -> None:
        """Ask for metadata and keys now; for checks.

        :raise UpstreamUnavailable: they can't be had
        :raise UpstreamRejected: they can't be used
        """
        self._published.metadata()
        self._published.keys(None)

    def identify(self, pending: Pending, *, code: str, issuer: str | None) -> Identity:
        """Who has signed in, proved (OpenID Connect Core 1.0 sections 3.1.3.7 and 5.3).

        :param code: from the callback, whose `state` the caller has found to fit
        :param issuer: `iss` of the callback; None: there is none
        :raise IdentityUnproved: the answer does not prove it
        :raise SignInRefused: the provider does not accept our client id and secret
        :raise UpstreamRejected: any other refusal
        :raise UpstreamUnavailable: no answer, or none that is understood
        """
        published = self._published.metadata()
        if issuer != published.issuer and (published.names_itself or issuer is not None):
            raise IdentityUnproved("the callback is of another issuer")
        try:
            answer = self._client(published).exchange(
                published.token_endpoint,
                code=code,
                code_verifier=pending.code_verifier,
                timeout=TOKEN_TIMEOUT,
            )
        except CodeRefused as err:
            raise IdentityUnproved(f"the code was refused: {err.reason}") from err
        access_token = oauth.access_token(answer, service=SERVICE)
        claims = self._verified(_id_token(answer), published, pending, access_token)
        return self._identity(claims, published, access_token)

    def _client(self, published: Published) -> oauth.Client:
        return oauth.Client(
            service=SERVICE,
            client_id=self.company.client_id,
            client_secret=self.company.client_secret,
            redirect_uri=self._redirect_uri,
            scopes=SCOPES,
            authentication=published.authentication,
        )

    def _verified(
        self, token: str, published: Published, pending: Pending, access_token: str
    ) -> Mapping[str, Any]:
        """The claims of an ID token that the provider has signed, for us, for this sign-in."""
        try:
            found = jwt.decode(
                token,
                lambda one: self._published.keys(one.headers().get("kid")),
                registry=JWSRegistry(
                    algorithms=list(published.algorithms), strict_check_header=False
                ),
            )
            claims = CodeIDToken(
                found.claims,
                found.header,
                {
                    "iss": {"essential": True, "values": [published.issuer]},
                    "aud": {"essential": True, "values": [self.company.client_id]},
                },
                {
                    "nonce": pending.nonce,
                    "client_id": self.company.client_id,
                    "access_token": access_token,
                },
            )
            claims.validate(now=int(self._clock()), leeway=LEEWAY)
        except (JoseError, ValueError, TypeError) as err:
            raise IdentityUnproved(f"the ID token does not hold: {_why(err)}") from None
        if pending.again and not _is_since(claims.get("auth_time"), pending.begun):
            raise IdentityUnproved("it did not ask for the sign-in anew")
        return dict(claims)

    def _identity(
        self, claims: Mapping[str, Any], published: Published, access_token: str
    ) -> Identity:
        subject = claims.get("sub")
        if not isinstance(subject, str) or not subject:
            raise IdentityUnproved("the ID token has no subject")
        role_claim = self.company.role_claim
        lacks = not claims.get("email") or (role_claim and _at(claims, role_claim) is None)
        if lacks and published.userinfo_endpoint:
            more = self._userinfo(published.userinfo_endpoint, access_token, subject)
            claims = {**more, **claims}
        email, verified = claims.get("email"), claims.get("email_verified")
        return Identity(
            subject=f"{published.issuer} {subject}",
            email=email.strip().lower() if isinstance(email, str) else "",
            is_verified=verified in (True, "true") or self.company.vouches_for_addresses,
            name=str(claims.get("name") or ""),
            groups=_texts(_at(claims, role_claim)) if role_claim else frozenset(),
        )

    def _userinfo(self, url: str, access_token: str, subject: str) -> Mapping[str, Any]:
        answer = http.call(
            self._session,
            "GET",
            url,
            service=SERVICE,
            action="read who it is",
            auth=http.bearer(access_token),
            timeout=TIMEOUT,
            secrets=(access_token,),
        )
        found = answer.body if isinstance(answer.body, dict) else {}
        told = found.get("sub")
        if not isinstance(told, str) or not hmac.compare_digest(told.encode(), subject.encode()):
            raise IdentityUnproved("its user information is of somebody else")
        return found


def _id_token(answer: Answer) -> str:
    found = answer.body.get("id_token")
    if not isinstance(found, str):
        raise IdentityUnproved("it gave no ID token: is the application registered for “openid”?")
    return found


def _why(err: Exception) -> str:
    """What does not hold, without anything that the token holds."""
    claim = getattr(err, "claim", None)
    return f"{type(err).__name__}, {claim}" if isinstance(claim, str) else type(err).__name__


def _is_since(auth_time: Any, begun: float) -> bool:
    """Whether the person has signed in after we asked for it; two clocks may differ a little."""
    return isinstance(auth_time, int | float) and auth_time >= begun - LEEWAY


def _at(claims: Mapping[str, Any], path: str) -> Any:
    """The claim of a name, or of a path of names with dots between them; None: there is none."""
    if path in claims:
        return claims[path]
    found: Any = claims
    for name in path.split("."):
        found = found.get(name) if isinstance(found, dict) else None
    return found


def _texts(value: Any) -> frozenset[str]:
    """One text, or several; some providers write several into one, with spaces between them."""
    if isinstance(value, str):
        return frozenset({value, *value.split()})
    return (
        frozenset(one for one in value if isinstance(one, str))
        if isinstance(value, list)
        else (frozenset())
    )
