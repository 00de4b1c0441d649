"""One application's access to John Deere."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any
from urllib.parse import quote, urlsplit

from onboarding import http
from onboarding.clock import seconds
from onboarding.deere import tokens
from onboarding.deere.hosts import has_origin_of, is_deere
from onboarding.deere.metadata import Metadata
from onboarding.deere.organizations import (
    Organization,
    pages_to_choose,
    read_links,
    read_organization,
    with_redirect,
)
from onboarding.deere.tokens import Tokens
from onboarding.errors import (
    OrganizationsLeftOut,
    TermsNotAccepted,
    UpstreamError,
    UpstreamRejected,
    UpstreamUnavailable,
)
from onboarding.http import Answer, Timeout
from onboarding.settings import Settings

SERVICE = "John Deere"
ACTION = "read the organizations"
METADATA_TIMEOUT = Timeout(connect=3, read=5, total=8)
TOKEN_TIMEOUT = Timeout(connect=5, read=20, total=25)
"""The code lives about a minute, and a grower waits."""
API_TIMEOUT = Timeout(connect=5, read=10, total=15)
ORGANIZATIONS_BUDGET = 20.0
"""Seconds for all pages of organizations: the grower's browser waits for them."""
PAGE_LIMIT = 100
"""Pages of organizations, 10 each, that are read."""
LEFT_OUT = (
    "the answer has no list of organizations: are DEERE_CLIENT_KEY and DEERE_API_URL of the same "
    "environment?"
)
ACCEPT = "application/vnd.deere.axiom.v3+json"
CHOOSE_ORIGIN = "https://connections.deere.com"
SANDBOX_CONNECTIONS_PATH = "/connections"
CHOOSE_PATH = "/connections/{client_key}/select-organizations"
QUIET_LOGGERS = ("authlib", "urllib3")

log = logging.getLogger(__name__)


def quiet_logs() -> None:
    """Keep secrets out of logs at DEBUG: Authlib logs the PKCE verifier, urllib3 whole URLs."""
    for name in QUIET_LOGGERS:
        logging.getLogger(name).setLevel(logging.INFO)


