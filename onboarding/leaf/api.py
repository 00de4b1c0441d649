"""Calls to Leaf with our token, and lists page by page."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from copy import copy
from typing import Any, Self

import requests

from onboarding import http
from onboarding.errors import UpstreamRejected
from onboarding.http import Answer, Timeout
from onboarding.leaf.signin import SignIn
from onboarding.leaf.turn import Turn, taking

SERVICE = "Leaf"
PAGE_SIZE = 100
"""Leaf's largest (GitHub Leaf-Agriculture/docs, setup_information.md)."""
PAGE_LIMIT = 100
"""Pages after which a list is taken for endless."""


class Api:
    """Leaf's origin, and our access to it."""

    def __init__(
        self,
        api_url: str,
        username: str,
        password: str,
        *,
        session: requests.Session,
        timeout: Timeout,
        clock: Callable[[], float],
        turn: Turn,
    ) -> None:
        self._api_url = api_url
        self._password = password
        self._session = session
        self._timeout = timeout
        self._turn = turn
        self._sign_in = SignIn(
            api_url, username, password, session=session, timeout=timeout, clock=clock
        )

    def with_turn(self, turn: Turn) -> Self:
        """The same access with the same token, but requests that take other turns."""
        other = copy(self)
        other._turn = turn
        return other

    def sign_in(self) -> None:
        """Sign in now, whether or not there is a token."""
        self._sign_in.renew(self._turn)

    def call(
        self,
        method: str,
        path: str,
        *,
        action: str,
        accept: Collection[int] = (),
        params: Mapping[str, str | int] | None = None,
        json: Any = None,
        secrets: Collection[str] = (),
    ) -> Answer:
        """Call with our token, and once more with a new one if Leaf refuses it.

        Parameters and errors as `http.call`; besides, `SignInRefused`.
        """

        def send(token: str) -> Answer:
            with taking(self._turn):
                return http.call(
                    self._session,
                    method,
                    self._api_url + path,
                    service=SERVICE,
                    action=action,
                    accept=accept,
                    params=params,
                    json=json,
                    auth=http.bearer(token),
                    timeout=self._timeout,
                    secrets=(token, self._password, *secrets),
                )

        token = self._sign_in.token(self._turn)
        try:
            return send(token)
        except UpstreamRejected as err:
            if err.status != 401:
                raise
        return send(self._sign_in.token(self._turn, instead_of=token))

    def pages(
        self, path: str, *, action: str, params: Mapping[str, str] | None = None
    ) -> Iterator[Any]:
        """The items of every page. `page` counts from 0; lists are bare JSON arrays.

        :raise UpstreamRejected: also after `PAGE_LIMIT` pages: what was looked for may be further
            on, and to act as if it were not there would be wrong
        """
        for page in range(PAGE_LIMIT):
            answer = self.call(
                "GET",
                path,
                action=action,
                params={**(params or {}), "page": page, "size": PAGE_SIZE},
            )
            if not isinstance(answer.body, list):
                raise http.malformed(answer, service=SERVICE, action=action, missing="list")
            yield from answer.body
            if _is_last(answer, page):
                return
        raise UpstreamRejected(
            SERVICE, action, status=answer.status, reason=f"more than {PAGE_LIMIT} pages"
        )


def _is_last(answer: Answer, page: int) -> bool:
    """By `X-Total-Count` if Leaf sends it (as documented), else by a page that is not full."""
    if not answer.body:
        return True
    total = answer.headers.get("X-Total-Count", "")
    if total.isdecimal():
        return (page + 1) * PAGE_SIZE >= int(total)
    return len(answer.body) < PAGE_SIZE
