"""The authorization code flow, by Authlib: where a browser is sent, and what the code buys.

Authlib makes the two requests, with PKCE S256 (RFC 7636) and one way alone to prove who we are,
since credentials in header and body at once are an error at Okta, which John Deere runs on. Its
reading of the answer is not used: it returns a 400 without `error` as if it were a token, and a
200 without tokens silently.
"""

from __future__ import annotations

import time
from collections.abc import Collection
from dataclasses import dataclass, field

import requests
from authlib.integrations.requests_client import OAuth2Session

from onboarding import http
from onboarding.errors import CodeRefused, SignInRefused, UpstreamUnavailable
from onboarding.http import Answer, Timeout

ACTION = "exchange the code"
BASIC, POST = "client_secret_basic", "client_secret_post"


@dataclass(frozen=True, kw_only=True)
class Client:
    """An application, as it is registered at an authorization server."""

    service: str
    """For errors: whose server it is."""
    client_id: str
    client_secret: str = field(repr=False)
    redirect_uri: str
    scopes: tuple[str, ...]
    authentication: str = BASIC

    def authorization_url(
        self, endpoint: str, *, state: str, code_verifier: str, **more: str
    ) -> str:
        """The authorization request (RFC 6749 section 4.1.1, RFC 7636 section 4.3).

        :param more: further parameters, such as `prompt`
        """
        url, _ = self._session().create_authorization_url(
            endpoint, state=state, code_verifier=code_verifier, **more
        )
        return str(url)

    def exchange(self, endpoint: str, *, code: str, code_verifier: str, timeout: Timeout) -> Answer:
        """The access token request (RFC 6749 section 4.1.3).

        It uses a connection of its own: one from a pool may have died unnoticed, and a code can't
        be sent twice.

        :raise CodeRefused: the code is used, too old, or does not fit the verifier
        :raise SignInRefused: the server does not accept our key and secret
        :raise UpstreamRejected: any other refusal
        :raise UpstreamUnavailable: no answer, or none that is understood
        """
        until = time.monotonic() + timeout.total
        with self._session(timeout) as session:
            try:
                response = session.fetch_token(
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
                secrets = (code, code_verifier, self.client_secret)
                return self._receive(response, until=until, secrets=secrets)
        raise UpstreamUnavailable(self.service, ACTION, reason=failure)

    def _session(self, timeout: Timeout | None = None) -> _Session:
        return _Session(
            client_id=self.client_id,
            client_secret=self.client_secret,
            token_endpoint_auth_method=self.authentication,
            scope=" ".join(self.scopes),
            redirect_uri=self.redirect_uri,
            code_challenge_method="S256",
            default_timeout=timeout.for_urllib3() if timeout else None,
        )

    def _receive(
        self, response: requests.Response, *, until: float, secrets: Collection[str]
    ) -> Answer:
        answer = http.receive(
            response,
            service=self.service,
            action=ACTION,
            accept=(400, 401),
            until=until,
            secrets=secrets,
        )
        if answer.status in {400, 401}:
            raise self._refusal(answer, secrets)
        return answer

    def _refusal(self, answer: Answer, secrets: Collection[str]) -> Exception:
        """RFC 6749 section 5.2."""
        refused = http.refusal(answer, service=self.service, action=ACTION, secrets=secrets)
        error = answer.body.get("error") if isinstance(answer.body, dict) else None
        if error == "invalid_client" or answer.status == 401:
            return SignInRefused(self.service, ACTION, status=answer.status, reason=refused.reason)
        if error == "invalid_grant":
            return CodeRefused(self.service, ACTION, status=answer.status, reason=refused.reason)
        return refused


def access_token(answer: Answer, *, service: str) -> str:
    """The access token in an answer (RFC 6749 section 5.1).

    :raise UpstreamUnavailable: if there is none that a header can carry
    """
    found = answer.body.get("access_token") if isinstance(answer.body, dict) else None
    if not isinstance(found, str) or not http.is_header_safe(found):
        raise http.malformed(answer, service=service, action=ACTION, missing="access_token")
    return found


class _Session(OAuth2Session):  # type: ignore[misc]  # Authlib has no types
    """Authlib's client, except that the token endpoint's answer comes back unread."""

    def parse_response_token(self, resp: requests.Response) -> requests.Response:
        return resp