class Deere:
    """John Deere for one application. Any number of threads may share it."""

    def __init__(
        self,
        settings: Settings,
        *,
        remembered: Callable[[], str | None],
        remember: Callable[[str], None],
        clock: Callable[[], float] = seconds,
        metadata_timeout: Timeout = METADATA_TIMEOUT,
        token_timeout: Timeout = TOKEN_TIMEOUT,
        api_timeout: Timeout = API_TIMEOUT,
    ) -> None:
        """Nothing is sent yet.

        :param remembered: gives back what `remember` was given last, in another process or
            before a restart; None if nothing
        :param remember: keeps the last good metadata, a JSON text
        :param clock: seconds since 1970
        """
        self._settings = settings
        self._token_timeout = token_timeout
        self._api_timeout = api_timeout
        self._session = http.new_session()
        self._metadata = Metadata(
            settings.deere_metadata_url,
            settings.deere_issuer,
            remembered=remembered,
            remember=remember,
            session=self._session,
            timeout=metadata_timeout,
            clock=clock,
        )

    @property
    def settings(self) -> Settings:
        """With those of the application."""
        return self._settings

    def metadata(self) -> Mapping[str, str]:
        """`issuer`, `authorization_endpoint` and `token_endpoint`, checked.

        A copy is used for as long as John Deere allows, at most a day. When it can't be fetched,
        or names another issuer, the last good copy is used, then a built-in one, and a minute
        passes before the next try.
        """
        return self._metadata.current()

    def check_metadata(self) -> None:
        """Ask John Deere for its metadata now; for checks.

        :raise UpstreamUnavailable: it can't be fetched
        :raise UpstreamRejected: it is refused, or names another issuer, or endpoints elsewhere
        """
        self._metadata.fetch()

    def examine_metadata(self) -> tuple[Mapping[str, str], frozenset[str] | None]:
        """As `check_metadata`; the metadata, and the scopes that it names if it names any."""
        return self._metadata.examine()

    def consent_url(self, *, state: str, code_verifier: str, prompt: str | None = None) -> str:
        """Where to send the grower's browser. Works when John Deere's metadata can't be had.

        :param state: letters, digits and `,._-` only; Okta refuses anything else
        :param code_verifier: 43 to 128 characters (RFC 7636 section 4.1)
        :param prompt: `login` shows the sign-in even if the browser is signed in
        """
        return tokens.consent_url(
            self._settings,
            self.metadata()["authorization_endpoint"],
            state=state,
            code_verifier=code_verifier,
            prompt=prompt,
        )

    def exchange(self, *, code: str, code_verifier: str) -> Tokens:
        """Exchange the callback's code for tokens. Can be done once.

        It takes 25 seconds at most, except for what `Timeout.total` does not bound.
        The metadata is not fetched for it: the code is getting old, and the copy that sent the
        grower to John Deere is at hand, here or with the caller.

        :raise CodeRefused: the code is used, too old, or does not fit the verifier
        :raise SignInRefused: John Deere does not accept our key and secret
        :raise UpstreamRejected: any other refusal
        :raise UpstreamUnavailable: no answer, or none that is understood
        """
        return tokens.exchange(
            self._settings,
            self._metadata.at_hand()["token_endpoint"],
            code=code,
            code_verifier=code_verifier,
            timeout=self._token_timeout,
        )

    def organizations(
        self, access_token: str, *, budget: float = ORGANIZATIONS_BUDGET
    ) -> tuple[Organization, ...]:
        """Every organization that the account can see, its own and its partners'.

        `GET /organizations` (developer.deere.com, Organizations API), all pages up to 100.

        :param budget: seconds for all pages together, bounded as `Timeout.total` is
        :raise TermsNotAccepted: John Deere wants its terms accepted first
        :raise OrganizationsLeftOut: the answer has no list of them
        :raise UpstreamRejected: any other refusal
        :raise UpstreamUnavailable: no answer, none that is understood, or not all pages in time
        """
        until = time.monotonic() + budget
        found: list[Organization] = []
        url = f"{self._settings.deere_api_url}/organizations"
        for _ in range(PAGE_LIMIT):
            answer = self._get(url, access_token, until=until)
            found += _read_page(answer)
            next_url = self._next_page(answer)
            if next_url is None:
                return tuple(found)
            url = next_url
        log.warning("John Deere has more than %d pages of organizations", PAGE_LIMIT)
        return tuple(found)

    def page_to_choose(
        self, organizations: Iterable[Organization], *, organization_id: str | None = None
    ) -> str:
        """John Deere's page where the grower chooses; it comes back to `/deere/organizations`.

        The page that John Deere named, if it is John Deere's own or on the API's origin; else the
        one that its documentation describes.

        :param organization_id: to connect or manage this one
        """
        uris = pages_to_choose(organizations, organization_id)
        client_key = quote(self._settings.deere_client_key, safe="")
        fallback = self._choose_origin() + CHOOSE_PATH.format(client_key=client_key)
        uri = next(filter(self._is_trusted, uris), fallback)
        return with_redirect(uri, self._settings.organizations_url)

    @property
    def connections_page(self) -> str:
        """John Deere's page with all connections of an account, where each can be removed."""
        origin = self._choose_origin()
        return origin if origin == CHOOSE_ORIGIN else origin + SANDBOX_CONNECTIONS_PATH

    def _get(self, url: str, access_token: str, *, until: float) -> Answer:
        left = until - time.monotonic()
        if left <= 0:
            raise UpstreamUnavailable(SERVICE, ACTION, reason="not all pages in time")
        secrets = (access_token, self._settings.deere_client_secret)
        answer = http.call(
            self._session,
            "GET",
            url,
            service=SERVICE,
            action=ACTION,
            accept=(403,),
            headers={"Accept": ACCEPT},
            auth=http.bearer(access_token),
            timeout=self._api_timeout.within(left),
            secrets=secrets,
        )
        if answer.status == 403:
            raise _forbidden(answer, secrets)
        return answer

    def _next_page(self, answer: Answer) -> str | None:
        """The next page's URL, which the access token is only sent to where the API is."""
        url = read_links(answer.body).get("nextPage")
        if url is None or self._is_api(url):
            return url
        raise UpstreamRejected(
            SERVICE, ACTION, status=answer.status, reason="the next page is on another host"
        )

    def _is_api(self, url: str) -> bool:
        api = self._settings.deere_api_url
        return has_origin_of(url, api) or (is_deere(api) and is_deere(url))

    def _choose_origin(self) -> str:
        """A grower of the sandbox is never sent to the real John Deere."""
        api = self._settings.deere_api_url
        parts = urlsplit(api)
        return CHOOSE_ORIGIN if is_deere(api) else f"{parts.scheme}://{parts.netloc}"

    def _is_trusted(self, url: str) -> bool:
        return is_deere(url) or has_origin_of(url, self._settings.deere_api_url)


def _read_page(answer: Answer) -> list[Organization]:
    values = answer.body.get("values", []) if isinstance(answer.body, dict) else None
    if values == [] and not answer.body.keys() & {"values", "total"}:
        raise OrganizationsLeftOut(SERVICE, ACTION, status=answer.status, reason=LEFT_OUT)
    if not isinstance(values, list):
        raise http.malformed(answer, service=SERVICE, action=ACTION, missing="values")
    found = [read_organization(value) for value in values]
    complete = [organization for organization in found if organization is not None]
    if len(complete) < len(found):
        raise http.malformed(answer, service=SERVICE, action=ACTION, missing="id")
    return complete


def _forbidden(answer: Answer, secrets: Collection[str]) -> UpstreamError:
    """Required customer action: `X-Deere-Terms-Location` names the page with the terms."""
    terms: Any = answer.headers.get("X-Deere-Terms-Location")
    if terms is None:
        return http.refusal(answer, service=SERVICE, action=ACTION, secrets=secrets)
    return TermsNotAccepted(
        SERVICE, ACTION, status=answer.status, terms_url=terms if is_deere(terms) else None
    )
